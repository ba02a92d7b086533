/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_http.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/secret.h"

struct auth_http {
    CURLM *multi;
    struct list calls;
    size_t server_count;
    size_t server_next;
    struct net_addr servers[AUTH_HTTP_SERVERS];
};

struct auth_http_call {
    struct list node;
    struct auth_http *http;
    CURL *curl;
    struct curl_slist *headers;
    void (*done)(void *arg, const struct auth_http_answer *answer);
    void *arg;
    uint8_t *body;
    size_t len;
    size_t cap;
    size_t max;
    bool too_long;
    char error[CURL_ERROR_SIZE];
};

bool auth_http_built(void)
{
    return true;
}

static void curl_start(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

int auth_http_new(struct auth_http **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct auth_http *http = mem_new(1, sizeof(*http));

    (void)pthread_once(&once, curl_start);
    if (http == NULL) {
        return -ENOMEM;
    }
    list_init(&http->calls);
    http->multi = curl_multi_init();
    if (http->multi == NULL) {
        free(http);
        return -ENOMEM;
    }
    *out = http;
    return 0;
}

static void call_free(struct auth_http_call *call)
{
    list_remove(&call->node);
    if (call->curl != NULL) {
        (void)curl_multi_remove_handle(call->http->multi, call->curl);
        curl_easy_cleanup(call->curl);
    }
    curl_slist_free_all(call->headers);
    if (call->body != NULL) {
        secret_wipe(call->body, call->cap);
    }
    free(call->body);
    free(call);
}

void auth_http_free(struct auth_http *http)
{
    if (http == NULL) {
        return;
    }
    (void)curl_multi_cleanup(http->multi);
    free(http);
}

/* Room for `n` more bytes.  Grows by doubling; what was there is wiped. */
static bool call_grow(struct auth_http_call *call, size_t n)
{
    enum { FIRST = 4096 };

    size_t cap = call->cap == 0 ? FIRST : call->cap;

    while (cap < call->len + n) {
        cap *= 2;
    }
    if (cap == call->cap) {
        return true;
    }
    uint8_t *body = mem_new(1, cap);
    if (body == NULL) {
        return false;
    }
    if (call->body != NULL) {
        memcpy(body, call->body, call->len);
        secret_wipe(call->body, call->cap);
        free(call->body);
    }
    call->body = body;
    call->cap = cap;
    return true;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct auth_http_call *call = arg;
    const size_t n = size * count;

    call->too_long = n > call->max - call->len;
    if (call->too_long || !call_grow(call, n)) {
        return CURL_WRITEFUNC_ERROR;
    }
    memcpy(call->body + call->len, data, n);
    call->len += n;
    return n;
}

int auth_http_address(const char *url, struct net_addr *out)
{
    CURLU *parts = curl_url();
    char *host = NULL;
    char *port = NULL;
    char text[NET_ADDR_TEXT];
    int err = -ENOENT;

    if (parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        snprintf(text, sizeof(text), "%s:%s", host, port) < (int)sizeof(text) &&
        net_addr_parse(text, 0, out) == 0) {
        err = 0;
    }
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return err;
}

/* The headers that were asked for, and what tells the server that JSON comes. */
static bool headers_set(struct auth_http_call *call, const struct auth_http_request *request)
{
    static const char *const own[] = {"Content-Type: application/json", "Expect:"};
    struct curl_slist *list;

    for (size_t i = 0; i < request->header_count; i++) {
        list = curl_slist_append(call->headers, request->headers[i]);
        if (list == NULL) {
            return false;
        }
        call->headers = list;
    }
    for (size_t i = 0; request->json.p != NULL && i < sizeof(own) / sizeof(own[0]); i++) {
        list = curl_slist_append(call->headers, own[i]);
        if (list == NULL) {
            return false;
        }
        call->headers = list;
    }
    list = curl_slist_append(call->headers, "Accept: application/json");
    call->headers = list != NULL ? list : call->headers;
    return list != NULL;
}

/* CURLE_OK is 0, so that failures add up. */
static bool options_set(struct auth_http_call *call, const struct auth_http_request *request)
{
    CURL *curl = call->curl;
    unsigned bad = 0;

    bad |= curl_easy_setopt(curl, CURLOPT_URL, request->url);
    bad |= curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    bad |= curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    bad |= curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    bad |= curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L); /* do not wait for a resolver */
    bad |= curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L);
    bad |= curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    bad |= curl_easy_setopt(curl, CURLOPT_USERAGENT, "sterna");
    bad |= curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, call->error);
    bad |= curl_easy_setopt(curl, CURLOPT_PRIVATE, (void *)call);
    bad |= curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    bad |= curl_easy_setopt(curl, CURLOPT_WRITEDATA, (void *)call);
    bad |= curl_easy_setopt(curl, CURLOPT_HTTPHEADER, call->headers);
    if (request->ca_file != NULL) {
        bad |= curl_easy_setopt(curl, CURLOPT_CAINFO, request->ca_file);
        bad |= curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
    if (request->connect_only) {
        bad |= curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
    } else if (request->json.p != NULL) {
        bad |= curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)request->json.n);
        bad |= curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, (const char *)request->json.p);
    }
    return bad == 0;
}

int auth_http_start(struct auth_http *http, const struct auth_http_request *request,
                    struct auth_http_call **out)
{
    struct auth_http_call *call = mem_new(1, sizeof(*call));

    if (call == NULL) {
        return -ENOMEM;
    }
    list_init(&call->node);
    call->http = http;
    call->done = request->done;
    call->arg = request->arg;
    call->max = request->answer_max;
    call->curl = curl_easy_init();
    if (call->curl == NULL || !headers_set(call, request) || !options_set(call, request) ||
        curl_multi_add_handle(http->multi, call->curl) != CURLM_OK) {
        call_free(call);
        return -ENOMEM;
    }
    list_push(&http->calls, &call->node);
    *out = call;
    return 0;
}

void auth_http_cancel(struct auth_http_call *call)
{
    call_free(call);
}

static void server_keep(struct auth_http *http, CURL *curl)
{
    char *text = NULL;
    long port = 0;
    struct net_ip ip;

    if (curl_easy_getinfo(curl, CURLINFO_PRIMARY_IP, &text) != CURLE_OK || text == NULL ||
        curl_easy_getinfo(curl, CURLINFO_PRIMARY_PORT, &port) != CURLE_OK ||
        net_ip_parse(text, &ip) < 0) {
        return;
    }
    const struct net_addr addr = net_addr_make(&ip, (uint16_t)port);
    for (size_t i = 0; i < http->server_count; i++) {
        if (net_addr_equal(&http->servers[i], &addr)) {
            return;
        }
    }
    http->servers[http->server_next] = addr;
    http->server_next = (http->server_next + 1) % AUTH_HTTP_SERVERS;
    http->server_count += http->server_count < AUTH_HTTP_SERVERS;
}

static void call_end(struct auth_http_call *call, CURLcode result)
{
    struct auth_http_answer answer = {.body = {call->body, call->len}};

    server_keep(call->http, call->curl);
    if (result == CURLE_OK) {
        (void)curl_easy_getinfo(call->curl, CURLINFO_RESPONSE_CODE, &answer.status);
    } else if (call->too_long) {
        answer.error = "the answer is too long";
    } else {
        answer.error = call->error[0] != '\0' ? call->error : curl_easy_strerror(result);
    }
    call->done(call->arg, &answer);
    call_free(call);
}

void auth_http_run(struct auth_http *http, int timeout_ms)
{
    CURLMsg *message;
    int left;

    (void)curl_multi_perform(http->multi, &left);
    while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
        struct auth_http_call *call = NULL;
        const CURLcode result = message->data.result;
        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call) == CURLE_OK) {
            call_end(call, result);
            timeout_ms = 0;
        }
    }
    (void)curl_multi_poll(http->multi, NULL, 0, timeout_ms, NULL);
    (void)curl_multi_perform(http->multi, &left);
}

void auth_http_wake(struct auth_http *http)
{
    (void)curl_multi_wakeup(http->multi);
}

size_t auth_http_servers(const struct auth_http *http, struct net_addr *out, size_t max)
{
    const size_t count = http->server_count < max ? http->server_count : max;

    memcpy(out, http->servers, count * sizeof(*out));
    return count;
}

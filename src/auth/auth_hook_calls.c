/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_hook_calls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "auth/auth_hook.h"
#include "auth/auth_service.h"
#include "base/mem.h"
#include "base/secret.h"
#include "log/log.h"

enum {
    WORKER_MAX = 64, /* of one worker: what is left of its look-ups is for the database */
    DOWN_MAX = 8, /* while nobody answers: each costs a socket, a thread where names are resolved */
    QUIET_MS = 10000,
};

struct auth_hook_call {
    struct list node;
    struct auth_hook_calls *calls;
    struct auth_lookup *lookup;
    struct auth_http_call *http;
    uint32_t absent_ms;
};

static struct auth_hook_question question_of(const struct auth_lookup *lookup)
{
    return (struct auth_hook_question){
        .name = {lookup->asked.bytes, lookup->asked.len},
        .realm = {lookup->realm, lookup->realm_len},
        .client = &lookup->client,
        .transport = lookup->transport,
    };
}

static void call_free(struct auth_hook_call *call)
{
    list_remove(&call->node);
    call->calls->count--;
    free(call);
}

static uint64_t clock_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* An application that answers for one user and fails for another is told of now and then, not each
 * time. */
static void failed(struct auth_hook_calls *calls, long status, const char *why)
{
    const uint64_t now_ms = clock_ms();

    if (!calls->failing && now_ms >= calls->quiet_ms) {
        calls->failing = true;
        calls->quiet_ms = now_ms + QUIET_MS;
        log_event(LOG_ERROR, "auth.hook_failed", LOG_TEXT("error", why),
                  status != 0 ? LOG_I64("status", status) : LOG_END, LOG_END);
    }
}

static void worked(struct auth_hook_calls *calls)
{
    if (calls->failing) {
        calls->failing = false;
        log_event(LOG_NOTICE, "auth.hook_back", LOG_END);
    }
}

/* Into the look-up; `answer` is wiped by the caller. */
static void answer_give(struct auth_lookup *lookup, const struct auth_hook_answer *answer)
{
    enum { TTL_LEAST_MS = 2000 }; /* for the request to be looked at again */
    struct auth_extra *extra = &lookup->extra;

    lookup->name = lookup->asked;
    extra->ttl_ms = answer->has_ttl ? answer->ttl_s * 1000U : 0;
    if (answer->has_ttl && extra->ttl_ms < TTL_LEAST_MS) {
        extra->ttl_ms = TTL_LEAST_MS;
    }
    extra->account_len = answer->account_len;
    memcpy(extra->account, answer->account, sizeof(extra->account));
    extra->key_count = answer->key_count;
    memcpy(extra->key, answer->key, sizeof(answer->key));
}

static void on_answer(void *arg, const struct auth_http_answer *http)
{
    struct auth_hook_call *call = arg;
    struct auth_lookup *lookup = call->lookup;
    const struct auth_hook_question question = question_of(lookup);
    struct auth_hook_answer answer;
    const char *why = http->error;
    int err = -EBADMSG;

    call->calls->down = http->error != NULL;
    if (http->error == NULL) {
        err = auth_hook_read(&question, http->status, http->body, &answer, &why);
    }
    if (err == -EBADMSG) {
        failed(call->calls, http->status, why);
        err = -EIO;
    } else {
        worked(call->calls);
    }
    if (err == 0) {
        answer_give(lookup, &answer);
        secret_wipe(&answer, sizeof(answer));
    } else if (err == -ENOENT) {
        lookup->extra.ttl_ms = call->absent_ms;
    }
    lookup->extra.for_client = err != -EIO;
    lookup->extra.client = lookup->client.ip;
    lookup->extra.transport = lookup->transport;
    lookup->extra.outside = true;
    lookup->result = err;
    call_free(call);
    auth_worker_answer(lookup);
}

/* How many of the worker's questions are under way. */
static uint32_t count_of(const struct auth_hook_calls *calls, const struct auth_worker *worker)
{
    uint32_t count = 0;

    LIST_EACH (node, &calls->list) {
        count += CONTAINER_OF(node, struct auth_hook_call, node)->lookup->worker == worker;
    }
    return count;
}

static int start(struct auth_hook_call *call, const struct auth_outside_config *config,
                 const char *text)
{
    const struct auth_http_request request = {
        .url = config->hook,
        .ca_file = config->ca_file,
        .headers = (const char *const *)config->headers,
        .header_count = config->header_count,
        .json = bytes_of(text),
        .timeout_ms = config->hook_timeout_ms,
        .answer_max = AUTH_HOOK_ANSWER_MAX,
        .done = on_answer,
        .arg = call,
    };

    return auth_http_start(call->calls->http, &request, &call->http);
}

int auth_hook_calls_ask(struct auth_hook_calls *calls, const struct auth_outside_config *config,
                        struct auth_lookup *lookup)
{
    const struct auth_hook_question question = question_of(lookup);
    char *text;

    if (calls->http == NULL) {
        return -ENOSYS;
    }
    if (calls->count >= config->hook_pending_max || (calls->down && calls->count >= DOWN_MAX) ||
        count_of(calls, lookup->worker) >= WORKER_MAX) {
        return -EBUSY;
    }
    int err = auth_hook_ask(&question, &text);
    if (err < 0) {
        return err == -EBADMSG ? -ENOENT : err;
    }
    struct auth_hook_call *call = mem_new(1, sizeof(*call));
    if (call == NULL) {
        free(text);
        return -ENOMEM;
    }
    call->calls = calls;
    call->lookup = lookup;
    call->absent_ms = config->hook_absent_ms;
    list_init(&call->node);
    list_push(&calls->list, &call->node);
    calls->count++;
    err = start(call, config, text);
    free(text);
    if (err < 0) {
        call_free(call);
    }
    return err;
}

static void on_found(void *arg, const struct auth_http_answer *answer)
{
    struct auth_hook_calls *calls = arg;

    (void)answer; /* auth_http_servers() tells; the first question will find out what is wrong */
    calls->finding = NULL;
}

void auth_hook_calls_find(struct auth_hook_calls *calls, const struct auth_outside_config *config)
{
    if (calls->finding != NULL) {
        auth_http_cancel(calls->finding);
        calls->finding = NULL;
    }
    if (calls->http == NULL || config == NULL || config->hook == NULL) {
        return;
    }
    const struct auth_http_request request = {
        .url = config->hook,
        .ca_file = config->ca_file,
        .timeout_ms = config->hook_timeout_ms,
        .connect_only = true,
        .done = on_found,
        .arg = calls,
    };
    if (auth_http_start(calls->http, &request, &calls->finding) < 0) {
        calls->finding = NULL;
    }
}

void auth_hook_calls_drop(struct auth_hook_calls *calls, const struct auth_worker *worker)
{
    LIST_EACH_SAFE (node, &calls->list) {
        struct auth_hook_call *call = CONTAINER_OF(node, struct auth_hook_call, node);
        if (worker == NULL || call->lookup->worker == worker) {
            auth_http_cancel(call->http);
            call_free(call);
        }
    }
}

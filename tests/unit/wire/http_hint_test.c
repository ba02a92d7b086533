/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/http_hint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define CHALLENGE "/.well-known/acme-challenge/"

static const char redirect[] = "http://acme.example/.well-known/acme-challenge/";

/* The answer to exactly these bytes: on the heap, so that a sanitizer sees a read beyond them. */
static int answer(const void *from, size_t n, const char *to, char out[HTTP_HINT_ANSWER_MAX])
{
    uint8_t *copy = malloc(n > 0 ? n : 1);

    assert_non_null(copy);
    if (n > 0) {
        memcpy(copy, from, n);
    }
    const int len = http_hint_answer((struct bytes){copy, n}, to, out, HTTP_HINT_ANSWER_MAX);
    free(copy);
    return len;
}

static void assert_answer(const char *request, const char *to, const char *begins, const char *has)
{
    char out[HTTP_HINT_ANSWER_MAX];

    const int len = answer(request, strlen(request), to, out);
    assert_true(len > 0);
    assert_int_equal(strlen(out), len);
    if (strncmp(out, begins, strlen(begins)) != 0 || strstr(out, has) == NULL) {
        fail_msg("to %s came %s", request, out);
    }
}

static void is__knows_each_method_from_its_first_byte(void **state)
{
    static const char *const methods[] = {"GET ",     "POST ",  "HEAD ",    "PUT ",   "DELETE ",
                                          "OPTIONS ", "PATCH ", "CONNECT ", "TRACE ", "PRI "};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        char request[64];
        (void)snprintf(request, sizeof(request), "%s* HTTP/1.1\r\n", methods[i]);
        for (size_t n = 1; n <= strlen(request); n++) {
            assert_true(http_hint_is((struct bytes){(const uint8_t *)request, n}));
        }
        const size_t last = strlen(methods[i]) - 1;
        request[last] = '/';
        assert_true(http_hint_is((struct bytes){(const uint8_t *)request, last}));
        assert_false(http_hint_is((struct bytes){(const uint8_t *)request, last + 1}));
    }
}

static void is__leaves_other_protocols_alone(void **state)
{
    static const uint8_t stun[] = {0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xA4, 0x42};
    static const uint8_t channel[] = {0x40, 0x00, 0x00, 0x04};
    static const uint8_t tls[] = {0x16, 0x03, 0x01, 0x02};

    (void)state;
    assert_false(http_hint_is((struct bytes){stun, sizeof(stun)}));
    assert_false(http_hint_is((struct bytes){channel, sizeof(channel)}));
    assert_false(http_hint_is((struct bytes){tls, sizeof(tls)}));
    assert_false(http_hint_is(bytes_of("PROXY TCP4")));
    assert_false(http_hint_is(bytes_of("get / HTTP/1.1")));
    assert_false(http_hint_is(bytes_of(" GET")));
    assert_false(http_hint_is((struct bytes){NULL, 0}));
}

/* coturn's acme-redirect: the token is put behind the URL. */
static void answer__redirects_challenges(void **state)
{
    (void)state;
    assert_answer("GET " CHALLENGE "To-ken_09.~z HTTP/1.1\r\nHost: x\r\n\r\n", redirect,
                  "HTTP/1.1 301 Moved Permanently\r\nContent-Length: 0\r\nConnection: close\r\n",
                  "\r\nLocation: http://acme.example/.well-known/acme-challenge/To-ken_09.~z\r\n"
                  "\r\n");
    assert_answer("HEAD " CHALLENGE "a/b HTTP/1.0\n", redirect, "HTTP/1.1 301 ", "/a/b\r\n");
}

static void answer__explains_itself_to_others(void **state)
{
    static const char *const requests[] = {
        "GET / HTTP/1.1\r\n",
        "GET " CHALLENGE " HTTP/1.1\r\n", /* no token */
        "GET " CHALLENGE "a%0d%0aSet-Cookie:x HTTP/1.1\r\n",
        "GET " CHALLENGE "a?b HTTP/1.1\r\n",
        "GET " CHALLENGE "a\rb HTTP/1.1\r\n",
        "GET " CHALLENGE "a\x80 HTTP/1.1\r\n",
        "GET " CHALLENGE "token\r\n",
        "GET " CHALLENGE "token HTTP/2\r\n",
        "GET  " CHALLENGE "token HTTP/1.1\r\n",
        "GET x" CHALLENGE "token HTTP/1.1\r\n",
        "POST " CHALLENGE "token HTTP/1.1\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\n",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        assert_answer(requests[i], redirect, "HTTP/1.1 400 Bad Request\r\n", "TURN server");
    }
    assert_answer("GET " CHALLENGE "token HTTP/1.1\r\n", NULL, "HTTP/1.1 400 ", "TURN server");
    assert_answer("GET " CHALLENGE "token HTTP/1.1\r\n", "", "HTTP/1.1 400 ", "TURN server");
}

static void answer__says_how_long_it_is(void **state)
{
    char out[HTTP_HINT_ANSWER_MAX];
    char said[64];

    (void)state;
    const int len = answer("GET / HTTP/1.1\r\n", 16, NULL, out);
    assert_true(len > 0);
    const char *body = strstr(out, "\r\n\r\n");
    assert_non_null(body);
    (void)snprintf(said, sizeof(said), "\r\nContent-Length: %zu\r\n", strlen(body + 4));
    assert_non_null(strstr(out, said));
    const int head = answer("HEAD / HTTP/1.1\r\n", 17, NULL, out);
    assert_int_equal(head, len - (int)strlen("This is a TURN server. It speaks STUN and TURN, not "
                                             "HTTP.\n"));
    assert_non_null(strstr(out, said)); /* what GET would have got */
    assert_string_equal(out + head - 4, "\r\n\r\n");
}

static void answer__waits_for_the_end_of_the_line(void **state)
{
    static const char request[] = "GET " CHALLENGE "token HTTP/1.1\r\n";
    char out[HTTP_HINT_ANSWER_MAX];

    (void)state;
    for (size_t n = 0; n < sizeof(request) - 1; n++) {
        assert_int_equal(answer(request, n, redirect, out), -EAGAIN);
    }
    assert_true(answer(request, sizeof(request) - 1, redirect, out) > 0);
}

/* Nobody is waited for beyond 1,024 bytes, and what lies behind them is not looked at. */
static void answer__comes_when_the_line_is_too_long(void **state)
{
    char request[1100];
    char out[HTTP_HINT_ANSWER_MAX];

    (void)state;
    memset(request, 'a', sizeof(request));
    memcpy(request, "GET " CHALLENGE, 4 + strlen(CHALLENGE));
    memcpy(request + 1050, " HTTP/1.1\r\n", 11);
    assert_int_equal(answer(request, 1023, redirect, out), -EAGAIN);
    assert_true(answer(request, 1024, redirect, out) > 0);
    assert_memory_equal(out, "HTTP/1.1 400", 12);
    assert_true(answer(request, sizeof(request), redirect, out) > 0);
    assert_memory_equal(out, "HTTP/1.1 400", 12);
}

static void answer__fits_or_is_refused(void **state)
{
    char longest[1024];
    char request[1025];
    char out[HTTP_HINT_ANSWER_MAX];

    (void)state;
    memset(longest, 'u', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    const int request_len =
        snprintf(request, sizeof(request), "GET " CHALLENGE "%0981d HTTP/1.1\r\n", 0);
    assert_int_equal(request_len, 1024);
    const int len = answer(request, 1024, longest, out);
    assert_true(len > 2000);
    assert_memory_equal(out, "HTTP/1.1 301", 12);
    const struct bytes in = {(const uint8_t *)request, 1024};
    for (int cap = 0; cap <= len; cap++) {
        char *exact = malloc((size_t)cap > 0 ? (size_t)cap : 1);
        assert_non_null(exact);
        assert_int_equal(http_hint_answer(in, longest, exact, (size_t)cap), -ENOBUFS);
        free(exact);
    }
    assert_int_equal(http_hint_answer(in, longest, out, (size_t)len + 1), len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is__knows_each_method_from_its_first_byte),
        cmocka_unit_test(is__leaves_other_protocols_alone),
        cmocka_unit_test(answer__redirects_challenges),
        cmocka_unit_test(answer__explains_itself_to_others),
        cmocka_unit_test(answer__says_how_long_it_is),
        cmocka_unit_test(answer__waits_for_the_end_of_the_line),
        cmocka_unit_test(answer__comes_when_the_line_is_too_long),
        cmocka_unit_test(answer__fits_or_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

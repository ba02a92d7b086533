/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target of http_hint_is() and http_hint_answer().
 *
 * Input: the first bytes of a connection. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "wire/http_hint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char redirect[] = "http://acme.example/";

static size_t times_in(const char *text, const char *part)
{
    size_t n = 0;

    for (text = strstr(text, part); text != NULL; text = strstr(text + 1, part)) {
        n++;
    }
    return n;
}

/* One head, well formed whatever was asked: nothing of the request ends a line or adds one. */
static void check_answer(const char *out, size_t len, bool may_redirect)
{
    const bool moved = strncmp(out, "HTTP/1.1 301 ", 13) == 0;

    assert(strlen(out) == len);
    assert(moved || strncmp(out, "HTTP/1.1 400 ", 13) == 0);
    assert(may_redirect || !moved);
    assert(times_in(out, "\r") == 5 && times_in(out, "\r\n\r\n") == 1);
    assert(times_in(out, "\nLocation: ") == (moved ? 1 : 0));
    for (const char *c = out; *c != '\0'; c++) {
        assert(*c == '\r' || *c == '\n' || (*c >= 0x20 && *c < 0x7F));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct bytes in = {data, size};
    char out[HTTP_HINT_ANSWER_MAX];

    const bool is = http_hint_is(in);
    assert(!is || http_hint_is((struct bytes){data, 1}));
    for (int i = 0; i < 2; i++) {
        const char *to = i == 0 ? NULL : redirect;
        const int len = http_hint_answer(in, to, out, sizeof(out));
        if (len < 0) {
            assert(len == -EAGAIN && size < 1024);
            return 0;
        }
        check_answer(out, (size_t)len, to != NULL);
        assert(http_hint_answer(in, to, out, (size_t)len) == -ENOBUFS);
    }
    return 0;
}

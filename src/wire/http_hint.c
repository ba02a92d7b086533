/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/http_hint.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

enum { LINE_MAX_BYTES = 1024 }; /* a longer request line is answered without being read */

static const char challenge_path[] = "/.well-known/acme-challenge/";

static const char explanation[] = "This is a TURN server. It speaks STUN and TURN, not HTTP.\n";

static const char refusal[] = "HTTP/1.1 400 Bad Request\r\n"
                              "Content-Type: text/plain; charset=us-ascii\r\n"
                              "Content-Length: 58\r\n"
                              "Connection: close\r\n"
                              "\r\n";

_Static_assert(sizeof(explanation) - 1 == 58, "as Content-Length says");

static const char moved[] = "HTTP/1.1 301 Moved Permanently\r\n"
                            "Content-Length: 0\r\n"
                            "Connection: close\r\n"
                            "Location: ";

bool http_hint_is(struct bytes in)
{
    static const char *const methods[] = {
        "GET ",     "POST ",  "HEAD ",    "PUT ",   "DELETE ",
        "OPTIONS ", "PATCH ", "CONNECT ", "TRACE ", "PRI ",
    };

    for (size_t i = 0; in.n > 0 && i < sizeof(methods) / sizeof(methods[0]); i++) {
        const size_t n = strlen(methods[i]);
        if (memcmp(in.p, methods[i], in.n < n ? in.n : n) == 0) {
            return true;
        }
    }
    return false;
}

/* Step `rest` over `text`; false, and no step, when it begins otherwise. */
static bool skip(struct bytes *rest, const char *text)
{
    struct bytes want = bytes_of(text);
    struct bytes start;
    struct bytes after = *rest;

    if (bytes_take(&after, want.n, &start) < 0 || !bytes_equal(start, want)) {
        return false;
    }
    *rest = after;
    return true;
}

/* RFC 3986 section 2.3, and the slash. */
static bool harmless(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~/", c) != NULL);
}

/* The part of the request line `line` behind the path of ACME challenges (RFC 8555 section 8.3), or
 * nothing when it asks for anything else. */
static struct bytes challenge_of(struct bytes line)
{
    struct bytes rest = line;
    size_t n = 0;

    if ((!skip(&rest, "GET ") && !skip(&rest, "HEAD ")) || !skip(&rest, challenge_path)) {
        return (struct bytes){NULL, 0};
    }
    while (n < rest.n && harmless(rest.p[n])) {
        n++;
    }
    const struct bytes token = {rest.p, n};
    rest = (struct bytes){rest.p + n, rest.n - n};
    return skip(&rest, " HTTP/1.") ? token : (struct bytes){NULL, 0};
}

static void write_text(struct writer *w, const char *text)
{
    writer_bytes(w, bytes_of(text));
}

/* The request line, as far as it is looked at, without its end: 0; -EAGAIN: its end has not come.
 * Of one that is too long nothing is looked at. */
static int request_line(struct bytes in, struct bytes *out)
{
    for (size_t i = 0; i < in.n && i < LINE_MAX_BYTES; i++) {
        if (in.p[i] == '\n') {
            *out = (struct bytes){in.p, i};
            return 0;
        }
    }
    *out = (struct bytes){in.p, 0};
    return in.n < LINE_MAX_BYTES ? -EAGAIN : 0;
}

int http_hint_answer(struct bytes in, const char *redirect, char *out, size_t cap)
{
    struct bytes line;
    struct writer w = writer_over((uint8_t *)out, cap);
    struct bytes start = in;

    if (request_line(in, &line) < 0) {
        return -EAGAIN;
    }
    const struct bytes token = challenge_of(line);
    if (redirect != NULL && redirect[0] != '\0' && token.n > 0) {
        write_text(&w, moved);
        write_text(&w, redirect);
        writer_bytes(&w, token);
        write_text(&w, "\r\n\r\n");
    } else {
        write_text(&w, refusal);
        write_text(&w, skip(&start, "HEAD ") ? "" : explanation); /* RFC 9110 section 9.3.2 */
    }
    writer_u8(&w, '\0');
    return w.full ? -ENOBUFS : (int)w.len - 1;
}

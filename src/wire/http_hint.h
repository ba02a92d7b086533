/* SPDX-License-Identifier: Apache-2.0 */
/* A browser or an ACME validator on the TURN port: told apart from STUN by its first bytes, and
 * answered with one plain response.  This is no HTTP server: nothing of the request is interpreted
 * but its method and path.
 *
 * Pure; any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/bytes.h"

/* Room for any answer with a `redirect` of at most 1,023 bytes. */
enum { HTTP_HINT_ANSWER_MAX = 2304 };

/* True when `in` (1 byte or more) may be the start of an HTTP/1 request line ("GET ", "POST ",
 * "HEAD ", "PUT ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE ", "PRI " of HTTP/2). */
bool http_hint_is(struct bytes in);

/* The response to what has come so far, written as text to `out`, with a NUL behind it: 301 when
 * `redirect` is neither NULL nor empty and GET or HEAD asks for /.well-known/acme-challenge/TOKEN,
 * where TOKEN is at least one character and holds nothing but unreserved characters and '/': the
 * new place is `redirect` with TOKEN behind it, as for coturn's option acme-redirect.  Else 400
 * with a line that says that this is a TURN server.  The connection is to be closed behind it.
 * Returns its length without the NUL; -EAGAIN: the request line is not complete yet (and shorter
 * than 1,024 bytes); -ENOBUFS (what `out` holds then means nothing). */
MUST_USE int http_hint_answer(struct bytes in, const char *redirect, char *out, size_t cap);

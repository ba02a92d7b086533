/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of any origin made harmless for a line of text.
 *
 * Owner   the caller owns the writer.
 * Thread  any; no state. */
#pragma once

#include <stddef.h>

#include "base/bytes.h"

/* The longest that `n` bytes can become. */
#define ESCAPE_MAX(n) (4 * (n))

/* Write `data` so that it is printable UTF-8 on one line and holds no bare quote: `"` and `\` get a
 * backslash; each byte of a control character, of a line separator, of a character that turns the
 * direction of writing, and of what is not UTF-8, becomes \xHH. */
void escape_text(struct writer *out, struct bytes data);

/* Write `data` with nothing changed but bytes that are not UTF-8, which become \xHH. */
void escape_not_utf8(struct writer *out, struct bytes data);

/* The size of the UTF-8 character that `data` begins with, 1 to 4, and its number in `*out_char`;
 * 0 when it begins with no valid one (RFC 3629 section 4). */
size_t escape_utf8(struct bytes data, uint32_t *out_char);

/* `data` without the first bytes of a character that its end cuts off. */
struct bytes escape_whole(struct bytes data);

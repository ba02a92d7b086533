/* SPDX-License-Identifier: Apache-2.0 */
/* Origins of web pages (RFC 6454) in one spelling, so that they can be compared as bytes.
 *
 *     HTTPS://Example.org/page  ->  https://example.org:443
 *
 * The scheme and the host in small letters, and the port, that of the scheme when none is said:
 * coturn's spelling, in which its tables hold them.  What names no host ("null") stays as it is.
 *
 * Owner   nobody.  Thread  any; pure. */
#pragma once

#include <stddef.h>

#include "base/attr.h"
#include "base/bytes.h"

enum { ORIGIN_TEXT_MAX = 127 }; /* characters of one that may be known, in coturn's tables, too */

/* Write `text` in that spelling, and a NUL, into `out` of `cap` bytes.  Its length; -EBADMSG when
 * `text` is empty or has a NUL in it; -ENOBUFS when it does not fit.  `out` is undefined then. */
MUST_USE int origin_spell(struct bytes text, char *out, size_t cap);

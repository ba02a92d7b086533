/* SPDX-License-Identifier: Apache-2.0 */
/* Preparation of user names, realms and passwords: OpaqueString (RFC 8265 section 4.2) and its
 * predecessor SASLprep (RFC 4013), through ICU.
 *
 * Without ICU (build option precis=disabled) only ASCII is taken.  Thread: any. */
#pragma once

#include <stddef.h>

#include "base/attr.h"
#include "base/bytes.h"

/* Prepare `in` (UTF-8) into `out`, at most `cap` bytes, NUL-terminated.
 * Returns the length without the NUL; -EBADMSG for bytes that are no UTF-8, for the empty string or
 * for a character that the profile disallows; -ENOBUFS when it does not fit. */
MUST_USE int precis_opaque_string(struct bytes in, char *out, size_t cap);
MUST_USE int precis_saslprep(struct bytes in, char *out, size_t cap);

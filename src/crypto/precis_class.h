/* SPDX-License-Identifier: Apache-2.0 */
/* FreeformClass: the code points that PRECIS lets stand in passwords (RFC 8264 section 4.3).
 *
 * Owner   nobody.  Thread  any.  Built with ICU only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <unicode/utypes.h>

/* True when each of the `n` code points at `text` is allowed where it stands. */
bool precis_class_freeform(const UChar32 *text, int32_t n);

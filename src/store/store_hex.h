/* SPDX-License-Identifier: Apache-2.0 */
/* Keys as databases hold them: hexadecimal digits, in an exact number.
 *
 * Owner   nobody; plain values.  Thread  any. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"

/* Write 2 * n lower-case digits and a NUL to `out`. */
void store_hex_encode(const uint8_t *in, size_t n, char *out);

/* Read exactly 2 * n digits of either case.  0; -EBADMSG for any other length or character;
 * `out` is then undefined. */
MUST_USE int store_hex_decode(struct bytes text, uint8_t *out, size_t n);

/* SPDX-License-Identifier: Apache-2.0 */
/* From an intent to bytes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "intent.h"

/* A word for the trace. */
const char *message_name(enum intent_kind kind);

/* Write the message that `in` means; `nonce` is the text of the NONCE.  Returns its length;
 * `*out_end` is where the part ends that no change may survive (behind the integrity, or the end).
 */
size_t message_build(const struct intent *in, const char *nonce, uint8_t *out, size_t cap,
                     size_t *out_end);

/* SPDX-License-Identifier: Apache-2.0 */
/* SipHash-1-3: a keyed hash for tables whose keys strangers choose.
 *
 * The key keeps an attacker from aiming many addresses at one slot; it is not a message
 * authentication code, and nothing secret may rest on it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct hash_key {
    uint64_t k0;
    uint64_t k1;
};

/* The 64-bit SipHash-1-3 of `n` bytes at `p` under `key`.  Hot path. */
uint64_t hash_bytes(const struct hash_key *key, const void *p, size_t n);

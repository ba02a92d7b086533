/* SPDX-License-Identifier: Apache-2.0 */
/* What can be seen of DTLS records from outside, before anything is decrypted: where one ends, and
 * whom it may concern.
 *
 * Owner   nobody; views into a datagram.  Thread  any. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    DTLS_RECORD_HEAD = 13,
    DTLS_RECORD_BODY_MAX = 16384 + 2048, /* RFC 6347 section 4.1 */
    DTLS_RANDOM = 32,
};

enum dtls_record_type {
    DTLS_CHANGE_CIPHER_SPEC = 20,
    DTLS_ALERT = 21,
    DTLS_HANDSHAKE = 22,
    DTLS_APPLICATION = 23,
};

struct dtls_record {
    const uint8_t *data; /* header and body; borrowed */
    uint32_t len;
    uint8_t type; /* enum dtls_record_type */
    uint16_t epoch;
};

/* The first record of the `n` bytes at `data`.  False, `*out` unchanged, when they do not begin
 * with a whole record of DTLS 1.0 or 1.2 of a known type. */
bool dtls_record_next(const uint8_t *data, uint32_t n, struct dtls_record *out);

/* The random (DTLS_RANDOM bytes) of the ClientHello that begins in an unencrypted record; NULL when
 * none does. */
const uint8_t *dtls_record_client_random(const struct dtls_record *r);

/* True when an unencrypted record can belong to a handshake that has begun, is whole in itself, and
 * makes nobody keep more than a few messages of `message_max` bytes for it. */
bool dtls_record_fits_handshake(const struct dtls_record *r, uint32_t message_max);

/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL on packets instead of sockets: a BIO that reads the one record lent to a wire and writes
 * to the send hook. */
#pragma once

#include <openssl/types.h>

#include "base/attr.h"

struct dtls_wire;

/* A BIO on `wire` (borrowed), or NULL without memory. */
MUST_USE BIO *dtls_bio_new(struct dtls_wire *wire);

/* What the BIO of `ssl` works on, and a change of it. */
struct dtls_wire *dtls_bio_wire(const SSL *ssl);
void dtls_bio_move(SSL *ssl, struct dtls_wire *wire);

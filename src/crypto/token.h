/* SPDX-License-Identifier: Apache-2.0 */
/* Self-contained access tokens of third parties (RFC 7635 section 6.2):
 *
 *     struct {
 *         uint16_t nonce_length;                 12 for GCM (RFC 5116 section 5.1)
 *         opaque nonce[nonce_length];
 *         opaque {
 *             uint16_t key_length;
 *             opaque mac_key[key_length];        keys MESSAGE-INTEGRITY as it is
 *             uint64_t timestamp;                48 bits of Unix seconds, 16 of 1/64000 s
 *             uint32_t lifetime;                 seconds
 *         } encrypted_block;                     AES-GCM, the 16 bytes of tag at the end
 *     } token;                                   all big-endian
 *
 * The associated data is the server's name: a token for one server opens at no other.
 *
 * Owner   a struct token_box belongs to one thread: it holds fetched ciphers and a context, so that
 *         a token on the request path takes no memory.  The rest are plain values; keys and opened
 *         tokens are secrets: wipe them.
 * Thread  that thread; the functions without a box may run anywhere.
 * Clock   none: times are data here. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"

enum {
    TOKEN_NONCE_LEN = 12,
    TOKEN_TAG_LEN = 16,
    TOKEN_KEY_MAX = 32,
    TOKEN_MAC_LEAST = 16, /* octets of a mac_key that we take; RFC 7635 says 20 */
    TOKEN_MAC_MAX = 64,
    TOKEN_LEN_MAX = 2 + TOKEN_NONCE_LEN + 2 + TOKEN_MAC_MAX + 8 + 4 + TOKEN_TAG_LEN,
    TOKEN_FRACTION = 64000, /* of a second: the unit of the last 16 bits of a timestamp */
};

enum token_algorithm { TOKEN_A256GCM, TOKEN_A128GCM };

/* K, which the authorization server shares with us. */
struct token_key {
    enum token_algorithm algorithm;
    uint8_t bytes[TOKEN_KEY_MAX]; /* of A128GCM the first 16 */
};

struct token {
    uint16_t mac_len;
    uint8_t mac[TOKEN_MAC_MAX];
    uint64_t timestamp; /* as it is in the token */
    uint32_t lifetime_s;
};

/* How many bytes of key an algorithm takes. */
size_t token_key_len(enum token_algorithm algorithm);

/* "A256GCM" or "A128GCM" in letters of either case; "" is A256GCM, as in coturn.  0 or -EINVAL. */
MUST_USE int token_algorithm_parse(struct bytes name, enum token_algorithm *out);
const char *token_algorithm_name(enum token_algorithm algorithm);

/* Make a key of input keying material: its first bytes, with zeros behind them when there are
 * too few, as coturn's turnutils_oauth and server do.  0; -EINVAL when `ikm` is empty. */
MUST_USE int token_key_make(struct bytes ikm, enum token_algorithm algorithm,
                            struct token_key *out);

struct token_box;

/* Fetch the ciphers.  NULL without memory or when the provider has none of them. */
MUST_USE struct token_box *token_box_new(void);
void token_box_free(struct token_box *box); /* NULL is allowed */

/* Open a token.  0; -EBADMSG it is malformed, or was not made with this key for this server;
 * -EIO libcrypto failed.  Nothing is read beyond `sealed`.  Hot path. */
MUST_USE int token_open(struct token_box *box, const struct token_key *key,
                        struct bytes server_name, struct bytes sealed, struct token *out);

/* Seal a token with that nonce, which no other token of this key may have.  Its length; -EINVAL
 * for a mac_key shorter or longer than what we take; -EIO. */
struct token_seal {
    const struct token_key *key;
    struct bytes server_name;
    const struct token *token;
    const uint8_t *nonce; /* TOKEN_NONCE_LEN bytes */
};

MUST_USE int token_seal(struct token_box *box, const struct token_seal *in,
                        uint8_t out[TOKEN_LEN_MAX]);

/* The whole seconds since 1970 in a timestamp, and back. */
static inline uint64_t token_seconds(uint64_t timestamp)
{
    return timestamp >> 16;
}

static inline uint64_t token_timestamp(uint64_t seconds)
{
    return seconds << 16;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Stateless nonces: whoever shows one again received it at his address, not long ago.
 *
 *   "obMatJos2" | features, 4 characters | base64 of: time 4, salt 4, offer 1, MAC 12 bytes
 *
 * The MAC is HMAC-SHA-256 under a server key, cut to 96 bits, over all that stands before it and
 * the client's transport address.  The nonce cookie and its feature bits (RFC 8489 section 9.2,
 * most significant bit first) thereby cannot be altered: bid-down protection. */
#include <string.h>

#include "crypto/base64.h"
#include "turn/turn_int.h"

enum {
    COOKIE_LEN = 9,
    FEATURES_LEN = 4,
    STAMP_LEN = 9, /* time, salt, offer */
    MAC_LEN = 12,
    SEALED_LEN = STAMP_LEN + MAC_LEN,
    CLOCK_SKEW_S = 60,
    EPOCH_BITS = 12,
    STALE_S = 3600 /* how long an expired nonce still proves the address it was issued to */
};

_Static_assert(TURN_NONCE_LEN == COOKIE_LEN + FEATURES_LEN + SEALED_LEN / 3 * 4,
               "the layout above");

static const char cookie[] = "obMatJos2";

/* base64 of the 24 feature bits: bit 0 password algorithms, bit 1 user name anonymity. */
static const char features[4][FEATURES_LEN + 1] = {"AAAA", "gAAA", "QAAA", "wAAA"};

/* The key of secret `i` in the epoch of `time_s`, from the cache or made anew.  0 or -EIO. */
static int epoch_key(struct turn_server *s, size_t i, uint32_t time_s, struct bytes *out)
{
    const uint32_t epoch = time_s >> EPOCH_BITS;
    struct turn_nonce_key *key = &s->nonce_keys[i][epoch & 1];

    if (!key->made || key->epoch != epoch) {
        uint8_t label[] = {'e', 'p', 'o', 'c', 'h', 0, 0, 0, 0};
        be32_put(label + 5, epoch);
        const struct bytes part = {label, sizeof(label)};
        const struct bytes secret = {s->config->nonce_keys[i], TURN_NONCE_KEY_LEN};
        const int err = crypto_hmac_sha256(s->mac, secret, &part, 1, key->key);
        key->made = err == 0;
        key->epoch = epoch;
        if (err < 0) {
            return err;
        }
    }
    *out = (struct bytes){key->key, sizeof(key->key)};
    return 0;
}

static int nonce_mac(struct turn_server *s, size_t i, const struct net_addr *client,
                     const uint8_t *nonce, const uint8_t *stamp, uint8_t out[CRYPTO_SHA256_LEN])
{
    const struct bytes parts[] = {
        {nonce, COOKIE_LEN + FEATURES_LEN},
        {stamp, STAMP_LEN},
        {(const uint8_t *)client, sizeof(*client)},
    };
    struct bytes key;
    const int err = epoch_key(s, i, be32(stamp), &key);

    return err < 0 ? err : crypto_hmac_sha256(s->mac, key, parts, ARRAY_SIZE(parts), out);
}

struct net_addr turn_nonce_client(const struct pkt *pkt)
{
    struct net_addr client = pkt->remote;

    if (net_is_stream(pkt->transport)) {
        client.port = 0;
    }
    return client;
}

int turn_nonce_make(struct turn_server *s, const struct turn_realm *realm,
                    const struct net_addr *client, uint8_t out[TURN_NONCE_LEN])
{
    const unsigned bits = 1U | (realm->username_anonymity ? 2U : 0U);
    uint8_t sealed[SEALED_LEN];
    uint8_t mac[CRYPTO_SHA256_LEN];

    be32_put(sealed, (uint32_t)s->wall_s);
    /* RFC 8656 section 5: a new random nonce whenever an allocation is first attempted. */
    s->fx.random_fill(s->fx.arg, sealed + 4, 4);
    sealed[8] = (uint8_t)realm->algorithms;

    memcpy(out, cookie, COOKIE_LEN);
    memcpy(out + COOKIE_LEN, features[bits], FEATURES_LEN);
    const int err = nonce_mac(s, 0, client, out, sealed, mac);
    if (err < 0) {
        return err;
    }
    memcpy(sealed + STAMP_LEN, mac, MAC_LEN);
    crypto_base64_encode(sealed, SEALED_LEN, out + COOKIE_LEN + FEATURES_LEN);
    return 0;
}

bool turn_nonce_offers_algorithms(struct bytes nonce)
{
    if (nonce.n < COOKIE_LEN + FEATURES_LEN || memcmp(nonce.p, cookie, COOKIE_LEN) != 0) {
        return false;
    }
    const uint8_t *bits = nonce.p + COOKIE_LEN;
    return memcmp(bits, features[1], FEATURES_LEN) == 0 ||
           memcmp(bits, features[3], FEATURES_LEN) == 0;
}

int turn_nonce_check(struct turn_server *s, const struct net_addr *client, struct bytes nonce,
                     enum turn_algorithms *out_algorithms)
{
    uint8_t stamp[SEALED_LEN]; /* and the MAC behind it */
    uint8_t expected[CRYPTO_SHA256_LEN];
    bool authentic = false;

    if (nonce.n != TURN_NONCE_LEN ||
        !crypto_base64_decode(nonce.p + COOKIE_LEN + FEATURES_LEN, SEALED_LEN, stamp) ||
        stamp[8] > TURN_ALG_SHA256) {
        return TURN_NONCE_FORGED;
    }
    /* Seconds wrap in 2106: the difference is what counts.  A fleet's clocks may differ a little.
     * What cannot be a recent nonce is not worth a key. */
    const int64_t age_s = (int32_t)((uint32_t)s->wall_s - be32(stamp));
    if (age_s < -CLOCK_SKEW_S || age_s > (int64_t)s->config->nonce_s + STALE_S) {
        return TURN_NONCE_FORGED;
    }
    for (size_t i = 0; i < s->config->nonce_key_count && !authentic; i++) {
        const int err = nonce_mac(s, i, client, nonce.p, stamp, expected);
        if (err < 0) {
            return err;
        }
        authentic = crypto_equal(stamp + STAMP_LEN, expected, MAC_LEN);
    }
    if (!authentic) {
        return TURN_NONCE_FORGED;
    }
    *out_algorithms = (enum turn_algorithms)stamp[8];
    if (age_s >= (int64_t)s->config->nonce_s) {
        return TURN_NONCE_STALE;
    }
    return TURN_NONCE_VALID;
}

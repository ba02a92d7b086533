/* SPDX-License-Identifier: Apache-2.0 */
/* The MOBILITY-TICKET (RFC 8016 sections 3.3 and 5): sealed for the server alone, and stateless.
 *
 *   tag, 15 bytes | encrypted: session 8, serial 4, mark 4 | mask
 *
 * The tag is the HMAC-SHA-256 of the content, cut to 120 bits; the key stream is the HMAC of the
 * tag.  (The construction of RFC 5297, with a PRF that is there.)  Whoever has no key can neither
 * make, change nor read one, and the same content is always the same ticket, so that a Refresh that
 * comes again gets the same answer.
 *
 * The mask is the least byte, but 0, that is none of those before it, and is added to all of them
 * (exclusive or): so a ticket has no byte that is 0.  There are clients that keep theirs in a C
 * string of 32 characters (turnutils_uclient).  The key comes from the nonces' secrets: every
 * worker has it, and every server of a fleet that shares them. */
#include <errno.h>
#include <string.h>

#include "base/secret.h"
#include "turn/turn_int.h"

enum { SEALED = TURN_TICKET_TAG + TURN_TICKET_PLAIN };

_Static_assert((int)TURN_TICKET_LEN == (int)SEALED + 1, "the layout above");
_Static_assert((int)TURN_TICKET_PLAIN <= (int)CRYPTO_SHA256_LEN, "one HMAC is the key stream");

/* The key of secret `i`, from the cache or made anew.  0 or -EIO. */
static int ticket_key(struct turn_server *s, size_t i, struct bytes *out)
{
    struct turn_ticket_key *key = &s->ticket_keys[i];

    if (!key->made) {
        const struct bytes label = bytes_of("mobility ticket");
        const struct bytes secret = {s->config->nonce_keys[i], TURN_NONCE_KEY_LEN};
        const int err = crypto_hmac_sha256(s->mac, secret, &label, 1, key->key);
        if (err < 0) {
            return err;
        }
        key->made = true;
    }
    *out = (struct bytes){key->key, sizeof(key->key)};
    return 0;
}

static int tag_of(struct turn_server *s, struct bytes key, const uint8_t *plain,
                  uint8_t out[CRYPTO_SHA256_LEN])
{
    const struct bytes parts[] = {bytes_of("tag"), {plain, TURN_TICKET_PLAIN}};

    return crypto_hmac_sha256(s->mac, key, parts, ARRAY_SIZE(parts), out);
}

/* Encrypt, or decrypt, the content that belongs to `tag`. */
static int crypt(struct turn_server *s, struct bytes key, const uint8_t *tag, const uint8_t *in,
                 uint8_t *out)
{
    const struct bytes parts[] = {bytes_of("key"), {tag, TURN_TICKET_TAG}};
    uint8_t stream[CRYPTO_SHA256_LEN];
    const int err = crypto_hmac_sha256(s->mac, key, parts, ARRAY_SIZE(parts), stream);
    if (err < 0) {
        return err;
    }
    for (size_t i = 0; i < TURN_TICKET_PLAIN; i++) {
        out[i] = in[i] ^ stream[i];
    }
    secret_wipe(stream, sizeof(stream));
    return 0;
}

int turn_ticket_mark(struct turn_server *s, const struct turn_alloc *alloc, uint32_t *out_mark)
{
    const struct bytes tid = {alloc->tid, STUN_TID};
    const struct bytes user = turn_alloc_user(alloc);
    uint8_t mac[CRYPTO_SHA256_LEN];
    const int err = crypto_hmac_sha256(s->mac, tid, &user, 1, mac);
    if (err < 0) {
        return err;
    }
    *out_mark = be32(mac);
    return 0;
}

/* The mask of `sealed`: there are fewer bytes in it than a byte has values. */
static uint8_t mask_of(const uint8_t sealed[SEALED])
{
    uint8_t mask = 1;

    while (memchr(sealed, mask, SEALED) != NULL) {
        mask++;
    }
    return mask;
}

int turn_ticket_seal(struct turn_server *s, const struct turn_ticket_content *content,
                     uint8_t out[TURN_TICKET_LEN])
{
    uint8_t plain[TURN_TICKET_PLAIN];
    uint8_t tag[CRYPTO_SHA256_LEN];
    uint8_t sealed[SEALED];
    struct bytes key;

    be64_put(plain, content->session);
    be32_put(plain + 8, content->serial);
    be32_put(plain + 12, content->mark);
    int err = ticket_key(s, 0, &key);
    err = err < 0 ? err : tag_of(s, key, plain, tag);
    if (err < 0) {
        return err;
    }
    memcpy(sealed, tag, TURN_TICKET_TAG);
    err = crypt(s, key, tag, plain, sealed + TURN_TICKET_TAG);
    if (err < 0) {
        return err;
    }
    const uint8_t mask = mask_of(sealed);
    for (size_t i = 0; i < SEALED; i++) {
        out[i] = sealed[i] ^ mask;
    }
    out[SEALED] = mask;
    return 0;
}

/* Try secret `i`.  0 with the content; -EBADMSG; -EIO. */
static int open_with(struct turn_server *s, size_t i, const uint8_t *sealed,
                     uint8_t plain[TURN_TICKET_PLAIN])
{
    uint8_t tag[CRYPTO_SHA256_LEN];
    struct bytes key;
    int err = ticket_key(s, i, &key);

    err = err < 0 ? err : crypt(s, key, sealed, sealed + TURN_TICKET_TAG, plain);
    err = err < 0 ? err : tag_of(s, key, plain, tag);
    if (err < 0) {
        return err;
    }
    return crypto_equal(tag, sealed, TURN_TICKET_TAG) ? 0 : -EBADMSG;
}

int turn_ticket_open(struct turn_server *s, struct bytes ticket, struct turn_ticket_content *out)
{
    uint8_t plain[TURN_TICKET_PLAIN];
    uint8_t sealed[SEALED];
    int err = -EBADMSG;

    if (ticket.n != TURN_TICKET_LEN) {
        return -EBADMSG;
    }
    for (size_t i = 0; i < SEALED; i++) {
        sealed[i] = ticket.p[i] ^ ticket.p[SEALED];
    }
    if (ticket.p[SEALED] != mask_of(sealed)) { /* a content has one ticket */
        return -EBADMSG;
    }
    for (size_t i = 0; i < s->config->nonce_key_count && err == -EBADMSG; i++) {
        err = open_with(s, i, sealed, plain);
    }
    if (err < 0) {
        return err;
    }
    *out = (struct turn_ticket_content){be64(plain), be32(plain + 8), be32(plain + 12)};
    return 0;
}

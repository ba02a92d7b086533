/* SPDX-License-Identifier: Apache-2.0 */
/* The long-term credential mechanism as a server (RFC 8489 section 9.2.4), in the RFC's order:
 *
 *   no integrity -> 401; a missing attribute -> 400; inconsistent password algorithms -> 400;
 *   unknown user -> 401; wrong integrity -> 401; NONCE not valid -> 438.
 *
 * One exception: a NONCE that this server never issued to this address is answered with 438 before
 * anything is looked up (docs/decisions/0005). */
#include "crypto/longterm.h"

#include <errno.h>
#include <string.h>

#include "turn/turn_int.h"

enum { ALGORITHM_MD5 = 0x0001, ALGORITHM_SHA256 = 0x0002 };

static const uint8_t offer_both[] = {0, ALGORITHM_SHA256, 0, 0, 0, ALGORITHM_MD5, 0, 0};
static const uint8_t offer_md5[] = {0, ALGORITHM_MD5, 0, 0};
static const uint8_t offer_sha256[] = {0, ALGORITHM_SHA256, 0, 0};

struct bytes turn_algorithm_list(enum turn_algorithms algorithms)
{
    switch (algorithms) {
    case TURN_ALG_MD5:
        return (struct bytes){offer_md5, sizeof(offer_md5)};
    case TURN_ALG_SHA256:
        return (struct bytes){offer_sha256, sizeof(offer_sha256)};
    case TURN_ALG_SHA256_MD5:
    default:
        return (struct bytes){offer_both, sizeof(offer_both)};
    }
}

/* Is what the client says about password algorithms consistent with what `offered` it?  Sets
 * `*out_algorithm` and returns STUN_OK, or STUN_BAD_REQUEST. */
static enum stun_code judge_algorithms(const struct turn_req *req, enum turn_algorithms offered,
                                       uint16_t *out_algorithm)
{
    const uint32_t both = HAS_PASSWORD_ALGORITHM | HAS_PASSWORD_ALGORITHMS;
    const uint32_t sent = (req->has | req->bad) & both;

    *out_algorithm = ALGORITHM_MD5;
    if (!turn_nonce_offers_algorithms(req->nonce) || sent == 0) {
        return STUN_OK; /* RFC 8489 section 9.2.4: as though it had said MD5 */
    }
    if ((req->has & both) != both) {
        return STUN_BAD_REQUEST;
    }
    if (!bytes_equal(req->password_algorithms, turn_algorithm_list(offered))) {
        return STUN_BAD_REQUEST;
    }
    const bool known = (req->password_algorithm == ALGORITHM_MD5 && offered != TURN_ALG_SHA256) ||
                       (req->password_algorithm == ALGORITHM_SHA256 && offered != TURN_ALG_MD5);
    if (!known || req->password_algorithm_params) {
        return STUN_BAD_REQUEST;
    }
    *out_algorithm = req->password_algorithm;
    return STUN_OK;
}

static struct bytes key_for(const struct credential_key *key, uint16_t algorithm)
{
    if (key->mac_len > 0) {
        return (struct bytes){key->mac, key->mac_len};
    }
    if (algorithm == ALGORITHM_SHA256) {
        return (struct bytes){key->sha256, key->has_sha256 ? sizeof(key->sha256) : 0};
    }
    return (struct bytes){key->md5, key->has_md5 ? sizeof(key->md5) : 0};
}

/* 0 when `key` proves the request; -EPERM; -EIO.  MESSAGE-INTEGRITY-SHA256 alone counts when it is
 * there; TURN takes no truncated one. */
static int check_integrity(const struct turn_call *call, struct bytes key)
{
    const struct turn_req *req = call->req;

    if (key.n == 0) {
        return -EPERM;
    }
    if (((req->has | req->bad) & HAS_MI256) != 0) {
        return req->mi256.n == STUN_MI256_LEN
                   ? stun_msg_check_mi(call->server->mac, &req->msg, req->mi256, key)
                   : -EPERM;
    }
    return (req->has & HAS_MI) != 0 ? stun_msg_check_mi(call->server->mac, &req->msg, req->mi, key)
                                    : -EPERM;
}

/* Does the USERHASH, if there is one, denote the user called `name`? */
static bool userhash_denotes(const struct turn_call *call, struct bytes name)
{
    uint8_t hash[CRYPTO_SHA256_LEN];

    if ((call->req->has & HAS_USERHASH) == 0) {
        return true;
    }
    return crypto_longterm_userhash(name, bytes_of(call->realm->name), hash) == 0 &&
           crypto_equal(hash, call->req->userhash.p, sizeof(hash));
}

/* The allocation whose own key may prove the request: of its 5-tuple, or of the connection that a
 * ConnectionBind names (RFC 6062 section 4.3: the control connection's credentials). */
static const struct turn_alloc *own_alloc(const struct turn_call *call)
{
    return call->conn != NULL ? call->conn->alloc : call->alloc;
}

static bool names_user_of(const struct turn_call *call, const struct turn_alloc *alloc)
{
    const struct bytes user = turn_alloc_user(alloc);

    if (alloc->key.mac_len > 0) {
        return true; /* a mac_key is its own proof; the kid only tells what opens the next token */
    }
    if ((call->req->has & HAS_USERNAME) != 0 && !bytes_equal(call->req->username, user)) {
        return false;
    }
    return userhash_denotes(call, user);
}

/* Whole seconds until then, at least one; 0 when there is no such time. */
static uint32_t seconds_left(uint64_t until_ms, uint64_t now_ms)
{
    if (until_ms == 0) {
        return 0;
    }
    const uint64_t left_s = (until_ms - now_ms) / 1000;
    return left_s > 0 ? (uint32_t)left_s : 1;
}

void turn_take_user(struct turn_call *call, const struct turn_alloc *alloc)
{
    const struct turn_name *user = alloc->user;

    call->user_key = alloc->key;
    call->found.name_len = user->len;
    call->found.quota_from = user->quota_from;
    call->found.quota_len = user->quota_len;
    memcpy(call->found.name, user->bytes, turn_name_bytes(user));
}

/* Try the key that made the allocation: what it proves needs no look-up, and an established session
 * outlives its credentials and the database. */
static int try_allocation(struct turn_call *call, uint16_t algorithm)
{
    const struct turn_alloc *alloc = own_alloc(call);

    if (alloc == NULL || alloc->user == NULL || !names_user_of(call, alloc)) {
        return -EPERM;
    }
    if (alloc->until_ms != 0 && alloc->until_ms <= call->now_ms) {
        return -EPERM; /* its token is too old: come with another */
    }
    const int err = check_integrity(call, key_for(&alloc->key, algorithm));
    if (err == 0) {
        turn_take_user(call, alloc);
        call->lifetime_cap_s = seconds_left(alloc->until_ms, call->now_ms);
    }
    return err;
}

/* Ask for the user's keys: first what is known without a slow look-up; that may be started once the
 * client has proven its address with a valid NONCE, and costs a token of its prefix. */
static int find_keys(struct turn_call *call, struct credential_query *query, bool valid)
{
    struct turn_server *s = call->server;
    const int err = s->fx.key_find(s->fx.arg, query, &call->found);

    if (err != -EBUSY || !valid ||
        (s->config->unauth_per_s > 0 &&
         !rate_take(s->lookups, &call->pkt->remote.ip, call->now_ms))) {
        return err;
    }
    query->proven = true;
    return s->fx.key_find(s->fx.arg, query, &call->found);
}

/* A credential may be of a realm of its own (the key of a token): then that is the session's. */
static bool take_realm(struct turn_call *call)
{
    const struct turn_server *s = call->server;
    const struct bytes name = {call->found.realm, call->found.realm_len};
    uint32_t id;

    if (name.n == 0) {
        return true;
    }
    if (turn_realm_find(s->config, name, &id) < 0 ||
        (own_alloc(call) != NULL && own_alloc(call)->realm != id)) {
        return false;
    }
    call->realm_id = id;
    call->realm = turn_realm_at(s->config, id);
    return true;
}

/* Find the user and try each key.  0; -EPERM (unknown, or wrong integrity); -EAGAIN; -EBUSY; -EIO.
 */
static int try_look_up(struct turn_call *call, uint16_t algorithm, bool valid)
{
    const struct turn_req *req = call->req;
    const bool token = (req->has & HAS_ACCESS_TOKEN) != 0;
    struct credential_query query = {
        .realm = bytes_of(call->realm->name),
        .token = token ? req->token : (struct bytes){NULL, 0},
        .client = &call->pkt->remote,
        .transport = (uint8_t)call->pkt->transport,
        .username = (req->has & HAS_USERNAME) != 0 ? req->username : (struct bytes){NULL, 0},
        .userhash = (req->has & HAS_USERHASH) != 0 ? req->userhash : (struct bytes){NULL, 0},
        .allocate = req->msg.method == STUN_ALLOCATE,
        .proven = false,
    };
    const int err = call->realm->gone ? -ENOENT : find_keys(call, &query, valid);
    if (err < 0) {
        return err == -ENOENT ? -EPERM : err;
    }
    if (!take_realm(call)) {
        return -EPERM;
    }
    if (!userhash_denotes(call, (struct bytes){call->found.name, call->found.name_len})) {
        return -EPERM; /* USERNAME and USERHASH of different users */
    }
    for (uint32_t i = 0; i < call->found.count; i++) {
        const int match = check_integrity(call, key_for(&call->found.key[i], algorithm));
        if (match != -EPERM) {
            call->user_key = call->found.key[i];
            call->lifetime_cap_s = call->found.lifetime_s;
            return match;
        }
    }
    return -EPERM;
}

/* What must be there once an integrity attribute is (RFC 8489 section 9.2.4). */
static bool is_complete(const struct turn_req *req)
{
    /* A token needs no REALM (RFC 7635 section 5, RFC 8656 section 21.1.6). */
    return (req->has & (HAS_USERNAME | HAS_USERHASH)) != 0 &&
           (req->has & (HAS_REALM | HAS_ACCESS_TOKEN)) != 0 && (req->has & HAS_NONCE) != 0 &&
           (req->bad & (HAS_USERNAME | HAS_USERHASH | HAS_REALM | HAS_NONCE)) == 0;
}

/* The user proved himself with a key that was looked up (the password may be a new one): from now
 * on it is this one that proves his session's requests without asking anybody. */
static void take_key(struct turn_call *call)
{
    struct turn_alloc *alloc = call->alloc;

    if (alloc != NULL && turn_is_owner(call, alloc)) {
        alloc->key = call->user_key;
        alloc->until_ms =
            call->lifetime_cap_s > 0 ? call->now_ms + (uint64_t)call->lifetime_cap_s * 1000 : 0;
    }
}

bool turn_is_owner(const struct turn_call *call, const struct turn_alloc *alloc)
{
    const struct bytes user = {call->found.name, call->found.name_len};
    const struct credential_key *key = &call->user_key;

    if (call->realm_id != alloc->realm || (key->mac_len > 0) != (alloc->key.mac_len > 0)) {
        return false;
    }
    if (key->mac_len == 0) {
        return bytes_equal(user, turn_alloc_user(alloc));
    }
    /* A kid is many people's, and changes when keys do (RFC 7635 section 9: the new token refreshes
     * what there is): on its own 5-tuple a client may come with a new token, from anywhere else it
     * is known by the one it had. */
    return (call->alloc == alloc && call->ticket == TURN_NO_TICKET) ||
           (key->mac_len == alloc->key.mac_len &&
            crypto_equal(key->mac, alloc->key.mac, key->mac_len));
}

bool turn_token_unknown(struct turn_call *call)
{
    if ((call->req->has & HAS_ACCESS_TOKEN) == 0 || call->server->config->third_party) {
        return false;
    }
    call->refused_attr = STUN_ACCESS_TOKEN;
    return true;
}

int turn_authenticate(struct turn_call *call)
{
    struct turn_server *s = call->server;
    const struct turn_req *req = call->req;
    const uint32_t integrity = HAS_MI | HAS_MI256;
    const struct turn_realm *realm = call->realm;
    enum turn_algorithms offered = realm->algorithms;
    uint16_t algorithm;

    if (((req->has | req->bad) & integrity) == 0) {
        return STUN_UNAUTHENTICATED;
    }
    if (!is_complete(req)) {
        return STUN_BAD_REQUEST;
    }
    const struct net_addr client = turn_nonce_client(call->pkt);
    const int nonce = turn_nonce_check(s, &client, req->nonce, &offered);
    if (nonce < 0) {
        return nonce;
    }
    /* A NONCE that is not ours, or is another address's, proves nothing and is not worth a look at
     * the credentials: no slow look-up, no HMAC, and no hint whether they are right. */
    if (nonce == TURN_NONCE_FORGED) {
        return STUN_STALE_NONCE;
    }
    call->proven = true;
    if (turn_token_unknown(call)) {
        return STUN_UNKNOWN_ATTRIBUTE; /* nothing else in it could prove anybody */
    }
    if (judge_algorithms(req, offered, &algorithm) != STUN_OK) {
        return STUN_BAD_REQUEST;
    }
    const bool legacy =
        ((req->has | req->bad) & (HAS_PASSWORD_ALGORITHM | HAS_PASSWORD_ALGORITHMS)) == 0;
    const bool token = (req->has & HAS_ACCESS_TOKEN) != 0;
    const bool by_mac_key = own_alloc(call) != NULL && own_alloc(call)->key.mac_len > 0;
    const bool realm_fits = bytes_equal(req->realm, bytes_of(realm->name));
    /* A mac_key is of no realm (RFC 8656 section 21.1.6) and of no password algorithm. */
    if (!(realm_fits || by_mac_key || (token && (req->has & HAS_REALM) == 0)) ||
        (algorithm == ALGORITHM_MD5 && realm->algorithms == TURN_ALG_SHA256 && !token &&
         !by_mac_key) ||
        ((req->has & HAS_USERHASH) != 0 && !realm->username_anonymity)) {
        return STUN_UNAUTHENTICATED;
    }
    /* A token is opened first: it may be a younger one with the mac_key that is known already. */
    int err = token ? -EPERM : try_allocation(call, algorithm);
    bool looked_up = err == -EPERM;
    if (looked_up) {
        err = try_look_up(call, algorithm, nonce == TURN_NONCE_VALID);
    }
    if (err == -EPERM && token) {
        looked_up = false;
        err = try_allocation(call, algorithm);
    }
    if (err == -EPERM) {
        return STUN_UNAUTHENTICATED;
    }
    if (err == -EBUSY && nonce == TURN_NONCE_STALE) {
        return STUN_STALE_NONCE; /* no slow look-up for it: come again with a valid one */
    }
    if (err < 0) {
        return err;
    }
    /* A transaction that already made the allocation is answered again whatever its NONCE's age. */
    if (nonce != TURN_NONCE_VALID && !(nonce == TURN_NONCE_STALE && call->retransmission)) {
        return STUN_STALE_NONCE;
    }
    if (looked_up) {
        take_key(call);
    }
    call->integrity = legacy ? TURN_MI : TURN_MI256;
    if (call->user_key.mac_len > 0) { /* RFC 7635 knows no password algorithm: as it was asked */
        call->integrity = (req->has & HAS_MI256) != 0 ? TURN_MI256 : TURN_MI;
    }
    call->key = key_for(&call->user_key, algorithm);
    return STUN_OK;
}

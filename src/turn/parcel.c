/* SPDX-License-Identifier: Apache-2.0 */
/* The session parcel: the one place that says what a session is made of.
 *
 *   version 5 | 5-tuple | session | mobility | age | tid | reservation | realm | origin | user |
 * key | until | 2 relays | buckets | traffic | permissions | channels
 *
 * Numbers are big-endian; times are milliseconds that are left (or have passed: age), but for the
 * buckets, nanoseconds that were idle. */
#include <errno.h>
#include <string.h>

#include "turn/turn_int.h"

enum { PARCEL_VERSION = 5, KEY_MD5 = 1, KEY_SHA256 = 2 };

/* --- reading: a bounded cursor with a sticky error ----------------------------------------------
 */

struct reader {
    struct bytes rest;
    bool bad;
};

static struct bytes take(struct reader *r, size_t n)
{
    struct bytes out = {NULL, 0};

    if (r->bad || bytes_take(&r->rest, n, &out) < 0) {
        r->bad = true;
    }
    return out;
}

static void take_into(struct reader *r, void *out, size_t n)
{
    const struct bytes b = take(r, n);

    if (r->bad) {
        memset(out, 0, n);
    } else {
        memcpy(out, b.p, n);
    }
}

static uint64_t take_number(struct reader *r, size_t n)
{
    const struct bytes b = take(r, n);
    uint64_t value = 0;

    for (size_t i = 0; i < b.n; i++) {
        value = value << 8 | b.p[i];
    }
    return value;
}

/* --- parts, written and read side by side -------------------------------------------------------
 */

static void put_addr(struct writer *w, const struct net_addr *addr)
{
    writer_u8(w, addr->family);
    writer_put(w, addr->ip.b, sizeof(addr->ip.b));
    writer_be32(w, addr->scope);
    writer_be16(w, addr->port);
}

static struct net_addr take_addr(struct reader *r)
{
    struct net_addr addr = {.zero = 0};

    addr.family = (uint8_t)take_number(r, 1);
    take_into(r, addr.ip.b, sizeof(addr.ip.b));
    addr.scope = (uint32_t)take_number(r, 4);
    addr.port = (uint16_t)take_number(r, 2);
    if (addr.family != NET_V4 && addr.family != NET_V6) {
        r->bad = true;
    }
    return addr;
}

static uint64_t left_ms(uint64_t expires_ms, uint64_t now_ms)
{
    return expires_ms > now_ms ? expires_ms - now_ms : 0;
}

static void put_key(struct writer *w, const struct credential_key *key)
{
    writer_u8(w, key->mac_len);
    if (key->mac_len > 0) {
        writer_put(w, key->mac, key->mac_len);
        return;
    }
    writer_u8(w, (uint8_t)((key->has_md5 ? KEY_MD5 : 0) | (key->has_sha256 ? KEY_SHA256 : 0)));
    writer_put(w, key->md5, sizeof(key->md5));
    writer_put(w, key->sha256, sizeof(key->sha256));
}

static void take_key(struct reader *r, struct credential_key *key)
{
    key->mac_len = (uint8_t)take_number(r, 1);
    if (key->mac_len > CREDENTIAL_MAC_MAX) {
        key->mac_len = 0;
        r->bad = true;
    }
    if (key->mac_len > 0) {
        take_into(r, key->mac, key->mac_len);
        return;
    }
    const uint64_t has = take_number(r, 1);

    key->has_md5 = (has & KEY_MD5) != 0;
    key->has_sha256 = (has & KEY_SHA256) != 0;
    take_into(r, key->md5, sizeof(key->md5));
    take_into(r, key->sha256, sizeof(key->sha256));
}

/* A name, and what quotas count of it, which may stand behind it. */
static size_t user_bytes(size_t len, size_t quota_from, size_t quota_len)
{
    return len > quota_from + quota_len ? len : quota_from + quota_len;
}

static void put_user(struct writer *w, const struct turn_name *user)
{
    writer_be16(w, user->len);
    writer_be16(w, user->quota_from);
    writer_be16(w, user->quota_len);
    writer_put(w, user->bytes, user_bytes(user->len, user->quota_from, user->quota_len));
}

static int take_user(struct turn_tables *t, struct turn_alloc *alloc, struct reader *r)
{
    const uint16_t len = (uint16_t)take_number(r, 2);
    const uint16_t quota_from = (uint16_t)take_number(r, 2);
    const uint16_t quota_len = (uint16_t)take_number(r, 2);
    const size_t total = user_bytes(len, quota_from, quota_len);
    const struct bytes name = {take(r, total).p, len};

    if (r->bad || len > CREDENTIAL_NAME_MAX ||
        total > CREDENTIAL_NAME_MAX + CREDENTIAL_ACCOUNT_MAX) {
        return -EBADMSG;
    }
    return turn_alloc_set_user(t, alloc, name, quota_from, quota_len) < 0 ? -ENOSPC : 0;
}

/* By its name: the ids may be others where it goes. */
static void put_realm(struct writer *w, const struct turn_realm *realm)
{
    const struct bytes name = bytes_of(realm->name);

    writer_be16(w, (uint16_t)name.n);
    writer_put(w, name.p, name.n);
}

static void take_realm(const struct turn_config *config, struct turn_alloc *alloc, struct reader *r)
{
    const struct bytes name = take(r, (size_t)take_number(r, 2));

    if (r->bad || turn_realm_named(config, name, &alloc->realm) < 0) {
        alloc->realm = 0; /* that realm is not known here */
    }
}

static void put_relay(struct writer *w, const struct turn_relay *relay, uint16_t family_code,
                      uint64_t now_ms)
{
    writer_be16(w, family_code);
    writer_u8(w, relay->port != NULL);
    if (relay->port != NULL) {
        writer_u8(w, NET_UDP);
        writer_be64(w, left_ms(relay->expires_ms, now_ms));
        put_addr(w, &relay->bound);
        put_addr(w, &relay->relayed);
    }
}

static int take_relay(struct reader *r, struct turn_relay *relay, uint8_t family,
                      uint16_t *family_code, const void *port, uint64_t now_ms)
{
    *family_code = (uint16_t)take_number(r, 2);
    const bool present = take_number(r, 1) != 0;

    if (!r->bad && present != (port != NULL)) {
        return -EINVAL;
    }
    if (present) {
        const uint64_t protocol = take_number(r, 1);
        relay->expires_ms = now_ms + take_number(r, 8);
        relay->bound = take_addr(r);
        relay->relayed = take_addr(r);
        r->bad = r->bad || protocol != NET_UDP || relay->bound.family != family ||
                 relay->relayed.family != family;
    }
    return 0;
}

static void put_tuple(struct writer *w, const struct five_tuple *tuple)
{
    put_addr(w, &tuple->client);
    put_addr(w, &tuple->server);
    writer_be32(w, tuple->protocol);
}

static bool transport_known(uint32_t transport)
{
    return transport == NET_UDP || transport == NET_PROXIED || transport == NET_DTLS ||
           net_is_stream(transport);
}

static struct five_tuple take_tuple(struct reader *r)
{
    struct five_tuple tuple;

    tuple.client = take_addr(r);
    tuple.server = take_addr(r);
    tuple.protocol = (uint32_t)take_number(r, 4);
    r->bad = r->bad || !transport_known(tuple.protocol);
    return tuple;
}

static void put_mobile(struct writer *w, const struct turn_mobile *mobile, uint64_t now_ms)
{
    writer_u8(w, mobile != NULL);
    if (mobile == NULL) {
        return;
    }
    writer_be32(w, mobile->serial);
    writer_be64(w, now_ms - mobile->moved_ms);
    writer_put(w, mobile->tid, STUN_TID);
    writer_u8(w, mobile->moving);
    if (mobile->moving) {
        put_tuple(w, &mobile->coming);
    }
}

/* 0; -EEXIST when somebody has the 5-tuple that the client is moving to; -ENOSPC. */
static int take_mobile(struct turn_tables *t, struct turn_alloc *alloc, struct reader *r,
                       void *listener, uint64_t now_ms)
{
    if (take_number(r, 1) == 0) {
        return 0;
    }
    if (turn_mobile_get(t, alloc) < 0) {
        return -ENOSPC;
    }
    struct turn_mobile *mobile = alloc->mobile;
    mobile->serial = (uint32_t)take_number(r, 4);
    const uint64_t age_ms = take_number(r, 8);
    mobile->moved_ms = age_ms < now_ms ? now_ms - age_ms : 0;
    take_into(r, mobile->tid, STUN_TID);
    if (take_number(r, 1) == 0) {
        return 0;
    }
    const struct five_tuple coming = take_tuple(r);
    if (r->bad) {
        return -EBADMSG;
    }
    if (turn_alloc_find(t, &coming) != NULL) {
        return -EEXIST;
    }
    return turn_mobile_come(t, alloc, &coming, listener) < 0 ? -ENOSPC : 0;
}

/* As the nanoseconds they were idle. */
static void put_buckets(struct writer *w, const struct turn_alloc *alloc, uint64_t now_ms)
{
    for (int i = 0; i < 2; i++) {
        writer_be64(w, bucket_idle_ns(&alloc->bucket[i], now_ms));
    }
}

static void put_traffic(struct writer *w, const struct turn_traffic *traffic)
{
    writer_be64(w, traffic->to_peer_packets);
    writer_be64(w, traffic->to_peer_bytes);
    writer_be64(w, traffic->to_client_packets);
    writer_be64(w, traffic->to_client_bytes);
}

static void take_traffic(struct reader *r, struct turn_traffic *traffic)
{
    traffic->to_peer_packets = take_number(r, 8);
    traffic->to_peer_bytes = take_number(r, 8);
    traffic->to_client_packets = take_number(r, 8);
    traffic->to_client_bytes = take_number(r, 8);
}

static void put_perms(struct writer *w, const struct turn_alloc *alloc, uint64_t now_ms)
{
    writer_be32(w, alloc->perm_count);
    LIST_EACH (node, &alloc->perms) {
        const struct turn_perm *perm = CONTAINER_OF(node, struct turn_perm, node);
        writer_put(w, perm->key.ip.b, sizeof(perm->key.ip.b));
        writer_be64(w, left_ms(perm->expires_ms, now_ms));
    }
}

static int take_perms(struct turn_tables *t, struct turn_alloc *alloc, struct reader *r,
                      uint64_t now_ms)
{
    uint64_t count = take_number(r, 4);

    for (; count > 0 && !r->bad; count--) {
        struct net_ip ip;
        take_into(r, ip.b, sizeof(ip.b));
        const uint64_t ms = take_number(r, 8);
        if (r->bad) {
            break;
        }
        struct turn_perm *perm = turn_perm_get(t, alloc, &ip, UINT32_MAX, now_ms);
        if (perm == NULL) {
            return -ENOSPC;
        }
        turn_perm_refresh(t, alloc, perm, now_ms + ms);
    }
    return 0;
}

static void put_chans(struct writer *w, const struct turn_alloc *alloc, uint64_t now_ms)
{
    writer_be32(w, alloc->chan_count);
    LIST_EACH (node, &alloc->chans) {
        const struct turn_chan *chan = CONTAINER_OF(node, struct turn_chan, node);
        writer_be16(w, (uint16_t)chan->number.number);
        put_addr(w, &chan->peer.addr);
        writer_be64(w, left_ms(chan->expires_ms, now_ms));
    }
}

static int take_chans(struct turn_tables *t, struct turn_alloc *alloc, struct reader *r,
                      uint64_t now_ms)
{
    uint64_t count = take_number(r, 4);

    for (; count > 0 && !r->bad; count--) {
        const uint16_t number = (uint16_t)take_number(r, 2);
        const struct net_addr peer = take_addr(r);
        const uint64_t ms = take_number(r, 8);
        if (r->bad || ms == 0) {
            continue;
        }
        const int err = turn_chan_bind(t, alloc, number, &peer, UINT32_MAX, now_ms + ms, now_ms);
        if (err < 0) {
            return err == -EEXIST ? -EBADMSG : err;
        }
    }
    return 0;
}

/* --- the whole ----------------------------------------------------------------------------------
 */

int turn_server_pack(struct turn_server *s, const struct five_tuple *tuple, uint64_t now_ms,
                     struct writer *out)
{
    struct turn_alloc *alloc = turn_alloc_find(&s->tables, tuple);
    if (alloc == NULL) {
        return -ENOENT;
    }
    if (alloc->protocol != NET_UDP) {
        return -EOPNOTSUPP;
    }
    turn_flow_end(s, alloc, NULL); /* or it would relay what the parcel does not count */
    writer_u8(out, PARCEL_VERSION);
    put_tuple(out, &alloc->tuple);
    writer_be64(out, alloc->session);
    put_mobile(out, alloc->mobile, now_ms);
    writer_be64(out, now_ms - alloc->created_ms);
    writer_put(out, alloc->tid, STUN_TID);
    writer_be64(out, alloc->reservation);
    put_realm(out, turn_alloc_realm(s, alloc));
    writer_be64(out, alloc->origin);
    put_user(out, alloc->user);
    put_key(out, &alloc->key);
    writer_be64(out, alloc->until_ms != 0 ? left_ms(alloc->until_ms, now_ms) + 1 : 0);
    put_relay(out, &alloc->relay[0], alloc->family_code[0], now_ms);
    put_relay(out, &alloc->relay[1], alloc->family_code[1], now_ms);
    put_buckets(out, alloc, now_ms);
    put_traffic(out, &alloc->traffic);
    put_perms(out, alloc, now_ms);
    put_chans(out, alloc, now_ms);
    return out->full ? -ENOBUFS : 0;
}

/* Everything after the session. */
static int unpack_body(struct turn_server *s, struct turn_alloc *alloc, struct reader *r,
                       void *const ports[2], uint64_t now_ms)
{
    struct turn_tables *t = &s->tables;
    const struct turn_config *config = s->config;
    const uint64_t age_ms = take_number(r, 8);
    alloc->created_ms = age_ms < now_ms ? now_ms - age_ms : 0;
    take_into(r, alloc->tid, STUN_TID);
    alloc->reservation = take_number(r, 8);
    take_realm(config, alloc, r);
    alloc->origin = take_number(r, 8);
    int err = take_user(t, alloc, r);
    if (err < 0) {
        return err;
    }
    take_key(r, &alloc->key);
    const uint64_t until = take_number(r, 8);
    alloc->until_ms = until != 0 ? now_ms + until - 1 : 0;
    for (int i = 0; i < 2; i++) {
        err = take_relay(r, &alloc->relay[i], (uint8_t)(NET_V4 + i), &alloc->family_code[i],
                         ports[i], now_ms);
        if (err < 0) {
            return err;
        }
    }
    alloc->bucket[0] = bucket_of_idle(take_number(r, 8), now_ms);
    alloc->bucket[1] = bucket_of_idle(take_number(r, 8), now_ms);
    take_traffic(r, &alloc->traffic);
    err = take_perms(t, alloc, r, now_ms);
    if (err == 0) {
        err = take_chans(t, alloc, r, now_ms);
    }
    if (err < 0) {
        return err;
    }
    return r->bad || r->rest.n > 0 ? -EBADMSG : 0;
}

int turn_server_unpack(struct turn_server *s, struct bytes parcel, void *listener,
                       void *const ports[2], struct turn_relay *out_relays[2], uint64_t now_ms)
{
    struct reader r = {.rest = parcel, .bad = false};

    if (take_number(&r, 1) != PARCEL_VERSION) {
        return -EBADMSG;
    }
    const struct five_tuple tuple = take_tuple(&r);
    const uint64_t session = take_number(&r, 8);
    r.bad = r.bad || session == 0;
    if (r.bad || (ports[0] == NULL && ports[1] == NULL)) {
        return r.bad ? -EBADMSG : -EINVAL;
    }
    if (turn_alloc_find(&s->tables, &tuple) != NULL ||
        turn_alloc_numbered(&s->tables, session) != NULL) {
        return -EEXIST;
    }
    struct turn_alloc *alloc = turn_alloc_adopt(&s->tables, &tuple, session, now_ms);
    if (alloc == NULL) {
        return -ENOSPC;
    }
    alloc->listener = listener;
    int err = take_mobile(&s->tables, alloc, &r, listener, now_ms);
    err = err < 0 ? err : unpack_body(s, alloc, &r, ports, now_ms);
    if (err < 0) {
        turn_alloc_free(&s->tables, alloc);
        return err;
    }
    for (int i = 0; i < 2; i++) {
        alloc->relay[i].port = ports[i];
        out_relays[i] = ports[i] != NULL ? &alloc->relay[i] : NULL;
    }
    turn_recheck(s, alloc, now_ms); /* the rules here may be others than where it came from */
    turn_alloc_sweep(&s->tables, alloc, now_ms); /* sets the timer */
    return 0;
}

int turn_server_forget(struct turn_server *s, const struct five_tuple *tuple)
{
    struct turn_alloc *alloc = turn_alloc_find(&s->tables, tuple);
    if (alloc == NULL) {
        return -ENOENT;
    }
    turn_flow_end(s, alloc, NULL);
    alloc->relay[0].port = NULL;
    alloc->relay[1].port = NULL;
    turn_tombstone_keep(&s->tables, alloc, true, s->now_ms);
    turn_alloc_free(&s->tables, alloc);
    return 0;
}

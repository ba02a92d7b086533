/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/client.h"

#include <assert.h>
#include <string.h>

#include "crypto/longterm.h"
#include "wire/channel_data.h"
#include "wire/stun_addr.h"
#include "wire/stun_code.h"

static struct crypto_mac *mac_of_tests(void)
{
    static struct crypto_mac *mac;

    if (mac == NULL) {
        mac = crypto_mac_new();
        assert(mac != NULL);
    }
    return mac;
}

void client_init(struct client *c, struct world *w, const char *addr, const char *user,
                 const char *password)
{
    memset(c, 0, offsetof(struct client, buf));
    c->world = w;
    c->addr = world_addr(addr);
    c->user = user;
    c->password = password;
    c->realm = WORLD_REALM;
    c->transport = NET_UDP;
    c->auth = CLIENT_SHA256;
    c->next_tid = 1;
}

static void begin(struct client *c, uint16_t method, enum stun_class class)
{
    stun_out_begin(&c->out, c->buf, sizeof(c->buf), stun_type(method, class), c->tid);
    c->len = 0;
}

void client_begin(struct client *c, uint16_t method, enum stun_class class)
{
    memset(c->tid, 0x77, sizeof(c->tid));
    be16_put(c->tid, c->addr.port);
    be64_put(c->tid + 4, c->next_tid++);
    begin(c, method, class);
}

void client_begin_again(struct client *c, uint16_t method, enum stun_class class)
{
    begin(c, method, class);
}

static struct bytes key_of(const struct client *c, bool sha256, uint8_t out[CRYPTO_SHA256_LEN])
{
    const struct bytes user = bytes_of(c->user);
    const struct bytes realm = bytes_of(c->realm);
    const struct bytes password = bytes_of(c->password);
    const int err = sha256 ? crypto_longterm_sha256(user, realm, password, out)
                           : crypto_longterm_md5(user, realm, password, out);

    assert(err == 0);
    (void)err;
    return (struct bytes){out, sha256 ? CRYPTO_SHA256_LEN : CRYPTO_MD5_LEN};
}

static void put_user(struct client *c)
{
    uint8_t hash[CRYPTO_SHA256_LEN];

    if (!c->userhash) {
        stun_out_attr(&c->out, STUN_USERNAME, bytes_of(c->user));
        return;
    }
    const int err = crypto_longterm_userhash(bytes_of(c->user), bytes_of(c->realm), hash);
    assert(err == 0);
    (void)err;
    stun_out_attr(&c->out, STUN_USERHASH, (struct bytes){hash, sizeof(hash)});
}

void client_end(struct client *c)
{
    if (c->fingerprint) {
        stun_out_fingerprint(&c->out);
    }
    const int n = stun_out_end(&c->out);
    assert(n > 0);
    c->len = (size_t)n;
}

/* RFC 7635 section 5: the kid, the token, and the mac_key as it is. */
static int sign_with_token(struct client *c)
{
    const struct bytes key = {c->mac_key, c->mac_key_len};

    stun_out_attr(&c->out, STUN_USERNAME, bytes_of(c->user));
    if (c->realm != NULL) {
        stun_out_attr(&c->out, STUN_REALM, bytes_of(c->realm));
    }
    stun_out_attr(&c->out, STUN_NONCE, bytes_of(c->nonce));
    if (c->token != NULL) {
        stun_out_attr(&c->out, STUN_ACCESS_TOKEN, bytes_of(c->token));
    }
    return c->mac_sha256 ? stun_out_mi256(&c->out, mac_of_tests(), key)
                         : stun_out_mi(&c->out, mac_of_tests(), key);
}

void client_sign(struct client *c)
{
    uint8_t key[CRYPTO_SHA256_LEN];
    int err = 0;

    if (c->auth == CLIENT_TOKEN) {
        err = sign_with_token(c);
    } else if (c->auth != CLIENT_NO_AUTH) {
        put_user(c);
        stun_out_attr(&c->out, STUN_REALM, bytes_of(c->realm));
        stun_out_attr(&c->out, STUN_NONCE, bytes_of(c->nonce));
        if (c->auth != CLIENT_LEGACY) {
            const uint8_t chosen[4] = {0, c->auth == CLIENT_SHA256 ? 2 : 1, 0, 0};
            stun_out_attr(&c->out, STUN_PASSWORD_ALGORITHMS,
                          (struct bytes){c->algorithms, c->algorithms_len});
            stun_out_attr(&c->out, STUN_PASSWORD_ALGORITHM, (struct bytes){chosen, sizeof(chosen)});
        }
        const struct bytes k = key_of(c, c->auth == CLIENT_SHA256, key);
        err = c->auth == CLIENT_LEGACY ? stun_out_mi(&c->out, mac_of_tests(), k)
                                       : stun_out_mi256(&c->out, mac_of_tests(), k);
    }
    assert(err == 0);
    (void)err;
    client_end(c);
}

static void read_address(struct reply *r, const struct stun_attr *attr)
{
    struct net_addr addr;
    const bool plain = attr->type == STUN_ALTERNATE_SERVER || attr->type == STUN_MAPPED_ADDRESS;
    const int err = plain ? stun_addr_decode(attr->value, &addr)
                          : stun_addr_decode_xor(attr->value, r->msg.tid, &addr);
    if (err < 0) {
        return;
    }
    switch ((int)attr->type) {
    case STUN_XOR_MAPPED_ADDRESS:
        r->mapped = addr;
        break;
    case STUN_XOR_RELAYED_ADDRESS:
        if (r->relayed_count < 2) {
            r->relayed[r->relayed_count++] = addr;
        }
        break;
    case STUN_XOR_PEER_ADDRESS:
        r->peer = addr;
        break;
    case STUN_MAPPED_ADDRESS:
        r->has_mapped_plain = true;
        break;
    default:
        if (r->alternate_count < 2) {
            r->alternate[r->alternate_count++] = addr;
        }
        break;
    }
}

static void read_integrity(const struct client *c, struct reply *r, const struct stun_attr *attr)
{
    uint8_t key[CRYPTO_SHA256_LEN];
    const bool sha256 = c->auth == CLIENT_SHA256;

    if (attr->type == STUN_MESSAGE_INTEGRITY) {
        r->has_mi = true;
    } else {
        r->has_mi256 = true;
    }
    const struct bytes k = c->auth == CLIENT_TOKEN ? (struct bytes){c->mac_key, c->mac_key_len}
                           : c->password != NULL   ? key_of(c, sha256, key)
                                                   : (struct bytes){NULL, 0};
    r->integrity_ok = k.n > 0 && stun_msg_check_mi(mac_of_tests(), &r->msg, attr->value, k) == 0;
}

static void read_attr(const struct client *c, struct reply *r, const struct stun_attr *attr)
{
    switch ((int)attr->type) {
    case STUN_XOR_MAPPED_ADDRESS:
    case STUN_XOR_RELAYED_ADDRESS:
    case STUN_XOR_PEER_ADDRESS:
    case STUN_ALTERNATE_SERVER:
    case STUN_MAPPED_ADDRESS:
        read_address(r, attr);
        break;
    case STUN_MESSAGE_INTEGRITY:
    case STUN_MESSAGE_INTEGRITY_SHA256:
        read_integrity(c, r, attr);
        break;
    case STUN_ERROR_CODE:
        r->code = stun_code_decode(attr->value);
        if (attr->value.n >= 4) {
            r->reason = (struct bytes){attr->value.p + 4, attr->value.n - 4};
        }
        break;
    case STUN_LIFETIME:
        r->has_lifetime = true;
        r->lifetime_s = attr->value.n == 4 ? be32(attr->value.p) : UINT32_MAX;
        break;
    case STUN_DATA_ATTR:
        r->has_data = true;
        r->data = attr->value;
        break;
    case STUN_RESERVATION_TOKEN:
        r->has_token = true;
        r->token = attr->value.n == 8 ? be64(attr->value.p) : 0;
        break;
    case STUN_REALM:
        r->realm = attr->value;
        break;
    case STUN_NONCE:
        r->nonce = attr->value;
        break;
    case STUN_PASSWORD_ALGORITHMS:
        r->algorithms = attr->value;
        break;
    case STUN_SOFTWARE:
        r->software = attr->value;
        break;
    case STUN_UNKNOWN_ATTRIBUTES:
        r->unknown = attr->value;
        break;
    case STUN_ADDRESS_ERROR_CODE:
        r->address_error = attr->value;
        break;
    case STUN_ICMP:
        r->icmp = attr->value;
        break;
    case STUN_USERNAME:
    case STUN_USERHASH:
        r->has_username = true;
        break;
    case STUN_TRANSACTION_TRANSMIT_COUNTER:
        r->has_counter = true;
        r->counter = attr->value.n == 4 ? be32(attr->value.p) : UINT32_MAX;
        break;
    case STUN_CONNECTION_ID:
        r->connection_id = attr->value.n == 4 ? be32(attr->value.p) : 0;
        break;
    case STUN_MOBILITY_TICKET:
        r->ticket = attr->value;
        break;
    case STUN_THIRD_PARTY_AUTHORIZATION:
        r->third_party = attr->value;
        break;
    case STUN_ALTERNATE_DOMAIN:
        r->domain = attr->value;
        break;
    case STUN_FINGERPRINT:
        r->has_fingerprint = stun_msg_check_fingerprint(&r->msg, attr->value);
        break;
    default:
        break;
    }
}

struct reply client_read(struct client *c, enum turn_verdict verdict, const uint8_t *p, size_t n)
{
    struct reply r;
    struct stun_attr attr;

    memset(&r, 0, sizeof(r));
    r.verdict = verdict;
    if (verdict != TURN_TO_CLIENT || stun_msg_parse((struct bytes){p, n}, &r.msg) < 0) {
        return r;
    }
    struct bytes rest = r.msg.body;
    while (stun_attr_next(&rest, &attr) > 0) {
        if (r.attr_count < ARRAY_SIZE(r.order)) {
            r.order[r.attr_count] = attr.type;
        }
        r.attr_count++;
        r.fingerprint_last = attr.type == STUN_FINGERPRINT;
        read_attr(c, &r, &attr);
    }
    return r;
}

static enum turn_verdict hand_over(struct client *c, size_t n)
{
    if (c->transport == NET_UDP) {
        return world_from_client(c->world, &c->addr, c->buf, n);
    }
    return world_from_client_over(c->world, &c->addr, c->transport, c, c->buf, n);
}

struct reply client_submit(struct client *c)
{
    const enum turn_verdict verdict = hand_over(c, c->len);

    return client_read(c, verdict, c->world->pkt.data, c->world->pkt.len);
}

struct reply client_learn(struct client *c, const struct reply *challenge)
{
    if (challenge->nonce.n > 0 && challenge->nonce.n < sizeof(c->nonce)) {
        memcpy(c->nonce, challenge->nonce.p, challenge->nonce.n);
        c->nonce[challenge->nonce.n] = '\0';
    }
    if (challenge->algorithms.n > 0 && challenge->algorithms.n <= sizeof(c->algorithms)) {
        memcpy(c->algorithms, challenge->algorithms.p, challenge->algorithms.n);
        c->algorithms_len = challenge->algorithms.n;
    }
    return *challenge;
}

void client_put_transport(struct client *c)
{
    stun_out_u32(&c->out, STUN_REQUESTED_TRANSPORT, UINT32_C(17) << 24);
}

bool client_challenge(struct client *c)
{
    client_begin(c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(c);
    client_end(c);
    const struct reply r = client_submit(c);
    (void)client_learn(c, &r);
    return r.code == STUN_UNAUTHENTICATED && r.nonce.n > 0;
}

static void ensure_nonce(struct client *c)
{
    if (c->nonce[0] == '\0' && c->auth != CLIENT_NO_AUTH) {
        (void)client_challenge(c);
    }
}

struct reply client_allocate(struct client *c)
{
    ensure_nonce(c);
    client_begin(c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(c);
    client_sign(c);
    return client_submit(c);
}

static struct reply keep_ticket(struct client *c, struct reply r)
{
    if (r.verdict == TURN_TO_CLIENT && r.code == 0 && r.ticket.n > 0 &&
        r.ticket.n <= sizeof(c->ticket)) {
        memcpy(c->ticket, r.ticket.p, r.ticket.n);
        c->ticket_len = r.ticket.n;
    }
    return r;
}

struct reply client_allocate_mobile(struct client *c)
{
    ensure_nonce(c);
    client_begin(c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(c);
    stun_out_attr(&c->out, STUN_MOBILITY_TICKET, (struct bytes){NULL, 0});
    client_sign(c);
    return keep_ticket(c, client_submit(c));
}

static struct reply move(struct client *c, uint32_t lifetime_s)
{
    client_begin(c, STUN_REFRESH, STUN_REQUEST);
    stun_out_u32(&c->out, STUN_LIFETIME, lifetime_s);
    stun_out_attr(&c->out, STUN_MOBILITY_TICKET, (struct bytes){c->ticket, c->ticket_len});
    client_sign(c);
    return client_submit(c);
}

struct reply client_move(struct client *c, uint32_t lifetime_s)
{
    ensure_nonce(c);
    struct reply r = move(c, lifetime_s);
    if (r.code == STUN_STALE_NONCE) {
        (void)client_learn(c, &r);
        r = move(c, lifetime_s);
    }
    return keep_ticket(c, r);
}

void client_readdress(struct client *c, const char *addr)
{
    c->addr = world_addr(addr);
}

struct reply client_allocate_tcp(struct client *c)
{
    ensure_nonce(c);
    client_begin(c, STUN_ALLOCATE, STUN_REQUEST);
    stun_out_u32(&c->out, STUN_REQUESTED_TRANSPORT, UINT32_C(6) << 24);
    client_sign(c);
    return client_submit(c);
}

struct reply client_connect(struct client *c, const struct net_addr *peer)
{
    ensure_nonce(c);
    client_begin(c, STUN_CONNECT, STUN_REQUEST);
    stun_out_xor_addr(&c->out, STUN_XOR_PEER_ADDRESS, peer);
    client_sign(c);
    return client_submit(c);
}

struct reply client_bind_connection(struct client *c, uint32_t id)
{
    ensure_nonce(c);
    client_begin(c, STUN_CONNECTION_BIND, STUN_REQUEST);
    stun_out_u32(&c->out, STUN_CONNECTION_ID, id);
    client_sign(c);
    return client_submit(c);
}

struct reply client_refresh(struct client *c, uint32_t lifetime_s)
{
    ensure_nonce(c);
    client_begin(c, STUN_REFRESH, STUN_REQUEST);
    stun_out_u32(&c->out, STUN_LIFETIME, lifetime_s);
    client_sign(c);
    return client_submit(c);
}

struct reply client_permit(struct client *c, const struct net_addr *peer)
{
    ensure_nonce(c);
    client_begin(c, STUN_CREATE_PERMISSION, STUN_REQUEST);
    stun_out_xor_addr(&c->out, STUN_XOR_PEER_ADDRESS, peer);
    client_sign(c);
    return client_submit(c);
}

struct reply client_bind(struct client *c, uint16_t channel, const struct net_addr *peer)
{
    ensure_nonce(c);
    client_begin(c, STUN_CHANNEL_BIND, STUN_REQUEST);
    stun_out_u32(&c->out, STUN_CHANNEL_NUMBER, (uint32_t)channel << 16);
    stun_out_xor_addr(&c->out, STUN_XOR_PEER_ADDRESS, peer);
    client_sign(c);
    return client_submit(c);
}

enum turn_verdict client_send(struct client *c, const struct net_addr *peer, const void *data,
                              size_t n)
{
    client_begin(c, STUN_SEND, STUN_INDICATION);
    stun_out_xor_addr(&c->out, STUN_XOR_PEER_ADDRESS, peer);
    stun_out_attr(&c->out, STUN_DATA_ATTR, (struct bytes){data, n});
    client_end(c);
    return hand_over(c, c->len);
}

enum turn_verdict client_channel(struct client *c, uint16_t channel, const void *data, size_t n)
{
    assert(n + CHANNEL_HEAD <= sizeof(c->buf));
    channel_data_head(c->buf, channel, (uint16_t)n);
    if (n > 0) {
        memcpy(c->buf + CHANNEL_HEAD, data, n);
    }
    return hand_over(c, n + CHANNEL_HEAD);
}

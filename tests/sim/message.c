/* SPDX-License-Identifier: Apache-2.0 */
#include "message.h"

#include <assert.h>
#include <string.h>

#include "crypto/longterm.h"
#include "sim.h"
#include "wire/channel_data.h"
#include "wire/stun_addr.h"

enum { UNKNOWN_ATTR = 0x7ffe };

const char *message_name(enum intent_kind kind)
{
    static const char *const names[] = {
        [INTENT_BINDING] = "Binding",
        [INTENT_KEEPALIVE] = "Binding indication",
        [INTENT_ALLOCATE] = "Allocate",
        [INTENT_REFRESH] = "Refresh",
        [INTENT_PERMIT] = "CreatePermission",
        [INTENT_BIND] = "ChannelBind",
        [INTENT_CONNECT] = "Connect",
        [INTENT_CONN_BIND] = "ConnectionBind",
        [INTENT_SEND] = "Send",
        [INTENT_CHANNEL] = "ChannelData",
        [INTENT_NOISE] = "noise",
    };

    return names[kind];
}

static struct crypto_mac *mac(void)
{
    static struct crypto_mac *one; /* for the life of the program */

    if (one == NULL) {
        one = crypto_mac_new();
        assert(one != NULL);
    }
    return one;
}

static void put_families(struct stun_out *out, const struct intent *in)
{
    if (in->requested_family != 0) {
        stun_out_u32(out, STUN_REQUESTED_ADDRESS_FAMILY, (uint32_t)in->requested_family << 24);
    }
    if (in->additional_family != 0) {
        stun_out_u32(out, STUN_ADDITIONAL_ADDRESS_FAMILY, (uint32_t)in->additional_family << 24);
    }
    if (in->has_lifetime) {
        stun_out_u32(out, STUN_LIFETIME, in->lifetime_s);
    }
}

static void put_ticket(struct stun_out *out, const struct intent *in)
{
    uint8_t shown[INTENT_TICKET_LEN];

    if (in->ticket_use == TICKET_ASK) {
        stun_out_attr(out, STUN_MOBILITY_TICKET, (struct bytes){NULL, 0});
    } else if (in->ticket_use == TICKET_SHOW) {
        memcpy(shown, in->ticket.bytes, sizeof(shown));
        shown[in->payload_seed % sizeof(shown)] ^= in->ticket.forged ? 0x10 : 0;
        stun_out_attr(out, STUN_MOBILITY_TICKET, (struct bytes){shown, sizeof(shown)});
    }
}

static void put_allocate(struct stun_out *out, const struct intent *in)
{
    const uint8_t even = in->even == EVEN_RESERVE ? 0x80 : 0x7f; /* the other bits are ignored */
    uint8_t token[8];

    if (in->transport != 0) {
        stun_out_u32(out, STUN_REQUESTED_TRANSPORT, (uint32_t)in->transport << 24);
    }
    if (in->even != EVEN_NO) {
        stun_out_attr(out, STUN_EVEN_PORT, (struct bytes){&even, 1});
    }
    if (in->has_token) {
        be64_put(token, in->token);
        stun_out_attr(out, STUN_RESERVATION_TOKEN, (struct bytes){token, sizeof(token)});
    }
}

static void put_method(struct stun_out *out, const struct intent *in)
{
    uint8_t payload[NET_PACKET_MAX];

    if (in->kind == INTENT_ALLOCATE) {
        put_allocate(out, in);
    }
    put_families(out, in);
    put_ticket(out, in);
    if (in->dont_fragment) {
        stun_out_attr(out, STUN_DONT_FRAGMENT, (struct bytes){NULL, 0});
    }
    if (in->kind == INTENT_BIND) {
        stun_out_u32(out, STUN_CHANNEL_NUMBER, (uint32_t)in->channel << 16 | 0xffff);
    }
    if (in->connection_id != 0) {
        stun_out_u32(out, STUN_CONNECTION_ID, in->connection_id);
    }
    for (uint32_t i = 0; i < in->peer_count; i++) {
        stun_out_xor_addr(out, STUN_XOR_PEER_ADDRESS, &in->peer[i].addr);
    }
    if (in->kind == INTENT_SEND) {
        actor_payload(in->payload_seed, payload, in->payload_len);
        stun_out_attr(out, STUN_DATA_ATTR, (struct bytes){payload, in->payload_len});
    }
    if (in->unknown_attr) {
        stun_out_attr(out, UNKNOWN_ATTR, (struct bytes){NULL, 0});
    }
    if (in->counter) {
        stun_out_u32(out, STUN_TRANSACTION_TRANSMIT_COUNTER, (uint32_t)in->count << 8 | 9);
    }
}

static void put_user(struct stun_out *out, const struct intent *in)
{
    const struct bytes name = bytes_of(users_name(in->user));
    uint8_t hash[CRYPTO_SHA256_LEN];

    if (in->missing == MISSING_USER) {
        return;
    }
    if (!in->userhash) {
        stun_out_attr(out, STUN_USERNAME, name);
        return;
    }
    const int err = crypto_longterm_userhash(name, bytes_of(users_realm(in->user)), hash);
    assert(err == 0);
    (void)err;
    stun_out_attr(out, STUN_USERHASH, (struct bytes){hash, sizeof(hash)});
}

static void put_algorithms(struct stun_out *out, const struct intent *in)
{
    static const uint8_t both[] = {0, 2, 0, 0, 0, 1, 0, 0};
    const struct bytes lists[] = {
        [TURN_ALG_SHA256_MD5] = {both, 8},
        [TURN_ALG_MD5] = {both + 4, 4},
        [TURN_ALG_SHA256] = {both, 4},
    };

    stun_out_attr(out, STUN_PASSWORD_ALGORITHMS, lists[in->nonce.offered]);
    stun_out_u32(out, STUN_PASSWORD_ALGORITHM,
                 in->auth == CLIENT_SHA256 ? UINT32_C(2) << 16 : UINT32_C(1) << 16);
}

static void put_credentials(struct stun_out *out, const struct intent *in, const char *nonce)
{
    const struct credential_key *user = users_key(in->user);
    const bool sha256 = in->auth == CLIENT_SHA256;
    struct bytes key = {sha256 ? user->sha256 : user->md5,
                        sha256 ? sizeof(user->sha256) : sizeof(user->md5)};
    char shown[256];

    put_user(out, in);
    if (in->missing != MISSING_REALM) {
        stun_out_attr(out, STUN_REALM,
                      bytes_of(in->wrong_realm ? "example.com" : users_realm(in->user)));
    }
    if (in->missing != MISSING_NONCE) {
        const size_t n = strlen(nonce);
        memcpy(shown, nonce, n);
        if (in->nonce.forged) {
            shown[n - 1] = shown[n - 1] == '0' ? '1' : '0';
        }
        stun_out_attr(out, STUN_NONCE, (struct bytes){(const uint8_t *)shown, n});
    }
    if (in->auth != CLIENT_LEGACY) {
        put_algorithms(out, in);
    }
    if (in->wrong_password) {
        key.p += 1;
        key.n -= 1;
    }
    const int err =
        in->auth == CLIENT_LEGACY ? stun_out_mi(out, mac(), key) : stun_out_mi256(out, mac(), key);
    assert(err == 0);
    (void)err;
}

static size_t channel_data(const struct intent *in, uint8_t *out)
{
    const uint16_t says = (uint16_t)(in->payload_len + (in->short_length ? in->padding + 1 : 0));

    channel_data_head(out, in->channel, says);
    actor_payload(in->payload_seed, out + CHANNEL_HEAD, in->payload_len);
    memset(out + CHANNEL_HEAD + in->payload_len, 0xee, in->padding);
    return CHANNEL_HEAD + (size_t)in->payload_len + in->padding;
}

size_t message_build(const struct intent *in, const char *nonce, uint8_t *out, size_t cap,
                     size_t *out_end)
{
    static const uint16_t methods[] = {
        [INTENT_BINDING] = STUN_BINDING,
        [INTENT_KEEPALIVE] = STUN_BINDING,
        [INTENT_ALLOCATE] = STUN_ALLOCATE,
        [INTENT_REFRESH] = STUN_REFRESH,
        [INTENT_PERMIT] = STUN_CREATE_PERMISSION,
        [INTENT_BIND] = STUN_CHANNEL_BIND,
        [INTENT_CONNECT] = STUN_CONNECT,
        [INTENT_CONN_BIND] = STUN_CONNECTION_BIND,
        [INTENT_SEND] = STUN_SEND,
    };
    const bool indication = in->kind == INTENT_KEEPALIVE || in->kind == INTENT_SEND;
    struct stun_out message;

    if (in->kind == INTENT_CHANNEL) {
        *out_end = channel_data(in, out);
        return *out_end;
    }
    stun_out_begin(&message, out, cap,
                   stun_type(methods[in->kind], indication ? STUN_INDICATION : STUN_REQUEST),
                   in->tid);
    put_method(&message, in);
    if (!indication && in->auth != CLIENT_NO_AUTH) {
        put_credentials(&message, in, nonce);
    }
    *out_end = message.w.len;
    if (in->fingerprint) {
        stun_out_fingerprint(&message);
    }
    const int n = stun_out_end(&message);
    assert(n > 0);
    return (size_t)n;
}

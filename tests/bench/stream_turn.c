/* SPDX-License-Identifier: Apache-2.0 */
#include "stream_turn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/net_addr.h"
#include "wire/stun_addr.h"
#include "wire/stun_code.h"
#include "wire/stun_msg.h"

enum { CHALLENGES = 3 };

/* What a request carries besides credentials. */
struct ask {
    uint16_t method;
    uint16_t attribute; /* 0: none */
    uint32_t value;
    const struct endpoint *peer; /* NULL: none */
};

static void put_peer(struct stun_out *out, struct endpoint peer)
{
    uint8_t raw[4];

    be32_put(raw, peer.ip);
    const struct net_ip ip = net_ip_v4(raw);
    const struct net_addr addr = net_addr_make(&ip, peer.port);
    stun_out_xor_addr(out, STUN_XOR_PEER_ADDRESS, &addr);
}

static void put_credentials(struct stun_out *out, const struct stream_turn *t)
{
    const struct bytes key = {t->login->key, sizeof(t->login->key)};

    stun_out_attr(out, STUN_USERNAME, bytes_of(t->login->user));
    stun_out_attr(out, STUN_REALM, bytes_of(t->login->realm));
    stun_out_attr(out, STUN_NONCE, bytes_of(t->nonce));
    if (stun_out_mi(out, t->login->mac, key) < 0) {
        stream_conn_die("no HMAC");
    }
}

static void send_all(struct stream_turn *t, const uint8_t *p, size_t n)
{
    while (n > 0) {
        const ssize_t sent = stream_conn_write(&t->conn, p, n);
        if (sent <= 0) {
            stream_conn_die("the server does not take a request");
        }
        p += sent;
        n -= (size_t)sent;
    }
}

static void send_ask(struct stream_turn *t, const struct ask *ask)
{
    uint8_t buf[STREAM_TURN_BUF];
    uint8_t tid[STUN_TID];
    struct stun_out out;

    memset(tid, 0x5a, sizeof(tid));
    be32_put(tid, ++t->turn);
    stun_out_begin(&out, buf, sizeof(buf), stun_type(ask->method, STUN_REQUEST), tid);
    if (ask->attribute != 0) {
        stun_out_u32(&out, ask->attribute, ask->value);
    }
    if (ask->peer != NULL) {
        put_peer(&out, *ask->peer);
    }
    if (t->nonce[0] != '\0') {
        put_credentials(&out, t);
    }
    send_all(t, buf, (size_t)stun_out_end(&out));
}

static void read_exactly(struct stream_turn *t, uint8_t *p, size_t n)
{
    while (n > 0) {
        const ssize_t got = stream_conn_read(&t->conn, p, n);
        if (got <= 0) {
            stream_conn_die("no answer from the server");
        }
        p += got;
        n -= (size_t)got;
    }
}

/* Wait for the answer to the last request; it stays in t->buf. */
static struct stun_msg receive(struct stream_turn *t)
{
    struct stun_msg msg;

    do {
        read_exactly(t, t->buf, STUN_HEADER);
        const size_t len = be16(t->buf + 2);
        if (len > sizeof(t->buf) - STUN_HEADER) {
            stream_conn_die("an answer is too long");
        }
        read_exactly(t, t->buf + STUN_HEADER, len);
        if (stun_msg_parse((struct bytes){t->buf, STUN_HEADER + len}, &msg) < 0) {
            stream_conn_die("an answer is no STUN message");
        }
    } while (be32(msg.tid) != t->turn);
    return msg;
}

static struct bytes find(const struct stun_msg *msg, uint16_t type)
{
    struct bytes rest = msg->body;
    struct stun_attr attr;

    while (stun_attr_next(&rest, &attr) > 0) {
        if (attr.type == type) {
            return attr.value;
        }
    }
    return (struct bytes){NULL, 0};
}

static struct stun_msg request(struct stream_turn *t, const struct ask *ask)
{
    for (int i = 0; i < CHALLENGES; i++) {
        send_ask(t, ask);
        const struct stun_msg msg = receive(t);
        if (msg.class == STUN_SUCCESS) {
            return msg;
        }
        const int code = stun_code_decode(find(&msg, STUN_ERROR_CODE));
        const struct bytes nonce = find(&msg, STUN_NONCE);
        if ((code != STUN_UNAUTHENTICATED && code != STUN_STALE_NONCE) ||
            nonce.n >= sizeof(t->nonce)) {
            (void)fprintf(stderr, "stream-load: method %u is refused with %d\n", ask->method, code);
            exit(1);
        }
        memcpy(t->nonce, nonce.p, nonce.n);
        t->nonce[nonce.n] = '\0';
    }
    stream_conn_die("the server does not accept the credentials");
}

struct endpoint stream_turn_allocate(struct stream_turn *t, uint8_t protocol)
{
    const struct ask ask = {STUN_ALLOCATE, STUN_REQUESTED_TRANSPORT, (uint32_t)protocol << 24,
                            NULL};
    const struct stun_msg msg = request(t, &ask);
    struct net_addr relayed;

    if (stun_addr_decode_xor(find(&msg, STUN_XOR_RELAYED_ADDRESS), msg.tid, &relayed) < 0) {
        stream_conn_die("an allocation has no address");
    }
    return (struct endpoint){be32(net_ip_v4_bytes(&relayed.ip)), relayed.port};
}

void stream_turn_bind_channel(struct stream_turn *t, uint16_t channel, struct endpoint peer)
{
    const struct ask ask = {STUN_CHANNEL_BIND, STUN_CHANNEL_NUMBER, (uint32_t)channel << 16, &peer};

    (void)request(t, &ask);
}

uint32_t stream_turn_connect(struct stream_turn *t, struct endpoint peer)
{
    const struct ask ask = {STUN_CONNECT, 0, 0, &peer};
    const struct stun_msg msg = request(t, &ask);
    const struct bytes id = find(&msg, STUN_CONNECTION_ID);

    if (id.n != 4) {
        stream_conn_die("a Connect response has no CONNECTION-ID");
    }
    return be32(id.p);
}

void stream_turn_bind_connection(struct stream_turn *t, uint32_t id)
{
    const struct ask ask = {STUN_CONNECTION_BIND, STUN_CONNECTION_ID, id, NULL};

    (void)request(t, &ask);
}

void stream_turn_binding(uint8_t out[20])
{
    uint8_t tid[STUN_TID];
    struct stun_out msg;

    memset(tid, 0x5a, sizeof(tid));
    stun_out_begin(&msg, out, 20, stun_type(STUN_BINDING, STUN_REQUEST), tid);
    if (stun_out_end(&msg) != 20) {
        stream_conn_die("a Binding request is 20 bytes");
    }
}

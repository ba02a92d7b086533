/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "load.h"
#include "wire/stun_addr.h"
#include "wire/stun_code.h"
#include "wire/stun_msg.h"

enum { READY_WITHIN_MS = 90000, NS_PER_MS = 1000000, LIFETIME = 600 };

struct endpoint load_client_at(const struct load *l, uint32_t i)
{
    const uint32_t cycles = LOAD_CLIENT_PORTS / l->total;

    return (struct endpoint){
        l->client_ip, (uint16_t)(LOAD_CLIENT_PORT + i + l->total * (l->c[i].cycle % cycles))};
}

void load_make_tid(uint32_t client, uint32_t turn, uint8_t out[STUN_TID])
{
    memset(out, 0x5a, STUN_TID);
    be32_put(out, client);
    be32_put(out + 4, turn);
}

static void sign(struct load *l, struct stun_out *out, const struct load_client *c)
{
    stun_out_attr(out, STUN_USERNAME, bytes_of(l->user));
    stun_out_attr(out, STUN_REALM, bytes_of(l->realm));
    stun_out_attr(out, STUN_NONCE, bytes_of(c->nonce));
    if (stun_out_mi(out, l->mac, (struct bytes){l->key, sizeof(l->key)}) < 0) {
        load_die("no HMAC");
    }
}

static void put_peer(const struct load *l, struct stun_out *out, uint32_t i)
{
    struct net_ip ip;
    uint8_t raw[4];

    be32_put(raw, l->peer_ip);
    ip = net_ip_v4(raw);
    if (l->peer_v6) {
        frame_ip6(l->peer_ip, ip.b);
    }
    const struct net_addr peer = net_addr_make(&ip, (uint16_t)(LOAD_PEER_PORT + i));
    stun_out_xor_addr(out, STUN_XOR_PEER_ADDRESS, &peer);
}

static uint16_t method_of(const struct load *l, enum load_phase phase)
{
    switch (phase) {
    case BIND:
        return l->indications ? STUN_CREATE_PERMISSION : STUN_CHANNEL_BIND;
    case REFRESH:
    case DELETE:
        return STUN_REFRESH;
    case CHALLENGE:
    case ALLOCATE:
    case READY:
    default:
        return STUN_ALLOCATE;
    }
}

static void put_question(const struct load *l, struct stun_out *out, uint32_t i)
{
    switch (l->c[i].phase) {
    case CHALLENGE:
    case ALLOCATE:
        stun_out_u32(out, STUN_REQUESTED_TRANSPORT, UINT32_C(17) << 24);
        if (l->peer_v6) {
            stun_out_u32(out, STUN_REQUESTED_ADDRESS_FAMILY, (uint32_t)NET_V6 << 24);
        }
        break;
    case BIND:
        if (!l->indications) {
            stun_out_u32(out, STUN_CHANNEL_NUMBER, (uint32_t)LOAD_CHANNEL << 16);
        }
        put_peer(l, out, i);
        break;
    case REFRESH:
        stun_out_u32(out, STUN_LIFETIME, LIFETIME);
        break;
    case DELETE:
        stun_out_u32(out, STUN_LIFETIME, 0);
        break;
    case READY:
    default:
        break;
    }
}

void load_request(struct load *l, uint32_t i)
{
    struct load_client *c = &l->c[i];
    uint8_t buf[1024];
    uint8_t tid[STUN_TID];
    struct stun_out out;

    load_make_tid(i, c->turn, tid);
    stun_out_begin(&out, buf, sizeof(buf), stun_type(method_of(l, c->phase), STUN_REQUEST), tid);
    put_question(l, &out, i);
    if (c->phase != CHALLENGE) {
        sign(l, &out, c);
    }
    c->sent_ns = meter_now_ns();
    end_send(&l->client_end, load_client_at(l, i), l->server, buf, (size_t)stun_out_end(&out));
}

static void advance(struct load *l, uint32_t i, enum load_phase phase)
{
    l->c[i].turn++;
    l->c[i].phase = phase;
    load_request(l, i);
}

void load_retry(struct load *l, uint32_t first, uint32_t count)
{
    const uint64_t now = meter_now_ns();

    for (uint32_t i = first; i < first + count; i++) {
        if (l->c[i].phase != READY &&
            now - l->c[i].sent_ns >= (uint64_t)LOAD_RETRY_MS * NS_PER_MS) {
            load_request(l, i);
        }
    }
}

void load_ask(struct load *l, uint32_t i)
{
    struct load_client *c = &l->c[i];
    uint8_t buf[64];
    uint8_t tid[STUN_TID];
    struct stun_out out;

    l->asked++;
    c->asked = true;
    if (l->asked % 2 == 0) {
        advance(l, i, REFRESH);
        return;
    }
    c->turn++;
    c->sent_ns = meter_now_ns();
    load_make_tid(i, c->turn, tid);
    stun_out_begin(&out, buf, sizeof(buf), stun_type(STUN_BINDING, STUN_REQUEST), tid);
    end_send(&l->client_end, load_client_at(l, i), l->server, buf, (size_t)stun_out_end(&out));
}

/* Takes the new nonce or the relayed address, if there is one.  Returns the error code, or 0. */
static int learn(struct load_client *c, const struct stun_msg *msg)
{
    struct bytes rest = msg->body;
    struct stun_attr attr;
    int code = 0;

    while (stun_attr_next(&rest, &attr) > 0) {
        if (attr.type == STUN_NONCE && attr.value.n < sizeof(c->nonce)) {
            memcpy(c->nonce, attr.value.p, attr.value.n);
            c->nonce[attr.value.n] = '\0';
        }
        if (attr.type == STUN_XOR_RELAYED_ADDRESS &&
            stun_addr_decode_xor(attr.value, msg->tid, &c->relayed) < 0) {
            load_die("an allocation has no address");
        }
        if (attr.type == STUN_ERROR_CODE) {
            code = stun_code_decode(attr.value);
        }
    }
    return code;
}

static void become_ready(struct load *l, uint32_t i)
{
    l->c[i].phase = READY;
    l->ready++;
}

static void on_success(struct load *l, uint32_t i)
{
    switch (l->c[i].phase) {
    case ALLOCATE:
        if (strcmp(l->mode, "alloc") == 0 || strcmp(l->mode, "soak") == 0) {
            advance(l, i, DELETE);
        } else if (strcmp(l->mode, "idle") == 0 || i >= l->clients) {
            become_ready(l, i);
        } else {
            advance(l, i, BIND);
        }
        break;
    case BIND:
        become_ready(l, i);
        break;
    case REFRESH:
        l->c[i].phase = READY;
        break;
    case DELETE:
        l->cycles++;
        l->c[i].cycle++;
        l->c[i].phase = READY;
        if (l->running) {
            advance(l, i, CHALLENGE);
        }
        break;
    case CHALLENGE:
    case READY:
    default:
        break;
    }
}

static void on_error(struct load *l, uint32_t i, int code)
{
    const enum load_phase phase = l->c[i].phase;

    l->refused += phase != CHALLENGE;
    if (code == STUN_ALLOCATION_MISMATCH) { /* of an answer that was lost: from another port */
        l->c[i].cycle++;
        advance(l, i, CHALLENGE);
    } else if (phase != READY) {
        advance(l, i, phase == CHALLENGE ? ALLOCATE : phase);
    }
}

void load_on_stun(struct load *l, const struct datagram *d)
{
    const uint32_t i = (d->to.port - (uint32_t)LOAD_CLIENT_PORT) % l->total;
    struct load_client *c = &l->c[i];
    struct stun_msg msg;
    uint8_t tid[STUN_TID];

    if (d->to.port < LOAD_CLIENT_PORT ||
        stun_msg_parse((struct bytes){d->payload, d->n}, &msg) < 0) {
        return;
    }
    load_make_tid(i, c->turn, tid);
    if (memcmp(tid, msg.tid, STUN_TID) != 0) {
        return;
    }
    const int code = learn(c, &msg);
    if (c->asked) {
        c->asked = false;
        histogram_add(&l->answer_time, (meter_now_ns() - c->sent_ns) / 1000);
    }
    if (msg.class == STUN_SUCCESS) {
        on_success(l, i);

    } else if (msg.class == STUN_ERROR) {
        on_error(l, i, code);
    }
}

void load_allocate_all(struct load *l)
{
    const uint64_t deadline = meter_now_ms() + READY_WITHIN_MS;
    uint32_t started = 0;
    uint64_t checked_ms = meter_now_ms();

    while (l->ready < l->total) {
        while (started < l->total && started - l->ready < l->outstanding) {
            load_request(l, started++);
        }
        (void)load_receive(l);
        (void)load_flush(l);
        const uint64_t now = meter_now_ms();
        if (now > deadline) {
            (void)fprintf(stderr, "load: %u of %u clients ready\n", l->ready, l->total);
            load_die("the server did not serve all clients in time");
        }
        if (now - checked_ms >= LOAD_RETRY_MS / 2) {
            checked_ms = now;
            load_retry(l, 0, started);
        }
    }
}

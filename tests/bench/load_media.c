/* SPDX-License-Identifier: Apache-2.0 */
/* Media packets.  The payload begins with a stamp:
 *
 *   0..3 STAMP   4..7 sequence number of the flow   8..15 when it was sent [ns] */
#include <string.h>

#include "base/bytes.h"
#include "load.h"
#include "wire/channel_data.h"
#include "wire/stun_msg.h"

enum { STAMP_LEN = 16, INDICATION_HEAD = STUN_HEADER + 12 + STUN_ATTR_HEAD };

#define STAMP UINT32_C(0x80606e61) /* begins as RTP does */

static uint32_t size_of(const struct load *l, uint32_t k)
{
    return l->tail > 0 && k + 1 == l->burst ? l->tail : l->payload;
}

static void put_stamp(uint8_t *p, uint32_t sequence, uint64_t now_ns)
{
    be32_put(p, STAMP);
    be32_put(p + 4, sequence);
    be32_put(p + 8, (uint32_t)(now_ns >> 32));
    be32_put(p + 12, (uint32_t)now_ns);
}

/* A Send indication around `n` bytes that are put behind its head (RFC 8656 section 11.1). */
static size_t put_indication(const struct load *l, uint8_t *p, uint32_t i, uint32_t n)
{
    const uint32_t padded = (n + 3) & ~UINT32_C(3);

    be16_put(p, stun_type(STUN_SEND, STUN_INDICATION));
    be16_put(p + 2, (uint16_t)(INDICATION_HEAD - STUN_HEADER + padded));
    be32_put(p + 4, STUN_COOKIE);
    load_make_tid(i, l->lane[LANE_UP].flow[i].sent, p + 8);
    be16_put(p + 20, STUN_XOR_PEER_ADDRESS);
    be16_put(p + 22, 8);
    be16_put(p + 24, 1); /* IPv4 */
    be16_put(p + 26, (uint16_t)((LOAD_PEER_PORT + i) ^ (STUN_COOKIE >> 16)));
    be32_put(p + 28, l->peer_ip ^ STUN_COOKIE);
    be16_put(p + 32, STUN_DATA_ATTR);
    be16_put(p + 34, (uint16_t)n);
    memset(p + INDICATION_HEAD + n, 0, padded - n);
    return INDICATION_HEAD + padded;
}

static void send_up(struct load *l, uint32_t i, uint8_t *buf, uint32_t n)
{
    const uint32_t sequence = l->lane[LANE_UP].flow[i].sent;
    size_t whole = CHANNEL_HEAD + n;

    if (l->indications) {
        whole = put_indication(l, buf, i, n);
        put_stamp(buf + INDICATION_HEAD, sequence, l->now_ns);
    } else {
        channel_data_head(buf, LOAD_CHANNEL, (uint16_t)n);
        put_stamp(buf + CHANNEL_HEAD, sequence, l->now_ns);
    }
    end_send(&l->client_end, load_client_at(l, i), l->server, buf, whole);
}

struct endpoint load_relay_of(const struct load *l, uint32_t i)
{
    if (l->bare.port != 0) {
        return (struct endpoint){l->bare.ip, (uint16_t)(l->bare.port + i)};
    }
    return (struct endpoint){be32(net_ip_v4_bytes(&l->c[i].relayed.ip)), l->c[i].relayed.port};
}

static void send_down(struct load *l, uint32_t i, uint8_t *buf, uint32_t n)
{
    const struct endpoint peer = {l->peer_ip, (uint16_t)(LOAD_PEER_PORT + i)};

    put_stamp(buf, l->lane[LANE_DOWN].flow[i].sent, l->now_ns);
    end_send(&l->peer_end, peer, load_relay_of(l, i), buf, n);
}

void load_send_burst(struct load *l, int which)
{
    static uint8_t buf[FRAME_MAX];
    struct load_lane *lane = &l->lane[which];
    const uint32_t i = lane->next;

    lane->next = i + 1 == l->clients ? 0 : i + 1;
    for (uint32_t k = 0; k < l->burst; k++) {
        if (which == LANE_UP) {
            send_up(l, i, buf, size_of(l, k));
        } else {
            send_down(l, i, buf, size_of(l, k));
        }
        lane->flow[i].sent++;
    }
    lane->sent += l->burst;
    lane->in_flight += l->burst;
}

static void arrive(struct load *l, struct load_lane *lane, uint32_t i, struct bytes data)
{
    if (i >= l->clients || data.n < STAMP_LEN || be32(data.p) != STAMP) {
        lane->damaged++;
        return;
    }
    struct load_flow *flow = &lane->flow[i];
    const uint32_t sequence = be32(data.p + 4);
    const uint64_t sent_ns = (uint64_t)be32(data.p + 8) << 32 | be32(data.p + 12);
    if (sequence >= flow->expected) {
        flow->expected = sequence + 1;
    } else {
        lane->reordered++;
    }
    lane->damaged += data.n != size_of(l, sequence % l->burst);
    lane->received++;
    lane->in_flight -= lane->in_flight > 0;
    histogram_add(&lane->latency, l->now_ns > sent_ns ? (l->now_ns - sent_ns) / 1000 : 0);
}

/* The DATA of a Data indication; no bytes when `d` is none. */
static struct bytes indicated(const struct datagram *d)
{
    struct stun_msg msg;
    struct stun_attr attr;

    if (stun_msg_parse((struct bytes){d->payload, d->n}, &msg) == 0 &&
        msg.class == STUN_INDICATION && msg.method == STUN_DATA) {
        for (struct bytes rest = msg.body; stun_attr_next(&rest, &attr) > 0;) {
            if (attr.type == STUN_DATA_ATTR) {
                return attr.value;
            }
        }
    }
    return (struct bytes){NULL, 0};
}

static void at_client(void *arg, const struct datagram *d)
{
    struct load *l = arg;
    const uint32_t i = ((uint32_t)d->to.port - LOAD_CLIENT_PORT) % l->total;
    struct bytes data = {NULL, 0};
    uint16_t channel;

    if (d->n > 0 && d->payload[0] >= 0x40) {
        if (channel_data_decode((struct bytes){d->payload, d->n}, &channel, &data) < 0 ||
            channel != LOAD_CHANNEL) {
            data.n = 0;
        }
        arrive(l, &l->lane[LANE_DOWN], i, data);
        return;
    }
    if (l->indications) {
        data = indicated(d);
        if (data.n > 0) {
            arrive(l, &l->lane[LANE_DOWN], i, data);
            return;
        }
    }
    l->answered++;
    l->bindings += d->n > 1 && be16(d->payload) == stun_type(STUN_BINDING, STUN_SUCCESS);
    if (l->c != NULL) {
        load_on_stun(l, d);
    }
}

static void at_peer(void *arg, const struct datagram *d)
{
    struct load *l = arg;

    arrive(l, &l->lane[LANE_UP], (uint32_t)d->to.port - LOAD_PEER_PORT,
           (struct bytes){d->payload, d->n});
}

unsigned load_receive(struct load *l)
{
    l->now_ns = meter_now_ns();
    const unsigned n = end_receive(&l->client_end, at_client, l);
    return n + end_receive(&l->peer_end, at_peer, l);
}

unsigned load_flush(struct load *l)
{
    const unsigned n = l->client_end.queued + l->peer_end.queued;

    if (l->client_end.queued > 0) {
        end_flush(&l->client_end);
    }
    if (l->peer_end.queued > 0) {
        end_flush(&l->peer_end);
    }
    return n;
}

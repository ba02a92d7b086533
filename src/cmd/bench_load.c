/* SPDX-License-Identifier: Apache-2.0 */
/* Packets: when they are due, how many, and how they look.
 *
 * Paced, the flows of one direction take turns: burst number k of all is due k / live ticks after
 * the beginning, and belongs to client k % live.  So there is nothing to be kept a flow, and the
 * load is even. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "cmd/bench_int.h"
#include "cmd/bench_shape.h"
#include "wire/channel_data.h"
#include "wire/stun_addr.h"
#include "wire/stun_msg.h"

enum {
    BURSTS_A_TURN = 512, /* of one direction, before it is time to receive */
    BACKLOG_MS = 50,     /* later than that, a burst is left out */
    BACKLOG_MIN = 8,
    STREAM_WRITE = 64 * 1024,
    REFILL_MS = 50, /* flat: nothing comes for so long: the whole window is lost */
};

/* How packets of one burst begin. */
struct head {
    uint8_t bytes[BENCH_TX_HEAD];
    uint32_t len; /* without the stamp */
    bool indication;
};

int bench_load_begin(struct bench_engine *e)
{
    e->live = 0;
    for (uint32_t i = 0; i < e->setup->clients; i++) {
        if (e->clients[i].live) {
            e->order[e->live++] = i;
        }
    }
    e->in_flight = 0;
    return e->live > 0 ? 0 : -ENOENT;
}

static uint64_t wall_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

/* --- how they look ---------------------------------------------------------------------------- */

/* Bytes behind `len` bytes of data: indications are padded everywhere, ChannelData on streams
 * (RFC 8656 section 12.5). */
static uint32_t pad_of(const struct bench_engine *e, const struct head *head, uint32_t len)
{
    return head->indication || (head->len > 0 && bench_is_stream(e)) ? (4 - len % 4) % 4 : 0;
}

static void make_head(struct bench_engine *e, uint32_t i, enum bench_way way, struct head *head)
{
    uint8_t tid[STUN_TID];
    struct stun_out out;

    head->indication = way == BENCH_UP && e->setup->indications;
    head->len = way == BENCH_UP ? CHANNEL_HEAD : 0;
    if (!head->indication) {
        return;
    }
    be32_put(tid, e->run);
    be32_put(tid + 4, i);
    be32_put(tid + 8, e->clients[i].flow[way].sent);
    stun_out_begin(&out, head->bytes, sizeof(head->bytes), stun_type(STUN_SEND, STUN_INDICATION),
                   tid);
    const struct net_addr to = bench_place_peer_address(e, i);
    stun_out_xor_addr(&out, STUN_XOR_PEER_ADDRESS, &to);
    stun_out_attr(&out, STUN_DATA_ATTR, (struct bytes){NULL, 0});
    head->len = (uint32_t)out.w.len;
}

/* Write what stands before `len` bytes of data, and the stamp. */
static void put_head(const struct bench_engine *e, const struct head *head, uint32_t len,
                     const struct bench_stamp *stamp, uint8_t *to)
{
    if (head->indication) {
        memcpy(to, head->bytes, head->len);
        be16_put(to + 2, (uint16_t)(head->len - STUN_HEADER + len + pad_of(e, head, len)));
        be16_put(to + head->len - 2, (uint16_t)len);
    } else if (head->len > 0) {
        channel_data_head(to, BENCH_CHANNEL, (uint16_t)len);
    }
    bench_flow_stamp(to + head->len, stamp);
}

/* --- sending a burst -------------------------------------------------------------------------- */

static void send_datagrams(struct bench_engine *e, uint32_t i, enum bench_way way,
                           const struct head *head, struct bench_stamp *stamp)
{
    struct bench_client *c = &e->clients[i];
    struct bench_socket *socket =
        way == BENCH_UP ? bench_place_socket_of(e, i) : bench_place_peer_of(e, i);
    const uint32_t full = e->setup->packet_bytes;
    const struct bench_tx_way to = {
        .socket = socket,
        .to = way == BENCH_DOWN   ? &c->relay
              : socket->connected ? NULL
                                  : &e->server,
        .source = socket->sourced ? &c->source : NULL,
        .way = way,
    };

    bench_tx_begin(e->tx[way], &to, head->len + full + pad_of(e, head, full));
    for (uint32_t k = 0; k < e->setup->burst; k++, stamp->seq++) {
        const uint32_t len = bench_shape_bytes(e->setup, stamp->seq);
        uint8_t *room = bench_tx_packet(e->tx[way], head->len + BENCH_STAMP, len - BENCH_STAMP,
                                        pad_of(e, head, len), len);
        put_head(e, head, len, stamp, room);
    }
}

/* What bench_tx tells of datagrams. */
static void tell_stream(struct bench_engine *e, uint32_t packets, uint32_t bytes, int err)
{
    bench_count_sent(e, &(const struct bench_tx_outcome){
                            .way = BENCH_UP,
                            .sent = err == 0 ? packets : 0,
                            .unsent = err == 0 ? 0 : packets,
                            .bytes = err == 0 ? bytes : 0,
                            .err = err,
                        });
}

static void send_frames(struct bench_engine *e, uint32_t i, const struct head *head,
                        struct bench_stamp *stamp)
{
    uint32_t at = 0;
    uint32_t packets = 0;
    uint32_t bytes = 0;
    int err = 0;

    for (uint32_t k = 0; k < e->setup->burst; k++, stamp->seq++) {
        const uint32_t len = bench_shape_bytes(e->setup, stamp->seq);
        const uint32_t pad = pad_of(e, head, len);
        put_head(e, head, len, stamp, e->stream + at);
        at += head->len + BENCH_STAMP;
        memcpy(e->stream + at, e->body, len - BENCH_STAMP);
        at += len - BENCH_STAMP;
        memset(e->stream + at, 0, pad);
        at += pad;
        packets++;
        bytes += len;
        if (at >= STREAM_WRITE || k + 1 == e->setup->burst) {
            err = err == 0 ? bench_link_write(e, i, at) : err;
            tell_stream(e, packets, bytes, err);
            at = packets = bytes = 0;
        }
    }
    if (err < 0 && err != -EAGAIN) {
        bench_client_lost(e, i, err, NULL);
    }
}

static void send_burst(struct bench_engine *e, uint32_t i, enum bench_way way)
{
    struct bench_client *c = &e->clients[i];
    struct bench_flow *flow = &c->flow[way];
    struct bench_stamp stamp = {
        .run = e->run,
        .flow = i * BENCH_WAYS + way,
        .seq = flow->sent,
        .sent_ns = wall_ns(),
    };
    struct head head;

    if (!c->live) {
        return;
    }
    make_head(e, i, way, &head);
    flow->sent += e->setup->burst;
    e->in_flight += e->setup->burst;
    if (way == BENCH_UP && bench_is_stream(e)) {
        send_frames(e, i, &head, &stamp);
    } else {
        send_datagrams(e, i, way, &head, &stamp);
    }
}

/* --- when ------------------------------------------------------------------------------------- */

/* Down goes half a burst's time after up. */
static double phase_of(const struct bench_engine *e, enum bench_way way)
{
    return way == BENCH_DOWN && e->setup->way[BENCH_UP] ? 0.5 : 0;
}

static double bursts_per_ns(const struct bench_engine *e)
{
    return e->live / e->setup->tick_s / 1e9;
}

static void send_paced(struct bench_engine *e, enum bench_way way)
{
    const double due_f = (double)(e->now_ns - e->load_ns) * bursts_per_ns(e) - phase_of(e, way);
    const uint64_t due = due_f < 0 ? 0 : (uint64_t)due_f + 1;
    const double room = bursts_per_ns(e) * BACKLOG_MS * 1e6;
    const uint64_t backlog = BACKLOG_MIN + (uint64_t)room;

    if (due > e->done[way] + backlog) {
        e->skipped += due - backlog - e->done[way];
        e->done[way] = due - backlog;
    }
    for (uint32_t n = 0; e->done[way] < due && n < BURSTS_A_TURN; n++) {
        send_burst(e, e->order[e->done[way] % e->live], way);
        e->done[way]++;
    }
}

/* Packets of all flows are on their way at most as the window allows; flows take turns. */
static void send_flat(struct bench_engine *e)
{
    const struct bench_setup *setup = e->setup;
    const bool both = setup->way[BENCH_UP] && setup->way[BENCH_DOWN];
    const uint64_t ways = both ? BENCH_WAYS : 1;

    if (e->now_ns - e->heard_ns > (uint64_t)REFILL_MS * 1000000U &&
        e->now_ns - e->refilled_ns > (uint64_t)REFILL_MS * 1000000U) {
        e->in_flight = 0;
        e->refilled_ns = e->now_ns;
    }
    for (uint32_t n = 0; e->in_flight + setup->burst <= setup->window && n < BURSTS_A_TURN; n++) {
        const enum bench_way way = both                   ? (enum bench_way)(e->flat_at % ways)
                                   : setup->way[BENCH_UP] ? BENCH_UP
                                                          : BENCH_DOWN;
        send_burst(e, e->order[e->flat_at / ways % e->live], way);
        e->flat_at++;
    }
}

void bench_load_send(struct bench_engine *e)
{
    if (e->setup->flat) {
        send_flat(e);
        return;
    }
    for (enum bench_way way = BENCH_UP; way < BENCH_WAYS; way++) {
        if (e->setup->way[way]) {
            send_paced(e, way);
        }
    }
}

uint64_t bench_load_due_ns(const struct bench_engine *e)
{
    double first = -1;

    if (e->setup->flat) {
        return e->in_flight + e->setup->burst <= e->setup->window
                   ? e->now_ns
                   : e->now_ns + (uint64_t)REFILL_MS * 1000000U;
    }
    for (enum bench_way way = BENCH_UP; way < BENCH_WAYS; way++) {
        const double at = ((double)e->done[way] + phase_of(e, way)) / bursts_per_ns(e);
        if (e->setup->way[way] && (first < 0 || at < first)) {
            first = at;
        }
    }
    return e->load_ns + (uint64_t)(first < 0 ? 0 : first);
}

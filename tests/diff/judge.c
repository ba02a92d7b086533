/* SPDX-License-Identifier: Apache-2.0 */
#include "diff/judge.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "check.h"

enum { TICK_MS = 10, HEAD = 4, PADDING = 3 };

/* One frame on its way through both. */
struct trial {
    struct paths *paths;
    const struct traffic *t;
    enum kernel_program program;
    enum kernel_verdict kernel;
    uint8_t out[FRAME_MAX];
    size_t out_n;
    bool readable;              /* a datagram that the kernel path may take */
    struct frame in;            /* if it is */
    bool relayed;               /* user space sends it */
    bool limited;               /* user space drops it for its bandwidth */
    struct frame to;            /* what user space sends */
    size_t app;                 /* bytes of application data */
    bool twice;                 /* from one relay address of the server to another */
    struct paths_flow *flow[2]; /* the channels that it belongs to; NULL: none was handed over */
    struct paths_flow seen[2];  /* as they were */
    enum turn_verdict way[2];
    uint8_t data[FRAME_DATA_MAX + HEAD];
};

/* --- failing ------------------------------------------------------------------------------------
 */

/* cmocka's own print_message() cuts long lines. */
static void print_hex(const char *name, const uint8_t *p, size_t n)
{
    (void)printf("# %s ", name);
    for (size_t i = 0; i < n; i++) {
        (void)printf("%02x", p[i]);
    }
    (void)printf("\n");
}

/* What the programs say to the frame when they see it once more. */
static void print_reason(const struct trial *x)
{
    static const char *const names[] = {
#define X(name) #name,
        OFFLOAD_COUNTS(X)
#undef X
    };
    const struct kernel *k = x->paths->kernel;
    uint64_t before[OFFLOAD_COUNT_MAX];
    uint64_t after[OFFLOAD_COUNT_MAX];
    uint8_t out[FRAME_MAX];
    size_t n;

    if (forward_counts(k->forward, before) < 0) {
        return;
    }
    (void)kernel_run(k, x->program, x->t->at, x->t->bytes, x->t->n, out, &n);
    if (forward_counts(k->forward, after) < 0) {
        return;
    }
    for (int i = 0; i < OFFLOAD_COUNT_MAX; i++) {
        if (after[i] != before[i]) {
            (void)printf("# once more: %s\n", names[i]);
        }
    }
}

static void check(const struct trial *x, bool ok, const char *what)
{
    static const char *const verdicts[] = {"up", "out", "drop"};
    uint8_t want[FRAME_MAX];

    if (ok) {
        return;
    }
    (void)printf("# now %" PRIu64 " ms, %s, oddity %s, by %s: kernel %s, user space %s%s\n",
                 x->paths->world.now_ms, x->program == KERNEL_XDP ? "xdp" : "tc",
                 traffic_name(x->t->oddity), stage_name(x->t->at), verdicts[x->kernel],
                 x->relayed ? "relays" : "drops", x->limited ? " for its bandwidth" : "");
    print_hex("in  ", x->t->bytes, x->t->n);
    print_hex("out ", x->out, x->out_n);
    if (x->relayed) {
        print_hex("want", want, frame_write(&x->to, want));
    }
    print_reason(x);
    fail_msg("%s", what);
}

/* --- user space ---------------------------------------------------------------------------------
 */

/* The packet that the core sends, as it looks on the wire. */
static void keep_answer(struct trial *x)
{
    const struct pkt *pkt = &x->paths->world.pkt;

    x->to = (struct frame){
        .src = pkt->local,
        .dst = pkt->remote,
        .tos = pkt->tos,
        .df = pkt->df,
        .ttl = (uint8_t)(x->in.ttl - 1),
        .no_sum = x->in.no_sum,
        .sum_error = x->in.sum_error,
        .data = x->data,
        .n = pkt->len,
    };
    memcpy(x->data, pkt->data, pkt->len);
    const struct stage_net *way = stage_way(&x->to.dst);
    if (way != NULL && way->mtu != 0) {
        memcpy(x->to.from, stage_mac(way->by), FRAME_MAC);
        stage_next_hop(&x->to.dst, x->to.to);
    }
}

/* The channel that the tables have for it, as it is before the core sees the packet. */
static void find_flow(struct trial *x, int i, const struct frame *f)
{
    struct paths *p = x->paths;
    const struct net_addr *listener = &p->world.server_addr[f->dst.family == NET_V4 ? 0 : 1];

    x->flow[i] = net_addr_equal(&f->dst, listener)
                     ? paths_of_client(p, &f->src, &f->dst, f->n >= HEAD ? be16(f->data) : 0)
                     : paths_of_peer(p, &f->src, &f->dst);
    if (x->flow[i] != NULL) {
        x->seen[i] = *x->flow[i];
    }
}

/* Ask the core, and once more if the peer is a relay address of this server. */
static void ask(struct trial *x)
{
    find_flow(x, 0, &x->in);
    x->way[0] = paths_ask(x->paths, &x->in);
    x->relayed = x->way[0] == TURN_TO_PEER || x->way[0] == TURN_TO_CLIENT;
    if (x->relayed) {
        keep_answer(x);
        x->app = x->to.n - (x->way[0] == TURN_TO_CLIENT ? HEAD : 0);
    }
    if (x->way[0] == TURN_TO_PEER && paths_is_relay(x->paths, &x->to.dst)) {
        const struct frame hop = x->to;
        x->twice = true;
        find_flow(x, 1, &hop);
        x->way[1] = paths_ask(x->paths, &hop);
        x->relayed = x->way[1] == TURN_TO_CLIENT;
        if (x->relayed) {
            keep_answer(x);
            x->to.ttl = (uint8_t)(x->in.ttl - 1);
        }
    }
    x->limited = !x->relayed && x->way[0] != TURN_WAIT &&
                 turn_server_last_drop(x->paths->world.server) == DROP_BANDWIDTH;
}

/* --- what the kernel path may and must do -------------------------------------------------------
 */

static bool is_live(const struct trial *x, int i)
{
    const struct paths_flow *flow = &x->seen[i];
    const uint64_t until_ms =
        x->way[i] == TURN_TO_PEER ? flow->is.to_peer_until_ms : flow->is.to_client_until_ms;

    return x->flow[i] != NULL && !flow->halted && x->paths->world.now_ms + TICK_MS < until_ms;
}

/* Whom the packet is forwarded for. */
static bool is_known(const struct trial *x)
{
    return is_live(x, 0) && (!x->twice || is_live(x, 1));
}

/* Nothing behind the application data but padding. */
static bool is_padded_well(const struct trial *x)
{
    static const uint8_t zeros[PADDING];

    if (x->way[0] != TURN_TO_PEER) {
        return true;
    }
    const size_t surplus = x->in.n - HEAD - x->app;
    return surplus <= PADDING && memcmp(x->in.data + x->in.n - surplus, zeros, surplus) == 0;
}

static bool is_reachable(const struct trial *x)
{
    const struct stage_net *way = stage_way(&x->to.dst);

    return way != NULL && frame_size(&x->to) - FRAME_ETHER <= way->mtu;
}

static bool is_summed_well(const struct trial *x)
{
    return x->in.no_sum ? x->in.src.family == NET_V4 && x->to.src.family == NET_V4
                        : !frame_is_partial(&x->in, x->t->bytes);
}

/* There is no reason to hand it to user space. */
static bool is_due(const struct trial *x)
{
    return x->readable && x->relayed && x->in.ttl > 1 && is_known(x) && is_padded_well(x) &&
           is_reachable(x) && is_summed_well(x);
}

/* --- judging ------------------------------------------------------------------------------------
 */

/* Ethernet may go on behind the datagram, with what was there before. */
static void check_tail(const struct trial *x, size_t want_n)
{
    const size_t there =
        x->t->n - (frame_size(&x->in) - x->in.n) - x->app - (x->way[0] == TURN_TO_PEER ? HEAD : 0);

    check(x, x->out_n >= want_n && x->out_n - want_n <= there, "not the length of the datagram");
    const size_t more = x->out_n - want_n;
    check(x, memcmp(x->out + want_n, x->t->bytes + x->t->n - more, more) == 0,
          "something was written behind the datagram");
}

static void count_flow(const struct trial *x, int i)
{
    const int way = x->way[i] == TURN_TO_PEER ? OFFLOAD_TO_PEER : OFFLOAD_TO_CLIENT;

    x->flow[i]->made.packets[way]++;
    x->flow[i]->made.bytes[way] += x->app;
}

static void count_out(struct judge *j, const struct trial *x)
{
    const bool up = x->way[0] == TURN_TO_PEER;

    j->ways[x->in.src.family][x->to.src.family]++;
    j->odd[x->t->oddity]++;
    j->counts[x->twice ? OFFLOAD_forwarded_relay_to_relay
              : up     ? OFFLOAD_forwarded_to_peer
                       : OFFLOAD_forwarded_to_client]++;
    j->counts[OFFLOAD_forwarded_bytes] += x->app;
    count_flow(x, 0);
    if (x->twice) {
        count_flow(x, 1);
    }
}

static void judge_out(struct judge *j, struct trial *x)
{
    uint8_t want[FRAME_MAX];
    struct frame out;

    check(x, x->readable, "forwarded what user space does not get, or not in this form");
    check(x, x->relayed, "forwarded what user space drops");
    check(x, is_known(x), "forwarded at or after the deadline, or after the rules have changed");
    check(x, is_due(x), "forwarded what must go up");
    check(x, frame_read(x->out, x->out_n, &out), "not even a datagram comes out");
    x->to.id = out.id;
    const size_t n = frame_write(&x->to, want);
    check(x, x->out_n >= n && memcmp(x->out, want, n) == 0, "not what user space sends");
    check_tail(x, n);
    count_out(j, x);
}

static void judge_up(const struct trial *x)
{
    check(x, x->out_n == x->t->n && memcmp(x->out, x->t->bytes, x->out_n) == 0,
          "modified on its way up");
    check(x, !is_due(x), "left to user space without a reason");
}

static bool has_limits(const struct trial *x)
{
    return x->paths->world.config.main.max_bps != 0;
}

/* Both take from the same buckets: here each has its turn with what was there before. */
static void run_both(struct trial *x)
{
    static struct paths_buckets before;
    static struct paths_buckets after;
    struct paths *p = x->paths;

    if (has_limits(x)) {
        paths_save(p, &before);
    }
    x->kernel =
        kernel_run(p->kernel, x->program, x->t->at, x->t->bytes, x->t->n, x->out, &x->out_n);
    if (has_limits(x)) {
        check(x, x->kernel != KERNEL_UP || paths_same(p, &before), "paid for what goes up");
        paths_save(p, &after);
        paths_restore(p, &before);
    }
    x->readable = frame_read(x->t->bytes, x->t->n, &x->in) &&
                  memcmp(x->in.to, stage_mac(x->t->at), FRAME_MAC) == 0 &&
                  !paths_is_martian(p, &x->in.src);
    if (x->readable) {
        ask(x);
    }
    if (has_limits(x) && x->kernel != KERNEL_UP) {
        check(x, paths_same(p, &after), "paid something else than user space");
    }
}

void judge_start(struct judge *j, struct paths *paths)
{
    j->paths = paths;
}

void judge_frame(struct judge *j, const struct traffic *t, enum kernel_program program)
{
    static struct trial x;

    x = (struct trial){.paths = j->paths, .t = t, .program = program};
    if (!kernel_can_run(program, t->bytes, t->n)) {
        x.program = KERNEL_XDP;
    }
    run_both(&x);
    j->frames++;
    j->verdicts[x.kernel]++;
    switch (x.kernel) {
    case KERNEL_OUT:
        judge_out(j, &x);
        break;
    case KERNEL_DROP:
        check(&x, x.readable && x.limited, "dropped, and user space would not do that");
        j->counts[OFFLOAD_limit]++;
        break;
    case KERNEL_UP:
        judge_up(&x);
        break;
    }
}

void judge_counts(struct judge *j)
{
    static const enum offload_count known[] = {
        OFFLOAD_forwarded_to_peer,
        OFFLOAD_forwarded_to_client,
        OFFLOAD_forwarded_relay_to_relay,
        OFFLOAD_forwarded_bytes,
        OFFLOAD_limit,
        OFFLOAD_lost,
    };

    uint64_t counts[OFFLOAD_COUNT_MAX];

    assert_int_equal(forward_counts(j->paths->kernel->forward, counts), 0);
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        assert_int_equal(counts[known[i]], j->counts[known[i]]);
    }
}

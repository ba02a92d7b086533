/* SPDX-License-Identifier: Apache-2.0 */
/* Bursts: packets that are views into one buffer come out as single ones would; and what the core
 * remembers from one packet to the next never outlives its truth. */
#include <string.h>

#include "stage.h"
#include "turn/turn_int.h"

enum { COUNT = 8, CHANNEL = 0x4000, SPACE = 2048 };

/* One packet that came out, as it would leave. */
struct outcome {
    enum turn_verdict verdict;
    struct net_addr remote;
    struct net_addr local;
    void *port;
    uint8_t tos;
    uint32_t len;
    uint8_t bytes[SPACE];
};

static const struct net_addr *peer_of(int i)
{
    static struct net_addr peers[2];

    peers[0] = world_addr("198.51.100.1:9");  /* has a channel */
    peers[1] = world_addr("198.51.100.2:10"); /* has a permission */
    return &peers[i];
}

static struct outcome outcome_of(enum turn_verdict verdict, const struct pkt *pkt)
{
    struct outcome out = {.verdict = verdict};

    if (verdict == TURN_DROP) {
        return out;
    }
    out.remote = pkt->remote;
    out.local = pkt->local;
    out.port = pkt->port;
    out.tos = pkt->tos;
    out.len = pkt_size(pkt);
    assert_true(out.len <= SPACE);
    memcpy(out.bytes, pkt_head(pkt), pkt->head_len);
    memcpy(out.bytes + pkt->head_len, pkt->data, pkt->len);
    if (out.len > STUN_HEADER && out.bytes[0] == 0) {
        memset(out.bytes + 8, 0, STUN_TID); /* of a Data indication: random */
    }
    return out;
}

static void expect_same(const struct outcome *a, const struct outcome *b)
{
    assert_int_equal(a->verdict, b->verdict);
    assert_true(net_addr_equal(&a->remote, &b->remote));
    assert_true(net_addr_equal(&a->local, &b->local));
    assert_ptr_equal(a->port, b->port);
    assert_int_equal(a->tos, b->tos);
    assert_int_equal(a->len, b->len);
    assert_memory_equal(a->bytes, b->bytes, a->len);
}

/* COUNT messages of `len` bytes, the last one of `tail`, end to end in a buffer. */
struct burst {
    uint32_t len;
    uint32_t tail;
    uint8_t data[COUNT * SPACE];
    uint8_t before[COUNT * SPACE];
    uint8_t side[COUNT][PKT_HEADROOM];
};

static struct pkt view_of(struct burst *burst, uint32_t i)
{
    return (struct pkt){
        .data = burst->data + i * burst->len,
        .len = i == COUNT - 1 ? burst->tail : burst->len,
        .buf = burst->side[i],
        .tos = 0xb8,
        .transport = NET_UDP,
        .view = true,
    };
}

/* Whatever became of them, the bytes of the burst are as they came. */
static void burst_fill(struct burst *burst)
{
    memcpy(burst->before, burst->data, sizeof(burst->data));
}

static void burst_untouched(const struct burst *burst)
{
    assert_memory_equal(burst->before, burst->data, sizeof(burst->data));
}

static struct net_addr burst_stage(struct stage *s)
{
    const struct net_addr relayed = stage_allocate(&s->c);

    s->w.config.copy_dscp = true;
    assert_int_equal(world_reconfigure(&s->w, NULL, NULL), 0);
    assert_int_equal(client_bind(&s->c, CHANNEL, peer_of(0)).code, 0);
    assert_int_equal(client_permit(&s->c, peer_of(1)).code, 0);
    return relayed;
}

/* From a peer: ChannelData without padding, Data indications with it. */
static void burst__from_a_peer_is_as_single_packets(void **state)
{
    static const uint32_t lengths[] = {1, 3, 4, 172, 1200};
    static struct burst burst;
    struct stage *s = *state;
    struct outcome single[COUNT];
    const struct net_addr relayed = burst_stage(s);

    for (size_t c = 0; c < 2 * COUNT_OF(lengths); c++) {
        const struct net_addr *peer = peer_of(c % 2);
        burst.len = lengths[c / 2];
        burst.tail = burst.len > 1 ? burst.len - 1 : 1;
        for (size_t i = 0; i < sizeof(burst.data); i++) {
            burst.data[i] = (uint8_t)(i * 7 + i / 256);
        }
        burst_fill(&burst);
        void *relay = NULL;
        for (uint32_t i = 0; i < COUNT; i++) {
            const struct pkt view = view_of(&burst, i);
            const enum turn_verdict verdict =
                world_from_peer(&s->w, &relayed, peer, view.data, view.len);
            single[i] = outcome_of(verdict, &s->w.pkt);
            single[i].tos = 0xb8;
        }
        for (uint32_t i = 0; i < WORLD_MAX_SOCKETS && relay == NULL; i++) {
            relay = s->w.sockets[i].open ? s->w.sockets[i].relay : NULL;
        }
        struct pkt views[COUNT];
        enum turn_verdict verdicts[COUNT];
        for (uint32_t i = 0; i < COUNT; i++) {
            views[i] = view_of(&burst, i);
            views[i].remote = *peer;
            views[i].local = relayed;
            verdicts[i] = turn_server_peer_packet(s->w.server, relay, &views[i], s->w.now_ms);
        }
        for (uint32_t i = 0; i < COUNT; i++) {
            const struct outcome out = outcome_of(verdicts[i], &views[i]);
            assert_int_equal(out.verdict, TURN_TO_CLIENT);
            expect_same(&out, &single[i]);
        }
        burst_untouched(&burst);
    }
}

static uint32_t put_channel_data(uint8_t *at, uint32_t len, uint8_t value)
{
    channel_data_head(at, CHANNEL, (uint16_t)len);
    memset(at + 4, value, len);
    return 4 + len;
}

static uint32_t put_send(struct stage *s, uint8_t *at, uint32_t len, uint8_t value)
{
    uint8_t data[SPACE];

    memset(data, value, len);
    client_begin(&s->c, STUN_SEND, STUN_INDICATION);
    stun_out_xor_addr(&s->c.out, STUN_XOR_PEER_ADDRESS, peer_of(1));
    stun_out_attr(&s->c.out, STUN_DATA_ATTR, (struct bytes){data, len});
    client_end(&s->c);
    memcpy(at, s->c.buf, s->c.len);
    return (uint32_t)s->c.len;
}

/* From a client: ChannelData, and Send indications. */
static void burst__from_a_client_is_as_single_packets(void **state)
{
    static const uint32_t lengths[] = {1, 172, 1201};
    static struct burst burst;
    struct stage *s = *state;
    struct outcome single[COUNT];

    (void)burst_stage(s);
    for (size_t c = 0; c < 2 * COUNT_OF(lengths); c++) {
        const bool send = c % 2 != 0;
        for (uint32_t i = 0; i < COUNT; i++) {
            const uint32_t len = i == COUNT - 1 ? 1 : lengths[c / 2];
            uint8_t *at = burst.data + i * burst.len;
            burst.tail =
                send ? put_send(s, at, len, (uint8_t)i) : put_channel_data(at, len, (uint8_t)i);
            burst.len = i == 0 ? burst.tail : burst.len;
        }
        burst_fill(&burst);
        for (uint32_t i = 0; i < COUNT; i++) {
            const struct pkt view = view_of(&burst, i);
            const enum turn_verdict verdict =
                world_from_client(&s->w, &s->c.addr, view.data, view.len);
            single[i] = outcome_of(verdict, &s->w.pkt);
            single[i].tos = 0xb8;
        }
        for (uint32_t i = 0; i < COUNT; i++) {
            struct pkt view = view_of(&burst, i);
            view.remote = s->c.addr;
            view.local = s->w.server_addr[0];
            view.port = &s->w.server_addr;
            const struct outcome out =
                outcome_of(turn_server_client_packet(s->w.server, &view, s->w.now_ms), &view);
            assert_int_equal(out.verdict, TURN_TO_PEER);
            expect_same(&out, &single[i]);
        }
        burst_untouched(&burst);
        burst.len = 0;
    }
}

/* A request in a view has no room for an answer: it must not be written over its neighbours. */
static void burst__request_in_a_view_writes_nowhere(void **state)
{
    static struct burst burst;
    struct stage *s = *state;

    client_begin(&s->c, STUN_BINDING, STUN_REQUEST);
    client_end(&s->c);
    burst.len = (uint32_t)s->c.len;
    burst.tail = burst.len;
    for (uint32_t i = 0; i < COUNT; i++) {
        memcpy(burst.data + i * burst.len, s->c.buf, burst.len);
    }
    burst_fill(&burst);
    struct pkt view = view_of(&burst, 1);
    view.remote = s->c.addr;
    view.local = s->w.server_addr[0];
    assert_int_equal(turn_server_client_packet(s->w.server, &view, s->w.now_ms), TURN_DROP);
    assert_int_equal(world_drops(&s->w, DROP_INTERNAL), 1);
    burst_untouched(&burst);
}

/* --- what is remembered --------------------------------------------------------------------------
 */

static enum turn_verdict send_on(struct stage *s, struct client *c, uint16_t channel)
{
    uint8_t data[8] = {0};

    channel_data_head(data, channel, 4);
    return world_from_client(&s->w, &c->addr, data, sizeof(data));
}

static enum turn_verdict from_peer(struct stage *s, const struct net_addr *relayed, int peer)
{
    return world_from_peer(&s->w, relayed, peer_of(peer), (const uint8_t *)"data", 4);
}

static bool came_by_channel(const struct stage *s)
{
    return s->w.pkt.data[0] == CHANNEL >> 8;
}

/* Two channels in turns: each packet goes by its own. */
static void memo__follows_from_one_to_another(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = burst_stage(s);

    assert_int_equal(client_bind(&s->c, CHANNEL + 1, peer_of(1)).code, 0);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(send_on(s, &s->c, (uint16_t)(CHANNEL + i % 2)), TURN_TO_PEER);
        assert_true(net_addr_equal(&s->w.pkt.remote, peer_of(i % 2)));
        assert_int_equal(from_peer(s, &relayed, i / 2 % 2), TURN_TO_CLIENT);
        assert_int_equal(be16(s->w.pkt.data), CHANNEL + i / 2 % 2);
    }
    assert_int_equal(send_on(s, &s->c, CHANNEL + 2), TURN_DROP);
    assert_int_equal(s->w.server->last_drop, DROP_NO_CHANNEL);
}

/* A channel, and its permission, end at their time, also before they are swept away. */
static void memo__ends_with_its_time(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = burst_stage(s);

    assert_int_equal(send_on(s, &s->c, CHANNEL), TURN_TO_PEER);
    assert_int_equal(from_peer(s, &relayed, 0), TURN_TO_CLIENT);
    assert_true(came_by_channel(s));
    s->w.now_ms += (uint64_t)s->w.config.permission_s * 1000; /* no timer has run */
    assert_int_equal(from_peer(s, &relayed, 0), TURN_DROP);
    assert_int_equal(s->w.server->last_drop, DROP_NO_PERMISSION);
    assert_int_equal(send_on(s, &s->c, CHANNEL), TURN_TO_PEER);
    assert_int_equal(client_refresh(&s->c, 3000).code, 0);
    assert_int_equal(client_permit(&s->c, peer_of(0)).code, 0);
    assert_int_equal(from_peer(s, &relayed, 0), TURN_TO_CLIENT);
    s->w.now_ms += (uint64_t)s->w.config.channel_s * 1000;
    assert_int_equal(send_on(s, &s->c, CHANNEL), TURN_DROP);
    assert_int_equal(s->w.server->last_drop, DROP_NO_CHANNEL);
    assert_int_equal(client_permit(&s->c, peer_of(0)).code, 0);
    assert_int_equal(from_peer(s, &relayed, 0), TURN_TO_CLIENT);
    assert_false(came_by_channel(s));
}

/* A record that is freed may be another's in no time: the next allocation gets its memory. */
static void memo__is_not_anothers_record(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = burst_stage(s);
    const struct net_addr stranger = world_addr("198.51.100.77:7");
    struct client other;

    client_init(&other, &s->w, "203.0.113.6:4000", "user", "pass");
    (void)stage_allocate(&other);
    assert_int_equal(send_on(s, &s->c, CHANNEL), TURN_TO_PEER);
    assert_int_equal(from_peer(s, &relayed, 0), TURN_TO_CLIENT);
    assert_int_equal(client_refresh(&s->c, 3000).code, 0);
    assert_int_equal(client_refresh(&other, 3000).code, 0);
    world_advance(&s->w, (uint64_t)s->w.config.channel_s * 1000); /* channel and permission go */
    assert_int_equal(client_bind(&other, CHANNEL, &stranger).code, 0);
    assert_int_equal(send_on(s, &s->c, CHANNEL), TURN_DROP);
    assert_int_equal(s->w.server->last_drop, DROP_NO_CHANNEL);
    assert_int_equal(world_from_peer(&s->w, &relayed, &stranger, (const uint8_t *)"x", 1),
                     TURN_DROP);
    assert_int_equal(s->w.server->last_drop, DROP_NO_PERMISSION);
    assert_int_equal(send_on(s, &other, CHANNEL), TURN_TO_PEER);
    assert_true(net_addr_equal(&s->w.pkt.remote, &stranger));
}

static void memo__of_an_allocation_that_has_ended(void **state)
{
    struct stage *s = *state;
    struct client other;

    (void)burst_stage(s);
    assert_int_equal(send_on(s, &s->c, CHANNEL), TURN_TO_PEER);
    assert_int_equal(client_refresh(&s->c, 0).code, 0);
    assert_int_equal(send_on(s, &s->c, CHANNEL), TURN_DROP);
    assert_int_equal(s->w.server->last_drop, DROP_NO_ALLOCATION);
    client_init(&other, &s->w, "203.0.113.6:4000", "user", "pass");
    (void)stage_allocate(&other); /* in the same memory */
    assert_int_equal(client_bind(&other, CHANNEL, peer_of(0)).code, 0);
    assert_int_equal(send_on(s, &s->c, CHANNEL), TURN_DROP);
    assert_int_equal(s->w.server->last_drop, DROP_NO_ALLOCATION);
    assert_int_equal(send_on(s, &other, CHANNEL), TURN_TO_PEER);
}

/* What the rules forbid from now on is forgotten at once. */
static void memo__of_a_peer_that_is_denied_now(void **state)
{
    static const char *const allow[] = {"198.51.100.2", NULL};
    static const char *const deny[] = {"198.51.100.1", NULL};
    struct stage *s = *state;
    const struct net_addr relayed = burst_stage(s);

    assert_int_equal(send_on(s, &s->c, CHANNEL), TURN_TO_PEER);
    assert_int_equal(from_peer(s, &relayed, 0), TURN_TO_CLIENT);
    assert_int_equal(world_reconfigure(&s->w, allow, deny), 0);
    assert_int_equal(send_on(s, &s->c, CHANNEL), TURN_DROP);
    assert_int_equal(s->w.server->last_drop, DROP_NO_CHANNEL);
    assert_int_equal(from_peer(s, &relayed, 0), TURN_DROP);
    assert_int_equal(s->w.server->last_drop, DROP_NO_PERMISSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(burst__from_a_peer_is_as_single_packets),
        STAGE_TEST(burst__from_a_client_is_as_single_packets),
        STAGE_TEST(burst__request_in_a_view_writes_nowhere),
        STAGE_TEST(memo__follows_from_one_to_another),
        STAGE_TEST(memo__ends_with_its_time),
        STAGE_TEST(memo__is_not_anothers_record),
        STAGE_TEST(memo__of_an_allocation_that_has_ended),
        STAGE_TEST(memo__of_a_peer_that_is_denied_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

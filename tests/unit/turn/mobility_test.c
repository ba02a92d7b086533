/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that move (RFC 8016): what they are granted and refused, and where packets go. */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "stage.h"
#include "turn/turn_int.h"

enum { CHANNEL = 0x4000, AGAIN_MS = 40000 };

static const char here[] = "203.0.113.5:4000";
static const char there[] = "203.0.113.77:7000";
static const char elsewhere[] = "[2001:db8:7::9]:9";

static struct net_addr peer_of_stage(void)
{
    return world_addr("198.51.100.1:9");
}

static struct five_tuple tuple_at(const struct stage *s, const char *addr)
{
    const struct net_addr client = world_addr(addr);

    return (struct five_tuple){client, s->w.server_addr[client.family == NET_V4 ? 0 : 1], NET_UDP};
}

/* A mobile allocation of the stage's client, with a channel to the peer. */
static struct net_addr settle(struct stage *s)
{
    const struct net_addr peer = peer_of_stage();
    const struct reply r = client_allocate_mobile(&s->c);

    assert_int_equal(r.code, 0);
    assert_int_equal(r.relayed_count, 1);
    assert_int_equal(client_bind(&s->c, CHANNEL, &peer).code, 0);
    return r.relayed[0];
}

static struct reply move_to(struct stage *s, const char *addr)
{
    client_readdress(&s->c, addr);
    return client_move(&s->c, 600);
}

static enum turn_verdict speak_from(struct stage *s, const char *addr)
{
    client_readdress(&s->c, addr);
    return client_channel(&s->c, CHANNEL, "hello", 5);
}

/* A datagram of the peer goes to `addr`, as ChannelData. */
static void peer_reaches(struct stage *s, const struct net_addr *relayed, const char *addr)
{
    const struct net_addr peer = peer_of_stage();
    const struct net_addr client = world_addr(addr);

    assert_int_equal(world_from_peer(&s->w, relayed, &peer, (const uint8_t *)"hi", 2),
                     TURN_TO_CLIENT);
    assert_true(net_addr_equal(&s->w.pkt.remote, &client));
    assert_true(
        net_addr_equal(&s->w.pkt.local, &s->w.server_addr[client.family == NET_V4 ? 0 : 1]));
    assert_int_equal(be16(s->w.pkt.data), CHANNEL);
    assert_int_equal(be16(s->w.pkt.data + 2), 2);
}

static uint64_t told(const struct stage *s, enum turn_event_kind kind)
{
    return s->w.events.count[kind];
}

static void nothing_is_left(const struct stage *s)
{
    const struct turn_tables *t = &s->w.server->tables;

    assert_int_equal(turn_server_allocation_count(s->w.server), 0);
    assert_int_equal(slab_count(t->mobile_slab) + slab_count(t->alloc_slab), 0);
    assert_int_equal(t->coming.count + t->by_session.count, 0);
    assert_int_equal(s->w.open_sockets, 0);
}

/* --- Allocate -----------------------------------------------------------------------------------
 */

/* Proves T-8016-3.1.2-04, T-8016-3.1.2-06 */
static void allocate__gives_a_ticket(void **state)
{
    struct stage *s = *state;
    const struct reply r = client_allocate_mobile(&s->c);

    assert_int_equal(r.code, 0);
    assert_true(r.integrity_ok);
    assert_int_equal(r.ticket.n, TURN_TICKET_LEN);
    assert_true(s->w.pkt.len <= 548);
    uint8_t first[TURN_TICKET_LEN];
    memcpy(first, r.ticket.p, sizeof(first));
    const struct reply again = client_submit(&s->c); /* the same request once more */
    assert_int_equal(again.ticket.n, sizeof(first));
    assert_memory_equal(again.ticket.p, first, sizeof(first));
}

/* Proves T-8016-3.1.2-05 */
static void allocate__gives_none_unasked(void **state)
{
    struct stage *s = *state;
    struct reply r = client_allocate(&s->c);

    assert_int_equal(r.code, 0);
    assert_null(r.ticket.p);
    assert_int_equal(slab_count(s->w.server->tables.mobile_slab), 0);
    r = client_refresh(&s->c, 600);
    assert_int_equal(r.code, 0);
    assert_null(r.ticket.p);
}

/* Proves T-8016-3.1.2-02 */
static void allocate__ticket_must_be_empty(void **state)
{
    struct stage *s = *state;

    assert_true(client_challenge(&s->c));
    for (size_t n = 1; n < 64; n += 7) {
        static const uint8_t value[64];
        client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
        client_put_transport(&s->c);
        stun_out_attr(&s->c.out, STUN_MOBILITY_TICKET, (struct bytes){value, n});
        client_sign(&s->c);
        const struct reply r = client_submit(&s->c);
        assert_int_equal(r.code, STUN_BAD_REQUEST);
        assert_true(r.integrity_ok);
    }
    nothing_is_left(s);
}

/* Proves T-8016-3.1.2-01 */
static void allocate__mobility_may_be_forbidden(void **state)
{
    struct stage *s = *state;

    s->w.config.mobility = false;
    const struct reply r = client_allocate_mobile(&s->c);
    assert_int_equal(r.code, STUN_MOBILITY_FORBIDDEN);
    assert_true(r.integrity_ok);
    nothing_is_left(s);
    assert_int_equal(client_allocate(&s->c).code, 0);
}

/* Proves T-8016-5-02 */
static void mobility__wants_protection(void **state)
{
    static const uint8_t transports[] = {NET_UDP, NET_TCP, NET_TLS, NET_DTLS};
    struct stage *s = *state;

    s->w.config.require_auth = false;
    s->c.auth = CLIENT_NO_AUTH;
    for (size_t i = 0; i < COUNT_OF(transports); i++) {
        const bool protected = transports[i] == NET_TLS || transports[i] == NET_DTLS;
        s->c.transport = transports[i];
        s->c.addr.port++;
        const struct reply r = client_allocate_mobile(&s->c);
        assert_int_equal(r.code, protected ? 0 : STUN_MOBILITY_FORBIDDEN);
    }
    s->c.transport = NET_UDP;
    assert_int_equal(client_move(&s->c, 600).code, STUN_MOBILITY_FORBIDDEN);
    s->c.transport = NET_TLS;
    s->c.addr.port++;
    assert_int_equal(client_move(&s->c, 600).code, 0);
}

/* --- tickets ------------------------------------------------------------------------------------
 */

/* Proves T-8016-3.2.2-04, T-8016-5-01 */
static void ticket__every_changed_bit_is_refused(void **state)
{
    struct stage *s = *state;

    (void)settle(s);
    client_readdress(&s->c, there);
    for (size_t bit = 0; bit < TURN_TICKET_LEN * 8; bit++) {
        const uint8_t mask = (uint8_t)(1U << bit % 8);
        s->c.ticket[bit / 8] ^= mask;
        const struct reply r = client_move(&s->c, 600);
        assert_int_equal(r.code, STUN_BAD_REQUEST);
        assert_true(r.integrity_ok);
        s->c.ticket[bit / 8] ^= mask;
    }
    for (size_t n = 0; n <= sizeof(s->c.ticket); n++) {
        s->c.ticket_len = n;
        if (n != TURN_TICKET_LEN) {
            assert_int_equal(client_move(&s->c, 600).code, STUN_BAD_REQUEST);
        }
    }
    assert_int_equal(told(s, TURN_EVENT_MOVED), 0);
    s->c.ticket_len = TURN_TICKET_LEN;
    assert_int_equal(client_move(&s->c, 600).code, 0);
}

/* There are clients that keep theirs in a C string, as turnutils_uclient does: 32 characters.  And
 * a content has one ticket: another mask makes it another one. */
static void ticket__is_a_string_that_is_the_only_one(void **state)
{
    struct stage *s = *state;
    uint8_t good[TURN_TICKET_LEN];

    for (uint16_t i = 0; i < 300; i++) {
        s->c.addr.port = (uint16_t)(5000 + i);
        s->c.nonce[0] = '\0';
        assert_int_equal(client_allocate_mobile(&s->c).code, 0);
        assert_int_equal(s->c.ticket_len, 32);
        assert_null(memchr(s->c.ticket, '\0', s->c.ticket_len));
    }
    memcpy(good, s->c.ticket, sizeof(good));
    client_readdress(&s->c, there);
    for (unsigned mask = 1; mask < 256; mask++) {
        for (size_t i = 0; i < TURN_TICKET_LEN; i++) {
            s->c.ticket[i] = (uint8_t)(good[i] ^ mask);
        }
        assert_int_equal(client_move(&s->c, 600).code, STUN_BAD_REQUEST);
    }
    memcpy(s->c.ticket, good, sizeof(good));
    assert_int_equal(client_move(&s->c, 600).code, 0);
}

static uint32_t bits_that_differ(const uint8_t *a, const uint8_t *b, size_t n)
{
    uint32_t count = 0;

    for (size_t i = 0; i < n; i++) {
        count += (uint32_t)__builtin_popcount((unsigned)(a[i] ^ b[i]));
    }
    return count;
}

/* Tickets of neighbours have no more in common than noise has.
 * Proves T-8016-5-01 */
static void ticket__tells_nothing(void **state)
{
    struct stage *s = *state;
    uint8_t before[TURN_TICKET_LEN];

    for (uint16_t i = 0; i < 50; i++) {
        s->c.addr.port = (uint16_t)(5000 + i);
        s->c.nonce[0] = '\0';
        memcpy(before, s->c.ticket, sizeof(before));
        assert_int_equal(client_allocate_mobile(&s->c).code, 0);
        if (i > 0) {
            const uint32_t differ = bits_that_differ(before, s->c.ticket, sizeof(before));
            assert_in_range(differ, TURN_TICKET_LEN * 8 / 4, TURN_TICKET_LEN * 8 * 3 / 4);
        }
    }
}

static void use_secrets(struct stage *s, size_t count, uint8_t first, uint8_t second)
{
    memset(s->w.config.nonce_keys[0], first, TURN_NONCE_KEY_LEN);
    memset(s->w.config.nonce_keys[1], second, TURN_NONCE_KEY_LEN);
    s->w.config.nonce_key_count = count;
    turn_server_configure(s->w.server, &s->w.config);
}

/* Proves T-8016-3.2.2-04 */
static void ticket__lives_as_long_as_its_secret(void **state)
{
    struct stage *s = *state;

    (void)settle(s);
    use_secrets(s, 2, 0x77, 0x5a);
    assert_int_equal(move_to(s, there).code, 0); /* sealed with the new one now */
    use_secrets(s, 1, 0x77, 0);
    assert_int_equal(move_to(s, elsewhere).code, 0);
    use_secrets(s, 1, 0x78, 0);
    assert_int_equal(move_to(s, there).code, STUN_BAD_REQUEST);
}

/* --- Refresh: what is refused -------------------------------------------------------------------
 */

/* Proves T-8016-3.2.2-01 */
static void refresh__mobility_may_be_forbidden_later(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = settle(s);

    s->w.config.mobility = false;
    const struct reply r = move_to(s, there);
    assert_int_equal(r.code, STUN_MOBILITY_FORBIDDEN);
    assert_true(r.integrity_ok);
    peer_reaches(s, &relayed, here);
    client_readdress(&s->c, here);
    s->c.nonce[0] = '\0';
    assert_int_equal(client_move(&s->c, 600).code, STUN_MOBILITY_FORBIDDEN);
    assert_int_equal(client_refresh(&s->c, 600).code, 0);
}

/* Proves T-8016-3.2.2-05 */
static void refresh__same_address_is_a_bad_request(void **state)
{
    struct stage *s = *state;

    (void)settle(s);
    assert_int_equal(client_move(&s->c, 600).code, STUN_BAD_REQUEST);
    assert_int_equal(client_move(&s->c, 0).code, STUN_BAD_REQUEST);
    assert_int_equal(client_refresh(&s->c, 600).code, 0);
    assert_int_equal(move_to(s, there).code, 0);
    assert_int_equal(client_move(&s->c, 600).code, STUN_BAD_REQUEST);
}

/* Proves T-8016-3.2.2-03 */
static void refresh__without_its_allocation_is_a_mismatch(void **state)
{
    struct stage *s = *state;

    (void)settle(s);
    assert_int_equal(client_refresh(&s->c, 0).code, 0);
    assert_int_equal(move_to(s, there).code, STUN_ALLOCATION_MISMATCH);
    client_readdress(&s->c, here);
    s->c.nonce[0] = '\0';
    assert_int_equal(client_allocate_mobile(&s->c).code, 0);
    world_advance(&s->w, 600 * 1000);
    assert_int_equal(move_to(s, there).code, STUN_ALLOCATION_MISMATCH);
    nothing_is_left(s);
}

/* The server has been started anew, and numbers its sessions from the beginning. */
static void refresh__ticket_of_a_namesake_is_a_mismatch(void **state)
{
    struct stage *s = *state;
    struct client stranger;

    (void)settle(s);
    turn_server_free(s->w.server);
    port_pool_free(s->w.pool);
    quota_free(s->w.quota);
    gate_free(s->w.gate);
    assert_int_equal(world_start(&s->w), 0);
    client_init(&stranger, &s->w, "203.0.113.99:1", "user", "pass");
    assert_int_equal(client_allocate_mobile(&stranger).code, 0);
    assert_int_equal(move_to(s, there).code, STUN_ALLOCATION_MISMATCH);
}

/* Proves T-8016-3.2.2-06 */
static void refresh__of_another_user_is_refused(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = settle(s);
    struct client thief;

    (void)world_add_user(&s->w, "thief", "stolen");
    client_init(&thief, &s->w, there, "thief", "stolen");
    memcpy(thief.ticket, s->c.ticket, s->c.ticket_len);
    thief.ticket_len = s->c.ticket_len;
    struct reply r = client_move(&thief, 600);
    assert_int_equal(r.code, STUN_WRONG_CREDENTIALS);
    assert_true(r.integrity_ok);
    r = client_move(&thief, 0);
    assert_int_equal(r.code, STUN_WRONG_CREDENTIALS);
    thief.user = "user"; /* whose password he does not know */
    assert_int_equal(client_move(&thief, 600).code, STUN_UNAUTHENTICATED);
    thief.auth = CLIENT_NO_AUTH;
    assert_int_equal(client_move(&thief, 600).code, STUN_UNAUTHENTICATED);
    peer_reaches(s, &relayed, here);
    assert_int_equal(told(s, TURN_EVENT_MOVED), 0);
    assert_int_equal(move_to(s, there).code, 0); /* the ticket is still good */
}

/* Proves T-8016-3.2.2-15 */
static void refresh__stale_nonce_does_not_use_up_the_ticket(void **state)
{
    struct stage *s = *state;

    (void)settle(s);
    client_readdress(&s->c, there);
    client_begin(&s->c, STUN_REFRESH, STUN_REQUEST);
    stun_out_attr(&s->c.out, STUN_MOBILITY_TICKET, (struct bytes){s->c.ticket, TURN_TICKET_LEN});
    client_sign(&s->c);
    const struct reply r = client_submit(&s->c); /* its NONCE was made for the other address */
    assert_int_equal(r.code, STUN_STALE_NONCE);
    assert_int_equal(told(s, TURN_EVENT_MOVED), 0);
    assert_int_equal(client_move(&s->c, 600).code, 0);
}

static void refresh__to_an_address_that_is_taken(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = settle(s);
    struct client other;

    client_init(&other, &s->w, there, "user", "pass");
    (void)stage_allocate(&other);
    assert_int_equal(move_to(s, there).code, STUN_ALLOCATION_MISMATCH);
    peer_reaches(s, &relayed, here);
    assert_int_equal(client_refresh(&other, 0).code, 0);
    assert_int_equal(client_move(&s->c, 600).code, 0);
    assert_int_equal(client_allocate(&other).code, STUN_ALLOCATION_MISMATCH);
}

/* --- Refresh: what is granted -------------------------------------------------------------------
 */

/* Proves T-8016-3.2.2-02, T-8016-3.2.2-07, T-8016-3.2.2-08 */
static void move__serves_both_addresses(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = settle(s);
    const struct net_addr peer = peer_of_stage();
    const struct five_tuple old = tuple_at(s, here);
    const struct five_tuple new = tuple_at(s, there);
    uint8_t before[TURN_TICKET_LEN];

    memcpy(before, s->c.ticket, sizeof(before));
    const struct reply r = move_to(s, there);
    assert_int_equal(r.code, 0);
    assert_true(r.integrity_ok);
    assert_int_equal(r.lifetime_s, 600);
    assert_int_equal(r.ticket.n, sizeof(before));
    assert_memory_not_equal(r.ticket.p, before, sizeof(before));
    assert_int_equal(told(s, TURN_EVENT_MOVED), 1);
    assert_true(net_addr_equal(&s->w.events.last_was.client, &old.client));
    peer_reaches(s, &relayed, here);
    assert_int_equal(speak_from(s, here), TURN_TO_PEER);
    peer_reaches(s, &relayed, here);
    client_readdress(&s->c, here);
    assert_int_equal(client_send(&s->c, &peer, "x", 1), TURN_TO_PEER);
    s->c.nonce[0] = '\0';
    assert_int_equal(client_refresh(&s->c, 600).code, 0);
    client_readdress(&s->c, there); /* no data: he has not arrived */
    s->c.nonce[0] = '\0';
    assert_int_equal(client_refresh(&s->c, 600).code, 0);
    assert_int_equal(client_permit(&s->c, &peer).code, 0);
    assert_int_equal(client_bind(&s->c, CHANNEL, &peer).code, 0);
    peer_reaches(s, &relayed, here);
    assert_true(turn_server_session(s->w.server, &old) != 0);
    assert_true(turn_server_session(s->w.server, &old) == turn_server_session(s->w.server, &new));
    assert_int_equal(told(s, TURN_EVENT_LEFT), 0);
}

static void arrive(struct stage *s, const struct net_addr *relayed, bool indication)
{
    const struct net_addr peer = peer_of_stage();
    const struct net_addr old = world_addr(here);
    const struct five_tuple was = tuple_at(s, here);

    assert_int_equal(move_to(s, there).code, 0);
    assert_int_equal(indication ? client_send(&s->c, &peer, "x", 1) : speak_from(s, there),
                     TURN_TO_PEER);
    assert_int_equal(told(s, TURN_EVENT_LEFT), 1);
    assert_true(net_addr_equal(&s->w.events.last_was.client, &old));
    assert_int_equal(turn_server_session(s->w.server, &was), 0);
    peer_reaches(s, relayed, there);
    assert_int_equal(speak_from(s, there), TURN_TO_PEER);
    assert_int_equal(speak_from(s, here), TURN_DROP);
    assert_int_equal(turn_server_last_drop(s->w.server), DROP_NO_ALLOCATION);
    assert_int_equal(told(s, TURN_EVENT_LEFT), 1);
    s->c.nonce[0] = '\0';
    assert_int_equal(client_refresh(&s->c, 600).code, STUN_ALLOCATION_MISMATCH);
    assert_int_equal(client_allocate(&s->c).code, 0); /* the address is free */
    assert_int_equal(turn_server_allocation_count(s->w.server), 2);
    peer_reaches(s, relayed, there);
}

/* Proves T-8016-3.2.2-09, T-8016-3.2.2-13 */
static void move__ends_with_channel_data(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = settle(s);

    arrive(s, &relayed, false);
}

/* Proves T-8016-3.2.2-09 */
static void move__ends_with_a_send_indication(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = settle(s);

    arrive(s, &relayed, true);
}

/* Proves T-8016-3.2.2-12 */
static void data__from_where_nobody_is_is_dropped(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = settle(s);

    assert_int_equal(speak_from(s, there), TURN_DROP);
    assert_int_equal(turn_server_last_drop(s->w.server), DROP_NO_ALLOCATION);
    peer_reaches(s, &relayed, here);
}

/* The Allocate of the old address comes late: it must not make another allocation. */
static void move__late_allocate_makes_nothing(void **state)
{
    struct stage *s = *state;
    static uint8_t allocate[CLIENT_BUF];
    const struct net_addr client = world_addr(here);

    assert_int_equal(client_allocate_mobile(&s->c).code, 0);
    const size_t n = s->c.len;
    memcpy(allocate, s->c.buf, n);
    assert_int_equal(move_to(s, there).code, 0);
    (void)speak_from(s, there);
    assert_int_equal(world_from_client(&s->w, &client, allocate, n), TURN_TO_CLIENT);
    assert_int_equal(client_read(&s->c, TURN_TO_CLIENT, s->w.pkt.data, s->w.pkt.len).code,
                     STUN_ALLOCATION_MISMATCH);
    assert_int_equal(turn_server_allocation_count(s->w.server), 1);
}

/* Submit the bytes that were sent last once more: the answer must be the same, bytes and all. */
static void ask_again(struct stage *s)
{
    static uint8_t answer[WORLD_PKT_CAP];
    const size_t n = s->w.pkt.len;

    memcpy(answer, s->w.pkt.data, n);
    assert_int_equal(client_submit(&s->c).verdict, TURN_TO_CLIENT);
    assert_int_equal(s->w.pkt.len, n);
    assert_memory_equal(s->w.pkt.data, answer, n);
}

/* Proves T-8016-3.2.2-10 */
static void move__is_answered_again(void **state)
{
    static uint8_t request[CLIENT_BUF];
    struct stage *s = *state;
    const struct net_addr relayed = settle(s);

    assert_int_equal(move_to(s, there).code, 0);
    const size_t n = s->c.len;
    memcpy(request, s->c.buf, n);
    ask_again(s);
    (void)speak_from(s, there); /* it is known after the arrival, too */
    memcpy(s->c.buf, request, n);
    s->c.len = n;
    world_advance(&s->w, 30000);
    assert_int_equal(client_submit(&s->c).code, 0);
    ask_again(s);
    assert_int_equal(told(s, TURN_EVENT_MOVED), 1);
    peer_reaches(s, &relayed, there);
    world_advance(&s->w, AGAIN_MS - 30000);
    assert_int_equal(client_submit(&s->c).code, STUN_BAD_REQUEST);
}

/* Proves T-8016-3.2.2-10, T-8016-3.2.2-11 */
static void old_ticket__is_only_for_retransmissions(void **state)
{
    struct stage *s = *state;
    uint8_t old[TURN_TICKET_LEN];

    (void)settle(s);
    memcpy(old, s->c.ticket, sizeof(old));
    assert_int_equal(move_to(s, there).code, 0);
    memcpy(s->c.ticket, old, sizeof(old));
    assert_int_equal(client_move(&s->c, 600).code, STUN_BAD_REQUEST); /* a new transaction */
    assert_int_equal(move_to(s, elsewhere).code, STUN_BAD_REQUEST);
    (void)speak_from(s, there);
    assert_int_equal(move_to(s, elsewhere).code, STUN_BAD_REQUEST);
    assert_int_equal(told(s, TURN_EVENT_MOVED), 1);
}

/* The same transaction with the old ticket, but from yet another address, is none that comes again.
 * Proves T-8016-3.2.2-11 */
static void old_ticket__is_no_good_from_elsewhere(void **state)
{
    struct stage *s = *state;
    uint8_t tid[STUN_TID];
    uint8_t old[TURN_TICKET_LEN];

    (void)settle(s);
    memcpy(old, s->c.ticket, sizeof(old));
    assert_int_equal(move_to(s, there).code, 0);
    memcpy(tid, s->c.tid, sizeof(tid));
    client_readdress(&s->c, elsewhere);
    assert_true(client_challenge(&s->c));
    memcpy(s->c.tid, tid, sizeof(tid));
    client_begin_again(&s->c, STUN_REFRESH, STUN_REQUEST);
    stun_out_attr(&s->c.out, STUN_MOBILITY_TICKET, (struct bytes){old, sizeof(old)});
    client_sign(&s->c);
    const struct reply r = client_submit(&s->c);
    assert_int_equal(r.code, STUN_BAD_REQUEST);
    assert_null(r.ticket.p);
}

/* Proves T-8016-3.2.2-14 */
static void move__applies_the_lifetime(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = settle(s);

    client_readdress(&s->c, there);
    assert_int_equal(client_move(&s->c, 1800).lifetime_s, 1800);
    world_advance(&s->w, 599 * 1000);
    const struct net_addr peer = peer_of_stage();
    client_readdress(&s->c, there);
    s->c.nonce[0] = '\0';
    assert_int_equal(client_bind(&s->c, CHANNEL, &peer).code, 0);
    world_advance(&s->w, 100 * 1000);
    peer_reaches(s, &relayed, here);
    world_advance(&s->w, 1101 * 1000);
    assert_int_equal(told(s, TURN_EVENT_EXPIRED), 1);
    assert_int_equal(told(s, TURN_EVENT_LEFT), 1); /* where it was to arrive */
    nothing_is_left(s);
}

/* Proves T-8016-3.2.2-14 */
static void move__lifetime_zero_deletes(void **state)
{
    struct stage *s = *state;

    (void)settle(s);
    client_readdress(&s->c, there);
    const struct reply r = client_move(&s->c, 0);
    assert_int_equal(r.code, 0);
    assert_null(r.ticket.p);
    assert_int_equal(told(s, TURN_EVENT_DELETED), 1);
    assert_int_equal(told(s, TURN_EVENT_MOVED), 0);
    nothing_is_left(s);
}

static struct reply refresh_family(struct stage *s, uint32_t family, uint32_t lifetime_s)
{
    client_begin(&s->c, STUN_REFRESH, STUN_REQUEST);
    stun_out_u32(&s->c.out, STUN_REQUESTED_ADDRESS_FAMILY, family << 24);
    stun_out_u32(&s->c.out, STUN_LIFETIME, lifetime_s);
    stun_out_attr(&s->c.out, STUN_MOBILITY_TICKET, (struct bytes){s->c.ticket, TURN_TICKET_LEN});
    client_sign(&s->c);
    return client_submit(&s->c);
}

/* Proves T-8016-3.2.2-14 */
static void move__of_one_family(void **state)
{
    struct stage *s = *state;

    assert_true(client_challenge(&s->c));
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&s->c);
    stun_out_u32(&s->c.out, STUN_ADDITIONAL_ADDRESS_FAMILY, UINT32_C(2) << 24);
    stun_out_attr(&s->c.out, STUN_MOBILITY_TICKET, (struct bytes){NULL, 0});
    client_sign(&s->c);
    struct reply r = client_submit(&s->c);
    assert_int_equal(r.relayed_count, 2);
    memcpy(s->c.ticket, r.ticket.p, TURN_TICKET_LEN);
    client_readdress(&s->c, there);
    s->c.nonce[0] = '\0';
    assert_true(client_challenge(&s->c));
    r = refresh_family(s, 2, 0); /* one of two goes, the rest moves */
    assert_int_equal(r.code, 0);
    assert_int_equal(r.ticket.n, TURN_TICKET_LEN);
    memcpy(s->c.ticket, r.ticket.p, TURN_TICKET_LEN);
    assert_int_equal(told(s, TURN_EVENT_MOVED), 1);
    client_readdress(&s->c, elsewhere);
    assert_true(client_challenge(&s->c));
    assert_int_equal(refresh_family(s, 2, 600).code, STUN_PEER_FAMILY_MISMATCH);
    assert_int_equal(told(s, TURN_EVENT_MOVED), 1);
    assert_int_equal(refresh_family(s, 1, 0).code, 0);
    nothing_is_left(s);
}

/* From one place to the next without a word, and back home. */
static void move__on_and_back(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = settle(s);
    const struct five_tuple second = tuple_at(s, there);

    assert_int_equal(move_to(s, there).code, 0);
    assert_int_equal(move_to(s, elsewhere).code, 0);
    assert_int_equal(told(s, TURN_EVENT_MOVED), 2);
    assert_int_equal(told(s, TURN_EVENT_LEFT), 1);
    assert_int_equal(turn_server_session(s->w.server, &second), 0);
    peer_reaches(s, &relayed, here);
    assert_int_equal(speak_from(s, there), TURN_DROP);
    assert_int_equal(move_to(s, here).code, 0);
    assert_int_equal(told(s, TURN_EVENT_LEFT), 2);
    assert_int_equal(s->w.server->tables.coming.count, 0);
    assert_int_equal(client_move(&s->c, 600).code, STUN_BAD_REQUEST);
    assert_int_equal(speak_from(s, elsewhere), TURN_DROP);
    assert_int_equal(speak_from(s, here), TURN_TO_PEER);
    assert_int_equal(move_to(s, there).code, 0);
    assert_int_equal(speak_from(s, there), TURN_TO_PEER);
    peer_reaches(s, &relayed, there);
}

/* Whatever ends the allocation ends both addresses. */
static void close_session__ends_a_move(void **state)
{
    struct stage *s = *state;
    const struct five_tuple new = tuple_at(s, there);

    (void)settle(s);
    assert_int_equal(move_to(s, there).code, 0);
    const uint64_t session = turn_server_session(s->w.server, &new);
    assert_int_equal(turn_server_close_session(s->w.server, session, s->w.now_ms), 0);
    assert_int_equal(told(s, TURN_EVENT_LEFT), 1);
    assert_int_equal(told(s, TURN_EVENT_CLOSED), 1);
    nothing_is_left(s);
}

/* --- other transports ---------------------------------------------------------------------------
 */

/* The stage's client is on a connection that `place` stands for. */
static struct reply move_over(struct stage *s, uint8_t transport, const char *addr)
{
    s->c.transport = transport;
    s->c.nonce[0] = '\0';
    return move_to(s, addr);
}

/* Proves T-8016-3.2.2-16 */
static void move__between_transports(void **state)
{
    static const uint8_t transports[] = {NET_TCP, NET_TLS, NET_DTLS, NET_UDP};
    static const char *const places[] = {here, there, elsewhere};
    struct stage *s = *state;
    const struct net_addr relayed = settle(s);

    for (uint32_t i = 0; i < 12; i++) {
        const uint8_t transport = transports[i % COUNT_OF(transports)];
        const char *place = places[(i + 1) % COUNT_OF(places)];
        assert_int_equal(move_over(s, transport, place).code, 0);
        assert_int_equal(speak_from(s, place), TURN_TO_PEER);
        peer_reaches(s, &relayed, place);
        assert_int_equal(s->w.pkt.transport, transport);
    }
}

/* Proves T-8016-3.2.2-08 */
static void move__ends_with_the_old_connection(void **state)
{
    struct stage *s = *state;
    char other[1];

    s->c.transport = NET_TCP;
    const struct net_addr relayed = settle(s);
    struct five_tuple old = tuple_at(s, here);
    old.protocol = NET_TCP;
    assert_int_equal(move_over(s, NET_UDP, there).code, 0);
    turn_server_client_closed(s->w.server, &old, other, s->w.now_ms); /* another's */
    peer_reaches(s, &relayed, here);
    turn_server_client_closed(s->w.server, &old, &s->c, s->w.now_ms);
    assert_int_equal(told(s, TURN_EVENT_LEFT), 1);
    assert_int_equal(told(s, TURN_EVENT_CLOSED), 0);
    assert_ptr_equal(s->w.events.last_was_listener, &s->c);
    peer_reaches(s, &relayed, there);
}

/* He goes, and the connection breaks before he has said anything. */
static void move__new_connection_may_end(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = settle(s);
    struct five_tuple new = tuple_at(s, there);

    new.protocol = NET_TLS;
    assert_int_equal(move_over(s, NET_TLS, there).code, 0);
    turn_server_client_closed(s->w.server, &new, &s->c, s->w.now_ms);
    assert_int_equal(told(s, TURN_EVENT_LEFT), 1);
    assert_int_equal(told(s, TURN_EVENT_CLOSED), 0);
    peer_reaches(s, &relayed, here);
    assert_int_equal(move_over(s, NET_TLS, there).code, 0);
}

/* --- several instances --------------------------------------------------------------------------
 */

static void elsewhere__is_told_with_the_packet_as_it_came(void **state)
{
    static uint8_t request[CLIENT_BUF];
    struct stage *s = *state;

    (void)settle(s);
    const struct five_tuple tuple = tuple_at(s, here);
    assert_int_equal(turn_server_forget(s->w.server, &tuple), 0); /* another has it now */
    client_readdress(&s->c, there);
    assert_true(client_challenge(&s->c));
    s->w.session_owner = 3;
    assert_int_equal(client_move(&s->c, 600).verdict, TURN_ELSEWHERE);
    memcpy(request, s->c.buf, s->c.len);
    assert_int_equal(turn_server_elsewhere(s->w.server), 3);
    assert_int_equal(s->w.pkt.len, s->c.len);
    assert_memory_equal(s->w.pkt.data, request, s->c.len);
    s->w.session_owner = 0; /* this one: its parcel is on the way */
    assert_int_equal(client_move(&s->c, 600).verdict, TURN_DROP);
    assert_int_equal(turn_server_last_drop(s->w.server), DROP_ELSEWHERE);
    s->w.session_owner = -ENOENT;
    assert_int_equal(client_move(&s->c, 600).code, STUN_ALLOCATION_MISMATCH);
    s->w.session_owner = 3;
    s->c.ticket[0] ^= 1;
    assert_int_equal(client_move(&s->c, 600).code, STUN_BAD_REQUEST);
    s->c.ticket[0] ^= 1;
    s->w.config.mobility = false;
    assert_int_equal(client_move(&s->c, 600).code, STUN_MOBILITY_FORBIDDEN);
    s->w.open_sockets--; /* it left with the session */
    s->w.sockets[0].open = false;
}

/* --- memory -------------------------------------------------------------------------------------
 */

static void allocate__without_memory_keeps_nothing(void **state)
{
    struct stage *s = *state;
    bool done = false;

    assert_true(client_challenge(&s->c));
    for (int n = 0; !done; n++) {
        mem_fail_at(n);
        const struct reply r = client_allocate_mobile(&s->c);
        mem_fail_at(-1);
        done = r.code == 0;
        assert_true(done || r.code == STUN_INSUFFICIENT_CAPACITY);
        if (!done) {
            nothing_is_left(s);
        }
    }
    assert_int_equal(s->c.ticket_len, TURN_TICKET_LEN);
}

static void move__without_memory_changes_nothing(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = settle(s);

    client_readdress(&s->c, there);
    s->c.nonce[0] = '\0';
    assert_true(client_challenge(&s->c));
    mem_fail_at(0);
    const struct reply r = client_move(&s->c, 600);
    mem_fail_at(-1);
    assert_int_equal(r.code, STUN_INSUFFICIENT_CAPACITY);
    assert_null(r.ticket.p);
    assert_int_equal(told(s, TURN_EVENT_MOVED), 0);
    peer_reaches(s, &relayed, here);
    assert_int_equal(client_move(&s->c, 600).code, 0); /* the ticket is still good */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(allocate__gives_a_ticket),
        STAGE_TEST(allocate__gives_none_unasked),
        STAGE_TEST(allocate__ticket_must_be_empty),
        STAGE_TEST(allocate__mobility_may_be_forbidden),
        STAGE_TEST(mobility__wants_protection),
        STAGE_TEST(ticket__every_changed_bit_is_refused),
        STAGE_TEST(ticket__is_a_string_that_is_the_only_one),
        STAGE_TEST(ticket__tells_nothing),
        STAGE_TEST(ticket__lives_as_long_as_its_secret),
        STAGE_TEST(refresh__mobility_may_be_forbidden_later),
        STAGE_TEST(refresh__same_address_is_a_bad_request),
        STAGE_TEST(refresh__without_its_allocation_is_a_mismatch),
        STAGE_TEST(refresh__ticket_of_a_namesake_is_a_mismatch),
        STAGE_TEST(refresh__of_another_user_is_refused),
        STAGE_TEST(refresh__stale_nonce_does_not_use_up_the_ticket),
        STAGE_TEST(refresh__to_an_address_that_is_taken),
        STAGE_TEST(move__serves_both_addresses),
        STAGE_TEST(move__ends_with_channel_data),
        STAGE_TEST(move__ends_with_a_send_indication),
        STAGE_TEST(data__from_where_nobody_is_is_dropped),
        STAGE_TEST(move__late_allocate_makes_nothing),
        STAGE_TEST(move__is_answered_again),
        STAGE_TEST(old_ticket__is_only_for_retransmissions),
        STAGE_TEST(old_ticket__is_no_good_from_elsewhere),
        STAGE_TEST(move__applies_the_lifetime),
        STAGE_TEST(move__lifetime_zero_deletes),
        STAGE_TEST(move__of_one_family),
        STAGE_TEST(move__on_and_back),
        STAGE_TEST(close_session__ends_a_move),
        STAGE_TEST(move__between_transports),
        STAGE_TEST(move__ends_with_the_old_connection),
        STAGE_TEST(move__new_connection_may_end),
        STAGE_TEST(elsewhere__is_told_with_the_packet_as_it_came),
        STAGE_TEST(allocate__without_memory_keeps_nothing),
        STAGE_TEST(move__without_memory_changes_nothing),
    };
    return cmocka_run_group_tests_name("mobility", tests, NULL, NULL);
}

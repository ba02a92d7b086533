/* SPDX-License-Identifier: Apache-2.0 */
#include "io/conn_limit.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "check.h"
#include "seeded.h"

static const struct hash_key key = {3, 4};

static struct conn_limit *make(uint32_t total, uint32_t tls, uint32_t per_ipv4,
                               uint32_t per_ipv6_net)
{
    const struct conn_limits limits = {total, tls, per_ipv4, per_ipv6_net};
    struct conn_limit *l = conn_limit_new(&limits, total, key);

    assert_non_null(l);
    return l;
}

static struct net_ip ip_of(const char *text)
{
    struct net_ip ip;
    assert_int_equal(net_ip_parse(text, &ip), 0);
    return ip;
}

/* Take or give as many as can be told by the last byte of an IPv4 address. */
static struct net_ip numbered(uint32_t n)
{
    const uint8_t v4[4] = {192, 0, (uint8_t)(n >> 8), (uint8_t)n};
    return net_ip_v4(v4);
}

static void total__is_the_most(void **state)
{
    struct conn_limit *l = make(3, 0, 0, 0);
    struct net_ip ip;

    (void)state;
    for (uint32_t n = 0; n < 3; n++) {
        ip = numbered(n);
        assert_int_equal(conn_limit_take(l, &ip), CONN_ADMITTED);
    }
    ip = numbered(9);
    assert_int_equal(conn_limit_take(l, &ip), CONN_TOTAL_REACHED);
    assert_int_equal(conn_limit_count(l), 3);
    ip = numbered(1);
    conn_limit_give(l, &ip);
    assert_int_equal(conn_limit_count(l), 2);
    ip = numbered(9);
    assert_int_equal(conn_limit_take(l, &ip), CONN_ADMITTED);
    conn_limit_free(l);
    conn_limit_free(NULL);
}

/* Streams K14: a flood from one address leaves room for others. */
static void source__is_one_ipv4_address(void **state)
{
    struct conn_limit *l = make(100, 0, 4, 100);
    const struct net_ip flood = ip_of("192.0.2.1");
    const struct net_ip mapped = ip_of("::ffff:192.0.2.1");
    const struct net_ip other = ip_of("192.0.2.2");

    (void)state;
    for (int n = 0; n < 4; n++) {
        assert_int_equal(conn_limit_take(l, &flood), CONN_ADMITTED);
    }
    assert_int_equal(conn_limit_take(l, &flood), CONN_SOURCE_REACHED);
    assert_int_equal(conn_limit_take(l, &mapped), CONN_SOURCE_REACHED);
    assert_int_equal(conn_limit_count(l), 4);
    assert_int_equal(conn_limit_take(l, &other), CONN_ADMITTED);
    conn_limit_give(l, &flood);
    assert_int_equal(conn_limit_take(l, &flood), CONN_ADMITTED);
    assert_int_equal(conn_limit_take(l, &flood), CONN_SOURCE_REACHED);
    conn_limit_free(l);
}

/* A balancer's connections come from one address, and are not one client's. */
static void source__may_be_unknown_yet(void **state)
{
    const struct net_ip unknown = ip_of("::");
    const struct net_ip client = ip_of("192.0.2.1");
    struct conn_limit *l = make(10, 0, 1, 1);

    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(conn_limit_take(l, &unknown), CONN_ADMITTED);
    }
    assert_int_equal(conn_limit_move(l, &unknown, &client), CONN_ADMITTED);
    assert_int_equal(conn_limit_move(l, &unknown, &client), CONN_SOURCE_REACHED);
    assert_int_equal(conn_limit_count(l), 4);
    conn_limit_give(l, &client);
    for (int i = 0; i < 3; i++) {
        conn_limit_give(l, &unknown);
    }
    assert_int_equal(conn_limit_count(l), 0);
    conn_limit_free(l);
}

static void source__is_one_ipv6_net(void **state)
{
    struct conn_limit *l = make(100, 0, 100, 2);
    const struct net_ip a = ip_of("2001:db8:0:1::1");
    const struct net_ip b = ip_of("2001:db8:0:1:ffff:ffff:ffff:ffff");
    const struct net_ip next = ip_of("2001:db8:0:2::1");

    (void)state;
    assert_int_equal(conn_limit_take(l, &a), CONN_ADMITTED);
    assert_int_equal(conn_limit_take(l, &b), CONN_ADMITTED);
    assert_int_equal(conn_limit_take(l, &a), CONN_SOURCE_REACHED);
    assert_int_equal(conn_limit_take(l, &next), CONN_ADMITTED);
    conn_limit_give(l, &b);
    conn_limit_give(l, &a);
    assert_int_equal(conn_limit_take(l, &b), CONN_ADMITTED);
    conn_limit_free(l);
}

static void tls__is_counted_apart(void **state)
{
    struct conn_limit *l = make(10, 2, 0, 0);

    (void)state;
    assert_int_equal(conn_limit_take_tls(l), CONN_ADMITTED);
    assert_int_equal(conn_limit_take_tls(l), CONN_ADMITTED);
    assert_int_equal(conn_limit_take_tls(l), CONN_TLS_REACHED);
    conn_limit_give_tls(l);
    assert_int_equal(conn_limit_take_tls(l), CONN_ADMITTED);
    assert_int_equal(conn_limit_count(l), 0);
    conn_limit_free(l);
}

/* New limits hold for those who come; nobody who is there is turned out. */
static void set__holds_for_the_next(void **state)
{
    struct conn_limit *l = make(8, 8, 0, 0);
    const struct net_ip ip = ip_of("192.0.2.1");
    const struct net_ip other = ip_of("192.0.2.2");

    (void)state;
    for (int n = 0; n < 5; n++) {
        assert_int_equal(conn_limit_take(l, &ip), CONN_ADMITTED);
    }
    conn_limit_set(l, &(struct conn_limits){8, 0, 3, 3});
    assert_int_equal(conn_limit_count(l), 5);
    assert_int_equal(conn_limit_take(l, &ip), CONN_SOURCE_REACHED);
    assert_int_equal(conn_limit_take_tls(l), CONN_TLS_REACHED);
    assert_int_equal(conn_limit_take(l, &other), CONN_ADMITTED);
    conn_limit_set(l, &(struct conn_limits){1000, 0, 0, 0}); /* more than it was made for */
    assert_int_equal(conn_limit_take(l, &ip), CONN_ADMITTED);
    assert_int_equal(conn_limit_take(l, &ip), CONN_ADMITTED);
    assert_int_equal(conn_limit_take(l, &ip), CONN_TOTAL_REACHED);
    conn_limit_free(l);
}

static void move__changes_the_source_alone(void **state)
{
    struct conn_limit *l = make(4, 0, 2, 2);
    const struct net_ip balancer = ip_of("10.0.0.1");
    const struct net_ip client = ip_of("2001:db8::1");
    const struct net_ip neighbour = ip_of("2001:db8::2");

    (void)state;
    for (int n = 0; n < 2; n++) {
        assert_int_equal(conn_limit_take(l, &balancer), CONN_ADMITTED);
        assert_int_equal(conn_limit_move(l, &balancer, &client), CONN_ADMITTED);
    }
    assert_int_equal(conn_limit_take(l, &balancer), CONN_ADMITTED);
    assert_int_equal(conn_limit_move(l, &balancer, &neighbour), CONN_SOURCE_REACHED);
    assert_int_equal(conn_limit_move(l, &client, &neighbour), CONN_ADMITTED); /* the same net */
    assert_int_equal(conn_limit_count(l), 3);
    conn_limit_give(l, &balancer); /* the refused one ends as what it was */
    conn_limit_give(l, &client);
    conn_limit_give(l, &client);
    assert_int_equal(conn_limit_count(l), 0);
    conn_limit_free(l);
}

/* Every place is taken by a source of its own, and still each can become another. */
static void move__needs_no_free_place(void **state)
{
    struct conn_limit *l = make(50, 0, 1, 1);

    (void)state;
    for (uint32_t n = 0; n < 50; n++) {
        const struct net_ip ip = numbered(n);
        assert_int_equal(conn_limit_take(l, &ip), CONN_ADMITTED);
    }
    for (uint32_t n = 0; n < 50; n++) {
        const struct net_ip was = numbered(n);
        const struct net_ip ip = numbered(1000 + n);
        assert_int_equal(conn_limit_move(l, &was, &ip), CONN_ADMITTED);
    }
    for (uint32_t n = 0; n < 50; n++) {
        const struct net_ip ip = numbered(1000 + n);
        conn_limit_give(l, &ip);
    }
    assert_int_equal(conn_limit_count(l), 0);
    conn_limit_free(l);
}

static void limit__survives_without_memory(void **state)
{
    const struct conn_limits limits = {10, 10, 10, 10};
    const struct net_ip ip = ip_of("192.0.2.1");
    const struct net_ip other = ip_of("192.0.2.2");

    (void)state;
    for (long n = 0; n < 8; n++) {
        mem_fail_at(n);
        struct conn_limit *l = conn_limit_new(&limits, 10, key);
        if (l == NULL) {
            mem_fail_at(-1);
            continue;
        }
        const enum conn_verdict verdict = conn_limit_take(l, &ip);
        const enum conn_verdict moved =
            verdict == CONN_ADMITTED ? conn_limit_move(l, &ip, &other) : CONN_TOTAL_REACHED;
        mem_fail_at(-1);
        assert_int_equal(conn_limit_count(l), verdict == CONN_ADMITTED ? 1 : 0);
        if (verdict == CONN_ADMITTED) {
            conn_limit_give(l, moved == CONN_ADMITTED ? &other : &ip);
        }
        assert_int_equal(conn_limit_count(l), 0);
        conn_limit_free(l);
    }
}

/* --- threads ------------------------------------------------------------------------------------
 */

enum { ROUNDS = 20000, HELD = 24, SOURCES = 5, THREADS = 2, TOTAL = 36, PER_SOURCE = 9 };

struct crowd {
    struct conn_limit *limit;
    pthread_barrier_t *start;
    uint64_t seed;
    _Atomic uint32_t *most; /* seen by anyone */
    uint32_t refused;
};

struct held {
    struct net_ip ip[HELD];
    uint32_t count;
    uint32_t tls;
};

static void come(struct crowd *c, struct held *held, struct seeded *seed)
{
    const struct net_ip ip = numbered(seeded_below(seed, SOURCES));

    if (held->count == HELD || conn_limit_take(c->limit, &ip) != CONN_ADMITTED) {
        c->refused++;
        return;
    }
    held->ip[held->count++] = ip;
    if (held->tls < held->count && conn_limit_take_tls(c->limit) == CONN_ADMITTED) {
        held->tls++;
    }
}

static void go(struct crowd *c, struct held *held, struct seeded *seed)
{
    if (held->count == 0) {
        return;
    }
    const uint32_t i = seeded_below(seed, held->count);
    const struct net_ip to = numbered(seeded_below(seed, SOURCES));
    if (seeded_below(seed, 4) == 0) {
        if (conn_limit_move(c->limit, &held->ip[i], &to) == CONN_ADMITTED) {
            held->ip[i] = to;
        }
        return;
    }
    conn_limit_give(c->limit, &held->ip[i]);
    held->ip[i] = held->ip[--held->count];
    if (held->tls > held->count) {
        conn_limit_give_tls(c->limit);
        held->tls--;
    }
}

static void *crowd_run(void *arg)
{
    struct crowd *c = arg;
    struct seeded seed = {c->seed};
    struct held held = {.count = 0};

    (void)pthread_barrier_wait(c->start);
    for (int round = 0; round < ROUNDS; round++) {
        if (seeded_below(&seed, 5) < 3) {
            come(c, &held, &seed);
        } else {
            go(c, &held, &seed);
        }
        const uint32_t now = conn_limit_count(c->limit);
        uint32_t most = atomic_load(c->most);
        while (now > most && !atomic_compare_exchange_weak(c->most, &most, now)) {
        }
    }
    while (held.count > 0) {
        conn_limit_give(c->limit, &held.ip[--held.count]);
    }
    while (held.tls > 0) {
        conn_limit_give_tls(c->limit);
        held.tls--;
    }
    return NULL;
}

/* Whatever two workers do at once, no limit is passed and nothing stays counted. */
static void limit__holds_between_threads(void **state)
{
    struct conn_limit *l = make(TOTAL, TOTAL / 2, PER_SOURCE, 0);
    _Atomic uint32_t most = 0;
    struct crowd crowds[THREADS];
    pthread_t threads[THREADS];
    pthread_barrier_t start;

    (void)state;
    assert_int_equal(pthread_barrier_init(&start, NULL, THREADS), 0);
    for (uint32_t i = 0; i < THREADS; i++) {
        crowds[i] = (struct crowd){.limit = l, .start = &start, .seed = i + 1, .most = &most};
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_run, &crowds[i]), 0);
    }
    for (int i = 0; i < 1000; i++) { /* a reload now and then */
        conn_limit_set(l, &(struct conn_limits){TOTAL, TOTAL / 2, PER_SOURCE, 0});
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(crowds[i].refused > 0);
    }
    (void)pthread_barrier_destroy(&start);
    assert_true(atomic_load(&most) <= TOTAL);
    assert_int_equal(conn_limit_count(l), 0);
    for (uint32_t n = 0; n < SOURCES; n++) { /* all of it is free again */
        const struct net_ip ip = numbered(n);
        for (int i = 0; i < TOTAL / SOURCES; i++) {
            assert_int_equal(conn_limit_take(l, &ip), CONN_ADMITTED);
        }
    }
    for (int i = 0; i < TOTAL / 2; i++) {
        assert_int_equal(conn_limit_take_tls(l), CONN_ADMITTED);
    }
    conn_limit_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(total__is_the_most),
        cmocka_unit_test(source__is_one_ipv4_address),
        cmocka_unit_test(source__may_be_unknown_yet),
        cmocka_unit_test(source__is_one_ipv6_net),
        cmocka_unit_test(tls__is_counted_apart),
        cmocka_unit_test(set__holds_for_the_next),
        cmocka_unit_test(move__changes_the_source_alone),
        cmocka_unit_test(move__needs_no_free_place),
        cmocka_unit_test(limit__survives_without_memory),
        cmocka_unit_test(limit__holds_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

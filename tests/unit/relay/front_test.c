/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/front.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "base/mem.h"
#include "io/udp.h"
#include "log/log.h"
#include "open_fds.h"
#include "quiet_log.h"
#include "relay_conf.h"

#define BASE "realm=example.org\nno-auth\nno-tls\n"
#define ONE  BASE "listening-ip=127.0.7.1\nlistening-port=20401\n"
#define TWO  BASE "listening-ip=127.0.7.1\nlistening-ip=127.0.7.2\nlistening-port=20401\n"

enum { WORKERS = 2, CPUS = 4, UDP_COUNT = 600 };

static struct listener_plan plan;
static char why[300];

static const enum front_engine engines[] = {FRONT_REUSEPORT, FRONT_CONNECTED, FRONT_PAIRED,
                                            FRONT_DISPATCH};

static void read_plan(const char *text)
{
    struct conf *conf = relay_conf(text);

    assert_int_equal(listener_plan_read(conf, &plan, why, sizeof(why)), 0);
    conf_unref(conf);
}

static struct front *make(enum front_engine engine, uint32_t workers, uint32_t cpus)
{
    struct front *front = NULL;

    assert_int_equal(front_new(engine, workers, cpus, &front), 0);
    return front;
}

static uint32_t must_open(struct front *front, const char *text)
{
    uint32_t added = UINT32_MAX;

    read_plan(text);
    if (front_open(front, &plan, &added, why, sizeof(why)) < 0) {
        fail_msg("%s", why);
    }
    return added;
}

static struct front_item *must_find(const struct front *front, const char *addr, bool stream)
{
    struct net_addr where;

    assert_int_equal(net_addr_parse(addr, 0, &where), 0);
    struct front_item *item = front_find(front, &where, stream);
    assert_non_null(item);
    return item;
}

/* --- opening -------------------------------------------------------------------------------------
 */

static void front__has_sockets_for_as_many_workers_as_there_can_be(void **state)
{
    static const struct {
        uint32_t workers, cpus, sockets;
    } cases[] = {{1, 1, 1}, {2, 4, 4}, {4, 2, 4}, {1, 1000, 64}, {100, 8, 100}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct front *front = make(FRONT_REUSEPORT, cases[i].workers, cases[i].cpus);
        assert_int_equal(front_workers_max(front), cases[i].sockets);
        assert_int_equal(front_made(front), 0);
        front_free(front);
    }
    front_free(NULL);
}

static void open__makes_as_many_sockets_as_the_engine_needs(void **state)
{
    static const uint32_t udp_sockets[] = {
        [FRONT_REUSEPORT] = CPUS,
        [FRONT_CONNECTED] = CPUS,
        [FRONT_PAIRED] = 1,
        [FRONT_DISPATCH] = 1,
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        const int before = open_fds();
        struct front *front = make(engines[i], WORKERS, CPUS);
        const uint32_t wanted = udp_sockets[engines[i]];

        assert_int_equal(must_open(front, TWO), 4); /* UDP and TCP, twice */
        assert_int_equal(must_find(front, "127.0.7.2:20401", false)->sockets, wanted);
        assert_int_equal(must_find(front, "127.0.7.2:20401", true)->sockets, CPUS);
        assert_int_equal(front_sockets(front), 2 * wanted + 2 * CPUS);
        assert_int_equal(open_fds() - before, 2 * wanted + 2 * CPUS);
        front_free(front);
        assert_int_equal(open_fds(), before);
    }
}

static void open__numbers_its_items(void **state)
{
    struct front *front = make(FRONT_PAIRED, WORKERS, CPUS);

    (void)state;
    (void)must_open(front, TWO);
    for (uint32_t i = 0; i < front->item_count; i++) {
        assert_int_equal(front->item[i]->id, i);
    }
    for (int stream = 0; stream < 2; stream++) {
        assert_int_equal(must_find(front, "127.0.7.1:20401", stream != 0)->ordinal, 0);
        assert_int_equal(must_find(front, "127.0.7.2:20401", stream != 0)->ordinal, 1);
    }
    front_free(front);
}

static void open__adds_what_is_new(void **state)
{
    struct front *front = make(FRONT_REUSEPORT, WORKERS, CPUS);

    (void)state;
    assert_int_equal(must_open(front, ONE), 2);
    const int before = open_fds();
    assert_int_equal(must_open(front, ONE), 0);
    assert_int_equal(open_fds(), before);
    assert_int_equal(must_open(front, TWO), 2);
    assert_int_equal(front->item_count, 4);
    front_drop(front, 2);
    assert_int_equal(front->item_count, 2);
    assert_int_equal(open_fds(), before);
    assert_int_equal(must_open(front, TWO), 2);
    front_free(front);
}

static void open__of_a_closed_item_depends_on_its_transport(void **state)
{
    struct front *front = make(FRONT_REUSEPORT, WORKERS, CPUS);

    (void)state;
    (void)must_open(front, ONE);
    struct front_item *udp = must_find(front, "127.0.7.1:20401", false);
    struct front_item *tcp = must_find(front, "127.0.7.1:20401", true);

    udp->closed = true; /* its sockets stay: those with an allocation are served on */
    tcp->closed = true; /* its connections need no listener */
    front_close(tcp);
    front_close(tcp);
    assert_int_equal(must_open(front, ONE), 1);
    assert_ptr_equal(must_find(front, "127.0.7.1:20401", false), udp);
    assert_ptr_not_equal(must_find(front, "127.0.7.1:20401", true), tcp);
    front_free(front);
}

static void find__needs_address_and_transport(void **state)
{
    struct front *front = make(FRONT_PAIRED, 1, 1);
    struct net_addr addr;

    (void)state;
    (void)must_open(front, ONE "no-tcp\n");
    assert_int_equal(net_addr_parse("127.0.7.1:20401", 0, &addr), 0);
    assert_non_null(front_find(front, &addr, false));
    assert_null(front_find(front, &addr, true));
    addr.port++;
    assert_null(front_find(front, &addr, false));
    front_free(front);
}

/* Somebody else's socket on the second address. */
static struct udp_port stranger(void)
{
    struct udp_options options = {.share = false};
    struct udp_port port;

    assert_int_equal(net_addr_parse("127.0.7.2:20401", 0, &options.local), 0);
    assert_int_equal(udp_open(&options, &port), 0);
    return port;
}

static void open__says_why_and_leaves_all_as_it_was(void **state)
{
    struct udp_port other = stranger();
    uint32_t added = 77;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        struct front *front = make(engines[i], WORKERS, CPUS);
        const int before = open_fds();

        why[0] = '\0';
        read_plan(TWO);
        assert_int_equal(front_open(front, &plan, &added, why, sizeof(why)), -EADDRINUSE);
        assert_non_null(strstr(why, "127.0.7.2:20401/udp"));
        assert_int_equal(added, 77);
        assert_int_equal(front->item_count, 0);
        assert_int_equal(open_fds(), before);
        front_free(front);
    }
    udp_close(&other);
}

static void open__has_a_limit(void **state)
{
    struct front *front = make(FRONT_PAIRED, 1, 1);
    struct listener_spec spec = {.plain = true};
    uint32_t added;

    (void)state;
    for (uint32_t i = 0; i <= LISTENER_MAX; i++) {
        char text[32];

        (void)snprintf(text, sizeof(text), "127.0.8.%u:%u", i / 200 + 1, 20401 + i % 200);
        assert_int_equal(net_addr_parse(text, 0, &spec.addr), 0);
        plan = (struct listener_plan){.count = 1, .item = {spec}};
        assert_int_equal(front_open(front, &plan, &added, why, sizeof(why)),
                         i < LISTENER_MAX ? 0 : -ENOSPC);
    }
    assert_int_equal(front->item_count, LISTENER_MAX);
    assert_non_null(strstr(why, "restart"));
    front_free(front);
}

static void open__fails_without_memory_and_leaks_nothing(void **state)
{
    const int before = open_fds();
    uint32_t added;
    long n = 0;
    int err = -ENOMEM;

    (void)state;
    read_plan(TWO);
    for (; err < 0 && n < 100; n++) {
        struct front *front = NULL;

        mem_fail_at(n);
        err = front_new(FRONT_REUSEPORT, WORKERS, CPUS, &front);
        assert_true(err == 0 || (err == -ENOMEM && front == NULL));
        err = err == 0 ? front_open(front, &plan, &added, why, sizeof(why)) : err;
        mem_fail_at(-1);
        assert_true(err == 0 || err == -ENOMEM);
        assert_true(front == NULL || err == 0 || front->item_count == 0);
        front_free(front);
        assert_int_equal(open_fds(), before);
    }
    assert_int_equal(err, 0);
#ifdef STERNA_FAULT_INJECTION
    assert_true(n > 10);
#endif
}

/* --- who reads what ------------------------------------------------------------------------------
 */

static void expect_readers(enum front_engine engine, uint32_t workers)
{
    struct front *front = make(engine, workers, CPUS);

    (void)must_open(front, TWO);
    for (uint32_t i = 0; i < front->item_count; i++) {
        const struct front_item *item = front->item[i];

        for (uint32_t k = 0; k < item->sockets; k++) {
            uint32_t wanted = k % workers;

            if (!item->spec.stream && engine == FRONT_PAIRED) {
                wanted = item->ordinal % workers;
            } else if (!item->spec.stream && engine == FRONT_DISPATCH) {
                wanted = FRONT_DISPATCHER;
            }
            assert_int_equal(front_reader(item, k), wanted);
            assert_int_equal(front_reader_of(front, item, k, workers), wanted);
        }
    }
    front_free(front);
}

static void readers__follow_from_engine_and_worker_count(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        for (uint32_t workers = 1; workers <= CPUS; workers++) {
            expect_readers(engines[i], workers);
        }
    }
}

/* --- load ----------------------------------------------------------------------------------------
 */

static void give(struct front *front, uint32_t worker, uint32_t sessions)
{
    for (uint32_t i = 0; i < sessions; i++) {
        front_count(front, worker, true);
    }
}

static void least_loaded__is_a_worker_with_fewer_sessions(void **state)
{
    static const struct {
        uint32_t sessions[3];
        uint32_t self;
        uint32_t wanted;
    } cases[] = {
        {{0, 0, 0}, 2, 2}, /* among equals it stays */
        {{1, 0, 0}, 0, 0}, /* its one session is the newcomer */
        {{2, 1, 1}, 0, 0}, {{3, 1, 2}, 0, 1}, {{3, 2, 1}, 0, 2}, {{0, 4, 1}, 1, 0},
        {{5, 5, 5}, 1, 1}, {{2, 1, 2}, 9, 1}, /* asked by one that sockets are not spread over any
                                                 more */
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct front *front = make(FRONT_REUSEPORT, 3, 3);

        for (uint32_t k = 0; k < 3; k++) {
            give(front, k, cases[i].sessions[k]);
        }
        assert_int_equal(front_least_loaded(front, cases[i].self), cases[i].wanted);
        front_free(front);
    }
}

static void least_loaded__counts_packets_as_well(void **state)
{
    struct front *front = make(FRONT_REUSEPORT, 2, 2);

    (void)state;
    give(front, 0, 3);
    assert_int_equal(front_least_loaded(front, 0), 1);
    atomic_store(&front->load[1].packets_per_s, 100000);
    assert_int_equal(front_least_loaded(front, 0), 0);
    assert_int_equal(front_least_loaded(front, 1), 0);
    front_free(front);
}

static void least_loaded__knows_no_worker_without_sockets(void **state)
{
    struct front *front = make(FRONT_REUSEPORT, 1, 4);

    (void)state;
    give(front, 0, 10);
    assert_int_equal(front_least_loaded(front, 0), 0);
    atomic_store(&front->workers, 2);
    assert_int_equal(front_least_loaded(front, 0), 1);
    front_free(front);
}

static void count__goes_down_again(void **state)
{
    struct front *front = make(FRONT_REUSEPORT, 2, 2);

    (void)state;
    give(front, 1, 2);
    front_count(front, 1, false);
    assert_int_equal(atomic_load(&front->load[1].sessions), 1);
    assert_int_equal(atomic_load(&front->load[0].sessions), 0);
    front_free(front);
}

/* --- buckets -------------------------------------------------------------------------------------
 */

static struct net_addr numbered(uint32_t i)
{
    struct net_addr addr;

    assert_int_equal(net_addr_parse("192.0.2.1:1024", 0, &addr), 0);
    addr.port = (uint16_t)(addr.port + i);
    return addr;
}

static void buckets__are_spread_over_the_workers(void **state)
{
    struct front *front = make(FRONT_DISPATCH, 3, 3);
    uint32_t count[3] = {0};

    (void)state;
    for (uint32_t i = 0; i < FRONT_BUCKETS; i++) {
        const uint32_t worker = front_bucket_worker(front, i);
        assert_true(worker < 3);
        count[worker]++;
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_in_range(count[i], FRONT_BUCKETS / 3, FRONT_BUCKETS / 3 + 1);
    }
    front_free(front);
}

static void bucket__is_of_both_addresses_and_of_the_key(void **state)
{
    struct front *front = make(FRONT_DISPATCH, 2, 2);
    struct front *other = make(FRONT_DISPATCH, 2, 2);
    const struct net_addr server = numbered(9000);
    const struct net_addr second = numbered(9001);
    uint32_t elsewhere = 0;
    uint32_t keyed = 0;
    uint32_t on_first = 0;

    (void)state;
    for (uint32_t i = 0; i < UDP_COUNT; i++) {
        const struct net_addr client = numbered(i);
        const uint32_t bucket = front_bucket(front, &client, &server);

        assert_true(bucket < FRONT_BUCKETS);
        assert_int_equal(front_bucket(front, &client, &server), bucket);
        elsewhere += front_bucket(front, &client, &second) != bucket ? 1 : 0;
        keyed += front_bucket(other, &client, &server) != bucket ? 1 : 0;
        on_first += front_bucket_worker(front, bucket) == 0 ? 1 : 0;
    }
    assert_true(elsewhere > UDP_COUNT / 2);
    assert_true(keyed > UDP_COUNT / 2);
    assert_in_range(on_first, UDP_COUNT / 4, 3 * UDP_COUNT / 4);
    front_free(front);
    front_free(other);
}

static void engine__has_its_options_name(void **state)
{
    (void)state;
    assert_string_equal(front_engine_name(FRONT_REUSEPORT), "reuseport");
    assert_string_equal(front_engine_name(FRONT_CONNECTED), "connected");
    assert_string_equal(front_engine_name(FRONT_PAIRED), "paired");
    assert_string_equal(front_engine_name(FRONT_DISPATCH), "dispatch");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(front__has_sockets_for_as_many_workers_as_there_can_be),
        cmocka_unit_test(open__makes_as_many_sockets_as_the_engine_needs),
        cmocka_unit_test(open__numbers_its_items),
        cmocka_unit_test(open__adds_what_is_new),
        cmocka_unit_test(open__of_a_closed_item_depends_on_its_transport),
        cmocka_unit_test(find__needs_address_and_transport),
        cmocka_unit_test(open__says_why_and_leaves_all_as_it_was),
        cmocka_unit_test(open__has_a_limit),
        cmocka_unit_test(open__fails_without_memory_and_leaks_nothing),
        cmocka_unit_test(readers__follow_from_engine_and_worker_count),
        cmocka_unit_test(least_loaded__is_a_worker_with_fewer_sessions),
        cmocka_unit_test(least_loaded__counts_packets_as_well),
        cmocka_unit_test(least_loaded__knows_no_worker_without_sockets),
        cmocka_unit_test(count__goes_down_again),
        cmocka_unit_test(buckets__are_spread_over_the_workers),
        cmocka_unit_test(bucket__is_of_both_addresses_and_of_the_key),
        cmocka_unit_test(engine__has_its_options_name),
    };
    return cmocka_run_group_tests(tests, quiet_log, NULL);
}

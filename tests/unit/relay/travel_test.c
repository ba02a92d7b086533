/* SPDX-License-Identifier: Apache-2.0 */
/* Whole servers: sessions under every engine, while workers come and go. */
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/mem.h"
#include "log/log.h"
#include "open_fds.h"
#include "quiet_log.h"
#include "relay/server_int.h"
#include "server_client.h"

#define BASE                                                                                       \
    "listening-ip=127.0.7.1\nlistening-ip=127.0.7.2\nlistening-port=20403\nno-tcp\nno-tls\n"       \
    "realm=example.org\nno-auth\nallow-loopback-peers\ncpus=2\nmin-port=20410\nmax-port=20499\n"   \
    "port-quarantine=0\n"

enum { CLIENTS = 12, BURST = 24, LIMIT_S = 30 };

/* An engine, and whether the server may load its program into the kernel. */
static const struct engine {
    const char *name;
    bool may_steer;
} engines[] = {
    {"reuseport", true},  {"reuseport", false}, {"connected", true},
    {"connected", false}, {"paired", true},     {"dispatch", true},
};

/* --- the stage -----------------------------------------------------------------------------------
 */

struct stage {
    int fds;
    const struct engine *engine;
    struct relay_server *server;
    struct server_client client[CLIENTS];
};

static void set_rights(bool may_steer)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};

    if (syscall(SYS_capget, &header, data) < 0) {
        return;
    }
    data[0].effective = data[0].permitted;
    data[1].effective = data[1].permitted;
    if (!may_steer) {
        data[0].effective &= ~CAP_TO_MASK(CAP_SYS_ADMIN);
        data[1].effective &= ~CAP_TO_MASK(CAP_BPF);
    }
    assert_int_equal(syscall(SYS_capset, &header, data), 0);
}

static const char *text_for(const struct stage *s, uint32_t workers)
{
    static char text[1024];

    (void)snprintf(text, sizeof(text), BASE "network-engine=%s\nrelay-threads=%u\n",
                   s->engine->name, workers);
    return text;
}

static void set_up(struct stage *s, const struct engine *engine, uint32_t workers)
{
    *s = (struct stage){.fds = open_fds(), .engine = engine};
    set_rights(engine->may_steer);
    s->server = server_start(text_for(s, workers));
    set_rights(true);
    for (int i = 0; i < CLIENTS; i++) {
        s->client[i] = client_new(i % 2 == 0 ? "127.0.7.1:20403" : "127.0.7.2:20403");
    }
}

static void tear_down(struct stage *s)
{
    relay_server_stop(s->server);
    for (int i = 0; i < CLIENTS; i++) {
        client_free(&s->client[i]);
    }
    assert_int_equal(open_fds(), s->fds);
}

static uint32_t sessions_of(const struct stage *s, uint32_t worker)
{
    return atomic_load(&s->server->front->load[worker].sessions);
}

static void send_all(struct stage *s, int count)
{
    for (int n = 0; n < count; n++) {
        for (int i = 0; i < CLIENTS; i++) {
            client_send_up(&s->client[i]);
            client_send_down(&s->client[i]);
        }
    }
}

static void expect_all(struct stage *s)
{
    for (int i = 0; i < CLIENTS; i++) {
        if (!client_expect(&s->client[i])) {
            fail_msg("%s%s, client %d: %u of %u up, %u of %u down", s->engine->name,
                     s->engine->may_steer ? "" : " without steering", i, s->client[i].up[1],
                     s->client[i].up[0], s->client[i].down[1], s->client[i].down[0]);
        }
    }
}

static void refresh_all(struct stage *s)
{
    for (int i = 0; i < CLIENTS; i++) {
        assert_true(client_refresh(&s->client[i], 600));
    }
}

/* Until a number of the server's, which its threads tell when they get to it, is `wanted`. */
static void wait_until(uint32_t (*number)(const struct stage *s), const struct stage *s,
                       uint32_t wanted)
{
    const time_t limit = time(NULL) + LIMIT_S;

    while (number(s) != wanted) {
        if (time(NULL) > limit) {
            fail_msg("%u instead of %u", number(s), wanted);
        }
        (void)sched_yield();
    }
}

static uint32_t allocations(const struct stage *s)
{
    return (uint32_t)server_stats(s->server).allocations;
}

static uint32_t own_sockets(const struct stage *s)
{
    const struct front *front = s->server->front;
    uint32_t count = 0;

    for (uint32_t i = 0; i < front->item_count; i++) {
        count += atomic_load(front->item[i]->own_sockets);
    }
    return count;
}

/* --- tests ---------------------------------------------------------------------------------------
 */

static void sessions__live_under_every_engine(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        struct stage s;

        set_up(&s, &engines[i], 2);
        send_all(&s, BURST);
        expect_all(&s);
        refresh_all(&s);
        wait_until(allocations, &s, CLIENTS);
        assert_int_equal(server_stats(s.server).workers, 2);
        assert_int_equal(sessions_of(&s, 0) + sessions_of(&s, 1), CLIENTS);
        assert_int_equal(server_stats(s.server).strays, 0);
        assert_int_equal(server_stats(s.server).unsteered, 0);
        tear_down(&s);
    }
}

static void paired__gives_each_address_to_one_worker(void **state)
{
    const struct engine paired = {"paired", true};
    struct stage s;

    (void)state;
    set_up(&s, &paired, 2);
    assert_int_equal(sessions_of(&s, 0), CLIENTS / 2);
    assert_int_equal(sessions_of(&s, 1), CLIENTS / 2);
    assert_int_equal(server_stats(s.server).moved_in, 0);
    tear_down(&s);
}

/* With packets under way in both directions. */
static void change_workers(struct stage *s, uint32_t workers)
{
    send_all(s, BURST);
    assert_int_equal(server_reload(s->server, text_for(s, workers)), 0);
    send_all(s, BURST);
    expect_all(s);
    refresh_all(s); /* answered by whoever has the session now */
    assert_int_equal(atomic_load(&s->server->front->workers), workers);
    assert_int_equal(sessions_of(s, 0) + sessions_of(s, 1), CLIENTS);
}

static void sessions__travel_when_workers_change(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        struct stage s;

        set_up(&s, &engines[i], 2);
        for (int n = 0; n < 3; n++) {
            const uint32_t second = sessions_of(&s, 1);
            const uint64_t moved = server_stats(s.server).moved_in;

            change_workers(&s, 1);
            assert_int_equal(sessions_of(&s, 1), 0);
            assert_int_equal(server_stats(s.server).moved_in, moved + second);
            wait_until(allocations, &s, CLIENTS);
            change_workers(&s, 2);
        }
        assert_int_equal(server_stats(s.server).turn.successes[STUN_ALLOCATE], CLIENTS);
        tear_down(&s);
    }
}

static void sessions__travel_from_a_worker_to_a_new_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        struct stage s;

        set_up(&s, &engines[i], 1);
        assert_int_equal(server_stats(s.server).workers, 1);
        change_workers(&s, 2);
        assert_int_equal(server_stats(s.server).workers, 2);
        assert_int_equal(server_stats(s.server).moved_in, sessions_of(&s, 1));
        change_workers(&s, 1);
        tear_down(&s);
    }
}

/* In one batch of its worker a client gives its allocation up and asks for another one. */
static void session__follows_another_at_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        struct stage s;

        set_up(&s, &engines[i], 2);
        for (int k = 0; k < CLIENTS; k++) {
            assert_true(client_refresh(&s.client[k], 0));
            assert_true(client_ask(&s.client[k], STUN_ALLOCATE, 0, NULL));
        }
        wait_until(allocations, &s, CLIENTS);
        assert_int_equal(sessions_of(&s, 0) + sessions_of(&s, 1), CLIENTS);
        for (int k = 0; k < CLIENTS; k++) {
            assert_true(client_refresh(&s.client[k], 0));
        }
        wait_until(allocations, &s, 0);
        assert_int_equal(sessions_of(&s, 0) + sessions_of(&s, 1), 0);
        tear_down(&s);
    }
}

static void connected__has_a_socket_for_each_client(void **state)
{
    const struct engine connected = {"connected", true};
    struct stage s;

    (void)state;
    set_up(&s, &connected, 2);
    assert_int_equal(own_sockets(&s), CLIENTS);
    change_workers(&s, 1);
    assert_int_equal(own_sockets(&s), CLIENTS);
    for (int i = 0; i < CLIENTS; i++) {
        assert_true(client_refresh(&s.client[i], 0));
    }
    wait_until(own_sockets, &s, 0);
    tear_down(&s);
}

/* More workers than sockets were opened for: as many as there are. */
static void workers__are_no_more_than_sockets(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        struct stage s;

        set_up(&s, &engines[i], 1);
        assert_int_equal(server_reload(s.server, text_for(&s, 100)), 0);
        assert_int_equal(server_stats(s.server).workers, 2);
        send_all(&s, 1);
        expect_all(&s);
        tear_down(&s);
    }
}

/* --- without memory ------------------------------------------------------------------------------
 */

/* Was the failure that mem_fail_at(n) asked for still to come? */
static bool is_left(long n)
{
    bool left = false;

    for (long i = 0; i <= n && !left; i++) {
        left = mem_fails();
    }
    mem_fail_at(-1);
    return left;
}

/* Whatever was lost for want of memory, a client can begin again. */
static void begin_again(struct server_client *c, int i)
{
    client_free(c);
    *c = client_new(i % 2 == 0 ? "127.0.7.1:20403" : "127.0.7.2:20403");
}

/* One reload in which allocation `n` fails; true when there was none. */
static bool change_without_memory(struct stage *s, uint32_t workers, long n)
{
    struct conf *conf = relay_conf(text_for(s, workers));
    char why[300] = "";

    mem_fail_at(n);
    const int err = relay_server_reload(s->server, conf, why, sizeof(why));
    const bool untouched = is_left(n);
    conf_unref(conf);
    if (err != 0 && (why[0] == '\0' || untouched)) {
        fail_msg("%s, allocation %ld: %d without a reason", s->engine->name, n, err);
    }
    return untouched;
}

static void without_memory(const struct engine *engine)
{
    struct stage s;
    long n = 0;
    uint32_t lost = 0;

    set_up(&s, engine, 2);
    for (bool untouched = false; !untouched && n < 2000; n++) {
        untouched = change_without_memory(&s, 1, n);
        assert_int_equal(server_reload(s.server, text_for(&s, 2)), 0);
        for (int i = 0; i < CLIENTS; i++) {
            if (!client_refresh(&s.client[i], 600)) {
                begin_again(&s.client[i], i);
                lost++;
            }
        }
        send_all(&s, 1);
        expect_all(&s);
    }
    assert_true(n < 2000);
    assert_true(lost <= 2 * (uint32_t)n); /* what fails once costs one session, not all */
    tear_down(&s);
}

static void reload__without_memory_serves_on(void **state)
{
    (void)state;
#ifdef STERNA_FAULT_INJECTION
    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        without_memory(&engines[i]);
    }
#else
    (void)without_memory;
    CHECK_SKIP("built without fault_injection");
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions__live_under_every_engine),
        cmocka_unit_test(paired__gives_each_address_to_one_worker),
        cmocka_unit_test(sessions__travel_when_workers_change),
        cmocka_unit_test(sessions__travel_from_a_worker_to_a_new_one),
        cmocka_unit_test(session__follows_another_at_once),
        cmocka_unit_test(connected__has_a_socket_for_each_client),
        cmocka_unit_test(workers__are_no_more_than_sockets),
        cmocka_unit_test(reload__without_memory_serves_on),
    };
    return cmocka_run_group_tests(tests, quiet_log, NULL);
}

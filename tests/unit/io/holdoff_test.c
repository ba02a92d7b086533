/* SPDX-License-Identifier: Apache-2.0 */
#include "io/holdoff.h"

#include <malloc.h>

#include "base/mem.h"
#include "check.h"
#include "seeded.h"

enum { OWN_MS = 10000, SHARED_MS = 60000, MANY = 65536, MANY_BYTES = 12 * 1024 * 1024 };

static const struct holdoff_options usual = {
    .own_ms = OWN_MS,
    .shared_ms = SHARED_MS,
    .max_entries = MANY,
    .key = {1, 2},
};

static struct holdoff *make(uint32_t own_ms, uint32_t shared_ms, uint32_t max_entries)
{
    struct holdoff_options options = usual;
    struct holdoff *h;

    options.own_ms = own_ms;
    options.shared_ms = shared_ms;
    options.max_entries = max_entries;
    h = holdoff_new(&options);
    assert_non_null(h);
    return h;
}

static struct net_addr peer_of(uint32_t n)
{
    const uint8_t v4[4] = {10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    const struct net_ip ip = net_ip_v4(v4);
    return net_addr_make(&ip, 80);
}

static void own__holds_one_scope_off_for_its_time(void **state)
{
    struct holdoff *h = holdoff_new(&usual);
    const struct net_addr peer = peer_of(1);
    struct net_addr other_port = peer;

    (void)state;
    other_port.port++;
    assert_int_equal(holdoff_check(h, 7, &peer, 1000), HOLDOFF_NONE);
    holdoff_failed(h, 7, 70, &peer, HOLDOFF_TIMEOUT, 1000);
    assert_int_equal(holdoff_check(h, 7, &peer, 1000), HOLDOFF_TIMEOUT);
    assert_int_equal(holdoff_check(h, 7, &peer, 1000 + OWN_MS - 1), HOLDOFF_TIMEOUT);
    assert_int_equal(holdoff_check(h, 8, &peer, 1001), HOLDOFF_NONE);
    assert_int_equal(holdoff_check(h, 7, &other_port, 1001), HOLDOFF_NONE);
    assert_int_equal(holdoff_check(h, 7, &peer, 1000 + OWN_MS), HOLDOFF_NONE);
    holdoff_failed(h, 7, 70, &peer, HOLDOFF_CONNECT, 20000); /* again: its time begins anew */
    holdoff_failed(h, 7, 70, &peer, HOLDOFF_SEND, 25000);
    assert_int_equal(holdoff_check(h, 7, &peer, 20000 + OWN_MS), HOLDOFF_SEND);
    holdoff_free(h);
    holdoff_free(NULL);
}

/* Streams K11: one user, with as many allocations as it likes, shuts a peer for itself alone. */
static void shared__needs_failures_and_different_users(void **state)
{
    static const struct {
        uint32_t failures;
        uint32_t users;
        enum holdoff_reason expect;
    } cases[] = {
        {100, 1, HOLDOFF_NONE}, {100, 2, HOLDOFF_NONE}, {4, 3, HOLDOFF_NONE},
        {4, 4, HOLDOFF_NONE},   {5, 3, HOLDOFF_ICMP},   {6, 6, HOLDOFF_ICMP},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct holdoff *h = holdoff_new(&usual);
        const struct net_addr peer = peer_of(1);
        for (uint32_t n = 0; n < cases[i].failures; n++) {
            holdoff_failed(h, 1000 + n, n % cases[i].users, &peer, HOLDOFF_ICMP, 5);
        }
        assert_int_equal(holdoff_check(h, 1, &peer, 6), cases[i].expect);
        holdoff_free(h);
    }
}

/* Hold `peer` off for everybody at `now_ms`. */
static void shut(struct holdoff *h, const struct net_addr *peer, uint64_t now_ms)
{
    for (uint64_t n = 0; n < HOLDOFF_SHARED_FAILURES; n++) {
        holdoff_failed(h, 100 + n, n % HOLDOFF_SHARED_USERS, peer, HOLDOFF_CONNECT, now_ms);
    }
}

static void shared__ends_with_its_time(void **state)
{
    struct holdoff *h = holdoff_new(&usual);
    const struct net_addr peer = peer_of(1);

    (void)state;
    shut(h, &peer, 1000);
    assert_int_equal(holdoff_check(h, 1, &peer, 1000 + SHARED_MS - 1), HOLDOFF_CONNECT);
    assert_int_equal(holdoff_check(h, 1, &peer, 1000 + SHARED_MS), HOLDOFF_NONE);
    holdoff_failed(h, 1, 9, &peer, HOLDOFF_CONNECT, 1000 + SHARED_MS); /* counted from one again */
    assert_int_equal(holdoff_check(h, 2, &peer, 1000 + SHARED_MS), HOLDOFF_NONE);
    holdoff_free(h);
}

static void shared__counts_failures_that_lie_close(void **state)
{
    struct holdoff *h = holdoff_new(&usual);
    const struct net_addr near = peer_of(1);
    const struct net_addr far = peer_of(2);

    (void)state;
    for (uint64_t n = 0; n < 8; n++) {
        holdoff_failed(h, 50 + n, n, &near, HOLDOFF_TIMEOUT, n * (SHARED_MS - 1));
        holdoff_failed(h, 50 + n, n, &far, HOLDOFF_TIMEOUT, n * SHARED_MS);
    }
    assert_int_equal(holdoff_check(h, 1, &near, UINT64_C(7) * (SHARED_MS - 1)), HOLDOFF_TIMEOUT);
    assert_int_equal(holdoff_check(h, 1, &far, UINT64_C(7) * SHARED_MS), HOLDOFF_NONE);
    holdoff_free(h);
}

static void shared__ends_when_it_works(void **state)
{
    struct holdoff *h = holdoff_new(&usual);
    const struct net_addr peer = peer_of(1);

    (void)state;
    shut(h, &peer, 1000);
    holdoff_worked(h, &peer);
    assert_int_equal(holdoff_check(h, 1, &peer, 1001), HOLDOFF_NONE);
    assert_int_equal(holdoff_check(h, 100, &peer, 1001), HOLDOFF_CONNECT); /* its own failure */
    holdoff_failed(h, 1, 9, &peer, HOLDOFF_CONNECT, 1002);
    assert_int_equal(holdoff_check(h, 2, &peer, 1003), HOLDOFF_NONE);
    holdoff_worked(h, &peer);
    holdoff_worked(h, &peer); /* nothing left to end */
    holdoff_free(h);
}

static void prohibited__never_ends(void **state)
{
    struct holdoff *h = make(OWN_MS, SHARED_MS, 8);
    const struct net_addr peer = peer_of(1);

    (void)state;
    holdoff_failed(h, 1, 1, &peer, HOLDOFF_TIMEOUT, 1);
    holdoff_failed(h, 0, 0, &peer, HOLDOFF_PROHIBITED, 1);
    holdoff_failed(h, 1, 1, &peer, HOLDOFF_CONNECT, 2); /* does not lift it */
    holdoff_worked(h, &peer);
    for (uint32_t n = 100; n < 200; n++) { /* nor does it give way */
        const struct net_addr other = peer_of(n);
        holdoff_failed(h, n, n, &other, HOLDOFF_CONNECT, n);
    }
    assert_int_equal(holdoff_check(h, 5, &peer, UINT64_MAX), HOLDOFF_PROHIBITED);
    assert_int_equal(holdoff_refused(h, HOLDOFF_PROHIBITED), 1);
    holdoff_free(h);
}

static void prohibited__may_fill_all_entries(void **state)
{
    struct holdoff *h = make(OWN_MS, SHARED_MS, 4);

    (void)state;
    for (uint32_t n = 0; n < 6; n++) {
        const struct net_addr peer = peer_of(n);
        holdoff_failed(h, 0, 0, &peer, HOLDOFF_PROHIBITED, 1);
        holdoff_failed(h, n, n, &peer, HOLDOFF_CONNECT, 1);
    }
    for (uint32_t n = 0; n < 6; n++) {
        const struct net_addr peer = peer_of(n);
        assert_int_equal(holdoff_check(h, 77, &peer, 2), n < 4 ? HOLDOFF_PROHIBITED : HOLDOFF_NONE);
    }
    assert_int_equal(holdoff_count(h), 4);
    holdoff_free(h);
}

static void times__of_zero_hold_nothing_off(void **state)
{
    struct holdoff *no_own = make(0, SHARED_MS, MANY);
    struct holdoff *no_shared = make(OWN_MS, 0, MANY);
    const struct net_addr peer = peer_of(1);

    (void)state;
    holdoff_failed(no_own, 1, 1, &peer, HOLDOFF_CONNECT, 1);
    assert_int_equal(holdoff_check(no_own, 1, &peer, 1), HOLDOFF_NONE);
    shut(no_own, &peer, 1);
    assert_int_equal(holdoff_check(no_own, 1, &peer, 1), HOLDOFF_CONNECT);
    shut(no_shared, &peer, 1);
    assert_int_equal(holdoff_check(no_shared, 1, &peer, 1), HOLDOFF_NONE);
    assert_int_equal(holdoff_check(no_shared, 100, &peer, 1), HOLDOFF_CONNECT);
    holdoff_free(no_own);
    holdoff_free(no_shared);
}

static void times__may_change(void **state)
{
    struct holdoff *h = holdoff_new(&usual);
    const struct net_addr peer = peer_of(1);

    (void)state;
    holdoff_failed(h, 1, 1, &peer, HOLDOFF_CONNECT, 0);
    holdoff_set_times(h, 500, 0);
    assert_int_equal(holdoff_check(h, 1, &peer, 499), HOLDOFF_CONNECT);
    assert_int_equal(holdoff_check(h, 1, &peer, 500), HOLDOFF_NONE);
    holdoff_set_times(h, 2000, SHARED_MS);
    assert_int_equal(holdoff_check(h, 1, &peer, 1999), HOLDOFF_CONNECT);
    holdoff_set_times(h, 0, 0);
    assert_int_equal(holdoff_check(h, 1, &peer, 1999), HOLDOFF_NONE);
    holdoff_free(h);
}

static void refused__is_counted_by_reason(void **state)
{
    struct holdoff *h = holdoff_new(&usual);
    const struct net_addr peer = peer_of(1);

    (void)state;
    holdoff_failed(h, 1, 1, &peer, HOLDOFF_CONNECT, 0);
    holdoff_failed(h, 2, 1, &peer, HOLDOFF_SEND, 0);
    for (uint64_t scope = 1; scope <= 3; scope++) {
        for (uint64_t n = 0; n < scope; n++) {
            (void)holdoff_check(h, scope, &peer, 1);
        }
    }
    assert_int_equal(holdoff_refused(h, HOLDOFF_CONNECT), 1);
    assert_int_equal(holdoff_refused(h, HOLDOFF_SEND), 2);
    assert_int_equal(holdoff_refused(h, HOLDOFF_NONE), 0);
    assert_int_equal(holdoff_refused(h, HOLDOFF_TIMEOUT), 0);
    holdoff_free(h);
}

static void entries__expired_are_given_back(void **state)
{
    struct holdoff *h = holdoff_new(&usual);

    (void)state;
    for (uint32_t n = 0; n < 1000; n++) {
        const struct net_addr peer = peer_of(n);
        holdoff_failed(h, 1, 1, &peer, HOLDOFF_CONNECT, 0);
    }
    assert_int_equal(holdoff_count(h), 2000);
    for (uint32_t n = 0; n < 250; n++) { /* four of each kind go for one that comes */
        const struct net_addr peer = peer_of(5000);
        holdoff_failed(h, 1, 1, &peer, HOLDOFF_CONNECT, SHARED_MS);
    }
    assert_int_equal(holdoff_count(h), 2);
    holdoff_free(h);
}

static void entries__oldest_gives_way(void **state)
{
    struct holdoff *h = make(OWN_MS, 0, 10);
    const struct net_addr first = peer_of(0);
    const struct net_addr second = peer_of(1);

    (void)state;
    for (uint32_t n = 0; n < 10; n++) {
        const struct net_addr peer = peer_of(n);
        holdoff_failed(h, 1, 1, &peer, HOLDOFF_CONNECT, n);
    }
    holdoff_failed(h, 1, 1, &first, HOLDOFF_CONNECT, 10); /* now the youngest */
    const struct net_addr last = peer_of(10);
    holdoff_failed(h, 1, 1, &last, HOLDOFF_CONNECT, 11);
    assert_int_equal(holdoff_check(h, 1, &first, 12), HOLDOFF_CONNECT);
    assert_int_equal(holdoff_check(h, 1, &second, 12), HOLDOFF_NONE);
    assert_int_equal(holdoff_check(h, 1, &last, 12), HOLDOFF_CONNECT);
    assert_int_equal(holdoff_count(h), 10);
    holdoff_free(h);
}

/* Proves the bound of streams K11: a scan of a million peers costs no more than its entries. */
static void entries__are_bounded_under_a_million_peers(void **state)
{
    const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    struct holdoff *h = holdoff_new(&usual);

    (void)state;
    for (uint32_t n = 0; n < 1000000; n++) {
        const struct net_addr peer = peer_of(n);
        holdoff_failed(h, n % 100, n % 100, &peer, HOLDOFF_TIMEOUT, n / 1000);
        if (n % 1000 == 999) {
            assert_true(holdoff_count(h) <= MANY);
            assert_int_equal(holdoff_check(h, n % 100, &peer, n / 1000), HOLDOFF_TIMEOUT);
        }
    }
    assert_int_equal(holdoff_count(h), MANY);
    const size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
    assert_true(after - before < MANY_BYTES); /* 0 under sanitizers, which count themselves */
    holdoff_free(h);
}

/* What is held off is what a plain list of all failures says, as long as nothing gives way. */
static void holdoff__agrees_with_a_list(void **state)
{
    enum { PEERS = 4, SCOPES = 6, EVENTS = 3000 };

    static struct {
        uint64_t when;
        uint32_t peer;
        uint32_t scope;
    } seen[EVENTS];
    struct seeded seed = {21};
    struct holdoff *h = holdoff_new(&usual);
    uint64_t now = 0;

    (void)state;
    for (uint32_t i = 0; i < EVENTS; i++) {
        now += seeded_below(&seed, 10) == 0 ? seeded_below(&seed, SHARED_MS * 2)
                                            : seeded_below(&seed, OWN_MS / 2);
        seen[i].when = now;
        seen[i].peer = seeded_below(&seed, PEERS);
        seen[i].scope = seeded_below(&seed, SCOPES);
        const struct net_addr failed = peer_of(seen[i].peer);
        holdoff_failed(h, seen[i].scope, seen[i].scope, &failed, HOLDOFF_CONNECT, now);

        const uint32_t peer = seeded_below(&seed, PEERS);
        const uint32_t scope = seeded_below(&seed, SCOPES);
        uint64_t last = now;
        uint32_t failures = 0;
        uint32_t users = 0;
        bool own = false;
        for (uint32_t back = i + 1; back-- > 0;) {
            if (seen[back].peer != peer) {
                continue;
            }
            own = own || (seen[back].scope == scope && now - seen[back].when < OWN_MS);
            if (last - seen[back].when >= SHARED_MS) {
                break;
            }
            last = seen[back].when;
            failures++;
            users |= 1U << seen[back].scope;
        }
        const bool shared = failures >= HOLDOFF_SHARED_FAILURES &&
                            __builtin_popcount(users) >= HOLDOFF_SHARED_USERS;
        const struct net_addr asked = peer_of(peer);
        assert_int_equal(holdoff_check(h, scope, &asked, now),
                         own || shared ? HOLDOFF_CONNECT : HOLDOFF_NONE);
    }
    holdoff_free(h);
}

/* Without memory a failure is forgotten, whichever allocation it is that fails. */
static void holdoff__survives_without_memory(void **state)
{
    const struct net_addr peer = peer_of(1);

    (void)state;
    for (long n = 0; n < 12; n++) {
        mem_fail_at(n);
        struct holdoff *h = holdoff_new(&usual);
        if (h != NULL) {
            holdoff_failed(h, 1, 1, &peer, HOLDOFF_CONNECT, 1);
            holdoff_failed(h, 1, 1, &peer, HOLDOFF_PROHIBITED, 1);
        }
        mem_fail_at(-1);
        if (h != NULL) {
            holdoff_failed(h, 1, 1, &peer, HOLDOFF_PROHIBITED, 1);
            assert_int_equal(holdoff_check(h, 1, &peer, 1), HOLDOFF_PROHIBITED);
        }
        holdoff_free(h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own__holds_one_scope_off_for_its_time),
        cmocka_unit_test(shared__needs_failures_and_different_users),
        cmocka_unit_test(shared__ends_with_its_time),
        cmocka_unit_test(shared__counts_failures_that_lie_close),
        cmocka_unit_test(shared__ends_when_it_works),
        cmocka_unit_test(prohibited__never_ends),
        cmocka_unit_test(prohibited__may_fill_all_entries),
        cmocka_unit_test(times__of_zero_hold_nothing_off),
        cmocka_unit_test(times__may_change),
        cmocka_unit_test(refused__is_counted_by_reason),
        cmocka_unit_test(entries__expired_are_given_back),
        cmocka_unit_test(entries__oldest_gives_way),
        cmocka_unit_test(entries__are_bounded_under_a_million_peers),
        cmocka_unit_test(holdoff__agrees_with_a_list),
        cmocka_unit_test(holdoff__survives_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What an allocation costs in user space: a hundred thousand of them in the tables of one core,
 * each with a user's name, a permission and a channel, and what the worker keeps for its relay
 * socket. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/slab.h"
#include "base/wheel.h"
#include "check.h"
#include "relay/worker_int.h"
#include "turn/alloc.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_HEAP 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define OWN_HEAP 0
#endif
#endif
#ifndef OWN_HEAP
#define OWN_HEAP 1
#endif

enum {
    ALLOCATIONS = 100000,
    LIMIT_BYTES = 1536, /* each, in user space */
    CHANNEL = 0x4000,
    SMALL_PIECES = 16384, /* less than a chunk of a slab */
};

/* Bytes that are out: of the heap, and of what malloc() has mapped for large pieces. */
static uint64_t bytes_out(void)
{
    const struct mallinfo2 info = mallinfo2();

    return (uint64_t)info.uordblks + info.hblkhd;
}

static struct five_tuple tuple_of(uint32_t i)
{
    const uint8_t client[4] = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
    const uint8_t server[4] = {192, 0, 2, 1};
    const struct net_ip client_ip = net_ip_v4(client);
    const struct net_ip server_ip = net_ip_v4(server);

    return (struct five_tuple){
        .client = net_addr_make(&client_ip, 4000),
        .server = net_addr_make(&server_ip, 3478),
        .protocol = NET_UDP,
    };
}

static void make_one(struct turn_tables *t, uint32_t i)
{
    const struct five_tuple tuple = tuple_of(i);
    const uint8_t raw[4] = {198, 51, 100, (uint8_t)(1 + i % 250)};
    const struct net_ip ip = net_ip_v4(raw);
    const struct net_addr peer = net_addr_make(&ip, 5000);
    char name[40];

    /* As a web application makes them: the end of their time, and a user's identifier. */
    const int len = snprintf(name, sizeof(name), "1763740800:user-%06u@example", i);
    struct turn_alloc *alloc = turn_alloc_new(t, &tuple, 1000);
    assert_non_null(alloc);
    assert_int_equal(
        turn_alloc_set_user(t, alloc, (struct bytes){(const uint8_t *)name, (size_t)len}, 11, 10),
        0);
    struct turn_perm *perm = turn_perm_get(t, alloc, &ip, 8, 1000);
    assert_non_null(perm);
    turn_perm_refresh(t, alloc, perm, 301000);
    assert_int_equal(turn_chan_bind(t, alloc, CHANNEL, &peer, 8, 601000, 1000), 0);
    turn_alloc_wake_by(t, alloc, 301000);
}

static void memory__an_allocation_takes_no_more_than_planned(void **state)
{
    const struct hash_key key = {0};
    struct turn_tables *t = calloc(1, sizeof(*t));
    struct wheel *wheel = calloc(1, sizeof(*wheel));

    (void)state;
    assert_non_null(t);
    assert_non_null(wheel);
    wheel_init(wheel, 1000);
    const uint64_t before = bytes_out();
    struct slab *socks = slab_new(sizeof(struct relay_sock), 2 * ALLOCATIONS);
    assert_non_null(socks);
    assert_int_equal(turn_tables_init(t, wheel, key, ALLOCATIONS), 0);
    for (uint32_t i = 0; i < ALLOCATIONS; i++) {
        make_one(t, i);
        assert_non_null(slab_get(socks));
    }
    const uint64_t each = (bytes_out() - before) / ALLOCATIONS;
    if (OWN_HEAP) {
        assert_in_range(each, sizeof(struct turn_alloc) + sizeof(struct relay_sock), LIMIT_BYTES);
    }
    for (uint32_t i = 0; i < ALLOCATIONS; i++) {
        const struct five_tuple tuple = tuple_of(i);
        struct turn_alloc *alloc = turn_alloc_find(t, &tuple);
        assert_non_null(alloc);
        turn_alloc_free(t, alloc);
    }
    turn_tables_fini(t);
    slab_free(socks);
    const uint64_t after = bytes_out();
    free(wheel);
    free(t);
    /* The allocator keeps what was freed in small pieces for this thread, and calls it in use. */
    if (OWN_HEAP) {
        assert_in_range(after, 0, before + SMALL_PIECES);
    }
    print_message(
        "# %llu bytes an allocation; structs: %zu allocation, %zu permission, %zu channel, "
        "%zu relay socket\n",
        (unsigned long long)each, sizeof(struct turn_alloc), sizeof(struct turn_perm),
        sizeof(struct turn_chan), sizeof(struct relay_sock));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory__an_allocation_takes_no_more_than_planned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

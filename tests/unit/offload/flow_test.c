/* SPDX-License-Identifier: Apache-2.0 */
/* The table of channels in maps of the kernel. */
#include "offload/flow.h"

#include <arpa/inet.h>
#include <string.h>
#include <time.h>

#include "flow_rig.h"

#define NS_PER_MS UINT64_C(1000000)
#define TICK_NS   (10 * NS_PER_MS)
#define NO_HANDLE UINT32_MAX

/* The values of channel `spec`'s two entries; 0, or -ENOENT: one is missing. */
static int look_up(const struct rig *rig, const struct flow_spec *spec,
                   struct offload_flow out[OFFLOAD_WAYS])
{
    struct offload_key6 to_peer = {
        .src_port = htons(spec->client.port),
        .dst_port = htons(spec->server.port),
        .number = htons(spec->number),
    };
    struct offload_key6 to_client = {
        .src_port = htons(spec->peer.port),
        .dst_port = htons(spec->relay.port),
    };

    memcpy(to_peer.src, spec->client.ip.b, 16);
    memcpy(to_peer.dst, spec->server.ip.b, 16);
    memcpy(to_client.src, spec->peer.ip.b, 16);
    memcpy(to_client.dst, spec->relay.ip.b, 16);
    const struct offload_key6 *key[] = {&to_peer, &to_client};
    for (int i = 0; i < OFFLOAD_WAYS; i++) {
        struct offload_key4 key4 = {
            .src_port = key[i]->src_port, .dst_port = key[i]->dst_port, .number = key[i]->number};
        memcpy(&key4.src, key[i]->src + 12, 4);
        memcpy(&key4.dst, key[i]->dst + 12, 4);
        const bool v6 = (i == 0 ? spec->client.family : spec->peer.family) == NET_V6;
        const int err = v6 ? bpf_map_lookup_elem(rig->maps.flow6, key[i], &out[i])
                           : bpf_map_lookup_elem(rig->maps.flow4, &key4, &out[i]);
        if (err < 0) {
            return err;
        }
    }
    return 0;
}

static uint32_t entries(const struct rig *rig)
{
    return rig_entries(rig->maps.flow4) + rig_entries(rig->maps.flow6);
}

static void flow__is_two_entries_and_a_slot(void **state)
{
    struct rig rig;

    (void)state;
    if (!rig_open(&rig, 4, 4)) {
        return;
    }
    for (int v6 = 0; v6 < 2; v6++) {
        struct flow_spec spec = rig_spec(v6 != 0, 7);
        struct offload_flow flow[OFFLOAD_WAYS];
        uint32_t handle = 0;
        spec.limit = 3;
        assert_int_equal(flow_open(rig.table, &spec, &handle), 0);
        assert_int_not_equal(handle, 0);
        assert_int_equal(rig_entries(v6 ? rig.maps.flow6 : rig.maps.flow4), 2);
        assert_int_equal(look_up(&rig, &spec, flow), 0);
        for (int i = 0; i < OFFLOAD_WAYS; i++) {
            const struct offload_way *way = &rig.slots[handle].way[i];
            assert_int_equal(flow[i].way, i);
            assert_int_equal(flow[i].slot, handle);
            assert_int_equal(flow[i].generation, way->generation);
            assert_int_equal(flow[i].number, htons(spec.number));
            assert_int_equal(way->epoch, 1);
            assert_int_equal(way->limit, 3);
        }
        assert_true(rig.slots[handle].way[OFFLOAD_TO_PEER].until_ns ==
                    600000 * NS_PER_MS - TICK_NS);
        assert_true(rig.slots[handle].way[OFFLOAD_TO_CLIENT].until_ns ==
                    300000 * NS_PER_MS - TICK_NS);
    }
    assert_int_equal(flow_count(rig.table), 2);
    rig_close(&rig);
}

/* Each entry is where packets of that family arrive. */
static void flow__between_families(void **state)
{
    struct rig rig;

    (void)state;
    if (!rig_open(&rig, 4, 4)) {
        return;
    }
    struct flow_spec spec = rig_spec(false, 1);
    struct offload_flow flow[OFFLOAD_WAYS];
    const struct flow_spec v6 = rig_spec(true, 1);
    uint32_t handle = 0;
    spec.relay = v6.relay;
    spec.peer = v6.peer;
    assert_int_equal(flow_open(rig.table, &spec, &handle), 0);
    assert_int_equal(rig_entries(rig.maps.flow4), 1);
    assert_int_equal(rig_entries(rig.maps.flow6), 1);
    assert_int_equal(look_up(&rig, &spec, flow), 0);
    assert_int_equal(flow[OFFLOAD_TO_PEER].family, 6);
    assert_int_equal(flow[OFFLOAD_TO_CLIENT].family, 4);
    flow_close(rig.table, handle, NULL);
    assert_int_equal(entries(&rig), 0);
    rig_close(&rig);
}

static void flow__refused_leaves_nothing(void **state)
{
    struct rig rig;
    uint32_t handle = NO_HANDLE;

    (void)state;
    if (!rig_open(&rig, 4, 4)) {
        return;
    }
    struct flow_spec spec = rig_spec(false, 1);
    spec.peer.port = 0;
    assert_int_equal(flow_open(rig.table, &spec, &handle), -EINVAL);
    assert_int_equal(handle, NO_HANDLE);
    assert_int_equal(flow_count(rig.table), 0);
    assert_int_equal(entries(&rig), 0);
    rig_close(&rig);
}

static void flow__full_table(void **state)
{
    struct rig rig;
    uint32_t handle[3];
    uint32_t none = NO_HANDLE;

    (void)state;
    if (!rig_open(&rig, 3, 1)) {
        return;
    }
    for (uint32_t i = 0; i < 3; i++) {
        const struct flow_spec spec = rig_spec(i == 1, 2 * i);
        assert_int_equal(flow_open(rig.table, &spec, &handle[i]), 0);
    }
    const struct flow_spec more = rig_spec(false, 100);
    assert_int_equal(flow_open(rig.table, &more, &none), -ENOSPC);
    assert_int_equal(none, NO_HANDLE);
    assert_int_equal(flow_count(rig.table), 3);
    flow_close(rig.table, handle[1], NULL);
    assert_int_equal(flow_open(rig.table, &more, &none), -ENOSPC); /* its slot rests */
    rig_rest(&rig);
    assert_int_equal(flow_open(rig.table, &more, &none), 0);
    assert_int_equal(none, handle[1]);
    assert_int_equal(entries(&rig), 6);
    rig_close(&rig);
}

/* The hash map has room for one of the two entries only. */
static void flow__full_map(void **state)
{
    struct rig rig;
    struct offload_flow flow[OFFLOAD_WAYS];
    uint32_t handle = NO_HANDLE;

    (void)state;
    if (!rig_open_maps(&rig, 4, 3, 1)) {
        return;
    }
    const struct flow_spec first = rig_spec(true, 0);
    const struct flow_spec second = rig_spec(true, 2);
    assert_int_equal(flow_table_new(&rig.maps, 4, 1, &rig.table), 0);
    assert_int_equal(flow_open(rig.table, &first, &handle), 0);
    handle = NO_HANDLE;
    assert_int_equal(flow_open(rig.table, &second, &handle), -ENOSPC);
    assert_int_equal(handle, NO_HANDLE);
    assert_int_equal(flow_count(rig.table), 1);
    assert_int_equal(entries(&rig), 2);
    assert_int_equal(look_up(&rig, &first, flow), 0);
    rig_close(&rig);
}

/* Neither of the two flows may be that of another channel. */
static void flow__that_is_another_channels(void **state)
{
    struct rig rig;

    (void)state;
    if (!rig_open(&rig, 8, 1)) {
        return;
    }
    for (int v6 = 0; v6 < 2; v6++) {
        const struct flow_spec first = rig_spec(v6 != 0, 0);
        struct flow_spec same_peer = first;
        struct flow_spec same_client = first;
        struct offload_flow flow[OFFLOAD_WAYS];
        uint32_t handle = 0;
        uint32_t none = NO_HANDLE;
        same_peer.number++;
        same_client.peer.port++;
        assert_int_equal(flow_open(rig.table, &first, &handle), 0);
        assert_int_equal(flow_open(rig.table, &same_peer, &none), -EEXIST);
        assert_int_equal(flow_open(rig.table, &same_client, &none), -EEXIST);
        assert_int_equal(none, NO_HANDLE);
        assert_int_equal(rig_entries(v6 ? rig.maps.flow6 : rig.maps.flow4), 2);
        assert_int_equal(look_up(&rig, &first, flow), 0);
        assert_int_equal(flow[OFFLOAD_TO_PEER].slot, handle);
        assert_int_equal(flow[OFFLOAD_TO_CLIENT].slot, handle);
    }
    assert_int_equal(flow_count(rig.table), 2);
    rig_close(&rig);
}

/* Who still holds the old entry sees that the slot is no more the same. */
static void flow__has_a_generation_of_its_own(void **state)
{
    struct rig rig;
    uint32_t before = 0;

    (void)state;
    if (!rig_open(&rig, 1, 1)) {
        return;
    }
    for (uint32_t i = 0; i < 5; i++) {
        const struct flow_spec spec = rig_spec(false, i);
        struct offload_flow flow[OFFLOAD_WAYS];
        uint32_t handle = 0;
        assert_int_equal(flow_open(rig.table, &spec, &handle), 0);
        assert_int_equal(look_up(&rig, &spec, flow), 0);
        assert_int_not_equal(flow[0].generation, before);
        assert_int_equal(flow[0].generation, flow[1].generation);
        assert_int_equal(rig.slots[handle].way[0].generation, flow[0].generation);
        assert_int_equal(rig.slots[handle].way[1].generation, flow[0].generation);
        before = flow[0].generation;
        flow_close(rig.table, handle, NULL);
        rig_rest(&rig);
    }
    rig_close(&rig);
}

/* A tick before the deadline, since the programs' clock may be a tick behind. */
static void flow__is_over_before_its_deadline(void **state)
{
    const struct {
        uint64_t ms;
        uint64_t ns;
    } cases[] = {
        {0, 0},
        {1, 0},
        {10, 0},
        {11, NS_PER_MS},
        {5000, 5000 * NS_PER_MS - TICK_NS},
        {UINT64_MAX / NS_PER_MS - 1, (UINT64_MAX / NS_PER_MS - 1) * NS_PER_MS - TICK_NS},
        {UINT64_MAX / NS_PER_MS + 1, UINT64_MAX - TICK_NS},
        {UINT64_MAX, UINT64_MAX - TICK_NS},
    };
    struct rig rig;
    struct flow_spec spec = rig_spec(false, 0);
    uint32_t handle = 0;

    (void)state;
    if (!rig_open(&rig, 1, 1)) {
        return;
    }
    assert_int_equal(flow_open(rig.table, &spec, &handle), 0);
    const struct offload_way *way = rig.slots[handle].way;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        flow_renew(rig.table, handle, cases[i].ms, 0);
        assert_true(way[OFFLOAD_TO_PEER].until_ns == cases[i].ns);
        assert_true(way[OFFLOAD_TO_CLIENT].until_ns == 0);
        flow_renew(rig.table, handle, 0, cases[i].ms);
        assert_true(way[OFFLOAD_TO_PEER].until_ns == 0);
        assert_true(way[OFFLOAD_TO_CLIENT].until_ns == cases[i].ns);
    }
    rig_close(&rig);
}

static void flow__is_halted_until_it_is_renewed(void **state)
{
    struct rig rig;
    uint32_t handle[3] = {0};

    (void)state;
    if (!rig_open(&rig, 3, 1)) {
        return;
    }
    for (uint32_t i = 0; i < 2; i++) {
        const struct flow_spec spec = rig_spec(false, 2 * i);
        assert_int_equal(flow_open(rig.table, &spec, &handle[i]), 0);
    }
    flow_halt(rig.table);
    assert_int_equal(rig.control.epoch, 2);
    flow_renew(rig.table, handle[1], 1000, 1000);
    const struct flow_spec later = rig_spec(false, 4);
    assert_int_equal(flow_open(rig.table, &later, &handle[2]), 0);
    const uint32_t epoch[] = {1, 2, 2};
    for (size_t i = 0; i < COUNT_OF(epoch); i++) {
        assert_int_equal(rig.slots[handle[i]].way[OFFLOAD_TO_PEER].epoch, epoch[i]);
        assert_int_equal(rig.slots[handle[i]].way[OFFLOAD_TO_CLIENT].epoch, epoch[i]);
    }
    rig_close(&rig);
}

/* The next channel in the slot begins at zero. */
static void flow__tells_what_was_forwarded(void **state)
{
    struct rig rig;
    struct flow_traffic traffic;
    uint32_t handle = 0;

    (void)state;
    if (!rig_open(&rig, 1, 1)) {
        return;
    }
    const struct flow_spec spec = rig_spec(true, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(flow_open(rig.table, &spec, &handle), 0);
        struct offload_way *way = rig.slots[handle].way;
        flow_usage(rig.table, handle, &traffic);
        assert_true(traffic.packets[0] == 0 && traffic.packets[1] == 0);
        assert_true(traffic.bytes[0] == 0 && traffic.bytes[1] == 0);
        assert_true(way[0].hop_stamp == 0 && way[1].hop_stamp == 0);
        way[OFFLOAD_TO_PEER].packets += 3; /* what a program does */
        way[OFFLOAD_TO_PEER].bytes += UINT64_C(1) << 40;
        way[OFFLOAD_TO_CLIENT].packets += 5;
        way[OFFLOAD_TO_CLIENT].bytes += 7;
        way[OFFLOAD_TO_CLIENT].hop_stamp = 9;
        flow_usage(rig.table, handle, &traffic);
        assert_true(traffic.packets[OFFLOAD_TO_PEER] == 3);
        way[OFFLOAD_TO_CLIENT].packets++;
        flow_close(rig.table, handle, &traffic);
        assert_true(traffic.packets[OFFLOAD_TO_PEER] == 3);
        assert_true(traffic.bytes[OFFLOAD_TO_PEER] == UINT64_C(1) << 40);
        assert_true(traffic.packets[OFFLOAD_TO_CLIENT] == 6);
        assert_true(traffic.bytes[OFFLOAD_TO_CLIENT] == 7);
        assert_true(way[0].until_ns == 0 && way[1].until_ns == 0);
        rig_rest(&rig);
    }
    rig_close(&rig);
}

static double seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void flow__leaves_nothing_behind(void **state)
{
    enum { COUNT = 100000 };
    struct rig rig;

    (void)state;
    if (!rig_open(&rig, COUNT, 1)) {
        return;
    }
    const double start = seconds();
    for (uint32_t i = 0; i < COUNT; i++) {
        const struct flow_spec spec = rig_spec(i % 4 == 0, i);
        uint32_t handle = 0;
        assert_int_equal(flow_open(rig.table, &spec, &handle), 0);
        flow_close(rig.table, handle, NULL);
    }
    const double took = seconds() - start;
    print_message("# opened and closed in %.2f us\n", took * 1e6 / COUNT);
    assert_int_equal(entries(&rig), 0);
    assert_int_equal(flow_count(rig.table), 0);
    for (uint32_t i = 0; i <= COUNT; i++) {
        assert_true(rig.slots[i].way[0].until_ns == 0 && rig.slots[i].way[1].until_ns == 0);
    }
    rig_close(&rig);
}

/* As many as the table says, all at once; then none. */
static void flow__fills_the_table_and_leaves_it_empty(void **state)
{
    enum { COUNT = 5000 };

    static uint32_t handle[COUNT];
    struct rig rig;

    (void)state;
    if (!rig_open(&rig, COUNT, 1)) {
        return;
    }
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < COUNT; i++) {
            const struct flow_spec spec = rig_spec(round != 0, 2 * i);
            assert_int_equal(flow_open(rig.table, &spec, &handle[i]), 0);
        }
        assert_int_equal(entries(&rig), 2 * COUNT);
        assert_int_equal(flow_count(rig.table), COUNT);
        for (uint32_t i = 0; i < COUNT; i++) {
            flow_close(rig.table, handle[i], NULL);
        }
        assert_int_equal(entries(&rig), 0);
        rig_rest(&rig);
    }
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flow__is_two_entries_and_a_slot),
        cmocka_unit_test(flow__between_families),
        cmocka_unit_test(flow__refused_leaves_nothing),
        cmocka_unit_test(flow__full_table),
        cmocka_unit_test(flow__full_map),
        cmocka_unit_test(flow__that_is_another_channels),
        cmocka_unit_test(flow__has_a_generation_of_its_own),
        cmocka_unit_test(flow__is_over_before_its_deadline),
        cmocka_unit_test(flow__is_halted_until_it_is_renewed),
        cmocka_unit_test(flow__tells_what_was_forwarded),
        cmocka_unit_test(flow__leaves_nothing_behind),
        cmocka_unit_test(flow__fills_the_table_and_leaves_it_empty),
    };

    return cmocka_run_group_tests_name("offload/flow", tests, NULL, NULL);
}

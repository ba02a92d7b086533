/* SPDX-License-Identifier: Apache-2.0 */
/* Bandwidths and known clients in maps of the kernel. */
#include <arpa/inet.h>
#include <string.h>

#include "flow_rig.h"

static void limit__is_shared_with_the_kernel(void **state)
{
    const struct bucket from[OFFLOAD_WAYS] = {{.busy_until_ns = 11}, {.busy_until_ns = 22}};
    struct bucket *bucket[2] = {NULL, NULL};
    struct rig rig;

    (void)state;
    if (!rig_open(&rig, 1, 2)) {
        return;
    }
    const uint32_t first = flow_limit_open(rig.table, from, &bucket[0]);
    const uint32_t second = flow_limit_open(rig.table, from, &bucket[1]);
    struct offload_limit seen;
    assert_true(first != 0 && second != 0 && first != second);
    assert_int_equal(bpf_map_lookup_elem(rig.maps.limits, &first, &seen), 0);
    assert_true(seen.busy_until_ns[OFFLOAD_TO_PEER] == 11);
    assert_true(seen.busy_until_ns[OFFLOAD_TO_CLIENT] == 22);
    bucket[1][OFFLOAD_TO_CLIENT].busy_until_ns = 33;
    assert_int_equal(bpf_map_lookup_elem(rig.maps.limits, &second, &seen), 0);
    assert_true(seen.busy_until_ns[OFFLOAD_TO_CLIENT] == 33);
    seen.busy_until_ns[OFFLOAD_TO_PEER] = 44;
    assert_int_equal(bpf_map_update_elem(rig.maps.limits, &first, &seen, BPF_ANY), 0);
    assert_true(bucket[0][OFFLOAD_TO_PEER].busy_until_ns == 44);
    rig_close(&rig);
}

static void limit__beyond_the_number(void **state)
{
    const struct bucket from[OFFLOAD_WAYS] = {{1}, {2}};
    struct bucket *bucket = NULL;
    struct bucket *other = NULL;
    struct rig rig;

    (void)state;
    if (!rig_open(&rig, 1, 1)) {
        return;
    }
    const uint32_t limit = flow_limit_open(rig.table, from, &bucket);
    assert_int_equal(limit, 1);
    assert_int_equal(flow_limit_open(rig.table, from, &other), 0);
    assert_null(other);
    bucket[0].busy_until_ns = 99;
    flow_limit_close(rig.table, limit);
    assert_int_equal(flow_limit_open(rig.table, from, &other), limit);
    assert_ptr_equal(other, bucket);
    assert_true(other[0].busy_until_ns == 1 && other[1].busy_until_ns == 2);
    rig_close(&rig);
}

static void client__is_known_until_it_is_gone(void **state)
{
    struct rig rig;

    (void)state;
    if (!rig_open(&rig, 1, 1)) {
        return;
    }
    const struct net_addr server = rig_addr("192.0.2.1:3478");
    const struct net_addr clients[] = {rig_addr("198.51.100.1:1"), rig_addr("198.51.100.1:2"),
                                       rig_addr("[2001:db8::1]:1"), rig_addr("198.51.100.2:1")};
    for (size_t i = 0; i < RIG_CLIENTS; i++) {
        assert_int_equal(flow_client_put(rig.table, &clients[i], &server), 0);
        assert_int_equal(flow_client_put(rig.table, &clients[i], &server), 0); /* again */
    }
    assert_int_equal(flow_client_put(rig.table, &clients[RIG_CLIENTS], &server), -ENOSPC);
    struct offload_client key = {.client_port = htons(2), .server_port = htons(3478)};
    __u8 value = 0;
    memcpy(key.client_ip, clients[1].ip.b, 16);
    memcpy(key.server_ip, server.ip.b, 16);
    assert_int_equal(bpf_map_lookup_elem(rig.maps.clients, &key, &value), 0);
    flow_client_del(rig.table, &clients[1], &server);
    flow_client_del(rig.table, &clients[1], &server);
    assert_int_equal(bpf_map_lookup_elem(rig.maps.clients, &key, &value), -ENOENT);
    assert_int_equal(flow_client_put(rig.table, &clients[RIG_CLIENTS], &server), 0);
    rig_close(&rig);
}

/* Without a shield nobody is a stranger. */
static void client__without_a_shield(void **state)
{
    struct rig rig;

    (void)state;
    if (!rig_open_maps(&rig, 1, 2, 1)) {
        return;
    }
    const struct net_addr any = rig_addr("192.0.2.1:3478");
    const int clients = rig.maps.clients;
    rig.maps.clients = -1;
    assert_int_equal(flow_table_new(&rig.maps, 1, 1, &rig.table), 0);
    assert_int_equal(flow_client_put(rig.table, &any, &any), 0);
    flow_client_del(rig.table, &any, &any);
    rig.maps.clients = clients;
    assert_int_equal(rig_entries(clients), 0);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limit__is_shared_with_the_kernel),
        cmocka_unit_test(limit__beyond_the_number),
        cmocka_unit_test(client__is_known_until_it_is_gone),
        cmocka_unit_test(client__without_a_shield),
    };

    return cmocka_run_group_tests_name("offload/flow_limit", tests, NULL, NULL);
}

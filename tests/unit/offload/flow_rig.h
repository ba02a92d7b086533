/* SPDX-License-Identifier: Apache-2.0 */
/* The maps of bpf/maps.h without a program, and a table of channels on them whose time the test
 * sets. */
#pragma once

#include <bpf/bpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/net_addr.h"
#include "check.h"
#include "offload/flow.h"
#include "offload/flow_int.h"
#include "offload/flow_map.h"
#include "offload/shield_map.h"

enum { RIG_CLIENTS = 3 };

struct rig {
    struct flow_maps maps;
    struct offload_control control;
    struct offload_slot *slots; /* as the kernel sees them */
    uint32_t channels;
    struct flow_table *table;
};

static inline struct net_addr rig_addr(const char *text)
{
    struct net_addr addr;

    if (net_addr_parse(text, 0, &addr) < 0) {
        abort();
    }
    return addr;
}

static inline int rig_hash(uint32_t key, uint32_t value, uint32_t max)
{
    const struct bpf_map_create_opts options = {.sz = sizeof(options),
                                                .map_flags = BPF_F_NO_PREALLOC};

    return bpf_map_create(BPF_MAP_TYPE_HASH, "rig", key, value, max, &options);
}

static inline int rig_array(uint32_t value, uint32_t max)
{
    const struct bpf_map_create_opts options = {.sz = sizeof(options), .map_flags = BPF_F_MMAPABLE};

    return bpf_map_create(BPF_MAP_TYPE_ARRAY, "rig", sizeof(uint32_t), value, max, &options);
}

/* Maps alone.  False, said why, where this host gives none. */
static inline bool rig_open_maps(struct rig *rig, uint32_t channels, uint32_t entries,
                                 uint32_t sessions)
{
    struct flow_maps *maps = &rig->maps;

    *rig = (struct rig){.channels = channels, .control = {.forward = 1, .epoch = 1}};
    maps->flow4 = rig_hash(sizeof(struct offload_key4), sizeof(struct offload_flow), entries);
    if (maps->flow4 == -EPERM || maps->flow4 == -ENOSYS) {
        print_message("# not run here: BPF maps need CAP_BPF, and a kernel that has them\n");
        return false;
    }
    maps->flow6 = rig_hash(sizeof(struct offload_key6), sizeof(struct offload_flow), entries);
    maps->slots = rig_array(sizeof(struct offload_slot), channels + 1);
    maps->limits = rig_array(sizeof(struct offload_limit), sessions + 1);
    maps->clients = rig_hash(sizeof(struct offload_client), sizeof(__u8), RIG_CLIENTS);
    maps->control = &rig->control;
    maps->virtual_clock = true;
    assert_true(maps->flow4 >= 0 && maps->flow6 >= 0 && maps->slots >= 0 && maps->limits >= 0 &&
                maps->clients >= 0);
    rig->slots = mmap(NULL, (channels + 1) * sizeof(struct offload_slot), PROT_READ | PROT_WRITE,
                      MAP_SHARED, maps->slots, 0);
    assert_ptr_not_equal(rig->slots, MAP_FAILED);
    return true;
}

static inline bool rig_open(struct rig *rig, uint32_t channels, uint32_t sessions)
{
    if (!rig_open_maps(rig, channels, 2 * channels, sessions)) {
        return false;
    }
    assert_int_equal(flow_table_new(&rig->maps, channels, sessions, &rig->table), 0);
    return true;
}

static inline void rig_close(struct rig *rig)
{
    flow_table_free(rig->table);
    (void)munmap(rig->slots, (rig->channels + 1) * sizeof(struct offload_slot));
    (void)close(rig->maps.flow4);
    (void)close(rig->maps.flow6);
    (void)close(rig->maps.slots);
    (void)close(rig->maps.limits);
    (void)close(rig->maps.clients);
}

/* Numbers that have been given back may be used again. */
static inline void rig_rest(struct rig *rig)
{
    rig->control.virtual_ns += UINT64_C(1000000) * FLOW_REST_MS;
}

static inline uint32_t rig_entries(int map)
{
    struct offload_key6 key; /* as long as the longest */
    uint32_t count = 0;

    while (bpf_map_get_next_key(map, count == 0 ? NULL : &key, &key) == 0) {
        count++;
    }
    return count;
}

/* Channel `number` of client `n`; both sides IPv4 or both IPv6. */
static inline struct flow_spec rig_spec(bool v6, uint32_t n)
{
    const char *const side[2][2] = {{"198.51.100.1:3478", "198.51.100.2:50000"},
                                    {"[2001:db8:2::1]:3478", "[2001:db8:2::2]:50000"}};
    struct flow_spec spec = {
        .client = rig_addr(v6 ? "[2001:db8:1::]:1000" : "10.0.0.0:1000"),
        .server = rig_addr(side[v6][0]),
        .relay = rig_addr(side[v6][1]),
        .peer = rig_addr(v6 ? "[2001:db8:3::]:2000" : "11.0.0.0:2000"),
        .number = 0x4000,
        .to_peer_until_ms = 600000,
        .to_client_until_ms = 300000,
    };

    for (int i = 0; i < 3; i++) {
        const uint8_t byte = (uint8_t)(n >> (8 * i));
        spec.client.ip.b[15 - i] = byte;
        spec.peer.ip.b[15 - i] = byte;
    }
    spec.client.ip.b[15] |= 1;
    spec.client.port = (uint16_t)(1000 + (n & 1));
    return spec;
}

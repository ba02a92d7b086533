/* SPDX-License-Identifier: Apache-2.0 */
#include "offload/flow.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "base/mem.h"
#include "offload/flow_int.h"
#include "offload/flow_pair.h"

#define NS_PER_MS UINT64_C(1000000)

/* Nothing may be forwarded at or after a deadline, so what comes just before it is not begun. */
#define FLOW_MARGIN_NS (10 * NS_PER_MS)

/* --- memory that both sides write ----------------------------------------------------------------
 */

static void *map_shared(int fd, size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static size_t slots_size(const struct flow_table *table)
{
    return ((size_t)table->slot_pool.max + 1) * sizeof(table->slots[0]);
}

static size_t limits_size(const struct flow_table *table)
{
    return ((size_t)table->limit_pool.max + 1) * sizeof(table->limits[0]);
}

static int map_all(struct flow_table *table)
{
    table->slots = map_shared(table->maps.slots, slots_size(table));
    if (table->slots == NULL) {
        return -errno;
    }
    table->limits = map_shared(table->maps.limits, limits_size(table));
    return table->limits == NULL ? -errno : 0;
}

static int fill_table(struct flow_table *table, uint32_t max_channels, uint32_t max_sessions)
{
    int err = flow_pool_init(&table->slot_pool, max_channels, FLOW_REST_MS);

    err = err < 0 ? err : flow_pool_init(&table->limit_pool, max_sessions, 0);
    if (err < 0) {
        return err;
    }
    table->keys = mem_new((size_t)max_channels + 1, sizeof(table->keys[0]));
    return table->keys == NULL ? -ENOMEM : map_all(table);
}

int flow_table_new(const struct flow_maps *maps, uint32_t max_channels, uint32_t max_sessions,
                   struct flow_table **out)
{
    struct flow_table *table = mem_new(1, sizeof(*table));

    if (table == NULL) {
        return -ENOMEM;
    }
    table->maps = *maps;
    const int err = fill_table(table, max_channels, max_sessions);
    if (err < 0) {
        flow_table_free(table);
        return err;
    }
    *out = table;
    return 0;
}

void flow_table_free(struct flow_table *table)
{
    if (table == NULL) {
        return;
    }
    if (table->slots != NULL) {
        (void)munmap(table->slots, slots_size(table));
    }
    if (table->limits != NULL) {
        (void)munmap(table->limits, limits_size(table));
    }
    free(table->keys);
    flow_pool_fini(&table->slot_pool);
    flow_pool_fini(&table->limit_pool);
    free(table);
}

uint64_t flow_now_ms(const struct flow_table *table)
{
    struct timespec now;

    if (table->maps.virtual_clock) {
        return __atomic_load_n(&table->maps.control->virtual_ns, __ATOMIC_RELAXED) / NS_PER_MS;
    }
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / NS_PER_MS;
}

/* --- one channel -------------------------------------------------------------------------------
 */

static uint64_t until_ns(uint64_t until_ms)
{
    const uint64_t ns = until_ms < UINT64_MAX / NS_PER_MS ? until_ms * NS_PER_MS : UINT64_MAX;

    return ns > FLOW_MARGIN_NS ? ns - FLOW_MARGIN_NS : 0;
}

static struct offload_slot *slot_of(const struct flow_table *table, uint32_t handle)
{
    assert(handle > 0 && handle <= table->slot_pool.max);
    return &table->slots[handle];
}

static void set_until(struct offload_slot *slot, uint64_t to_peer, uint64_t to_client)
{
    __atomic_store_n(&slot->way[OFFLOAD_TO_PEER].until_ns, to_peer, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->way[OFFLOAD_TO_CLIENT].until_ns, to_client, __ATOMIC_RELEASE);
}

/* As if it had never been used, but of another generation, and nothing may be forwarded yet. */
static uint32_t slot_reset(const struct flow_table *table, struct offload_slot *slot,
                           uint32_t limit)
{
    const uint32_t generation = slot->way[0].generation + 1;

    for (int i = 0; i < OFFLOAD_WAYS; i++) {
        struct offload_way *way = &slot->way[i];
        __atomic_store_n(&way->generation, generation, __ATOMIC_RELAXED);
        __atomic_store_n(&way->epoch,
                         __atomic_load_n(&table->maps.control->epoch, __ATOMIC_ACQUIRE),
                         __ATOMIC_RELAXED);
        __atomic_store_n(&way->limit, limit, __ATOMIC_RELAXED);
        __atomic_store_n(&way->packets, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&way->bytes, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&way->hop_stamp, 0, __ATOMIC_RELAXED);
    }
    return generation;
}

static int entry_add(const struct flow_table *table, const struct flow_key *key,
                     const struct offload_flow *flow)
{
    const int err = bpf_map_update_elem(key->v6 ? table->maps.flow6 : table->maps.flow4, &key->of,
                                        flow, BPF_NOEXIST);

    return err == -E2BIG ? -ENOSPC : err;
}

static void entry_del(const struct flow_table *table, const struct flow_key *key)
{
    (void)bpf_map_delete_elem(key->v6 ? table->maps.flow6 : table->maps.flow4, &key->of);
}

static int entries_add(const struct flow_table *table, const struct flow_pair *pair)
{
    int err = entry_add(table, &pair->key[OFFLOAD_TO_PEER], &pair->flow[OFFLOAD_TO_PEER]);

    if (err < 0) {
        return err;
    }
    err = entry_add(table, &pair->key[OFFLOAD_TO_CLIENT], &pair->flow[OFFLOAD_TO_CLIENT]);
    if (err < 0) {
        entry_del(table, &pair->key[OFFLOAD_TO_PEER]);
    }
    return err;
}

int flow_open(struct flow_table *table, const struct flow_spec *spec, uint32_t *out_handle)
{
    struct flow_pair pair;
    int err = flow_pair_make(spec, &pair);

    if (err < 0) {
        return err;
    }
    const uint32_t handle = flow_pool_get(&table->slot_pool, flow_now_ms(table));
    if (handle == 0) {
        return -ENOSPC;
    }
    struct offload_slot *slot = slot_of(table, handle);
    const uint32_t generation = slot_reset(table, slot, spec->limit);
    for (int i = 0; i < OFFLOAD_WAYS; i++) {
        pair.flow[i].slot = handle;
        pair.flow[i].generation = generation;
    }
    err = entries_add(table, &pair);
    if (err < 0) {
        flow_pool_put(&table->slot_pool, handle, flow_now_ms(table));
        return err;
    }
    table->keys[handle] = pair.key[OFFLOAD_TO_PEER];
    set_until(slot, until_ns(spec->to_peer_until_ms), until_ns(spec->to_client_until_ms));
    *out_handle = handle;
    return 0;
}

/* The deadlines first: in the epoch in force, older ones would hold for a moment. */
void flow_renew(struct flow_table *table, uint32_t handle, uint64_t to_peer_until_ms,
                uint64_t to_client_until_ms)
{
    struct offload_slot *slot = slot_of(table, handle);
    const uint32_t epoch = __atomic_load_n(&table->maps.control->epoch, __ATOMIC_ACQUIRE);

    set_until(slot, until_ns(to_peer_until_ms), until_ns(to_client_until_ms));
    for (int i = 0; i < OFFLOAD_WAYS; i++) {
        __atomic_store_n(&slot->way[i].epoch, epoch, __ATOMIC_RELEASE);
    }
}

void flow_usage(const struct flow_table *table, uint32_t handle, struct flow_traffic *out)
{
    const struct offload_slot *slot = slot_of(table, handle);

    for (int i = 0; i < OFFLOAD_WAYS; i++) {
        out->packets[i] = __atomic_load_n(&slot->way[i].packets, __ATOMIC_RELAXED);
        out->bytes[i] = __atomic_load_n(&slot->way[i].bytes, __ATOMIC_RELAXED);
    }
}

/* The other entry's key follows from this one's value, so it need not be kept. */
static void entries_del(const struct flow_table *table, const struct flow_key *key)
{
    struct offload_flow flow;

    if (bpf_map_lookup_and_delete_elem(key->v6 ? table->maps.flow6 : table->maps.flow4, &key->of,
                                       &flow) == 0) {
        const struct flow_key back = flow_pair_back(&flow);
        entry_del(table, &back);
    }
}

void flow_close(struct flow_table *table, uint32_t handle, struct flow_traffic *last)
{
    set_until(slot_of(table, handle), 0, 0);
    entries_del(table, &table->keys[handle]);
    if (last != NULL) {
        flow_usage(table, handle, last);
    }
    flow_pool_put(&table->slot_pool, handle, flow_now_ms(table));
}

/* Nobody has that key. */
int flow_try(const struct flow_table *table)
{
    const struct offload_key4 none = {.src = 0};
    const int err = bpf_map_delete_elem(table->maps.flow4, &none);

    return err == -ENOENT ? 0 : err;
}

uint32_t flow_count(const struct flow_table *table)
{
    return flow_pool_used(&table->slot_pool);
}

void flow_halt(struct flow_table *table)
{
    __atomic_fetch_add(&table->maps.control->epoch, 1, __ATOMIC_RELEASE);
}

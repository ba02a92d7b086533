/* SPDX-License-Identifier: Apache-2.0 */
/* What the table of channels does without rights or memory, and with many threads. */
#include <linux/capability.h>
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "flow_rig.h"

/* --- rights --------------------------------------------------------------------------------------
 */

static int drop_rights(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[2] = {{0}};

    if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0) {
        return -1;
    }
    return (int)syscall(SYS_capset, &header, none);
}

/* 0, or the number of what went wrong. */
static int use_without_rights(struct rig *rig)
{
    const struct flow_spec spec = rig_spec(false, 0);
    const struct net_addr client = spec.client;
    uint32_t handle = 0;

    if (drop_rights() < 0) {
        return 1;
    }
    if (rig_hash(4, 4, 1) != -EPERM) {
        return 2; /* has not lost them */
    }
    if (flow_open(rig->table, &spec, &handle) < 0) {
        return 3;
    }
    if (flow_client_put(rig->table, &client, &spec.server) < 0) {
        return 4;
    }
    flow_renew(rig->table, handle, 1000, 1000);
    flow_close(rig->table, handle, NULL);
    flow_client_del(rig->table, &client, &spec.server);
    return 0;
}

static void flow__needs_no_rights_once_there_are_maps(void **state)
{
    struct rig rig;
    int status = 0;

    (void)state;
    if (!rig_open(&rig, 1, 1)) {
        return;
    }
    if (geteuid() != 0) {
        print_message("# not run here: giving rights up takes root\n");
        rig_close(&rig);
        return;
    }
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(use_without_rights(&rig));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(rig_entries(rig.maps.flow4), 0);
    assert_int_equal(rig_entries(rig.maps.clients), 0);
    assert_int_equal(rig.slots[1].way[0].generation, 1); /* it was here */
    rig_close(&rig);
}

/* --- memory and descriptors ----------------------------------------------------------------------
 */

static void table__without_memory(void **state)
{
#ifdef STERNA_FAULT_INJECTION
    struct flow_table *none = NULL;
    struct rig rig;

    if (!rig_open_maps(&rig, 2, 4, 2)) {
        return;
    }
    int err = -ENOMEM;
    for (long n = 0; err == -ENOMEM; n++) {
        mem_fail_at(n);
        err = flow_table_new(&rig.maps, 2, 2, &rig.table);
        mem_fail_at(-1);
        assert_true(err == 0 || rig.table == none);
        assert_in_range(n, 0, 4);
    }
    assert_int_equal(err, 0);
    rig_close(&rig);
#endif
    (void)state;
}

static void table__on_maps_that_do_not_fit(void **state)
{
    struct flow_table *table = NULL;
    struct rig rig;

    (void)state;
    if (!rig_open_maps(&rig, 2, 4, 2)) {
        return;
    }
    assert_int_equal(flow_table_new(&rig.maps, 100000, 2, &table), -EINVAL);
    assert_int_equal(flow_table_new(&rig.maps, 2, 100000, &table), -EINVAL);
    struct flow_maps bad = rig.maps;
    bad.slots = -1;
    assert_int_equal(flow_table_new(&bad, 2, 2, &table), -EBADF);
    bad = rig.maps;
    bad.limits = -1;
    assert_int_equal(flow_table_new(&bad, 2, 2, &table), -EBADF);
    assert_null(table);
    flow_table_free(NULL);
    rig_close(&rig);
}

/* A map that went wrong: the channel is refused, and nothing is lost. */
static void flow__when_the_kernel_refuses(void **state)
{
    struct rig rig;
    uint32_t handle = 0;

    (void)state;
    if (!rig_open_maps(&rig, 2, 4, 2)) {
        return;
    }
    struct flow_spec spec = rig_spec(false, 0);
    const struct flow_spec v6 = rig_spec(true, 0);
    const int flow6 = rig.maps.flow6;
    spec.relay = v6.relay;
    spec.peer = v6.peer;
    rig.maps.flow6 = -1;
    assert_int_equal(flow_table_new(&rig.maps, 2, 2, &rig.table), 0);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(flow_open(rig.table, &spec, &handle), -EBADF);
        assert_int_equal(rig_entries(rig.maps.flow4), 0);
        assert_int_equal(flow_count(rig.table), 0);
        rig_rest(&rig);
    }
    assert_int_equal(handle, 0);
    rig.maps.flow6 = flow6;
    rig_close(&rig);
}

/* --- threads -------------------------------------------------------------------------------------
 */

enum { THREADS = 4, ROUNDS = 2000, HELD = 8 };

struct worker {
    pthread_t thread;
    struct rig *rig;
    uint32_t number;
    uint32_t wrong; /* things that were not as they have to be */
};

static struct flow_spec spec_of_round(const struct worker *worker, uint32_t round)
{
    return rig_spec(round % 3 == 0, (worker->number << 16 | round) << 1);
}

/* The slot is this worker's own while it holds it. */
static void use(struct worker *worker, uint32_t handle, uint32_t round)
{
    struct flow_table *table = worker->rig->table;
    struct offload_way *way = &worker->rig->slots[handle].way[OFFLOAD_TO_PEER];
    const uint64_t mark = (uint64_t)worker->number << 32 | round;
    struct flow_traffic traffic;

    __atomic_store_n(&way->packets, mark, __ATOMIC_RELAXED);
    flow_renew(table, handle, round, round);
    flow_usage(table, handle, &traffic);
    worker->wrong += traffic.packets[OFFLOAD_TO_PEER] != mark;
}

static void close_one(struct worker *worker, uint32_t handle, uint32_t round)
{
    struct flow_traffic traffic;

    flow_close(worker->rig->table, handle, &traffic);
    worker->wrong += traffic.packets[OFFLOAD_TO_PEER] != ((uint64_t)worker->number << 32 | round);
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    uint32_t held[HELD] = {0};

    for (uint32_t round = 0; round < ROUNDS; round++) {
        const struct flow_spec spec = spec_of_round(worker, round);
        const struct bucket from[OFFLOAD_WAYS] = {{worker->number}, {round}};
        struct bucket *bucket = NULL;
        uint32_t *handle = &held[round % HELD];
        if (*handle != 0) {
            close_one(worker, *handle, round - HELD);
        }
        worker->wrong += flow_open(worker->rig->table, &spec, handle) != 0;
        use(worker, *handle, round);
        const uint32_t limit = flow_limit_open(worker->rig->table, from, &bucket);
        worker->wrong += limit == 0 || bucket[0].busy_until_ns != worker->number;
        if (limit != 0) {
            flow_limit_close(worker->rig->table, limit);
        }
        if (round % 64 == 0) {
            flow_halt(worker->rig->table);
        }
    }
    for (uint32_t i = 0; i < HELD; i++) {
        flow_close(worker->rig->table, held[i], NULL);
    }
    return NULL;
}

static void flow__of_many_threads(void **state)
{
    struct worker worker[THREADS];
    struct rig rig;

    (void)state;
    if (!rig_open(&rig, THREADS * ROUNDS, THREADS * ROUNDS)) {
        return;
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        worker[i] = (struct worker){.rig = &rig, .number = i};
        assert_int_equal(pthread_create(&worker[i].thread, NULL, work, &worker[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(worker[i].thread, NULL), 0);
        assert_int_equal(worker[i].wrong, 0);
    }
    assert_int_equal(flow_count(rig.table), 0);
    assert_int_equal(rig_entries(rig.maps.flow4), 0);
    assert_int_equal(rig_entries(rig.maps.flow6), 0);
    assert_int_equal(rig.control.epoch, 1 + THREADS * (ROUNDS / 64 + 1));
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flow__needs_no_rights_once_there_are_maps),
        cmocka_unit_test(table__without_memory),
        cmocka_unit_test(table__on_maps_that_do_not_fit),
        cmocka_unit_test(flow__when_the_kernel_refuses),
        cmocka_unit_test(flow__of_many_threads),
    };

    return cmocka_run_group_tests_name("offload/flow_bounds", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/affinity.h"

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "check.h"

/* --- workers -------------------------------------------------------------------------------------
 */

static void affinity__workers_go_round_the_allowed_cpus(void **state)
{
    cpu_set_t mask;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof(mask), &mask), 0);
    const unsigned count = (unsigned)CPU_COUNT(&mask);
    for (unsigned i = 0; i < 2 * count; i++) {
        const unsigned cpu = affinity_cpu_of(i);
        assert_true(CPU_ISSET(cpu, &mask));
        assert_int_equal(cpu, affinity_cpu_of(i + count));
        if (i > 0 && i < count) {
            assert_true(cpu > affinity_cpu_of(i - 1));
        }
    }
}

struct pinned {
    unsigned worker;
    int err;
    unsigned cpu;
    cpu_set_t mask;
    unsigned again; /* affinity_cpu_of() the next worker, as the pinned thread sees it */
};

static void *pin(void *arg)
{
    struct pinned *p = arg;

    p->err = affinity_pin(p->worker, &p->cpu);
    if (sched_getaffinity(0, sizeof(p->mask), &p->mask) < 0) {
        p->err = -errno;
    }
    p->again = affinity_cpu_of(p->worker + 1);
    return NULL;
}

static void affinity__pins_the_thread_that_asks_and_no_other(void **state)
{
    cpu_set_t before;
    cpu_set_t after;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    for (unsigned i = 0; i < 4; i++) {
        struct pinned p = {.worker = i};
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, pin, &p), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(p.err, 0);
        assert_int_equal(p.cpu, affinity_cpu_of(i));
        assert_int_equal(CPU_COUNT(&p.mask), 1);
        assert_true(CPU_ISSET(p.cpu, &p.mask));
        assert_int_equal(p.again, affinity_cpu_of(i + 1)); /* the process' mask, not the thread's */
    }
    assert_int_equal(sched_getaffinity(0, sizeof(after), &after), 0);
    assert_true(CPU_EQUAL(&before, &after));
}

/* --- interfaces ----------------------------------------------------------------------------------
 */

static char root[64];

static void folder(const char *path)
{
    char name[192];

    (void)snprintf(name, sizeof(name), "%s/%s", root, path);
    assert_int_equal(mkdir(name, 0700), 0);
}

static void put(const char *path, const char *text)
{
    char name[192];

    (void)snprintf(name, sizeof(name), "%s/%s", root, path);
    FILE *file = fopen(name, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* An interface with `queues` receive queues and one to send. */
static void interface(const char *name, unsigned queues)
{
    char path[64];

    folder(name);
    (void)snprintf(path, sizeof(path), "%s/queues", name);
    folder(path);
    (void)snprintf(path, sizeof(path), "%s/queues/tx-0", name);
    folder(path);
    for (unsigned i = 0; i < queues; i++) {
        (void)snprintf(path, sizeof(path), "%s/queues/rx-%u", name, i);
        folder(path);
    }
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof(root), "/tmp/affinity_test.XXXXXX");
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void receive__counts_the_queues_of_the_widest_interface(void **state)
{
    (void)state;
    assert_int_equal(affinity_receive_cpus("/nonexistent"), 0);
    assert_int_equal(affinity_receive_cpus(root), 0);
    interface("lo", 16); /* of no use to clients */
    assert_int_equal(affinity_receive_cpus(root), 0);
    interface("eth0", 1);
    assert_int_equal(affinity_receive_cpus(root), 1);
    interface("eth1", 4);
    interface("docker0", 2);
    assert_int_equal(affinity_receive_cpus(root), 4);
    put("eth1/operstate", "up\n");
    assert_int_equal(affinity_receive_cpus(root), 4);
    put("eth1/operstate", "down\n");
    assert_int_equal(affinity_receive_cpus(root), 2);
    folder("broken"); /* without queues */
    put("bonding_masters", "bond0\n");
    assert_int_equal(affinity_receive_cpus(root), 2);
}

static void receive__counts_what_rps_spreads_a_queue_over(void **state)
{
    (void)state;
    interface("eth0", 2);
    put("eth0/queues/rx-0/rps_cpus", "00000000,00000000\n");
    put("eth0/queues/rx-1/rps_cpus", "");
    assert_int_equal(affinity_receive_cpus(root), 2);
    put("eth0/queues/rx-0/rps_cpus", "0000000f,000000a1\n");
    assert_int_equal(affinity_receive_cpus(root), 7 + 1);
    put("eth0/queues/rx-1/rps_cpus", "3\n");
    assert_int_equal(affinity_receive_cpus(root), 7 + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(affinity__workers_go_round_the_allowed_cpus),
        cmocka_unit_test(affinity__pins_the_thread_that_asks_and_no_other),
        cmocka_unit_test_setup_teardown(receive__counts_the_queues_of_the_widest_interface, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(receive__counts_what_rps_spreads_a_queue_over, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

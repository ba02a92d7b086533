/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/cpus.h"

#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "check.h"

/* A control group hierarchy of plain files. */
struct tree {
    char root[64];
    char self[96];
};

static void put(const char *root, const char *path, const char *text)
{
    char name[192];

    (void)snprintf(name, sizeof(name), "%s%s", root, path);
    FILE *file = fopen(name, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void folder(const char *root, const char *path)
{
    char name[192];

    (void)snprintf(name, sizeof(name), "%s%s", root, path);
    assert_int_equal(mkdir(name, 0700), 0);
}

static void drop(const char *root, const char *path)
{
    char name[192];

    (void)snprintf(name, sizeof(name), "%s%s", root, path);
    assert_int_equal(remove(name), 0);
}

static void tree_make(struct tree *t)
{
    (void)snprintf(t->root, sizeof(t->root), "/tmp/cpus_test.XXXXXX");
    assert_non_null(mkdtemp(t->root));
    (void)snprintf(t->self, sizeof(t->self), "%s/self", t->root);
    folder(t->root, "/a");
    folder(t->root, "/a/b");
    put(t->root, "/self", "12:cpu:/old\n0::/a/b\n");
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

static void tree_remove(struct tree *t)
{
    assert_int_equal(nftw(t->root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void cpus__takes_the_least_quota_on_the_way_up(void **state)
{
    struct tree t;

    (void)state;
    tree_make(&t);
    assert_int_equal(cpus_quota(t.self, t.root), 0);
    put(t.root, "/a/b/cpu.max", "max 100000\n");
    assert_int_equal(cpus_quota(t.self, t.root), 0);
    put(t.root, "/a/cpu.max", "350000 100000\n");
    assert_int_equal(cpus_quota(t.self, t.root), 4); /* three and a half need four */
    put(t.root, "/cpu.max", "200000 100000\n");
    assert_int_equal(cpus_quota(t.self, t.root), 2);
    put(t.root, "/a/b/cpu.max", "5000 100000\n");
    assert_int_equal(cpus_quota(t.self, t.root), 1);
    drop(t.root, "/a/b/cpu.max");
    assert_int_equal(cpus_quota(t.self, t.root), 2);
    tree_remove(&t);
}

static void cpus__lives_without_control_groups(void **state)
{
    struct tree t;

    (void)state;
    tree_make(&t);
    assert_int_equal(cpus_quota("/nonexistent", t.root), 0);
    put(t.root, "/self", "1:cpu:/only-version-one\n");
    assert_int_equal(cpus_quota(t.self, t.root), 0);
    put(t.root, "/self", "");
    assert_int_equal(cpus_quota(t.self, t.root), 0);
    put(t.root, "/self", "0::\n0\n::/a\n0::a\n\n:::\n");
    assert_int_equal(cpus_quota(t.self, t.root), 0);
    put(t.root, "/self", "0::/\n");
    put(t.root, "/cpu.max", "garbage\n");
    assert_int_equal(cpus_quota(t.self, t.root), 0);
    tree_remove(&t);
    assert_true(cpus_usable() >= 1);
}

/* Version 1 has a hierarchy for each set of controllers, mounted under its names, and two files. */
static void cpus__reads_version_one(void **state)
{
    struct tree t;

    (void)state;
    tree_make(&t);
    put(t.root, "/self", "9:cpuset:/a\n4:cpu,cpuacct:/pods/one\n1:name=systemd:/a\n0::/a\n");
    folder(t.root, "/cpu,cpuacct");
    folder(t.root, "/cpu,cpuacct/pods");
    folder(t.root, "/cpu,cpuacct/pods/one");
    put(t.root, "/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"); /* the root has no limit */
    put(t.root, "/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    assert_int_equal(cpus_quota(t.self, t.root), 0);
    put(t.root, "/cpu,cpuacct/pods/cpu.cfs_quota_us", "60000\n");
    assert_int_equal(cpus_quota(t.self, t.root), 0); /* a quota of what? */
    put(t.root, "/cpu,cpuacct/pods/cpu.cfs_period_us", "20000\n");
    assert_int_equal(cpus_quota(t.self, t.root), 3);
    put(t.root, "/cpu,cpuacct/pods/one/cpu.cfs_period_us", "100000\n");
    put(t.root, "/cpu,cpuacct/pods/one/cpu.cfs_quota_us", "100001\n");
    assert_int_equal(cpus_quota(t.self, t.root), 2);
    /* Both versions: the stricter one. */
    put(t.root, "/a/cpu.max", "50000 100000\n");
    assert_int_equal(cpus_quota(t.self, t.root), 1);
    tree_remove(&t);
}

/* Inside of a container the path is the host's, and the mount begins at our own group. */
static void cpus__finds_the_group_of_a_container(void **state)
{
    struct tree t;

    (void)state;
    tree_make(&t);
    put(t.root, "/self", "7:cpu,cpuacct:/docker/0123456789\n0::/../../docker/0123456789\n");
    folder(t.root, "/cpu"); /* a symbolic link, mostly */
    put(t.root, "/cpu/cpu.cfs_quota_us", "250000\n");
    put(t.root, "/cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal(cpus_quota(t.self, t.root), 3);
    put(t.root, "/self", "3:cpuset,cpufreq,cpuacct:/\n"); /* no "cpu" among them */
    assert_int_equal(cpus_quota(t.self, t.root), 0);
    put(t.root, "/self", "3:cpuset,cpu:/\n");
    assert_int_equal(cpus_quota(t.self, t.root), 3);
    tree_remove(&t);
}

/* In the hybrid layout version 2 lies beside the controllers of version 1. */
static void cpus__reads_the_hybrid_layout(void **state)
{
    struct tree t;

    (void)state;
    tree_make(&t);
    folder(t.root, "/unified");
    folder(t.root, "/unified/a");
    put(t.root, "/unified/a/cpu.max", "400000 100000\n");
    assert_int_equal(cpus_quota(t.self, t.root), 4);
    tree_remove(&t);
}

static void cpus__bad_figures_are_no_quota(void **state)
{
    static const char *const bad[] = {
        "", "\n", "max", "0 100000", "-1 100000", "100000", "100000 0", "100000 -5", "abc def",
    };
    struct tree t;

    (void)state;
    tree_make(&t);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        put(t.root, "/a/b/cpu.max", bad[i]);
        assert_int_equal(cpus_quota(t.self, t.root), 0);
    }
    put(t.root, "/a/b/cpu.max", "9223372036854775807 1\n");
    assert_int_equal(cpus_quota(t.self, t.root), UINT32_MAX);
    tree_remove(&t);
}

static void cpus__follow_the_affinity_mask(void **state)
{
    cpu_set_t before;
    cpu_set_t one;
    unsigned list[CPU_SETSIZE];

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    const size_t count = cpus_allowed(list, COUNT_OF(list));
    assert_int_equal(count, CPU_COUNT(&before));
    for (size_t i = 0; i < count; i++) {
        assert_true(CPU_ISSET(list[i], &before));
        assert_true(i == 0 || list[i] > list[i - 1]);
    }
    CPU_ZERO(&one);
    CPU_SET(list[count - 1], &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    unsigned only[2] = {0, 4711};
    assert_int_equal(cpus_allowed(only, 2), 1);
    assert_int_equal(only[0], list[count - 1]);
    assert_int_equal(only[1], 4711);
    assert_int_equal(cpus_allowed(NULL, 0), 1);
    assert_int_equal(cpus_usable(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpus__takes_the_least_quota_on_the_way_up),
        cmocka_unit_test(cpus__lives_without_control_groups),
        cmocka_unit_test(cpus__reads_version_one),
        cmocka_unit_test(cpus__finds_the_group_of_a_container),
        cmocka_unit_test(cpus__reads_the_hybrid_layout),
        cmocka_unit_test(cpus__bad_figures_are_no_quota),
        cmocka_unit_test(cpus__follow_the_affinity_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

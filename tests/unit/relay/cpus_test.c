/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/cpus.h"

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

static void tree_remove(struct tree *t)
{
    drop(t->root, "/self");
    drop(t->root, "/a/b");
    drop(t->root, "/a");
    drop(t->root, "");
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
    drop(t.root, "/a/cpu.max");
    drop(t.root, "/cpu.max");
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
    put(t.root, "/self", "0::/\n");
    put(t.root, "/cpu.max", "garbage\n");
    assert_int_equal(cpus_quota(t.self, t.root), 0);
    drop(t.root, "/cpu.max");
    tree_remove(&t);
    assert_true(cpus_usable() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpus__takes_the_least_quota_on_the_way_up),
        cmocka_unit_test(cpus__lives_without_control_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

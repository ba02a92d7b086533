/* SPDX-License-Identifier: Apache-2.0 */
/* What steering does without rights, room, memory or descriptors. */
#include <dirent.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/attr.h"
#include "base/mem.h"
#include "offload/steer.h"
#include "steer_group.h"

/* Run `step` in a process of its own, whose rights and limits end with it.  Returns what it
 * returns: 0, or the number of what went wrong. */
static int in_child(int (*step)(void *), void *context)
{
    const pid_t child = fork();
    int status = 0;

    assert_true(child >= 0);
    if (child == 0) {
        _exit(step(context));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Hold the capabilities of `mask` only, from now on. */
static int keep_rights(uint64_t mask)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};

    for (size_t i = 0; i < ARRAY_SIZE(data); i++) {
        data[i].permitted = data[i].effective = (uint32_t)(mask >> (32 * i));
    }
    return (int)syscall(SYS_capset, &header, data);
}

static int new_steer(uint32_t max_flows, struct steer **out, char *why, size_t cap)
{
    const struct steer_options options = {
        .max_flows = max_flows,
        .max_groups = 2,
        .max_sockets = GROUP_MAX,
    };

    return steer_new(&options, out, why, cap);
}

static int start_without_rights(void *context)
{
    struct steer *steer = NULL;
    char why[256] = "";

    (void)context;
    if (keep_rights(0) < 0) {
        return 1;
    }
    if (new_steer(16, &steer, why, sizeof(why)) != -EPERM || steer != NULL) {
        return 2;
    }
    return strstr(why, "CAP_BPF") == NULL ? 3 : 0;
}

static void steer__tells_which_right_is_missing(void **state)
{
    struct steer *steer = group_steer(16);

    (void)state;
    if (steer == NULL) {
        return;
    }
    steer_free(steer);
    assert_int_equal(in_child(start_without_rights, NULL), 0);
}

static int start_with_one_right(void *context)
{
    struct steer *steer = NULL;
    char why[256] = "";

    (void)context;
    if (keep_rights(1ull << CAP_BPF) < 0) {
        return 1;
    }
    return new_steer(16, &steer, why, sizeof(why)) == 0 ? 0 : 2;
}

static void steer__needs_cap_bpf_alone(void **state)
{
    struct steer *steer = group_steer(16);

    (void)state;
    if (steer == NULL) {
        return;
    }
    steer_free(steer);
    assert_int_equal(in_child(start_with_one_right, NULL), 0);
}

/* A server that has given its rights away, with two groups that are opened already. */
struct stage {
    struct steer *steer;
    const struct group *group;
    struct net_addr client;
};

static int use_without_rights(void *context)
{
    const struct stage *stage = context;
    const struct group *group = stage->group;
    const uint32_t sockets[] = {0};

    if (keep_rights(0) < 0) {
        return 1;
    }
    if (steer_put(stage->steer, &stage->client, &group[0].at, 1) < 0 ||
        steer_put(stage->steer, &stage->client, &group[1].at, 2) < 0 ||
        steer_flows(stage->steer) != 2) {
        return 2;
    }
    if (steer_attach(stage->steer, 1, group[1].fd, group[1].count) < 0) {
        return 3;
    }
    return steer_by_cpu(stage->steer, sockets, 1) < 0 ? 4 : 0;
}

/* A reload may bring a new address, and every client a new flow, long after the start. */
static void steer__works_on_when_rights_are_gone(void **state)
{
    struct stage stage = {.steer = group_steer(16)};
    const struct group group[] = {
        group_open("127.0.0.1", "127.0.0.1", 4),
        group_open("127.0.0.1", "127.0.0.1", 4),
    };

    (void)state;
    if (stage.steer != NULL) {
        const int client = group_client(&group[0], &stage.client);
        stage.group = group;
        assert_int_equal(steer_attach(stage.steer, 0, group[0].fd, group[0].count), 0);
        assert_int_equal(in_child(use_without_rights, &stage), 0);
        assert_int_equal(group_taker(&group[0], client), 1);
        assert_int_equal(group_taker(&group[1], client), 2);
        (void)close(client);
    }
    steer_free(stage.steer);
    group_close(&group[0]);
    group_close(&group[1]);
}

static void steer__holds_as_many_flows_as_planned(void **state)
{
    struct steer *steer = group_steer(4);
    const struct net_addr server = group_addr("192.0.2.1:3478");
    struct net_addr client = group_addr("198.51.100.7:0");

    (void)state;
    if (steer == NULL) {
        return;
    }
    for (client.port = 1; client.port <= 4; client.port++) {
        assert_int_equal(steer_put(steer, &client, &server, 0), 0);
    }
    assert_int_equal(steer_put(steer, &client, &server, 0), -ENOSPC);
    assert_int_equal(steer_flows(steer), 4);
    client.port = 1; /* is there: may change, when all is full as well */
    assert_int_equal(steer_put(steer, &client, &server, 7), 0);
    assert_int_equal(steer_flows(steer), 4);
    steer_del(steer, &client, &server);
    client.port = 5;
    assert_int_equal(steer_put(steer, &client, &server, 0), 0);
    assert_int_equal(steer_flows(steer), 4);
    steer_free(steer);
}

enum { MANY = 20000 };

/* The flows of one thread: those of others differ in the address. */
static void *put_and_del(void *context)
{
    struct stage *stage = context;
    const struct net_addr server = group_addr("[2001:db8::1]:3478");
    intptr_t failed = 0;

    for (uint32_t i = 0; i < MANY; i++) {
        stage->client.port = (uint16_t)(i + 1);
        failed += steer_put(stage->steer, &stage->client, &server, i % 4) < 0 ? 1 : 0;
    }
    for (uint32_t i = 0; i < MANY; i += 2) {
        stage->client.port = (uint16_t)(i + 1);
        steer_del(stage->steer, &stage->client, &server);
    }
    return (void *)failed;
}

static void steer__takes_flows_from_any_thread(void **state)
{
    struct steer *steer = group_steer(2 * MANY);
    struct stage stage[] = {
        {.steer = steer, .client = group_addr("[2001:db8::2]:0")},
        {.steer = steer, .client = group_addr("[2001:db8::3]:0")},
    };
    pthread_t other;
    void *failed = NULL;

    (void)state;
    if (steer == NULL) {
        return;
    }
    assert_int_equal(pthread_create(&other, NULL, put_and_del, &stage[1]), 0);
    assert_null(put_and_del(&stage[0]));
    assert_int_equal(pthread_join(other, &failed), 0);
    assert_null(failed);
    assert_int_equal(steer_flows(steer), MANY);
    steer_free(steer);
}

/* Two threads that write and forget one and the same flow leave a number that is right. */
static void *quarrel(void *context)
{
    const struct stage *stage = context;
    const struct net_addr server = group_addr("192.0.2.1:3478");
    intptr_t failed = 0;

    for (uint32_t i = 0; i < MANY; i++) {
        failed += steer_put(stage->steer, &stage->client, &server, i) < 0 ? 1 : 0;
        if (i % 3 == 0) {
            steer_del(stage->steer, &stage->client, &server);
        }
    }
    return (void *)failed;
}

static void steer__counts_a_flow_once(void **state)
{
    struct stage stage = {
        .steer = group_steer(16),
        .client = group_addr("198.51.100.7:1"),
    };
    const struct net_addr server = group_addr("192.0.2.1:3478");
    pthread_t other;
    void *failed = NULL;

    (void)state;
    if (stage.steer == NULL) {
        return;
    }
    assert_int_equal(pthread_create(&other, NULL, quarrel, &stage), 0);
    assert_null(quarrel(&stage));
    assert_int_equal(pthread_join(other, &failed), 0);
    assert_null(failed);
    assert_int_equal(steer_put(stage.steer, &stage.client, &server, 0), 0);
    assert_int_equal(steer_flows(stage.steer), 1);
    steer_del(stage.steer, &stage.client, &server);
    assert_int_equal(steer_flows(stage.steer), 0);
    steer_free(stage.steer);
}

static void steer__refuses_what_is_no_group(void **state)
{
    struct steer *steer = group_steer(16);
    struct net_addr name;
    int fds[GROUP_MAX + 1] = {0};

    (void)state;
    if (steer == NULL) {
        return;
    }
    const struct group group = group_open("127.0.0.1", "127.0.0.1", 2);
    const int alone = group_client(&group, &name);
    const int unbound = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(steer_attach(steer, 2, group.fd, group.count), -ENOSPC);
    assert_int_equal(steer_attach(steer, 0, fds, GROUP_MAX + 1), -ENOSPC);
    assert_int_equal(steer_attach(steer, 0, &alone, 1), -EINVAL);
    assert_int_equal(steer_attach(steer, 0, &unbound, 1), -EINVAL);
    fds[0] = group.fd[0];
    fds[1] = alone;
    assert_int_equal(steer_attach(steer, 0, fds, 2), -EINVAL);
    /* All of that has left no trace. */
    assert_int_equal(steer_attach(steer, 1, group.fd, group.count), 0);
    assert_int_equal(steer_attach(steer, 0, group.fd, group.count), -EBUSY);
    assert_int_equal(steer_put(steer, &name, &group.at, 0), 0);
    assert_int_equal(group_taker(&group, alone), 0);
    assert_int_equal(steer_put(steer, &name, &group.at, 1), 0);
    assert_int_equal(group_taker(&group, alone), 1);
    (void)close(alone);
    (void)close(unbound);
    group_close(&group);
    steer_free(steer);
}

/* The number of a group is used again: by the same sockets in another order, by others. */
static void steer__attaches_anew(void **state)
{
    struct steer *steer = group_steer(16);
    struct net_addr name;

    (void)state;
    if (steer == NULL) {
        return;
    }
    const struct group old = group_open("127.0.0.1", "127.0.0.1", 3);
    const int turned[] = {old.fd[2], old.fd[1], old.fd[0]};
    const int client = group_client(&old, &name);
    assert_int_equal(steer_attach(steer, 0, old.fd, old.count), 0);
    assert_int_equal(steer_put(steer, &name, &old.at, 0), 0);
    assert_int_equal(group_taker(&old, client), 0);
    assert_int_equal(steer_attach(steer, 0, turned, old.count), 0);
    assert_int_equal(group_taker(&old, client), 2);
    group_close(&old);
    const struct group young = group_open("127.0.0.1", "127.0.0.1", 2);
    assert_int_equal(steer_attach(steer, 0, young.fd, young.count), 0);
    assert_int_equal(steer_put(steer, &name, &young.at, 1), 0);
    assert_int_equal(group_taker(&young, client), 1);
    (void)close(client);
    group_close(&young);
    steer_free(steer);
}

static void steer__fails_without_memory(void **state)
{
    struct steer *steer = group_steer(16);
    char why[256] = "";

    (void)state;
    steer_free(steer);
    steer_free(NULL);
    if (steer == NULL) {
        return;
    }
    steer = NULL;
    mem_fail_at(0);
    const int err = new_steer(16, &steer, why, sizeof(why));
    mem_fail_at(-1);
    if (err == 0) {
        steer_free(steer);
        CHECK_SKIP("built without fault_injection");
    }
    assert_int_equal(err, -ENOMEM);
    assert_null(steer);
    assert_true(why[0] != '\0');
}

static int count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    if (folder == NULL) {
        return -1;
    }
    while (readdir(folder) != NULL) {
        count++;
    }
    (void)closedir(folder);
    return count;
}

/* One descriptor more each time, until there are enough. */
static int start_without_descriptors(void *context)
{
    const int before = count_descriptors();
    struct rlimit limit = {.rlim_max = 256};
    struct steer *steer = NULL;
    char why[256] = "";
    int err = -EMFILE;

    (void)context;
    for (limit.rlim_cur = (rlim_t)before; limit.rlim_cur < 200 && err < 0; limit.rlim_cur++) {
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
            return 1;
        }
        err = new_steer(16, &steer, why, sizeof(why));
        if (err < 0 && (steer != NULL || count_descriptors() != before || why[0] == '\0')) {
            return 2;
        }
    }
    if (err < 0 || limit.rlim_cur <= (rlim_t)before + 2) {
        return 3;
    }
    steer_free(steer);
    return count_descriptors() == before ? 0 : 4;
}

static void steer__fails_without_descriptors(void **state)
{
    struct steer *steer = group_steer(16);

    (void)state;
    if (steer == NULL) {
        return;
    }
    steer_free(steer);
    assert_int_equal(in_child(start_without_descriptors, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steer__tells_which_right_is_missing),
        cmocka_unit_test(steer__needs_cap_bpf_alone),
        cmocka_unit_test(steer__works_on_when_rights_are_gone),
        cmocka_unit_test(steer__holds_as_many_flows_as_planned),
        cmocka_unit_test(steer__takes_flows_from_any_thread),
        cmocka_unit_test(steer__counts_a_flow_once),
        cmocka_unit_test(steer__refuses_what_is_no_group),
        cmocka_unit_test(steer__attaches_anew),
        cmocka_unit_test(steer__fails_without_memory),
        cmocka_unit_test(steer__fails_without_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

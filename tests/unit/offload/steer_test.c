/* SPDX-License-Identifier: Apache-2.0 */
#include "offload/steer.h"

#include <netinet/udp.h>
#include <sched.h>

#include "steer_group.h"

enum { SPREAD_CLIENTS = 128 }; /* a socket of four that gets none: once in 10^15 runs */

/* Wherever a flow is put, its datagrams come out, and nobody else's are moved. */
static void check_put(const char *bound, const char *at)
{
    struct steer *steer = group_steer(16);
    struct net_addr name[2];

    if (steer == NULL) {
        return;
    }
    const struct group group = group_open(bound, at, 4);
    const int client = group_client(&group, &name[0]);
    const int other = group_client(&group, &name[1]);
    assert_int_equal(steer_attach(steer, 0, group.fd, group.count), 0);
    const uint32_t home = group_taker(&group, other);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < group.count; i++) {
            assert_int_equal(steer_put(steer, &name[0], &group.at, i), 0);
            assert_int_equal(group_taker(&group, client), i);
            assert_int_equal(group_taker(&group, other), home);
        }
    }
    assert_int_equal(steer_flows(steer), 1);
    (void)close(client);
    (void)close(other);
    group_close(&group);
    steer_free(steer);
}

static void steer__puts_flows_of_v4(void **state)
{
    (void)state;
    check_put("127.0.0.1", "127.0.0.1");
}

static void steer__puts_flows_of_v6(void **state)
{
    (void)state;
    if (!group_has_v6()) {
        CHECK_SKIP("this host has no IPv6");
    }
    check_put("::1", "::1");
}

/* The flow names the address that the client sends to, not what the socket is bound to. */
static void steer__puts_flows_of_wildcards(void **state)
{
    (void)state;
    check_put("0.0.0.0", "127.0.0.7");
    if (!group_has_v6()) {
        CHECK_SKIP("this host has no IPv6");
    }
    check_put("::", "::1");
}

/* IPv4 clients of a socket for both families have canonical addresses, too. */
static void steer__puts_mapped_flows(void **state)
{
    (void)state;
    if (!group_has_v6()) {
        CHECK_SKIP("this host has no IPv6");
    }
    check_put("::", "127.0.0.1");
}

static void steer__forgets_a_flow(void **state)
{
    struct steer *steer = group_steer(16);
    struct net_addr name;

    (void)state;
    if (steer == NULL) {
        return;
    }
    const struct group group = group_open("127.0.0.1", "127.0.0.1", 3);
    const int client = group_client(&group, &name);
    assert_int_equal(steer_attach(steer, 0, group.fd, group.count), 0);
    const uint32_t home = group_taker(&group, client);
    const uint32_t away = (home + 1) % group.count;
    assert_int_equal(steer_put(steer, &name, &group.at, away), 0);
    assert_int_equal(group_taker(&group, client), away);
    steer_del(steer, &name, &group.at);
    assert_int_equal(group_taker(&group, client), home);
    assert_int_equal(steer_flows(steer), 0);
    steer_del(steer, &name, &group.at);
    assert_int_equal(steer_flows(steer), 0);
    (void)close(client);
    group_close(&group);
    steer_free(steer);
}

/* One client, two addresses of the server: two flows.  So is each of its ports. */
static void steer__tells_flows_apart(void **state)
{
    struct steer *steer = group_steer(16);
    struct net_addr name;

    (void)state;
    if (steer == NULL) {
        return;
    }
    const struct group a = group_open("127.0.0.1", "127.0.0.1", 4);
    const struct group b = group_open("0.0.0.0", "127.0.0.2", 4);
    const int client = group_client(&a, &name);
    assert_int_equal(steer_attach(steer, 0, a.fd, a.count), 0);
    assert_int_equal(steer_attach(steer, 1, b.fd, b.count), 0);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(steer_put(steer, &name, &a.at, i), 0);
        assert_int_equal(steer_put(steer, &name, &b.at, 3 - i), 0);
        assert_int_equal(group_taker(&a, client), i);
        assert_int_equal(group_taker(&b, client), 3 - i);
    }
    assert_int_equal(steer_flows(steer), 2);
    (void)close(client);
    group_close(&a);
    group_close(&b);
    steer_free(steer);
}

/* A socket that shares the address and was not attached gets nothing from clients without a flow,
 * nor from one whose flow names an index that nobody has. */
static void steer__spreads_unknown_flows_over_the_group_alone(void **state)
{
    struct steer *steer = group_steer(SPREAD_CLIENTS);
    uint32_t hits[GROUP_MAX];
    struct net_addr name;

    (void)state;
    if (steer == NULL) {
        return;
    }
    const struct group group = group_open("127.0.0.1", "127.0.0.1", 5);
    assert_int_equal(steer_attach(steer, 0, group.fd, 4), 0);
    group_spread(&group, SPREAD_CLIENTS, hits);
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(hits[i] > 0);
    }
    assert_int_equal(hits[4], 0);
    for (uint32_t i = 0; i < 32; i++) {
        const int client = group_client(&group, &name);
        const uint32_t home = group_taker(&group, client);
        assert_int_equal(steer_put(steer, &name, &group.at, i < 16 ? 4 : UINT32_MAX), 0);
        assert_int_equal(group_taker(&group, client), home);
        steer_del(steer, &name, &group.at);
        (void)close(client);
    }
    group_close(&group);
    steer_free(steer);
}

/* A group of one has nothing to choose, and still takes all. */
static void steer__gives_all_to_a_lone_socket(void **state)
{
    struct steer *steer = group_steer(16);
    uint32_t hits[GROUP_MAX];

    (void)state;
    if (steer == NULL) {
        return;
    }
    const struct group group = group_open("127.0.0.1", "127.0.0.1", 2);
    assert_int_equal(steer_attach(steer, 1, &group.fd[1], 1), 0);
    group_spread(&group, 32, hits);
    assert_int_equal(hits[1], 32);
    group_close(&group);
    steer_free(steer);
}

/* What is for a connected socket needs no flow, and the others are steered as before. */
static void steer__leaves_connected_sockets_alone(void **state)
{
    struct steer *steer = group_steer(16);
    uint32_t hits[GROUP_MAX];
    struct sockaddr_storage ss;
    struct net_addr name[2];

    (void)state;
    if (steer == NULL) {
        return;
    }
    const struct group group = group_open("127.0.0.1", "127.0.0.1", 4);
    const int client = group_client(&group, &name[0]);
    const int other = group_client(&group, &name[1]);
    assert_int_equal(steer_attach(steer, 0, group.fd, 3), 0);
    const socklen_t len = net_addr_to_sockaddr(&name[0], &ss);
    assert_int_equal(connect(group.fd[3], (const struct sockaddr *)&ss, len), 0);
    assert_int_equal(steer_put(steer, &name[0], &group.at, 0), 0);
    assert_int_equal(group_taker(&group, client), 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(steer_put(steer, &name[1], &group.at, i), 0);
        assert_int_equal(group_taker(&group, other), i);
    }
    group_spread(&group, SPREAD_CLIENTS, hits);
    assert_int_equal(hits[3], 0);
    (void)close(client);
    (void)close(other);
    group_close(&group);
    steer_free(steer);
}

/* Nothing is lost when the socket of a flow has been closed. */
static void steer__survives_the_end_of_a_socket(void **state)
{
    struct steer *steer = group_steer(16);
    uint32_t hits[GROUP_MAX];
    struct net_addr name;

    (void)state;
    if (steer == NULL) {
        return;
    }
    struct group group = group_open("127.0.0.1", "127.0.0.1", 3);
    const int client = group_client(&group, &name);
    assert_int_equal(steer_attach(steer, 0, group.fd, group.count), 0);
    assert_int_equal(steer_put(steer, &name, &group.at, 2), 0);
    (void)close(group.fd[2]);
    group.count = 2;
    assert_true(group_taker(&group, client) < 2);
    group_spread(&group, SPREAD_CLIENTS, hits);
    assert_int_equal(hits[0] + hits[1], SPREAD_CLIENTS);
    (void)close(client);
    group_close(&group);
    steer_free(steer);
}

/* What GRO has put together, or GSO not yet taken apart, is one datagram here: it stays so. */
static void steer__keeps_bursts_together(void **state)
{
    struct steer *steer = group_steer(16);
    struct sockaddr_storage ss;
    struct net_addr name;
    const int on = 1;
    const int size = 100;
    char burst[1000] = {0};

    (void)state;
    if (steer == NULL) {
        return;
    }
    const struct group group = group_open("127.0.0.1", "127.0.0.1", 4);
    const int client = group_client(&group, &name);
    for (uint32_t i = 0; i < group.count; i++) {
        assert_int_equal(setsockopt(group.fd[i], IPPROTO_UDP, UDP_GRO, &on, sizeof(on)), 0);
    }
    assert_int_equal(setsockopt(client, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
    assert_int_equal(steer_attach(steer, 0, group.fd, group.count), 0);
    const socklen_t len = net_addr_to_sockaddr(&group.at, &ss);
    for (uint32_t i = 0; i < group.count; i++) {
        struct pollfd polled = {.fd = group.fd[i], .events = POLLIN};
        assert_int_equal(steer_put(steer, &name, &group.at, i), 0);
        assert_int_equal(sendto(client, burst, sizeof(burst), 0, (const struct sockaddr *)&ss, len),
                         sizeof(burst));
        assert_int_equal(poll(&polled, 1, 5000), 1);
        assert_int_equal(recv(group.fd[i], burst, sizeof(burst), 0), sizeof(burst));
    }
    (void)close(client);
    group_close(&group);
    steer_free(steer);
}

/* Stay on one CPU, where loopback delivers as well; `*out_old` is what was allowed before. */
static uint32_t pin(cpu_set_t *out_old)
{
    const size_t cpu = (size_t)sched_getcpu();
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    assert_int_equal(sched_getaffinity(0, sizeof(*out_old), out_old), 0);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    return (uint32_t)cpu;
}

static void steer__goes_by_cpu_where_asked(void **state)
{
    struct steer *steer = group_steer(16);
    uint32_t sockets[CPU_SETSIZE];
    uint32_t hits[GROUP_MAX];
    struct net_addr name;
    cpu_set_t old;

    (void)state;
    if (steer == NULL) {
        return;
    }
    const uint32_t cpu = pin(&old);
    const struct group group = group_open("127.0.0.1", "127.0.0.1", 5);
    const int client = group_client(&group, &name);
    assert_int_equal(steer_attach(steer, 0, group.fd, 4), 0);
    const uint32_t home = group_taker(&group, client);
    memset(sockets, 0xff, sizeof(sockets)); /* STEER_ANY */
    for (uint32_t i = 0; i < 4; i++) {
        sockets[cpu] = i;
        assert_int_equal(steer_by_cpu(steer, sockets, CPU_SETSIZE), 0);
        group_spread(&group, 16, hits);
        assert_int_equal(hits[i], 16);
    }
    /* A flow goes before the CPU. */
    sockets[cpu] = 0;
    assert_int_equal(steer_by_cpu(steer, sockets, cpu + 1), 0);
    assert_int_equal(steer_put(steer, &name, &group.at, 3), 0);
    assert_int_equal(group_taker(&group, client), 3);
    steer_del(steer, &name, &group.at);
    assert_int_equal(group_taker(&group, client), 0);
    /* An index beyond the group, STEER_ANY, a CPU that is not named, and none at all: by hash. */
    sockets[cpu] = 4;
    assert_int_equal(steer_by_cpu(steer, sockets, cpu + 1), 0);
    assert_int_equal(group_taker(&group, client), home);
    group_spread(&group, SPREAD_CLIENTS, hits);
    assert_int_equal(hits[4], 0);
    sockets[cpu] = STEER_ANY;
    assert_int_equal(steer_by_cpu(steer, sockets, cpu + 1), 0);
    assert_int_equal(group_taker(&group, client), home);
    sockets[cpu] = (home + 1) % 4;
    assert_int_equal(steer_by_cpu(steer, sockets, cpu), 0);
    assert_int_equal(group_taker(&group, client), home);
    assert_int_equal(steer_by_cpu(steer, NULL, 0), 0);
    assert_int_equal(group_taker(&group, client), home);
    (void)close(client);
    group_close(&group);
    steer_free(steer);
    assert_int_equal(sched_setaffinity(0, sizeof(old), &old), 0);
}

/* Sockets outlive the steering of their group. */
static void steer__leaves_its_sockets_to_the_kernel(void **state)
{
    struct steer *steer = group_steer(16);
    uint32_t hits[GROUP_MAX];
    struct net_addr name;

    (void)state;
    if (steer == NULL) {
        return;
    }
    const struct group group = group_open("127.0.0.1", "127.0.0.1", 2);
    const int client = group_client(&group, &name);
    assert_int_equal(steer_attach(steer, 0, group.fd, group.count), 0);
    const uint32_t home = group_taker(&group, client);
    assert_int_equal(steer_put(steer, &name, &group.at, 1 - home), 0);
    steer_free(steer);
    assert_int_equal(group_taker(&group, client), home);
    group_spread(&group, SPREAD_CLIENTS, hits);
    assert_true(hits[0] > 0 && hits[1] > 0);
    (void)close(client);
    group_close(&group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steer__puts_flows_of_v4),
        cmocka_unit_test(steer__puts_flows_of_v6),
        cmocka_unit_test(steer__puts_flows_of_wildcards),
        cmocka_unit_test(steer__puts_mapped_flows),
        cmocka_unit_test(steer__forgets_a_flow),
        cmocka_unit_test(steer__tells_flows_apart),
        cmocka_unit_test(steer__spreads_unknown_flows_over_the_group_alone),
        cmocka_unit_test(steer__gives_all_to_a_lone_socket),
        cmocka_unit_test(steer__leaves_connected_sockets_alone),
        cmocka_unit_test(steer__survives_the_end_of_a_socket),
        cmocka_unit_test(steer__keeps_bursts_together),
        cmocka_unit_test(steer__goes_by_cpu_where_asked),
        cmocka_unit_test(steer__leaves_its_sockets_to_the_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The filter that spreads flows over a group's first sockets, in the kernel. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/udp.h"
#include "log/log.h"
#include "open_fds.h"
#include "quiet_log.h"
#include "relay/front.h"

enum { GROUP = 3, FLOWS = 96 };

/* Sockets that share an address, and clients of it. */
struct stage {
    struct udp_port socket[GROUP + 1];
    uint32_t sockets;
    int client[FLOWS];
    struct net_addr server;
};

static int join(struct stage *s)
{
    const struct udp_options options = {.local = s->server, .share = true};
    const int err = udp_open(&options, &s->socket[s->sockets]);
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);

    if (err < 0) {
        return err;
    }
    assert_int_equal(getsockname(s->socket[s->sockets].fd, (struct sockaddr *)&ss, &len), 0);
    assert_int_equal(net_addr_from_sockaddr(&ss, &s->server), 0);
    s->sockets++;
    return 0;
}

/* False: this host lacks the address. */
static bool set_up(struct stage *s, const char *address)
{
    struct sockaddr_storage ss;

    *s = (struct stage){.sockets = 0};
    assert_int_equal(net_addr_parse(address, 0, &s->server), 0);
    if (join(s) < 0) {
        return false;
    }
    while (s->sockets < GROUP) {
        assert_int_equal(join(s), 0);
    }
    const socklen_t len = net_addr_to_sockaddr(&s->server, &ss);
    for (int i = 0; i < FLOWS; i++) {
        s->client[i] = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_true(s->client[i] >= 0);
        assert_int_equal(connect(s->client[i], (const struct sockaddr *)&ss, len), 0);
    }
    return true;
}

static void tear_down(struct stage *s)
{
    for (uint32_t i = 0; i < s->sockets; i++) {
        udp_close(&s->socket[i]);
    }
    for (int i = 0; i < FLOWS; i++) {
        (void)close(s->client[i]);
    }
}

/* Send one datagram from each client; which socket each came to, and how many came to each. */
static void send_all(struct stage *s, uint32_t by_flow[FLOWS], uint32_t by_socket[GROUP + 1])
{
    uint8_t flow;

    for (uint8_t i = 0; i < FLOWS; i++) {
        assert_int_equal(send(s->client[i], &i, 1, 0), 1);
        by_flow[i] = UINT32_MAX;
    }
    for (uint32_t k = 0; k < s->sockets; k++) {
        by_socket[k] = 0;
        while (recv(s->socket[k].fd, &flow, 1, 0) == 1) {
            assert_true(flow < FLOWS && by_flow[flow] == UINT32_MAX);
            by_flow[flow] = k;
            by_socket[k]++;
        }
        assert_int_equal(errno, EAGAIN);
    }
}

static void expect_spread(const char *address)
{
    struct stage s;
    uint32_t first[FLOWS];
    uint32_t later[FLOWS];
    uint32_t count[GROUP + 1];
    const int before = open_fds();

    if (!set_up(&s, address)) {
        CHECK_SKIP("this host lacks the address");
    }
    front_hash_listeners(s.socket[0].fd, GROUP - 1);
    send_all(&s, first, count);
    assert_int_equal(count[0] + count[1], FLOWS);
    assert_true(count[0] >= FLOWS / 8 && count[1] >= FLOWS / 8);
    assert_int_equal(count[GROUP - 1], 0); /* it is in the group, and not among the first */

    assert_int_equal(join(&s), 0); /* as clients' own sockets do: no flow changes its socket */
    send_all(&s, later, count);
    assert_memory_equal(first, later, sizeof(first));
    tear_down(&s);
    assert_int_equal(open_fds(), before);
}

static void hash__spreads_ipv4_over_the_first_sockets(void **state)
{
    (void)state;
    expect_spread("127.0.7.1:0");
}

static void hash__spreads_ipv6_over_the_first_sockets(void **state)
{
    (void)state;
    expect_spread("[::1]:0");
}

static void hash__leaves_connected_sockets_their_packets(void **state)
{
    struct stage s;
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    uint32_t flows[FLOWS];
    uint32_t count[GROUP + 1];

    (void)state;
    assert_true(set_up(&s, "127.0.7.1:0"));
    front_hash_listeners(s.socket[0].fd, GROUP - 1);
    assert_int_equal(getsockname(s.client[7], (struct sockaddr *)&ss, &len), 0);
    assert_int_equal(connect(s.socket[2].fd, (const struct sockaddr *)&ss, len), 0);
    send_all(&s, flows, count);
    assert_int_equal(count[2], 1);
    assert_int_equal(flows[7], 2);
    tear_down(&s);
}

static void hash__of_one_socket_is_that_socket(void **state)
{
    struct stage s;
    uint32_t flows[FLOWS];
    uint32_t count[GROUP + 1];

    (void)state;
    assert_true(set_up(&s, "127.0.7.1:0"));
    front_hash_listeners(s.socket[0].fd, 1);
    send_all(&s, flows, count);
    assert_int_equal(count[0], FLOWS);
    tear_down(&s);
}

static void hash__that_is_refused_does_no_harm(void **state)
{
    (void)state;
    front_hash_listeners(-1, 2); /* told in the log */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash__spreads_ipv4_over_the_first_sockets),
        cmocka_unit_test(hash__spreads_ipv6_over_the_first_sockets),
        cmocka_unit_test(hash__leaves_connected_sockets_their_packets),
        cmocka_unit_test(hash__of_one_socket_is_that_socket),
        cmocka_unit_test(hash__that_is_refused_does_no_harm),
    };
    return cmocka_run_group_tests(tests, quiet_log, NULL);
}

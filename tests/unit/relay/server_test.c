/* SPDX-License-Identifier: Apache-2.0 */
/* A whole server in the test's process, asked over loopback. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/udp.h"
#include "log/log.h"
#include "quiet_log.h"
#include "relay/control.h"
#include "relay_conf.h"
#include "wire/stun_code.h"
#include "wire/stun_msg.h"

#define BASE                                                                                       \
    "listening-ip=127.0.0.1\nlistening-port=20301\nrealm=example.org\nno-auth\n"                   \
    "relay-threads=2\nmin-port=20310\nmax-port=20399\nport-quarantine=0\nallow-loopback-peers\n"

static char why[300];

static struct relay_server *start(const char *text)
{
    struct relay_server *server = NULL;
    struct conf *conf = relay_conf(text);

    if (relay_server_open(conf, NULL, &server, why, sizeof(why)) < 0 ||
        relay_server_run(server, why, sizeof(why)) < 0) {
        print_error("%s\n", why);
        fail();
    }
    conf_unref(conf);
    return server;
}

static int client(void)
{
    const struct udp_options options = {.local = {.family = NET_V4}};
    struct udp_options o = options;
    struct net_addr to;
    struct sockaddr_storage ss;
    struct udp_port port;

    assert_int_equal(net_addr_parse("127.0.0.1:0", 0, &o.local), 0);
    assert_int_equal(udp_open(&o, &port), 0);
    assert_int_equal(net_addr_parse("127.0.0.1:20301", 0, &to), 0);
    const socklen_t len = net_addr_to_sockaddr(&to, &ss);
    assert_int_equal(connect(port.fd, (const struct sockaddr *)&ss, len), 0);
    return port.fd;
}

/* Send a request of `method` with REQUESTED-TRANSPORT; the type of the answer, 0 for none. */
static uint16_t ask(int fd, uint16_t method)
{
    static uint8_t number;
    const uint8_t udp[4] = {17};
    uint8_t tid[STUN_TID] = {++number};
    uint8_t buf[512];
    struct stun_out out;

    stun_out_begin(&out, buf, sizeof(buf), stun_type(method, STUN_REQUEST), tid);
    if (method == STUN_ALLOCATE) {
        stun_out_attr(&out, STUN_REQUESTED_TRANSPORT, (struct bytes){udp, sizeof(udp)});
    }
    const int len = stun_out_end(&out);
    assert_true(len > 0);
    assert_int_equal(send(fd, buf, (size_t)len, 0), len);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, 5000) != 1) {
        return 0;
    }
    const ssize_t n = recv(fd, buf, sizeof(buf), 0);
    return n >= STUN_HEADER ? be16(buf) : 0;
}

static uint64_t allocations(const struct relay_server *server)
{
    struct relay_stats stats;

    relay_server_stats(server, &stats);
    return stats.allocations;
}

static void server__serves_from_every_worker(void **state)
{
    enum { CLIENTS = 20 };

    struct relay_server *server = start(BASE);
    struct relay_stats stats;
    int fd[CLIENTS];

    (void)state;
    for (int i = 0; i < CLIENTS; i++) {
        fd[i] = client();
        assert_int_equal(ask(fd[i], STUN_BINDING), stun_type(STUN_BINDING, STUN_SUCCESS));
        assert_int_equal(ask(fd[i], STUN_ALLOCATE), stun_type(STUN_ALLOCATE, STUN_SUCCESS));
    }
    relay_server_stats(server, &stats);
    assert_int_equal(stats.workers, 2);
    assert_int_equal(stats.turn.successes[STUN_ALLOCATE], CLIENTS);
    assert_int_equal(stats.rx_packets, 2 * CLIENTS);
    relay_server_stop(server);
    for (int i = 0; i < CLIENTS; i++) {
        (void)close(fd[i]);
    }
}

static void server__reloads_all_or_nothing(void **state)
{
    struct relay_server *server = start(BASE);
    struct conf *bad =
        relay_conf_unchecked(BASE "stateless-nonce-secret=1\nstateless-nonce-secret=2\n"
                                  "stateless-nonce-secret=3\nstateless-nonce-secret=4\n"
                                  "stateless-nonce-secret=5\nno-stun\n");
    struct conf *good = relay_conf(BASE "no-udp-relay\n");
    const int fd = client();

    (void)state;
    assert_int_equal(relay_server_reload(server, bad, why, sizeof(why)), -EINVAL);
    assert_int_equal(ask(fd, STUN_BINDING), stun_type(STUN_BINDING, STUN_SUCCESS));
    for (int i = 0; i < 20; i++) {
        assert_int_equal(relay_server_reload(server, good, why, sizeof(why)), 0);
        assert_int_equal(ask(fd, STUN_ALLOCATE), stun_type(STUN_ALLOCATE, STUN_ERROR));
    }
    conf_unref(bad);
    conf_unref(good);
    relay_server_tick(server);
    relay_server_stop(server);
    (void)close(fd);
}

static void server__drains(void **state)
{
    struct relay_server *server = start(BASE);
    const int old = client();
    const int late = client();

    (void)state;
    assert_int_equal(ask(old, STUN_ALLOCATE), stun_type(STUN_ALLOCATE, STUN_SUCCESS));
    assert_int_equal(relay_server_drain(server, why, sizeof(why)), 0);
    assert_int_equal(ask(late, STUN_ALLOCATE), stun_type(STUN_ALLOCATE, STUN_ERROR));
    assert_int_equal(ask(late, STUN_BINDING), stun_type(STUN_BINDING, STUN_SUCCESS));
    assert_int_equal(ask(old, STUN_REFRESH), stun_type(STUN_REFRESH, STUN_SUCCESS));
    assert_int_equal(allocations(server), 1);
    relay_server_stop(server);
    (void)close(old);
    (void)close(late);
}

static void count_line(void *arg, const char *line)
{
    int *count = arg;

    *count += strstr(line, "listening 127.0.0.1:20301/udp") != NULL ? 1 : 0;
    *count += strstr(line, "relay 127.0.0.31 (external 203.0.114.9)") != NULL ? 1 : 0;
}

static void server__describes_itself(void **state)
{
    struct relay_server *server =
        start(BASE "relay-ip=127.0.0.31\nexternal-ip=203.0.114.9/127.0.0.31\n");
    int count = 0;

    (void)state;
    relay_server_describe(server, count_line, &count);
    assert_int_equal(count, 2);
    relay_server_stop(server);
    relay_server_stop(NULL);
}

static void server__says_why_it_cannot_start(void **state)
{
    struct relay_server *server = start(BASE);
    struct relay_server *second = NULL;
    struct conf *conf = relay_conf(BASE);

    (void)state;
    assert_int_equal(relay_server_open(conf, NULL, &second, why, sizeof(why)), -EADDRINUSE);
    assert_null(second);
    assert_non_null(strstr(why, "127.0.0.1:20301"));
    conf_unref(conf);
    relay_server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(server__serves_from_every_worker),
        cmocka_unit_test(server__reloads_all_or_nothing),
        cmocka_unit_test(server__drains),
        cmocka_unit_test(server__describes_itself),
        cmocka_unit_test(server__says_why_it_cannot_start),
    };
    return cmocka_run_group_tests(tests, quiet_log, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_nat_link.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "check.h"
#include "wire/stun_addr.h"
#include "wire/stun_msg.h"

enum { TIMEOUT_MS = 100, LONG_MS = 20000 };

static int server_fd;
static struct net_addr server;

static int open_server(void **state)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);

    (void)state;
    server_fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (net_addr_parse("127.0.0.1", 0, &server) < 0) {
        return -1;
    }
    const socklen_t n = net_addr_to_sockaddr(&server, &ss);
    if (bind(server_fd, (struct sockaddr *)&ss, n) < 0 ||
        getsockname(server_fd, (struct sockaddr *)&ss, &len) < 0) {
        return -1;
    }
    return net_addr_from_sockaddr(&ss, &server);
}

static int close_server(void **state)
{
    (void)state;
    return close(server_fd);
}

/* What the server heard in the CHANGE-REQUEST of the request that it answered. */
static uint32_t change_of(const struct stun_msg *request)
{
    struct bytes rest = request->body;
    struct stun_attr attr;

    while (stun_attr_next(&rest, &attr) > 0) {
        if (attr.type == STUN_CHANGE_REQUEST && attr.value.n == 4) {
            return be32(attr.value.p);
        }
    }
    return 0;
}

/* Answer the second sending of one request: after an answer to nobody, one of another method, and
 * bytes that are no message. */
static void *serve(void *arg)
{
    uint8_t in[2048];
    uint8_t buf[2048];
    struct sockaddr_storage from;
    struct net_addr client;
    struct stun_msg request;
    ssize_t n = 0;

    for (int i = 0; i < 2; i++) {
        socklen_t len = sizeof(from);
        n = recvfrom(server_fd, in, sizeof(in), 0, (struct sockaddr *)&from, &len);
    }
    if (n < 0 || stun_msg_parse((struct bytes){in, (size_t)n}, &request) < 0 ||
        net_addr_from_sockaddr(&from, &client) < 0) {
        return NULL;
    }
    *(uint32_t *)arg = change_of(&request);
    const socklen_t len = net_addr_to_sockaddr(&client, &from);
    const uint16_t methods[] = {STUN_BINDING, STUN_ALLOCATE, STUN_BINDING};
    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        uint8_t tid[STUN_TID];
        struct stun_out out;
        memcpy(tid, request.tid, sizeof(tid));
        tid[0] = i == 0 ? (uint8_t)~tid[0] : tid[0];
        stun_out_begin(&out, buf, sizeof(buf), stun_type(methods[i], STUN_SUCCESS), tid);
        stun_out_xor_addr(&out, STUN_XOR_MAPPED_ADDRESS, &client);
        stun_out_addr(&out, STUN_OTHER_ADDRESS, &server);
        const int size = stun_out_end(&out);
        sendto(server_fd, "no message", 10, 0, (struct sockaddr *)&from, len);
        sendto(server_fd, buf, (size_t)size, 0, (struct sockaddr *)&from, len);
    }
    return NULL;
}

/* RFC 5780 section 4.1: ports from the upper ranges, each socket its own. */
static void link__has_sockets_of_its_own(void **state)
{
    struct probe_nat_link *link;

    (void)state;
    assert_int_equal(probe_nat_link_new(&server, TIMEOUT_MS, &link), 0);
    const struct probe_nat_net net = probe_nat_link_net(link);
    for (int i = 0; i < PROBE_NAT_SOCKETS; i++) {
        assert_true(net.local[i].port >= 32768);
        assert_true(net_ip_equal(&net.local[i].ip, &server.ip));
        assert_false(net_addr_equal(&net.local[i], &net.local[(i + 1) % PROBE_NAT_SOCKETS]));
    }
    probe_nat_link_free(link);
}

static void ask__takes_the_answer_alone(void **state)
{
    struct probe_nat_answer answer;
    struct probe_nat_link *link;
    uint32_t change = 0;
    pthread_t thread;

    (void)state;
    assert_int_equal(probe_nat_link_new(&server, LONG_MS, &link), 0);
    const struct probe_nat_net net = probe_nat_link_net(link);
    assert_int_equal(pthread_create(&thread, NULL, serve, &change), 0);
    const struct probe_nat_ask ask = {
        .socket = PROBE_NAT_FILTERING, .change = PROBE_NAT_IP_AND_PORT, .to = server};
    assert_int_equal(net.ask(net.arg, &ask, &answer), 0);
    pthread_join(thread, NULL);
    assert_int_equal(change, 6);
    assert_int_equal(answer.code, 0);
    assert_true(net_addr_equal(&answer.from, &server));
    assert_true(net_addr_equal(&answer.other, &server));
    assert_true(net_addr_equal(&answer.mapped, &net.local[PROBE_NAT_FILTERING]));
    probe_nat_link_free(link);
}

static void ask__silence_is_an_outcome(void **state)
{
    struct probe_nat_answer answer = {.code = 7};
    struct probe_nat_link *link;

    (void)state;
    assert_int_equal(probe_nat_link_new(&server, TIMEOUT_MS, &link), 0);
    const struct probe_nat_net net = probe_nat_link_net(link);
    const struct probe_nat_ask ask = {.socket = PROBE_NAT_MAPPING, .to = server};
    assert_int_equal(net.ask(net.arg, &ask, &answer), -ETIMEDOUT);
    assert_int_equal(answer.code, 7);
    probe_nat_link_free(link);
}

static void hairpin__tells_what_comes_through(void **state)
{
    struct net_addr mapped[PROBE_NAT_PAIR];
    struct probe_nat_link *link;

    (void)state;
    assert_int_equal(probe_nat_link_new(&server, TIMEOUT_MS, &link), 0);
    const struct probe_nat_net net = probe_nat_link_net(link);
    memcpy(mapped, net.local, sizeof(mapped));
    assert_int_equal(net.hairpin(net.arg, mapped), 1);
    mapped[0] = mapped[1] = server; /* which keeps what it gets */
    assert_int_equal(net.hairpin(net.arg, mapped), 0);
    probe_nat_link_free(link);
}

static void new__survives_the_lack_of_memory(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        struct probe_nat_link *link = NULL;
        mem_fail_at(n);
        const int err = probe_nat_link_new(&server, TIMEOUT_MS, &link);
        mem_fail_at(-1);
        if (err == 0) {
            assert_true(n > 0);
            probe_nat_link_free(link);
            break;
        }
        assert_int_equal(err, -ENOMEM);
        assert_null(link);
    }
    probe_nat_link_free(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_server, close_server)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(link__has_sockets_of_its_own),     TEST(ask__takes_the_answer_alone),
        TEST(ask__silence_is_an_outcome),       TEST(hairpin__tells_what_comes_through),
        TEST(new__survives_the_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

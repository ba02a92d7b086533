/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/udp.h"
#include "relay_conf.h"

#define BASE   "realm=example.org\nno-auth\nlistening-port=20201\ntls-listening-port=20203\n"
#define LOCAL  "listening-ip=127.0.0.1\n"
#define CERT   "cert=/c\npkey=/k\n"
#define UDP_IT BASE LOCAL "no-tcp\n"

static struct listener_plan plan;
static char why[300];

static int make(const char *text)
{
    struct conf *conf = relay_conf(text);
    const int err = listener_plan_make(conf, &plan, why, sizeof(why));

    conf_unref(conf);
    return err;
}

static int read_plan(const char *text)
{
    struct conf *conf = relay_conf(text);
    const int err = listener_plan_read(conf, &plan, why, sizeof(why));

    conf_unref(conf);
    return err;
}

/* "127.0.0.1:20201/tcp plain tls proxy name", for each item in turn. */
static void expect_plan(const char *text, const char *const wanted[], size_t count)
{
    assert_int_equal(read_plan(text), 0);
    for (size_t i = 0; i < plan.count; i++) {
        const struct listener_spec *spec = &plan.item[i];
        char where[LISTENER_TEXT];
        char got[400];

        (void)snprintf(got, sizeof(got), "%s%s%s%s%s%s", listener_text(spec, where),
                       spec->plain ? " plain" : "", spec->secure ? " tls" : "",
                       spec->proxy ? " proxy" : "", spec->tls_name[0] != 0 ? " " : "",
                       spec->tls_name);
        if (i >= count || strcmp(got, wanted[i]) != 0) {
            fail_msg("item %zu is %s", i, got);
        }
    }
    assert_int_equal(plan.count, count);
}

#define EXPECT_PLAN(text, ...)                                                                     \
    expect_plan(text, (const char *const[]){__VA_ARGS__},                                          \
                COUNT_OF(((const char *const[]){__VA_ARGS__})))

static void listener__takes_every_address_by_default(void **state)
{
    (void)state;
    assert_int_equal(make(BASE), 0);
    assert_true(plan.count == 2 || plan.count == 4); /* a host may lack IPv6 */
    for (size_t i = 0; i < plan.count; i++) {
        assert_true(udp_is_wildcard(&plan.item[i].addr));
        assert_int_equal(plan.item[i].addr.port, 20201);
        assert_int_equal(plan.item[i].stream, i % 2);
    }
}

static void plan__has_a_port_without_and_with_tls(void **state)
{
    (void)state;
    EXPECT_PLAN(BASE, "0.0.0.0:20201/udp plain", "0.0.0.0:20201/tcp plain", "[::]:20201/udp plain",
                "[::]:20201/tcp plain");
    EXPECT_PLAN(BASE LOCAL CERT, "127.0.0.1:20201/udp plain", "127.0.0.1:20201/tcp plain tls",
                "127.0.0.1:20203/tcp plain tls");
    EXPECT_PLAN(BASE LOCAL CERT "dtls\n", "127.0.0.1:20201/udp plain tls",
                "127.0.0.1:20203/udp plain tls", "127.0.0.1:20201/tcp plain tls",
                "127.0.0.1:20203/tcp plain tls");
    EXPECT_PLAN(BASE LOCAL "dtls\n", "127.0.0.1:20201/udp plain", "127.0.0.1:20201/tcp plain");
    EXPECT_PLAN(BASE LOCAL CERT "tls-listening-port=0\n", "127.0.0.1:20201/udp plain",
                "127.0.0.1:20201/tcp plain tls");
}

static void plan__follows_the_switches(void **state)
{
    (void)state;
    EXPECT_PLAN(BASE LOCAL CERT "no-tcp\n", "127.0.0.1:20201/udp plain", "127.0.0.1:20203/tcp tls");
    EXPECT_PLAN(BASE LOCAL CERT "no-tls\n", "127.0.0.1:20201/udp plain",
                "127.0.0.1:20201/tcp plain");
    EXPECT_PLAN(BASE LOCAL CERT "no-tls\nno-tcp\n", "127.0.0.1:20201/udp plain");
    EXPECT_PLAN(BASE LOCAL CERT "no-udp\nno-tcp\ndtls\n", "127.0.0.1:20203/udp tls",
                "127.0.0.1:20203/tcp tls");
    EXPECT_PLAN(BASE LOCAL "no-udp\n", "127.0.0.1:20201/tcp plain");
    EXPECT_PLAN(BASE LOCAL "[tls \"a\"]\ncert=/c\n", "127.0.0.1:20201/udp plain",
                "127.0.0.1:20201/tcp plain tls", "127.0.0.1:20203/tcp plain tls");
}

/* listening-port=443 and tls-listening-port=443, as some products write. */
static void plan__makes_one_of_equal_ports(void **state)
{
    (void)state;
    EXPECT_PLAN(BASE LOCAL CERT "no-tcp\ndtls\ntls-listening-port=20201\n",
                "127.0.0.1:20201/udp plain tls", "127.0.0.1:20201/tcp tls");
    EXPECT_PLAN(BASE LOCAL "listening-ip=127.0.0.1\naux-server=127.0.0.1:20201\n",
                "127.0.0.1:20201/udp plain", "127.0.0.1:20201/tcp plain");
}

static void plan__has_aux_servers_and_balancers(void **state)
{
    (void)state;
    EXPECT_PLAN(BASE LOCAL CERT "listening-ip=127.0.0.2\nno-tls\naux-server=127.0.0.3:20202\n",
                "127.0.0.1:20201/udp plain", "127.0.0.1:20201/tcp plain",
                "127.0.0.2:20201/udp plain", "127.0.0.2:20201/tcp plain",
                "127.0.0.3:20202/udp plain", "127.0.0.3:20202/tcp plain");
    EXPECT_PLAN(BASE LOCAL CERT "tcp-proxy-port=20205\n", "127.0.0.1:20201/udp plain",
                "127.0.0.1:20201/tcp plain tls", "127.0.0.1:20203/tcp plain tls",
                "127.0.0.1:20205/tcp plain tls proxy");
    EXPECT_PLAN(BASE LOCAL CERT "tcp-proxy-port=20205\nno-tcp\naux-server=127.0.0.3:20202\n",
                "127.0.0.1:20201/udp plain", "127.0.0.1:20203/tcp tls",
                "127.0.0.1:20205/tcp tls proxy", "127.0.0.3:20202/udp plain");
    assert_int_equal(
        read_plan(BASE LOCAL "tcp-proxy-port=20205\naux-server=127.0.0.1:20205\nno-udp\n"),
        -EINVAL);
    assert_non_null(strstr(why, "127.0.0.1:20205/tcp is to be served both with and without"));
}

static void plan__adds_sections(void **state)
{
    (void)state;
    EXPECT_PLAN(BASE LOCAL "[tls \"a\"]\ncert=/c\n"
                           "[listener \"x\"]\naddress=127.0.0.1:443\naddress=[::1]:443\n"
                           "encryption=tls\ntls-name=a\n[listener \"y\"]\naddress=127.0.0.4:81\n"
                           "proxy-protocol\n",
                "127.0.0.1:443/tcp tls a", "[::1]:443/tcp tls a",
                "127.0.0.4:81/tcp plain tls proxy", "127.0.0.1:20201/udp plain",
                "127.0.0.1:20201/tcp plain tls", "127.0.0.1:20203/tcp plain tls");
    EXPECT_PLAN(BASE CERT "no-udp\nno-tcp\nno-tls\n[listener]\naddress=127.0.0.1\n"
                          "encryption=plain\n",
                "127.0.0.1:20201/udp plain", "127.0.0.1:20201/tcp plain");
}

/* It says more about its address than the options do. */
static void plan__lets_a_section_stand_for_the_options(void **state)
{
    (void)state;
    EXPECT_PLAN(BASE LOCAL CERT "tcp-proxy-port=20205\n[listener]\naddress=127.0.0.1\n"
                                "encryption=tls\n[listener \"p\"]\naddress=127.0.0.1:20205\n"
                                "encryption=plain\ntransport=tcp\n",
                "127.0.0.1:20201/tcp tls", "127.0.0.1:20205/tcp plain", "127.0.0.1:20201/udp plain",
                "127.0.0.1:20203/tcp plain tls");
    assert_int_equal(read_plan(BASE LOCAL "[listener \"x\"]\naddress=127.0.0.1:81\n[listener "
                                          "\"y\"]\ntransport=tcp\naddress=127.0.0.1:81\n"),
                     -EINVAL);
    assert_non_null(strstr(why, "test.conf:8: there is a [listener] on 127.0.0.1:81/tcp already"));
    EXPECT_PLAN(BASE "no-udp\nno-tcp\n[listener \"x\"]\naddress=127.0.0.1:81\ntransport=udp\n"
                     "[listener \"y\"]\ntransport=tcp\naddress=127.0.0.1:81\n",
                "127.0.0.1:81/udp plain", "127.0.0.1:81/tcp plain");
}

static void plan__is_bounded(void **state)
{
    enum { ADDRESSES = LISTENER_MAX / 2 };

    char *text = calloc(ADDRESSES + 2, 40);
    size_t len = 0;

    (void)state;
    assert_non_null(text);
    len += (size_t)sprintf(text, "%s", BASE);
    for (int i = 0; i < ADDRESSES; i++) {
        len += (size_t)sprintf(text + len, "listening-ip=127.1.%d.%d\n", i / 250, i % 250);
    }
    assert_int_equal(read_plan(text), 0);
    assert_int_equal(plan.count, LISTENER_MAX);
    (void)strcpy(text + len, "aux-server=127.2.0.1:80\n");
    assert_int_equal(read_plan(text), -ENOSPC);
    assert_non_null(strstr(why, "more than 512 listeners"));
    free(text);
}

/* Workers share an address; a second server does not get in. */
static void listener__is_shared_by_workers_only(void **state)
{
    struct udp_port a;
    struct udp_port b;

    (void)state;
    assert_int_equal(make(UDP_IT), 0);
    assert_int_equal(listener_open(&plan, 0, &a, why, sizeof(why)), 0);
    assert_int_equal(listener_open(&plan, 0, &b, why, sizeof(why)), 0);
    assert_int_equal(make(UDP_IT), -EADDRINUSE);
    assert_non_null(strstr(why, "127.0.0.1:20201/udp"));
    assert_non_null(strstr(why, "another program"));
    udp_close(&a);
    udp_close(&b);
    assert_int_equal(make(UDP_IT), 0);
}

static void listener__over_tcp_is_shared_by_workers_only(void **state)
{
    const char *text = BASE LOCAL "no-udp\n";
    int a = -1;
    int b = -1;

    (void)state;
    assert_int_equal(make(text), 0);
    assert_int_equal(plan.count, 1);
    assert_int_equal(listener_open_stream(&plan, 0, &a, why, sizeof(why)), 0);
    assert_int_equal(listener_open_stream(&plan, 0, &b, why, sizeof(why)), 0);
    assert_int_equal(make(text), -EADDRINUSE);
    assert_non_null(strstr(why, "127.0.0.1:20201/tcp"));
    assert_non_null(strstr(why, "ss -tlpn"));
    assert_int_equal(close(a), 0);
    assert_int_equal(close(b), 0);
    assert_int_equal(make(text), 0);
}

/* A server that is started again at once finds connections of its predecessor, which linger. */
static void listener__over_tcp_can_be_opened_again_at_once(void **state)
{
    const char *text = BASE LOCAL "no-udp\n";
    struct sockaddr_storage ss;
    int fd = -1;

    (void)state;
    assert_int_equal(make(text), 0);
    assert_int_equal(listener_open_stream(&plan, 0, &fd, why, sizeof(why)), 0);
    const socklen_t len = net_addr_to_sockaddr(&plan.item[0].addr, &ss);
    const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (const struct sockaddr *)&ss, len), 0);
    struct sockaddr_storage from;
    socklen_t from_len = sizeof(from);
    int server = -1;
    while (server < 0) { /* the listening socket does not block */
        server = accept(fd, (struct sockaddr *)&from, &from_len);
        assert_true(server >= 0 || errno == EAGAIN);
    }
    assert_int_equal(close(server), 0); /* first: it is the one that lingers */
    assert_int_equal(close(client), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(make(text), 0);
    assert_int_equal(listener_open_stream(&plan, 0, &fd, why, sizeof(why)), 0);
    assert_int_equal(close(fd), 0);
}

static void listener__says_what_is_wrong(void **state)
{
    (void)state;
    assert_int_equal(make(BASE "listening-ip=203.0.113.250\n"), -EADDRNOTAVAIL);
    assert_non_null(strstr(why, "listening-ip"));
    assert_int_equal(make(BASE "listening-ip=203.0.113.250\nno-udp\n"), -EADDRNOTAVAIL);
    assert_non_null(strstr(why, "203.0.113.250:20201/tcp"));
    struct conf *conf = relay_conf_unchecked(BASE "no-udp\nno-tcp\n");
    assert_int_equal(listener_plan_make(conf, &plan, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "nothing is left to serve"));
    conf_unref(conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listener__takes_every_address_by_default),
        cmocka_unit_test(plan__has_a_port_without_and_with_tls),
        cmocka_unit_test(plan__follows_the_switches),
        cmocka_unit_test(plan__makes_one_of_equal_ports),
        cmocka_unit_test(plan__has_aux_servers_and_balancers),
        cmocka_unit_test(plan__adds_sections),
        cmocka_unit_test(plan__lets_a_section_stand_for_the_options),
        cmocka_unit_test(plan__is_bounded),
        cmocka_unit_test(listener__is_shared_by_workers_only),
        cmocka_unit_test(listener__over_tcp_is_shared_by_workers_only),
        cmocka_unit_test(listener__over_tcp_can_be_opened_again_at_once),
        cmocka_unit_test(listener__says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

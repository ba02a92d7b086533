/* SPDX-License-Identifier: Apache-2.0 */
#include "io/udp.h"

#include <errno.h>

#include "udp_pair.h"

static void udp__opens_what_is_asked_for(void **state)
{
    struct udp_options options = {.local = pair_addr("127.0.0.1:0")};
    struct udp_port a;
    struct udp_port b = {.fd = -1};

    (void)state;
    pair_open(&a, &options);
    assert_false(a.wildcard);
    assert_true(list_empty(&a.ready));
    options.local = a.local;
    assert_int_equal(udp_open(&options, &b), -EADDRINUSE);
    assert_int_equal(b.fd, -1);
    options.local = pair_addr("192.0.2.254:0");
    assert_int_equal(udp_open(&options, &b), -EADDRNOTAVAIL);
    udp_close(&a);
    udp_close(&a);
    assert_int_equal(a.fd, -1);
}

static void udp__shares_an_address_only_when_all_agree(void **state)
{
    struct udp_options options = {.local = pair_addr("0.0.0.0:0"), .share = true, .ask_tos = true};
    struct udp_port a;
    struct udp_port b;
    struct udp_port c;

    (void)state;
    pair_open(&a, &options);
    assert_true(a.wildcard);
    options.local = a.local;
    pair_open(&b, &options);
    options.share = false;
    assert_int_equal(udp_open(&options, &c), -EADDRINUSE);
    udp_close(&a);
    udp_close(&b);
}

/* A wildcard of each family on one port: neither takes the other's packets. */
static void udp__families_do_not_meet(void **state)
{
    struct udp_options options = {.local = pair_addr("0.0.0.0:0")};
    struct udp_port v4;
    struct udp_port v6;

    (void)state;
    pair_open(&v4, &options);
    options.local = pair_addr("[::]:0");
    options.local.port = v4.local.port;
    const int err = udp_open(&options, &v6);
    if (err == -EAFNOSUPPORT) {
        CHECK_SKIP("this host has no IPv6");
    }
    assert_int_equal(err, 0);
    udp_close(&v4);
    udp_close(&v6);
}

static void udp__tells_the_buffer_it_got(void **state)
{
    const struct udp_options options = {.local = pair_addr("127.0.0.1:0"), .buffer_bytes = 65536};
    struct udp_port port;

    (void)state;
    pair_open(&port, &options);
    assert_int_equal(udp_buffer_bytes(&port), 65536);
    udp_close(&port);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(udp__opens_what_is_asked_for),
        cmocka_unit_test(udp__shares_an_address_only_when_all_agree),
        cmocka_unit_test(udp__families_do_not_meet),
        cmocka_unit_test(udp__tells_the_buffer_it_got),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

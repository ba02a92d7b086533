/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/listener.h"

#include <errno.h>

#include "io/udp.h"
#include "relay_conf.h"

#define BASE "realm=example.org\nno-auth\nlistening-port=20201\n"

static struct listener_plan plan;
static char why[300];

static int make(const char *text)
{
    struct conf *conf = relay_conf(text);
    const int err = listener_plan_make(conf, &plan, why, sizeof(why));

    conf_unref(conf);
    return err;
}

static void listener__takes_every_address_by_default(void **state)
{
    (void)state;
    assert_int_equal(make(BASE), 0);
    assert_in_range(plan.count, 1, 2); /* a host may lack IPv6 */
    for (size_t i = 0; i < plan.count; i++) {
        assert_true(udp_is_wildcard(&plan.addr[i]));
        assert_int_equal(plan.addr[i].port, 20201);
    }
}

static void listener__takes_exactly_what_is_given(void **state)
{
    char text[NET_ADDR_TEXT];

    (void)state;
    assert_int_equal(make(BASE "listening-ip=127.0.0.1\nlistening-ip=127.0.0.2\n"
                               "listening-ip=127.0.0.1\naux-server=127.0.0.1:20202\n"),
                     0);
    assert_int_equal(plan.count, 3);
    assert_string_equal(net_addr_text(&plan.addr[0], text), "127.0.0.1:20201");
    assert_string_equal(net_addr_text(&plan.addr[1], text), "127.0.0.2:20201");
    assert_string_equal(net_addr_text(&plan.addr[2], text), "127.0.0.1:20202");
}

/* Workers share an address; a second server does not get in. */
static void listener__is_shared_by_workers_only(void **state)
{
    struct udp_port a;
    struct udp_port b;

    (void)state;
    assert_int_equal(make(BASE "listening-ip=127.0.0.1\n"), 0);
    assert_int_equal(listener_open(&plan, 0, &a, why, sizeof(why)), 0);
    assert_int_equal(listener_open(&plan, 0, &b, why, sizeof(why)), 0);
    assert_int_equal(make(BASE "listening-ip=127.0.0.1\n"), -EADDRINUSE);
    assert_non_null(strstr(why, "127.0.0.1:20201"));
    assert_non_null(strstr(why, "another program"));
    udp_close(&a);
    udp_close(&b);
    assert_int_equal(make(BASE "listening-ip=127.0.0.1\n"), 0);
}

static void listener__says_what_is_wrong(void **state)
{
    (void)state;
    assert_int_equal(make(BASE "listening-ip=203.0.113.250\n"), -EADDRNOTAVAIL);
    assert_non_null(strstr(why, "listening-ip"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listener__takes_every_address_by_default),
        cmocka_unit_test(listener__takes_exactly_what_is_given),
        cmocka_unit_test(listener__is_shared_by_workers_only),
        cmocka_unit_test(listener__says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

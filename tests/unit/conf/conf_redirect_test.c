/* SPDX-License-Identifier: Apache-2.0 */
/* What the options about sending clients elsewhere say together (conf_judge_redirect.c). */
#include "conf_tests.h"

#define USER "realm=x\nuser=a:b\n"

static void alternates__of_our_own_are_told(void **state)
{
    (void)state;
    conf_expect(USER "listening-ip=192.0.2.1\nalternate-server=192.0.2.1\n", CONF_WARNING,
                "'alternate-server' 192.0.2.1 is an address of this server itself");
    conf_expect(USER "listening-ip=192.0.2.1\ntls-alternate-server=192.0.2.1:5349 a.example\n",
                CONF_WARNING, "is an address of this server itself");
    conf_expect(USER "aux-server=192.0.2.1:77\nudp-alternate-server=192.0.2.1:77\n", CONF_WARNING,
                "is an address of this server itself");
    conf_expect_good(USER "listening-ip=192.0.2.1\nalternate-server=192.0.2.1:4000\n"
                          "alternate-server=[2001:db8::1]:3478\n");
}

static void redirect_only__needs_an_alternate(void **state)
{
    (void)state;
    conf_expect(USER "redirect-only\n", CONF_ERROR, "name a server that clients are sent to");
    conf_expect("no-auth\nredirect-only\nalternate-server=192.0.2.1\n", CONF_ERROR,
                "with no-auth nobody can be sent elsewhere");
    conf_expect(USER "redirect-only\nalternate-server=192.0.2.1\nudp-self-balance\n", CONF_WARNING,
                "'udp-self-balance' has no effect");
    conf_expect_good(USER "redirect-only\nalternate-server=192.0.2.1\n");
}

static void self_balance__needs_aux_servers(void **state)
{
    (void)state;
    conf_expect(USER "udp-self-balance\n", CONF_WARNING, "has no effect without aux-server");
    conf_expect("no-auth\nudp-self-balance\naux-server=192.0.2.1:77\n", CONF_WARNING,
                "'udp-self-balance' has no effect with no-auth");
    conf_expect_good(USER "udp-self-balance\naux-server=192.0.2.1:77\n");
}

/* RFC 8155 section 6 with RFC 8489 section 14.8 */
static void anycast__needs_credentials(void **state)
{
    (void)state;
    conf_expect("no-auth\nanycast-ip=192.0.0.10\n", CONF_ERROR, "with no-auth nobody can be sent");
    conf_expect(USER "anycast-unicast=192.0.2.1\n", CONF_WARNING,
                "has no effect without anycast-ip");
    conf_expect(USER "anycast-ip=nowhere\n", CONF_ERROR, "anycast-ip");
    conf_expect(USER "anycast-ip=192.0.0.10\nanycast-unicast=nowhere\n", CONF_ERROR,
                "anycast-unicast");
    conf_expect_good(USER "anycast-ip=192.0.0.10\nanycast-ip=2001:1::2\n"
                          "anycast-unicast=192.0.2.1\nanycast-unicast=[2001:db8::1]:443\n");
}

static void anycast__has_to_be_listened_on(void **state)
{
    (void)state;
    conf_expect(USER "listening-ip=192.0.2.1\nanycast-ip=192.0.0.10\n", CONF_WARNING,
                "nobody reaches 'anycast-ip' 192.0.0.10");
    conf_expect_good(USER "listening-ip=192.0.2.1\nlistening-ip=192.0.0.10\n"
                          "anycast-ip=192.0.0.10\n");
    conf_expect_good(USER "listening-ip=192.0.2.1\naux-server=192.0.0.10:3478\n"
                          "anycast-ip=192.0.0.10\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alternates__of_our_own_are_told),
        cmocka_unit_test(redirect_only__needs_an_alternate),
        cmocka_unit_test(self_balance__needs_aux_servers),
        cmocka_unit_test(anycast__needs_credentials),
        cmocka_unit_test(anycast__has_to_be_listened_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

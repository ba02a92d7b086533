/* SPDX-License-Identifier: Apache-2.0 */
/* The options of the kernel path, by themselves and together. */
#include <errno.h>
#include <string.h>

#include "conf/conf_value.h"
#include "conf_tests.h"

#define BASE "realm=x\nuser=a:b\n"

static void interface__is_a_name_and_perhaps_a_mode(void **state)
{
    static const char *const bad[] = {
        "",           "=xdp", "eth0=",  "eth0=off",  "eth0=XDP",         "eth0=xdp ",
        "a b",        "a/b",  "a:b",    ".",         "sixteen-letters-", "a\tb",
        "eth0=tc=tc", "..",   "eth0=x", "eth0=auto,"};
    struct conf_offload_interface one;

    (void)state;
    assert_int_equal(conf_offload_interface_parse("eth0", &one), 0);
    assert_string_equal(one.name, "eth0");
    assert_false(one.has_mode);
    assert_int_equal(conf_offload_interface_parse("fifteen-letters=xdp-generic", &one), 0);
    assert_string_equal(one.name, "fifteen-letters");
    assert_true(one.has_mode);
    assert_int_equal(one.mode, CONF_OFFLOAD_XDP_GENERIC);
    assert_int_equal(conf_offload_interface_parse("eth0.7=auto", &one), 0);
    assert_int_equal(one.mode, CONF_OFFLOAD_AUTO);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(conf_offload_interface_parse(bad[i], &one), -EBADMSG);
        assert_string_equal(one.name, "eth0.7"); /* unchanged */
    }
}

static void offload__is_off_unless_asked_for(void **state)
{
    struct conf *conf = conf_checked_of(BASE);

    (void)state;
    assert_int_equal(conf->offload, CONF_OFFLOAD_OFF);
    assert_false(conf->flood_shield);
    assert_int_equal(conf->offload_channels, 65536);
    conf_unref(conf);
    conf = conf_checked_of(BASE "offload=xdp-generic\noffload-interface=eth0\n"
                                "offload-interface=eth1=tc\noffload-channels=1000\n");
    conf_assert_count(conf, CONF_WARNING, 0);
    assert_int_equal(conf->offload, CONF_OFFLOAD_XDP_GENERIC);
    assert_int_equal(conf->offload_interface.count, 2);
    assert_int_equal(conf->offload_channels, 1000);
    conf_unref(conf);
    conf_expect_good(BASE "flood-shield\nflood-shield-newcomers=1000\nflood-shield-prefix=10\n");
    conf_expect_good(BASE "flood-shield\noffload-interface=eth0\n");
}

static void offload__values_are_judged(void **state)
{
    char many[1024] = BASE "offload=auto\n";

    (void)state;
    conf_expect(BASE "offload=on\n", CONF_ERROR, "offload");
    conf_expect(BASE "offload=tc\noffload-channels=0\n", CONF_ERROR, "offload-channels");
    conf_expect(BASE "offload=tc\noffload-channels=4000001\n", CONF_ERROR, "offload-channels");
    conf_expect(BASE "offload=tc\noffload-interface=eth0=fast\n", CONF_ERROR,
                "offload-interface wants an interface");
    conf_expect(BASE "offload=tc\noffload-interface=eth0\noffload-interface=eth0=tc\n", CONF_ERROR,
                "names eth0 twice");
    for (unsigned i = 0; i <= CONF_OFFLOAD_INTERFACES; i++) {
        const size_t len = strlen(many);
        (void)snprintf(many + len, sizeof(many) - len, "offload-interface=e%u\n", i);
    }
    conf_expect(many, CONF_ERROR, "32 of offload-interface at most");
}

static void offload__options_without_effect_are_told(void **state)
{
    (void)state;
    conf_expect(BASE "offload-interface=eth0\n", CONF_WARNING,
                "offload-interface changes nothing without offload or flood-shield");
    conf_expect(BASE "offload-channels=10\n", CONF_WARNING,
                "offload-channels changes nothing without offload");
    conf_expect(BASE "offload=tc\nflood-shield-prefix=10\n", CONF_WARNING,
                "flood-shield-prefix changes nothing without flood-shield");
    conf_expect(BASE "offload=tc\nflood-shield-newcomers=10\n", CONF_WARNING,
                "flood-shield-newcomers changes nothing without flood-shield");
    conf_expect(BASE "offload=tc\nno-udp\n", CONF_WARNING, "offload changes nothing with no-udp:");
    conf_expect(BASE "offload=tc\nno-udp-relay\n", CONF_WARNING,
                "offload changes nothing with no-udp-relay");
    conf_expect(BASE "offload=tc\nstun-only\n", CONF_WARNING,
                "offload changes nothing with stun-only");
    conf_expect(BASE "flood-shield\nno-udp\n", CONF_WARNING,
                "flood-shield changes nothing: nobody");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interface__is_a_name_and_perhaps_a_mode),
        cmocka_unit_test(offload__is_off_unless_asked_for),
        cmocka_unit_test(offload__values_are_judged),
        cmocka_unit_test(offload__options_without_effect_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

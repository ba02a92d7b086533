/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "conf_tests.h"

static void section__holds_its_lines(void **state)
{
    struct conf *conf = conf_of("realm=top\n[realm \"example.org\"] # one\nuser-quota = 4 # four\n"
                                "secret=\"a # b\"\nbare\n\n[tls]\ncert=/x\n[ listener  east ]\n");

    (void)state;
    assert_string_equal(conf->realm, "top");
    assert_int_equal(conf->user_quota, 0);
    assert_int_equal(conf->section_count, 3);
    assert_string_equal(conf->sections[0].kind, "realm");
    assert_string_equal(conf->sections[0].name, "example.org");
    assert_int_equal(conf->sections[0].line, 2);
    assert_int_equal(conf->sections[0].count, 3);
    assert_string_equal(conf->sections[0].pairs[0].key, "user-quota");
    assert_string_equal(conf->sections[0].pairs[0].value, "4");
    assert_int_equal(conf->sections[0].pairs[0].line, 3);
    assert_int_equal(conf->sections[0].pairs[0].column, 14);
    assert_string_equal(conf->sections[0].pairs[1].value, "a # b");
    assert_string_equal(conf->sections[0].pairs[2].value, "");
    assert_string_equal(conf->sections[1].kind, "tls");
    assert_string_equal(conf->sections[1].name, "");
    assert_string_equal(conf->sections[2].name, "east");
    conf_assert_count(conf, CONF_ERROR, 0);
    conf_unref(conf);
}

static void section__swallowing_an_option_is_told(void **state)
{
    struct conf *conf = conf_of("[cluster]\ndenied-peer-ip=10.0.0.0/8\n");

    (void)state;
    assert_int_equal(conf->denied_peer_ip.count, 0);
    conf_assert_at(conf, 2, 16, "options come before the first section");
    conf_unref(conf);
}

static void section__of_unknown_kind_warns(void **state)
{
    struct conf *conf = conf_of("[relm \"x\"]\n[entirely-else]\n[tls \"y\"]\n");

    (void)state;
    assert_int_equal(conf->section_count, 3);
    conf_assert_finding(conf, CONF_WARNING,
                        "no section [relm], so it has no effect; is 'realm' meant?");
    conf_assert_finding(conf, CONF_WARNING, "[tls] have no effect in this version");
    conf_assert_count(conf, CONF_ERROR, 0);
    conf_unref(conf);
}

static void section__malformed_is_an_error_and_keeps_its_lines(void **state)
{
    static const char *const bad[] = {"[",           "[]",       "[realm",
                                      "[realm \"x]", "[a b c]",  "[realm] x",
                                      "[\"realm\"]", "[re.alm]", "[realm \"x\" y]"};
    char text[64];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        (void)snprintf(text, sizeof(text), "%s\nfingerprint\n", bad[i]);
        struct conf *conf = conf_of(text);

        if (conf->severity_count[CONF_ERROR] != 1 || conf->section_count != 0) {
            fail_msg("%s is taken", bad[i]);
        }
        assert_false(conf->fingerprint); /* a line below it is no option */
        conf_unref(conf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(section__holds_its_lines),
        cmocka_unit_test(section__swallowing_an_option_is_told),
        cmocka_unit_test(section__of_unknown_kind_warns),
        cmocka_unit_test(section__malformed_is_an_error_and_keeps_its_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

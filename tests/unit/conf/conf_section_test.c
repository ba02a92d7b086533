/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "conf_tests.h"

static void section__holds_its_lines(void **state)
{
    struct conf *conf =
        conf_of("realm=top\n[cluster \"example.org\"] # one\nuser-quota = 4 # four\n"
                "secret=\"a # b\"\nbare\n\n[tls]\ncert=/x\n[ cluster  east ]\n");

    (void)state;
    assert_string_equal(conf->realm, "top");
    assert_int_equal(conf->user_quota, 0);
    assert_int_equal(conf->section_count, 3);
    assert_string_equal(conf->sections[0].kind, "cluster");
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
    assert_string_equal(conf->sections[1].pairs[0].key, "certificate"); /* in one spelling */
    assert_string_equal(conf->sections[1].pairs[0].value, "/x");
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
    struct conf *conf = conf_of("[relm \"x\"]\n[entirely-else]\n[cluster \"y\"]\n");

    (void)state;
    assert_int_equal(conf->section_count, 3);
    conf_assert_finding(conf, CONF_WARNING,
                        "no section [relm], so it has no effect; is 'realm' meant?");
    conf_assert_finding(conf, CONF_WARNING, "[cluster] have no effect in this version");
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

static void keys__are_judged_where_they_stand(void **state)
{
    static const struct {
        const char *line;
        unsigned column;
        const char *part;
    } cases[] = {
        {"certifcate = /x", 14, "[tls] has no 'certifcate'; is 'certificate' meant?"},
        {"realm = x", 9, "options come before the first section"},
        {"quite-something = x", 19, "[tls] has no 'quite-something': sterna.conf(5)"},
        {"verify-depth = many", 16, "'verify-depth' wants a whole number from 1 to 100"},
        {"verify-depth = 0", 16, "'verify-depth' wants a whole number"},
        {"min-version = 1.4", 15, "knows no '1.4': write one of 1.0|1.1|1.2|1.3"},
        {"verify-client = yes", 17, "write one of off|optional|required"},
        {"chain", 1, "'chain' needs a value: write chain = path"},
        {"certificate = /other", 15, "'certificate' was given in line 2 of this section before"},
        {"cert = /other", 8, "'certificate' was given in line 2 of this section before"},
    };

    char text[128];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        (void)snprintf(text, sizeof(text), "[tls]\ncert=/x\n%s\n", cases[i].line);
        struct conf *conf = conf_of(text);

        conf_assert_finding(conf, CONF_ERROR, cases[i].part);
        conf_assert_at(conf, 3, cases[i].column, cases[i].part);
        assert_int_equal(conf->sections[0].count, 1);
        conf_unref(conf);
    }
}

static void keys__are_kept_in_one_spelling(void **state)
{
    struct conf *conf = conf_of("[tls \"a.example\"]\npkey = /k;\nverify-client=OPTIONAL\n"
                                "verify-depth = 7;\n[listener \"x\"]\naddress=192.0.2.1\n"
                                "address = [2001:db8::1]:443\nproxy-protocol\ntransport=TCP\n"
                                "[listener \"y\"]\nproxy-protocol = no\n");

    (void)state;
    conf_assert_count(conf, CONF_ERROR, 0);
    const struct conf_section *tls = conf_section_find(conf, "tls", "A.Example");
    assert_non_null(tls);
    assert_string_equal(conf_section_value(tls, "private-key"), "/k;"); /* it may belong to it */
    assert_string_equal(conf_section_value(tls, "verify-client"), "optional");
    assert_string_equal(conf_section_value(tls, "verify-depth"), "7");
    assert_null(conf_section_value(tls, "pkey"));
    const struct conf_section *listener = conf_section_find(conf, "listener", NULL);
    assert_ptr_equal(listener, &conf->sections[1]);
    assert_int_equal(listener->count, 4);
    assert_string_equal(conf_section_value(listener, "address"), "192.0.2.1");
    assert_string_equal(listener->pairs[1].value, "[2001:db8::1]:443");
    assert_string_equal(conf_section_value(listener, "proxy-protocol"), "on");
    assert_string_equal(conf_section_value(listener, "transport"), "tcp");
    assert_string_equal(conf_section_value(&conf->sections[2], "proxy-protocol"), "off");
    assert_null(conf_section_find(conf, "listener", "z"));
    conf_unref(conf);
}

static void keys__of_secrets_are_not_shown(void **state)
{
    char *text = NULL;
    size_t len = 0;
    struct conf *conf = conf_of("[tls \"a\"]\ncert=\"/x y\"\npkey-pwd=hush\n[cluster]\na=hush\n");
    FILE *out = open_memstream(&text, &len);

    (void)state;
    assert_non_null(out);
    conf_write_effective(conf, out, false);
    assert_int_equal(fclose(out), 0);
    assert_null(strstr(text, "hush"));
    assert_non_null(strstr(text, "\n[tls \"a\"]\ncertificate=\"/x y\"\n# key-password=(hidden)\n"));
    struct conf *again = conf_of(text);
    conf_assert_count(again, CONF_ERROR, 0);
    assert_false(conf_sections_equal(conf, again, "tls")); /* but for the secret */
    conf_unref(conf);
    conf_unref(again);
    free(text);
}

static void sections__are_compared_by_kind(void **state)
{
    struct conf *a = conf_of("[tls]\ncert=/x\n[listener]\naddress=192.0.2.1\n");
    struct conf *b = conf_of("[listener]\naddress=192.0.2.1\n[tls]\ncert=/y\n");
    struct conf *c = conf_of("[tls]\ncert=/x\n[tls \"z\"]\ncert=/x\n");

    (void)state;
    assert_true(conf_sections_equal(a, a, "tls"));
    assert_true(conf_sections_equal(a, b, "listener"));
    assert_false(conf_sections_equal(a, b, "tls"));
    assert_false(conf_sections_equal(a, c, "tls"));
    assert_false(conf_sections_equal(c, a, "tls"));
    assert_false(conf_sections_equal(a, c, "listener"));
    assert_true(conf_sections_equal(a, c, "realm"));
    conf_unref(a);
    conf_unref(b);
    conf_unref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(section__holds_its_lines),
        cmocka_unit_test(section__swallowing_an_option_is_told),
        cmocka_unit_test(section__of_unknown_kind_warns),
        cmocka_unit_test(section__malformed_is_an_error_and_keeps_its_lines),
        cmocka_unit_test(keys__are_judged_where_they_stand),
        cmocka_unit_test(keys__are_kept_in_one_spelling),
        cmocka_unit_test(keys__of_secrets_are_not_shown),
        cmocka_unit_test(sections__are_compared_by_kind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

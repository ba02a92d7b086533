/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <unistd.h>

#include "conf_tests.h"

static void line__takes_all_three_forms(void **state)
{
    struct conf *conf = conf_of("listening-port=1\nmin-port 2000\n max-port \t = \t 3000 \n"
                                "total-quota==4\nfingerprint\n");

    (void)state;
    assert_int_equal(conf->listening_port, 1);
    assert_int_equal(conf->min_port, 2000);
    assert_int_equal(conf->max_port, 3000);
    assert_int_equal(conf->total_quota, 4);
    assert_true(conf->fingerprint);
    assert_int_equal(conf->finding_count, 0);
    assert_true(conf->is_set[CONF_OPT_min_port]);
    assert_false(conf->is_set[CONF_OPT_realm]);
    conf_unref(conf);
}

static void comment__ends_a_value_only_behind_a_blank(void **state)
{
    struct conf *conf = conf_of("# all\n   # indented\nuser-quota=12 # twelve\nfingerprint # bare\n"
                                "static-auth-secret=a#b\nstatic-auth-secret=#c\n"
                                "static-auth-secret=\"d # e\"\nrealm=\"x\"\t# quoted\n");

    (void)state;
    assert_int_equal(conf->user_quota, 12);
    assert_true(conf->fingerprint);
    assert_int_equal(conf->static_auth_secret.count, 3);
    assert_string_equal(conf->static_auth_secret.items[0].text, "a#b");
    assert_string_equal(conf->static_auth_secret.items[1].text, "#c");
    assert_string_equal(conf->static_auth_secret.items[2].text, "d # e");
    assert_string_equal(conf->realm, "x");
    assert_int_equal(conf->finding_count, 0);
    conf_unref(conf);
}

static void comment__behind_a_secret_is_told(void **state)
{
    struct conf *conf = conf_of("static-auth-secret=abc #def\nstatic-auth-secret = #x\n");

    (void)state;
    assert_int_equal(conf->static_auth_secret.count, 1);
    assert_string_equal(conf->static_auth_secret.items[0].text, "abc");
    conf_assert_at(conf, 1, 20, "taken as a comment");
    conf_assert_finding(conf, CONF_ERROR, "is empty");
    conf_unref(conf);
}

static void quotes__are_taken_off(void **state)
{
    struct conf *conf = conf_of("cipher-list=\"A:B\"\nrealm=\"a\"b\"\nserver-name='x'\n"
                                "pidfile = \" spaces \"\nlog-file=\"open\n");

    (void)state;
    assert_string_equal(conf->cipher_list, "A:B");
    assert_string_equal(conf->realm, "a\"b");
    assert_string_equal(conf->pidfile, " spaces ");
    assert_string_equal(conf->server_name, "'x'"); /* as coturn */
    assert_string_equal(conf->log_file, "open");
    conf_assert_at(conf, 3, 13, "single quotes");
    conf_assert_at(conf, 5, 11, "not closed");
    conf_assert_count(conf, CONF_ERROR, 0);
    conf_unref(conf);
}

static void line__ends_of_every_kind(void **state)
{
    struct conf *conf = conf_of("\xef\xbb\xbflistening-port=1\r\nrealm=x\r\n\r\nfingerprint");

    (void)state;
    assert_int_equal(conf->listening_port, 1);
    assert_string_equal(conf->realm, "x");
    assert_true(conf->fingerprint);
    assert_int_equal(conf->finding_count, 0);
    conf_unref(conf);
}

static void semicolon__is_left_out_with_a_warning(void **state)
{
    struct conf *conf = conf_of("user-quota=12;\nfingerprint;\nno-tcp=yes;\nlistening-ip=::1;\n"
                                "static-auth-secret=abc;\n");

    (void)state;
    assert_int_equal(conf->user_quota, 12);
    assert_true(conf->fingerprint);
    assert_true(conf->no_tcp);
    assert_string_equal(conf->listening_ip.items[0].text, "::1");
    assert_string_equal(conf->static_auth_secret.items[0].text, "abc;"); /* it may belong to it */
    assert_int_equal(conf->severity_count[CONF_WARNING], 5);
    conf_assert_count(conf, CONF_ERROR, 0);
    conf_unref(conf);
}

static void unknown__names_the_nearest(void **state)
{
    struct conf *conf = conf_of("\n  listning-port=1\nwhatever-it-may-be=2\n");

    (void)state;
    assert_int_equal(conf->listening_port, 3478);
    conf_assert_at(conf, 2, 3, "'listning-port'");
    conf_assert_finding(conf, CONF_WARNING, "is 'listening-port' meant?");
    conf_assert_at(conf, 3, 1, "'whatever-it-may-be'");
    conf_assert_count(conf, CONF_ERROR, 0);
    conf_unref(conf);
}

static void error__has_line_and_column_of_the_value(void **state)
{
    struct conf *conf = conf_of("# x\n\n  min-port =  80  # low\ndenied-peer-ip=10.0.0.0-9.0.0.0\n"
                                "realm\n");

    (void)state;
    conf_assert_at(conf, 3, 15, "from 1024 to 65535");
    conf_assert_at(conf, 4, 16, "the lower address before the '-'");
    conf_assert_at(conf, 5, 1, "'realm' needs a value");
    assert_int_equal(conf->severity_count[CONF_ERROR], 3);
    assert_int_equal(conf->min_port, 49152);
    assert_int_equal(conf->denied_peer_ip.count, 0);
    conf_unref(conf);
}

static void line__of_garbage_is_an_error(void **state)
{
    static const char zero[] = "realm=a\0b\nfingerprint\n";
    struct conf *conf = conf_fresh();
    char *wide = malloc(CONF_LINE_MAX + 8);

    (void)state;
    assert_non_null(wide);
    memset(wide, 'x', CONF_LINE_MAX + 8);
    memcpy(wide, "realm=", sizeof("realm=") - 1);
    assert_int_equal(conf_load_memory(conf, "t.conf", zero, sizeof(zero) - 1), -EINVAL);
    conf_assert_at(conf, 1, 8, "zero byte");
    assert_true(conf->fingerprint);
    assert_int_equal(conf_load_memory(conf, "t.conf", wide, CONF_LINE_MAX), -EINVAL);
    assert_int_equal(conf_load_memory(conf, "t.conf", wide, CONF_LINE_MAX + 1), -EINVAL);
    conf_assert_finding(conf, CONF_ERROR, "may have 4096 at most");
    assert_int_equal(conf_load_memory(conf, "t.conf", "=x\n", 3), -EINVAL);
    conf_assert_finding(conf, CONF_ERROR, "no option name");
    assert_null(conf->realm);
    free(wide);
    conf_unref(conf);
}

static void findings__are_bounded(void **state)
{
    struct conf *conf = conf_fresh();
    char *text = NULL;
    size_t len = 0;
    FILE *out;

    (void)state;
    for (int i = 0; i < 3 * CONF_FINDINGS_MAX; i++) {
        assert_int_equal(conf_load_memory(conf, "t.conf", "min-port=x\n", 11), -EINVAL);
    }
    assert_int_equal(conf->finding_count, CONF_FINDINGS_MAX);
    assert_int_equal(conf->severity_count[CONF_ERROR], 3 * CONF_FINDINGS_MAX);
    out = open_memstream(&text, &len);
    assert_non_null(out);
    conf_findings_write(conf, out, CONF_WARNING);
    (void)fclose(out);
    assert_non_null(strstr(text, "t.conf:1:10: error: 'min-port' wants a whole number"));
    assert_non_null(strstr(text, "1000 more findings"));
    free(text);
    conf_unref(conf);
}

static void messages__hold_no_control_characters(void **state)
{
    struct conf *conf = conf_of("min-port=\x1b[31m\nx\x07y=1\n");

    (void)state;
    for (size_t i = 0; i < conf->finding_count; i++) {
        assert_null(strpbrk(conf->findings[i].text, "\x1b\x07"));
    }
    assert_int_equal(conf->finding_count, 2);
    conf_unref(conf);
}

static void file__is_read_whole(void **state)
{
    char path[] = "/tmp/sterna-conf-XXXXXX";
    const int fd = mkstemp(path);
    struct conf *conf = conf_fresh();
    char found[256];

    (void)state;
    assert_true(fd >= 0);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(dprintf(fd, "allowed-peer-ip=192.0.2.%03d\n", 0), 28);
    }
    assert_int_equal(close(fd), 0);
    assert_int_equal(conf_load_file(conf, path), -EINVAL); /* "000" is no part of an address */
    assert_int_equal(conf->severity_count[CONF_ERROR], 3000);
    assert_string_equal(conf->main_file, path);
    assert_int_equal(conf_file_find(path, found, sizeof(found)), 0);
    assert_string_equal(found, path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(conf_file_find(path, found, sizeof(found)), -ENOENT);
    conf_unref(conf);
}

static void file__that_cannot_be_read_is_an_error(void **state)
{
    struct conf *conf = conf_fresh();

    (void)state;
    assert_int_equal(conf_load_file(conf, "/nonexistent/x.conf"), -EINVAL);
    conf_assert_finding(conf, CONF_ERROR,
                        "cannot read the configuration file /nonexistent/x.conf: No such file");
    assert_int_equal(conf_load_file(conf, "/"), -EINVAL);
    conf_assert_finding(conf, CONF_ERROR, "Is a directory");
    conf_unref(conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line__takes_all_three_forms),
        cmocka_unit_test(comment__ends_a_value_only_behind_a_blank),
        cmocka_unit_test(comment__behind_a_secret_is_told),
        cmocka_unit_test(quotes__are_taken_off),
        cmocka_unit_test(line__ends_of_every_kind),
        cmocka_unit_test(semicolon__is_left_out_with_a_warning),
        cmocka_unit_test(unknown__names_the_nearest),
        cmocka_unit_test(error__has_line_and_column_of_the_value),
        cmocka_unit_test(line__of_garbage_is_an_error),
        cmocka_unit_test(findings__are_bounded),
        cmocka_unit_test(messages__hold_no_control_characters),
        cmocka_unit_test(file__is_read_whole),
        cmocka_unit_test(file__that_cannot_be_read_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

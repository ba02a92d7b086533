/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "conf_tests.h"

static void variable__gives_an_option(void **state)
{
    char **env = CONF_WORDS("HOME=/", "STERNA_REALM=example.org", "STERNA_LISTENING_PORT=5000",
                            "STERNA_TLSV1_1=on", "STERNA_NO_CLI=1",
                            "STERNA_MIN_PORT=", "STERNA_USER=a:b c\nd:e",
                            "STERNA_EXTERNAL_IP=192.0.2.1, 2001:db8::1");
    struct conf *conf = conf_fresh();

    (void)state;
    assert_int_equal(conf_load_env(conf, env), 0);
    assert_string_equal(conf->realm, "example.org");
    assert_int_equal(conf->listening_port, 5000);
    assert_true(conf->tlsv1_1);
    assert_false(conf->is_set[CONF_OPT_min_port]);
    assert_int_equal(conf->user.count, 2);
    assert_string_equal(conf->user.items[0].text, "a:b c");
    assert_int_equal(conf->external_ip.count, 2);
    assert_string_equal(conf->external_ip.items[1].text, "2001:db8::1");
    assert_string_equal(conf->external_ip.items[1].file, "environment");
    conf_assert_count(conf, CONF_WARNING, 0);
    conf_words_free(env);
    conf_unref(conf);
}

static void variable__that_is_wrong_is_told(void **state)
{
    char **env = CONF_WORDS("STERNA_LISTENING_PROT=1", "STERNA_MAX_PORT=x", "STERNA_STATE=/x",
                            "STERNA_", "STERNA_=1");
    struct conf *conf = conf_fresh();

    (void)state;
    assert_int_equal(conf_load_env(conf, env), -EINVAL);
    assert_int_equal(conf->finding_count, 2);
    conf_assert_finding(conf, CONF_WARNING, "is 'listening-port' meant?");
    conf_assert_finding(conf, CONF_ERROR, "'STERNA_MAX_PORT' wants a whole number");
    conf_words_free(env);
    conf_unref(conf);
}

static void source__command_line_beats_environment_beats_file(void **state)
{
    static const char file[] = "listening-port=1\nmin-port=2000\nmax-port=3000\nrealm=file\n"
                               "relay-ip=192.0.2.1\n";
    char **env =
        CONF_WORDS("STERNA_MIN_PORT=2001", "STERNA_MAX_PORT=3001", "STERNA_RELAY_IP=192.0.2.2");
    char **argv = CONF_WORDS("sterna", "--max-port=3002", "-E", "192.0.2.3");

    (void)state;
    for (int order = 0; order < 2; order++) { /* whatever is loaded first */
        struct conf *conf = conf_fresh();

        for (int step = 0; step < 3; step++) {
            const int part = order == 0 ? step : 2 - step;

            if (part == 0) {
                assert_int_equal(conf_load_memory(conf, "t.conf", file, sizeof(file) - 1), 0);
            } else if (part == 1) {
                assert_int_equal(conf_load_env(conf, env), 0);
            } else {
                assert_int_equal(conf_load_args(conf, 4, argv), 0);
            }
        }
        assert_int_equal(conf->listening_port, 1);
        assert_int_equal(conf->min_port, 2001);
        assert_int_equal(conf->max_port, 3002);
        assert_string_equal(conf->realm, "file");
        assert_int_equal(conf->relay_ip.count, 3); /* lists add up */
        assert_int_equal(conf->finding_count, 0);
        conf_unref(conf);
    }
    conf_words_free(env);
    conf_words_free(argv);
}

static void load__takes_all_sources(void **state)
{
    char path[] = "/tmp/sterna-conf-XXXXXX";
    char **missing = CONF_WORDS("sterna", "-c", "/nonexistent.conf");
    char **none = CONF_WORDS("sterna", "-n", "-f");
    const int fd = mkstemp(path); /* which makes the name */
    char **argv = CONF_WORDS("sterna", "-c", path, "--max-port=3002");
    struct conf *conf = conf_fresh();

    (void)state;
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "max-port=3000\nmin-port=2000\nrealm=x\n") > 0);
    assert_int_equal(setenv("STERNA_MIN_PORT", "2001", 1), 0);
    assert_int_equal(conf_load(conf, 4, argv), 0);
    assert_int_equal(conf->max_port, 3002);
    assert_int_equal(conf->min_port, 2001);
    assert_string_equal(conf->realm, "x");
    assert_string_equal(conf->main_file, path);
    assert_int_equal(conf_load(conf, 3, missing), -EINVAL);
    conf_unref(conf);
    conf = conf_fresh();
    assert_int_equal(conf_load(conf, 3, none), 0);
    assert_null(conf->main_file);
    assert_true(conf->fingerprint);
    conf_unref(conf);
    assert_int_equal(unsetenv("STERNA_MIN_PORT"), 0);
    assert_int_equal(remove(path), 0);
    conf_words_free(argv);
    conf_words_free(missing);
    conf_words_free(none);
}

static void variable__may_hold_endpoints_with_names(void **state)
{
    char **env = CONF_WORDS("STERNA_TLS_ALTERNATE_SERVER=192.0.2.1 a.example,192.0.2.2:443",
                            "STERNA_ALTERNATE_SERVER=192.0.2.3 192.0.2.4");
    struct conf *conf = conf_fresh();

    (void)state;
    assert_int_equal(conf_load_env(conf, env), 0);
    assert_int_equal(conf->tls_alternate_server.count, 2);
    assert_string_equal(conf->tls_alternate_server.items[0].text, "192.0.2.1 a.example");
    assert_string_equal(conf->tls_alternate_server.items[1].text, "192.0.2.2:443");
    assert_int_equal(conf->alternate_server.count, 2);
    conf_unref(conf);
    conf_words_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variable__gives_an_option),
        cmocka_unit_test(variable__that_is_wrong_is_told),
        cmocka_unit_test(source__command_line_beats_environment_beats_file),
        cmocka_unit_test(load__takes_all_sources),
        cmocka_unit_test(variable__may_hold_endpoints_with_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

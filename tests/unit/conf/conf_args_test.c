/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "conf/conf_table.h"
#include "conf_tests.h"

/* Load a command line and free it; returns what conf_load_args() does. */
static int args_load(struct conf *conf, char **argv)
{
    const int result = conf_load_args(conf, conf_words_count(argv), argv);

    conf_words_free(argv);
    return result;
}

#define LOAD(conf, ...) args_load((conf), CONF_WORDS("sterna", __VA_ARGS__))

static void long_option__takes_its_value_joined_or_next(void **state)
{
    struct conf *conf = conf_fresh();

    (void)state;
    assert_int_equal(LOAD(conf, "--listening-port=5000", "--min-port", "2000", "--fingerprint",
                          "--no-tcp=no", "--relay-ip", "192.0.2.1", "--relay-ip=192.0.2.2"),
                     0);
    assert_int_equal(conf->listening_port, 5000);
    assert_int_equal(conf->min_port, 2000);
    assert_true(conf->fingerprint);
    assert_false(conf->no_tcp);
    assert_true(conf->is_set[CONF_OPT_no_tcp]);
    assert_int_equal(conf->relay_ip.count, 2);
    assert_int_equal(conf->relay_ip.items[1].line, 8);
    assert_int_equal(conf->finding_count, 0);
    conf_unref(conf);
}

static void letters__are_bundled(void **state)
{
    struct conf *conf = conf_fresh();

    (void)state;
    assert_int_equal(LOAD(conf, "-afv", "-p5000", "-r", "north.gov", "-zL", "127.0.0.1", "-A",
                          "keep", "-K", "yes"),
                     0);
    assert_true(conf->lt_cred_mech);
    assert_true(conf->fingerprint);
    assert_true(conf->verbose);
    assert_int_equal(conf->listening_port, 5000);
    assert_string_equal(conf->realm, "north.gov");
    assert_true(conf->no_auth);
    assert_string_equal(conf->listening_ip.items[0].text, "127.0.0.1");
    assert_int_equal(conf->allocation_default_address_family, CONF_FAMILY_KEEP);
    assert_true(conf->keep_address_family);
    assert_int_equal(conf->finding_count, 0);
    assert_int_equal(LOAD(conf, "-p=5001"), 0);
    assert_int_equal(conf->listening_port, 5001);
    conf_assert_finding(conf, CONF_WARNING, "the '=' behind -p is left out");
    conf_unref(conf);
}

static void value__may_be_left_out_where_coturn_says_so(void **state)
{
    struct conf *conf = conf_fresh();

    (void)state;
    assert_int_equal(
        LOAD(conf, "--stale-nonce", "--max-allocate-lifetime", "700", "--channel-lifetime=900"), 0);
    assert_int_equal(conf->stale_nonce, 600);
    assert_int_equal(conf->max_allocate_lifetime, 700);
    assert_int_equal(conf->channel_lifetime, 900);
    conf_unref(conf);
}

static void name__may_be_shortened_when_unambiguous(void **state)
{
    struct conf *conf = conf_fresh();

    (void)state;
    assert_int_equal(LOAD(conf, "--lt-cred", "--external=192.0.2.1"), 0);
    assert_true(conf->lt_cred_mech);
    assert_int_equal(conf->external_ip.count, 1);
    assert_int_equal(LOAD(conf, "--listening=1"), -EINVAL);
    conf_assert_finding(conf, CONF_ERROR, "--listening may mean several options");
    conf_unref(conf);
}

static void mistake__is_an_error(void **state)
{
    struct conf *conf = conf_fresh();

    (void)state;
    assert_int_equal(LOAD(conf, "--listning-port=1"), -EINVAL);
    conf_assert_finding(conf, CONF_ERROR, "no option --listning-port; is --listening-port meant?");
    assert_int_equal(LOAD(conf, "-Z"), -EINVAL);
    conf_assert_finding(conf, CONF_ERROR, "there is no option -Z");
    assert_int_equal(LOAD(conf, "--denied-peer-ip", "192.0.2.0/24", "198.51.100.0/24"), -EINVAL);
    conf_assert_finding(conf, CONF_ERROR, "'198.51.100.0/24' is no option");
    assert_int_equal(LOAD(conf, "--min-port=80"), -EINVAL);
    assert_string_equal(conf->findings[conf->finding_count - 1].file, "command line");
    assert_int_equal(LOAD(conf, "--realm"), -EINVAL);
    conf_assert_finding(conf, CONF_ERROR, "'--realm' needs a value");
    assert_int_equal(LOAD(conf, "-c"), -EINVAL);
    assert_int_equal(LOAD(conf, "--"), 0);
    assert_int_equal(LOAD(conf, "--", "-v"), -EINVAL);
    assert_false(conf->verbose);
    conf_unref(conf);
}

static void secret__on_the_command_line_is_told_and_not_shown(void **state)
{
    struct conf *conf = conf_fresh();

    (void)state;
    assert_int_equal(LOAD(conf, "--static-auth-secret=hushhush", "-u", "hushhush"), -EINVAL);
    conf_assert_finding(conf, CONF_WARNING, "list of processes");
    assert_null(conf_finding_with(conf, "hushhush"));
    assert_string_equal(conf->static_auth_secret.items[0].text, "hushhush");
    conf_unref(conf);
}

static void scan__finds_requests(void **state)
{
    char **argv = CONF_WORDS("turnserver", "-vc", "a.conf", "--realm", "-h", "--version");
    char **argv2 = CONF_WORDS("turnserver", "-n", "--config=b.conf", "--help", "--bogus");
    struct conf_request request;

    (void)state;
    conf_args_scan(6, argv, &request);
    assert_string_equal(request.file, "a.conf");
    assert_true(request.version);
    assert_false(request.help); /* it is the value of --realm */
    assert_false(request.no_file);
    conf_args_scan(5, argv2, &request);
    assert_string_equal(request.file, "b.conf");
    assert_true(request.no_file);
    assert_true(request.help);
    assert_false(request.version);
    conf_words_free(argv);
    conf_words_free(argv2);
}

/* A value that each type takes. */
static const char *value_for(const struct conf_option *option, char buf[32])
{
    switch (option->type) {
    case CONF_TYPE_flag:
        return "on";
    case CONF_TYPE_u32:
    case CONF_TYPE_u64:
        (void)snprintf(buf, 32, "%llu", (unsigned long long)option->max);
        return buf;
    case CONF_TYPE_choice:
        assert_true(conf_choice_word(option, 1, buf));
        return buf;
    case CONF_TYPE_text:
        return "x";
    case CONF_TYPE_list_text:
        return "secret";
    case CONF_TYPE_list_addr:
        return "2001:db8::1";
    case CONF_TYPE_list_endpoint:
        return "[2001:db8::1]:3479";
    case CONF_TYPE_list_range:
        return "192.0.2.0/24";
    case CONF_TYPE_list_external:
        return "198.51.100.1/10.0.0.1";
    case CONF_TYPE_list_user:
        return "a:b";
    case CONF_TYPE_list_prefix:
        return "64:ff9b:1::/48";
    case CONF_TYPE_none:
        return "anything";
    }
    return NULL;
}

static void give_both_ways(const char *name, const struct conf_option *option, enum conf_opt opt)
{
    struct conf *from_file = conf_fresh();
    struct conf *from_args = conf_fresh();
    char buf[32];
    char line[128];

    (void)snprintf(line, sizeof(line), "%s=%s", name, value_for(option, buf));
    if (conf_load_memory(from_file, "t.conf", line, strlen(line)) != 0) {
        fail_msg("%s: %s", line, from_file->findings[0].text);
    }
    (void)snprintf(line, sizeof(line), "--%s=%s", name, value_for(option, buf));
    if (LOAD(from_args, line) != 0) {
        fail_msg("%s: %s", line, from_args->findings[0].text);
    }
    assert_true(from_file->is_set[opt]);
    assert_true(from_args->is_set[opt]);
    conf_unref(from_file);
    conf_unref(from_args);
}

static void every_option__is_taken_from_file_and_command_line(void **state)
{
    (void)state;
    for (int i = 0; i < CONF_OPTIONS; i++) {
        give_both_ways(conf_options[i].name, &conf_options[i], (enum conf_opt)i);
    }
    for (size_t i = 0; i < conf_alias_count; i++) {
        const enum conf_opt opt = conf_aliases[i].opt;

        give_both_ways(conf_aliases[i].name, &conf_options[opt], opt);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_option__takes_its_value_joined_or_next),
        cmocka_unit_test(letters__are_bundled),
        cmocka_unit_test(value__may_be_left_out_where_coturn_says_so),
        cmocka_unit_test(name__may_be_shortened_when_unambiguous),
        cmocka_unit_test(mistake__is_an_error),
        cmocka_unit_test(secret__on_the_command_line_is_told_and_not_shown),
        cmocka_unit_test(scan__finds_requests),
        cmocka_unit_test(every_option__is_taken_from_file_and_command_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

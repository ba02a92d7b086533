/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_options.h"

#include <string.h>

#include "check.h"
#include "cmd/exit_code.h"

enum { ARGS = 24 };

static struct bench_plan plan;
static char storage[ARGS][256];

/* Parse these words (up to NULL); options are blotted out in place, so they are copied. */
static int parse(const char *const *words)
{
    char *argv[ARGS + 1] = {storage[0]};
    int argc = 1;

    strcpy(storage[0], "bench");
    for (; words[argc - 1] != NULL && argc < ARGS; argc++) {
        strcpy(storage[argc], words[argc - 1]);
        argv[argc] = storage[argc];
    }
    return bench_options_parse(argc, argv, &plan);
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static void nothing__is_said_gives_the_defaults(void **state)
{
    (void)state;
    assert_int_equal(PARSE("turn.example.org"), CMD_OK);
    assert_string_equal(plan.target.host, "turn.example.org");
    assert_int_equal(plan.target.port, 3478);
    assert_int_equal(plan.setup.transport, BENCH_UDP);
    assert_int_equal(plan.setup.mix, BENCH_AUDIO);
    assert_int_equal(plan.setup.clients, 100);
    assert_true(plan.setup.way[BENCH_UP] && plan.setup.way[BENCH_DOWN]);
    assert_int_equal(plan.setup.duration_s, 10);
    assert_int_equal(plan.setup.outstanding, 64);
    assert_int_equal(plan.setup.window, 256);
    assert_false(plan.setup.indications);
    assert_true(plan.max_loss < 0 && plan.max_p99_ms < 0);
    assert_string_equal(plan.setup.command, "sterna bench turn.example.org");
}

static void all__options_are_taken(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-c", "5", "--direction=up", "--rate", "2.5k", "--payload=100",
                           "--duration", "60", "--ramp", "1.5", "--outstanding", "8", "--window",
                           "99", "--indications", "--peers", "3", "-q", "--pid", "1", "--pid", "2",
                           "h:5"),
                     CMD_OK);
    assert_int_equal(plan.setup.clients, 5);
    assert_true(plan.setup.way[BENCH_UP] && !plan.setup.way[BENCH_DOWN]);
    assert_true(plan.setup.tick_s > 0.000399 && plan.setup.tick_s < 0.000401);
    assert_int_equal(plan.setup.packet_bytes, 100);
    assert_int_equal(plan.setup.duration_s, 60);
    assert_true(plan.setup.ramp_s > 1.4 && plan.setup.ramp_s < 1.6);
    assert_int_equal(plan.setup.outstanding, 8);
    assert_int_equal(plan.setup.window, 99);
    assert_int_equal(plan.setup.peer_sockets, 3);
    assert_true(plan.setup.indications && plan.quiet);
    assert_int_equal(plan.pid_count, 2);
    assert_int_equal(plan.pids[1], 2);
    assert_int_equal(plan.target.port, 5);
}

static void limits__and_files_are_taken(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--max-loss", "0", "--max-p99", "12.5", "--json", "-", "--report",
                           "r.html", "--timeout", "3", "--grain", "200", "-6", "h"),
                     CMD_OK);
    assert_true(plan.max_loss >= 0 && plan.max_loss < 0.001);
    assert_true(plan.max_p99_ms > 12.4 && plan.max_p99_ms < 12.6);
    assert_string_equal(plan.json, "-");
    assert_string_equal(plan.report, "r.html");
    assert_int_equal(plan.timeout_s, 3);
    assert_int_equal(plan.grain_us, 200);
    assert_int_equal(plan.family, NET_V6);
}

static void targets__say_the_transport(void **state)
{
    static const struct {
        const char *text;
        enum bench_transport transport;
        uint16_t port;
    } cases[] = {
        {"turn:h", BENCH_UDP, 3478},
        {"TURN:h:9?transport=udp", BENCH_UDP, 9},
        {"turn:h?transport=tcp", BENCH_TCP, 3478},
        {"turns:h", BENCH_TLS, 5349},
        {"turns:h:443?transport=tcp", BENCH_TLS, 443},
        {"turns:[2001:db8::1]:443", BENCH_TLS, 443},
        {"2001:db8::1", BENCH_UDP, 3478},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(PARSE(cases[i].text), CMD_OK);
        assert_int_equal(plan.setup.transport, cases[i].transport);
        assert_int_equal(plan.target.port, cases[i].port);
    }
    assert_int_equal(PARSE("-t", "tls", "h"), CMD_OK);
    assert_int_equal(plan.target.port, 5349);
    assert_int_equal(PARSE("--transport", "udp", "turns:h"), CMD_OK);
    assert_int_equal(plan.setup.transport, BENCH_UDP);
}

static void sources__are_addresses_or_ranges(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--source", "127.1.0.0/16", "h"), CMD_OK);
    assert_true(plan.has_source);
    assert_int_equal(plan.source_bits, 16);
    assert_int_equal(PARSE("--source", "192.0.2.1", "h"), CMD_OK);
    assert_int_equal(plan.source_bits, 32);
    assert_int_equal(PARSE("--source", "2001:db8::/64", "h"), CMD_OK);
    assert_int_equal(plan.source_bits, 64);
    for (const char *const *bad = (const char *const[]){"x", "127.0.0.1/33", "127.0.0.1/",
                                                        "::1/129", "/8", "1.2.3.4/-1", NULL};
         *bad != NULL; bad++) {
        assert_int_equal(PARSE("--source", *bad, "h"), CMD_USAGE);
    }
}

static void numbers__out_of_range_are_refused(void **state)
{
    static const char *const bad[][2] = {
        {"--clients", "0"},        {"--clients", "50001"},  {"--clients", "1.5"},
        {"--clients", "ten"},      {"--clients", ""},       {"--clients", "-1"},
        {"--clients", "0x10"},     {"--clients", "1e3"},    {"--rate", "inf"},
        {"--rate", "nan"},         {"--rate", "0"},         {"--rate", "5kk"},
        {"--duration", "3601"},    {"--duration", "0"},     {"--payload", "19"},
        {"--payload", "8193"},     {"--burst", "0"},        {"--window", "0"},
        {"--max-loss", "101"},     {"--timeout", "61"},     {"--pid", "0"},
        {"--pid", "99999999999"},  {"--grain", "1"},        {"--peers", "65"},
        {"--ramp", "-1"},          {"--fps", "0"},          {"--bitrate", "1T"},
        {"--mix", "noise"},        {"--transport", "sctp"}, {"--direction", "left"},
        {"--peer-address", "h:1"}, {"--separator", "::"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        if (PARSE(bad[i][0], bad[i][1], "h") != CMD_USAGE) {
            fail_msg("%s %s was taken", bad[i][0], bad[i][1]);
        }
    }
}

static void lines__that_make_no_sense_are_refused(void **state)
{
    (void)state;
    assert_int_equal(parse((const char *const[]){NULL}), CMD_USAGE);
    assert_int_equal(PARSE("a", "b"), CMD_USAGE);
    assert_int_equal(PARSE("--no-such-option", "h"), CMD_USAGE);
    assert_int_equal(PARSE("h", "--rate"), CMD_USAGE);
    assert_int_equal(PARSE("--ca", "x", "h"), CMD_USAGE);
    assert_int_equal(PARSE("--insecure", "h"), CMD_USAGE);
    assert_int_equal(PARSE("--flat", "--window", "3", "--burst", "4", "h"), CMD_USAGE);
    assert_int_equal(PARSE("-u", "alice", "h"), CMD_USAGE);
    assert_int_equal(PARSE("--password-stdin", "h"), CMD_USAGE);
    assert_int_equal(PARSE("--mix", "alloc", "--rate", "5", "h"), CMD_USAGE);
    assert_int_equal(PARSE("turn:h?transport=sctp"), CMD_USAGE);
    assert_int_equal(PARSE("h:0"), CMD_USAGE);
}

static void pairs__have_no_other_peers(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--pairs", "h"), CMD_OK);
    assert_true(plan.setup.pairs && plan.setup.way[BENCH_UP] && !plan.setup.way[BENCH_DOWN]);
    assert_int_equal(PARSE("--pairs", "-c", "3", "h"), CMD_USAGE);
    assert_int_equal(PARSE("--pairs", "--direction", "up", "h"), CMD_USAGE);
    assert_int_equal(PARSE("--pairs", "--peer-address", "1.2.3.4", "h"), CMD_USAGE);
    assert_int_equal(PARSE("--pairs", "--mix", "alloc", "h"), CMD_USAGE);
}

static void storms__have_more_clients_and_no_direction(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--mix", "alloc", "h"), CMD_OK);
    assert_int_equal(plan.setup.clients, 1000);
    assert_false(plan.setup.way[BENCH_UP] || plan.setup.way[BENCH_DOWN]);
    assert_int_equal(PARSE("--mix", "alloc", "--clients", "7", "h"), CMD_OK);
    assert_int_equal(plan.setup.clients, 7);
}

static void passwords__do_not_stay_in_the_command_line(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-u", "alice", "-w", "wonderland", "h"), CMD_OK);
    assert_string_equal(plan.login.password, "wonderland");
    assert_null(strstr(plan.setup.command, "wonderland"));
    assert_null(strstr(storage[4], "wonderland"));
}

static void command_lines__longer_than_the_record_are_cut(void **state)
{
    char user[200];

    (void)state;
    memset(user, 'u', sizeof(user) - 1);
    user[sizeof(user) - 1] = '\0';
    assert_int_equal(PARSE("--json", user, "--report", user, "--ca", user, "-t", "tls", "h"),
                     CMD_OK);
    assert_int_equal(strlen(plan.setup.command), BENCH_WHY - 1);
}

static void help__needs_no_server(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--help"), CMD_OK);
    assert_true(plan.help);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing__is_said_gives_the_defaults),
        cmocka_unit_test(all__options_are_taken),
        cmocka_unit_test(limits__and_files_are_taken),
        cmocka_unit_test(targets__say_the_transport),
        cmocka_unit_test(sources__are_addresses_or_ranges),
        cmocka_unit_test(numbers__out_of_range_are_refused),
        cmocka_unit_test(lines__that_make_no_sense_are_refused),
        cmocka_unit_test(pairs__have_no_other_peers),
        cmocka_unit_test(storms__have_more_clients_and_no_direction),
        cmocka_unit_test(passwords__do_not_stay_in_the_command_line),
        cmocka_unit_test(command_lines__longer_than_the_record_are_cut),
        cmocka_unit_test(help__needs_no_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

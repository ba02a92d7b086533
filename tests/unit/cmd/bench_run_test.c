/* SPDX-License-Identifier: Apache-2.0 */
/* The engine where there is no server, or no memory; what it does with one is tested with real ones
 * (tests/system/test_bench.py). */
#include "cmd/bench_run.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "check.h"
#include "cmd/bench_options.h"
#include "cmd/bench_result.h"
#include "cmd/bench_socket.h"
#include "cmd/exit_code.h"

enum { TRIES_MAX = 200 };

static struct bench_plan plan;
static struct bench_result result;

/* A port of ours that nobody listens on. */
static struct net_addr closed_port(void)
{
    struct bench_socket s;
    struct bench_socket_options options = {0};

    assert_int_equal(net_addr_parse("127.0.0.1", 0, &options.local), 0);
    assert_int_equal(bench_socket_open(&options, 0, &s), 0);
    const struct net_addr addr = s.local;
    bench_socket_close(&s);
    return addr;
}

static void run(const char *option, const char *value)
{
    char words[4][32];
    char *argv[] = {words[0], words[1], words[2], words[3]};

    snprintf(words[0], sizeof(words[0]), "bench");
    snprintf(words[1], sizeof(words[1]), "%s", option);
    snprintf(words[2], sizeof(words[2]), "%s", value);
    snprintf(words[3], sizeof(words[3]), "127.0.0.1");
    assert_int_equal(bench_options_parse(4, argv, &plan), CMD_OK);
    plan.server = closed_port();
    memset(&result, 0, sizeof(result));
    result.setup = plan.setup;
    bench_run(&plan, &result, NULL);
}

static void nobody__there_is_told_at_once(void **state)
{
    static const char *const transports[] = {"udp", "tcp"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(transports); i++) {
        run("--transport", transports[i]);
        assert_false(result.ok);
        assert_true(strstr(result.why, "obody listens") != NULL);
        assert_int_equal(result.alloc.ready, 0);
        assert_int_equal(result.series_count, 0);
        bench_result_fini(&result);
    }
}

static void nobody__there_for_clients_that_share_a_socket(void **state)
{
    (void)state;
    run("--source", "127.99.0.0/16");
    assert_false(result.ok);
    assert_non_null(strstr(result.why, "nobody listens"));
    assert_int_equal(result.setup.client_sockets, 1);
    bench_result_fini(&result);
}

static void storms__where_nobody_is_end_early(void **state)
{
    (void)state;
    run("--mix", "alloc");
    assert_false(result.ok);
    assert_true(result.load_s < 9);
    bench_result_fini(&result);
}

static void addresses__of_others_are_refused(void **state)
{
    (void)state;
    run("--peer-address", "192.0.2.77");
    assert_false(result.ok);
    assert_non_null(strstr(result.why, "--peer-address"));
    bench_result_fini(&result);
}

static void memory__that_is_lacking_is_told(void **state)
{
    (void)state;
#ifdef STERNA_FAULT_INJECTION
    int n = 0;
    for (; n < TRIES_MAX; n++) {
        mem_fail_at(n);
        run("--clients", "3");
        mem_fail_at(-1);
        assert_false(result.ok);
        assert_true(result.why[0] != '\0');
        const bool passed = strstr(result.why, "obody listens") != NULL;
        bench_result_fini(&result);
        if (passed) {
            break;
        }
    }
    assert_in_range(n, 1, TRIES_MAX - 1);
#else
    CHECK_SKIP("built without fault injection");
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody__there_is_told_at_once),
        cmocka_unit_test(nobody__there_for_clients_that_share_a_socket),
        cmocka_unit_test(storms__where_nobody_is_end_early),
        cmocka_unit_test(addresses__of_others_are_refused),
        cmocka_unit_test(memory__that_is_lacking_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_json.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "cmd/bench_result.h"

static struct bench_result result;

/* Write and read back. */
static json_t *round_trip(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    json_error_t error;

    assert_non_null(out);
    assert_int_equal(bench_json_write(&result, out), 0);
    assert_int_equal(fclose(out), 0);
    json_t *object = json_loads(text, 0, &error);
    if (object == NULL) {
        fail_msg("%s in %s", error.text, text);
    }
    free(text);
    return object;
}

static json_int_t integer_at(json_t *object, const char *outer, const char *inner)
{
    return json_integer_value(json_object_get(json_object_get(object, outer), inner));
}

static void results__of_nothing_are_whole(void **state)
{
    (void)state;
    memset(&result, 0, sizeof(result));
    json_t *object = round_trip();
    assert_true(json_is_false(json_object_get(object, "ok")));
    assert_int_equal(integer_at(object, "up", "received"), 0);
    assert_true(json_is_null(json_object_get(json_object_get(object, "cpu"), "server_s")));
    assert_int_equal(json_array_size(json_object_get(object, "series")), 0);
    json_decref(object);
}

static void results__keep_their_figures(void **state)
{
    struct bench_second series[2] = {{.length_s = 1, .way[BENCH_UP] = {.sent = 5, .lost = -2}},
                                     {.start_s = 1, .length_s = 0.5}};

    (void)state;
    memset(&result, 0, sizeof(result));
    result.ok = true;
    result.load_s = 2;
    result.way[BENCH_DOWN].sent = 200;
    result.way[BENCH_DOWN].received = 150;
    result.way[BENCH_DOWN].lost = 50;
    histogram_add(&result.way[BENCH_DOWN].latency, 20);
    result.cpu.has_server = true;
    result.cpu.pids[0] = 42;
    result.cpu.pid_count = 1;
    result.caveats = BENCH_CAVEAT_PACE | BENCH_CAVEAT_PARTIAL;
    result.series = series;
    result.series_count = 2;
    json_t *object = round_trip();
    json_t *down = json_object_get(object, "down");
    assert_int_equal(integer_at(object, "down", "lost"), 50);
    assert_int_equal(integer_at(down, "latency", "p99_us"), 20);
    assert_true(json_real_value(json_object_get(down, "loss_percent")) > 24.9);
    assert_true(json_real_value(json_object_get(down, "packets_per_s")) > 74.9);
    assert_int_equal(json_array_size(json_object_get(object, "caveats")), 2);
    json_t *seconds = json_object_get(object, "series");
    assert_int_equal(json_array_size(seconds), 2);
    assert_int_equal(integer_at(json_array_get(seconds, 0), "up", "lost"), -2);
    json_decref(object);
}

static void texts__of_any_bytes_do_not_break_it(void **state)
{
    (void)state;
    memset(&result, 0, sizeof(result));
    strcpy(result.setup.user, "al\xff\xfeice");
    strcpy(result.why, "\"quoted\"\n\\ \x01");
    json_t *object = round_trip();
    assert_string_equal(json_string_value(json_object_get(object, "why")), "\"quoted\"\n\\ \x01");
    assert_non_null(json_string_value(json_object_get(json_object_get(object, "setup"), "user")));
    json_decref(object);
}

static void files__that_are_full_are_told(void **state)
{
    FILE *out = fopen("/dev/full", "w");

    (void)state;
    memset(&result, 0, sizeof(result));
    assert_non_null(out);
    assert_int_equal(bench_json_write(&result, out), -EIO);
    (void)fclose(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results__of_nothing_are_whole),
        cmocka_unit_test(results__keep_their_figures),
        cmocka_unit_test(texts__of_any_bytes_do_not_break_it),
        cmocka_unit_test(files__that_are_full_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

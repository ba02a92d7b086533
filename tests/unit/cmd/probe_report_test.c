/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_report.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

static char *text;
static size_t size;
static FILE *out;

static int open_memory(void **state)
{
    (void)state;
    out = open_memstream(&text, &size);
    return out == NULL ? -1 : 0;
}

static int close_memory(void **state)
{
    (void)state;
    fclose(out);
    free(text);
    return 0;
}

static void add(struct probe_report *report, const char *step, enum probe_mark mark,
                const char *advice, const char *words)
{
    struct probe_note note;

    probe_note_init(&note);
    note.took_us = 1234;
    probe_note_count(&note, "code", 401);
    probe_note_text(&note, "realm", bytes_of("a\"b\n\x1b[31m"));
    probe_note_say(&note, mark, advice, "%s", words);
    probe_report_add(report, step, &note);
    probe_note_fini(&note);
}

static struct probe_report *filled(bool json)
{
    struct probe_report *report = probe_report_new(out, json, "192.0.2.1:3478");

    assert_non_null(report);
    add(report, "binding", PROBE_OK, NULL, "seen");
    add(report, "allocate", PROBE_FAILED, "wrong password", "401");
    add(report, "channels", PROBE_SKIPPED, NULL, "no permissions");
    add(report, "echo", PROBE_SKIPPED, NULL, "no channels");
    add(report, "refresh 0", PROBE_WARNING, NULL, "late");
    assert_int_equal(probe_report_failed(report), 1);
    assert_int_equal(probe_report_end(report), 0);
    return report;
}

static void lines__one_a_step_and_what_to_do(void **state)
{
    (void)state;
    probe_report_free(filled(false));
    assert_string_equal(text, "probing 192.0.2.1:3478\n"
                              "ok       binding              1.2 ms  seen\n"
                              "FAILED   allocate             1.2 ms  401\n"
                              "         -> wrong password\n"
                              "skipped  channels, echo: no permissions\n"
                              "warning  refresh 0            1.2 ms  late\n"
                              "1 ok, 1 warning, 1 failed, 2 skipped\n");
}

static void json__holds_every_step_and_value(void **state)
{
    (void)state;
    probe_report_free(filled(true));
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    assert_string_equal(json_string_value(json_object_get(root, "server")), "192.0.2.1:3478");
    assert_true(json_is_false(json_object_get(root, "ok")));
    json_t *steps = json_object_get(root, "steps");
    assert_int_equal(json_array_size(steps), 5);
    json_t *step = json_array_get(steps, 1);
    assert_string_equal(json_string_value(json_object_get(step, "step")), "allocate");
    assert_string_equal(json_string_value(json_object_get(step, "result")), "failed");
    assert_string_equal(json_string_value(json_object_get(step, "advice")), "wrong password");
    json_t *values = json_object_get(step, "values");
    assert_int_equal(json_integer_value(json_object_get(values, "code")), 401);
    assert_null(json_object_get(json_array_get(steps, 2), "ms"));
    json_decref(root);
}

/* A server's realm must not drive the terminal of whoever probes it. */
static void shown__has_no_control_characters(void **state)
{
    uint8_t all[256];

    (void)state;
    for (size_t i = 0; i < sizeof(all); i++) {
        all[i] = (uint8_t)i;
    }
    const struct probe_shown shown = probe_shown_of((struct bytes){all, sizeof(all)});
    for (const char *c = shown.text; *c != '\0'; c++) {
        assert_true(*c >= 0x20 && *c != 0x7f);
    }
    memset(all, 0x01, sizeof(all));
    assert_int_equal(strlen(probe_shown_of((struct bytes){all, sizeof(all)}).text),
                     4 * PROBE_SHOWN_MAX);
    assert_string_equal(probe_shown_of((struct bytes){NULL, 0}).text, "");
}

static void spread__is_exact(void **state)
{
    uint64_t odd[] = {3000, 1000, 2000};
    uint64_t even[] = {4000, 1000, 2000, 3000};
    uint64_t one[] = {500};

    (void)state;
    struct probe_spread s = probe_spread_of(odd, COUNT_OF(odd));
    assert_true(s.min_ms == 1.0 && s.median_ms == 2.0 && s.max_ms == 3.0);
    s = probe_spread_of(even, COUNT_OF(even));
    assert_true(s.min_ms == 1.0 && s.median_ms == 2.5 && s.max_ms == 4.0);
    s = probe_spread_of(one, COUNT_OF(one));
    assert_true(s.min_ms == 0.5 && s.median_ms == 0.5 && s.max_ms == 0.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines__one_a_step_and_what_to_do, open_memory,
                                        close_memory),
        cmocka_unit_test_setup_teardown(json__holds_every_step_and_value, open_memory,
                                        close_memory),
        cmocka_unit_test(shown__has_no_control_characters),
        cmocka_unit_test(spread__is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

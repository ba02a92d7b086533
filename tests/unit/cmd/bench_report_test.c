/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_report.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "check.h"
#include "cmd/bench_report_int.h"

static char folder[] = "/tmp/sterna-report-XXXXXX";
static char path[64];
static char why[256];
static struct bench_result *result;

/* --- results to be shown --- */

static void set_second(struct bench_second *second, size_t i)
{
    *second = (struct bench_second){
        .start_s = (double)i, .length_s = 1, .server_cpu_s = 0.5, .own_cpu_s = 0.1};
    for (enum bench_way way = BENCH_UP; way < BENCH_WAYS; way++) {
        second->way[way] = (struct bench_second_flow){.sent = 1000 + i,
                                                      .received = 1000,
                                                      .received_bytes = 172000,
                                                      .lost = (int64_t)i,
                                                      .p50_us = 100 + i,
                                                      .p99_us = 400 + 10 * i,
                                                      .max_us = 2000};
    }
}

static void set_flow(struct bench_flow_total *flow)
{
    flow->sent = 10045;
    flow->received = 10000;
    flow->received_bytes = 1720000;
    flow->lost = 45;
    for (unsigned i = 0; i < 10000; i++) {
        histogram_add(&flow->latency, 100 + i / 10);
    }
}

static void set_series(size_t count)
{
    free(result->series);
    result->series = mem_new(count + 1, sizeof(result->series[0]));
    assert_non_null(result->series);
    result->series_count = count;
    for (size_t i = 0; i < count; i++) {
        set_second(&result->series[i], i);
    }
}

static int setup(void **state)
{
    (void)state;
    result = mem_new(1, sizeof(*result));
    if (result == NULL || mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(path, sizeof(path), "%s/report.html", folder);
    return 0;
}

/* A run of ten seconds, in both directions. */
static int fill(void **state)
{
    (void)state;
    free(result->series);
    *result = (struct bench_result){.load_s = 10, .ok = true};
    strcpy(result->setup.target, "turn:turn.example.org");
    strcpy(result->date, "2026-11-21T12:00:00Z");
    result->setup.mix = BENCH_AUDIO;
    result->setup.clients = 1000;
    for (enum bench_way way = BENCH_UP; way < BENCH_WAYS; way++) {
        result->setup.way[way] = true;
        set_flow(&result->way[way]);
    }
    result->cpu = (struct bench_cpu){.has_server = true,
                                     .pids = {4711},
                                     .pid_count = 1,
                                     .server_s = 5,
                                     .own_s = 1,
                                     .server_us_per_packet = 2.5,
                                     .own_us_per_packet = 0.5};
    set_series(10);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    rmdir(folder);
    free(result->series);
    free(result);
    return 0;
}

/* --- looking at a page --- */

static char *file_read(void)
{
    FILE *file = fopen(path, "r");
    char *text = NULL;
    size_t cap = 0;

    assert_non_null(file);
    assert_true(getdelim(&text, &cap, '\0', file) > 0); /* a page holds no zero byte */
    fclose(file);
    return text;
}

static bool is_void_element(const char *name)
{
    return strcmp(name, "meta") == 0 || strcmp(name, "link") == 0;
}

/* Every element that is opened is closed in turn; `text` begins behind the document type. */
static void assert_balanced(const char *text)
{
    enum { DEPTH_MAX = 32, NAME_MAX_LEN = 16 };

    char stack[DEPTH_MAX][NAME_MAX_LEN];
    size_t depth = 0;

    for (const char *c = strchr(text, '<'); c != NULL; c = strchr(c, '<')) {
        const bool closes = *++c == '/';
        char name[NAME_MAX_LEN] = "";
        size_t n = 0;
        for (c += closes; isalnum((unsigned char)*c) && n + 1 < sizeof(name); c++) {
            name[n++] = *c;
        }
        const char *const end = strchr(c, '>');
        assert_non_null(end);
        if (closes) {
            assert_true(depth > 0);
            assert_string_equal(name, stack[--depth]);
        } else if (end[-1] != '/' && !is_void_element(name)) {
            assert_true(depth < DEPTH_MAX);
            memcpy(stack[depth++], name, sizeof(name));
        }
        c = end;
    }
    assert_int_equal(depth, 0);
}

/* The page of `result`, which is whole, needs nothing else and holds only numbers. */
static char *page(void)
{
    static const char *const never[] = {"<script", "http:", "https:", "src=",  "url(",
                                        "@import", "nan",   "inf",    "(null", "-0.0\""};
    static const char doctype[] = "<!DOCTYPE html>";

    assert_int_equal(bench_report_write(result, path, why, sizeof(why)), 0);
    char *text = file_read();
    assert_memory_equal(text, doctype, strlen(doctype));
    assert_balanced(text + strlen(doctype));
    for (size_t i = 0; i < COUNT_OF(never); i++) {
        assert_null(strstr(text, never[i]));
    }
    return text;
}

static void assert_in_page(const char *const *expected, size_t n)
{
    char *text = page();

    for (size_t i = 0; i < n; i++) {
        if (strstr(text, expected[i]) == NULL) {
            print_error("not in the page: %s\n", expected[i]);
        }
        assert_non_null(strstr(text, expected[i]));
    }
    free(text);
}

/* --- the page --- */

static void page__begins_with_the_headline(void **state)
{
    static const char *const expected[] = {
        "<h1>turn:turn.example.org</h1>",
        "1,000 clients over UDP",
        "<data id=\"up-packets-per-s\" value=\"1000\">1,000</data>",
        "<data id=\"down-mbit-per-s\" value=\"1.376\">1.4</data>",
        "<data id=\"up-loss-percent\" value=\"0.44798407",
        "<data id=\"up-lost\" value=\"45\">45</data> of 10,045",
        "<data id=\"down-p50-us\" value=\"607\">607",
        "<data id=\"down-p999-us\" value=\"1099\">1.10",
        "<data id=\"server-us\" value=\"2.5\">2.50",
        "<data id=\"own-us\" value=\"0.5\">0.50",
    };

    (void)state;
    assert_in_page(expected, COUNT_OF(expected));
}

static void page__has_every_plot_once(void **state)
{
    static const char *const ids[] = {"rate-up",    "rate-down",    "lost-up",   "lost-down",
                                      "latency-up", "latency-down", "spread-up", "spread-down",
                                      "tail",       "cpu"};
    char *text = page();
    char figure[64];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        snprintf(figure, sizeof(figure), "<figure id=\"%s\">", ids[i]);
        const char *first = strstr(text, figure);
        assert_non_null(first);
        assert_null(strstr(first + 1, figure));
    }
    assert_null(strstr(text, "<figure id=\"cycles\">"));
    free(text);
}

static void page__leaves_out_what_was_not_measured(void **state)
{
    (void)state;
    result->setup.way[BENCH_DOWN] = false;
    result->cpu.has_server = false;
    for (size_t i = 0; i < result->series_count; i++) {
        result->series[i].way[BENCH_UP].lost = 0;
    }
    char *text = page();
    assert_null(strstr(text, "id=\"down-"));
    assert_null(strstr(text, "<figure id=\"lost-up\">"));
    assert_null(strstr(text, "id=\"server-us\""));
    assert_non_null(strstr(text, "--pid"));
    free(text);
}

static void page__of_cycles(void **state)
{
    static const char *const expected[] = {
        "<data id=\"cycles-per-s\" value=\"500\">500</data>",
        "<data id=\"cycle-p50-us\" value=\"1000\">1.00",
        "<data id=\"refused\" value=\"3\">3</data>",
        "<figure id=\"cycles\">",
        "<figure id=\"spread-cycles\">",
    };

    (void)state;
    result->setup.mix = BENCH_ALLOC;
    result->setup.way[BENCH_UP] = result->setup.way[BENCH_DOWN] = false;
    result->alloc.cycles = 5000;
    result->alloc.refused = 3;
    histogram_add(&result->alloc.time, 1000);
    assert_in_page(expected, COUNT_OF(expected));
}

static void page__of_pairs_has_no_peers(void **state)
{
    (void)state;
    result->setup.pairs = true;
    result->setup.way[BENCH_DOWN] = false;
    char *text = page();
    assert_non_null(strstr(text, "Packets a second, client to client"));
    assert_non_null(strstr(text, "id=\"up-packets-per-s\""));
    assert_null(strstr(text, "to peers"));
    free(text);
}

static void page__of_nothing_is_whole(void **state)
{
    static const char *const expected[] = {"id=\"up-p50-us\" value=\"0\">\xe2\x80\x93</data>"};

    (void)state;
    free(result->series);
    *result = (struct bench_result){.ok = true, .setup = {.way = {true, true}}};
    assert_in_page(expected, COUNT_OF(expected));
    result->setup.mix = BENCH_ALLOC;
    assert_in_page(NULL, 0);
}

static void page__of_one_packet_is_whole(void **state)
{
    static const char *const expected[] = {"h0.01"}; /* a dot, where there is no line */

    (void)state;
    free(result->series);
    *result = (struct bench_result){.ok = true, .load_s = 1, .setup = {.way = {true}}};
    set_series(1);
    result->way[BENCH_UP].sent = result->way[BENCH_UP].received = 1;
    histogram_add(&result->way[BENCH_UP].latency, 0);
    assert_in_page(expected, COUNT_OF(expected));
}

static void page__of_no_numbers_is_whole(void **state)
{
    (void)state;
    result->way[BENCH_UP].jitter_mean_us = (double)NAN;
    result->way[BENCH_DOWN].jitter_max_us = (double)INFINITY;
    result->cpu.own_us_per_packet = 1e300;
    for (size_t i = 0; i < result->series_count; i++) { /* a stall: nothing came */
        result->series[i].way[BENCH_UP] = (struct bench_second_flow){.sent = UINT64_MAX};
        result->series[i].length_s = i % 2 == 0 ? 1 : 0;
        result->series[i].own_cpu_s = (double)NAN;
    }
    free(page());
}

static void page__of_a_long_run_stays_small(void **state)
{
    static const char *const expected[] = {"A point every 12 seconds", "(300 rows)"};

    (void)state;
    set_series(3600);
    assert_in_page(expected, COUNT_OF(expected));
    char *text = page();
    assert_true(strlen(text) < 1U << 20);
    free(text);
}

static void page__tells_what_is_wrong(void **state)
{
    static const char *const expected[] = {
        "p99 is 9 ms &lt; 5 ms, they say",
        "3 of 1,000 clients failed. The first one: 486 &lt;Quota&gt;",
        "The generator could not send as fast as planned",
        "The run was ended before its time",
    };

    (void)state;
    result->ok = false;
    strcpy(result->why, "p99 is 9 ms < 5 ms, they say");
    result->alloc.wanted = 1000;
    result->alloc.failed = 3;
    strcpy(result->alloc.failure, "486 <Quota>");
    result->caveats = BENCH_CAVEAT_PACE | BENCH_CAVEAT_INTERRUPTED;
    assert_in_page(expected, COUNT_OF(expected));
}

static void page__escapes_every_text(void **state)
{
    static const char hostile[] = "</style></title><script>\"'&\x1b\xff http:";
    struct bench_setup *asked = &result->setup;
    char *const texts[] = {asked->target,     asked->server,   asked->command,
                           asked->user,       asked->source,   asked->peer,
                           result->date,      result->version, result->system,
                           result->processor, result->why,     result->alloc.failure};

    (void)state;
    result->ok = false;
    result->alloc.failed = 1;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        char *const text_before = page();
        strcpy(texts[i], hostile);
        assert_int_equal(bench_report_write(result, path, why, sizeof(why)), 0);
        char *text = file_read();
        assert_balanced(text + strlen("<!DOCTYPE html>"));
        assert_null(strstr(text, "<script"));
        assert_null(strchr(text, '\x1b'));
        assert_null(strchr(text, '\xff'));
        assert_non_null(strstr(text, "&lt;script&gt;&quot;&#39;&amp;"));
        free(text);
        free(text_before);
        strcpy(texts[i], "harmless");
    }
}

static void page__takes_texts_of_any_length(void **state)
{
    struct bench_setup *asked = &result->setup;

    (void)state;
    memset(asked->target, '<', sizeof(asked->target) - 1);
    memset(asked->server, '&', sizeof(asked->server) - 1);
    memset(asked->command, '"', sizeof(asked->command) - 1);
    memset(result->alloc.failure, 'x', sizeof(result->alloc.failure) - 1);
    result->alloc.failed = UINT32_MAX;
    result->cpu.pid_count = BENCH_PIDS;
    for (size_t i = 0; i < BENCH_PIDS; i++) {
        result->cpu.pids[i] = INT32_MIN;
    }
    free(page());
}

/* --- files --- */

static void write__says_what_failed(void **state)
{
    (void)state;
    assert_int_equal(bench_report_write(result, "/nowhere/at/all.html", why, sizeof(why)), -ENOENT);
    assert_string_equal(why, "cannot write the report /nowhere/at/all.html: "
                             "No such file or directory");
    assert_int_equal(bench_report_write(result, folder, why, sizeof(why)), -EISDIR);
    assert_int_equal(bench_report_write(result, "/dev/full", why, 12), -ENOSPC);
    assert_string_equal(why, "cannot writ");
}

#ifdef STERNA_FAULT_INJECTION
static void write__without_memory_leaves_the_file(void **state)
{
    (void)state;
    free(page());
    char *before = file_read();
    strcpy(result->setup.target, "another");
    mem_fail_at(0);
    assert_int_equal(bench_report_write(result, path, why, sizeof(why)), -ENOMEM);
    mem_fail_at(-1);
    assert_non_null(strstr(why, "memory"));
    char *after = file_read();
    assert_string_equal(after, before);
    free(before);
    free(after);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(page__begins_with_the_headline, fill),
        cmocka_unit_test_setup(page__has_every_plot_once, fill),
        cmocka_unit_test_setup(page__leaves_out_what_was_not_measured, fill),
        cmocka_unit_test_setup(page__of_cycles, fill),
        cmocka_unit_test_setup(page__of_pairs_has_no_peers, fill),
        cmocka_unit_test_setup(page__of_nothing_is_whole, fill),
        cmocka_unit_test_setup(page__of_one_packet_is_whole, fill),
        cmocka_unit_test_setup(page__of_no_numbers_is_whole, fill),
        cmocka_unit_test_setup(page__of_a_long_run_stays_small, fill),
        cmocka_unit_test_setup(page__tells_what_is_wrong, fill),
        cmocka_unit_test_setup(page__escapes_every_text, fill),
        cmocka_unit_test_setup(page__takes_texts_of_any_length, fill),
        cmocka_unit_test_setup(write__says_what_failed, fill),
#ifdef STERNA_FAULT_INJECTION
        cmocka_unit_test_setup(write__without_memory_leaves_the_file, fill),
#endif
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

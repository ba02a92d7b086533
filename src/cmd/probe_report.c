/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_report.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/mem.h"
#include "log/escape.h"

struct probe_report {
    FILE *out;
    json_t *root;  /* NULL when lines are written */
    json_t *steps; /* borrowed from root */
    unsigned count[PROBE_SKIPPED + 1];
    struct writer skipped; /* names of the steps skipped last, yet to be told of */
    uint8_t skipped_buf[256];
    char reason[PROBE_NOTE_TEXT]; /* why the first of them was */
};

static const struct {
    const char *line;
    const char *json;
} marks[] = {
    [PROBE_OK] = {"ok", "ok"},
    [PROBE_WARNING] = {"warning", "warning"},
    [PROBE_FAILED] = {"FAILED", "failed"},
    [PROBE_SKIPPED] = {"skipped", "skipped"},
};

void probe_note_init(struct probe_note *note)
{
    *note = (struct probe_note){.mark = PROBE_OK, .values = json_object()};
}

void probe_note_fini(struct probe_note *note)
{
    json_decref(note->values);
    note->values = NULL;
}

void probe_note_say(struct probe_note *note, enum probe_mark mark, const char *advice,
                    const char *format, ...)
{
    va_list args;

    note->mark = mark;
    note->advice = advice;
    va_start(args, format);
    vsnprintf(note->text, sizeof(note->text), format, args);
    va_end(args);
}

/* A value that memory does not suffice for is left out: the text is there all the same. */
static void set(struct probe_note *note, const char *key, json_t *value)
{
    (void)json_object_set_new(note->values, key, value);
}

void probe_note_addr(struct probe_note *note, const char *key, const struct net_addr *addr)
{
    char text[NET_ADDR_TEXT];

    set(note, key, json_string(net_addr_text(addr, text)));
}

void probe_note_count(struct probe_note *note, const char *key, uint64_t value)
{
    set(note, key, json_integer((json_int_t)value));
}

void probe_note_ms(struct probe_note *note, const char *key, double value)
{
    set(note, key, json_real(value));
}

void probe_note_flag(struct probe_note *note, const char *key, bool value)
{
    set(note, key, json_boolean(value));
}

void probe_note_text(struct probe_note *note, const char *key, struct bytes value)
{
    set(note, key, json_string(probe_shown_of(value).text));
}

struct probe_shown probe_shown_of(struct bytes text)
{
    struct probe_shown shown = {.text = ""};
    struct writer w = writer_over((uint8_t *)shown.text, sizeof(shown.text) - 1);

    if (text.n > PROBE_SHOWN_MAX) {
        text = escape_whole((struct bytes){text.p, PROBE_SHOWN_MAX});
    }
    escape_text(&w, text);
    return shown;
}

struct probe_report *probe_report_new(FILE *out, bool json, const char *server)
{
    struct probe_report *report = mem_new(1, sizeof(*report));

    if (report == NULL) {
        return NULL;
    }
    report->out = out;
    report->skipped = writer_over(report->skipped_buf, sizeof(report->skipped_buf));
    if (!json) {
        fprintf(out, "probing %s\n", server);
        return report;
    }
    report->root = json_pack("{s:s, s:[]}", "server", server, "steps");
    report->steps = json_object_get(report->root, "steps");
    if (report->steps == NULL) {
        probe_report_free(report);
        return NULL;
    }
    return report;
}

void probe_report_free(struct probe_report *report)
{
    if (report != NULL) {
        json_decref(report->root);
        free(report);
    }
}

static void flush_skipped(struct probe_report *report)
{
    if (report->skipped.len > 0) {
        fprintf(report->out, "%-8s %.*s: %s\n", marks[PROBE_SKIPPED].line, (int)report->skipped.len,
                (const char *)report->skipped_buf, report->reason);
        report->skipped.len = 0;
    }
}

static void add_skipped(struct probe_report *report, const char *step,
                        const struct probe_note *note)
{
    if (report->skipped.len == 0) {
        snprintf(report->reason, sizeof(report->reason), "%s", note->text);
    } else {
        writer_bytes(&report->skipped, bytes_of(", "));
    }
    writer_bytes(&report->skipped, bytes_of(step));
}

static void add_line(struct probe_report *report, const char *step, const struct probe_note *note)
{
    char took[32];

    flush_skipped(report);
    snprintf(took, sizeof(took), "%.1f ms", (double)note->took_us / 1000);
    fprintf(report->out, "%-8s %-16s %10s  %s\n", marks[note->mark].line, step, took, note->text);
    if (note->advice != NULL) {
        fprintf(report->out, "         -> %s\n", note->advice);
    }
    fflush(report->out);
}

static void add_json(const struct probe_report *report, const char *step,
                     const struct probe_note *note)
{
    json_t *object = json_pack("{s:s, s:s, s:s, s:O*}", "step", step, "result",
                               marks[note->mark].json, "text", note->text, "values", note->values);

    if (note->mark != PROBE_SKIPPED) {
        (void)json_object_set_new(object, "ms", json_real((double)note->took_us / 1000));
    }
    if (note->advice != NULL) {
        (void)json_object_set_new(object, "advice", json_string(note->advice));
    }
    (void)json_array_append_new(report->steps, object);
}

void probe_report_add(struct probe_report *report, const char *step, const struct probe_note *note)
{
    report->count[note->mark]++;
    if (report->root != NULL) {
        add_json(report, step, note);
    } else if (note->mark == PROBE_SKIPPED) {
        add_skipped(report, step, note);
    } else {
        add_line(report, step, note);
    }
}

unsigned probe_report_failed(const struct probe_report *report)
{
    return report->count[PROBE_FAILED];
}

int probe_report_end(struct probe_report *report)
{
    const unsigned *count = report->count;

    if (report->root == NULL) {
        flush_skipped(report);
        fprintf(report->out, "%u ok, %u warning%s, %u failed, %u skipped\n", count[PROBE_OK],
                count[PROBE_WARNING], count[PROBE_WARNING] == 1 ? "" : "s", count[PROBE_FAILED],
                count[PROBE_SKIPPED]);
    } else {
        (void)json_object_set_new(report->root, "ok", json_boolean(count[PROBE_FAILED] == 0));
        if (json_dumpf(report->root, report->out, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) < 0) {
            return -EIO;
        }
        fputc('\n', report->out);
    }
    return fflush(report->out) == 0 && ferror(report->out) == 0 ? 0 : -EIO;
}

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

struct probe_spread probe_spread_of(uint64_t *times_us, size_t n)
{
    qsort(times_us, n, sizeof(times_us[0]), compare);
    const uint64_t low = times_us[(n - 1) / 2];
    const uint64_t high = times_us[n / 2];
    return (struct probe_spread){
        .min_ms = (double)times_us[0] / 1000,
        .median_ms = ((double)low + (double)high) / 2000,
        .max_ms = (double)times_us[n - 1] / 1000,
    };
}

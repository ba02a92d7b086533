/* SPDX-License-Identifier: Apache-2.0 */
#include "log/line.h"

#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "base/hash.h"
#include "base/net_addr.h"
#include "log/escape.h"
#include "log/record.h"

#define VALUE_TEXT 96 /* any value that is not a string */

static pthread_once_t keys_once = PTHREAD_ONCE_INIT;
static struct hash_key privacy_key; /* of this process: hashes of two runs can't be joined */
static bool privacy_key_made;

static void make_keys(void)
{
    json_object_seed(0); /* of jansson's tables; reads /dev/urandom */
    privacy_key_made = getrandom(&privacy_key, sizeof(privacy_key), 0) == sizeof(privacy_key);
}

void line_prepare(void)
{
    (void)pthread_once(&keys_once, make_keys);
}

const char *line_level_text(enum log_level level)
{
    static const char *const names[] = {
        [LOG_ERROR] = "error", [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
        [LOG_INFO] = "info",   [LOG_DEBUG] = "debug",
    };
    return names[level];
}

const char *line_time_text(uint64_t time_ms, char out[LINE_TIME_TEXT])
{
    const time_t seconds = (time_t)(time_ms / 1000);
    struct tm tm;
    char text[LINE_TIME_TEXT];

    (void)gmtime_r(&seconds, &tm);
    (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(out, LINE_TIME_TEXT, "%.24s.%03uZ", text, (unsigned)(time_ms % 1000));
    return out;
}

/* The value of a field that holds no foreign string. */
static const char *value_text(const struct log_field *field, char out[VALUE_TEXT])
{
    char addr[NET_ADDR_TEXT];
    const char *words;

    switch (field->kind) {
    case LOG_KIND_U64:
        (void)snprintf(out, VALUE_TEXT, "%" PRIu64, field->u64);
        break;
    case LOG_KIND_I64:
        (void)snprintf(out, VALUE_TEXT, "%" PRId64, field->i64);
        break;
    case LOG_KIND_ID:
        (void)snprintf(out, VALUE_TEXT, "%016" PRIx64, field->u64);
        break;
    case LOG_KIND_ADDR:
        (void)snprintf(out, VALUE_TEXT, "%s", net_addr_text(field->addr, addr));
        break;
    case LOG_KIND_IP:
        (void)snprintf(out, VALUE_TEXT, "%s", net_ip_text(field->ip, addr));
        break;
    case LOG_KIND_ERRNO:
        words = strerrordesc_np((int)(field->i64 < 0 ? -field->i64 : field->i64));
        (void)snprintf(out, VALUE_TEXT, "%s", words != NULL ? words : "unknown error");
        break;
    case LOG_KIND_BYTES:
    case LOG_KIND_USER:
    case LOG_KIND_END:
    default:
        out[0] = '\0';
    }
    return out;
}

/* The string that a field shows; a user name under privacy becomes a hash written to `buf`. */
static struct bytes string_of(const struct log_field *field, const struct line_style *style,
                              char buf[VALUE_TEXT])
{
    if (field->kind == LOG_KIND_USER && style->privacy) {
        if (!privacy_key_made) {
            return bytes_of("hidden");
        }
        const uint64_t hash = hash_bytes(&privacy_key, field->bytes.p, field->bytes.n);
        (void)snprintf(buf, VALUE_TEXT, "%08" PRIx32, (uint32_t)(hash >> 32));
        return bytes_of(buf);
    }
    if (field->kind == LOG_KIND_BYTES || field->kind == LOG_KIND_USER) {
        const bool cut = field->bytes.n == RECORD_STRING_MAX;
        return cut ? escape_whole(field->bytes) : field->bytes;
    }
    return bytes_of(value_text(field, buf));
}

/* Numbers and addresses stand bare, so that patterns find them; all that can hold anything else is
 * quoted. */
static bool is_bare(enum log_kind kind)
{
    return kind == LOG_KIND_U64 || kind == LOG_KIND_I64 || kind == LOG_KIND_ID ||
           kind == LOG_KIND_ADDR || kind == LOG_KIND_IP;
}

static void put(struct writer *w, const char *text)
{
    writer_bytes(w, bytes_of(text));
}

static void format_text(struct line *line, const struct record *record,
                        const struct line_style *style)
{
    struct writer w = writer_over((uint8_t *)line->text, sizeof(line->text));
    char buf[VALUE_TEXT];

    if (style->timestamps) {
        char time[LINE_TIME_TEXT];
        put(&w, line_time_text(record->time_ms, time));
        put(&w, " ");
    }
    line->body = w.len;
    put(&w, line_level_text(record->level));
    put(&w, " ");
    put(&w, record->event);
    for (unsigned i = 0; i < record->field_count; i++) {
        const struct log_field *field = &record->field[i];
        const char *quote = is_bare(field->kind) ? "" : "\"";
        put(&w, " ");
        put(&w, field->name);
        put(&w, "=");
        put(&w, quote);
        escape_text(&w, string_of(field, style, buf));
        put(&w, quote);
    }
    put(&w, record->cut ? " truncated=1\n" : "\n");
    line->n = w.len;
}

static json_t *json_value(const struct log_field *field, const struct line_style *style)
{
    char buf[VALUE_TEXT];

    if (field->kind == LOG_KIND_I64 || (field->kind == LOG_KIND_U64 && field->u64 <= INT64_MAX)) {
        return json_integer(field->i64);
    }
    uint8_t clean[ESCAPE_MAX(RECORD_STRING_MAX)];
    struct writer w = writer_over(clean, sizeof(clean));
    escape_not_utf8(&w, string_of(field, style, buf));
    return json_stringn((const char *)clean, w.len);
}

/* Returns 0 or -1, as jansson does. */
static int json_fill(json_t *object, const struct record *record, const struct line_style *style)
{
    int bad = 0;

    if (style->timestamps) {
        char time[LINE_TIME_TEXT];
        bad |=
            json_object_set_new(object, "time", json_string(line_time_text(record->time_ms, time)));
    }
    bad |= json_object_set_new(object, "level", json_string(line_level_text(record->level)));
    bad |= json_object_set_new(object, "event", json_string(record->event));
    for (unsigned i = 0; i < record->field_count; i++) {
        bad |= json_object_set_new(object, record->field[i].name,
                                   json_value(&record->field[i], style));
    }
    if (record->cut) {
        bad |= json_object_set_new(object, "truncated", json_integer(1));
    }
    return bad;
}

/* False when there is no memory for it. */
static bool format_json(struct line *line, const struct record *record,
                        const struct line_style *style)
{
    json_t *object = json_object();
    size_t n = 0;

    if (object != NULL && json_fill(object, record, style) == 0) {
        n = json_dumpb(object, line->text, sizeof(line->text), JSON_COMPACT | JSON_ENSURE_ASCII);
    }
    json_decref(object);
    if (n == 0 || n >= sizeof(line->text)) {
        return false;
    }
    line->text[n] = '\n';
    line->n = n + 1;
    line->body = 0;
    return true;
}

void line_format(struct line *line, const struct record *record, const struct line_style *style)
{
    line_prepare();
    line->time_ms = record->time_ms;
    line->level = record->level;
    if (style->format != LOG_FORMAT_JSON || !format_json(line, record, style)) {
        format_text(line, record, style);
    }
}

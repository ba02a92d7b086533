/* SPDX-License-Identifier: Apache-2.0 */
#include "trace.h"

#include <stdarg.h>

void trace_init(struct trace *t, bool words)
{
    t->hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    t->count = 0;
    t->words = words;
}

void trace_mix(struct trace *t, const void *p, size_t n)
{
    const uint8_t *bytes = p;

    for (size_t i = 0; i < n; i++) {
        t->hash = (t->hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
}

void trace_mix_number(struct trace *t, uint64_t number)
{
    trace_mix(t, &number, sizeof(number));
}

void trace_say(struct trace *t, uint64_t now_ms, const char *format, ...)
{
    va_list args;

    if (!t->words) {
        return;
    }
    char *line = t->line[t->count++ % TRACE_LINES];
    const int head = snprintf(line, TRACE_WIDTH, "%9llu ms  ", (unsigned long long)now_ms);
    va_start(args, format);
    (void)vsnprintf(line + head, (size_t)(TRACE_WIDTH - head), format, args);
    va_end(args);
}

void trace_print(const struct trace *t, FILE *out, const char *prefix)
{
    uint64_t i = t->count > TRACE_LINES ? t->count - TRACE_LINES : 0;

    for (; i < t->count; i++) {
        (void)fprintf(out, "%s%s\n", prefix, t->line[i % TRACE_LINES]);
    }
}

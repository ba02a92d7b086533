/* SPDX-License-Identifier: Apache-2.0 */
#include "log/record.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#include "base/net_addr.h"

struct head {
    uint64_t time_ms;
    const char *event;
    uint8_t level;
    uint8_t cut;
    uint16_t field_count;
    uint32_t zero;
};

struct field_head {
    const char *name;
    uint32_t kind;
    uint32_t n;
};

/* The bytes of a field's value, in memory that outlives the packing; `p` NULL: leave it out. */
static struct bytes value_of(const struct log_field *field)
{
    switch (field->kind) {
    case LOG_KIND_U64:
    case LOG_KIND_I64:
    case LOG_KIND_ID:
    case LOG_KIND_ERRNO:
        return (struct bytes){(const uint8_t *)&field->u64, sizeof(field->u64)};
    case LOG_KIND_BYTES:
    case LOG_KIND_USER:
        if (field->bytes.n == 0) {
            return bytes_of("");
        }
        return field->bytes;
    case LOG_KIND_ADDR:
        return (struct bytes){(const uint8_t *)field->addr, sizeof(*field->addr)};
    case LOG_KIND_IP:
        return (struct bytes){(const uint8_t *)field->ip, sizeof(*field->ip)};
    case LOG_KIND_END:
    default:
        return (struct bytes){NULL, 0};
    }
}

static size_t padded(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

size_t record_pack(uint8_t out[RECORD_MAX], uint64_t time_ms, enum log_level level,
                   const char *event, const struct log_field *fields)
{
    struct head head = {.time_ms = time_ms, .event = event, .level = (uint8_t)level};
    size_t at = sizeof(head);

    for (const struct log_field *field = fields; field->kind != LOG_KIND_END; field++) {
        struct bytes value = value_of(field);
        if (value.p == NULL) {
            continue;
        }
        if (value.n > RECORD_STRING_MAX) {
            value.n = RECORD_STRING_MAX;
            head.cut = 1;
        }
        const struct field_head fh = {field->name, field->kind, (uint32_t)value.n};
        if (head.field_count == RECORD_FIELDS_MAX ||
            at + sizeof(fh) + padded(value.n) > RECORD_MAX) {
            head.cut = 1;
            break;
        }
        memcpy(out + at, &fh, sizeof(fh));
        memcpy(out + at + sizeof(fh), value.p, value.n);
        at += sizeof(fh) + padded(value.n);
        head.field_count++;
    }
    memcpy(out, &head, sizeof(head));
    return at;
}

/* Point `field` at its value, which lies at `p`, aligned to 8. */
static void field_read(struct log_field *field, const uint8_t *p, size_t n)
{
    switch (field->kind) {
    case LOG_KIND_BYTES:
    case LOG_KIND_USER:
        field->bytes = (struct bytes){p, n};
        break;
    case LOG_KIND_ADDR:
        field->addr = (const struct net_addr *)(const void *)p;
        break;
    case LOG_KIND_IP:
        field->ip = (const struct net_ip *)(const void *)p;
        break;
    case LOG_KIND_U64:
    case LOG_KIND_I64:
    case LOG_KIND_ID:
    case LOG_KIND_ERRNO:
        memcpy(&field->u64, p, sizeof(field->u64));
        break;
    case LOG_KIND_END:
    default:
        assert(field->kind == LOG_KIND_BYTES); /* record_pack() stores no other kind */
    }
}

void record_unpack(const uint8_t *in, struct record *out)
{
    struct head head;
    size_t at = sizeof(head);

    memcpy(&head, in, sizeof(head));
    out->time_ms = head.time_ms;
    out->event = head.event;
    out->level = (enum log_level)head.level;
    out->cut = head.cut != 0;
    out->field_count = head.field_count;
    for (unsigned i = 0; i < head.field_count; i++) {
        struct field_head fh;
        memcpy(&fh, in + at, sizeof(fh));
        at += sizeof(fh);
        out->field[i] = (struct log_field){.name = fh.name, .kind = (enum log_kind)fh.kind};
        field_read(&out->field[i], in + at, fh.n);
        at += padded(fh.n);
    }
}

uint64_t record_time(const uint8_t *in)
{
    struct head head;

    memcpy(&head, in, sizeof(head));
    return head.time_ms;
}

uint64_t record_now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

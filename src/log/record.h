/* SPDX-License-Identifier: Apache-2.0 */
/* A log record as flat bytes: what a producer copies out of its fields, and the writer reads.
 *
 *     +------------------------------+-------------------+------------------------+---
 *     | time, event, level, cut      | name, kind, size  | value, padded to 8     | more fields
 *     +------------------------------+-------------------+------------------------+---
 *
 * Owner   the caller owns the bytes; an unpacked record borrows from them.  Event and field names
 *         are string literals and are kept by reference.
 * Thread  any; plain values. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log/log.h"

#define RECORD_MAX        2048U /* bytes of a packed record */
#define RECORD_STRING_MAX 768U  /* bytes of one value; the longest of STUN is 763 (REALM) */
#define RECORD_FIELDS_MAX 32U

struct record {
    uint64_t time_ms; /* since 1970 */
    const char *event;
    enum log_level level;
    bool cut; /* something did not fit */
    unsigned field_count;
    struct log_field field[RECORD_FIELDS_MAX];
};

/* Copy an event and its fields (up to LOG_KIND_END) to `out`, which is aligned to 8.
 * Returns the size.  Hot path: no allocation, no formatting. */
size_t record_pack(uint8_t out[RECORD_MAX], uint64_t time_ms, enum log_level level,
                   const char *event, const struct log_field *fields);

/* Read back what record_pack() made; `out` borrows from `in`. */
void record_unpack(const uint8_t *in, struct record *out);

/* The time of a packed record. */
uint64_t record_time(const uint8_t *in);

/* The time for a record made now: milliseconds of CLOCK_REALTIME. */
uint64_t record_now_ms(void);

/* SPDX-License-Identifier: Apache-2.0 */
/* A hierarchical timer wheel with millisecond resolution on a clock that is passed in.
 *
 * Eleven levels of 64 slots cover the whole 64-bit clock.  Starting, cancelling and finding the
 * next deadline take constant time; a timer is moved once a level on its way down, for an hour
 * mostly three times.
 *
 * Owner   one worker; timers are embedded in the objects they belong to.
 * Thread  that worker.  Clock  monotonic milliseconds, passed in, never going back. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

enum { WHEEL_LEVELS = 11, WHEEL_SLOTS = 64 };

struct wheel_timer {
    struct list node;
    uint64_t deadline_ms;
    uint16_t place; /* level * 64 + slot + 1; 0 while not in a slot */
};

struct wheel {
    uint64_t now_ms;
    uint64_t used[WHEEL_LEVELS]; /* one bit a slot */
    struct list due;
    struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *w, uint64_t now_ms);

/* Prepare a timer that is not running. */
void wheel_timer_init(struct wheel_timer *t);

/* (Re)start `t` for `deadline_ms`; a deadline in the past is due at once. */
void wheel_start(struct wheel *w, struct wheel_timer *t, uint64_t deadline_ms);

/* Stop `t`; harmless when it is not running. */
void wheel_cancel(struct wheel *w, struct wheel_timer *t);

/* Move the clock to `now_ms` and return one timer that is due, stopped; NULL when there is none
 * left.  Called in a loop. */
struct wheel_timer *wheel_expired(struct wheel *w, uint64_t now_ms);

/* A time after now and not later than the next deadline: the deadline itself when it lies in the
 * same 64 ms as the clock, else the time from which more is known.  Now, when a timer is due;
 * UINT64_MAX without timers. */
uint64_t wheel_next_deadline(const struct wheel *w);

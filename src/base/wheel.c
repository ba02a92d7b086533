/* SPDX-License-Identifier: Apache-2.0 */
#include "base/wheel.h"

enum { LEVEL_BITS = 6 };

void wheel_init(struct wheel *w, uint64_t now_ms)
{
    w->now_ms = now_ms;
    list_init(&w->due);
    for (int level = 0; level < WHEEL_LEVELS; level++) {
        w->used[level] = 0;
        for (int slot = 0; slot < WHEEL_SLOTS; slot++) {
            list_init(&w->slots[level][slot]);
        }
    }
}

void wheel_timer_init(struct wheel_timer *t)
{
    list_init(&t->node);
    t->deadline_ms = 0;
    t->place = 0;
}

/* File `t` by the highest six-bit group in which its deadline differs from now: there its slot lies
 * ahead of the clock's, and all higher groups agree. */
static void timer_file(struct wheel *w, struct wheel_timer *t)
{
    if (t->deadline_ms <= w->now_ms) {
        list_push(&w->due, &t->node);
        return;
    }
    const uint64_t when = t->deadline_ms;
    const unsigned level = (unsigned)(63 - __builtin_clzll(when ^ w->now_ms)) / LEVEL_BITS;
    const unsigned slot = (unsigned)(when >> (level * LEVEL_BITS)) % WHEEL_SLOTS;

    w->used[level] |= UINT64_C(1) << slot;
    list_push(&w->slots[level][slot], &t->node);
    t->place = (uint16_t)(level * WHEEL_SLOTS + slot + 1);
}

void wheel_start(struct wheel *w, struct wheel_timer *t, uint64_t deadline_ms)
{
    wheel_cancel(w, t);
    t->deadline_ms = deadline_ms;
    timer_file(w, t);
}

void wheel_cancel(struct wheel *w, struct wheel_timer *t)
{
    list_remove(&t->node);
    if (t->place == 0) {
        return;
    }
    const unsigned level = (t->place - 1U) / WHEEL_SLOTS;
    const unsigned slot = (t->place - 1U) % WHEEL_SLOTS;
    if (list_empty(&w->slots[level][slot])) {
        w->used[level] &= ~(UINT64_C(1) << slot);
    }
    t->place = 0;
}

/* The earliest used slot: its level and the time at which it begins. */
static uint64_t first_slot(const struct wheel *w, unsigned *out_level)
{
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        if (w->used[level] != 0) { /* lower levels always begin before higher ones */
            const unsigned shift = level * LEVEL_BITS;
            const uint64_t slot = (uint64_t)__builtin_ctzll(w->used[level]);
            const uint64_t above = w->now_ms >> shift >> LEVEL_BITS << LEVEL_BITS;
            *out_level = level;
            return (above | slot) << shift;
        }
    }
    return UINT64_MAX;
}

uint64_t wheel_next_deadline(const struct wheel *w)
{
    unsigned level;

    return list_empty(&w->due) ? first_slot(w, &level) : w->now_ms;
}

struct wheel_timer *wheel_expired(struct wheel *w, uint64_t now_ms)
{
    for (;;) {
        struct list *node = list_shift(&w->due);
        if (node != NULL) {
            struct wheel_timer *t = CONTAINER_OF(node, struct wheel_timer, node);
            t->place = 0;
            return t;
        }
        unsigned level = 0;
        const uint64_t start = first_slot(w, &level);
        if (start > now_ms) {
            if (now_ms > w->now_ms) {
                w->now_ms = now_ms;
            }
            return NULL;
        }
        const unsigned slot = (unsigned)(start >> (level * LEVEL_BITS)) % WHEEL_SLOTS;
        w->now_ms = start;
        w->used[level] &= ~(UINT64_C(1) << slot);
        while ((node = list_shift(&w->slots[level][slot])) != NULL) {
            struct wheel_timer *t = CONTAINER_OF(node, struct wheel_timer, node);
            t->place = 0;
            timer_file(w, t);
        }
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bucket.h"

/* Times beyond this many milliseconds (278 years) count as this. */
static const uint64_t last_ms = UINT64_C(1) << 43;

static uint64_t ns_of(uint64_t now_ms)
{
    return (now_ms < last_ms ? now_ms : last_ms) * 1000000;
}

void bucket_init(struct bucket *b)
{
    b->busy_until_ns = 0;
}

bool bucket_take(struct bucket *b, uint64_t rate, uint32_t bytes, uint64_t now_ms)
{
    if (rate == 0) {
        return true;
    }
    const uint64_t after_ns = bucket_after(b->busy_until_ns, rate, bytes, ns_of(now_ms));
    if (after_ns == 0) {
        return false;
    }
    b->busy_until_ns = after_ns;
    return true;
}

bool bucket_take_shared(struct bucket *b, uint64_t rate, uint32_t bytes, uint64_t now_ms)
{
    const uint64_t now_ns = ns_of(now_ms);
    uint64_t busy_ns = __atomic_load_n(&b->busy_until_ns, __ATOMIC_RELAXED);
    uint64_t after_ns;

    if (rate == 0) {
        return true;
    }
    do {
        after_ns = bucket_after(busy_ns, rate, bytes, now_ns);
        if (after_ns == 0) {
            return false;
        }
    } while (!__atomic_compare_exchange_n(&b->busy_until_ns, &busy_ns, after_ns, true,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return true;
}

struct bucket bucket_read_shared(const struct bucket *b)
{
    return (struct bucket){__atomic_load_n(&b->busy_until_ns, __ATOMIC_RELAXED)};
}

uint64_t bucket_idle_ns(const struct bucket *b, uint64_t now_ms)
{
    const uint64_t end_ns = ns_of(now_ms) + BUCKET_EPOCH_NS;

    return end_ns > b->busy_until_ns ? end_ns - b->busy_until_ns : 0;
}

struct bucket bucket_of_idle(uint64_t idle_ns, uint64_t now_ms)
{
    const uint64_t end_ns = ns_of(now_ms) + BUCKET_EPOCH_NS;

    return (struct bucket){idle_ns < end_ns ? end_ns - idle_ns : 0};
}

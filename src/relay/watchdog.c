/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/watchdog.h"

static enum watchdog_news tell(struct watchdog *dog, uint64_t since_ms, enum watchdog_news news)
{
    dog->since_ms = since_ms;
    dog->told = news;
    return news;
}

enum watchdog_news watchdog_look(struct watchdog *dog, uint64_t busy_since_ms, uint64_t now_ms)
{
    if (dog->since_ms != 0 && busy_since_ms != dog->since_ms) {
        *dog = (struct watchdog){.told = WATCHDOG_NOTHING};
        return WATCHDOG_OVER;
    }
    if (busy_since_ms == 0 || now_ms < busy_since_ms + WATCHDOG_SLOW_MS) {
        return WATCHDOG_NOTHING;
    }
    if (dog->told < WATCHDOG_SLOW) {
        return tell(dog, busy_since_ms, WATCHDOG_SLOW);
    }
    if (dog->told < WATCHDOG_STUCK && now_ms >= busy_since_ms + WATCHDOG_STUCK_MS) {
        return tell(dog, busy_since_ms, WATCHDOG_STUCK);
    }
    return WATCHDOG_NOTHING;
}

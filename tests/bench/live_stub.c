/* SPDX-License-Identifier: Apache-2.0 */
/* Of a build without BPF. */
#include "live.h"

void live_open(const struct load *l, const struct live_place place[2])
{
    (void)l;
    (void)place;
    load_die("--live: built without BPF");
}

void live_prepare(const struct load *l)
{
    (void)l;
}

void live_run(const struct load *l, uint64_t end_ns, bool sending)
{
    (void)l;
    (void)end_ns;
    (void)sending;
}

void live_read(struct load *l)
{
    (void)l;
}

void live_forget_times(void)
{
}

double live_idle(void)
{
    return 0;
}

uint64_t live_flood_sent(void)
{
    return 0;
}

uint64_t live_flood_answers(void)
{
    return 0;
}

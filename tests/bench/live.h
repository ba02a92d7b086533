/* SPDX-License-Identifier: Apache-2.0 */
/* The generator in the kernel (bpf/live.bpf.c): sends and takes the media packets of struct load,
 * whose two ends are AF_XDP sockets that keep what is no media.
 *
 * Built without BPF, live_open() ends the process with a message.
 *
 * Owner   load.c.  Thread  one, and the sending takes all its time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bpf/live_map.h" /* which the skeleton needs, too */
#include "load.h"

/* An end of the stand, for live_open(). */
struct live_place {
    const char *netns;
    const char *dev;
    const struct end *end;
};

/* Load the programs and attach them to both ends, which end_open_part() has opened. */
void live_open(const struct load *l, const struct live_place place[2]);

/* The clients are ready: write their packets. */
void live_prepare(const struct load *l);

/* Send until `end_ns`, or only take what comes. */
void live_run(const struct load *l, uint64_t end_ns, bool sending);

/* What has been counted, into `l->lane`; forget the times measured so far. */
void live_read(struct load *l);
void live_forget_times(void);

/* Part of the program's turns that found nothing to send: near 0, the generator is at its limit. */
double live_idle(void);

/* Packets of the flood that were sent, and what came for no flow of ours. */
uint64_t live_flood_sent(void);
uint64_t live_flood_answers(void);

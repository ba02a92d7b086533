/* SPDX-License-Identifier: Apache-2.0 */
/* What live.c writes and bpf/live.bpf.c reads, and the other way round: shared memory.  Compiled
 * for both, so it knows the kernel's types only. */
#pragma once

#include <linux/types.h>

enum {
    LIVE_HEAD = 96,        /* bytes of a frame that differ: heads of all layers, and the stamp */
    LIVE_STAMP = 16,       /* bytes of it */
    LIVE_TIMES = 4096,     /* delays of 0, 1, 2 .. us; the last stands for all above */
    LIVE_SAMPLE = 8,       /* at full load one packet of so many carries the time */
    LIVE_BINDING_LEN = 62, /* bytes of frames */
    LIVE_ALLOCATE_LEN = 70,
};

/* The stamp: 0..3 LIVE_MAGIC, 4..7 sequence number of the flow, 8..15 when it was sent [ns], or 0.
 */
#define LIVE_MAGIC 0x80606e61U /* begins as RTP does */

enum { LIVE_UP, LIVE_DOWN, LIVE_LANES };

/* One client's packets in one direction. */
struct live_flow {
    __u8 head[LIVE_HEAD]; /* with neither checksum nor sequence number and time */
    __u32 sum;            /* of what the UDP checksum covers in it, in memory order */
    __u32 sent;
    __u32 expected; /* sequence number */
    __u32 phase_ns; /* when in the period it sends */
};

struct live_lane {
    __u64 sent;
    __u64 given_up; /* of those sent: nothing has come for so long */
    __u64 refills;
    __u64 skipped; /* sent at no time, because the generator was late */
    __u64 cycle_ns;
    __u64 period_ns; /* 0: as the window allows */
    __u32 next;
    __u32 window;
    __u32 stamp_at; /* offset in a frame */
    __u32 sum_at;   /* offset of the UDP checksum */
    __u32 shrink;   /* bytes by which its frames are shorter than the longest */
    __u32 on;
    __u64 zero[6];
    /* Written by the receiving end. */
    __u64 received;
    __u64 reordered;
    __u64 damaged;
    __u64 last_ns; /* a look at the clock, when something had come */
    __u64 seen;    /* `received` at that look */
    __u64 zero2[3];
};

/* What a flood consists of, by turns. */
enum { LIVE_JUNK, LIVE_BINDING, LIVE_ALLOCATE };

struct live_kind {
    __u32 length; /* of a frame */
    __u32 sum;    /* as live_flow's */
    __u32 ip_sum; /* of the IPv4 head */
    __u32 zero;
    __u8 frame[LIVE_HEAD]; /* without source and checksums */
};

/* Packets of nobody, from everywhere. */
struct live_flood {
    __u64 period_ns; /* 0: none */
    __u64 due_ns;
    __u64 sent;
    __u64 answers; /* that came to nobody */
    __u64 random;
    __u32 near; /* a.b.c.0: the clients' /24 */
    __u32 next;
    struct live_kind kind[4];
};

struct live_control {
    struct live_lane lane[LIVE_LANES];
    struct live_flood flood;
    __u32 clients;
    __u32 total; /* ports of clients are taken modulo this */
    __u32 payload;
    __u32 number; /* of every client's channel */
    __u32 turn;
    __u32 longest; /* bytes of a frame before it is cut */
    __u64 turns;   /* of the sending program */
    __u64 idle;    /* of those: found nothing to send */
    __u64 times[LIVE_LANES][LIVE_TIMES];
};

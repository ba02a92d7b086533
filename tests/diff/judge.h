/* SPDX-License-Identifier: Apache-2.0 */
/* Does the kernel path do with a frame what user space would?
 *
 *     out    byte for byte what user space would send, written by the book (frame.h) from what the
 *            core says; but for the TTL, which is one less, and the IPv4 identification
 *     drop   only when user space drops it, too, for its bandwidth
 *     up     unmodified, and nothing counted; and only if there is a reason
 *
 * A difference fails the test, with all that is needed to look at it.
 *
 * Owner   the test.  Thread  one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "diff/traffic.h"

struct judge {
    struct paths *paths;
    uint64_t frames;
    uint64_t verdicts[KERNEL_DROP + 1];
    uint64_t odd[TRAFFIC_ODDITY_COUNT]; /* of what was forwarded */
    uint64_t counts[OFFLOAD_COUNT_MAX]; /* what the programs must have counted */
    uint64_t ways[3][3];                /* forwarded, by families: from (1 IPv4, 2 IPv6), to */
};

/* From now on judge what happens in `paths`. */
void judge_start(struct judge *j, struct paths *paths);

/* Show the frame to both: to the program `program` if that can be. */
void judge_frame(struct judge *j, const struct traffic *t, enum kernel_program program);

/* The programs have counted what they have done, and nothing else. */
void judge_counts(struct judge *j);

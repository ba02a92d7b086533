/* SPDX-License-Identifier: Apache-2.0 */
/* network-engine=dispatch: a thread that reads every UDP listener and hands the datagrams on to the
 * workers, each client's always to the same one.  It needs nothing of the system but sockets and
 * threads; what it costs is a copy of each datagram and a change of threads.
 *
 * Owner   the relay server.  Thread  control, between dispatcher_start() and dispatcher_free(). */
#pragma once

#include <stdint.h>

#include "base/attr.h"

struct dispatcher;
struct front;
struct front_item;
struct worker;

struct dispatcher_options {
    const struct front *front;
    struct worker *const *workers; /* those that buckets of the front name run */
};

/* 0 with `*out`; -ENOMEM; the negative errno of what the system refused. */
MUST_USE int dispatcher_new(const struct dispatcher_options *options, struct dispatcher **out);

/* Have it read the sockets of `item`, before it starts or while it pauses.  0; negative errno. */
MUST_USE int dispatcher_listen(struct dispatcher *dispatcher, const struct front_item *item);

MUST_USE int dispatcher_start(struct dispatcher *dispatcher);

/* Stop reading; returns when all that was read has been posted to the workers.  What comes
 * meanwhile waits in the kernel.  Each pause needs a resume. */
void dispatcher_pause(struct dispatcher *dispatcher);
void dispatcher_resume(struct dispatcher *dispatcher);

/* End the thread; blocks that workers still hold stay until dispatcher_free().  NULL is allowed. */
void dispatcher_stop(struct dispatcher *dispatcher);

/* The workers are gone.  NULL is allowed. */
void dispatcher_free(struct dispatcher *dispatcher);

struct dispatcher_numbers {
    uint64_t packets;  /* handed on */
    uint64_t dropped;  /* no block was free, or a worker's mail was full */
    uint64_t overflow; /* dropped by the kernel: receive buffer full */
};

/* Thread: any. */
void dispatcher_read(const struct dispatcher *dispatcher, struct dispatcher_numbers *out);

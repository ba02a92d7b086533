/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop of one worker: waits on file descriptors and tells who is ready.
 *
 * One turn hands out at most LOOP_EVENTS events, so timers and mail get their share however many
 * descriptors are ready; it takes no memory and makes one system call.
 *
 * Owner   the worker; watches lie inside the objects that own the descriptors, and must live until
 *         the turn in which they were removed has ended.
 * Thread  that worker; loop_add() also before the worker's thread runs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

enum { LOOP_EVENTS = 64 };

enum loop_event {
    LOOP_READ = 1,
    LOOP_ERROR = 2, /* always told, also when not asked for */
    LOOP_WRITE = 4, /* of a connection: it takes data again */
    LOOP_END = 8,   /* of a connection: the other side will send no more */
};

struct loop;
struct loop_watch;

/* `arg` is the loop's; `events` a union of enum loop_event. */
typedef void (*loop_fn)(void *arg, struct loop_watch *watch, unsigned events);

struct loop_watch {
    loop_fn fn;
};

/* `arg` is passed to every callback.  NULL when the system refuses (errno tells why). */
MUST_USE struct loop *loop_new(void *arg);
void loop_free(struct loop *loop);

/* Tell `watch` when `fd` can be read.  With `edge`, only when something new has come: the owner
 * then has to read until nothing is left.  Closing the descriptor removes it.
 * Returns 0, or the negative errno of epoll_ctl(2). */
MUST_USE int loop_add(struct loop *loop, int fd, bool edge, struct loop_watch *watch);

/* Tell `watch` all that changes on the connection `fd`: it can be read, or written again, or has
 * ended; each once (edge-triggered).  Returns as loop_add(). */
MUST_USE int loop_add_connection(struct loop *loop, int fd, struct loop_watch *watch);

/* Stop watching `fd`. */
void loop_remove(struct loop *loop, int fd);

/* Wait at most until `until_ms` (UINT64_MAX: for ever; not after `now_ms`: not at all) and call the
 * watches that are ready.  Returns how many. */
int loop_turn(struct loop *loop, uint64_t now_ms, uint64_t until_ms);

/* SPDX-License-Identifier: Apache-2.0 */
/* The one setting of the host that the programs ask for: net.ipv4.conf.lo.forwarding and
 * net.ipv6.conf.lo.forwarding are 1 while they are at work.
 *
 * The programs look routes up as for packets that this host itself sends, which is what the
 * interface lo stands for, and the kernel answers where that interface "forwards".  All it allows
 * else is to forward what arrives *on lo* for somebody else, and nothing arrives there but what
 * this host has sent: eth0 and the like make a router of it no more than before.
 *
 * Who has given its rights away, or is killed, can't put a setting back: a child does that, which
 * keeps CAP_NET_ADMIN and waits for our end.  Several servers of one network namespace know of one
 * another by a lock on the setting: the last one puts it back.
 *
 * Owner   the kernel path.  Thread  one at a time; it forks: before there are threads, and before
 *         there is anything that a child should not hold. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/attr.h"

struct forward_lo {
    int pipe; /* its end tells the child; -1: none, nothing is to be put back */
    pid_t child;
};

/* Switch it on.  0: for one family at least; when the other one could not be, its packets stay in
 * user space and `why` says what to do, else `why` is "".  Negative errno: nothing has changed. */
MUST_USE int forward_lo_open(struct forward_lo *lo, char *why, size_t cap);

/* Put it back, unless others need it.  Returns when that is done. */
void forward_lo_close(struct forward_lo *lo);

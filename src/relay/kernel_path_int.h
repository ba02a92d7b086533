/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the kernel path share: its inside.
 *
 *   kernel_path.c         its life
 *   kernel_path_choice.c  which interfaces
 *   kernel_path_shield.c  what concerns the flood shield */
#pragma once

#include <stdatomic.h>

#include "base/net_addr.h"
#include "offload/forward.h"
#include "relay/kernel_path.h"

enum { KERNEL_PATH_WHY = 256 };

struct kernel_path {
    struct forward *forward;
    struct mirror *mirror; /* NULL: only the shield was asked for */
    bool shield;
    bool no_auth;             /* as at the start */
    bool classic;             /* clients of RFC 3489 are served */
    _Atomic bool shield_lost; /* a client could not be written down: it is off */
    uint32_t channels;
    uint64_t told; /* why channels were not taken, as the log has it: a bit for each errno */
    char why[KERNEL_PATH_WHY]; /* what is not as it should be, for the log */
    size_t interface_count;
    struct forward_interface interface[FORWARD_INTERFACES];
};

/* Fill in the wished modes of the interfaces that the configuration, or else the addresses, ask
 * for, with their names or else their indices.  Returns how many. */
size_t kernel_path_choose(const struct kernel_path_input *in,
                          struct forward_interface out[FORWARD_INTERFACES]);

/* Fill in the names that are missing; interfaces that are gone leave the list. */
void kernel_path_name(struct forward_interface *list, size_t *count);

/* 0.0.0.0 or ::. */
bool kernel_path_is_wildcard(const struct net_addr *addr);

/* "xdp", ... */
const char *kernel_path_mode_name(enum forward_mode mode);

/* Limits of the shield, and what it answers by itself. */
void kernel_path_shield_configure(struct kernel_path *path, const struct conf *conf);

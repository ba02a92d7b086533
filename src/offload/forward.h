/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel path: BPF programs on network interfaces that forward the packets of bound channels,
 * and keep floods away from the listeners (flood-shield).
 *
 * They are a cache of session state: what they do not know, or cannot send on as it has to be, goes
 * up unmodified, and user space does it.  Each channel is written here (offload/flow.h) with the
 * time until which it may be used.
 *
 * Attached by links that this process owns: with its end, whatever end, programs and maps are gone.
 *
 * Loading takes CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, and Linux 5.15; attaching as `tc`
 * Linux 6.6. Afterwards no capability is needed (Linux 5.19, or
 * kernel.unprivileged_bpf_disabled=0).
 *
 * Owner   whoever called forward_new().  Thread  one at a time, unless it says otherwise. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/net_addr.h"
#include "offload/flow_map.h"

struct forward;

/* What is asked for, and what an interface has got. */
enum forward_mode {
    FORWARD_OFF,
    FORWARD_AUTO, /* native XDP where the driver has it, but not on virtual pairs: there tc */
    FORWARD_XDP,  /* native, else generic */
    FORWARD_XDP_NATIVE,
    FORWARD_XDP_GENERIC,
    FORWARD_TC,
};

enum { FORWARD_INTERFACES = 32, FORWARD_NAME = 16, FORWARD_WHY = 160 };

/* One interface. */
struct forward_interface {
    char name[FORWARD_NAME];
    uint32_t index;
    enum forward_mode mode; /* in: wished; out: got, FORWARD_OFF when none */
    char why[FORWARD_WHY];  /* why nothing, or not the first choice; "" when all is well */
};

struct forward_options {
    uint32_t max_channels; /* that are in the kernel at a time; the rest stays in user space */
    uint32_t max_sessions; /* allocations of those channels */
    uint32_t max_clients;  /* known to the shield; 0: no shield */
    bool shield;           /* works without what routes need */
    bool virtual_clock;    /* tests: struct offload_control's virtual_ns is the time */
    struct forward_interface *interfaces; /* in and out */
    size_t interface_count;
};

/* Load and attach.  0 with `*out` when at least one interface is served, `interfaces` says which
 * and how, and `why` is "" or says what keeps one family in user space; -ENODEV: none could be
 * (each says why); -EPERM, -ENOTSUP (also: a build without it), -ENOSPC: more than
 * FORWARD_INTERFACES; -ENOMEM, another negative errno: nothing is loaded, `why` says what is wrong
 * and what would help. Forks (offload/forward_lo.h): call it before there are threads. */
MUST_USE int forward_new(const struct forward_options *options, struct forward **out, char *why,
                         size_t cap);

/* Detach and release.  NULL is fine. */
void forward_free(struct forward *forward);

/* Something of the host's interfaces has changed: tell the programs of other link addresses.  Takes
 * no capability (Linux 5.19, as above).  0; negative errno: some may be as they were. */
MUST_USE int forward_follow(const struct forward *forward);

/* Shared with the programs; fields are read and written relaxed, by any thread. */
struct offload_control *forward_control(struct forward *forward);

/* The shared table of channels of this kernel path (offload/flow.h), owned by it. */
struct flow_table;
struct flow_table *forward_flows(struct forward *forward);

/* The shield (offload/shield.h), owned by it; NULL when it was not asked for. */
struct shield;
struct shield *forward_shield(struct forward *forward);

/* Sums over the CPUs, by enum offload_count.  Any thread.  0; negative errno, all 0 then. */
MUST_USE int forward_counts(const struct forward *forward, uint64_t out[OFFLOAD_COUNT_MAX]);

/* The programs' descriptors, for tests (BPF_PROG_TEST_RUN); -1: not loaded. */
int forward_xdp_fd(const struct forward *forward);
int forward_tc_fd(const struct forward *forward);

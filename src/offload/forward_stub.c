/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel path in a build without BPF: there is none, so nobody has a struct forward. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "offload/forward.h"

int forward_new(const struct forward_options *options, struct forward **out, char *why, size_t cap)
{
    (void)options;
    (void)out;
    (void)snprintf(why, cap, "this build has no BPF (option offload)");
    return -ENOTSUP;
}

void forward_free(struct forward *forward)
{
    (void)forward;
}

int forward_follow(const struct forward *forward)
{
    (void)forward;
    return -ENOTSUP;
}

struct offload_control *forward_control(struct forward *forward)
{
    (void)forward;
    return NULL;
}

struct flow_table *forward_flows(struct forward *forward)
{
    (void)forward;
    return NULL;
}

struct shield *forward_shield(struct forward *forward)
{
    (void)forward;
    return NULL;
}

int forward_counts(const struct forward *forward, uint64_t out[OFFLOAD_COUNT_MAX])
{
    (void)forward;
    memset(out, 0, OFFLOAD_COUNT_MAX * sizeof(out[0]));
    return -ENOTSUP;
}

int forward_xdp_fd(const struct forward *forward)
{
    (void)forward;
    return -1;
}

int forward_tc_fd(const struct forward *forward)
{
    (void)forward;
    return -1;
}

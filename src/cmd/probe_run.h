/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of `sterna probe`, in order, each resting on what earlier ones achieved.
 *
 * Owner   the caller.  Thread  one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/net_addr.h"

struct probe_report;

enum probe_kind {
    PROBE_ALL,      /* what a TURN server must be able to do */
    PROBE_MOBILITY, /* whether clients can change networks (RFC 8016) */
};

struct probe_plan {
    enum probe_kind kind;
    struct net_addr server;
    const char *user; /* NULL: what needs credentials is skipped, unless the server asks for none */
    const char *password;
    uint32_t timeout_ms; /* of one transaction */
    bool stun_only;
};

/* Go through the steps and tell `report` of each.  0, also when steps failed; -ENOMEM, -EBADMSG or
 * -ENOBUFS (credentials that cannot be used) when not even the first could begin. */
MUST_USE int probe_run(const struct probe_plan *plan, struct probe_report *report);

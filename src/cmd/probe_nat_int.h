/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the NAT tests share and nobody else sees.
 *
 * Owner   probe_nat_run().  Thread  one. */
#pragma once

#include <stdbool.h>

#include "base/net_addr.h"
#include "cmd/probe_nat.h"

struct probe_note;

enum nat_done {
    NAT_UDP = 1 << 0,       /* the server answers, and tells our address */
    NAT_SUPPORTED = 1 << 1, /* it has a second address */
};

struct nat {
    const struct probe_nat_net *net;
    struct net_addr server;
    unsigned done; /* enum nat_done */
    bool translated;
    struct probe_nat_answer first;
    enum probe_nat_behaviour mapping;
    enum probe_nat_behaviour filtering;
};

/* What the findings mean for calls: probe_nat_verdict.c */
void probe_nat_verdict(struct nat *n, struct probe_note *note);

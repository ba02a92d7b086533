/* SPDX-License-Identifier: Apache-2.0 */
/* What NAT stands between us and a server: the tests of RFC 5780 section 4, and what their outcome
 * means for calls.
 *
 * The requests go out through functions, so that the same tests run against a simulated NAT.
 *
 * Owner   the caller.  Thread  one.  Pure but for the functions given. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/net_addr.h"

struct probe_report;

/* The sockets of the tests, each of which needs a NAT that knows nothing of it yet (RFC 5780
 * section 4.1): to have sent elsewhere opens the NAT for what comes from there, and some keep a
 * note of what they have not let in. */
enum probe_nat_socket {
    PROBE_NAT_MAPPING,
    PROBE_NAT_FILTERING,
    PROBE_NAT_CHECKING,
    PROBE_NAT_SOCKETS,
    PROBE_NAT_PAIR = PROBE_NAT_CHECKING, /* the first ones serve for the test of hairpinning, too */
};

/* Flags of CHANGE-REQUEST (RFC 5780 section 7.2). */
enum probe_nat_change { PROBE_NAT_SAME = 0, PROBE_NAT_PORT = 2, PROBE_NAT_IP_AND_PORT = 6 };

struct probe_nat_ask {
    enum probe_nat_socket socket;
    enum probe_nat_change change;
    struct net_addr to;
};

struct probe_nat_answer {
    int code; /* of an error response; 0 for a success */
    struct net_addr from;
    struct net_addr mapped; /* the family of an address that did not come is NET_NONE */
    struct net_addr origin;
    struct net_addr other;
};

struct probe_nat_net {
    void *arg;

    /* A Binding transaction.  0; -ETIMEDOUT; another negative errno of the network. */
    int (*ask)(void *arg, const struct probe_nat_ask *ask, struct probe_nat_answer *out);

    /* Do packets between the sockets of the pair pass when each is sent to the other's mapped
     * address? 1 yes, 0 no, or a negative errno. */
    int (*hairpin)(void *arg, const struct net_addr mapped[PROBE_NAT_PAIR]);

    struct net_addr local[PROBE_NAT_SOCKETS]; /* our addresses as this host sees them */
};

enum probe_nat_behaviour {
    PROBE_NAT_UNKNOWN,
    PROBE_NAT_INDEPENDENT,      /* of the other end's address and port */
    PROBE_NAT_ADDRESS,          /* depends on the other end's address */
    PROBE_NAT_ADDRESS_AND_PORT, /* depends on both */
};

/* Run the tests against `server`, telling `report` of each.  0, also when tests failed. */
MUST_USE int probe_nat_run(const struct probe_nat_net *net, const struct net_addr *server,
                           struct probe_report *report);

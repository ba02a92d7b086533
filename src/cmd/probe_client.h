/* SPDX-License-Identifier: Apache-2.0 */
/* A blocking STUN/TURN client on one UDP socket: transactions with the retransmissions of RFC 8489
 * section 6.2.1, and application data over a relay.
 *
 * Owner   whoever made it.  Thread  one.
 * Clock   CLOCK_MONOTONIC, read inside; times are microseconds. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "base/net_addr.h"
#include "cmd/probe_auth.h"
#include "cmd/probe_reply.h"

struct probe_client;

/* `user` and `password` may both be NULL.  `timeout_ms` bounds a transaction, though RFC 8489 would
 * wait for 39.5 s.  0; -EBADMSG or -ENOBUFS for credentials that cannot be used; -ENOMEM; the errno
 * of socket(), connect(). */
MUST_USE int probe_client_new(const struct net_addr *server, const char *user, const char *password,
                              uint32_t timeout_ms, struct probe_client **out);

/* Wipes the credentials.  NULL is allowed. */
void probe_client_free(struct probe_client *client);

/* Our own address as our host sees it. */
const struct net_addr *probe_client_local(const struct probe_client *client);

/* What was learned from the last challenge. */
const struct probe_auth *probe_client_auth(const struct probe_client *client);

struct probe_request {
    uint16_t method;      /* enum stun_method */
    bool sign;            /* with the credentials; a challenge is answered */
    bool transport;       /* REQUESTED-TRANSPORT: UDP */
    uint8_t family;       /* REQUESTED-ADDRESS-FAMILY, or NET_NONE */
    uint16_t channel;     /* CHANNEL-NUMBER, or 0 */
    struct net_addr peer; /* XOR-PEER-ADDRESS, unless its family is NET_NONE */
    bool has_lifetime;
    uint32_t lifetime_s;
    bool has_ticket;
    struct bytes ticket; /* MOBILITY-TICKET, empty to ask for one (RFC 8016); borrowed */
};

struct probe_result {
    struct probe_reply reply; /* borrows from the client until its next call */
    uint32_t sent_count;      /* 1 when nothing had to be sent again */
    size_t sent_bytes;        /* of the last request */
    size_t received_bytes;
    uint64_t rtt_us; /* from the first sending to the response */
};

/* One transaction; with `sign`, the 401 and 438 that belong to it are answered.
 * 0 when a response came, success or error.  -ETIMEDOUT no answer; -ECONNREFUSED nobody listens
 * there; -EPERM all answers were unsigned or wrongly signed, `*out` tells of the last one; the
 * errors of probe_auth_learn(); another errno of the network. */
MUST_USE int probe_client_call(struct probe_client *client, const struct probe_request *request,
                               struct probe_result *out);

/* Take realm, nonce and algorithm from a challenge; returns as probe_auth_learn(). */
MUST_USE int probe_client_learn(struct probe_client *client, const struct probe_reply *challenge);

/* Send `data` on `channel`, or, when that is 0, in a Send indication to `peer`.  0 or errno. */
MUST_USE int probe_client_send(struct probe_client *client, uint16_t channel,
                               const struct net_addr *peer, struct bytes data);

struct probe_data {
    uint16_t channel;     /* 0 for a Data indication */
    struct net_addr peer; /* of a Data indication */
    struct bytes data;    /* borrows from the client until its next call */
};

/* Wait for application data until `deadline_us`; whatever else comes is ignored.
 * 0, -ETIMEDOUT, or an errno of the network. */
MUST_USE int probe_client_receive(struct probe_client *client, uint64_t deadline_us,
                                  struct probe_data *out);

/* The client's clock. */
uint64_t probe_client_now_us(void);

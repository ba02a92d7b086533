/* SPDX-License-Identifier: Apache-2.0 */
/* From a URI to servers: RFC 5928 (with the DTLS of RFC 7350 section 4.6.2) for TURN, the SRV
 * procedure of RFC 8489 section 8 for STUN and of RFC 5780 section 5.1 for behaviour discovery.
 *
 * Pure: questions, remarks and random numbers go through functions, so a table of records will do.
 *
 * Decisions where RFC 5928 is silent.  The default port is that of the transport (5349 for TLS and
 * DTLS, as in its table 2).  In step 5 TLS and DTLS are looked for as "_turns" also when <secure>
 * is false.  NAPTR records without any for RELAY count as none.
 *
 * Owner   the caller.  Thread  any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/net_addr.h"
#include "cmd/probe_dns.h"
#include "cmd/probe_report.h"

enum {
    PROBE_RESOLVE_TRANSPORTS = 4,
    PROBE_RESOLVE_FOUND = 64, /* servers that are kept */
};

enum probe_resolve_service {
    PROBE_RESOLVE_TURN,
    PROBE_RESOLVE_STUN,
    PROBE_RESOLVE_BEHAVIOUR, /* "stun-behavior"; by SRV alone */
};

struct probe_resolve_wish {
    enum probe_resolve_service service;
    bool secure;
    const char *host;                                       /* a name or an address */
    uint16_t port;                                          /* 0: not defined */
    const char *transport;                                  /* "": not defined */
    enum net_transport supported[PROBE_RESOLVE_TRANSPORTS]; /* by preference */
    size_t supported_count;
};

struct probe_resolve_io {
    void *arg; /* of all three */
    probe_dns_ask_fn ask;

    /* Something in the zone that is worth telling; `text` and `advice` (NULL: none) live on. */
    void (*remark)(void *arg, enum probe_mark mark, const char *text, const char *advice);

    /* A number from 0 to `last`, for the choice by weight. */
    uint32_t (*random)(void *arg, uint32_t last);
};

struct probe_resolve_server {
    struct net_addr addr;
    enum net_transport transport;
    char name[PROBE_DNS_NAME]; /* that has the address */
};

struct probe_resolve_list {
    struct probe_resolve_server server[PROBE_RESOLVE_FOUND]; /* in the order to be tried */
    size_t count;
};

/* Find the servers.  0 with at least one; -ENOENT none, `out->count` is 0; -EINVAL, `*out_why` says
 * why the wish itself cannot be had (the checks of RFC 5928 section 3). */
MUST_USE int probe_resolve_run(const struct probe_resolve_wish *wish,
                               const struct probe_resolve_io *io, struct probe_resolve_list *out,
                               const char **out_why);

/* "udp", "tcp", "tls", "dtls". */
const char *probe_resolve_transport(enum net_transport transport);

/* The name to ask for SRV records of: "_turns._tcp.example.org". */
void probe_resolve_srv_name(enum probe_resolve_service service, enum net_transport transport,
                            const char *host, char out[PROBE_DNS_NAME]);

/* SPDX-License-Identifier: Apache-2.0 */
/* Where clients are served: which transport addresses, what is taken there, and the sockets on
 * them.
 *
 * Without listening-ip there is one wildcard socket a family, transport and worker, which serves
 * addresses that are added later, too; each answer leaves from the address that was asked.
 *
 * Owner   a plan is a plain value; sockets belong to their worker.  Thread  control. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/net_addr.h"

struct conf;
struct udp_port;

enum { LISTENER_MAX = 512, LISTENER_NAME_MAX = 255 };

/* One address and transport.  What is taken there is told apart by its first bytes. */
struct listener_spec {
    struct net_addr addr;
    bool stream; /* TCP; else UDP */
    bool plain;  /* clients without TLS are taken; over UDP: without DTLS */
    bool secure; /* clients with it are */
    bool proxy;  /* every connection begins with a PROXY protocol header */
    char tls_name[LISTENER_NAME_MAX + 1]; /* the [tls "name"] section to begin with, or "" */
};

struct listener_plan {
    size_t count;
    struct listener_spec item[LISTENER_MAX]; /* no two have the same address and transport */
    uint32_t buffer_bytes;                   /* of UDP sockets */
    uint32_t backlog;                        /* of TCP sockets */
};

/* Make the plan that `conf` (checked) asks for.  Without listening-ip it holds the wildcards of
 * both families, whether or not this host has them.  0; -ENOSPC, -EINVAL with `why`. */
MUST_USE int listener_plan_read(const struct conf *conf, struct listener_plan *out, char *why,
                                size_t cap);

/* The same, and see that this host has the addresses and nobody else uses them.  0; negative errno
 * with `why`. */
MUST_USE int listener_plan_make(const struct conf *conf, struct listener_plan *out, char *why,
                                size_t cap);

/* The plan that `conf` asks for while `front` has its sockets: only what is new is tried.  What is
 * served at an address stays as it was; a change of that is told.  Otherwise as
 * listener_plan_make(). */
struct front;
MUST_USE int listener_plan_change(const struct conf *conf, const struct front *front,
                                  struct listener_plan *out, char *why, size_t cap);

/* "192.0.2.1:3478/udp"; returns `out`. */
#define LISTENER_TEXT (NET_ADDR_TEXT + 4)
const char *listener_text(const struct listener_spec *spec, char out[LISTENER_TEXT]);

/* Open one more UDP socket on item `i`, no stream: the workers share its address (SO_REUSEPORT). 0;
 * negative errno with `why`. */
MUST_USE int listener_open(const struct listener_plan *plan, size_t i, struct udp_port *out,
                           char *why, size_t cap);

/* Likewise a listening TCP socket on item `i`, a stream.  0 with `*out_fd`; negative errno with
 * `why`. */
MUST_USE int listener_open_stream(const struct listener_plan *plan, size_t i, int *out_fd,
                                  char *why, size_t cap);

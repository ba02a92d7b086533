/* SPDX-License-Identifier: Apache-2.0 */
/* The server that a probe goes to: "turn:HOST[:PORT][?transport=udp]" (RFC 7065),
 * "stun:HOST[:PORT]" (RFC 7064), or HOST[:PORT].
 *
 * Owner   nobody; plain values.  Thread  any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/net_addr.h"

struct probe_target {
    char host[256]; /* a name or an address, without brackets */
    uint16_t port;
    bool stun_only;
};

/* Parse `text`.  0; -EBADMSG, with `*out_why` saying what is wrong and what to write instead. */
MUST_USE int probe_target_parse(const char *text, struct probe_target *out, const char **out_why);

/* Parse the `n` bytes at `text`: "HOST", "HOST:PORT", "[V6]", "[V6]:PORT" or a bare IPv6 address.
 * Sets host and port alone.  0; -EBADMSG, with `*out_why` as above and `*out` unchanged. */
MUST_USE int probe_target_host(const char *text, size_t n, uint16_t default_port,
                               struct probe_target *out, const char **out_why);

/* Find the address of the target, of `family` or, with NET_NONE, the one that the host prefers.
 * 0; -ENOENT, with `why` (cap bytes) saying what the resolver said. */
MUST_USE int probe_target_resolve(const struct probe_target *target, uint8_t family,
                                  struct net_addr *out, char *why, size_t cap);

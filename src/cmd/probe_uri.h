/* SPDX-License-Identifier: Apache-2.0 */
/* What servers are looked for: "turn:", "turns:" (RFC 7065), "stun:", "stuns:" (RFC 7064) with
 * host, port and transport, or a bare domain.
 *
 * Owner   nobody; plain values.  Thread  any; pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

struct probe_uri {
    bool stun;          /* stun: or stuns: */
    bool secure;        /* turns: or stuns: */
    bool bare;          /* a domain without scheme */
    char host[256];     /* without brackets, without a dot at its end */
    uint16_t port;      /* 0 when it was not given */
    char transport[16]; /* as written; "" when it was not given */
};

/* Parse `text`.  0; -EBADMSG, `*out` unchanged, with `*out_why` saying what is wrong and what to
 * write instead. */
MUST_USE int probe_uri_parse(const char *text, struct probe_uri *out, const char **out_why);

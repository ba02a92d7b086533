/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the discovery share and nobody else sees.
 *
 * Owner   probe_discover_run().  Thread  one. */
#pragma once

#include "cmd/probe_discover.h"
#include "cmd/probe_report.h"
#include "cmd/probe_resolve.h"

enum { DISCOVER_REMARKS = 64 };

struct discover {
    const struct probe_discover_plan *plan;
    struct probe_report *report;
    struct crypto_random *random;
    struct probe_resolve_list list;
    uint32_t remarks[DISCOVER_REMARKS]; /* what was said already, as a hash */
    size_t remark_count;
    bool dns_failed; /* a question had no answer, so that nothing follows from what is missing */
};

/* For the resolution: each question and remark becomes a step: probe_discover.c */
struct probe_resolve_io probe_discover_io(struct discover *d);

/* A step that says one thing. */
void probe_discover_say(const struct discover *d, const char *step, enum probe_mark mark,
                        const char *advice, const char *text);

/* What an answer says, for people and machines: probe_discover_text.c */
void probe_discover_tell(struct probe_note *note, const struct probe_dns_answer *answer);

/* What the zone of a TURN domain lacks: probe_discover_zone.c */
void probe_discover_zone(struct discover *d);

/* The anycast addresses of RFC 8155 section 6: probe_discover_anycast.c */
void probe_discover_anycast(struct discover *d);

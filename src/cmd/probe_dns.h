/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the DNS and their answers, as far as the discovery of servers needs them: A, AAAA,
 * SRV (RFC 2782) and NAPTR (RFC 3403).
 *
 * The resolver proper is c-ares; in a build without it probe_dns_new() says so.
 *
 * Owner   whoever made it; answers live as long as it does.
 * Thread  one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/net_addr.h"

enum {
    PROBE_DNS_NAME = 256,
    PROBE_DNS_RECORDS = 16,   /* of an answer that are looked at */
    PROBE_DNS_QUESTIONS = 64, /* that may be asked: a zone must not send us round and round */
};

/* Numbers of the DNS (RFC 1035, RFC 3596, RFC 2782, RFC 3403). */
enum probe_dns_type {
    PROBE_DNS_A = 1,
    PROBE_DNS_AAAA = 28,
    PROBE_DNS_SRV = 33,
    PROBE_DNS_NAPTR = 35,
};

enum probe_dns_status {
    PROBE_DNS_FOUND,
    PROBE_DNS_EMPTY,   /* the name is there, but has no such record */
    PROBE_DNS_NO_NAME, /* there is no such name */
    PROBE_DNS_FAILED,  /* no answer, or one that says nothing */
};

struct probe_dns_srv {
    uint16_t priority;
    uint16_t weight;
    uint16_t port;
    char target[PROBE_DNS_NAME]; /* "." (here "") says that the service is not offered */
};

struct probe_dns_naptr {
    uint16_t order;
    uint16_t preference;
    char flags[8];
    char service[128];
    bool regexp; /* there is one, which S-NAPTR does not know */
    char replacement[PROBE_DNS_NAME];
};

struct probe_dns_answer {
    enum probe_dns_type type;
    char name[PROBE_DNS_NAME]; /* that was asked for */
    enum probe_dns_status status;
    const char *why; /* of PROBE_DNS_FAILED; a constant text */
    bool alias;      /* the name is an alias (CNAME) */
    bool cut;        /* there were more records */
    size_t count;    /* > 0 with PROBE_DNS_FOUND alone */

    union {
        struct net_ip ip;
        struct probe_dns_srv srv;
        struct probe_dns_naptr naptr;
    } record[PROBE_DNS_RECORDS];
};

/* Ask for the records of `type` that `name` has.  NULL when nothing could be asked: no memory, or
 * too many questions. */
typedef const struct probe_dns_answer *(*probe_dns_ask_fn)(void *arg, enum probe_dns_type type,
                                                           const char *name);

struct probe_dns;

/* A resolver that asks the server at `server`, or, with NULL, those of this host (resolv.conf);
 * `timeout_ms` bounds one try.  0; -ENOMEM; -ENOTSUP in a build without c-ares; -EIO when this
 * host's configuration cannot be read. */
MUST_USE int probe_dns_new(const struct net_addr *server, uint32_t timeout_ms,
                           struct probe_dns **out);

/* NULL is allowed. */
void probe_dns_free(struct probe_dns *dns);

/* Ask; a question asked before has its answer at once.  A probe_dns_ask_fn: `arg` is a struct
 * probe_dns. */
const struct probe_dns_answer *probe_dns_ask(void *arg, enum probe_dns_type type, const char *name);

/* Was the last answer of probe_dns_ask() new? */
bool probe_dns_is_new(const struct probe_dns *dns);

/* "NAPTR", "SRV", "A", "AAAA". */
const char *probe_dns_type_text(enum probe_dns_type type);

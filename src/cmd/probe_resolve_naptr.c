/* SPDX-License-Identifier: Apache-2.0 */
/* S-NAPTR (RFC 3958) for the service RELAY: step 4 of RFC 5928 section 3. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cmd/probe_resolve_int.h"

enum { DEPTH_MAX = 8, FOLLOWED_MAX = 64 };

static const char application[] = "RELAY";

/* The application protocol tag of a transport. */
static const char *tag_of(enum net_transport transport)
{
    switch (transport) {
    case NET_TCP:
        return "turn.tcp";
    case NET_TLS:
        return "turn.tls";
    case NET_DTLS:
        return "turn.dtls";
    case NET_UDP:
    case NET_PROXIED:
    default:
        return "turn.udp";
    }
}

/* The next of the parts of `*rest` that colons divide; its length is 0 at the end. */
static size_t part(const char **rest, const char **out)
{
    const size_t n = strcspn(*rest, ":");

    *out = *rest;
    *rest += n + ((*rest)[n] == ':');
    return n;
}

static bool is_text(const char *p, size_t n, const char *text)
{
    return n == strlen(text) && strncasecmp(p, text, n) == 0;
}

/* Is `naptr` for our application and, unless `tag` is NULL, for that protocol? */
static bool serves(const struct probe_dns_naptr *naptr, const char *tag)
{
    const char *rest = naptr->service;
    const char *p;
    size_t n = part(&rest, &p);

    if (!is_text(p, n, application)) {
        return false;
    }
    while (tag != NULL && *rest != '\0') {
        n = part(&rest, &p);
        if (is_text(p, n, tag)) {
            return true;
        }
    }
    return tag == NULL;
}

static uint32_t rank(const struct probe_dns_naptr *naptr)
{
    return (uint32_t)naptr->order << 16 | naptr->preference;
}

/* The records of `answer` that serve `tag`, by rank; returns how many. */
static size_t select_ranked(const struct probe_dns_answer *answer, const char *tag,
                            const struct probe_dns_naptr *out[PROBE_DNS_RECORDS])
{
    size_t n = 0;

    for (size_t i = 0; i < answer->count; i++) {
        const struct probe_dns_naptr *naptr = &answer->record[i].naptr;
        if (!serves(naptr, tag)) {
            continue;
        }
        size_t at = n++;
        for (; at > 0 && rank(out[at - 1]) > rank(naptr); at--) {
            out[at] = out[at - 1];
        }
        out[at] = naptr;
    }
    return n;
}

static void walk(struct resolve *r, const char *name, enum net_transport transport, int depth);

/* Where a record for "turn.tls" leads to SRV records of another transport, somebody made a slip. */
static void compare(const struct resolve *r, const struct probe_dns_naptr *naptr,
                    enum net_transport transport)
{
    char expected[PROBE_DNS_NAME];
    const char *dot = strchr(naptr->replacement, '.');

    probe_resolve_srv_name(PROBE_RESOLVE_TURN, transport, "", expected);
    if (naptr->replacement[0] == '_' && dot != NULL &&
        strncasecmp(naptr->replacement, expected, strlen(expected)) != 0) {
        probe_resolve_remark(r, PROBE_WARNING,
                             "Let the NAPTR record of a transport lead to the SRV records of the "
                             "same transport.",
                             "the NAPTR record for %s leads to %s, not to %s...", tag_of(transport),
                             naptr->replacement, expected);
    }
}

static void follow(struct resolve *r, const char *owner, const struct probe_dns_naptr *naptr,
                   enum net_transport transport, int depth)
{
    const char *next = naptr->replacement;

    if (naptr->regexp || next[0] == '\0' || strcmp(next, ".") == 0) {
        probe_resolve_remark(r, PROBE_WARNING,
                             "RFC 3958 section 2.2 wants an empty regular expression, and a name "
                             "as the replacement.",
                             "a NAPTR record of %s for %s is of no use: it has %s", owner,
                             tag_of(transport),
                             naptr->regexp ? "a regular expression" : "no replacement");
    } else if (naptr->flags[0] == '\0') {
        walk(r, next, transport, depth + 1);
    } else if (strcasecmp(naptr->flags, "S") == 0) {
        compare(r, naptr, transport);
        if (!probe_resolve_srv(r, next, transport)) {
            probe_resolve_remark(r, PROBE_WARNING,
                                 "Add the SRV record, or take the NAPTR record out: clients that "
                                 "follow it find nothing.",
                                 "%s leads to %s, which has no SRV record", owner, next);
        }
    } else if (strcasecmp(naptr->flags, "A") == 0) {
        if (probe_resolve_addresses(r, next, probe_resolve_port(transport), transport) == 0) {
            probe_resolve_remark(r, PROBE_WARNING, "Give that name an A or AAAA record.",
                                 "%s leads to %s, which has no address", owner, next);
        }
    } else {
        probe_resolve_remark(r, PROBE_WARNING, "The flag is S (SRV), A (address) or empty (NAPTR).",
                             "a NAPTR record of %s has a flag that S-NAPTR does not know", owner);
    }
}

/* Follow the records for `transport` at `name` (RFC 3958 section 2.2.2). */
static void walk(struct resolve *r, const char *name, enum net_transport transport, int depth)
{
    const struct probe_dns_naptr *ranked[PROBE_DNS_RECORDS];

    if (depth == DEPTH_MAX) {
        probe_resolve_remark(r, PROBE_WARNING, "Let the last NAPTR record have flag S or A.",
                             "the NAPTR records for %s lead on and on, perhaps in a circle",
                             tag_of(transport));
        return;
    }
    const struct probe_dns_answer *answer = r->io->ask(r->io->arg, PROBE_DNS_NAPTR, name);
    const size_t n = answer == NULL ? 0 : select_ranked(answer, tag_of(transport), ranked);
    if (n == 0) {
        probe_resolve_remark(r, PROBE_WARNING,
                             "Add the record there, or take out the one that leads there.",
                             "%s has no NAPTR record for %s", name, tag_of(transport));
    }
    for (size_t i = 0; i < n && r->followed < FOLLOWED_MAX; i++) {
        r->followed++;
        follow(r, name, ranked[i], transport, depth);
    }
}

/* RFC 5928 section 3, step 4: the order of transports is that of the first set of records, and ours
 * where they rank the same. */
static size_t order(const struct resolve *r, const struct probe_dns_answer *answer,
                    enum net_transport out[PROBE_RESOLVE_TRANSPORTS])
{
    uint32_t ranks[PROBE_RESOLVE_TRANSPORTS];
    size_t n = 0;

    for (size_t i = 0; i < r->transport_count; i++) {
        const struct probe_dns_naptr *ranked[PROBE_DNS_RECORDS];
        if (select_ranked(answer, tag_of(r->transports[i]), ranked) == 0) {
            continue;
        }
        size_t at = n++;
        for (; at > 0 && ranks[at - 1] > rank(ranked[0]); at--) {
            ranks[at] = ranks[at - 1];
            out[at] = out[at - 1];
        }
        ranks[at] = rank(ranked[0]);
        out[at] = r->transports[i];
    }
    return n;
}

bool probe_resolve_naptr(struct resolve *r)
{
    const struct probe_dns_naptr *ranked[PROBE_DNS_RECORDS];
    enum net_transport transports[PROBE_RESOLVE_TRANSPORTS];
    const struct probe_dns_answer *answer = r->io->ask(r->io->arg, PROBE_DNS_NAPTR, r->wish->host);

    if (answer == NULL || select_ranked(answer, NULL, ranked) == 0) {
        return false;
    }
    const size_t n = order(r, answer, transports);
    if (n == 0) {
        probe_resolve_remark(r, PROBE_WARNING,
                             "The tags are turn.udp, turn.tcp, turn.tls and turn.dtls (RFC 5928, "
                             "RFC 7350).",
                             "the NAPTR records for RELAY have no transport that was asked for");
    }
    for (size_t i = 0; i < n; i++) {
        walk(r, r->wish->host, transports[i], 0);
    }
    return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* SRV records, in the order and with the choice by weight of RFC 2782. */
#include <string.h>

#include "cmd/probe_resolve_int.h"

/* Move the record at `from` to `to` before it; those between move up. */
static void bring(const struct probe_dns_srv **list, size_t from, size_t to)
{
    const struct probe_dns_srv *srv = list[from];

    for (size_t i = from; i > to; i--) {
        list[i] = list[i - 1];
    }
    list[to] = srv;
}

/* Of the records at `left`, `n` of them, those with the lowest priority come first; returns how
 * many these are. */
static size_t gather(const struct probe_dns_srv **left, size_t n)
{
    uint16_t lowest = UINT16_MAX;
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        lowest = left[i]->priority < lowest ? left[i]->priority : lowest;
    }
    for (size_t i = 0; i < n; i++) {
        if (left[i]->priority == lowest) {
            bring(left, i, count++);
        }
    }
    return count;
}

/* RFC 2782, "Weight": those of weight 0 first, then the first whose running sum reaches a random
 * number from 0 to the sum of all. */
static size_t draw(const struct resolve *r, const struct probe_dns_srv **left, size_t n)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        sum += left[i]->weight;
    }
    const uint32_t wanted = r->io->random(r->io->arg, sum);
    if (wanted == 0) {
        for (size_t i = 0; i < n; i++) {
            if (left[i]->weight == 0) {
                return i;
            }
        }
    }
    uint32_t running = 0;
    for (size_t i = 0; i < n; i++) {
        running += left[i]->weight;
        if (running >= wanted && left[i]->weight > 0) {
            return i;
        }
    }
    return 0;
}

static bool is_root(const char *name)
{
    return name[0] == '\0' || strcmp(name, ".") == 0;
}

/* RFC 2782, "Target": there must be addresses, and the name must not be an alias. */
static void follow(struct resolve *r, const char *owner, const struct probe_dns_srv *srv,
                   enum net_transport transport)
{
    if (srv->port == 0) {
        probe_resolve_remark(r, PROBE_WARNING, "Put the port of the server into the SRV record.",
                             "%s leads to port 0 of %s, where nobody can be", owner, srv->target);
        return;
    }
    if (probe_resolve_addresses(r, srv->target, srv->port, transport) == 0) {
        probe_resolve_remark(r, PROBE_WARNING,
                             "Give that name an A or AAAA record, or take it out of the SRV "
                             "record.",
                             "%s leads to %s, which has no address", owner, srv->target);
        return;
    }
    const struct probe_dns_answer *v4 = r->io->ask(r->io->arg, PROBE_DNS_A, srv->target);
    const struct probe_dns_answer *v6 = r->io->ask(r->io->arg, PROBE_DNS_AAAA, srv->target);
    if ((v4 != NULL && v4->alias) || (v6 != NULL && v6->alias)) {
        probe_resolve_remark(r, PROBE_WARNING,
                             "RFC 2782 forbids it, and some resolvers do not follow: put the "
                             "name that has the address into the SRV record.",
                             "%s leads to %s, which is an alias (CNAME)", owner, srv->target);
    }
}

bool probe_resolve_srv(struct resolve *r, const char *name, enum net_transport transport)
{
    const struct probe_dns_srv *left[PROBE_DNS_RECORDS];
    const struct probe_dns_answer *answer = r->io->ask(r->io->arg, PROBE_DNS_SRV, name);
    const size_t total = answer == NULL ? 0 : answer->count;

    if (total == 0) {
        return false;
    }
    if (total == 1 && is_root(answer->record[0].srv.target)) {
        probe_resolve_remark(r, PROBE_OK, NULL, "%s says that this is not offered here", name);
        return true;
    }
    for (size_t i = 0; i < total; i++) {
        left[i] = &answer->record[i].srv;
    }
    for (size_t done = 0; done < total;) {
        size_t group = gather(left + done, total - done);
        for (; group > 0; group--, done++) {
            bring(left, done + draw(r, left + done, group), done);
            const struct probe_dns_srv *srv = left[done];
            if (is_root(srv->target)) {
                probe_resolve_remark(r, PROBE_WARNING,
                                     "Take one or the other out: a target of \".\" says that the "
                                     "service is not offered.",
                                     "%s both offers servers and denies that there are any", name);
            } else {
                follow(r, name, srv, transport);
            }
        }
    }
    return true;
}

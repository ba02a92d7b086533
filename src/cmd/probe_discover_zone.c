/* SPDX-License-Identifier: Apache-2.0 */
/* What the zone of a TURN domain should have, for clients that look in different ways: by NAPTR
 * (RFC 5928, RFC 8155 section 4.2), by SRV alone (RFC 8656 section 5), or by address.  RFC 5928
 * section 4.3 advises records that go for all of them. */
#include <stdio.h>
#include <strings.h>

#include "cmd/probe_discover_int.h"

enum { ZONE_TEXT = 512 };

static const enum net_transport transports[] = {NET_UDP, NET_TCP, NET_TLS, NET_DTLS};

/* What was found in the zone. */
struct zone {
    const char *host;
    const char *server; /* a name to put into records */
    char server_text[PROBE_DNS_NAME];
    bool naptr;                             /* for RELAY */
    bool srv[PROBE_RESOLVE_TRANSPORTS];     /* of each transport */
    bool reached[PROBE_RESOLVE_TRANSPORTS]; /* some server is, the way that was gone */
    bool has_srv;
};

static bool is_relay(const struct probe_dns_naptr *naptr)
{
    return strncasecmp(naptr->service, "RELAY", 5) == 0 &&
           (naptr->service[5] == '\0' || naptr->service[5] == ':');
}

static void look(struct discover *d, struct zone *z)
{
    const struct probe_resolve_io io = probe_discover_io(d);
    const struct probe_dns_answer *answer = io.ask(io.arg, PROBE_DNS_NAPTR, z->host);

    for (size_t i = 0; answer != NULL && i < answer->count; i++) {
        z->naptr |= is_relay(&answer->record[i].naptr);
    }
    for (size_t t = 0; t < ARRAY_SIZE(transports); t++) {
        char name[PROBE_DNS_NAME];
        probe_resolve_srv_name(PROBE_RESOLVE_TURN, transports[t], z->host, name);
        answer = io.ask(io.arg, PROBE_DNS_SRV, name);
        z->srv[t] = answer != NULL && answer->count > 0;
        z->has_srv |= z->srv[t];
    }
    for (size_t i = 0; i < d->list.count; i++) {
        for (size_t t = 0; t < ARRAY_SIZE(transports); t++) {
            z->reached[t] |= d->list.server[i].transport == transports[t];
        }
    }
    z->server = d->list.count > 0 ? d->list.server[0].name : z->host;
    if (strcasecmp(z->server, z->host) == 0) {
        snprintf(z->server_text, sizeof(z->server_text), "turn.%.200s", z->host);
        z->server = z->server_text;
    }
}

static void tell_nothing(struct discover *d, const struct zone *z)
{
    char advice[2 * ZONE_TEXT];

    snprintf(advice, sizeof(advice),
             "Put into the zone: _turn._udp.%.200s. SRV 0 0 3478 %.200s. and the same for "
             "_turn._tcp; for TLS _turns._tcp with port 5349; and for each of them a record like "
             "%.200s. NAPTR 10 10 \"S\" \"RELAY:turn.udp\" \"\" _turn._udp.%.200s.",
             z->host, z->server, z->host, z->host);
    probe_discover_say(d, "zone", PROBE_WARNING, advice,
                       d->list.count == 0
                           ? "the zone has neither NAPTR nor SRV records for TURN, and the domain "
                             "has no address"
                           : "the zone has neither NAPTR nor SRV records for TURN: clients take "
                             "the addresses of the domain itself, with default ports");
}

static void tell_no_srv(struct discover *d, const struct zone *z)
{
    char advice[ZONE_TEXT + PROBE_DNS_NAME];

    snprintf(advice, sizeof(advice),
             "Add SRV records as well (RFC 5928 section 4.3): _turn._udp.%.200s. SRV 0 0 3478 "
             "%.200s.",
             z->host, z->server);
    probe_discover_say(d, "zone", PROBE_WARNING, advice,
                       "the zone has NAPTR, but no SRV records: clients that look for SRV alone "
                       "(RFC 8656), which are most, do not find the servers");
}

static void tell_no_naptr(struct discover *d, const struct zone *z)
{
    char advice[ZONE_TEXT + PROBE_DNS_NAME];

    snprintf(advice, sizeof(advice),
             "Add, for each transport: %.200s. NAPTR 10 10 \"S\" \"RELAY:turn.udp\" \"\" "
             "_turn._udp.%.200s. (turn.tcp, turn.tls, turn.dtls likewise).",
             z->host, z->host);
    probe_discover_say(d, "zone", PROBE_WARNING, advice,
                       "the zone has SRV, but no NAPTR records: clients that discover servers by "
                       "RFC 8155 do not find them, and no client is told which transport to "
                       "prefer");
}

static void tell_both(struct discover *d, const struct zone *z)
{
    char text[ZONE_TEXT];
    struct writer w = writer_over((uint8_t *)text, sizeof(text) - 1);

    for (size_t t = 0; t < ARRAY_SIZE(transports); t++) {
        if (z->srv[t] != z->reached[t]) {
            writer_bytes(&w, bytes_of(w.len == 0 ? "" : ", "));
            writer_bytes(&w, bytes_of(probe_resolve_transport(transports[t])));
            writer_bytes(&w, bytes_of(z->srv[t] ? " by SRV alone" : " by NAPTR alone"));
        }
    }
    if (w.len == 0) {
        probe_discover_say(d, "zone", PROBE_OK, NULL,
                           "NAPTR and SRV records offer the same transports: clients of all "
                           "kinds find the servers");
        return;
    }
    writer_bytes(&w, bytes_of(": clients that look in different ways find different servers"));
    text[w.len] = '\0';
    probe_discover_say(d, "zone", PROBE_WARNING,
                       "Let NAPTR and SRV records offer the same transports (RFC 5928 section "
                       "4.3).",
                       text);
}

void probe_discover_zone(struct discover *d)
{
    struct zone z = {.host = d->plan->uri.host};

    look(d, &z);
    if (d->dns_failed) {
        probe_discover_say(d, "zone", PROBE_SKIPPED, NULL,
                           "what it lacks cannot be told without answers from the DNS");
    } else if (!z.naptr && !z.has_srv) {
        tell_nothing(d, &z);
    } else if (!z.has_srv) {
        tell_no_srv(d, &z);
    } else if (!z.naptr) {
        tell_no_naptr(d, &z);
    } else {
        tell_both(d, &z);
    }
}

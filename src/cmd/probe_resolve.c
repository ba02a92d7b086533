/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_resolve.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cmd/probe_resolve_int.h"

enum { PORT = 3478, SECURE_PORT = 5349 }; /* RFC 8656 section 5 */

static bool is_secure(enum net_transport transport)
{
    return transport == NET_TLS || transport == NET_DTLS;
}

const char *probe_resolve_transport(enum net_transport transport)
{
    switch (transport) {
    case NET_TCP:
        return "tcp";
    case NET_TLS:
        return "tls";
    case NET_DTLS:
        return "dtls";
    case NET_UDP:
    case NET_PROXIED:
    default:
        return "udp";
    }
}

uint16_t probe_resolve_port(enum net_transport transport)
{
    return is_secure(transport) ? SECURE_PORT : PORT;
}

void probe_resolve_srv_name(enum probe_resolve_service service, enum net_transport transport,
                            const char *host, char out[PROBE_DNS_NAME])
{
    static const char *const names[] = {
        [PROBE_RESOLVE_TURN] = "turn",
        [PROBE_RESOLVE_STUN] = "stun",
        [PROBE_RESOLVE_BEHAVIOUR] = "stun-behavior",
    };

    snprintf(out, PROBE_DNS_NAME, "_%s%s._%s.%.200s", names[service],
             is_secure(transport) ? "s" : "", net_is_stream(transport) ? "tcp" : "udp", host);
}

void probe_resolve_remark(const struct resolve *r, enum probe_mark mark, const char *advice,
                          const char *format, ...)
{
    char text[PROBE_NOTE_TEXT];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    r->io->remark(r->io->arg, mark, text, advice);
}

static void add(struct resolve *r, const struct net_ip *ip, uint16_t port,
                enum net_transport transport, const char *name)
{
    struct probe_resolve_list *list = r->out;
    const struct net_addr addr = net_addr_make(ip, port);

    for (size_t i = 0; i < list->count; i++) {
        if (list->server[i].transport == transport &&
            net_addr_equal(&list->server[i].addr, &addr)) {
            return; /* to try it again would not help */
        }
    }
    if (list->count < PROBE_RESOLVE_FOUND) {
        struct probe_resolve_server *server = &list->server[list->count++];
        *server = (struct probe_resolve_server){.addr = addr, .transport = transport};
        snprintf(server->name, sizeof(server->name), "%s", name);
    }
}

size_t probe_resolve_addresses(struct resolve *r, const char *name, uint16_t port,
                               enum net_transport transport)
{
    static const enum probe_dns_type types[] = {PROBE_DNS_A, PROBE_DNS_AAAA};

    size_t found = 0;

    for (size_t t = 0; t < ARRAY_SIZE(types); t++) {
        const struct probe_dns_answer *answer = r->io->ask(r->io->arg, types[t], name);
        for (size_t i = 0; answer != NULL && i < answer->count; i++) {
            add(r, &answer->record[i].ip, port, transport, name);
            found++;
        }
    }
    return found;
}

static bool supports(const struct probe_resolve_wish *wish, enum net_transport transport)
{
    for (size_t i = 0; i < wish->supported_count; i++) {
        if (wish->supported[i] == transport) {
            return true;
        }
    }
    return false;
}

/* Table 1 of RFC 5928, with the row of RFC 7350 section 4.6.2. */
static const struct {
    bool secure;
    const char *name;
    enum net_transport transport;
    const char *unsupported;
} table_1[] = {
    {false, "udp", NET_UDP, "UDP is asked for, but not supported"},
    {false, "tcp", NET_TCP, "TCP is asked for, but not supported"},
    {true, "tcp", NET_TLS, "TLS is asked for, but not supported"},
    {true, "udp", NET_DTLS, "DTLS is asked for, but not supported"},
};

/* The checks of RFC 5928 section 3 for a defined transport. */
static const char *choose(struct resolve *r)
{
    const struct probe_resolve_wish *wish = r->wish;

    for (size_t i = 0; i < ARRAY_SIZE(table_1); i++) {
        if (table_1[i].secure == wish->secure &&
            strcasecmp(table_1[i].name, wish->transport) == 0) {
            r->transports[0] = table_1[i].transport;
            r->transport_count = 1;
            return supports(wish, table_1[i].transport) ? NULL : table_1[i].unsupported;
        }
    }
    return "the transport is unknown: it is udp or tcp, with turns: for DTLS and TLS";
}

/* The checks and the filter for a transport that is not defined. */
static const char *filter(struct resolve *r)
{
    const struct probe_resolve_wish *wish = r->wish;

    for (size_t i = 0; i < wish->supported_count; i++) {
        if (!wish->secure || is_secure(wish->supported[i])) {
            r->transports[r->transport_count++] = wish->supported[i];
        }
    }
    return r->transport_count > 0 ? NULL
           : wish->secure         ? "a secure transport is asked for, but neither TLS nor DTLS is "
                                    "supported"
                                  : "no transport is supported";
}

/* Steps 1 and 2: an address, or a port that says where on the host. */
static void resolve_directly(struct resolve *r, const struct net_ip *ip)
{
    for (size_t i = 0; i < r->transport_count; i++) {
        const enum net_transport transport = r->transports[i];
        const uint16_t port = r->wish->port != 0 ? r->wish->port : probe_resolve_port(transport);
        if (ip != NULL) {
            add(r, ip, port, transport, r->wish->host);
        } else {
            (void)probe_resolve_addresses(r, r->wish->host, port, transport);
        }
    }
}

/* Steps 3 and 5: SRV, and addresses where there is none. */
static void resolve_by_srv(struct resolve *r)
{
    for (size_t i = 0; i < r->transport_count; i++) {
        const enum net_transport transport = r->transports[i];
        char name[PROBE_DNS_NAME];
        probe_resolve_srv_name(r->wish->service, transport, r->wish->host, name);
        if (!probe_resolve_srv(r, name, transport) && r->wish->service != PROBE_RESOLVE_BEHAVIOUR) {
            (void)probe_resolve_addresses(r, r->wish->host, probe_resolve_port(transport),
                                          transport);
        }
    }
}

int probe_resolve_run(const struct probe_resolve_wish *wish, const struct probe_resolve_io *io,
                      struct probe_resolve_list *out, const char **out_why)
{
    struct resolve r = {.wish = wish, .io = io, .out = out};
    const bool chosen = wish->transport[0] != '\0';
    struct net_ip ip;

    out->count = 0;
    *out_why = chosen ? choose(&r) : filter(&r);
    if (*out_why != NULL) {
        return -EINVAL;
    }
    if (net_ip_parse(wish->host, &ip) == 0) {
        resolve_directly(&r, &ip);
    } else if (wish->port != 0) {
        resolve_directly(&r, NULL);
    } else if (chosen || wish->service != PROBE_RESOLVE_TURN || !probe_resolve_naptr(&r)) {
        resolve_by_srv(&r);
    }
    return out->count > 0 ? 0 : -ENOENT;
}

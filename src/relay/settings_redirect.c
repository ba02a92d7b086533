/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of redirects: alternate servers, this server's own addresses that clients are spread
 * over, and what stands for an anycast address (RFC 8155). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/conf_value.h"
#include "log/log.h"
#include "relay/external.h"
#include "relay/interfaces.h"
#include "relay/listener.h"
#include "relay/settings_int.h"

enum { MAX_REDIRECTS = 3 };

static bool is_any(const struct net_ip *ip)
{
    static const uint8_t zero[16];
    const bool v4 = net_ip_is_v4(ip);

    return memcmp(v4 ? net_ip_v4_bytes(ip) : ip->b, zero, v4 ? 4 : 16) == 0;
}

static bool serves(const struct listener_spec *item, enum turn_alternate_kind kind)
{
    switch (kind) {
    case TURN_ALTERNATE_UDP:
        return !item->stream && item->plain;
    case TURN_ALTERNATE_TCP:
        return item->stream && item->plain && !item->proxy;
    case TURN_ALTERNATE_TLS:
    default:
        return item->secure && !item->proxy;
    }
}

/* --- this server under another name ------------------------------------------------------------
 */

/* Does `ip` lead to us, as ours or by the public face of one that is? */
static bool is_ours(const struct settings_input *in, const struct net_ip *ip)
{
    for (size_t i = 0; i < in->external->count; i++) {
        if (net_ip_equal(&in->external->pairs[i].public_ip, ip)) {
            return true;
        }
    }
    return interfaces_have(in->own, ip);
}

static bool leads_here(const struct settings_input *in, const struct net_addr *addr,
                       enum turn_alternate_kind kind)
{
    for (size_t i = 0; i < in->listeners->count; i++) {
        const struct listener_spec *item = &in->listeners->item[i];
        const struct net_addr outside = external_relayed(in->external, &item->addr);

        if (item->addr.port != addr->port || item->addr.family != addr->family ||
            (kind != TURN_ALTERNATE_TLS && item->stream != (kind == TURN_ALTERNATE_TCP))) {
            continue;
        }
        if (is_any(&item->addr.ip)
                ? is_ours(in, &addr->ip)
                : net_ip_equal(&item->addr.ip, &addr->ip) || net_ip_equal(&outside.ip, &addr->ip)) {
            return true;
        }
    }
    return false;
}

/* --- alternate servers -------------------------------------------------------------------------
 */

/* A server that sends its clients to itself never serves them: such an alternate is left out. */
static int put_list(const struct settings_input *in, const struct conf_list *list,
                    enum turn_alternate_kind kind, struct settings *settings, char *why, size_t cap)
{
    struct turn_alternates *out = &settings->config.alternates[kind];

    if (list->count > TURN_MAX_ALTERNATES) {
        (void)snprintf(why, cap, "more than %d alternate servers", TURN_MAX_ALTERNATES);
        return -EINVAL;
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct conf_text *item = &list->items[i];
        struct turn_alternate *alternate = &out->items[out->count];
        struct conf_endpoint endpoint;

        if (conf_endpoint_parse(item->text, kind == TURN_ALTERNATE_TLS ? 5349 : 3478, &endpoint) <
            0) {
            (void)snprintf(why, cap, "%s:%u: alternate server %s is not an address", item->file,
                           item->line, item->text);
            return -EINVAL;
        }
        if (leads_here(in, &endpoint.addr, kind)) {
            settings->alternates_left_out++;
            continue;
        }
        alternate->addr = endpoint.addr;
        memcpy(alternate->domain, endpoint.domain.p, endpoint.domain.n); /* at most 255 bytes */
        alternate->domain[endpoint.domain.n] = 0;
        out->count++;
    }
    return 0;
}

/* alternate-server is for UDP and TCP, unless they have lists of their own. */
static int put_alternates(const struct settings_input *in, struct settings *settings, char *why,
                          size_t cap)
{
    const struct conf *conf = in->conf;
    const struct conf_list *any = &conf->alternate_server;
    const struct conf_list *udp = &conf->udp_alternate_server;
    const struct conf_list *tcp = &conf->tcp_alternate_server;
    int err = put_list(in, udp->count > 0 ? udp : any, TURN_ALTERNATE_UDP, settings, why, cap);

    err = err == 0
              ? put_list(in, tcp->count > 0 ? tcp : any, TURN_ALTERNATE_TCP, settings, why, cap)
              : err;
    return err == 0
               ? put_list(in, &conf->tls_alternate_server, TURN_ALTERNATE_TLS, settings, why, cap)
               : err;
}

/* --- our own addresses -------------------------------------------------------------------------
 */

/* Once; false when it is there already, or there is no room. */
static bool list_add(struct turn_alternates *list, const struct net_addr *addr)
{
    for (size_t i = 0; i < list->count; i++) {
        if (net_addr_equal(&list->items[i].addr, addr)) {
            return false;
        }
    }
    if (list->count == TURN_MAX_ALTERNATES) {
        return false;
    }
    list->items[list->count].domain[0] = 0;
    list->items[list->count++].addr = *addr;
    return true;
}

/* udp-self-balance: a client is told the public face of an aux-server, and comes to the address
 * that it is bound to.  An aux-server without an address of its own cannot be told to anyone. */
static void put_balance(const struct settings_input *in, struct turn_config *config)
{
    const struct conf *conf = in->conf;

    for (size_t i = 0; conf->udp_self_balance && !conf->no_udp && i < conf->aux_server.count; i++) {
        struct net_addr bound;

        if (net_addr_parse(conf->aux_server.items[i].text, 0, &bound) < 0 || is_any(&bound.ip)) {
            continue;
        }
        const struct net_addr told = external_relayed(in->external, &bound);
        if (list_add(&config->balance, &told)) {
            config->balance_bound[config->balance.count - 1] = bound;
        }
    }
}

static bool is_anycast(const struct turn_config *config, const struct net_ip *ip)
{
    for (size_t i = 0; i < config->anycast_count; i++) {
        if (net_ip_equal(&config->anycast[i], ip)) {
            return true;
        }
    }
    return false;
}

/* Clients of `item` can be told `ip`, if that is no anycast address, too. */
static void add_unicast(const struct settings_input *in, struct turn_config *config,
                        const struct listener_spec *item, const struct net_ip *ip)
{
    const struct net_addr bound = net_addr_make(ip, item->addr.port);
    const struct net_addr told = external_relayed(in->external, &bound);

    for (int kind = 0; !is_anycast(config, ip) && kind < TURN_ALTERNATE_KINDS; kind++) {
        if (serves(item, (enum turn_alternate_kind)kind)) {
            (void)list_add(&config->anycast_to[kind], &told);
        }
    }
}

/* Nobody says where: whatever else is listened on. */
static void put_unicast(const struct settings_input *in, struct turn_config *config)
{
    for (size_t i = 0; i < in->listeners->count; i++) {
        const struct listener_spec *item = &in->listeners->item[i];

        if (!is_any(&item->addr.ip)) {
            add_unicast(in, config, item, &item->addr.ip);
            continue;
        }
        for (size_t k = 0; k < in->own->count; k++) {
            const struct interface_address *own = &in->own->items[k];
            const uint8_t family = net_ip_is_v4(&own->ip) ? NET_V4 : NET_V6;

            if (family == item->addr.family && !own->loopback && !own->link_local && !own->down) {
                add_unicast(in, config, item, &own->ip);
            }
        }
    }
}

/* An address of anycast-unicast, at its port or at every one where such clients are served. */
static void add_named(const struct settings_input *in, struct turn_config *config,
                      const struct net_addr *addr, enum turn_alternate_kind kind)
{
    struct net_addr at = *addr;

    if (addr->port != 0) {
        (void)list_add(&config->anycast_to[kind], addr);
        return;
    }
    for (size_t i = 0; i < in->listeners->count; i++) {
        const struct listener_spec *item = &in->listeners->item[i];

        if (serves(item, kind) && item->addr.family == addr->family) {
            at.port = item->addr.port;
            (void)list_add(&config->anycast_to[kind], &at);
        }
    }
}

static int put_anycast(const struct settings_input *in, struct turn_config *config, char *why,
                       size_t cap)
{
    const struct conf_list *list = &in->conf->anycast_ip;
    const struct conf_list *to = &in->conf->anycast_unicast;

    if (list->count > TURN_MAX_ANYCAST) {
        (void)snprintf(why, cap, "more than %d addresses of anycast-ip", TURN_MAX_ANYCAST);
        return -EINVAL;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (net_ip_parse(list->items[i].text, &config->anycast[i]) < 0) {
            return -EINVAL; /* the loader has judged it */
        }
    }
    config->anycast_count = list->count;
    for (size_t i = 0; list->count > 0 && i < to->count; i++) {
        struct net_addr addr;

        if (net_addr_parse(to->items[i].text, 0, &addr) < 0) {
            return -EINVAL;
        }
        for (int kind = 0; kind < TURN_ALTERNATE_KINDS; kind++) {
            add_named(in, config, &addr, (enum turn_alternate_kind)kind);
        }
    }
    if (list->count > 0 && to->count == 0) {
        put_unicast(in, config);
    }
    return 0;
}

int settings_put_redirects(const struct settings_input *in, struct settings *settings, char *why,
                           size_t cap)
{
    struct turn_config *config = &settings->config;

    config->max_redirects = MAX_REDIRECTS;
    config->redirect_only = in->conf->redirect_only;
    if (config->redirect_only) { /* who is sent away does not mind what could be relayed here */
        config->udp_relay = config->tcp_relay = true;
        config->ipv4_relay = config->ipv6_relay = true;
    }
    put_balance(in, config);
    const int err = put_alternates(in, settings, why, cap);
    return err == 0 ? put_anycast(in, config, why, cap) : err;
}

void settings_tell_redirects(const struct settings *now, const struct settings *was)
{
    if (now->alternates_left_out > (was != NULL ? was->alternates_left_out : 0)) {
        log_event(LOG_WARNING, "alternates.left_out", LOG_U64("count", now->alternates_left_out),
                  LOG_TEXT("why", "they are addresses that this server listens on"), LOG_END);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/listener.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/conf_behaviour.h"
#include "conf/conf_listener.h"

/* A plan in the making. */
struct maker {
    const struct conf *conf;
    struct conf_behaviour behaviour;
    struct listener_plan *plan;
    size_t sections; /* so many items come from [listener] sections: they have precedence */
    char *why;
    size_t cap;
};

const char *listener_text(const struct listener_spec *spec, char out[LISTENER_TEXT])
{
    char addr[NET_ADDR_TEXT];

    (void)snprintf(out, LISTENER_TEXT, "%s/%s", net_addr_text(&spec->addr, addr),
                   spec->stream ? "tcp" : "udp");
    return out;
}

static struct listener_spec *find(struct maker *m, const struct net_addr *addr, bool stream)
{
    for (size_t i = 0; i < m->plan->count; i++) {
        struct listener_spec *item = &m->plan->item[i];

        if (item->stream == stream && net_addr_equal(&item->addr, addr)) {
            return item;
        }
    }
    return NULL;
}

/* Listening ports that are one (listening-port=443, tls-listening-port=443) take what both take. */
static int merge(struct maker *m, struct listener_spec *old, const struct listener_spec *spec)
{
    char text[LISTENER_TEXT];

    if (old < m->plan->item + m->sections) { /* a section stands in for what the options ask for */
        return 0;
    }
    if (old->proxy != spec->proxy) {
        (void)snprintf(m->why, m->cap,
                       "%s is to be served both with and without the PROXY protocol: see "
                       "tcp-proxy-port and aux-server",
                       listener_text(spec, text));
        return -EINVAL;
    }
    old->plain = old->plain || spec->plain;
    old->secure = old->secure || spec->secure;
    return 0;
}

static int add(struct maker *m, const struct listener_spec *spec)
{
    struct listener_spec *old = find(m, &spec->addr, spec->stream);

    if (!spec->plain && !spec->secure) {
        return 0;
    }
    if (old != NULL) {
        return merge(m, old, spec);
    }
    if (m->plan->count == LISTENER_MAX) {
        (void)snprintf(m->why, m->cap, "more than %d listeners (addresses, ports, transports)",
                       LISTENER_MAX);
        return -ENOSPC;
    }
    m->plan->item[m->plan->count++] = *spec;
    return 0;
}

static int add_transport(struct maker *m, const struct net_addr *addr,
                         enum conf_transport transport, const struct conf_listener *listener)
{
    struct listener_spec spec = {
        .addr = *addr,
        .stream = transport == CONF_TCP,
        .plain = listener->takes[transport].plain,
        .secure = listener->takes[transport].secure,
        .proxy = listener->proxy,
    };

    (void)snprintf(spec.tls_name, sizeof(spec.tls_name), "%s", listener->tls_name);
    return add(m, &spec);
}

/* --- [listener] sections -----------------------------------------------------------------------
 */

static int add_section_address(struct maker *m, const struct conf_section *section,
                               const struct net_addr *addr)
{
    const struct conf_listener listener = conf_listener_read(m->conf, section);
    char text[LISTENER_TEXT];
    int err = 0;

    for (int t = 0; err == 0 && t < CONF_TRANSPORTS; t++) {
        const struct listener_spec *old = find(m, addr, t == CONF_TCP);

        if (old != NULL && (listener.takes[t].plain || listener.takes[t].secure)) {
            (void)snprintf(m->why, m->cap, "%s:%u: there is a [listener] on %s already",
                           section->file, section->line, listener_text(old, text));
            return -EINVAL;
        }
        err = add_transport(m, addr, (enum conf_transport)t, &listener);
    }
    return err;
}

static int add_section(struct maker *m, const struct conf_section *section)
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < section->count; i++) {
        struct net_addr addr;

        if (strcmp(section->pairs[i].key, "address") != 0) {
            continue;
        }
        err = net_addr_parse(section->pairs[i].value, (uint16_t)m->conf->listening_port, &addr);
        if (err < 0) {
            (void)snprintf(m->why, m->cap, "%s:%u: %s is not an address", section->file,
                           section->pairs[i].line, section->pairs[i].value);
            return -EINVAL;
        }
        err = add_section_address(m, section, &addr);
    }
    return err;
}

static int add_sections(struct maker *m)
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < m->conf->section_count; i++) {
        if (strcmp(m->conf->sections[i].kind, "listener") == 0) {
            err = add_section(m, &m->conf->sections[i]);
        }
    }
    m->sections = m->plan->count;
    return err;
}

/* --- what the options ask for ------------------------------------------------------------------
 */

/* A port for each way to be reached: one without TLS that takes TLS, too, and the other way round;
 * `tls_port` 0: without that. */
static int add_ports_at(struct maker *m, const struct net_addr *base, uint32_t port,
                        uint32_t tls_port)
{
    const struct conf_listener all = conf_listener_default(m->conf);
    struct net_addr addr = *base;
    int err = 0;

    for (int t = 0; err == 0 && t < CONF_TRANSPORTS; t++) {
        addr.port = (uint16_t)port;
        if (all.takes[t].plain) {
            err = add_transport(m, &addr, (enum conf_transport)t, &all);
        }
        addr.port = (uint16_t)tls_port;
        if (err == 0 && all.takes[t].secure && addr.port != 0) {
            err = add_transport(m, &addr, (enum conf_transport)t, &all);
        }
    }
    return err;
}

/* The ports of clients; those that they are answered from to see what their NAT does (RFC 5780);
 * that of balancers. */
static int add_ports(struct maker *m, const struct net_addr *base)
{
    const struct conf *conf = m->conf;
    const struct conf_behaviour *behaviour = &m->behaviour;
    struct conf_listener all = conf_listener_default(conf);
    struct net_addr addr = *base;
    int err = add_ports_at(m, base, conf->listening_port, conf->tls_listening_port);

    if (err == 0 && conf_behaviour_has(behaviour, &base->ip)) {
        err = add_ports_at(m, base, behaviour->port[1], behaviour->tls_port[1]);
    }
    addr.port = (uint16_t)conf->tcp_proxy_port;
    all.proxy = true;
    return err == 0 && addr.port != 0 ? add_transport(m, &addr, CONF_TCP, &all) : err;
}

/* Like listening-port, elsewhere. */
static int add_aux(struct maker *m, const struct net_addr *addr)
{
    const struct conf_listener all = conf_listener_default(m->conf);
    int err = 0;

    for (int t = 0; err == 0 && t < CONF_TRANSPORTS; t++) {
        if (all.takes[t].plain) {
            err = add_transport(m, addr, (enum conf_transport)t, &all);
        }
    }
    return err;
}

static int add_texts(struct maker *m, const struct conf_list *list,
                     int (*add_one)(struct maker *m, const struct net_addr *addr))
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < list->count; i++) {
        struct net_addr addr;

        if (net_addr_parse(list->items[i].text, (uint16_t)m->conf->listening_port, &addr) < 0) {
            (void)snprintf(m->why, m->cap, "%s:%u: %s is not an address", list->items[i].file,
                           list->items[i].line, list->items[i].text);
            return -EINVAL;
        }
        err = add_one(m, &addr);
    }
    return err;
}

/* Every address of both families. */
static int add_wildcards(struct maker *m)
{
    static const char *const any[] = {"0.0.0.0", "::"};
    int err = 0;

    for (size_t i = 0; err == 0 && i < ARRAY_SIZE(any); i++) {
        struct net_addr addr;

        err = net_addr_parse(any[i], 0, &addr);
        err = err == 0 ? add_ports(m, &addr) : err;
    }
    return err;
}

int listener_plan_read(const struct conf *conf, struct listener_plan *out, char *why, size_t cap)
{
    struct maker m = {
        .conf = conf,
        .behaviour = conf_behaviour_read(conf),
        .plan = out,
        .why = why,
        .cap = cap,
    };

    out->count = 0;
    out->buffer_bytes = conf->sock_buf_size;
    out->backlog = conf->tcp_backlog;
    int err = add_sections(&m);
    if (err == 0) {
        err = conf->listening_ip.count > 0 ? add_texts(&m, &conf->listening_ip, add_ports)
                                           : add_wildcards(&m);
    }
    err = err == 0 ? add_texts(&m, &conf->aux_server, add_aux) : err;
    if (err == 0 && out->count == 0) {
        (void)snprintf(why, cap, "nothing is left to serve: see no-udp, no-tcp, no-tls and cert");
        err = -EINVAL;
    }
    return err;
}

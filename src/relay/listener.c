/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/listener.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "io/udp.h"

static const char *advice(int err)
{
    switch (err) {
    case -EADDRINUSE:
        return "another program uses that port (see `ss -ulpn`); stop it, or choose another "
               "listening-port";
    case -EADDRNOTAVAIL:
        return "this host does not have that address; correct listening-ip or aux-server";
    case -EACCES:
    case -EPERM:
        return "ports below 1024 need root or CAP_NET_BIND_SERVICE";
    case -EMFILE:
    case -ENFILE:
        return "too few file descriptors: raise LimitNOFILE or `ulimit -n`";
    default:
        return "see listening-ip, listening-port and aux-server";
    }
}

static int explain(const struct net_addr *addr, int err, char *why, size_t cap)
{
    char text[NET_ADDR_TEXT];

    (void)snprintf(why, cap, "cannot listen on %s/udp: %s: %s", net_addr_text(addr, text),
                   strerror(-err), advice(err));
    return err;
}

/* Bind without SO_REUSEPORT for a moment: with it, a second server on the same address would take
 * half of the clients and nobody would be told. */
static int try_alone(const struct net_addr *addr)
{
    const struct udp_options options = {.local = *addr};
    struct udp_port port;
    const int err = udp_open(&options, &port);

    if (err == 0) {
        udp_close(&port);
    }
    return err;
}

static int add(struct listener_plan *plan, const struct net_addr *addr, char *why, size_t cap)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (net_addr_equal(&plan->addr[i], addr)) {
            return 0;
        }
    }
    if (plan->count == LISTENER_MAX) {
        (void)snprintf(why, cap, "more than %d listening addresses", LISTENER_MAX);
        return -ENOSPC;
    }
    const int err = try_alone(addr);
    if (err < 0) {
        return explain(addr, err, why, cap);
    }
    plan->addr[plan->count++] = *addr;
    return 0;
}

static int add_texts(struct listener_plan *plan, const struct conf_list *list, uint16_t port,
                     char *why, size_t cap)
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < list->count; i++) {
        struct net_addr addr;
        err = net_addr_parse(list->items[i].text, port, &addr);
        if (err < 0) {
            (void)snprintf(why, cap, "%s:%u: %s is not an address", list->items[i].file,
                           list->items[i].line, list->items[i].text);
            return err;
        }
        err = add(plan, &addr, why, cap);
    }
    return err;
}

/* Every address of both families; a host without IPv6 is not an error. */
static int add_wildcards(struct listener_plan *plan, uint16_t port, char *why, size_t cap)
{
    static const char *const any[] = {"0.0.0.0", "::"};
    int err = 0;

    for (size_t i = 0; err == 0 && i < ARRAY_SIZE(any); i++) {
        struct net_addr addr;
        err = net_addr_parse(any[i], port, &addr);
        if (err == 0) {
            err = add(plan, &addr, why, cap);
        }
        if (err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL) {
            err = 0;
        }
    }
    return err;
}

int listener_plan_make(const struct conf *conf, struct listener_plan *out, char *why, size_t cap)
{
    const uint16_t port = (uint16_t)conf->listening_port;
    int err = 0;

    out->count = 0;
    out->buffer_bytes = conf->sock_buf_size;
    if (conf->no_udp) {
        (void)snprintf(why, cap, "no-udp leaves nothing to serve: this version has UDP only");
        return -EINVAL;
    }
    if (conf->listening_ip.count > 0) {
        err = add_texts(out, &conf->listening_ip, port, why, cap);
    } else {
        err = add_wildcards(out, port, why, cap);
    }
    if (err == 0) {
        err = add_texts(out, &conf->aux_server, port, why, cap);
    }
    if (err == 0 && out->count == 0) {
        (void)snprintf(why, cap, "this host has no address to listen on");
        err = -EADDRNOTAVAIL;
    }
    return err;
}

int listener_open(const struct listener_plan *plan, size_t i, struct udp_port *out, char *why,
                  size_t cap)
{
    const struct udp_options options = {
        .local = plan->addr[i],
        .share = true,
        .ask_tos = true,
        .ask_drops = true,
        .buffer_bytes = plan->buffer_bytes,
    };
    const int err = udp_open(&options, out);

    return err < 0 ? explain(&plan->addr[i], err, why, cap) : 0;
}

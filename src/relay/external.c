/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/external.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "conf/conf_value.h"
#include "relay/interfaces.h"

static const struct net_ip *public_of(const struct external_map *map, const struct net_ip *ip)
{
    for (size_t i = 0; i < map->count; i++) {
        if (net_ip_equal(&map->pairs[i].private_ip, ip)) {
            return &map->pairs[i].public_ip;
        }
    }
    return NULL;
}

static int add_pair(struct external_map *map, const struct net_ip *private_ip,
                    const struct net_ip *public_ip)
{
    if (public_of(map, private_ip) != NULL) {
        return 0; /* the first one holds: a pair goes before a plain address */
    }
    if (map->count == EXTERNAL_MAX) {
        return -ENOSPC;
    }
    map->pairs[map->count++] = (struct external_pair){*private_ip, *public_ip};
    return 0;
}

/* Pairs, and which families have a plain address. */
static int read_options(struct external_map *map, const struct conf *conf, char *why, size_t cap)
{
    for (size_t i = 0; i < conf->external_ip.count; i++) {
        const struct conf_text *item = &conf->external_ip.items[i];
        struct conf_external e;
        if (conf_external_parse(item->text, &e) < 0) {
            (void)snprintf(why, cap,
                           "%s:%u: external-ip %s is not \"public\" or \"public/private\"",
                           item->file, item->line, item->text);
            return -EINVAL;
        }
        const int family = net_ip_is_v4(&e.public_ip) ? 0 : 1;
        if (e.has_private) {
            if (add_pair(map, &e.private_ip, &e.public_ip) < 0) {
                (void)snprintf(why, cap, "more than %d external-ip pairs", EXTERNAL_MAX);
                return -EINVAL;
            }
        } else if (map->plain[family]) {
            (void)snprintf(why, cap,
                           "%s:%u: a second external-ip without a local address for one address "
                           "family: write public/private pairs",
                           item->file, item->line);
            return -EINVAL;
        } else {
            map->plain[family] = true;
            map->plain_ip[family] = e.public_ip;
        }
    }
    return 0;
}

/* Which local addresses a plain public address stands for: those that relays may be bound to, the
 * one that peers are best reached from first. */
static void resolve_plain(struct external_map *map, const struct conf *conf,
                          const struct interfaces *own, uint8_t family)
{
    const struct net_ip *public_ip = &map->plain_ip[family - 1];
    struct net_ip ip;
    int err = 0;

    if (conf->relay_ip.count > 0) {
        for (size_t i = 0; err == 0 && i < conf->relay_ip.count; i++) {
            if (net_ip_parse(conf->relay_ip.items[i].text, &ip) == 0 &&
                net_ip_is_v4(&ip) == (family == NET_V4)) {
                err = add_pair(map, &ip, public_ip);
            }
        }
        return;
    }
    if (interfaces_best(own, NULL, family, &ip)) {
        err = add_pair(map, &ip, public_ip);
    }
    for (size_t i = 0; err == 0 && i < own->count; i++) {
        const struct interface_address *item = &own->items[i];
        if (!item->loopback && !item->link_local && net_ip_is_v4(&item->ip) == (family == NET_V4)) {
            err = add_pair(map, &item->ip, public_ip);
        }
    }
}

/* One public address stands for one local address: with two, each port of it would have two owners,
 * and a peer behind it could be reached on the first only.  So no more than one relay-ip of a
 * family may be without a pair of its own.  (Without relay-ip the relay addresses follow the
 * clients, who as a rule all reach the one address that the NAT forwards to.) */
static int check_plain(const struct external_map *map, const struct conf *conf, uint8_t family,
                       char *why, size_t cap)
{
    bool found = false;
    struct net_ip first = {{0}};
    struct net_ip ip;

    for (size_t i = 0; i < conf->relay_ip.count; i++) {
        const struct conf_text *item = &conf->relay_ip.items[i];
        if (net_ip_parse(item->text, &ip) < 0 || net_ip_is_v4(&ip) != (family == NET_V4) ||
            public_of(map, &ip) != NULL || (found && net_ip_equal(&ip, &first))) {
            continue;
        }
        if (found) {
            (void)snprintf(why, cap,
                           "%s:%u: external-ip without a local address cannot stand for a second "
                           "relay-ip (%s): write an external-ip=public/local pair for each",
                           item->file, item->line, item->text);
            return -EINVAL;
        }
        found = true;
        first = ip;
    }
    return 0;
}

int external_map_new(const struct conf *conf, const struct interfaces *own,
                     struct external_map **out, char *why, size_t cap)
{
    struct external_map *map = mem_new(1, sizeof(*map));
    if (map == NULL) {
        return -ENOMEM;
    }
    map->port_min = (uint16_t)conf->min_port;
    map->port_max = (uint16_t)conf->max_port;
    int err = read_options(map, conf, why, cap);
    for (uint8_t family = NET_V4; err == 0 && family <= NET_V6; family++) {
        err = map->plain[family - 1] ? check_plain(map, conf, family, why, cap) : 0;
    }
    if (err < 0) {
        free(map);
        return err;
    }
    if (map->plain[0]) {
        resolve_plain(map, conf, own, NET_V4);
    }
    if (map->plain[1]) {
        resolve_plain(map, conf, own, NET_V6);
    }
    *out = map;
    return 0;
}

void external_map_free(struct external_map *map)
{
    free(map);
}

struct net_addr external_relayed(const struct external_map *map, const struct net_addr *bound)
{
    const struct net_ip *ip = public_of(map, &bound->ip);

    return ip != NULL ? net_addr_make(ip, bound->port) : *bound;
}

static bool relay_port(const struct external_map *map, const struct net_addr *addr)
{
    return addr->port >= map->port_min && addr->port <= map->port_max;
}

void external_to_private(const struct external_map *map, struct net_addr *addr)
{
    if (!relay_port(map, addr)) {
        return;
    }
    for (size_t i = 0; i < map->count; i++) {
        if (net_ip_equal(&map->pairs[i].public_ip, &addr->ip)) {
            addr->ip = map->pairs[i].private_ip;
            return;
        }
    }
}

void external_to_public(const struct external_map *map, struct net_addr *addr)
{
    if (!relay_port(map, addr)) {
        return;
    }
    const struct net_ip *ip = public_of(map, &addr->ip);
    if (ip != NULL) {
        addr->ip = *ip;
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/interfaces.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static bool ip_loopback(const struct net_ip *ip)
{
    static const uint8_t one[16] = {[15] = 1};

    return net_ip_is_v4(ip) ? net_ip_v4_bytes(ip)[0] == 127 : memcmp(ip->b, one, 16) == 0;
}

bool interfaces_link_local(const struct net_ip *ip)
{
    const uint8_t *v4 = net_ip_v4_bytes(ip);

    return net_ip_is_v4(ip) ? v4[0] == 169 && v4[1] == 254
                            : ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80;
}

bool interfaces_private(const struct net_ip *ip)
{
    const uint8_t *v4 = net_ip_v4_bytes(ip);

    if (!net_ip_is_v4(ip)) {
        return (ip->b[0] & 0xfe) == 0xfc;
    }
    return v4[0] == 10 || (v4[0] == 172 && (v4[1] & 0xf0) == 16) ||
           (v4[0] == 192 && v4[1] == 168) || (v4[0] == 100 && (v4[1] & 0xc0) == 64);
}

/* The address that one entry of getifaddrs(3) tells; false when it tells none. */
static bool entry_address(const struct ifaddrs *entry, struct net_addr *out)
{
    struct sockaddr_storage ss = {.ss_family = AF_UNSPEC};

    if (entry->ifa_addr == NULL) {
        return false;
    }
    if (entry->ifa_addr->sa_family == AF_INET) {
        memcpy(&ss, entry->ifa_addr, sizeof(struct sockaddr_in));
    } else if (entry->ifa_addr->sa_family == AF_INET6) {
        memcpy(&ss, entry->ifa_addr, sizeof(struct sockaddr_in6));
    }
    return net_addr_from_sockaddr(&ss, out) == 0;
}

static size_t entries_count(const struct ifaddrs *first)
{
    struct net_addr addr;
    size_t count = 0;

    for (const struct ifaddrs *entry = first; entry != NULL; entry = entry->ifa_next) {
        count += entry_address(entry, &addr) ? 1 : 0;
    }
    return count;
}

int interfaces_read(struct interfaces *out)
{
    struct ifaddrs *first;

    *out = (struct interfaces){0, NULL};
    if (getifaddrs(&first) < 0) {
        return -errno;
    }
    const size_t count = entries_count(first);
    struct interface_address *items = mem_new(count + 1, sizeof(*items));
    if (items == NULL) {
        freeifaddrs(first);
        return -ENOMEM;
    }
    for (const struct ifaddrs *entry = first; entry != NULL; entry = entry->ifa_next) {
        struct net_addr addr;
        if (entry_address(entry, &addr)) {
            items[out->count++] = (struct interface_address){
                .ip = addr.ip,
                .index = if_nametoindex(entry->ifa_name),
                .loopback = ip_loopback(&addr.ip),
                .link_local = interfaces_link_local(&addr.ip),
                .down = (entry->ifa_flags & IFF_UP) == 0,
            };
        }
    }
    freeifaddrs(first);
    out->items = items;
    return 0;
}

void interfaces_fini(struct interfaces *list)
{
    free(list->items);
    *list = (struct interfaces){0, NULL};
}

static const struct interface_address *find(const struct interfaces *list, const struct net_ip *ip)
{
    for (size_t i = 0; ip != NULL && i < list->count; i++) {
        if (net_ip_equal(&list->items[i].ip, ip)) {
            return &list->items[i];
        }
    }
    return NULL;
}

bool interfaces_have(const struct interfaces *list, const struct net_ip *ip)
{
    return find(list, ip) != NULL;
}

bool interfaces_same(const struct interfaces *a, const struct interfaces *b)
{
    bool same = a->count == b->count;

    for (size_t i = 0; same && i < a->count; i++) {
        const struct interface_address *x = &a->items[i];
        const struct interface_address *y = &b->items[i];
        same = net_ip_equal(&x->ip, &y->ip) && x->index == y->index && x->down == y->down;
    }
    return same;
}

bool interfaces_best(const struct interfaces *list, const struct net_ip *near, uint8_t family,
                     struct net_ip *out)
{
    const struct interface_address *home = find(list, near);
    const bool loopback = near != NULL && ip_loopback(near);
    int best = 0;

    for (size_t i = 0; i < list->count; i++) {
        const struct interface_address *item = &list->items[i];
        const bool same_family = net_ip_is_v4(&item->ip) == (family == NET_V4);
        if (!same_family || item->down || item->link_local || item->loopback != loopback) {
            continue;
        }
        const int score = 1 + (interfaces_private(&item->ip) ? 0 : 4) +
                          (home != NULL && home->index == item->index ? 2 : 0);
        if (score > best) {
            best = score;
            *out = item->ip;
        }
    }
    return best > 0;
}

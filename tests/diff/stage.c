/* SPDX-License-Identifier: Apache-2.0 */
#include "diff/stage.h"

#include <assert.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "base/attr.h"
#include "base/bytes.h"

static const char *const names[STAGE_INTERFACES] = {"near0", "near1"};
static const uint8_t macs[STAGE_INTERFACES][FRAME_MAC] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};

/* The first is a small one: its neighbours are written down one by one. */
static const struct stage_net nets[] = {
    {"192.0.2.16", 8, STAGE_A, NULL, STAGE_MTU},
    {"198.51.100.0", 64, STAGE_A, "192.0.2.2", STAGE_MTU},
    {"198.51.100.64", 64, STAGE_A, "2001:db8::2", STAGE_MTU}, /* IPv4 by an IPv6 router */
    {"203.0.113.0", 64, STAGE_B, "10.9.9.2", STAGE_MTU},
    {"203.0.113.64", 16, STAGE_B, "10.9.9.2", STAGE_NARROW},
    {"203.0.113.80", 8, STAGE_B, "10.9.9.3", 0}, /* nobody knows that router's link address */
    {"203.0.113.88", 8, STAGE_B, NULL, 0},       /* no route */
    {"2001:db8::10", 8, STAGE_A, NULL, STAGE_MTU},
    {"2001:db8:1::100", 128, STAGE_A, "2001:db8::2", STAGE_MTU},
    {"2001:db8:2::100", 64, STAGE_B, "fd09::2", STAGE_MTU},
    {"2001:db8:3::100", 16, STAGE_B, "fd09::2", STAGE_NARROW},
    {"2001:db8:4::100", 8, STAGE_B, "fd09::3", 0},
    {"2001:db8:5::100", 8, STAGE_B, NULL, 0},
};

static struct net_addr first[ARRAY_SIZE(nets)]; /* of each */
static uint32_t indices[STAGE_INTERFACES];

static uint32_t last_four(const struct net_addr *addr)
{
    return be32(addr->ip.b + 12);
}

static struct net_addr addr_of(const char *text)
{
    struct net_addr addr;

    if (net_addr_parse(text, 0, &addr) < 0) {
        abort();
    }
    return addr;
}

static struct net_addr host_of(const struct stage_net *net, uint32_t i)
{
    struct net_addr addr = first[net - nets];

    be32_put(addr.ip.b + 12, last_four(&addr) + i);
    return addr;
}

/* Every next hop has a link address that can be told from its last byte. */
static void mac_of(const struct net_addr *hop, uint8_t out[FRAME_MAC])
{
    const uint8_t mac[FRAME_MAC] = {2, 1, hop->family, hop->ip.b[0], hop->ip.b[13], hop->ip.b[15]};

    memcpy(out, mac, FRAME_MAC);
}

static void put_neighbour(FILE *ip, const char *hop, enum stage_interface by)
{
    const struct net_addr addr = addr_of(hop);
    uint8_t mac[FRAME_MAC];

    mac_of(&addr, mac);
    (void)fprintf(ip,
                  "neigh replace %s lladdr %02x:%02x:%02x:%02x:%02x:%02x dev %s nud permanent\n",
                  hop, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], names[by]);
}

static void put_host(FILE *ip, const struct stage_net *net, uint32_t i)
{
    const struct net_addr host = host_of(net, i);
    char text[NET_ADDR_TEXT];
    char mtu[24] = "";

    (void)net_ip_text(&host.ip, text);
    if (net->router == NULL) {
        if (net->mtu != 0) {
            put_neighbour(ip, text, net->by);
        }
        return;
    }
    if (net->mtu == STAGE_NARROW) { /* bpf_fib_lookup() looks at locked ones only, for IPv6 */
        (void)snprintf(mtu, sizeof(mtu), " mtu lock %d", STAGE_NARROW);
    }
    (void)fprintf(ip, "route add %s via %s %s dev %s%s\n", text,
                  host.family != addr_of(net->router).family ? "inet6" : "", net->router,
                  names[net->by], mtu);
}

static void put_links(FILE *ip)
{
    for (int i = 0; i < STAGE_INTERFACES; i++) {
        (void)fprintf(
            ip, "link add %s address %02x:%02x:%02x:%02x:%02x:%02x type veth peer name far%d\n",
            names[i], macs[i][0], macs[i][1], macs[i][2], macs[i][3], macs[i][4], macs[i][5], i);
        (void)fprintf(ip, "link set %s up\nlink set far%d up\n", names[i], i);
    }
    (void)fprintf(ip, "link set lo up\n"
                      "address add 192.0.2.1/27 dev near0\n"
                      "address add 2001:db8::1/64 dev near0 nodad\n"
                      "address add 10.9.9.1/24 dev near1\n"
                      "address add fd09::1/64 dev near1 nodad\n");
}

/* All in one run of ip(8). */
static int set_up(void)
{
    FILE *ip = popen("ip -batch - 2>&1", "w");

    if (ip == NULL) {
        return -errno;
    }
    for (size_t n = 0; n < ARRAY_SIZE(nets); n++) {
        first[n] = addr_of(nets[n].first);
    }
    put_links(ip);
    put_neighbour(ip, "192.0.2.2", STAGE_A);
    put_neighbour(ip, "2001:db8::2", STAGE_A);
    put_neighbour(ip, "10.9.9.2", STAGE_B);
    put_neighbour(ip, "fd09::2", STAGE_B);
    for (size_t n = 0; n < ARRAY_SIZE(nets); n++) {
        for (uint32_t i = 0; i < nets[n].count; i++) {
            put_host(ip, &nets[n], i);
        }
    }
    return pclose(ip) == 0 ? 0 : -EIO;
}

const char *stage_enter(void)
{
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0) {
        return "network namespaces need root";
    }
    /* /proc/sys/net is of the process that reads it, /sys/class/net of the mount. */
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("sysfs", "/sys", "sysfs", 0, NULL) < 0) {
        return "mounts need root";
    }
    if (set_up() < 0) {
        return "ip(8) could not set up the network";
    }
    for (int i = 0; i < STAGE_INTERFACES; i++) {
        indices[i] = if_nametoindex(names[i]);
    }
    return NULL;
}

uint32_t stage_index(enum stage_interface i)
{
    return indices[i];
}

const char *stage_name(enum stage_interface i)
{
    return names[i];
}

const uint8_t *stage_mac(enum stage_interface i)
{
    return macs[i];
}

struct net_addr stage_host(struct dice *dice, uint8_t family)
{
    for (;;) {
        const struct stage_net *net = &nets[dice_below(dice, ARRAY_SIZE(nets))];
        const struct net_addr host = host_of(net, dice_below(dice, net->count));
        /* Hosts that can't be reached are rarely asked for. */
        if (host.family == family && (net->mtu != 0 || dice_below(dice, 4) == 0)) {
            return host;
        }
    }
}

const struct stage_net *stage_way(const struct net_addr *to)
{
    for (size_t n = 0; n < ARRAY_SIZE(nets); n++) {
        if (memcmp(first[n].ip.b, to->ip.b, 12) == 0 &&
            last_four(to) - last_four(&first[n]) < nets[n].count) {
            return &nets[n];
        }
    }
    return NULL;
}

void stage_next_hop(const struct net_addr *to, uint8_t out[FRAME_MAC])
{
    const struct stage_net *net = stage_way(to);

    assert(net != NULL && net->mtu != 0);
    const struct net_addr hop = net->router != NULL ? addr_of(net->router) : *to;
    mac_of(&hop, out);
}

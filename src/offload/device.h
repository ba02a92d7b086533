/* SPDX-License-Identifier: Apache-2.0 */
/* The network interfaces of this host, and what matters of them to programs that forward.
 *
 * Owner   whoever read them; plain values, as they were then.  Thread  any. */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/net_addr.h"

/* What native XDP can do here (bits of the kernel's enum netdev_xdp_act, Linux 6.3). */
enum {
    DEVICE_XDP_BASIC = 1,    /* pass, drop, answer */
    DEVICE_XDP_REDIRECT = 2, /* what came here can leave elsewhere */
    DEVICE_XDP_SEND = 4,     /* what came elsewhere can leave here; often only while a program is
                                attached here, and on a pair at the far end */
};

struct device {
    char name[IF_NAMESIZE];
    char kind[IF_NAMESIZE];   /* of what has no hardware: "veth", "bridge", "vlan" ...; or "" */
    char driver[32];          /* or "" */
    char master[IF_NAMESIZE]; /* the bridge, bond, VRF ... whose port this is; or "" */
    uint32_t index;
    uint32_t mtu;
    uint8_t mac[6];
    bool ethernet; /* frames with link addresses; not lo */
    bool loopback;
    bool up;
    bool vlans; /* there are VLAN interfaces on it */
    bool wire;  /* what comes here has come over a wire: no sender on this host or hypervisor may
                   have left its checksum to hardware */
};

struct device_list {
    size_t count;
    struct device *items;
};

/* Read all of them.  0; negative errno, `*out` empty then. */
MUST_USE int device_list_read(struct device_list *out);
void device_list_fini(struct device_list *list);

/* By name, by index; NULL: there is none. */
const struct device *device_find(const struct device_list *list, const char *name);
const struct device *device_find_index(const struct device_list *list, uint32_t index);

/* The highest index. */
uint32_t device_highest(const struct device_list *list);

/* DEVICE_XDP_*, as they are now.  0; -ENOENT: this kernel doesn't tell (before Linux 6.3), or
 * another negative errno, `*out` unchanged. */
MUST_USE int device_xdp(uint32_t index, uint32_t *out);

/* The index of the interface that has address `ip`; 0: none has. */
uint32_t device_of_addr(const struct net_ip *ip);

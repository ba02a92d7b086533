/* SPDX-License-Identifier: Apache-2.0 */
#include "offload/device.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "offload/netlink.h"

/* Names of the family "netdev", which headers of Linux 6.1 don't have. */
enum {
    NETDEV_GET = 1,
    NETDEV_IFINDEX = 1,
    NETDEV_XDP_FEATURES = 3,
};

/* Indices of other interfaces, or 0. */
struct others {
    uint32_t master;
    uint32_t vlan_of;
};

/* What is found while links are read. */
struct reading {
    struct device_list list;
    struct others *others; /* of each item */
    size_t room;
};

/* Hardware that nobody shares: hypervisors' network cards are at home on buses of their own, but
 * for VMware's. */
static bool is_wire(const char *bus, const char *driver)
{
    static const char *const wires[] = {"pci", "usb", "platform", "auxiliary"};

    for (size_t i = 0; i < ARRAY_SIZE(wires); i++) {
        if (strcmp(bus, wires[i]) == 0) {
            return strcmp(driver, "vmxnet3") != 0;
        }
    }
    return false;
}

static void read_kind(const struct nlattr *info, struct device *out)
{
    struct netlink_attrs inner;
    size_t len = 0;
    const uint8_t *value = netlink_value(info, &len);

    netlink_find(value, len, 0, &inner);
    netlink_text(inner.of[IFLA_INFO_KIND], out->kind, sizeof(out->kind));
}

static void read_device(const struct ifinfomsg *link, const struct netlink_attrs *attrs,
                        struct device *out)
{
    size_t len = 0;
    const uint8_t *mac = netlink_value(attrs->of[IFLA_ADDRESS], &len);

    netlink_text(attrs->of[IFLA_IFNAME], out->name, sizeof(out->name));
    read_kind(attrs->of[IFLA_LINKINFO], out);
    out->index = (uint32_t)link->ifi_index;
    out->mtu = (uint32_t)netlink_number(attrs->of[IFLA_MTU]);
    out->ethernet = link->ifi_type == ARPHRD_ETHER && len == sizeof(out->mac);
    out->loopback = (link->ifi_flags & IFF_LOOPBACK) != 0;
    out->up = (link->ifi_flags & IFF_UP) != 0;
    if (out->ethernet) {
        memcpy(out->mac, mac, sizeof(out->mac));
    }
}

/* What drives it, or "". */
static void read_driver(struct device *device)
{
    struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
    struct ifreq ask = {.ifr_data = (char *)&info};
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    memcpy(ask.ifr_name, device->name, sizeof(ask.ifr_name));
    if (fd >= 0 && ioctl(fd, SIOCETHTOOL, &ask) == 0) {
        memcpy(device->driver, info.driver, sizeof(device->driver));
        device->driver[sizeof(device->driver) - 1] = '\0';
    }
    if (fd >= 0) {
        (void)close(fd);
    }
}

static int grow(struct reading *reading)
{
    const size_t room = reading->room * 2 + 16;

    if (reading->list.count < reading->room) {
        return 0;
    }
    struct device *items = mem_new(room, sizeof(*items));
    struct others *others = mem_new(room, sizeof(*others));
    if (items == NULL || others == NULL) {
        free(items);
        free(others);
        return -ENOMEM;
    }
    if (reading->list.count > 0) {
        memcpy(items, reading->list.items, reading->list.count * sizeof(*items));
        memcpy(others, reading->others, reading->list.count * sizeof(*others));
    }
    free(reading->list.items);
    free(reading->others);
    reading->list.items = items;
    reading->others = others;
    reading->room = room;
    return 0;
}

static int take_link(const uint8_t *body, size_t len, void *context)
{
    struct reading *reading = context;
    struct netlink_attrs attrs;
    struct ifinfomsg link;
    char bus[IF_NAMESIZE];

    if (len < sizeof(link)) {
        return -EBADMSG;
    }
    if (grow(reading) < 0) {
        return -ENOMEM;
    }
    memcpy(&link, body, sizeof(link));
    netlink_find(body, len, NLMSG_ALIGN(sizeof(link)), &attrs);
    struct device *device = &reading->list.items[reading->list.count];
    read_device(&link, &attrs, device);
    read_driver(device);
    netlink_text(attrs.of[IFLA_PARENT_DEV_BUS_NAME], bus, sizeof(bus));
    device->wire = is_wire(bus, device->driver);
    const bool vlan = strcmp(device->kind, "vlan") == 0;
    reading->others[reading->list.count] = (struct others){
        .master = (uint32_t)netlink_number(attrs.of[IFLA_MASTER]),
        .vlan_of = vlan ? (uint32_t)netlink_number(attrs.of[IFLA_LINK]) : 0,
    };
    reading->list.count++;
    return 0;
}

/* Which is above or below which. */
static void join(const struct reading *reading)
{
    for (size_t i = 0; i < reading->list.count; i++) {
        const struct others *others = &reading->others[i];
        const struct device *master = device_find_index(&reading->list, others->master);
        if (master != NULL) {
            memcpy(reading->list.items[i].master, master->name, sizeof(master->name));
        }
        for (size_t k = 0; k < reading->list.count && others->vlan_of != 0; k++) {
            struct device *below = &reading->list.items[k];
            below->vlans = below->vlans || below->index == others->vlan_of;
        }
    }
}

int device_list_read(struct device_list *out)
{
    const struct ifinfomsg any = {.ifi_family = AF_UNSPEC};
    struct netlink_question question = {
        .head = {.nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_DUMP},
    };
    struct reading reading = {.room = 0};

    memcpy(question.body, &any, sizeof(any));
    const int err = netlink_ask(NETLINK_ROUTE, &question, sizeof(any), take_link, &reading);
    join(&reading);
    free(reading.others);
    if (err < 0) {
        device_list_fini(&reading.list);
    }
    *out = reading.list;
    return err;
}

void device_list_fini(struct device_list *list)
{
    free(list->items);
    *list = (struct device_list){.count = 0};
}

const struct device *device_find(const struct device_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].name, name) == 0) {
            return &list->items[i];
        }
    }
    return NULL;
}

const struct device *device_find_index(const struct device_list *list, uint32_t index)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].index == index) {
            return &list->items[i];
        }
    }
    return NULL;
}

uint32_t device_highest(const struct device_list *list)
{
    uint32_t highest = 0;

    for (size_t i = 0; i < list->count; i++) {
        highest = list->items[i].index > highest ? list->items[i].index : highest;
    }
    return highest;
}

static int take_family(const uint8_t *body, size_t len, void *context)
{
    struct netlink_attrs attrs;

    netlink_find(body, len, GENL_HDRLEN, &attrs);
    *(uint16_t *)context = (uint16_t)netlink_number(attrs.of[CTRL_ATTR_FAMILY_ID]);
    return 0;
}

static int take_features(const uint8_t *body, size_t len, void *context)
{
    struct netlink_attrs attrs;

    netlink_find(body, len, GENL_HDRLEN, &attrs);
    *(uint32_t *)context = (uint32_t)netlink_number(attrs.of[NETDEV_XDP_FEATURES]);
    return 0;
}

/* Ask a family of generic netlink with one attribute. */
static int ask_generic(uint16_t family, uint8_t command, uint16_t type, const void *value,
                       size_t len, netlink_fn *each, void *context)
{
    const struct genlmsghdr head = {.cmd = command, .version = 1};
    struct netlink_question question = {.head = {.nlmsg_type = family}};
    size_t used = GENL_HDRLEN;

    memcpy(question.body, &head, sizeof(head));
    netlink_put(&question, &used, type, value, len);
    return netlink_ask(NETLINK_GENERIC, &question, used, each, context);
}

int device_xdp(uint32_t index, uint32_t *out)
{
    uint16_t family = 0;
    uint32_t features = 0;
    int err = ask_generic(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME, "netdev",
                          sizeof("netdev"), take_family, &family);

    if (err == 0) {
        err = ask_generic(family, NETDEV_GET, NETDEV_IFINDEX, &index, sizeof(index), take_features,
                          &features);
    }
    if (err == 0) {
        *out = features;
    }
    return err;
}

/* True when `address` is `ip`. */
static bool has(const struct sockaddr *address, const struct net_ip *ip)
{
    struct sockaddr_storage ss = {.ss_family = AF_UNSPEC};
    struct net_addr addr;

    if (address == NULL || (address->sa_family != AF_INET && address->sa_family != AF_INET6)) {
        return false;
    }
    memcpy(&ss, address,
           address->sa_family == AF_INET ? sizeof(struct sockaddr_in)
                                         : sizeof(struct sockaddr_in6));
    return net_addr_from_sockaddr(&ss, &addr) == 0 && net_ip_equal(&addr.ip, ip);
}

uint32_t device_of_addr(const struct net_ip *ip)
{
    struct ifaddrs *first = NULL;
    uint32_t index = 0;

    if (getifaddrs(&first) < 0) {
        return 0;
    }
    for (const struct ifaddrs *at = first; at != NULL && index == 0; at = at->ifa_next) {
        index = has(at->ifa_addr, ip) ? if_nametoindex(at->ifa_name) : 0;
    }
    freeifaddrs(first);
    return index;
}

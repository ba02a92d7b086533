/* SPDX-License-Identifier: Apache-2.0 */
#include "offload/forward_attach.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Linux 6.6; headers of 6.1 have no name for it. */
enum { TCX_INGRESS = 46 };

enum { CANDIDATES = 2 };

/* Modes by order of preference; FORWARD_OFF: none. */
struct candidates {
    enum forward_mode mode[CANDIDATES];
};

static bool is_kind(const struct device *device, const char *kind)
{
    return strcmp(device->kind, kind) == 0;
}

/* Without hardware, and with a far end that would have to be made ready for native XDP. */
static bool is_pair(const struct device *device)
{
    return is_kind(device, "veth") || is_kind(device, "netkit");
}

/* False only when the kernel says so: what it doesn't know has to be tried. */
static bool can_native(const struct device *device, uint32_t wanted)
{
    uint32_t features = 0;

    return device_xdp(device->index, &features) < 0 || (features & wanted) == wanted;
}

bool forward_attach_sends(const struct device *device)
{
    uint32_t features = 0;

    return device_xdp(device->index, &features) == 0 && (features & DEVICE_XDP_SEND) != 0;
}

static struct candidates choose(const struct device *device, enum forward_mode wish)
{
    const bool native =
        !is_pair(device) && can_native(device, DEVICE_XDP_BASIC | DEVICE_XDP_REDIRECT);

    switch (wish) {
    case FORWARD_AUTO:
        return native ? (struct candidates){{FORWARD_XDP_NATIVE, FORWARD_TC}}
                      : (struct candidates){{FORWARD_TC}};
    case FORWARD_XDP:
        return (struct candidates){{FORWARD_XDP_NATIVE, FORWARD_XDP_GENERIC}};
    case FORWARD_XDP_NATIVE:
    case FORWARD_XDP_GENERIC:
    case FORWARD_TC:
        return (struct candidates){{wish}};
    case FORWARD_OFF:
    default:
        return (struct candidates){{FORWARD_OFF}};
    }
}

/* What no program could serve; "" otherwise. */
static void object(const struct device *device, enum forward_mode wish, char why[FORWARD_WHY])
{
    const bool xdp =
        wish == FORWARD_XDP || wish == FORWARD_XDP_NATIVE || wish == FORWARD_XDP_GENERIC;

    why[0] = '\0';
    if (device == NULL) {
        (void)snprintf(why, FORWARD_WHY, "there is no such interface");
    } else if (device->loopback) {
        (void)snprintf(why, FORWARD_WHY, "what is sent on it never leaves this host");
    } else if (!device->ethernet) {
        (void)snprintf(why, FORWARD_WHY, "it is no Ethernet: no link addresses");
    } else if (device->master[0] != '\0') {
        (void)snprintf(why, FORWARD_WHY, "it belongs to %s: name that one", device->master);
    } else if (xdp && is_kind(device, "bridge")) {
        (void)snprintf(why, FORWARD_WHY, "a bridge has no XDP: choose tc");
    } else if (wish == FORWARD_OFF) {
        (void)snprintf(why, FORWARD_WHY, "not wished");
    }
}

unsigned forward_attach_needs(const struct device *device, enum forward_mode wish)
{
    char why[FORWARD_WHY];
    unsigned needs = 0;

    object(device, wish, why);
    if (device == NULL || why[0] != '\0') {
        return 0;
    }
    const struct candidates candidates = choose(device, wish);
    for (size_t i = 0; i < CANDIDATES; i++) {
        if (candidates.mode[i] != FORWARD_OFF) {
            needs |= candidates.mode[i] == FORWARD_TC ? FORWARD_LOAD_TC : FORWARD_LOAD_XDP;
        }
    }
    return needs;
}

static int attach_xdp(const struct forward_program *program, const struct device *device,
                      uint32_t flags, char why[FORWARD_WHY])
{
    const struct bpf_link_create_opts options = {.sz = sizeof(options), .flags = flags};
    const int link = bpf_link_create(program->fd, (int)device->index, BPF_XDP, &options);
    const bool native = flags == XDP_FLAGS_DRV_MODE;

    if (link >= 0) {
        return link;
    }
    if (link == -EBUSY || link == -EEXIST) {
        (void)snprintf(why, FORWARD_WHY, "another XDP program is there (ip link show %s)",
                       device->name);
    } else if (link == -EOPNOTSUPP) {
        (void)snprintf(why, FORWARD_WHY, "%s has no %s XDP",
                       device->driver[0] != '\0' ? device->driver : "its driver",
                       native ? "native" : "generic");
    } else {
        (void)snprintf(why, FORWARD_WHY,
                       "%s refuses XDP: %s (its MTU is %u; too large, LRO, or too few queues?)",
                       device->driver, strerror(-link), device->mtu);
    }
    return link;
}

static int attach_tc(const struct forward_program *program, const struct device *device,
                     char why[FORWARD_WHY])
{
    const int link =
        bpf_link_create(program->fd, (int)device->index, (enum bpf_attach_type)TCX_INGRESS, NULL);

    if (link == -EINVAL || link == -EOPNOTSUPP) {
        (void)snprintf(why, FORWARD_WHY, "tc takes Linux 6.6 (TCX); xdp-generic does not");
    } else if (link < 0) {
        (void)snprintf(why, FORWARD_WHY, "tc: %s", strerror(-link));
    }
    return link;
}

/* A driver may have all it takes to send only from now on.  Where it has not, all would go up. */
static int keep_if_sends(int link, const struct device *device, char why[FORWARD_WHY])
{
    if (forward_attach_sends(device) ||
        (!is_pair(device) && can_native(device, DEVICE_XDP_SEND))) { /* before Linux 6.3: perhaps */
        return link;
    }
    (void)close(link);
    if (is_pair(device)) {
        (void)snprintf(why, FORWARD_WHY,
                       "native XDP: the far end of the pair has neither a program nor GRO");
    } else {
        (void)snprintf(why, FORWARD_WHY, "native XDP: %s cannot send from it (too few queues?)",
                       device->driver[0] != '\0' ? device->driver : "its driver");
    }
    return -EOPNOTSUPP;
}

static int attach_as(const struct forward_loaded *loaded, const struct device *device,
                     enum forward_mode mode, char why[FORWARD_WHY])
{
    const struct forward_program *program = mode == FORWARD_TC ? &loaded->tc : &loaded->xdp;

    if (program->fd < 0) {
        (void)snprintf(why, FORWARD_WHY, "%s", program->why);
        return -ENOTSUP;
    }
    if (mode == FORWARD_TC) {
        return attach_tc(program, device, why);
    }
    if (mode == FORWARD_XDP_GENERIC && device->vlans) {
        (void)snprintf(why, FORWARD_WHY,
                       "generic XDP does not see the tags of the VLANs on it: choose tc");
        return -EOPNOTSUPP;
    }
    if (mode == FORWARD_XDP_GENERIC) {
        return attach_xdp(program, device, XDP_FLAGS_SKB_MODE, why);
    }
    const int link = attach_xdp(program, device, XDP_FLAGS_DRV_MODE, why);
    return link < 0 ? link : keep_if_sends(link, device, why);
}

int forward_attach(const struct forward_loaded *loaded, const struct device *device,
                   struct forward_interface *it)
{
    const enum forward_mode wish = it->mode;
    int link = -1;

    it->mode = FORWARD_OFF;
    object(device, wish, it->why);
    if (device == NULL || it->why[0] != '\0') {
        return -1;
    }
    it->index = device->index;
    const struct candidates candidates = choose(device, wish);
    if (wish == FORWARD_AUTO && candidates.mode[0] == FORWARD_TC && device->wire) {
        (void)snprintf(it->why, FORWARD_WHY, "%s has no native XDP", device->driver);
    }
    for (size_t i = 0; link < 0 && i < CANDIDATES && candidates.mode[i] != FORWARD_OFF; i++) {
        link = attach_as(loaded, device, candidates.mode[i], it->why);
        it->mode = link < 0 ? FORWARD_OFF : candidates.mode[i];
    }
    return link;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "offload/forward.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "offload/bpf_error.h"
#include "offload/device.h"
#include "offload/flow_int.h"
#include "offload/forward_attach.h"
#include "offload/forward_lo.h"
#include "offload/forward_load.h"

/* Interfaces may be made while the server runs; they are not served, but their index has to be one
 * that the programs find nothing at. */
enum { SPARE_INDICES = 64 };

struct forward {
    struct forward_loaded loaded;
    struct flow_table *flows;
    struct shield *shield; /* NULL: not asked for */
    struct forward_lo lo;
    int link[FORWARD_INTERFACES];
    size_t link_count;
};

static const char *advice(int err)
{
    switch (err) {
    case -EPERM:
    case -EACCES:
        return "it takes CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, and bpf(2) allowed";
    case -ENOTSUP:
        return "it takes Linux 5.15 with CONFIG_BPF_SYSCALL, and bpf(2) allowed";
    default:
        return bpf_error_advice(err);
    }
}

static unsigned programs_needed(const struct forward_options *options,
                                const struct device_list *devices)
{
    unsigned needs = 0;

    for (size_t i = 0; i < options->interface_count; i++) {
        const struct forward_interface *it = &options->interfaces[i];
        needs |= forward_attach_needs(device_find(devices, it->name), it->mode);
    }
    return options->virtual_clock ? FORWARD_LOAD_XDP | FORWARD_LOAD_TC : needs;
}

static void attach_all(struct forward *forward, const struct forward_options *options,
                       const struct device_list *devices)
{
    for (size_t i = 0; i < options->interface_count; i++) {
        struct forward_interface *it = &options->interfaces[i];
        const int link = forward_attach(&forward->loaded, device_find(devices, it->name), it);
        if (link >= 0) {
            forward->link[forward->link_count++] = link;
        }
    }
}

static bool has_mode(const struct forward_options *options, enum forward_mode mode)
{
    for (size_t i = 0; i < options->interface_count; i++) {
        if (options->interfaces[i].mode == mode) {
            return true;
        }
    }
    return false;
}

static enum forward_mode mode_of(const struct forward_options *options, const struct device *device)
{
    for (size_t i = 0; i < options->interface_count; i++) {
        const struct forward_interface *it = &options->interfaces[i];
        if (it->index == device->index && it->mode != FORWARD_OFF) {
            return it->mode;
        }
    }
    return FORWARD_OFF;
}

/* Served, but packets go by it one way only. */
static void tell_one_way(const struct forward_options *options, uint32_t index)
{
    for (size_t i = 0; i < options->interface_count; i++) {
        struct forward_interface *it = &options->interfaces[i];
        if (it->index == index && it->mode != FORWARD_OFF) {
            (void)snprintf(it->why, sizeof(it->why),
                           "nothing leaves by it: native XDP of the others cannot send there");
        }
    }
}

/* Tell the programs of all interfaces: also by those that are not served packets may leave, if that
 * suits all ways in which the programs run.  What native XDP sends to a driver that cannot is lost.
 */
static int describe_all(const struct forward *forward, const struct forward_options *options,
                        const struct device_list *devices)
{
    const bool native = has_mode(options, FORWARD_XDP_NATIVE);
    int err = 0;

    for (size_t i = 0; i < devices->count && err == 0; i++) {
        const struct device *device = &devices->items[i];
        const enum forward_mode mode = mode_of(options, device);
        const bool out = device->ethernet &&
                         (!native || mode == FORWARD_XDP_NATIVE || forward_attach_sends(device));
        /* GRO, too, leaves the sum of the pseudo header in bursts that it has put together. */
        const bool partial = !device->wire || mode == FORWARD_TC || mode == FORWARD_XDP_GENERIC;
        struct offload_if entry = {
            .flags = (out ? OFFLOAD_IF_OUT : 0U) | (partial ? OFFLOAD_IF_PARTIAL : 0U),
        };
        memcpy(entry.mac, device->mac, sizeof(entry.mac));
        if (!out) {
            tell_one_way(options, device->index);
        }
        if (device->ethernet) {
            err = bpf_map_update_elem(forward->loaded.interfaces, &device->index, &entry, BPF_ANY);
        }
    }
    return err;
}

static int no_interface(const struct forward_options *options, char *why, size_t cap)
{
    if (options->interface_count == 0) {
        (void)snprintf(why, cap, "no interface has an address of ours");
    } else {
        const struct forward_interface *it = &options->interfaces[0];
        (void)snprintf(why, cap, "no interface can be served; %s: %s", it->name, it->why);
    }
    return -ENODEV;
}

/* Of those who may not, the verifier asks more than programs that compare packet pointers can do;
 * what it then says of them is no help. */
static bool may_trust_programs(void)
{
    const uint64_t enough = 1ULL << CAP_PERFMON | 1ULL << CAP_SYS_ADMIN;
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

    return syscall(SYS_capget, &head, data) < 0 ||
           ((data[0].effective | (uint64_t)data[1].effective << 32) & enough) != 0;
}

/* Why no program could be loaded. */
static int not_loaded(const struct forward *forward, int err, char *why, size_t cap)
{
    const struct forward_loaded *loaded = &forward->loaded;
    const char *objection = loaded->xdp.why[0] != '\0' ? loaded->xdp.why : loaded->tc.why;

    if (objection[0] != '\0' && !may_trust_programs()) {
        objection = "";
        err = -EPERM;
    }
    (void)snprintf(why, cap, "%s: %s", strerror(-err),
                   objection[0] != '\0' ? objection : advice(err));
    return err;
}

static int load(struct forward *forward, const struct forward_options *options,
                const struct device_list *devices, unsigned needs, char *why, size_t cap)
{
    const uint32_t indices = device_highest(devices) + SPARE_INDICES;
    int err = bpf_error_plain(forward_load(options, indices, needs, &forward->loaded));

    err = err < 0 ? err
                  : flow_table_new(&forward->loaded.maps, options->max_channels,
                                   options->max_sessions, &forward->flows);
    if (err == 0 && options->shield) {
        err = shield_new(&forward->loaded.shield, &forward->shield);
    }
    return err < 0 ? not_loaded(forward, err, why, cap) : 0;
}

static int start(struct forward *forward, const struct forward_options *options,
                 const struct device_list *devices, char *why, size_t cap)
{
    const unsigned needs = programs_needed(options, devices);
    int err = needs == 0 ? 0 : forward_lo_open(&forward->lo, why, cap);

    if (err < 0 && err != -EPERM && options->shield) {
        err = 0; /* the shield asks for no routes; flows find none, and go up */
    }
    if (needs != 0 && err == 0) {
        err = load(forward, options, devices, needs, why, cap);
    }
    if (err < 0) {
        return err;
    }
    attach_all(forward, options, devices); /* each tells why not */
    if (forward->link_count == 0) {
        return no_interface(options, why, cap);
    }
    err = describe_all(forward, options, devices);
    return err < 0 ? not_loaded(forward, err, why, cap) : 0;
}

static int check(const struct forward_options *options, char *why, size_t cap)
{
    if (options->interface_count > FORWARD_INTERFACES) {
        (void)snprintf(why, cap, "more than %d interfaces: name those that matter",
                       FORWARD_INTERFACES);
        return -ENOSPC;
    }
    return 0;
}

int forward_new(const struct forward_options *options, struct forward **out, char *why, size_t cap)
{
    struct device_list devices;
    int err = check(options, why, cap);

    if (err < 0) {
        return err;
    }
    struct forward *forward = mem_new(1, sizeof(*forward));
    err = forward == NULL ? -ENOMEM : device_list_read(&devices);
    if (err < 0) {
        (void)snprintf(why, cap, "%s: %s", strerror(-err), advice(err));
        free(forward);
        return err;
    }
    forward->lo = (struct forward_lo){.pipe = -1};
    why[0] = '\0';
    err = start(forward, options, &devices, why, cap);
    device_list_fini(&devices);
    if (err < 0) {
        forward_free(forward);
        return err;
    }
    *out = forward;
    return 0;
}

void forward_free(struct forward *forward)
{
    if (forward == NULL) {
        return;
    }
    for (size_t i = 0; i < forward->link_count; i++) {
        (void)close(forward->link[i]);
    }
    forward_lo_close(&forward->lo);
    shield_free(forward->shield);
    flow_table_free(forward->flows);
    forward_unload(&forward->loaded);
    free(forward);
}

/* 0 bytes only: an interface that the programs were not told of, and are not to be. */
static bool is_told(const struct offload_if *entry)
{
    static const uint8_t none[sizeof(entry->mac)];

    return memcmp(entry->mac, none, sizeof(none)) != 0;
}

int forward_follow(const struct forward *forward)
{
    const int map = forward->loaded.interfaces;
    struct device_list devices;
    int err = device_list_read(&devices);

    for (size_t i = 0; i < devices.count && err == 0; i++) {
        const struct device *device = &devices.items[i];
        struct offload_if entry;

        if (device->ethernet && bpf_map_lookup_elem(map, &device->index, &entry) == 0 &&
            is_told(&entry) && memcmp(entry.mac, device->mac, sizeof(entry.mac)) != 0) {
            memcpy(entry.mac, device->mac, sizeof(entry.mac));
            err = bpf_map_update_elem(map, &device->index, &entry, BPF_ANY);
        }
    }
    device_list_fini(&devices);
    return err;
}

struct offload_control *forward_control(struct forward *forward)
{
    return forward->loaded.maps.control;
}

struct flow_table *forward_flows(struct forward *forward)
{
    return forward->flows;
}

struct shield *forward_shield(struct forward *forward)
{
    return forward->shield;
}

int forward_counts(const struct forward *forward, uint64_t out[OFFLOAD_COUNT_MAX])
{
    const int cpus = libbpf_num_possible_cpus();
    const uint32_t zero = 0;

    memset(out, 0, OFFLOAD_COUNT_MAX * sizeof(out[0]));
    if (cpus < 0) {
        return cpus;
    }
    struct offload_counts *each = mem_new((size_t)cpus, sizeof(*each));
    if (each == NULL) {
        return -ENOMEM;
    }
    const int err = bpf_map_lookup_elem(forward->loaded.counts, &zero, each);
    for (int cpu = 0; err == 0 && cpu < cpus; cpu++) {
        for (size_t i = 0; i < OFFLOAD_COUNT_MAX; i++) {
            out[i] += each[cpu].of[i];
        }
    }
    free(each);
    return err;
}

int forward_xdp_fd(const struct forward *forward)
{
    return forward->loaded.xdp.fd;
}

int forward_tc_fd(const struct forward *forward)
{
    return forward->loaded.tc.fd;
}

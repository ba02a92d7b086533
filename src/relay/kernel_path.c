/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/kernel_path.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "log/log.h"
#include "offload/flow.h"
#include "relay/capacity.h"
#include "relay/control.h"
#include "relay/kernel_path_int.h"
#include "relay/mirror.h"

enum {
    TUPLES = 2, /* a client that moves has two */
    DSCP = 0xfc,
    ECN = 0x03,
};

/* --- opening -------------------------------------------------------------------------------------
 */

static void tell_interfaces(const struct kernel_path *p)
{
    for (size_t i = 0; i < p->interface_count; i++) {
        const struct forward_interface *one = &p->interface[i];

        log_event(LOG_NOTICE, "offload.interface", LOG_TEXT("name", one->name),
                  LOG_TEXT("mode", kernel_path_mode_name(one->mode)),
                  LOG_TEXT("why", one->why[0] != '\0' ? one->why : NULL), LOG_END);
    }
}

static size_t served(const struct kernel_path *p)
{
    size_t count = 0;

    for (size_t i = 0; i < p->interface_count; i++) {
        count += p->interface[i].mode != FORWARD_OFF ? 1 : 0;
    }
    return count;
}

static void tell_off(const struct conf *conf, int err, const char *why)
{
    const char *text = why[0] != '\0' ? why : strerror(-err);

    log_event(LOG_NOTICE, "offload.off", LOG_TEXT("why", text),
              LOG_TEXT("effect", conf->flood_shield
                                     ? "the server relays everything itself, without flood-shield"
                                     : "the server relays everything itself"),
              LOG_END);
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static int load(struct kernel_path *p, const struct kernel_path_input *in, char *why, size_t cap)
{
    const bool forwards = in->conf->offload != CONF_OFFLOAD_OFF;
    const struct forward_options options = {
        .max_channels = p->channels,
        .max_sessions = least(p->channels, in->max_allocations),
        .max_clients = p->shield ? TUPLES * in->max_allocations : 0,
        .shield = p->shield,
        .interfaces = p->interface,
        .interface_count = p->interface_count,
    };
    int err = -ENODEV;

    if (p->interface_count == 0) {
        (void)snprintf(why, cap, "no interface but lo has an address for clients or peers");
        return err;
    }
    err = forward_new(&options, &p->forward, why, cap);
    if (err < 0) {
        p->forward = NULL;
        return err;
    }
    struct offload_control *control = forward_control(p->forward);
    __atomic_store_n(&control->forward, forwards ? 1 : 0, __ATOMIC_RELAXED);
    if (!forwards) {
        return 0;
    }
    err = mirror_new(forward_flows(p->forward), in->external, p->channels, &p->mirror);
    return err == 0 ? mirror_set_own(p->mirror, in->own) : err;
}

struct kernel_path *kernel_path_open(const struct kernel_path_input *in)
{
    const struct conf *conf = in->conf;

    if (conf->offload == CONF_OFFLOAD_OFF && !conf->flood_shield) {
        return NULL;
    }
    struct kernel_path *p = mem_new(1, sizeof(*p));
    if (p == NULL) {
        tell_off(conf, -ENOMEM, "");
        return NULL;
    }
    p->shield = conf->flood_shield;
    p->no_auth = conf->no_auth;
    p->channels = conf->offload != CONF_OFFLOAD_OFF ? conf->offload_channels : 1;
    p->interface_count = kernel_path_choose(in, p->interface);
    kernel_path_name(p->interface, &p->interface_count);
    const int err = load(p, in, p->why, sizeof(p->why));
    if (err < 0 && err != -ENODEV) { /* the interfaces are not to blame */
        p->interface_count = 0;
    }
    tell_interfaces(p);
    if (err < 0) {
        tell_off(conf, err, p->why);
        kernel_path_free(p);
        return NULL;
    }
    return p;
}

void kernel_path_start(struct kernel_path **path, const struct conf *conf)
{
    struct kernel_path *p = *path;

    if (p == NULL) {
        return;
    }
    const int err = flow_try(forward_flows(p->forward));
    if (err < 0) {
        tell_off(conf, err,
                 err == -EPERM ? "this kernel asks for CAP_BPF at each change of its tables, which "
                                 "is given up by now: it takes Linux 5.19, or "
                                 "kernel.unprivileged_bpf_disabled=0"
                               : "");
        kernel_path_free(p);
        *path = NULL;
        return;
    }
    log_event(LOG_NOTICE, "offload.ready", LOG_U64("interfaces", served(p)),
              LOG_U64("channels", p->mirror != NULL ? p->channels : 0),
              LOG_TEXT("shield", p->shield ? "on" : "off"),
              LOG_TEXT("but", p->why[0] != '\0' ? p->why : NULL), LOG_END);
}

void kernel_path_free(struct kernel_path *p)
{
    if (p == NULL) {
        return;
    }
    mirror_free(p->mirror);
    forward_free(p->forward);
    free(p);
}

struct mirror *kernel_path_mirror(struct kernel_path *p)
{
    return p != NULL ? p->mirror : NULL;
}

/* Native XDP comes before packets are merged. */
bool kernel_path_wants_single(const struct kernel_path *p)
{
    for (size_t i = 0; p != NULL && p->mirror != NULL && i < p->interface_count; i++) {
        const enum forward_mode mode = p->interface[i].mode;
        if (mode == FORWARD_TC || mode == FORWARD_XDP_GENERIC) {
            return true;
        }
    }
    return false;
}

/* --- settings ------------------------------------------------------------------------------------
 */

void kernel_path_share(struct kernel_path *p, struct capacity *capacity)
{
    for (int way = 0; p != NULL && p->mirror != NULL && way < OFFLOAD_WAYS; way++) {
        capacity_share(&capacity[way], &forward_control(p->forward)->capacity_busy_until_ns[way]);
    }
}

void kernel_path_configure(struct kernel_path *p, const struct conf *conf, uint64_t max_bps)
{
    if (p == NULL) {
        return;
    }
    struct offload_control *control = forward_control(p->forward);
    const uint32_t tos_mask = (conf->copy_dscp ? DSCP : 0U) | (conf->copy_ecn ? ECN : 0U);

    __atomic_store_n(&control->tos_mask, tos_mask, __ATOMIC_RELAXED);
    __atomic_store_n(&control->max_bps, max_bps, __ATOMIC_RELAXED);
    __atomic_store_n(&control->capacity_bps, conf->bps_capacity, __ATOMIC_RELAXED);
    if (p->shield) {
        kernel_path_shield_configure(p, conf);
    }
}

static void tell_gone(struct forward_interface *one)
{
    one->mode = FORWARD_OFF;
    log_event(LOG_WARNING, "offload.interface", LOG_TEXT("name", one->name),
              LOG_TEXT("mode", kernel_path_mode_name(one->mode)),
              LOG_TEXT("why", "it is gone; one that is made anew is served after a restart"),
              LOG_END);
}

void kernel_path_look(struct kernel_path *p)
{
    if (p == NULL) {
        return;
    }
    for (size_t i = 0; i < p->interface_count; i++) {
        struct forward_interface *one = &p->interface[i];
        char name[FORWARD_NAME]; /* it may have another one by now */

        if (one->mode != FORWARD_OFF && if_indextoname(one->index, name) == NULL) {
            tell_gone(one);
        }
    }
    const int err = forward_follow(p->forward);
    if (err < 0) {
        log_event(LOG_WARNING, "offload.interfaces_old", LOG_ERRNO("why", err), LOG_END);
    }
}

void kernel_path_follow(struct kernel_path *p, const struct listener_plan *plan,
                        const struct interfaces *own)
{
    if (p != NULL && p->mirror != NULL && mirror_set_own(p->mirror, own) < 0) {
        log_event(LOG_WARNING, "offload.addresses_old", LOG_ERRNO("why", ENOMEM), LOG_END);
    }
    kernel_path_listen(p, plan, own);
}

void kernel_path_halt(struct kernel_path *p)
{
    if (p != NULL && p->mirror != NULL) {
        mirror_halt(p->mirror);
    }
}

void kernel_path_drain(struct kernel_path *p)
{
    if (p != NULL) {
        __atomic_store_n(&forward_control(p->forward)->forward, 0, __ATOMIC_RELEASE);
    }
}

/* A bit for a negative errno; of two that share one the second is not told, only counted. */
static uint64_t bit_of(int err)
{
    return 1ULL << ((unsigned)-err % 64);
}

/* Once for each reason: it goes on as it should, only slower. */
void kernel_path_tick(struct kernel_path *p)
{
    const struct mirror_numbers now =
        p != NULL && p->mirror != NULL ? mirror_read(p->mirror) : (struct mirror_numbers){0};

    if (now.error == 0 || (p->told & bit_of(now.error)) != 0) {
        return;
    }
    p->told |= bit_of(now.error);
    if (now.error == -ENOSPC) {
        log_event(LOG_WARNING, "offload.full", LOG_U64("channels", now.open),
                  LOG_TEXT("effect", "the server relays further channels itself"),
                  LOG_TEXT("advice", "raise offload-channels"), LOG_END);
    } else {
        log_event(LOG_NOTICE, "offload.not_taken", LOG_ERRNO("why", now.error),
                  LOG_TEXT("effect", "the server relays a channel itself"), LOG_END);
    }
}

/* --- numbers -------------------------------------------------------------------------------------
 */

void kernel_path_read(const struct kernel_path *p, struct relay_offload_stats *out)
{
    memset(out, 0, sizeof(*out));
    if (p == NULL) {
        return;
    }
    out->active = true;
    if (forward_counts(p->forward, out->of) < 0) {
        memset(out->of, 0, sizeof(out->of));
    }
    if (p->mirror != NULL) {
        const struct mirror_numbers numbers = mirror_read(p->mirror);

        out->channels = numbers.open;
        out->channels_refused = numbers.refused;
    }
}

void kernel_path_log(const struct kernel_path *p)
{
    struct relay_offload_stats stats;

    kernel_path_read(p, &stats);
    if (!stats.active) {
        return;
    }
    const struct log_field fields[] = {
        LOG_U64("channels", stats.channels),
        LOG_U64("channels_refused", stats.channels_refused),
#define X(name) LOG_U64(#name, stats.of[OFFLOAD_##name]),
        OFFLOAD_COUNTS(X)
#undef X
            LOG_END,
    };

    if (log_enabled(LOG_INFO)) {
        log_write(LOG_INFO, "offload.count", fields);
    }
}

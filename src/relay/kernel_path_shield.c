/* SPDX-License-Identifier: Apache-2.0 */
/* What the flood shield is told: where clients are served, who they are, and the limits. */
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "log/log.h"
#include "offload/flow.h"
#include "offload/shield.h"
#include "relay/interfaces.h"
#include "relay/kernel_path_int.h"
#include "relay/listener.h"
#include "turn/five_tuple.h"

/* --- settings ------------------------------------------------------------------------------------
 */

/* What user space would answer a Binding request without attributes with, besides the address; NULL
 * where that is more than the programs can. */
static const char *answer_of(const struct kernel_path *p, const struct conf *conf)
{
    if (conf->no_stun || conf->secure_stun || conf->fingerprint ||
        conf->stun_backward_compatibility || conf->rfc5780) {
        return NULL;
    }
    return p->no_auth && conf->software_attribute ? "sterna " STERNA_VERSION : "";
}

void kernel_path_shield_configure(struct kernel_path *p, const struct conf *conf)
{
    struct shield *shield = forward_shield(p->forward);
    const struct shield_limits limits = {
        .prefix_per_s = conf->flood_shield_prefix,
        .newcomers_per_s = conf->flood_shield_newcomers,
    };

    shield_set_limits(shield, &limits);
    p->classic = conf->rfc3489_compatibility && !conf->no_stun && !conf->secure_stun;
    const int err = shield_set_answer(shield, answer_of(p, conf));
    if (err < 0) { /* then user space answers */
        log_event(LOG_NOTICE, "shield.no_answer", LOG_ERRNO("why", err), LOG_END);
    }
}

/* --- listeners -----------------------------------------------------------------------------------
 */

/* A balancer speaks for many clients: the shield cannot tell them apart. */
static bool is_shielded(const struct listener_spec *spec)
{
    return !spec->stream && !spec->proxy;
}

static size_t add_listener(const struct listener_spec *spec, const struct interfaces *own,
                           bool classic, struct shield_listener *out)
{
    const struct shield_listener one = {
        .addr = net_addr_make(&spec->addr.ip, spec->addr.port),
        .plain = spec->plain,
        .dtls = spec->secure,
        .classic = classic && spec->plain,
    };
    size_t count = 0;

    if (!kernel_path_is_wildcard(&spec->addr)) {
        out[count++] = one;
        return count;
    }
    for (size_t i = 0; i < own->count; i++) {
        const struct interface_address *item = &own->items[i];

        if (!item->loopback && net_ip_is_v4(&item->ip) == (spec->addr.family == NET_V4)) {
            out[count] = one;
            out[count++].addr = net_addr_make(&item->ip, spec->addr.port);
        }
    }
    return count;
}

static int set_listeners(const struct kernel_path *p, const struct listener_plan *plan,
                         const struct interfaces *own)
{
    struct shield_listener *list = mem_new(plan->count * (own->count + 1) + 1, sizeof(*list));
    size_t count = 0;

    if (list == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < plan->count; i++) {
        if (is_shielded(&plan->item[i])) {
            count += add_listener(&plan->item[i], own, p->classic, &list[count]);
        }
    }
    const int err = shield_set_listeners(forward_shield(p->forward), list, count);
    free(list);
    return err;
}

void kernel_path_listen(struct kernel_path *p, const struct listener_plan *plan,
                        const struct interfaces *own)
{
    if (p == NULL || !p->shield) {
        return;
    }
    struct shield *shield = forward_shield(p->forward);
    const int err = set_listeners(p, plan, own);
    if (err < 0) {
        log_event(LOG_WARNING, "shield.listeners", LOG_ERRNO("why", err),
                  LOG_TEXT("effect", "some are not shielded"), LOG_END);
    }
    shield_set_on(shield, true);
    if (atomic_load(&p->shield_lost)) { /* perhaps just now, by a worker */
        shield_set_on(shield, false);
    }
}

/* --- clients -------------------------------------------------------------------------------------
 */

/* Whoever cannot be written down would be a stranger: then nobody is. */
static void client_failed(struct kernel_path *p, int err)
{
    if (atomic_exchange(&p->shield_lost, true)) {
        return;
    }
    shield_set_on(forward_shield(p->forward), false);
    log_event(LOG_ERROR, "shield.off", LOG_ERRNO("why", err),
              LOG_TEXT("effect", "a client could not be told from strangers: all packets pass"),
              LOG_END);
}

void kernel_path_client(struct kernel_path *p, const struct five_tuple *tuple, bool live)
{
    if (p == NULL || !p->shield || (tuple->protocol != NET_UDP && tuple->protocol != NET_DTLS)) {
        return;
    }
    struct flow_table *flows = forward_flows(p->forward);
    if (!live) {
        flow_client_del(flows, &tuple->client, &tuple->server);
        return;
    }
    const int err = flow_client_put(flows, &tuple->client, &tuple->server);
    if (err < 0) {
        client_failed(p, err);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of NAT behaviour discovery (RFC 5780): which listeners stand in for one another. */
#include "conf/conf.h"
#include "conf/conf_behaviour.h"
#include "relay/external.h"
#include "relay/front.h"
#include "relay/listener.h"
#include "relay/settings_int.h"

/* What is planned at `addr`; NULL: nothing that clients reach by that address. */
static const struct listener_spec *planned(const struct listener_plan *plan,
                                           const struct net_addr *addr, bool stream)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct listener_spec *item = &plan->item[i];

        if (item->stream == stream && net_addr_equal(&item->addr, addr)) {
            return item->proxy ? NULL : item;
        }
    }
    return NULL;
}

/* RFC 5780 section 6: all four are served, and alike, or none is told. */
static bool is_served(const struct listener_plan *plan, const struct turn_behaviour_set *set)
{
    const struct listener_spec *first = planned(plan, &set->local[0], set->stream);

    for (int at = 0; at < TURN_BEHAVIOUR_ADDRS; at++) {
        const struct listener_spec *item = planned(plan, &set->local[at], set->stream);

        if (item == NULL || item->plain != first->plain || item->secure != first->secure) {
            return false;
        }
    }
    return true;
}

static void add_set(const struct settings_input *in, const struct net_ip ip[2],
                    const uint32_t port[2], bool stream, struct settings *settings)
{
    struct turn_behaviour *behaviour = &settings->config.behaviour;
    struct turn_behaviour_set *set = &behaviour->sets[behaviour->count];

    set->stream = stream;
    for (int at = 0; at < TURN_BEHAVIOUR_ADDRS; at++) {
        const struct net_ip *here = &ip[(at & TURN_OTHER_IP) != 0 ? 1 : 0];

        set->local[at] = net_addr_make(here, (uint16_t)port[(at & TURN_OTHER_PORT) != 0 ? 1 : 0]);
        set->told[at] = external_relayed(in->external, &set->local[at]);
        settings->behaviour_item[behaviour->count][at] =
            in->front != NULL ? front_find(in->front, &set->local[at], stream) : NULL;
    }
    behaviour->count += is_served(in->listeners, set) ? 1 : 0;
}

void settings_put_behaviour(const struct settings_input *in, struct settings *settings)
{
    const struct conf_behaviour wanted = conf_behaviour_read(in->conf);

    settings->config.rfc3489 = in->conf->rfc3489_compatibility;
    settings->config.behaviour.response_port = in->conf->rfc5780_response_port;
    settings->config.behaviour.padding = in->conf->rfc5780_padding;
    settings->config.behaviour.count = 0;
    for (int family = 0; family < 2; family++) {
        if (!wanted.on || wanted.pair[family] != CONF_PAIR_FOUND) {
            continue;
        }
        for (int stream = 0; stream < 2; stream++) {
            add_set(in, wanted.ip[family], wanted.port, stream == 1, settings);
            add_set(in, wanted.ip[family], wanted.tls_port, stream == 1, settings);
        }
    }
}

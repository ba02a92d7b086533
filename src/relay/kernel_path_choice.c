/* SPDX-License-Identifier: Apache-2.0 */
/* Which network interfaces get the programs: those named, or those by which packets of clients and
 * peers come in. */
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/conf_value.h"
#include "relay/interfaces.h"
#include "relay/kernel_path_int.h"
#include "relay/listener.h"

_Static_assert((int)FORWARD_NAME == (int)CONF_INTERFACE_NAME, "names fit");
_Static_assert((int)FORWARD_INTERFACES == (int)CONF_OFFLOAD_INTERFACES, "as many as can be named");

const char *kernel_path_mode_name(enum forward_mode mode)
{
    static const char *const names[] = {
        [FORWARD_OFF] = "off",
        [FORWARD_AUTO] = "auto",
        [FORWARD_XDP] = "xdp",
        [FORWARD_XDP_NATIVE] = "xdp",
        [FORWARD_XDP_GENERIC] = "xdp-generic",
        [FORWARD_TC] = "tc",
    };

    return names[mode];
}

static enum forward_mode mode_of(uint32_t offload)
{
    static const enum forward_mode modes[] = {
        [CONF_OFFLOAD_OFF] = FORWARD_AUTO, /* for the shield alone */
        [CONF_OFFLOAD_AUTO] = FORWARD_AUTO,
        [CONF_OFFLOAD_XDP] = FORWARD_XDP,
        [CONF_OFFLOAD_XDP_GENERIC] = FORWARD_XDP_GENERIC,
        [CONF_OFFLOAD_TC] = FORWARD_TC,
    };

    return modes[offload];
}

bool kernel_path_is_wildcard(const struct net_addr *addr)
{
    static const uint8_t v4_any[4];
    const struct net_ip any = addr->family == NET_V4 ? net_ip_v4(v4_any) : (struct net_ip){{0}};

    return net_ip_equal(&addr->ip, &any);
}

static bool listens_at(const struct listener_plan *plan, const struct net_ip *ip)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct net_addr *addr = &plan->item[i].addr;
        const bool family = net_ip_is_v4(ip) == (addr->family == NET_V4);

        if (!plan->item[i].stream &&
            (net_ip_equal(&addr->ip, ip) || (family && kernel_path_is_wildcard(addr)))) {
            return true;
        }
    }
    return false;
}

static bool relays_at(const struct kernel_path_input *in, const struct net_ip *ip)
{
    bool found = in->relay_count == 0;

    for (size_t i = 0; i < in->relay_count && !found; i++) {
        found = net_ip_equal(&in->relays[i], ip);
    }
    return found;
}

static size_t by_name(const struct conf *conf, struct forward_interface out[FORWARD_INTERFACES])
{
    const struct conf_list *list = &conf->offload_interface;
    size_t count = 0;

    for (size_t i = 0; i < list->count && count < FORWARD_INTERFACES; i++) {
        struct conf_offload_interface one;

        if (conf_offload_interface_parse(list->items[i].text, &one) == 0) {
            struct forward_interface *to = &out[count++];
            *to = (struct forward_interface){
                .mode = mode_of(one.has_mode ? one.mode : conf->offload),
            };
            memcpy(to->name, one.name, sizeof(to->name));
        }
    }
    return count;
}

static bool is_there(const struct forward_interface *list, size_t count, uint32_t index)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].index == index) {
            return true;
        }
    }
    return false;
}

/* Link-local addresses alone are no reason: every interface has one. */
static size_t by_address(const struct kernel_path_input *in,
                         struct forward_interface out[FORWARD_INTERFACES])
{
    size_t count = 0;

    for (size_t i = 0; i < in->own->count && count < FORWARD_INTERFACES; i++) {
        const struct interface_address *own = &in->own->items[i];

        if (own->loopback || own->link_local || own->down || is_there(out, count, own->index) ||
            !(listens_at(in->listeners, &own->ip) || relays_at(in, &own->ip))) {
            continue;
        }
        out[count++] =
            (struct forward_interface){.index = own->index, .mode = mode_of(in->conf->offload)};
    }
    return count;
}

void kernel_path_name(struct forward_interface *list, size_t *count)
{
    size_t kept = 0;

    for (size_t i = 0; i < *count; i++) {
        if (list[i].name[0] == 0 && if_indextoname(list[i].index, list[i].name) == NULL) {
            continue;
        }
        list[kept++] = list[i];
    }
    *count = kept;
}

size_t kernel_path_choose(const struct kernel_path_input *in,
                          struct forward_interface out[FORWARD_INTERFACES])
{
    return in->conf->offload_interface.count > 0 ? by_name(in->conf, out) : by_address(in, out);
}

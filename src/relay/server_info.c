/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "relay/external.h"
#include "relay/relay_ports.h"
#include "relay/server_int.h"

/* --- telling -------------------------------------------------------------------------------------
 */

void relay_server_stats(const struct relay_server *s, struct relay_stats *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < s->worker_count; i++) {
        if (s->workers[i] != NULL) {
            worker_add_stats(s->workers[i], out);
        }
    }
}

static void describe_relay(const struct relay_server *s, const struct net_ip *ip,
                           void (*each)(void *arg, const char *line), void *arg)
{
    char line[2 * NET_ADDR_TEXT + 32];
    char text[NET_ADDR_TEXT];
    char public_text[NET_ADDR_TEXT];
    const struct net_addr bound = net_addr_make(ip, 0);
    const struct net_addr relayed = external_relayed(s->external, &bound);

    if (net_addr_equal(&bound, &relayed)) {
        (void)snprintf(line, sizeof(line), "relay %s", net_ip_text(ip, text));
    } else {
        (void)snprintf(line, sizeof(line), "relay %s (external %s)", net_ip_text(ip, text),
                       net_ip_text(&relayed.ip, public_text));
    }
    each(arg, line);
}

void relay_server_describe(const struct relay_server *s, void (*each)(void *arg, const char *line),
                           void *arg)
{
    char line[LISTENER_TEXT + 32];
    char text[LISTENER_TEXT];
    const struct net_ip *given;
    const size_t given_count = relay_ports_given(s->ports, &given);

    for (size_t i = 0; i < s->plan.count; i++) {
        (void)snprintf(line, sizeof(line), "listening %s", listener_text(&s->plan.item[i], text));
        each(arg, line);
    }
    for (size_t i = 0; i < given_count; i++) {
        describe_relay(s, &given[i], each, arg);
    }
    for (size_t i = 0; given_count == 0 && i < s->own.count; i++) {
        const struct interface_address *item = &s->own.items[i];
        if (!item->loopback && !item->link_local && !item->down) {
            describe_relay(s, &item->ip, each, arg);
        }
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The gates: who may be reached by the clients of a realm.
 *
 * The order is coturn's: ranges that the options and the section allow, then those that the
 * database allows, then what either denies; the first that allows wins. */
#include <errno.h>
#include <string.h>

#include "auth/auth_realms.h"
#include "conf/conf.h"
#include "conf/conf_realm.h"
#include "conf/conf_value.h"
#include "relay/external.h"
#include "relay/interfaces.h"
#include "relay/listener.h"
#include "relay/settings_int.h"
#include "turn/gate.h"

/* 0; -ENOMEM; -EBADMSG when `text` is no range. */
static int add_range(struct gate *gate, const char *text, bool allow)
{
    struct conf_range range[2];
    const int n = conf_range_parse(text, range);
    int err = n < 0 ? n : 0;

    for (int k = 0; err == 0 && k < n; k++) {
        err = allow ? gate_allow(gate, &range[k].first, &range[k].last)
                    : gate_deny(gate, &range[k].first, &range[k].last);
    }
    return err;
}

static int add_list(struct gate *gate, const struct conf_list *list, bool allow)
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < list->count; i++) {
        err = add_range(gate, list->items[i].text, allow);
    }
    return err;
}

static int add_key(struct gate *gate, const struct conf_section *section, const char *key,
                   bool allow)
{
    const char *text;
    size_t at = 0;
    int err = 0;

    while (err == 0 && (text = conf_section_next(section, key, &at)) != NULL) {
        err = add_range(gate, text, allow);
    }
    return err;
}

static int add_section(struct gate *gate, const struct conf_section *section)
{
    int err = section != NULL ? add_key(gate, section, "allowed-peer-ip", true) : 0;

    return err == 0 && section != NULL ? add_key(gate, section, "denied-peer-ip", false) : err;
}

bool settings_gate_has_rules(const struct conf_section *section)
{
    return section != NULL && (conf_section_value(section, "allowed-peer-ip") != NULL ||
                               conf_section_value(section, "denied-peer-ip") != NULL);
}

/* What the database says for everybody, and for the realm.  What is no range there has been counted
 * (settings_realms.c), and can neither open nor close anything. */
static int add_facts(struct gate *gate, const struct auth_realms *facts, const char *realm)
{
    int err = 0;

    for (uint32_t i = 0; facts != NULL && err == 0 && i < facts->range_count; i++) {
        const struct auth_range *range = &facts->ranges[i];

        if (range->realm[0] == '\0' || (realm != NULL && strcmp(range->realm, realm) == 0)) {
            err = add_range(gate, range->range, range->allowed);
            err = err == -EBADMSG || err == -EINVAL ? 0 : err;
        }
    }
    return err;
}

static int add_nat64(struct gate *gate, const struct conf_list *list)
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < list->count; i++) {
        struct net_ip prefix;
        unsigned bits = 0;
        err = conf_prefix_parse(list->items[i].text, &prefix, &bits);
        err = err == 0 ? gate_nat64(gate, &prefix, bits) : err;
    }
    return err;
}

/* Our own addresses, of which only relay ports are peers, and where we listen.  Loopback addresses
 * are not added: the gate closes them unless the administrator wants services there reached. */
static int add_own(struct gate *gate, const struct settings_input *in)
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < in->own->count; i++) {
        err = in->own->items[i].loopback ? 0 : gate_own(gate, &in->own->items[i].ip);
    }
    for (size_t i = 0; err == 0 && i < in->external->count; i++) {
        err = gate_own(gate, &in->external->pairs[i].public_ip);
    }
    for (int family = 0; err == 0 && family < 2; family++) {
        err = in->external->plain[family] ? gate_own(gate, &in->external->plain_ip[family]) : 0;
    }
    for (size_t i = 0; err == 0 && i < in->listeners->count; i++) {
        const struct net_addr *addr = &in->listeners->item[i].addr;
        const struct net_addr outside = external_relayed(in->external, addr);
        err = gate_protect(gate, addr);
        err = err == 0 ? gate_protect(gate, &outside) : err; /* its public face as well */
    }
    for (size_t i = 0; err == 0 && i < in->backend_count; i++) {
        err = gate_protect(gate, &in->backends[i]);
    }
    return err;
}

static int add_all(struct gate *gate, const struct settings_input *in, const char *realm)
{
    const struct conf *conf = in->conf;
    int err = add_list(gate, &conf->allowed_peer_ip, true);

    err = err == 0 ? add_list(gate, &conf->denied_peer_ip, false) : err;
    err = err == 0 && realm != NULL ? add_section(gate, conf_realm_find(conf, realm)) : err;
    err = err == 0 ? add_facts(gate, in->facts, realm) : err;
    err = err == 0 ? add_nat64(gate, &conf->nat64_prefix) : err;
    err = err == 0 ? add_own(gate, in) : err;
    return err == 0 ? gate_build(gate) : err;
}

int settings_gate_new(const struct settings_input *in, const char *realm, struct gate **out)
{
    const struct gate_options options = {
        .allow_loopback = in->conf->allow_loopback_peers,
        .allow_private = in->conf->allow_private_peers,
        .relay_port_min = (uint16_t)in->start->min_port,
        .relay_port_max = (uint16_t)in->start->max_port,
    };
    struct gate *gate = gate_new(&options);
    if (gate == NULL) {
        return -ENOMEM;
    }
    const int err = add_all(gate, in, realm);
    if (err < 0) {
        gate_free(gate);
        return err;
    }
    *out = gate;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf_behaviour.h"

#include "conf/conf_value.h"

static bool is_unspecified(const struct net_ip *ip)
{
    static const struct net_ip zero;
    static const uint8_t v4_zero[4];
    const struct net_ip zero_v4 = net_ip_v4(v4_zero);

    return net_ip_equal(ip, &zero) || net_ip_equal(ip, &zero_v4);
}

static int family_of(const struct net_ip *ip)
{
    return net_ip_is_v4(ip) ? 0 : 1;
}

static void find_pairs(const struct conf *conf, struct conf_behaviour *out)
{
    uint32_t found[2] = {0, 0};

    for (size_t i = 0; i < conf->listening_ip.count; i++) {
        struct net_addr addr;

        if (net_addr_parse(conf->listening_ip.items[i].text, 0, &addr) < 0 ||
            is_unspecified(&addr.ip)) {
            continue;
        }
        const int family = family_of(&addr.ip);
        if (found[family] < 2 &&
            (found[family] == 0 || !net_ip_equal(&out->ip[family][0], &addr.ip))) {
            out->ip[family][found[family]++] = addr.ip;
        }
    }
    for (int family = 0; family < 2; family++) {
        out->pair[family] = found[family] == 2 ? CONF_PAIR_FOUND : CONF_PAIR_MISSING;
    }
}

/* Behind a NAT, each of the two needs a public address of its own: one that stands for both would
 * have clients told that they are the same. */
static bool has_two_faces(const struct conf *conf, const struct net_ip ip[2])
{
    bool plain = false;
    bool own[2] = {false, false};

    for (size_t i = 0; i < conf->external_ip.count; i++) {
        struct conf_external e;

        if (conf_external_parse(conf->external_ip.items[i].text, &e) < 0 ||
            family_of(&e.public_ip) != family_of(&ip[0])) {
            continue;
        }
        plain = plain || !e.has_private;
        own[0] = own[0] || (e.has_private && net_ip_equal(&e.private_ip, &ip[0]));
        own[1] = own[1] || (e.has_private && net_ip_equal(&e.private_ip, &ip[1]));
    }
    return !plain || (own[0] && own[1]);
}

struct conf_behaviour conf_behaviour_read(const struct conf *conf)
{
    struct conf_behaviour out = {
        .on = conf->rfc5780,
        .port = {conf->listening_port, conf->alt_listening_port != 0 ? conf->alt_listening_port
                                                                     : conf->listening_port + 1},
    };

    if (conf->tls_listening_port != 0) {
        out.tls_port[0] = conf->tls_listening_port;
        out.tls_port[1] = conf->alt_tls_listening_port != 0 ? conf->alt_tls_listening_port
                                                            : conf->tls_listening_port + 1;
    }
    find_pairs(conf, &out);
    for (int family = 0; family < 2; family++) {
        if (out.pair[family] == CONF_PAIR_FOUND && !has_two_faces(conf, out.ip[family])) {
            out.pair[family] = CONF_PAIR_ONE_FACE;
        }
    }
    return out;
}

bool conf_behaviour_has(const struct conf_behaviour *behaviour, const struct net_ip *ip)
{
    const int family = family_of(ip);

    return behaviour->on && behaviour->pair[family] == CONF_PAIR_FOUND &&
           (net_ip_equal(ip, &behaviour->ip[family][0]) ||
            net_ip_equal(ip, &behaviour->ip[family][1]));
}

bool conf_behaviour_any(const struct conf_behaviour *behaviour)
{
    return behaviour->on &&
           (behaviour->pair[0] == CONF_PAIR_FOUND || behaviour->pair[1] == CONF_PAIR_FOUND);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/prefix_set.h"
#include "base/secret.h"
#include "conf/conf.h"
#include "conf/conf_value.h"
#include "crypto/mac.h"
#include "io/tls.h"
#include "relay/external.h"
#include "relay/interfaces.h"
#include "relay/listener.h"
#include "relay/settings_int.h"
#include "turn/gate.h"

enum {
    NONCE_SECRET_MAX = 1024,
    UNAUTH_BURST = 10,        /* seconds' worth of challenges that may come in one burst */
    NONCE_S_MAX = 86400,      /* `stale-nonce 0` */
    DEFAULT_LIFETIME_S = 600, /* RFC 8656 section 7.2 */
};

/* --- gate --------------------------------------------------------------------------------------
 */

static int add_rules(struct gate *gate, const struct conf_list *list, bool allow)
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < list->count; i++) {
        struct conf_range range[2];
        const int n = conf_range_parse(list->items[i].text, range);
        err = n < 0 ? n : 0;
        for (int k = 0; err == 0 && k < n; k++) {
            err = allow ? gate_allow(gate, &range[k].first, &range[k].last)
                        : gate_deny(gate, &range[k].first, &range[k].last);
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
    return err;
}

static int make_gate(const struct settings_input *in, struct gate **out)
{
    const struct conf *conf = in->conf;
    const struct gate_options options = {
        .allow_loopback = conf->allow_loopback_peers,
        .allow_private = conf->allow_private_peers,
        .relay_port_min = (uint16_t)in->start->min_port,
        .relay_port_max = (uint16_t)in->start->max_port,
    };
    struct gate *gate = gate_new(&options);
    if (gate == NULL) {
        return -ENOMEM;
    }
    int err = add_rules(gate, &conf->allowed_peer_ip, true);
    err = err == 0 ? add_rules(gate, &conf->denied_peer_ip, false) : err;
    err = err == 0 ? add_nat64(gate, &conf->nat64_prefix) : err;
    err = err == 0 ? add_own(gate, in) : err;
    err = err == 0 ? gate_build(gate) : err;
    if (err < 0) {
        gate_free(gate);
        return err;
    }
    *out = gate;
    return 0;
}

/* --- turn_config -------------------------------------------------------------------------------
 */

/* Secrets of any length become keys of one length. */
static int nonce_key(const char *text, uint8_t out[TURN_NONCE_KEY_LEN])
{
    static const char label[] = "sterna nonce key";
    uint8_t raw[NONCE_SECRET_MAX];
    int n = conf_hex_parse(text, raw, sizeof(raw));
    struct bytes secret = bytes_of(text);

    if (n >= 0) {
        secret = (struct bytes){raw, (size_t)n};
    }
    const struct bytes parts[] = {bytes_of(label), secret};
    const int err = crypto_sha256(parts, ARRAY_SIZE(parts), out);
    secret_wipe(raw, sizeof(raw));
    return err;
}

static int put_nonce_keys(const struct settings_input *in, struct turn_config *config, char *why,
                          size_t cap)
{
    const struct conf_list *list = &in->conf->stateless_nonce_secret;

    if (list->count > TURN_NONCE_KEYS) {
        (void)snprintf(why, cap, "more than %d stateless-nonce-secret values: take old ones out",
                       TURN_NONCE_KEYS);
        return -EINVAL;
    }
    for (size_t i = 0; i < list->count; i++) {
        const int err = nonce_key(list->items[i].text, config->nonce_keys[i]);
        if (err < 0) {
            return err;
        }
    }
    config->nonce_key_count = list->count;
    if (list->count == 0) {
        memcpy(config->nonce_keys[0], in->nonce_key, TURN_NONCE_KEY_LEN);
        config->nonce_key_count = 1;
    }
    return 0;
}

static int put_alternate_list(const struct conf_list *list, uint16_t default_port,
                              struct turn_alternates *out, char *why, size_t cap)
{
    if (list->count > TURN_MAX_ALTERNATES) {
        (void)snprintf(why, cap, "more than %d alternate servers", TURN_MAX_ALTERNATES);
        return -EINVAL;
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct conf_text *item = &list->items[i];
        struct turn_alternate *alternate = &out->items[i];
        struct conf_endpoint endpoint;

        if (conf_endpoint_parse(item->text, default_port, &endpoint) < 0) {
            (void)snprintf(why, cap, "%s:%u: alternate server %s is not an address", item->file,
                           item->line, item->text);
            return -EINVAL;
        }
        alternate->addr = endpoint.addr;
        memcpy(alternate->domain, endpoint.domain.p, endpoint.domain.n); /* at most 255 bytes */
        alternate->domain[endpoint.domain.n] = 0;
    }
    out->count = list->count;
    return 0;
}

/* alternate-server is for UDP and TCP, unless they have lists of their own. */
static int put_alternates(const struct conf *conf, struct turn_config *config, char *why,
                          size_t cap)
{
    const struct conf_list *any = &conf->alternate_server;
    const struct conf_list *udp = &conf->udp_alternate_server;
    const struct conf_list *tcp = &conf->tcp_alternate_server;
    int err = put_alternate_list(udp->count > 0 ? udp : any, 3478,
                                 &config->alternates[TURN_ALTERNATE_UDP], why, cap);

    err = err == 0 ? put_alternate_list(tcp->count > 0 ? tcp : any, 3478,
                                        &config->alternates[TURN_ALTERNATE_TCP], why, cap)
                   : err;
    return err == 0 ? put_alternate_list(&conf->tls_alternate_server, 5349,
                                         &config->alternates[TURN_ALTERNATE_TLS], why, cap)
                    : err;
}

static enum turn_algorithms algorithms(const struct settings_input *in)
{
    switch (in->conf->password_algorithms) {
    case CONF_ALGORITHMS_SHA256_MD5:
        return TURN_ALG_SHA256_MD5;
    case CONF_ALGORITHMS_MD5:
        return TURN_ALG_MD5;
    case CONF_ALGORITHMS_SHA256:
        return TURN_ALG_SHA256;
    case CONF_ALGORITHMS_AUTO:
    default:
        return in->abilities.sha256 ? TURN_ALG_SHA256_MD5 : TURN_ALG_MD5;
    }
}

static enum turn_family_default default_family(const struct conf *conf)
{
    if (conf->keep_address_family || conf->allocation_default_address_family == CONF_FAMILY_KEEP) {
        return TURN_DEFAULT_KEEP;
    }
    return conf->allocation_default_address_family == CONF_FAMILY_IPV6 ? TURN_DEFAULT_IPV6
                                                                       : TURN_DEFAULT_IPV4;
}

static void put_flags(const struct settings_input *in, struct turn_config *config)
{
    const struct conf *conf = in->conf;

    config->require_auth = !in->start->no_auth;
    config->stun_enabled = !conf->no_stun;
    config->turn_enabled = !conf->stun_only;
    config->auth_binding = conf->secure_stun;
    config->always_fingerprint = conf->fingerprint;
    config->mapped_address = conf->stun_backward_compatibility;
    config->channels_5766 = conf->rfc5766_channel_numbers;
    config->username_anonymity =
        conf->username_anonymity == CONF_ANONYMITY_AUTO && in->abilities.userhash;
    config->udp_relay = !conf->no_udp_relay;
    config->tcp_relay = !conf->no_tcp_relay;
    config->ipv4_relay = in->relay_family[0];
    config->ipv6_relay = in->relay_family[1];
    config->additional_family = conf->additional_address_family;
    config->copy_dscp = conf->copy_dscp;
    config->copy_ecn = conf->copy_ecn;
    config->mobility = conf->mobility;
    config->draining = in->draining;
    config->algorithms = algorithms(in);
    config->default_family = default_family(conf);
}

static void put_limits(const struct settings_input *in, struct turn_config *config)
{
    const struct conf *conf = in->conf;

    config->max_lifetime_s = conf->max_allocate_lifetime;
    config->default_lifetime_s = conf->max_allocate_lifetime < DEFAULT_LIFETIME_S
                                     ? conf->max_allocate_lifetime
                                     : DEFAULT_LIFETIME_S;
    config->permission_s = conf->permission_lifetime;
    config->channel_s = conf->channel_lifetime;
    config->nonce_s = conf->stale_nonce != 0 ? conf->stale_nonce : NONCE_S_MAX;
    config->max_permissions = conf->max_permissions;
    config->max_channels = conf->max_channels;
    config->max_connections = conf->max_peer_connections;
    config->max_bps = conf->max_bps;
    config->limit_capacity = conf->bps_capacity != 0;
    /* A client's packets all reach one worker, those of a prefix are spread over all. */
    config->unauth_per_s = conf->unauthorized_ratelimit
                               ? settings_share(conf->unauthorized_ratelimit_rps, in->workers)
                               : 0;
    config->unauth_burst = config->unauth_per_s * UNAUTH_BURST;
}

static int put_names(const struct conf *conf, struct turn_config *config, char *why, size_t cap)
{
    const char *realm = conf->realm != NULL ? conf->realm : "";

    if (snprintf(config->realm, sizeof(config->realm), "%s", realm) >= (int)sizeof(config->realm)) {
        (void)snprintf(why, cap, "realm is longer than %d characters", TURN_REALM_MAX);
        return -EINVAL;
    }
    if (conf->software_attribute) {
        (void)snprintf(config->software, sizeof(config->software), "sterna %s", STERNA_VERSION);
    }
    return 0;
}

int settings_new(const struct settings_input *in, struct settings **out, char *why, size_t cap)
{
    struct settings *settings = mem_new(1, sizeof(*settings));
    if (settings == NULL) {
        return -ENOMEM;
    }
    put_flags(in, &settings->config);
    put_limits(in, &settings->config);
    int err = put_names(in->conf, &settings->config, why, cap);
    err = err == 0 ? put_nonce_keys(in, &settings->config, why, cap) : err;
    err = err == 0 ? put_alternates(in->conf, &settings->config, why, cap) : err;
    err = err == 0 ? make_gate(in, &settings->gate) : err;
    err = err == 0 ? settings_put_clients(in, settings) : err;
    if (err < 0) {
        settings_free(settings);
        return err;
    }
    settings->config.gate = settings->gate;
    *out = settings;
    return 0;
}

void settings_free(struct settings *settings)
{
    if (settings == NULL) {
        return;
    }
    gate_free(settings->gate);
    prefix_set_free(settings->proxy_from);
    tls_set_unref(settings->tls);
    free(settings->acme_redirect);
    secret_wipe(settings, sizeof(*settings));
    free(settings);
}

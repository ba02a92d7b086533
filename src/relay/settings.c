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
    config->udp_relay = !conf->no_udp_relay;
    config->tcp_relay = !conf->no_tcp_relay;
    config->ipv4_relay = in->relay_family[0];
    config->ipv6_relay = in->relay_family[1];
    config->additional_family = conf->additional_address_family;
    config->copy_dscp = conf->copy_dscp;
    config->copy_ecn = conf->copy_ecn;
    config->mobility = conf->mobility;
    config->origin_consistency = conf->check_origin_consistency;
    config->draining = in->draining;
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

    if (snprintf(config->main.name, sizeof(config->main.name), "%s", realm) >=
        (int)sizeof(config->main.name)) {
        (void)snprintf(why, cap, "realm is longer than %d characters", TURN_REALM_MAX);
        return -EINVAL;
    }
    config->third_party = conf->oauth;
    if (snprintf(config->server_name, sizeof(config->server_name), "%s",
                 conf->server_name != NULL ? conf->server_name : realm) >=
            (int)sizeof(config->server_name) &&
        conf->oauth) {
        (void)snprintf(why, cap, "realm is longer than %d bytes: write a server-name for oauth",
                       TURN_SERVER_NAME_MAX);
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
    settings_put_behaviour(in, settings);
    int err = put_names(in->conf, &settings->config, why, cap);
    err = err == 0 ? put_nonce_keys(in, &settings->config, why, cap) : err;
    err = err == 0 ? settings_put_redirects(in, settings, why, cap) : err;
    err = err == 0 ? settings_put_realms(in, settings) : err;
    err = err == 0 ? settings_put_clients(in, settings) : err;
    if (err < 0) {
        settings_free(settings);
        return err;
    }
    *out = settings;
    return 0;
}

void settings_free(struct settings *settings)
{
    if (settings == NULL) {
        return;
    }
    settings_free_realms(settings);
    prefix_set_free(settings->proxy_from);
    tls_set_unref(settings->tls);
    free(settings->acme_redirect);
    secret_wipe(settings, sizeof(*settings));
    free(settings);
}

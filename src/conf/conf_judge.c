/* SPDX-License-Identifier: Apache-2.0 */
/* What the options do together: each rule is one small function. */
#include <string.h>

#include "base/net_addr.h"
#include "base/secret.h"
#include "conf/conf_int.h"
#include "conf/conf_realm.h"
#include "conf/conf_value.h"

static struct conf_place item_place(const struct conf_text *item)
{
    return (struct conf_place){.file = item->file, .line = item->line, .column = item->column};
}

static void later_tell(struct conf *conf, enum conf_opt opt)
{
    const struct conf_option *option = &conf_options[opt];
    const struct conf_place place = conf_place_of(conf, opt);
    const char *why = conf_option_group(opt)->why;

    if (option->type == CONF_TYPE_flag && conf_is_default(conf, option)) {
        return;
    }
    conf_say(conf, CONF_WARNING, &place, "'%s' has no effect yet: %s", option->name, why);
}

static void moot_tell(struct conf *conf, enum conf_opt opt)
{
    const struct conf_option *option = &conf_options[opt];
    const struct conf_place place = conf_place_of(conf, opt);
    bool on = true;

    if (option->type == CONF_TYPE_flag) {
        memcpy(&on, conf_field(conf, option), sizeof(on));
    }
    if (on) {
        conf_say(conf, CONF_NOTE, &place, "'%s' is not needed: %s", option->name,
                 option->type == CONF_TYPE_flag ? "the server always behaves so"
                                                : conf_option_group(opt)->why);
    } else {
        conf_say(conf, CONF_WARNING, &place,
                 "'%s' cannot be switched off in this version: the server always behaves so",
                 option->name);
    }
}

/* Tell once about each option that was given and changes nothing. */
static void effects_judge(struct conf *conf)
{
    for (int i = 0; i < CONF_OPTIONS; i++) {
        if (conf->is_set[i] && conf_options[i].status == CONF_LATER) {
            later_tell(conf, (enum conf_opt)i);
        } else if (conf->is_set[i] && conf_options[i].status == CONF_MOOT) {
            moot_tell(conf, (enum conf_opt)i);
        }
    }
}

static bool other_database(const struct conf *conf)
{
    return conf->psql_userdb != NULL || conf->mysql_userdb != NULL || conf->mongo_userdb != NULL ||
           conf->redis_userdb != NULL;
}

/* Credentials are required unless somebody says no-auth: never an open relay by omission. */
static void sources_judge(struct conf *conf)
{
    if (!conf_wants_auth(conf)) {
        return;
    }
    if (conf_has_outside(conf)) {
        return; /* tokens, or a hook */
    }
    if (!conf->lt_cred_mech && !conf->use_auth_secret) {
        conf_say(conf, CONF_ERROR, NULL,
                 "nobody could use this server, as it knows no credentials: write "
                 "static-auth-secret=SECRET for time-limited ones, user=NAME:PASSWORD or "
                 "userdb=FILE for fixed ones, or no-auth to relay for anybody on the Internet");
    } else if (conf->user.count == 0 && conf->static_auth_secret.count == 0 &&
               conf->userdb == NULL && !conf_realms_have(conf, "user") &&
               !conf_realms_have(conf, "static-auth-secret")) {
        conf_say(conf, CONF_ERROR, NULL,
                 "%s is on, but there are no users: write %s or userdb=FILE%s",
                 conf->lt_cred_mech ? "lt-cred-mech" : "use-auth-secret",
                 conf->lt_cred_mech ? "user=NAME:PASSWORD" : "static-auth-secret=SECRET",
                 other_database(conf) ? " (this version reads SQLite databases only)" : "");
    }
}

static void no_auth_judge(struct conf *conf)
{
    const struct conf_place place = conf_place_of(conf, CONF_OPT_no_auth);

    if (!conf->no_auth) {
        return;
    }
    if (conf->lt_cred_mech || conf->use_auth_secret || conf->static_auth_secret.count > 0 ||
        conf_has_outside(conf)) {
        conf_say(conf, CONF_ERROR, &place,
                 "no-auth contradicts lt-cred-mech, use-auth-secret, static-auth-secret, oauth, "
                 "jwt-secret, jwt-jwks and auth-hook: keep one side only");
        return;
    }
    if (conf->user.count > 0) {
        conf_say(conf, CONF_WARNING, &place, "with no-auth the user lines have no effect");
    }
    if (conf->secure_stun) {
        conf_say(conf, CONF_WARNING, &place, "with no-auth, secure-stun has no effect");
    }
    if (!conf->stun_only) {
        conf_say(conf, CONF_WARNING, &place,
                 "no-auth: anybody who reaches this server can relay through it, to any peer that "
                 "is not denied");
    }
}

size_t conf_characters(const char *text)
{
    size_t count = 0;

    for (; *text != 0; text++) {
        count += ((unsigned char)*text & 0xc0) != 0x80; /* UTF-8: each but continuation bytes */
    }
    return count;
}

static void realm_judge(struct conf *conf)
{
    const struct conf_place place = conf_place_of(conf, CONF_OPT_realm);

    if (conf->realm != NULL && conf_characters(conf->realm) > CONF_REALM_MAX) {
        conf_say(conf, CONF_ERROR, &place, "the realm has %zu characters, but may have %d at most",
                 conf_characters(conf->realm), CONF_REALM_MAX);
    }
}

/* A user whose only key is of an algorithm that is not offered can never log in. */
void conf_judge_user(struct conf *conf, const struct conf_user *user,
                     const struct conf_place *place)
{
    if (user->key_len == 16 && conf->password_algorithms == CONF_ALGORITHMS_SHA256) {
        conf_say(conf, CONF_WARNING, place,
                 "this user has an MD5 key only and cannot log in with "
                 "password-algorithms=sha256");
    } else if (user->key_len == 32 && conf->password_algorithms == CONF_ALGORITHMS_MD5) {
        conf_say(conf, CONF_WARNING, place,
                 "this user has a SHA-256 key only and cannot log in with "
                 "password-algorithms=md5");
    }
}

static void keys_judge(struct conf *conf)
{
    for (size_t i = 0; i < conf->user.count; i++) {
        const struct conf_place place = item_place(&conf->user.items[i]);
        struct conf_user user;

        if (conf_user_parse(conf->user.items[i].text, &user) < 0) {
            continue;
        }
        conf_judge_user(conf, &user, &place);
        secret_wipe(&user, sizeof(user));
    }
}

static void nonce_judge(struct conf *conf)
{
    const struct conf_list *list = &conf->stateless_nonce_secret;
    const struct conf_place nonce = conf_place_of(conf, CONF_OPT_stale_nonce);

    if (conf->is_set[CONF_OPT_stale_nonce] &&
        conf->stale_nonce == conf_options[CONF_OPT_stale_nonce].max) {
        conf_say(conf, CONF_NOTE, &nonce, "nonces are valid for a day at most");
    }
    if (list->count > CONF_NONCE_SECRETS) {
        const struct conf_place place = item_place(&list->items[CONF_NONCE_SECRETS]);

        conf_say(conf, CONF_ERROR, &place, "there may be %d secrets for nonces at most",
                 CONF_NONCE_SECRETS);
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct conf_place place = item_place(&list->items[i]);
        uint8_t key[512];

        if (strncmp(list->items[i].text, "0x", 2) == 0 &&
            conf_hex_parse(list->items[i].text, key, sizeof(key)) < 0) {
            conf_say(conf, CONF_WARNING, &place,
                     "this secret begins with 0x but is not hexadecimal: it is taken as text");
        }
        secret_wipe(key, sizeof(key));
    }
}

static void service_judge(struct conf *conf)
{
    struct conf_place place = conf_place_of(conf, CONF_OPT_no_stun);

    if (conf->stun_only && conf->no_stun) {
        conf_say(conf, CONF_ERROR, &place, "stun-only and no-stun together leave nothing to serve");
    }
    if (conf->min_port > conf->max_port) {
        place = conf_place_of(conf, conf->is_set[CONF_OPT_max_port] ? CONF_OPT_max_port
                                                                    : CONF_OPT_min_port);
        conf_say(conf, CONF_ERROR, &place, "min-port (%u) is above max-port (%u)", conf->min_port,
                 conf->max_port);
    }
}

static void lifetime_judge(struct conf *conf, enum conf_opt opt, uint32_t value, uint32_t wanted,
                           const char *section)
{
    const struct conf_place place = conf_place_of(conf, opt);

    if (value != wanted) {
        conf_say(conf, CONF_WARNING, &place,
                 "%s is %u s, but RFC 8656 section %s says %u s, and clients count on it",
                 conf_options[opt].name, value, section, wanted);
    }
}

static bool is_multicast(const struct net_ip *ip)
{
    return net_ip_is_v4(ip) ? net_ip_v4_bytes(ip)[0] >= 224 : ip->b[0] == 0xff;
}

static bool is_unspecified(const struct net_ip *ip)
{
    static const struct net_ip zero;
    static const uint8_t v4_zero[4];
    const struct net_ip zero_v4 = net_ip_v4(v4_zero);

    return net_ip_equal(ip, &zero) || net_ip_equal(ip, &zero_v4);
}

static void relay_ip_judge(struct conf *conf)
{
    for (size_t i = 0; i < conf->relay_ip.count; i++) {
        const struct conf_text *item = &conf->relay_ip.items[i];
        const struct conf_place place = item_place(item);
        struct net_ip ip;

        if (net_ip_parse(item->text, &ip) == 0 && (is_multicast(&ip) || is_unspecified(&ip))) {
            conf_say(conf, CONF_ERROR, &place,
                     "relay-ip wants an address of this host that peers can reach, not %s",
                     item->text);
        }
    }
}

static void external_judge(struct conf *conf)
{
    for (size_t i = 0; i < conf->external_ip.count; i++) {
        const struct conf_text *item = &conf->external_ip.items[i];
        const struct conf_place place = item_place(item);
        struct conf_external external;

        if (conf_external_parse(item->text, &external) == 0 &&
            (is_multicast(&external.public_ip) || is_unspecified(&external.public_ip))) {
            conf_say(conf, CONF_ERROR, &place,
                     "external-ip wants an address that peers can reach, not %s", item->text);
        }
    }
}

void conf_judge_empty_range(struct conf *conf, const struct conf_place *place)
{
    conf_say(conf, CONF_NOTE, place,
             "this range changes nothing: a peer address written as ::ffff:a.b.c.d is always "
             "judged as a.b.c.d");
}

static void range_judge(struct conf *conf, const struct conf_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct conf_place place = item_place(&list->items[i]);
        struct conf_range ranges[2];

        if (conf_range_parse(list->items[i].text, ranges) == 0) {
            conf_judge_empty_range(conf, &place);
        }
    }
}

static void peers_judge(struct conf *conf)
{
    const struct conf_place place = conf_place_of(conf, CONF_OPT_allow_loopback_peers);

    if (conf->allow_loopback_peers) {
        conf_say(conf, CONF_WARNING, &place,
                 "allow-loopback-peers lets clients reach services of this host that listen on "
                 "loopback addresses: use it for tests only");
    }
    range_judge(conf, &conf->allowed_peer_ip);
    range_judge(conf, &conf->denied_peer_ip);
}

static void log_judge(struct conf *conf)
{
    const struct conf_place place = conf_place_of(conf, CONF_OPT_no_stdout_log);

    if (conf->no_stdout_log && conf->log_file == NULL && !conf->syslog) {
        conf_say(
            conf, CONF_WARNING, &place,
            "nothing is logged: no-stdout-log is on, and neither log-file nor syslog is given");
    }
}

void conf_judge(struct conf *conf)
{
    effects_judge(conf);
    sources_judge(conf);
    no_auth_judge(conf);
    realm_judge(conf);
    keys_judge(conf);
    nonce_judge(conf);
    service_judge(conf);
    lifetime_judge(conf, CONF_OPT_permission_lifetime, conf->permission_lifetime, 300, "9");
    lifetime_judge(conf, CONF_OPT_channel_lifetime, conf->channel_lifetime, 600, "12");
    relay_ip_judge(conf);
    external_judge(conf);
    peers_judge(conf);
    conf_judge_listen(conf);
    conf_judge_behaviour(conf);
    conf_judge_offload(conf);
    conf_judge_outside(conf);
    conf_judge_redirect(conf);
    conf_judge_sections(conf);
    log_judge(conf);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What follows from other options.  After this, readers need no rules of their own. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/net_addr.h"
#include "base/secret.h"
#include "conf/conf_int.h"
#include "conf/conf_realm.h"
#include "conf/conf_value.h"

bool conf_wants_auth(const struct conf *conf)
{
    return !conf->no_auth && (!conf->stun_only || conf->secure_stun);
}

const char *conf_domain_of(const char *host)
{
    const char *dot = strchr(host, '.');

    return dot != NULL && dot != host && dot[1] != 0 ? dot + 1 : NULL;
}

static void level_settle(struct conf *conf)
{
    if (conf->is_set[CONF_OPT_log_min_level]) {
        return;
    }
    if (conf->Verbose) {
        conf->log_min_level = CONF_LEVEL_DEBUG;
    } else if (conf->verbose) {
        conf->log_min_level = CONF_LEVEL_INFO;
    }
}

/* The names of log-file that are no files. */
static void log_settle(struct conf *conf)
{
    const char *file = conf->log_file;

    level_settle(conf);
    if (file == NULL) {
        return;
    }
    if (strcmp(file, "stdout") == 0 || strcmp(file, "-") == 0) {
        conf->no_stdout_log = false;
        conf_text_set(conf, CONF_OPT_log_file, NULL);
    } else if (strcmp(file, "syslog") == 0) {
        conf->syslog = true;
        conf_text_set(conf, CONF_OPT_log_file, NULL);
    }
}

/* Append each line of a file of secrets to the option `into`. */
static void secrets_read(struct conf *conf, enum conf_opt from, const char *path,
                         enum conf_opt into)
{
    enum { FILE_MAX = 65536 };
    struct conf_place place = conf_place_of(conf, from);
    char *text = NULL;
    size_t len = 0;

    if (path == NULL) {
        return;
    }
    const int result = conf_read_file(path, FILE_MAX, &text, &len);
    if (result < 0) {
        conf_say(conf, CONF_ERROR, &place, "cannot read the file of '%s', %s: %s",
                 conf_options[from].name, path, strerror(-result));
        return;
    }
    place = (struct conf_place){.source = place.source, .file = conf_name_keep(conf, path)};
    for (size_t at = 0; at < len;) {
        const char *eol = memchr(text + at, '\n', len - at);
        const size_t stop = eol != NULL ? (size_t)(eol - text) : len;
        struct bytes line = {(const uint8_t *)text + at, stop - at};

        place.line++;
        if (line.n > 0 && line.p[line.n - 1] == '\r') {
            line.n--;
        }
        if (line.n > 0 && memchr(line.p, 0, line.n) == NULL) {
            conf_list_add(conf, into, line, &place);
        }
        at = stop + 1;
    }
    secret_wipe(text, len);
    free(text);
}

static const char *const usual[] = {"/var/db/turndb", "/usr/local/var/db/turndb",
                                    "/var/lib/turn/turndb"};

const char *conf_usual_userdb(void)
{
    size_t i = 0;

    while (i < ARRAY_SIZE(usual) - 1 && access(usual[i], F_OK) != 0) {
        i++;
    }
    return usual[i];
}

/* The database that coturn would open, when users can come from nowhere else. */
static void database_settle(struct conf *conf)
{
    if (conf->userdb != NULL || conf->user.count > 0 || conf->static_auth_secret.count > 0 ||
        conf_realms_have(conf, "user") || conf_realms_have(conf, "static-auth-secret") ||
        !(conf->lt_cred_mech || conf->use_auth_secret)) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(usual); i++) {
        if (access(usual[i], R_OK) == 0) {
            conf_text_set(conf, CONF_OPT_userdb, conf_copy(conf, bytes_of(usual[i])));
            conf_say(conf, CONF_NOTE, NULL, "users are looked up in %s, as 'userdb' is not given",
                     usual[i]);
            return;
        }
    }
}

/* Which credentials are known: users imply lt-cred-mech, secrets use-auth-secret. */
static void sources_settle(struct conf *conf)
{
    secrets_read(conf, CONF_OPT_static_auth_secret_file, conf->static_auth_secret_file,
                 CONF_OPT_static_auth_secret);
    secrets_read(conf, CONF_OPT_stateless_nonce_secret_file, conf->stateless_nonce_secret_file,
                 CONF_OPT_stateless_nonce_secret);
    secrets_read(conf, CONF_OPT_jwt_secret_file, conf->jwt_secret_file, CONF_OPT_jwt_secret);
    if (!conf_wants_auth(conf)) {
        return;
    }
    conf->use_auth_secret = conf->use_auth_secret || conf->static_auth_secret.count > 0 ||
                            conf_realms_have(conf, "static-auth-secret");
    conf->lt_cred_mech =
        conf->lt_cred_mech || conf->user.count > 0 || conf_realms_have(conf, "user");
    if (!conf->use_auth_secret && !conf->lt_cred_mech && conf->userdb != NULL) {
        conf->lt_cred_mech = true;
    }
    database_settle(conf);
}

static void realm_settle(struct conf *conf)
{
    char host[256] = "";
    char domain[256] = "";
    const char *realm;

    if (conf->realm != NULL || !conf_wants_auth(conf) ||
        !(conf->lt_cred_mech || conf->use_auth_secret || conf_has_outside(conf))) {
        return;
    }
    if (gethostname(host, sizeof(host) - 1) < 0) {
        host[0] = 0;
    }
    if (getdomainname(domain, sizeof(domain) - 1) < 0) {
        domain[0] = 0;
    }
    if (conf_domain_of(host) != NULL) {
        realm = conf_domain_of(host);
    } else if (domain[0] != 0 && strcmp(domain, "(none)") != 0) {
        realm = domain;
    } else {
        realm = host[0] != 0 ? host : "sterna";
    }
    conf_text_set(conf, CONF_OPT_realm, conf_copy(conf, bytes_of(realm)));
    conf_say(conf, CONF_WARNING, NULL,
             "no realm is given, so '%s' is taken from the name of this host: write realm=%s, as "
             "keys of users are valid for one realm only",
             realm, realm);
}

/* Of the external addresses without a private part one per family counts, the first. */
static void external_settle(struct conf *conf)
{
    struct conf_list *list = &conf->external_ip;
    bool seen[2] = {false, false};

    for (size_t i = 0; i < list->count;) {
        const struct conf_text *item = &list->items[i];
        const struct conf_place place = {
            .file = item->file, .line = item->line, .column = item->column};
        struct conf_external external;

        if (conf_external_parse(item->text, &external) < 0 || external.has_private) {
            i++;
            continue;
        }
        const bool v4 = net_ip_is_v4(&external.public_ip);
        if (!seen[v4]) {
            seen[v4] = true;
            i++;
            continue;
        }
        conf_say(conf, CONF_WARNING, &place,
                 "a second external-ip for %s without a private part is left out: write "
                 "external-ip=%s/PRIVATE-ADDRESS",
                 v4 ? "IPv4" : "IPv6", item->text);
        conf_list_remove(list, i);
    }
}

void conf_settle(struct conf *conf)
{
    if (conf->keep_address_family && !conf->is_set[CONF_OPT_allocation_default_address_family]) {
        conf->allocation_default_address_family = CONF_FAMILY_KEEP;
    }
    if (conf->stale_nonce == 0) {
        conf->stale_nonce = (uint32_t)conf_options[CONF_OPT_stale_nonce].max;
    }
    log_settle(conf);
    sources_settle(conf);
    realm_settle(conf);
    external_settle(conf);
}

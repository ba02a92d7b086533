/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/secret.h"
#include "conf/conf.h"
#include "conf/conf_realm.h"

/* An answer must live long enough for the request that asked for it to be looked at again. */
enum { TTL_LEAST_MS = 2000 };

/* --- The realms --- */

/* Does `section` speak of the realm called `name`? */
static bool speaks_of(const struct conf *conf, const struct conf_section *section, const char *name,
                      bool main)
{
    return main ? conf_realm_is_main(conf, section) : strcmp(section->name, name) == 0;
}

/* Call it with `out` NULL to count; the texts are borrowed.  The lines of the options come first,
 * for the main realm: of two lines with one name the last one holds. */
static size_t user_lines(const struct conf *conf, const char *name, bool main,
                         struct conf_text *out)
{
    const struct conf_section *section;
    size_t count = main ? conf->user.count : 0;
    size_t at = 0;

    for (size_t i = 0; out != NULL && i < count; i++) {
        out[i] = conf->user.items[i];
    }
    while ((section = conf_realm_next(conf, &at)) != NULL) {
        for (size_t i = 0; speaks_of(conf, section, name, main) && i < section->count; i++) {
            const struct conf_pair *pair = &section->pairs[i];
            if (strcmp(pair->key, "user") != 0) {
                continue;
            }
            if (out != NULL) {
                out[count] =
                    (struct conf_text){pair->value, section->file, pair->line, pair->column};
            }
            count++;
        }
    }
    return count;
}

static int users_read(struct auth_config_realm *realm, const struct conf *conf, bool main,
                      char *why, size_t cap)
{
    struct conf_list list = {.count = user_lines(conf, realm->name, main, NULL)};

    list.items = mem_new(list.count + 1, sizeof(*list.items)); /* not 0: NULL means no memory */
    if (list.items == NULL) {
        return -ENOMEM;
    }
    (void)user_lines(conf, realm->name, main, list.items);
    const int err = auth_users_new(&list, bytes_of(realm->name), &realm->users, why, cap);
    free(list.items);
    return err;
}

static int secrets_read(struct auth_config_realm *realm, const struct conf *conf, bool main)
{
    const struct conf_section *section;
    const char *value;
    size_t at = 0;
    int err = 0;

    for (size_t i = 0; main && err == 0 && i < conf->static_auth_secret.count; i++) {
        err = auth_secrets_put(&realm->secrets, bytes_of(conf->static_auth_secret.items[i].text));
    }
    while (err == 0 && (section = conf_realm_next(conf, &at)) != NULL) {
        size_t pair = 0;
        while (err == 0 && speaks_of(conf, section, realm->name, main) &&
               (value = conf_section_next(section, "static-auth-secret", &pair)) != NULL) {
            err = auth_secrets_put(&realm->secrets, bytes_of(value));
        }
    }
    return err;
}

/* Add the realm called `name` unless it is there.  As the sections were judged, what is beyond
 * AUTH_REALMS_MAX cannot be.  0 or -ENOMEM. */
static int realm_add(struct auth_config *config, const char *name)
{
    for (uint32_t i = 0; i < config->realm_count; i++) {
        if (strcmp(config->realms[i].name, name) == 0) {
            return 0;
        }
    }
    if (config->realm_count == AUTH_REALMS_MAX) {
        return 0;
    }
    struct auth_config_realm *realm = &config->realms[config->realm_count];
    realm->name = mem_text(name);
    config->realm_count += realm->name == NULL ? 0 : 1;
    return realm->name == NULL ? -ENOMEM : 0;
}

static int realm_order(const void *a, const void *b)
{
    const struct auth_config_realm *x = a;
    const struct auth_config_realm *y = b;

    return auth_facts_order(bytes_of(x->name), bytes_of(y->name));
}

/* List the realms: the main one, those of sections, those that keys of third parties are of. */
static int realms_list(struct auth_config *config, const struct conf *conf)
{
    const char *main = conf->realm == NULL ? "" : conf->realm;
    const size_t most = conf->section_count + 1;
    const struct conf_section *section;
    size_t at = 0;

    config->realms = mem_new(most, sizeof(*config->realms));
    int err = config->realms == NULL ? -ENOMEM : realm_add(config, main);
    while (err == 0 && (section = conf_realm_next(conf, &at)) != NULL) {
        if (!conf_realm_is_main(conf, section)) {
            err = realm_add(config, section->name);
        }
    }
    for (size_t i = 0; err == 0 && i < conf->section_count; i++) {
        const char *realm = strcmp(conf->sections[i].kind, "oauth") == 0
                                ? conf_section_value(&conf->sections[i], "realm")
                                : NULL;
        err = realm == NULL ? 0 : realm_add(config, realm);
    }
    if (err == 0 && config->realm_count > 2) {
        qsort(config->realms + 1, config->realm_count - 1, sizeof(*config->realms), realm_order);
    }
    return err;
}

static int realms_read(struct auth_config *config, const struct conf *conf, char *why, size_t cap)
{
    int err = realms_list(config, conf);

    for (uint32_t i = 0; err == 0 && i < config->realm_count; i++) {
        err = config->ask_secrets ? secrets_read(&config->realms[i], conf, i == 0) : 0;
        if (err == 0) {
            err = users_read(&config->realms[i], conf, i == 0, why, cap);
        }
    }
    return err;
}

/* --- The whole --- */

static void flags_read(struct auth_config *config, const struct conf *conf, bool has_store)
{
    config->separator = conf->rest_api_separator == NULL ? ':' : conf->rest_api_separator[0];
    config->ask_users = has_store && conf->lt_cred_mech;
    config->ask_secrets = conf->use_auth_secret;
    config->poll_secrets = !conf->no_auth_pings;
    config->ask_realms = has_store && !conf->no_dynamic_realms;
    config->ask_ranges = has_store && !conf->no_dynamic_ip_list;
    config->third_party = conf->oauth;
    config->ttl_ms = conf->user_cache_ttl * 1000U;
    if (config->ttl_ms < TTL_LEAST_MS) {
        config->ttl_ms = TTL_LEAST_MS;
    }
}

static int third_party_read(struct auth_config *config, const struct conf *conf, char *why,
                            size_t cap)
{
    const char *realm = conf->realm == NULL ? "" : conf->realm;

    config->server_name = mem_text(conf->server_name == NULL ? realm : conf->server_name);
    if (config->server_name == NULL) {
        return -ENOMEM;
    }
    const int err = auth_oauth_read(&config->oauth, conf, why, cap);
    auth_oauth_sort(&config->oauth);
    return err;
}

int auth_config_new(const struct conf *conf, bool has_store, struct auth_config **out, char *why,
                    size_t cap)
{
    struct auth_config *config = mem_new(1, sizeof(*config));
    int err = -ENOMEM;

    (void)snprintf(why, cap, "memory is exhausted");
    if (config != NULL) {
        atomic_init(&config->refs, 1);
        flags_read(config, conf, has_store);
        err = third_party_read(config, conf, why, cap);
    }
    if (err == 0) {
        err = auth_outside_config_new(conf, &config->outside, why, cap);
    }
    if (err == 0) {
        err = realms_read(config, conf, why, cap);
    }
    if (err < 0) {
        auth_config_unref(config);
        return err;
    }
    *out = config;
    return 0;
}

struct auth_config *auth_config_ref(struct auth_config *config)
{
    atomic_fetch_add_explicit(&config->refs, 1, memory_order_relaxed);
    return config;
}

void auth_config_unref(struct auth_config *config)
{
    if (config == NULL || atomic_fetch_sub_explicit(&config->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (uint32_t i = 0; i < config->realm_count; i++) {
        auth_users_free(config->realms[i].users);
        auth_secrets_free(config->realms[i].secrets);
        free(config->realms[i].name);
    }
    free(config->realms);
    auth_oauth_fini(&config->oauth);
    auth_outside_config_unref(config->outside);
    free(config->server_name);
    free(config);
}

const struct auth_config_realm *auth_config_realm(const struct auth_config *config,
                                                  struct bytes name)
{
    uint32_t low = 1;
    uint32_t high = config->realm_count;

    if (name.n == 0 || bytes_equal(name, auth_config_main(config))) {
        return &config->realms[0];
    }
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const int order = auth_facts_order(bytes_of(config->realms[middle].name), name);
        if (order == 0) {
            return &config->realms[middle];
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

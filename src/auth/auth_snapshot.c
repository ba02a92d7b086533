/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_snapshot.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/secret.h"
#include "conf/conf.h"

/* An answer must live long enough for the request that asked for it to be looked at again. */
enum { TTL_LEAST_MS = 2000 };

void auth_secrets_add(struct auth_secrets *secrets, struct bytes value)
{
    if (secrets->count == CREDENTIAL_MAX_KEYS || value.n > STORE_SECRET_MAX) {
        secrets->ignored++;
        return;
    }
    if (value.n == 0) {
        return; /* everybody knows the empty one */
    }
    for (uint32_t i = 0; i < secrets->count; i++) {
        const struct auth_secret *known = &secrets->secrets[i];
        if (bytes_equal((struct bytes){known->bytes, known->len}, value)) {
            return;
        }
    }
    struct auth_secret *secret = &secrets->secrets[secrets->count++];
    secret->len = (uint16_t)value.n;
    memcpy(secret->bytes, value.p, value.n);
}

int auth_config_new(const struct conf *conf, bool has_store, struct auth_config **out, char *why,
                    size_t cap)
{
    struct auth_config *config = mem_new(1, sizeof(*config));
    int err = -ENOMEM;

    (void)snprintf(why, cap, "memory is exhausted");
    if (config != NULL) {
        atomic_init(&config->refs, 1);
        config->realm = mem_text(conf->realm == NULL ? "" : conf->realm);
    }
    if (config != NULL && config->realm != NULL) {
        config->separator = conf->rest_api_separator == NULL ? ':' : conf->rest_api_separator[0];
        config->ask_users = has_store && conf->lt_cred_mech;
        config->ask_secrets = conf->use_auth_secret;
        config->ttl_ms = conf->user_cache_ttl * 1000U;
        if (config->ttl_ms < TTL_LEAST_MS) {
            config->ttl_ms = TTL_LEAST_MS;
        }
        for (size_t i = 0; config->ask_secrets && i < conf->static_auth_secret.count; i++) {
            auth_secrets_add(&config->fixed, bytes_of(conf->static_auth_secret.items[i].text));
        }
        err = auth_users_new(&conf->user, bytes_of(config->realm), &config->users, why, cap);
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
    auth_users_free(config->users);
    free(config->realm);
    secret_wipe(config, sizeof(*config));
    free(config);
}

static struct auth_abilities abilities_of(const struct auth_snapshot *snapshot,
                                          const struct auth_facts *facts)
{
    const struct auth_config *config = snapshot->config;
    const uint32_t fixed = auth_users_count(config->users);
    const uint32_t fixed_sha256 = auth_users_count_sha256(config->users);
    const bool secrets = config->ask_secrets;
    const bool ask = config->ask_users;
    const uint64_t users = ask ? facts->counts.users : 0;
    const bool some = fixed_sha256 > 0 || secrets || (ask && facts->counts.with_sha256 > 0);

    return (struct auth_abilities){
        .sha256 =
            fixed_sha256 == fixed && (!ask || (facts->known && facts->counts.with_sha256 == users)),
        .md5_only = !some && fixed + users > 0,
        /* Time-limited names cannot be listed, so nobody can find them by their hash. */
        .userhash = !secrets && (!ask || (facts->known && facts->counts.with_userhash == users)),
    };
}

int auth_snapshot_new(struct auth_config *config, const struct auth_facts *facts,
                      uint64_t generation, struct auth_snapshot **out)
{
    struct auth_snapshot *snapshot = mem_new(1, sizeof(*snapshot));

    if (snapshot == NULL) {
        return -ENOMEM;
    }
    atomic_init(&snapshot->refs, 1);
    snapshot->generation = generation;
    snapshot->config = auth_config_ref(config);
    snapshot->secrets = config->fixed;
    if (config->ask_secrets) {
        for (uint32_t i = 0; i < facts->secrets.count; i++) {
            const struct auth_secret *secret = &facts->secrets.secrets[i];
            auth_secrets_add(&snapshot->secrets, (struct bytes){secret->bytes, secret->len});
        }
        snapshot->secrets.ignored += facts->secrets.ignored;
    }
    snapshot->may_have_users = config->ask_users && (!facts->known || facts->counts.users > 0);
    if (config->ask_users && snapshot->secrets.count == CREDENTIAL_MAX_KEYS) {
        struct auth_secret *last = &snapshot->secrets.secrets[--snapshot->secrets.count];
        secret_wipe(last, sizeof(*last)); /* one key is left for a user of the database */
        snapshot->secrets.ignored++;
    }
    snapshot->abilities = abilities_of(snapshot, facts);
    *out = snapshot;
    return 0;
}

struct auth_snapshot *auth_snapshot_ref(struct auth_snapshot *snapshot)
{
    atomic_fetch_add_explicit(&snapshot->refs, 1, memory_order_relaxed);
    return snapshot;
}

void auth_snapshot_unref(struct auth_snapshot *snapshot)
{
    if (snapshot == NULL) {
        return;
    }
    const unsigned before = atomic_fetch_sub_explicit(&snapshot->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1) {
        auth_config_unref(snapshot->config);
        secret_wipe(snapshot, sizeof(*snapshot));
        free(snapshot);
    }
}

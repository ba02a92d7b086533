/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_snapshot.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/secret.h"

static int secrets_copy(struct auth_secrets **to, const struct auth_secrets *from)
{
    int err = 0;

    for (uint32_t i = 0; from != NULL && err == 0 && i < from->count; i++) {
        const struct auth_secret *secret = &from->secrets[i];
        err = auth_secrets_put(to, (struct bytes){secret->bytes, secret->len});
    }
    if (*to != NULL && from != NULL) {
        (*to)->ignored += from->ignored;
    }
    return err;
}

/* The secrets of the configuration, then those of the database. */
static int secrets_join(const struct auth_config *config, const struct auth_config_realm *realm,
                        const struct auth_fact *fact, struct auth_secrets **out)
{
    int err = realm == NULL ? 0 : secrets_copy(out, realm->secrets);

    if (err == 0 && config->ask_secrets && fact != NULL) {
        err = secrets_copy(out, fact->secrets);
    }
    struct auth_secrets *secrets = *out;
    if (config->ask_users && secrets != NULL && secrets->count == CREDENTIAL_MAX_KEYS) {
        struct auth_secret *last = &secrets->secrets[--secrets->count];
        secret_wipe(last, sizeof(*last)); /* one key is left for a user of the database */
        secrets->ignored++;
    }
    return err;
}

static int known_fill(struct auth_snapshot *snapshot, uint32_t i)
{
    const struct auth_config *config = snapshot->config;
    const struct bytes name = bytes_of(snapshot->realms->realms[i].name);
    const struct auth_config_realm *realm = auth_config_realm(config, name);
    const struct auth_fact *fact = auth_facts_realm(snapshot->facts, name);
    struct auth_known *known = &snapshot->known[i];

    known->users = realm == NULL ? NULL : realm->users;
    known->may_have_users = config->ask_users && (fact == NULL || fact->counts.users > 0);
    const int err = secrets_join(config, realm, fact, &known->secrets);
    if (known->secrets != NULL) {
        snapshot->secrets += known->secrets->count;
        snapshot->secrets_ignored += known->secrets->ignored;
    }
    return err;
}

int auth_snapshot_new(struct auth_config *config, struct auth_facts *facts, uint64_t generation,
                      struct auth_snapshot **out)
{
    struct auth_snapshot *snapshot = mem_new(1, sizeof(*snapshot));

    if (snapshot == NULL) {
        return -ENOMEM;
    }
    atomic_init(&snapshot->refs, 1);
    snapshot->generation = generation;
    snapshot->config = auth_config_ref(config);
    snapshot->facts = auth_facts_ref(facts);
    int err = auth_realms_new(config, facts, &snapshot->realms);
    if (err == 0) {
        snapshot->known = mem_new(snapshot->realms->realm_count, sizeof(*snapshot->known));
        err = snapshot->known == NULL ? -ENOMEM : 0;
    }
    for (uint32_t i = 0; err == 0 && i < snapshot->realms->realm_count; i++) {
        err = known_fill(snapshot, i);
    }
    if (err < 0) {
        auth_snapshot_unref(snapshot);
        return err;
    }
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
    if (before != 1) {
        return;
    }
    for (uint32_t i = 0; snapshot->known != NULL && i < snapshot->realms->realm_count; i++) {
        auth_secrets_free(snapshot->known[i].secrets);
    }
    free(snapshot->known);
    auth_realms_unref(snapshot->realms);
    auth_facts_unref(snapshot->facts);
    auth_config_unref(snapshot->config);
    free(snapshot);
}

const struct auth_known *auth_snapshot_realm(const struct auth_snapshot *snapshot,
                                             struct bytes name)
{
    const int at = auth_realms_find(snapshot->realms, name);

    return at < 0 ? NULL : &snapshot->known[at];
}

const struct auth_oauth_key *auth_snapshot_oauth(const struct auth_snapshot *snapshot,
                                                 struct bytes kid, uint64_t wall_s)
{
    const struct auth_oauth_key *key = auth_oauth_find(&snapshot->config->oauth, kid, wall_s);

    return key != NULL || snapshot->facts == NULL
               ? key
               : auth_oauth_find(&snapshot->facts->oauth, kid, wall_s);
}

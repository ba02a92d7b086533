/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_reading.h"

#include <errno.h>

#include "store/store_realm.h"

static int realm_take(void *arg, struct bytes realm)
{
    return auth_facts_realm_add(arg, realm);
}

static int origin_take(void *arg, const struct store_origin *row)
{
    return auth_facts_origin_add(arg, row->origin, row->realm);
}

static int allowed_take(void *arg, const struct store_range *row)
{
    return auth_facts_range_add(arg, row->realm, row->range, true);
}

static int denied_take(void *arg, const struct store_range *row)
{
    return auth_facts_range_add(arg, row->realm, row->range, false);
}

static int oauth_take(void *arg, const struct store_oauth_key *row)
{
    return auth_oauth_add(arg, row);
}

static int secret_take(void *arg, const struct store_secret *row)
{
    return auth_secrets_put(arg, row->value);
}

/* An option of a realm that is among the facts, and of a name that means something to us. */
static int option_take(void *arg, const struct store_option *row)
{
    struct auth_fact *fact = auth_facts_realm(arg, row->realm);

    if (fact == NULL || !row->is_number) {
        return 0;
    }
    if (bytes_equal(row->name, bytes_of("max-bps"))) {
        fact->realm.has_max_bps = true;
        fact->realm.max_bps = row->number;
    } else if (bytes_equal(row->name, bytes_of("user-quota"))) {
        fact->realm.has_user_quota = true;
        fact->realm.user_quota = row->number;
    } else if (bytes_equal(row->name, bytes_of("total-quota"))) {
        fact->realm.has_total_quota = true;
        fact->realm.total_quota = row->number;
    }
    return 0;
}

/* Which realms there are: those of the configuration come first, so that none of the database
 * takes their place. */
static int realms_read(const struct auth_reading *reading, struct auth_facts *facts)
{
    const struct auth_config *config = reading->config;
    const struct bytes all = {NULL, 0};
    int err = 0;

    for (uint32_t i = 0; err == 0 && i < config->realm_count; i++) {
        err = auth_facts_realm_add(facts, bytes_of(config->realms[i].name));
    }
    if (err < 0 || !config->ask_realms) {
        return err;
    }
    err = store_realm_list(reading->store, realm_take, facts);
    if (err == 0) {
        err = store_origin_list(reading->store, origin_take, facts);
    }
    return err == 0 ? store_option_list(reading->store, all, option_take, facts) : err;
}

static int ranges_read(const struct auth_reading *reading, struct auth_facts *facts)
{
    const struct bytes all = {NULL, 0};
    const int err = store_range_list(reading->store, true, all, allowed_take, facts);

    return err == 0 ? store_range_list(reading->store, false, all, denied_take, facts) : err;
}

/* The secrets that were known before. */
static int secrets_keep(const struct auth_fact *old, struct auth_fact *fact)
{
    int err = 0;

    for (uint32_t i = 0; old != NULL && old->secrets != NULL && i < old->secrets->count; i++) {
        const struct auth_secret *secret = &old->secrets->secrets[i];
        err = err == 0
                  ? auth_secrets_put(&fact->secrets, (struct bytes){secret->bytes, secret->len})
                  : err;
    }
    return err;
}

static int users_read(const struct auth_reading *reading, struct auth_fact *fact)
{
    const struct bytes name = bytes_of(fact->realm.name);
    int err = 0;

    if (reading->config->ask_secrets && reading->old != NULL) {
        err = secrets_keep(auth_facts_realm(reading->old, name), fact);
    } else if (reading->config->ask_secrets) {
        err = store_secret_list(reading->store, name, secret_take, &fact->secrets);
    }
    if (err == 0 && reading->config->ask_users) {
        err = store_user_count(reading->store, name, &fact->counts);
    }
    return err;
}

int auth_reading_facts(const struct auth_reading *reading, struct auth_facts **out)
{
    struct auth_facts *facts = auth_facts_new();
    int err = facts == NULL ? -ENOMEM : realms_read(reading, facts);

    if (err == 0 && reading->config->ask_ranges) {
        err = ranges_read(reading, facts);
    }
    if (err == 0 && reading->config->third_party) {
        err = store_oauth_list(reading->store, oauth_take, &facts->oauth);
    }
    for (uint32_t i = 0; err == 0 && i < facts->realm_count; i++) {
        err = users_read(reading, &facts->realms[i]);
    }
    if (err < 0) {
        auth_facts_unref(facts);
        return err;
    }
    auth_oauth_sort(&facts->oauth);
    *out = facts;
    return 0;
}

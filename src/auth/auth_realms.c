/* SPDX-License-Identifier: Apache-2.0 */
/* The list of realms that relay/ is shown. */
#include "auth/auth_realms.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "auth/auth_snapshot.h"
#include "base/mem.h"

/* What the users of a realm can do.  `fact` NULL: the database has not said a word about it yet. */
static struct auth_abilities abilities_of(const struct auth_config *config,
                                          const struct auth_config_realm *realm,
                                          const struct auth_fact *fact)
{
    static const struct store_counts none;
    const struct auth_users *users = realm == NULL ? NULL : realm->users;
    const uint32_t fixed = users == NULL ? 0 : auth_users_count(users);
    const uint32_t fixed_sha256 = users == NULL ? 0 : auth_users_count_sha256(users);
    const bool ask = config->ask_users;
    const bool known = !ask || fact != NULL;
    const struct store_counts *counts = ask && fact != NULL ? &fact->counts : &none;
    /* Tokens and users of the hook cannot be listed, as time-limited names. */
    const bool unlisted = config->ask_secrets || config->outside != NULL;
    const bool some = fixed_sha256 > 0 || unlisted || counts->with_sha256 > 0;

    return (struct auth_abilities){
        .sha256 = fixed_sha256 == fixed && known && counts->with_sha256 == counts->users,
        .md5_only = !some && fixed + counts->users > 0,
        /* What cannot be listed nobody can find by its hash. */
        .userhash = !unlisted && known && counts->with_userhash == counts->users,
    };
}

static int by_name(const void *a, const void *b)
{
    const struct auth_realm *x = a;
    const struct auth_realm *y = b;

    return auth_facts_order(bytes_of(x->name), bytes_of(y->name));
}

/* Is it the main one, or the one before, in a sorted list? */
static bool is_repeated(const struct auth_realm *list, uint32_t count, const struct auth_realm *one)
{
    return strcmp(list[0].name, one->name) == 0 || strcmp(list[count - 1].name, one->name) == 0;
}

/* Write the names of both into `list`, the main one first.  Returns how many. */
static uint32_t names_join(const struct auth_config *config, const struct auth_facts *facts,
                           struct auth_realm *list)
{
    uint32_t count = 0;
    uint32_t kept = 1;

    for (uint32_t i = 0; i < config->realm_count; i++) {
        list[count++].name = config->realms[i].name;
    }
    for (uint32_t i = 0; facts != NULL && config->ask_realms && i < facts->realm_count; i++) {
        list[count++].name = facts->realms[i].realm.name;
    }
    qsort(list + 1, count - 1, sizeof(*list), by_name);
    for (uint32_t i = 1; i < count; i++) {
        if (!is_repeated(list, kept, &list[i])) {
            list[kept++].name = list[i].name;
        }
    }
    return kept < AUTH_REALMS_MAX ? kept : AUTH_REALMS_MAX;
}

static void realm_fill(const struct auth_config *config, const struct auth_facts *facts,
                       struct auth_realm *realm)
{
    const char *name = realm->name;
    const struct auth_fact *fact = auth_facts_realm(facts, bytes_of(name));

    if (fact != NULL && config->ask_realms) {
        *realm = fact->realm;
    }
    realm->name = name;
    realm->abilities = abilities_of(config, auth_config_realm(config, bytes_of(name)), fact);
}

int auth_realms_new(struct auth_config *config, struct auth_facts *facts, struct auth_realms **out)
{
    struct auth_realms *realms = mem_new(1, sizeof(*realms));
    const size_t most = (size_t)config->realm_count + (facts == NULL ? 0 : facts->realm_count);
    struct auth_realm *list = realms == NULL ? NULL : mem_new(most, sizeof(*list));

    if (list == NULL) {
        free(realms);
        return -ENOMEM;
    }
    const uint32_t count = names_join(config, facts, list);
    for (uint32_t i = 0; i < count; i++) {
        realm_fill(config, facts, &list[i]);
    }
    *realms = (struct auth_realms){
        .generation = 1,
        .realm_count = count,
        .realms = list,
        .config = auth_config_ref(config),
        .facts = auth_facts_ref(facts),
    };
    atomic_init(&realms->refs, 1);
    if (facts != NULL) {
        realms->origin_count = facts->origin_count;
        realms->origins = facts->origins;
        realms->range_count = facts->range_count;
        realms->ranges = facts->ranges;
    }
    *out = realms;
    return 0;
}

struct auth_realms *auth_realms_ref(struct auth_realms *realms)
{
    atomic_fetch_add_explicit(&realms->refs, 1, memory_order_relaxed);
    return realms;
}

void auth_realms_unref(struct auth_realms *realms)
{
    void *list;

    if (realms == NULL) {
        return;
    }
    const unsigned before = atomic_fetch_sub_explicit(&realms->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1) {
        memcpy(&list, &realms->realms, sizeof(list)); /* const to all but us */
        free(list);
        auth_config_unref(realms->config);
        auth_facts_unref(realms->facts);
        free(realms);
    }
}

int auth_realms_find(const struct auth_realms *realms, struct bytes name)
{
    uint32_t low = 1;
    uint32_t high = realms->realm_count;

    if (name.n == 0 || bytes_equal(name, bytes_of(realms->realms[0].name))) {
        return 0;
    }
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const int order = auth_facts_order(bytes_of(realms->realms[middle].name), name);
        if (order == 0) {
            return (int)middle;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return -ENOENT;
}

/* --- Comparison --- */

static bool realm_same(const struct auth_realm *a, const struct auth_realm *b)
{
    return strcmp(a->name, b->name) == 0 && a->abilities.sha256 == b->abilities.sha256 &&
           a->abilities.md5_only == b->abilities.md5_only &&
           a->abilities.userhash == b->abilities.userhash && a->has_max_bps == b->has_max_bps &&
           a->has_user_quota == b->has_user_quota && a->has_total_quota == b->has_total_quota &&
           a->max_bps == b->max_bps && a->user_quota == b->user_quota &&
           a->total_quota == b->total_quota;
}

static bool ranges_same(const struct auth_realms *a, const struct auth_realms *b)
{
    bool same = a->range_count == b->range_count;

    for (uint32_t i = 0; same && i < a->range_count; i++) {
        same = a->ranges[i].allowed == b->ranges[i].allowed &&
               strcmp(a->ranges[i].realm, b->ranges[i].realm) == 0 &&
               strcmp(a->ranges[i].range, b->ranges[i].range) == 0;
    }
    return same;
}

bool auth_realms_same(const struct auth_realms *a, const struct auth_realms *b)
{
    bool same = a->realm_count == b->realm_count && a->origin_count == b->origin_count;

    for (uint32_t i = 0; same && i < a->realm_count; i++) {
        same = realm_same(&a->realms[i], &b->realms[i]);
    }
    for (uint32_t i = 0; same && i < a->origin_count; i++) {
        same = strcmp(a->origins[i].origin, b->origins[i].origin) == 0 &&
               strcmp(a->origins[i].realm, b->origins[i].realm) == 0;
    }
    return same && ranges_same(a, b);
}

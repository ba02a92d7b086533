/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_facts.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/secret.h"

/* --- Secrets --- */

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

int auth_secrets_put(struct auth_secrets **secrets, struct bytes value)
{
    if (*secrets == NULL) {
        *secrets = mem_new(1, sizeof(**secrets));
    }
    if (*secrets == NULL) {
        return -ENOMEM;
    }
    auth_secrets_add(*secrets, value);
    return 0;
}

void auth_secrets_free(struct auth_secrets *secrets)
{
    if (secrets != NULL) {
        secret_wipe(secrets, sizeof(*secrets));
        free(secrets);
    }
}

/* --- Lists and texts --- */

/* A place for one more of `count` items of `size` bytes: the old one, or one of twice the size when
 * `count` is a power of two.  NULL without memory, with the old one as it was. */
static void *room(void *items, uint32_t count, size_t size)
{
    if (count > 0 && (count & (count - 1)) != 0) {
        return items;
    }
    void *fresh = mem_new(count == 0 ? 1 : (size_t)count * 2, size);
    if (fresh != NULL && count > 0) {
        memcpy(fresh, items, count * size);
    }
    if (fresh != NULL) {
        free(items);
    }
    return fresh;
}

static bool is_text(struct bytes text)
{
    return text.n == 0 || memchr(text.p, '\0', text.n) == NULL;
}

static char *text_new(struct bytes from)
{
    char *text = mem_new(from.n + 1, 1);

    if (text != NULL && from.n > 0) {
        memcpy(text, from.p, from.n);
    }
    return text;
}

/* free() of what is const to all but its owner. */
static void text_free(const char *text)
{
    void *p;

    memcpy(&p, &text, sizeof(p));
    free(p);
}

/* Two texts at once.  False without memory, with none. */
static bool texts_new(struct bytes a, struct bytes b, const char **out_a, const char **out_b)
{
    *out_a = text_new(a);
    *out_b = *out_a == NULL ? NULL : text_new(b);
    if (*out_b == NULL) {
        text_free(*out_a);
        return false;
    }
    return true;
}

/* --- The facts --- */

struct auth_facts *auth_facts_new(void)
{
    struct auth_facts *facts = mem_new(1, sizeof(*facts));

    if (facts != NULL) {
        atomic_init(&facts->refs, 1);
    }
    return facts;
}

struct auth_facts *auth_facts_ref(struct auth_facts *facts)
{
    if (facts != NULL) {
        atomic_fetch_add_explicit(&facts->refs, 1, memory_order_relaxed);
    }
    return facts;
}

static void release(struct auth_facts *facts)
{
    for (uint32_t i = 0; i < facts->realm_count; i++) {
        text_free(facts->realms[i].realm.name);
        auth_secrets_free(facts->realms[i].secrets);
    }
    for (uint32_t i = 0; i < facts->origin_count; i++) {
        text_free(facts->origins[i].origin);
        text_free(facts->origins[i].realm);
    }
    for (uint32_t i = 0; i < facts->range_count; i++) {
        text_free(facts->ranges[i].realm);
        text_free(facts->ranges[i].range);
    }
    free(facts->realms);
    free(facts->origins);
    free(facts->ranges);
    auth_oauth_fini(&facts->oauth);
    free(facts);
}

void auth_facts_unref(struct auth_facts *facts)
{
    if (facts == NULL) {
        return;
    }
    const unsigned before = atomic_fetch_sub_explicit(&facts->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1) {
        release(facts);
    }
}

int auth_facts_order(struct bytes a, struct bytes b)
{
    const size_t common = a.n < b.n ? a.n : b.n;
    const int order = common == 0 ? 0 : memcmp(a.p, b.p, common);

    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

/* The place of the first realm that is not before `name`; true when it is the one. */
static bool realm_place(const struct auth_facts *facts, struct bytes name, uint32_t *out)
{
    uint32_t low = 0;
    uint32_t high = facts->realm_count;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const int order = auth_facts_order(bytes_of(facts->realms[middle].realm.name), name);
        if (order == 0) {
            *out = middle;
            return true;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    *out = low;
    return false;
}

struct auth_fact *auth_facts_realm(const struct auth_facts *facts, struct bytes name)
{
    uint32_t place;

    return facts != NULL && realm_place(facts, name, &place) ? &facts->realms[place] : NULL;
}

uint64_t auth_facts_secrets_ignored(const struct auth_facts *facts)
{
    uint64_t ignored = 0;

    for (uint32_t i = 0; facts != NULL && i < facts->realm_count; i++) {
        ignored += facts->realms[i].secrets == NULL ? 0 : facts->realms[i].secrets->ignored;
    }
    return ignored;
}

int auth_facts_realm_add(struct auth_facts *facts, struct bytes name)
{
    uint32_t place;

    if (name.n == 0 || name.n > CREDENTIAL_REALM_MAX || !is_text(name) ||
        realm_place(facts, name, &place)) {
        return 0;
    }
    if (facts->realm_count == AUTH_REALMS_MAX) {
        facts->ignored++;
        return 0;
    }
    char *text = text_new(name);
    struct auth_fact *realms =
        text == NULL ? NULL : room(facts->realms, facts->realm_count, sizeof(*realms));
    if (realms == NULL) {
        free(text);
        return -ENOMEM;
    }
    facts->realms = realms;
    memmove(realms + place + 1, realms + place, (facts->realm_count - place) * sizeof(*realms));
    realms[place] = (struct auth_fact){.realm = {.name = text}};
    facts->realm_count++;
    return 0;
}

int auth_facts_origin_add(struct auth_facts *facts, struct bytes origin, struct bytes realm)
{
    struct auth_origin row;

    if (facts->origin_count == AUTH_ORIGINS_MAX || !is_text(origin) || !is_text(realm)) {
        facts->ignored++;
        return 0;
    }
    if (!texts_new(origin, realm, &row.origin, &row.realm)) {
        return -ENOMEM;
    }
    struct auth_origin *origins = room(facts->origins, facts->origin_count, sizeof(row));
    if (origins == NULL) {
        text_free(row.origin);
        text_free(row.realm);
        return -ENOMEM;
    }
    facts->origins = origins;
    origins[facts->origin_count++] = row;
    return 0;
}

int auth_facts_range_add(struct auth_facts *facts, struct bytes realm, struct bytes range,
                         bool allowed)
{
    struct auth_range row = {.allowed = allowed};

    if (facts->range_count == AUTH_RANGES_MAX || !is_text(realm) || !is_text(range)) {
        facts->ignored++;
        return 0;
    }
    if (!texts_new(realm, range, &row.realm, &row.range)) {
        return -ENOMEM;
    }
    struct auth_range *ranges = room(facts->ranges, facts->range_count, sizeof(row));
    if (ranges == NULL) {
        text_free(row.realm);
        text_free(row.range);
        return -ENOMEM;
    }
    facts->ranges = ranges;
    ranges[facts->range_count++] = row;
    return 0;
}

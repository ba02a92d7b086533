/* SPDX-License-Identifier: Apache-2.0 */
/* Realms and origins, from [realm] sections and from what the database says.
 *
 * A section's own limit holds before the database's, and that before the one of the options. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/auth_realms.h"
#include "base/mem.h"
#include "base/origin.h"
#include "conf/conf.h"
#include "conf/conf_realm.h"
#include "conf/conf_value.h"
#include "relay/quotas.h"
#include "relay/realms.h"
#include "relay/settings_int.h"
#include "turn/gate.h"
#include "turn/realm.h"

_Static_assert((int)CONF_REALMS_MAX == (int)TURN_MAX_REALMS, "conf/ may not look at turn/");
_Static_assert((int)ORIGIN_TEXT_MAX == (int)TURN_ORIGIN_MAX,
               "an origin of the configuration can be asked");

/* What is said of one realm, while the settings are made. */
struct spoken {
    const struct conf_section *section; /* or NULL */
    const struct auth_realm *fact;      /* or NULL */
    bool has_rules;                     /* for peers */
};

struct making {
    const struct settings_input *in;
    struct settings *settings;
    const char *main;      /* name of the main realm */
    struct spoken *spoken; /* by number, TURN_MAX_REALMS */
    uint32_t origin_room;
};

/* --- which realms there are ----------------------------------------------------------------------
 */

/* 0 with the number; -ENOENT when nobody has told of that realm before. */
static int number_of(const struct making *m, const char *name, uint32_t *out)
{
    if (strcmp(name, m->main) == 0) {
        *out = 0;
        return 0;
    }
    return m->in->realms != NULL ? realms_find(m->in->realms, name, out) : -ENOENT;
}

/* The same, making one for it.  0; -ENOMEM; -ENOSPC. */
static int number_for(const struct making *m, const char *name, uint32_t *out)
{
    const int err = number_of(m, name, out);

    if (err == 0 || m->in->realms == NULL) {
        return err == 0 ? 0 : -ENOSPC;
    }
    return realms_add(m->in->realms, name, out);
}

static int hear_sections(struct making *m)
{
    const struct conf_section *section;
    size_t at = 0;
    uint32_t id = 0;

    while ((section = conf_realm_next(m->in->conf, &at)) != NULL) {
        const int err = number_for(m, section->name, &id);

        if (err == -ENOMEM) {
            return err;
        }
        if (err < 0) { /* so many have come and gone since the start */
            m->settings->realms.ignored_realms++;
            continue;
        }
        m->spoken[id].section = section;
        m->spoken[id].has_rules = settings_gate_has_rules(section);
    }
    return 0;
}

static int hear_facts(struct making *m)
{
    const struct auth_realms *facts = m->in->facts;
    uint32_t id = 0;

    for (uint32_t i = 0; facts != NULL && i < facts->realm_count; i++) {
        const struct auth_realm *fact = &facts->realms[i];
        const bool fits = strlen(fact->name) < sizeof(m->settings->config.main.name);
        const int err = fits ? number_for(m, fact->name, &id) : -ENOSPC;

        if (err == -ENOMEM) {
            return err;
        }
        if (err < 0) {
            m->settings->realms.ignored_realms++;
            continue;
        }
        m->spoken[id].fact = fact;
    }
    return 0;
}

static void hear_ranges(struct making *m)
{
    const struct auth_realms *facts = m->in->facts;
    struct conf_range parsed[2];
    uint32_t id = 0;

    for (uint32_t i = 0; facts != NULL && i < facts->range_count; i++) {
        const struct auth_range *range = &facts->ranges[i];

        if (conf_range_parse(range->range, parsed) < 0) {
            m->settings->realms.ignored_ranges++;
        } else if (range->realm[0] != '\0' && number_of(m, range->realm, &id) == 0) {
            m->spoken[id].has_rules = true;
        }
    }
}

/* --- what holds for each -------------------------------------------------------------------------
 */

static enum turn_algorithms algorithms(const struct conf *conf, struct auth_abilities abilities)
{
    switch (conf->password_algorithms) {
    case CONF_ALGORITHMS_SHA256_MD5:
        return TURN_ALG_SHA256_MD5;
    case CONF_ALGORITHMS_MD5:
        return TURN_ALG_MD5;
    case CONF_ALGORITHMS_SHA256:
        return TURN_ALG_SHA256;
    case CONF_ALGORITHMS_AUTO:
    default:
        return abilities.sha256 ? TURN_ALG_SHA256_MD5 : TURN_ALG_MD5;
    }
}

static uint64_t limit_of(const struct spoken *spoken, const char *key, bool has_fact, uint64_t fact,
                         uint64_t otherwise)
{
    uint64_t number;

    if (spoken->section != NULL && conf_realm_number(spoken->section, key, &number)) {
        return number;
    }
    return has_fact ? fact : otherwise;
}

static uint32_t at_most_u32(uint64_t number)
{
    return number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
}

static struct quota_limits quotas_of(const struct conf *conf, const struct spoken *spoken)
{
    static const struct auth_realm nothing;
    const struct auth_realm *fact = spoken->fact != NULL ? spoken->fact : &nothing;

    return (struct quota_limits){
        .per_user = at_most_u32(limit_of(spoken, "user-quota", fact->has_user_quota,
                                         fact->user_quota, conf->user_quota)),
        .total = at_most_u32(limit_of(spoken, "total-quota", fact->has_total_quota,
                                      fact->total_quota, conf->total_quota)),
    };
}

/* Everything but its name.  0; -ENOMEM. */
static int put_realm(struct making *m, uint32_t id, struct turn_realm *out)
{
    const struct conf *conf = m->in->conf;
    const struct spoken *spoken = &m->spoken[id];
    const struct auth_realm *fact = spoken->fact;
    const struct auth_abilities abilities = fact != NULL ? fact->abilities : m->in->abilities;
    struct settings_realms *realms = &m->settings->realms;

    out->gone = id > 0 && spoken->section == NULL && fact == NULL;
    out->algorithms = algorithms(conf, abilities);
    out->username_anonymity = conf->username_anonymity == CONF_ANONYMITY_AUTO && abilities.userhash;
    out->max_bps = limit_of(spoken, "max-bps", fact != NULL && fact->has_max_bps,
                            fact != NULL ? fact->max_bps : 0, conf->max_bps);
    realms->quotas[id] = quotas_of(conf, spoken);
    if (spoken->has_rules) {
        const int err = settings_gate_new(m->in, id > 0 ? out->name : m->main, &realms->gates[id]);
        if (err < 0) {
            return err;
        }
    }
    out->gate = realms->gates[id] != NULL ? realms->gates[id] : m->settings->gate;
    return 0;
}

static int put_all(struct making *m)
{
    struct settings_realms *realms = &m->settings->realms;
    int err = put_realm(m, 0, &m->settings->config.main);

    for (uint32_t id = 1; err == 0 && id <= realms->count; id++) {
        struct turn_realm *realm = &realms->items[id - 1];

        (void)snprintf(realm->name, sizeof(realm->name), "%s", realms_name(m->in->realms, id));
        realms->order[id - 1] = realms_order(m->in->realms)[id - 1];
        err = put_realm(m, id, realm);
    }
    return err;
}

static int make_room(struct making *m)
{
    struct settings_realms *realms = &m->settings->realms;

    realms->count = m->in->realms != NULL ? realms_count(m->in->realms) : 0;
    realms->items = mem_new(realms->count + 1, sizeof(*realms->items));
    realms->order = mem_new(realms->count + 1, sizeof(*realms->order));
    realms->gates = mem_new(realms->count + 1, sizeof(struct gate *));
    realms->quotas = mem_new(realms->count + 1, sizeof(*realms->quotas));
    return realms->items != NULL && realms->order != NULL && realms->gates != NULL &&
                   realms->quotas != NULL
               ? 0
               : -ENOMEM;
}

/* --- origins -------------------------------------------------------------------------------------
 */

static void put_origin(struct making *m, const char *origin, const char *realm)
{
    struct settings_realms *realms = &m->settings->realms;
    uint32_t *count = &m->settings->config.origin_count;
    char *text = realms->origin_texts[*count];
    uint32_t id = 0;

    assert(*count < m->origin_room);
    if (number_of(m, realm, &id) < 0 ||
        origin_spell(bytes_of(origin), text, sizeof(realms->origin_texts[0])) < 0) {
        realms->ignored_origins++;
        return;
    }
    realms->origins[(*count)++] = (struct turn_origin){.origin = text, .realm = id};
}

/* Of those that are spelled alike the first that was put comes first: the texts are in that order.
 */
static int origin_order(const void *a, const void *b)
{
    const struct turn_origin *x = a;
    const struct turn_origin *y = b;
    const int order = turn_realm_order(bytes_of(x->origin), bytes_of(y->origin));

    return order != 0 ? order : (x->origin > y->origin) - (x->origin < y->origin);
}

static void sort_origins(struct settings *settings)
{
    struct turn_origin *origins = settings->realms.origins;
    const uint32_t count = settings->config.origin_count;
    uint32_t kept = 0;

    qsort(origins, count, sizeof(*origins), origin_order);
    for (uint32_t i = 0; i < count; i++) {
        if (kept == 0 || strcmp(origins[kept - 1].origin, origins[i].origin) != 0) {
            origins[kept++] = origins[i];
        }
    }
    settings->config.origin_count = kept;
}

static uint32_t count_origins(const struct settings_input *in)
{
    const struct conf_section *section;
    uint32_t count = in->facts != NULL ? in->facts->origin_count : 0;
    size_t at = 0;

    while ((section = conf_realm_next(in->conf, &at)) != NULL) {
        size_t pair = 0;
        while (conf_section_next(section, "origin", &pair) != NULL) {
            count++;
        }
    }
    return count;
}

static int put_origins(struct making *m)
{
    struct settings_realms *realms = &m->settings->realms;
    const struct auth_realms *facts = m->in->facts;
    const struct conf_section *section;
    size_t at = 0;

    m->origin_room = count_origins(m->in);
    realms->origins = mem_new(m->origin_room + 1, sizeof(*realms->origins));
    realms->origin_texts = mem_new(m->origin_room + 1, sizeof(realms->origin_texts[0]));
    if (realms->origins == NULL || realms->origin_texts == NULL) {
        return -ENOMEM;
    }
    while ((section = conf_realm_next(m->in->conf, &at)) != NULL) {
        const char *origin;
        size_t pair = 0;
        while ((origin = conf_section_next(section, "origin", &pair)) != NULL) {
            put_origin(m, origin, section->name);
        }
    }
    for (uint32_t i = 0; facts != NULL && i < facts->origin_count; i++) {
        put_origin(m, facts->origins[i].origin, facts->origins[i].realm);
    }
    sort_origins(m->settings);
    return 0;
}

/* --- all -----------------------------------------------------------------------------------------
 */

static int make(struct making *m)
{
    int err = hear_sections(m);

    err = err == 0 ? hear_facts(m) : err;
    if (err < 0) {
        return err;
    }
    hear_ranges(m);
    err = make_room(m);
    err = err == 0 ? settings_gate_new(m->in, NULL, &m->settings->gate) : err;
    err = err == 0 ? put_all(m) : err;
    return err == 0 ? put_origins(m) : err;
}

int settings_put_realms(const struct settings_input *in, struct settings *settings)
{
    struct making m = {.in = in, .settings = settings, .main = settings->config.main.name};
    struct turn_config *config = &settings->config;

    m.spoken = mem_new(TURN_MAX_REALMS, sizeof(*m.spoken));
    if (m.spoken == NULL) {
        return -ENOMEM;
    }
    const int err = make(&m);
    free(m.spoken);
    if (err < 0) {
        return err;
    }
    config->realms = settings->realms.items;
    config->realm_count = settings->realms.count;
    config->realm_order = settings->realms.order;
    config->origins = settings->realms.origins;
    return 0;
}

void settings_free_realms(struct settings *settings)
{
    struct settings_realms *realms = &settings->realms;

    for (uint32_t id = 0; realms->gates != NULL && id <= realms->count; id++) {
        gate_free(realms->gates[id]);
    }
    gate_free(settings->gate);
    free(realms->gates);
    free(realms->items);
    free(realms->order);
    free(realms->quotas);
    free(realms->origins);
    free(realms->origin_texts);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What [realm] sections say together with each other and with the options. */
#include <errno.h>
#include <string.h>

#include "base/origin.h"
#include "base/secret.h"
#include "conf/conf_int.h"
#include "conf/conf_realm.h"
#include "conf/conf_value.h"

enum { SPELLED_MAX = ORIGIN_TEXT_MAX + 8 };

static struct conf_place pair_place(const struct conf_section *section,
                                    const struct conf_pair *pair)
{
    return (struct conf_place){.file = section->file, .line = pair->line, .column = pair->column};
}

static bool pair_is(const struct conf_pair *pair, const char *key)
{
    return strcmp(pair->key, key) == 0;
}

static void name_judge(struct conf *conf, const struct conf_section *section)
{
    const struct conf_place place = {.file = section->file, .line = section->line};
    const struct conf_section *first = conf_realm_find(conf, section->name);
    const size_t length = conf_characters(section->name);

    if (section->name[0] == 0) {
        conf_say(conf, CONF_ERROR, &place, "a realm needs its name: write [realm \"example.org\"]");
    } else if (length > CONF_REALM_MAX) {
        conf_say(conf, CONF_ERROR, &place, "the realm has %zu characters, but may have %d at most",
                 length, CONF_REALM_MAX);
    } else if (first != section) {
        conf_say(conf, CONF_ERROR, &place, "this realm has a section in line %u already",
                 first->line);
    }
}

/* Nobody can log in where nobody is known. */
static void users_judge(struct conf *conf, const struct conf_section *section)
{
    const struct conf_place place = {.file = section->file, .line = section->line};
    const bool has = conf_section_value(section, "user") != NULL ||
                     conf_section_value(section, "static-auth-secret") != NULL;

    if (has && conf->no_auth) {
        conf_say(conf, CONF_WARNING, &place,
                 "with no-auth the users and secrets of this realm have no effect");
    } else if (!has && !conf->no_auth && conf->userdb == NULL && !conf_has_outside(conf) &&
               !conf_realm_is_main(conf, section)) {
        conf_say(conf, CONF_WARNING, &place,
                 "nobody can log in in this realm: it has neither 'user' nor 'static-auth-secret', "
                 "and there is no userdb");
    }
}

static void user_judge(struct conf *conf, const struct conf_section *section,
                       const struct conf_pair *pair)
{
    const struct conf_place place = pair_place(section, pair);
    struct conf_user user;

    if (conf_user_parse(pair->value, &user) == 0) {
        conf_judge_user(conf, &user, &place);
    }
    secret_wipe(&user, sizeof(user));
}

static bool origin_is(const struct conf_pair *pair, const char *spelled)
{
    char text[SPELLED_MAX];

    return pair_is(pair, "origin") && origin_spell(bytes_of(pair->value), text, sizeof(text)) > 0 &&
           strcmp(text, spelled) == 0;
}

/* The first place where that origin is given. */
static const struct conf_section *origin_first(const struct conf *conf, const char *spelled,
                                               const struct conf_pair **out)
{
    const struct conf_section *section;
    size_t at = 0;

    while ((section = conf_realm_next(conf, &at)) != NULL) {
        for (size_t i = 0; i < section->count; i++) {
            if (origin_is(&section->pairs[i], spelled)) {
                *out = &section->pairs[i];
                return section;
            }
        }
    }
    return NULL;
}

static void origin_judge(struct conf *conf, const struct conf_section *section,
                         const struct conf_pair *pair)
{
    const struct conf_place place = pair_place(section, pair);
    const struct conf_pair *first = NULL;
    char spelled[SPELLED_MAX];

    if (origin_spell(bytes_of(pair->value), spelled, sizeof(spelled)) < 0) {
        conf_say(conf, CONF_ERROR, &place, "an origin has %d bytes at most", ORIGIN_TEXT_MAX);
        return;
    }
    const struct conf_section *owner = origin_first(conf, spelled, &first);
    if (owner != NULL && first != pair) {
        const struct conf_shown shown = conf_show(bytes_of(owner->name));

        conf_say(conf, owner == section ? CONF_WARNING : CONF_ERROR, &place,
                 "this origin was given in line %u before, for the realm \"%s\": keep one",
                 first->line, shown.text);
    }
}

static void pairs_judge(struct conf *conf, const struct conf_section *section)
{
    for (size_t i = 0; i < section->count; i++) {
        const struct conf_pair *pair = &section->pairs[i];
        struct conf_range ranges[2];

        if (pair_is(pair, "user")) {
            user_judge(conf, section, pair);
        } else if (pair_is(pair, "origin")) {
            origin_judge(conf, section, pair);
        } else if ((pair_is(pair, "allowed-peer-ip") || pair_is(pair, "denied-peer-ip")) &&
                   conf_range_parse(pair->value, ranges) == 0) {
            const struct conf_place place = pair_place(section, pair);
            conf_judge_empty_range(conf, &place);
        }
    }
}

void conf_judge_realms(struct conf *conf)
{
    const struct conf_section *section;
    size_t at = 0;
    size_t count = 0;

    while ((section = conf_realm_next(conf, &at)) != NULL) {
        if (++count == CONF_REALMS_MAX) { /* one is the main realm */
            const struct conf_place place = {.file = section->file, .line = section->line};
            conf_say(conf, CONF_ERROR, &place, "there may be %d realms at most", CONF_REALMS_MAX);
            return;
        }
        name_judge(conf, section);
        users_judge(conf, section);
        pairs_judge(conf, section);
    }
}

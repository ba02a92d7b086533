/* SPDX-License-Identifier: Apache-2.0 */
/* [kind "name"] blocks: their lines are judged by sections.def and kept as texts. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/conf_int.h"

static void blanks_skip(struct bytes *rest)
{
    while (rest->n > 0 && (rest->p[0] == ' ' || rest->p[0] == '\t')) {
        rest->p++;
        rest->n--;
    }
}

/* Take the bytes of `rest` up to (not including) the first of `stops`. */
static struct bytes word_take(struct bytes *rest, const char *stops)
{
    struct bytes word = {rest->p, 0};

    while (word.n < rest->n && strchr(stops, rest->p[word.n]) == NULL) {
        word.n++;
    }
    rest->p += word.n;
    rest->n -= word.n;
    return word;
}

static bool char_take(struct bytes *rest, char c)
{
    if (rest->n == 0 || rest->p[0] != (uint8_t)c) {
        return false;
    }
    rest->p++;
    rest->n--;
    return true;
}

static bool kind_ok(struct bytes kind)
{
    for (size_t i = 0; i < kind.n; i++) {
        if (!isalnum(kind.p[i]) && kind.p[i] != '-' && kind.p[i] != '_') {
            return false;
        }
    }
    return kind.n > 0;
}

/* Take `[kind "name"]` apart; a comment may follow. */
static bool header_read(struct bytes line, struct bytes *kind, struct bytes *name)
{
    struct bytes rest = line;

    *name = (struct bytes){line.p, 0};
    if (!char_take(&rest, '[')) {
        return false;
    }
    blanks_skip(&rest);
    *kind = word_take(&rest, " \t\"]");
    blanks_skip(&rest);
    if (char_take(&rest, '"')) {
        *name = word_take(&rest, "\"");
        if (!char_take(&rest, '"')) {
            return false;
        }
    } else {
        *name = word_take(&rest, " \t\"]");
    }
    blanks_skip(&rest);
    if (!char_take(&rest, ']')) {
        return false;
    }
    blanks_skip(&rest);
    return kind_ok(*kind) && (rest.n == 0 || rest.p[0] == '#');
}

static void kind_tell(struct conf *conf, struct bytes kind, const struct conf_place *place)
{
    const struct conf_shown shown = conf_show(kind);
    const char *nearest = conf_section_nearest(kind);
    const struct conf_section_kind *known = conf_section_kind_find(kind);

    if (known != NULL) {
        if (!known->active) {
            conf_say(conf, CONF_WARNING, place, "sections [%s] have no effect in this version",
                     shown.text);
        }
        return;
    }
    conf_say(conf, CONF_WARNING, place, "there is no section [%s], so it has no effect%s%s%s",
             shown.text, nearest != NULL ? "; is '" : "", nearest != NULL ? nearest : "",
             nearest != NULL ? "' meant?" : "");
}

struct conf_section *conf_section_begin(struct conf *conf, struct bytes line,
                                        const struct conf_place *place)
{
    struct bytes kind;
    struct bytes name;

    if (!header_read(line, &kind, &name)) {
        conf_say(conf, CONF_ERROR, place,
                 "a section begins with [kind] or [kind \"name\"], for example [realm "
                 "\"example.org\"]");
        return NULL;
    }
    kind_tell(conf, kind, place);
    if (conf->section_count >= CONF_LIST_MAX) {
        conf_say(conf, CONF_ERROR, place, "there are more than %d sections", CONF_LIST_MAX);
        return NULL;
    }
    char *kind_copy = conf_copy(conf, kind);
    char *name_copy = conf_copy(conf, name);
    if (kind_copy == NULL || name_copy == NULL ||
        !conf_room(conf, &conf->sections, conf->section_count, sizeof(*conf->sections))) {
        free(kind_copy);
        free(name_copy);
        return NULL;
    }
    struct conf_section *section = &conf->sections[conf->section_count++];
    *section = (struct conf_section){
        .kind = kind_copy, .name = name_copy, .file = place->file, .line = place->line};
    return section;
}

static void key_unknown(struct conf *conf, const struct conf_section *section, struct bytes name,
                        const struct conf_place *place)
{
    const struct conf_alias *alias;
    enum conf_opt opt;
    const struct conf_shown shown = conf_show(name);
    const char *nearest = conf_key_nearest(section->kind, name);

    if (nearest != NULL) {
        conf_say(conf, CONF_ERROR, place, "[%s] has no '%s'; is '%s' meant?", section->kind,
                 shown.text, nearest);
    } else if (conf_option_find(name, &opt, &alias) == 0) {
        conf_say(conf, CONF_ERROR, place, "[%s] has no '%s': options come before the first section",
                 section->kind, shown.text);
    } else {
        conf_say(conf, CONF_ERROR, place, "[%s] has no '%s': sterna.conf(5) lists what it has",
                 section->kind, shown.text);
    }
}

/* True when `key` may be given (once more) in `section`. */
static bool key_is_free(struct conf *conf, const struct conf_section *section,
                        const struct conf_option *key, const struct conf_place *place)
{
    if (conf_type_is_list(key->type)) {
        return true;
    }
    for (size_t i = 0; i < section->count; i++) {
        if (strcmp(section->pairs[i].key, key->name) == 0) {
            conf_say(conf, CONF_ERROR, place,
                     "'%s' was given in line %u of this section before: keep one", key->name,
                     section->pairs[i].line);
            return false;
        }
    }
    return true;
}

static void pair_add(struct conf *conf, struct conf_section *section, struct bytes name,
                     char *value, const struct conf_place *place)
{
    char *key = conf_copy(conf, name);

    if (key == NULL || value == NULL ||
        !conf_room(conf, &section->pairs, section->count, sizeof(*section->pairs))) {
        free(key);
        conf_text_free(value);
        return;
    }
    section->pairs[section->count++] = (struct conf_pair){
        .key = key, .value = value, .line = place->line, .column = place->column};
}

/* A line of a section without effect: kept as it is. */
static void pair_keep(struct conf *conf, struct conf_section *section, struct bytes name,
                      const struct conf_given *given)
{
    const struct conf_alias *alias;
    enum conf_opt opt;

    if (conf_option_find(name, &opt, &alias) == 0) {
        conf_say(conf, CONF_WARNING, &given->place,
                 "'%s' stands in a section and is not taken as the option: options come before the "
                 "first section",
                 conf_options[opt].name);
    }
    pair_add(conf, section, name, conf_copy(conf, given->value), &given->place);
}

void conf_section_pair(struct conf *conf, struct conf_section *section, struct bytes name,
                       const struct conf_given *given)
{
    const struct conf_section_kind *kind = conf_section_kind_find(bytes_of(section->kind));

    if (section->count >= CONF_LIST_MAX) {
        conf_say(conf, CONF_ERROR, &given->place, "the section has more than %d lines",
                 CONF_LIST_MAX);
        return;
    }
    if (kind == NULL || !kind->active) {
        pair_keep(conf, section, name, given);
        return;
    }
    const struct conf_key *key = conf_key_find(section->kind, name);
    if (key == NULL) {
        key_unknown(conf, section, name, &given->place);
        return;
    }
    struct conf_given judged = *given;
    judged.written = key->option.name;
    char *value = key_is_free(conf, section, &key->option, &given->place)
                      ? conf_value_take(conf, &key->option, &judged)
                      : NULL;
    if (value != NULL) {
        pair_add(conf, section, bytes_of(key->option.name), value, &given->place);
    }
}

const char *conf_section_next(const struct conf_section *section, const char *key, size_t *at)
{
    while (*at < section->count) {
        const struct conf_pair *pair = &section->pairs[(*at)++];

        if (strcmp(pair->key, key) == 0) {
            return pair->value;
        }
    }
    return NULL;
}

const char *conf_section_value(const struct conf_section *section, const char *key)
{
    size_t at = 0;

    return conf_section_next(section, key, &at);
}

const struct conf_section *conf_section_find(const struct conf *conf, const char *kind,
                                             const char *name)
{
    for (size_t i = 0; i < conf->section_count; i++) {
        const struct conf_section *section = &conf->sections[i];

        if (strcmp(section->kind, kind) == 0 &&
            (name == NULL || strcasecmp(section->name, name) == 0)) {
            return section;
        }
    }
    return NULL;
}

void conf_sections_free(struct conf *conf)
{
    for (size_t i = 0; i < conf->section_count; i++) {
        struct conf_section *section = &conf->sections[i];

        for (size_t k = 0; k < section->count; k++) {
            free(section->pairs[k].key);
            conf_text_free(section->pairs[k].value);
        }
        free(section->pairs);
        free(section->kind);
        free(section->name);
    }
    free(conf->sections);
}

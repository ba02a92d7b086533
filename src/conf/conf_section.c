/* SPDX-License-Identifier: Apache-2.0 */
/* [kind "name"] blocks: kept as they are written, for whoever knows the kind. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

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

    for (size_t i = 0; i < conf_section_kind_count; i++) {
        if (strlen(conf_section_kinds[i].kind) == kind.n &&
            memcmp(conf_section_kinds[i].kind, kind.p, kind.n) == 0) {
            conf_say(conf, CONF_WARNING, place, "sections [%s] have no effect in this version",
                     shown.text);
            return;
        }
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

void conf_section_pair(struct conf *conf, struct conf_section *section, struct bytes key,
                       struct bytes value, const struct conf_place *place)
{
    if (section->count >= CONF_LIST_MAX) {
        conf_say(conf, CONF_ERROR, place, "the section has more than %d lines", CONF_LIST_MAX);
        return;
    }
    char *key_copy = conf_copy(conf, key);
    char *value_copy = conf_copy(conf, value);
    if (key_copy == NULL || value_copy == NULL ||
        !conf_room(conf, &section->pairs, section->count, sizeof(*section->pairs))) {
        free(key_copy);
        conf_text_free(value_copy);
        return;
    }
    section->pairs[section->count++] = (struct conf_pair){
        .key = key_copy, .value = value_copy, .line = place->line, .column = place->column};
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

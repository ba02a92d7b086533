/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf_table.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

/* Numbers and texts are declared in one column; each type takes the half that it needs. */
#define DEFAULT_flag(d)          .number = (d)
#define DEFAULT_u32(d)           .number = (d)
#define DEFAULT_u64(d)           .number = (d)
#define DEFAULT_choice(d)        .number = (d)
#define DEFAULT_text(d)          .text = (d)
#define DEFAULT_list_text(d)     .number = (d)
#define DEFAULT_list_addr(d)     .number = (d)
#define DEFAULT_list_endpoint(d) .number = (d)
#define DEFAULT_list_range(d)    .number = (d)
#define DEFAULT_list_external(d) .number = (d)
#define DEFAULT_list_user(d)     .number = (d)
#define DEFAULT_list_prefix(d)   .number = (d)
#define DEFAULT_none(d)          .number = (d)

#define OFFSET_none(f)          0
#define OFFSET_flag(f)          offsetof(struct conf, f)
#define OFFSET_u32(f)           offsetof(struct conf, f)
#define OFFSET_u64(f)           offsetof(struct conf, f)
#define OFFSET_choice(f)        offsetof(struct conf, f)
#define OFFSET_text(f)          offsetof(struct conf, f)
#define OFFSET_list_text(f)     offsetof(struct conf, f)
#define OFFSET_list_addr(f)     offsetof(struct conf, f)
#define OFFSET_list_endpoint(f) offsetof(struct conf, f)
#define OFFSET_list_range(f)    offsetof(struct conf, f)
#define OFFSET_list_external(f) offsetof(struct conf, f)
#define OFFSET_list_user(f)     offsetof(struct conf, f)
#define OFFSET_list_prefix(f)   offsetof(struct conf, f)

const struct conf_option conf_options[CONF_OPTIONS] = {
#define OPTION(field_, name_, letter_, type_, default_, min_, max_, unit_, reload_, status_,       \
               attributes_, help_, note_)                                                          \
    [CONF_OPT_##field_] = {                                                                        \
        .name = (name_),                                                                           \
        .unit = (unit_),                                                                           \
        .help = (help_),                                                                           \
        .note = (note_),                                                                           \
        DEFAULT_##type_(default_),                                                                 \
        .min = (min_),                                                                             \
        .max = (max_),                                                                             \
        .offset = OFFSET_##type_(field_),                                                          \
        .type = CONF_TYPE_##type_,                                                                 \
        .reload = CONF_##reload_,                                                                  \
        .status = CONF_##status_,                                                                  \
        .attributes = (attributes_),                                                               \
        .letter = (letter_),                                                                       \
    },
#include "conf/options.def"
};

const struct conf_alias conf_aliases[] = {
#define ALIAS(name_, field_, how_, note_) {(name_), CONF_OPT_##field_, CONF_##how_},
#include "conf/options.def"
};
const size_t conf_alias_count = ARRAY_SIZE(conf_aliases);

/* Each GROUP takes the number of the option that follows it: the second enumerator steps back. */
enum {

#define OPTION(field_, ...)      AT_##field_,
#define GROUP(id_, title_, why_) FIRST_##id_, FIRST_##id_##_again = FIRST_##id_ - 1,
#include "conf/options.def"
};

const struct conf_group conf_groups[] = {
#define GROUP(id_, title_, why_) {(title_), (why_), FIRST_##id_},
#include "conf/options.def"
};
const size_t conf_group_count = ARRAY_SIZE(conf_groups);

const struct conf_section_kind conf_section_kinds[] = {
#define SECTION(kind_, active_, help_) {(kind_), (help_), (active_)},
#include "conf/sections.def"
};
const size_t conf_section_kind_count = ARRAY_SIZE(conf_section_kinds);

const struct conf_key conf_keys[] = {
#define KEY(section_, name_, alias_, type_, default_, min_, max_, unit_, reload_, attributes_,     \
            help_)                                                                                 \
    {                                                                                              \
        .section = (section_),                                                                     \
        .alias = (alias_),                                                                         \
        .option = {.name = (name_),                                                                \
                   .unit = (unit_),                                                                \
                   .help = (help_),                                                                \
                   .note = "",                                                                     \
                   .text = (default_),                                                             \
                   .min = (min_),                                                                  \
                   .max = (max_),                                                                  \
                   .type = CONF_TYPE_##type_,                                                      \
                   .reload = CONF_##reload_,                                                       \
                   .status = CONF_ACTIVE,                                                          \
                   .attributes = (attributes_)},                                                   \
    },
#include "conf/sections.def"
};
const size_t conf_key_count = ARRAY_SIZE(conf_keys);

static bool name_is(const char *name, struct bytes text)
{
    return strlen(name) == text.n && memcmp(name, text.p, text.n) == 0;
}

int conf_option_find(struct bytes name, enum conf_opt *out_opt, const struct conf_alias **out_alias)
{
    if (name.n == 0) {
        return -ENOENT;
    }
    for (int i = 0; i < CONF_OPTIONS; i++) {
        if (name_is(conf_options[i].name, name)) {
            *out_opt = (enum conf_opt)i;
            *out_alias = NULL;
            return 0;
        }
    }
    for (size_t i = 0; i < conf_alias_count; i++) {
        if (name_is(conf_aliases[i].name, name)) {
            *out_opt = conf_aliases[i].opt;
            *out_alias = &conf_aliases[i];
            return 0;
        }
    }
    return -ENOENT;
}

int conf_option_find_letter(char letter, enum conf_opt *out_opt)
{
    for (int i = 0; i < CONF_OPTIONS; i++) {
        if (letter != 0 && conf_options[i].letter == letter) {
            *out_opt = (enum conf_opt)i;
            return 0;
        }
    }
    return -ENOENT;
}

enum { NAME_MAX_LEN = 48 };

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* How many letters must be changed, added, dropped or swapped with their neighbour to make one of
 * the other; case and '_' for '-' do not count. */
static unsigned name_distance(const char *a, size_t na, const char *b, size_t nb)
{
    unsigned row[3][NAME_MAX_LEN + 1];

    for (unsigned j = 0; j <= nb; j++) {
        row[0][j] = j;
    }
    for (size_t i = 1; i <= na; i++) {
        unsigned *now = row[i % 3];
        const unsigned *up = row[(i + 2) % 3];
        const unsigned *up2 = row[(i + 1) % 3];

        now[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            const unsigned change = a[i - 1] == b[j - 1] ? 0 : 1;

            now[j] = least(least(up[j] + 1, now[j - 1] + 1), up[j - 1] + change);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                now[j] = least(now[j], up2[j - 2] + 1);
            }
        }
    }
    return row[na % 3][nb];
}

struct nearest {
    char text[NAME_MAX_LEN + 1];
    size_t len;
    const char *best;
    unsigned distance;
};

static size_t name_fold(const char *name, size_t len, char out[NAME_MAX_LEN + 1])
{
    for (size_t i = 0; i < len; i++) {
        out[i] = name[i] == '_' ? '-' : (char)tolower((unsigned char)name[i]);
    }
    return len;
}

static bool nearest_begin(struct nearest *n, struct bytes text)
{
    if (text.n < 2 || text.n > NAME_MAX_LEN) {
        return false;
    }
    n->len = name_fold((const char *)text.p, text.n, n->text);
    n->best = NULL;
    n->distance = (unsigned)(text.n / 4) + 2; /* beyond this it is no misspelling */
    if (n->distance > 4) {
        n->distance = 4;
    }
    return true;
}

static void nearest_try(struct nearest *n, const char *name)
{
    char folded[NAME_MAX_LEN + 1];
    const size_t len = strlen(name);

    if (len > NAME_MAX_LEN) {
        return;
    }
    name_fold(name, len, folded);
    const unsigned distance = name_distance(n->text, n->len, folded, len);
    if (distance < n->distance) {
        n->best = name;
        n->distance = distance;
    }
}

const char *conf_option_nearest(struct bytes name)
{
    struct nearest n;

    if (!nearest_begin(&n, name)) {
        return NULL;
    }
    for (int i = 0; i < CONF_OPTIONS; i++) {
        if (conf_options[i].status != CONF_REMOVED) {
            nearest_try(&n, conf_options[i].name);
        }
    }
    for (size_t i = 0; i < conf_alias_count; i++) {
        if (conf_aliases[i].how == CONF_SAME) {
            nearest_try(&n, conf_aliases[i].name);
        }
    }
    return n.best;
}

const char *conf_section_nearest(struct bytes kind)
{
    struct nearest n;

    if (!nearest_begin(&n, kind)) {
        return NULL;
    }
    for (size_t i = 0; i < conf_section_kind_count; i++) {
        nearest_try(&n, conf_section_kinds[i].kind);
    }
    return n.best;
}

const struct conf_section_kind *conf_section_kind_find(struct bytes kind)
{
    for (size_t i = 0; i < conf_section_kind_count; i++) {
        if (name_is(conf_section_kinds[i].kind, kind)) {
            return &conf_section_kinds[i];
        }
    }
    return NULL;
}

const struct conf_key *conf_key_find(const char *section, struct bytes name)
{
    for (size_t i = 0; i < conf_key_count; i++) {
        const struct conf_key *key = &conf_keys[i];
        const bool named =
            name_is(key->option.name, name) || (key->alias != NULL && name_is(key->alias, name));

        if (named && strcmp(key->section, section) == 0) {
            return key;
        }
    }
    return NULL;
}

const char *conf_key_nearest(const char *section, struct bytes name)
{
    struct nearest n;

    if (!nearest_begin(&n, name)) {
        return NULL;
    }
    for (size_t i = 0; i < conf_key_count; i++) {
        if (strcmp(conf_keys[i].section, section) == 0) {
            nearest_try(&n, conf_keys[i].option.name);
        }
    }
    return n.best;
}

const struct conf_group *conf_option_group(enum conf_opt opt)
{
    size_t i = conf_group_count - 1;

    while (i > 0 && conf_groups[i].first > (int)opt) {
        i--;
    }
    return &conf_groups[i];
}

bool conf_choice_word(const struct conf_option *option, uint32_t index, char word[32])
{
    const char *p = option->unit;

    for (; index > 0; index--) {
        p = strchr(p, '|');
        if (p == NULL) {
            return false;
        }
        p++;
    }
    const size_t len = strcspn(p, "|");
    if (len == 0 || len >= 32) {
        return false;
    }
    memcpy(word, p, len);
    word[len] = 0;
    return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of options.def as data.
 *
 * Owner   nobody: constant tables.  Thread  any. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "conf/conf.h"

enum conf_type {
    CONF_TYPE_flag,
    CONF_TYPE_u32,
    CONF_TYPE_u64,
    CONF_TYPE_choice,
    CONF_TYPE_text,
    CONF_TYPE_list_text,
    CONF_TYPE_list_addr,
    CONF_TYPE_list_endpoint,
    CONF_TYPE_list_range,
    CONF_TYPE_list_external,
    CONF_TYPE_list_user,
    CONF_TYPE_list_prefix,
    CONF_TYPE_none,
};

enum conf_reload { CONF_LIVE, CONF_RESTART };

enum conf_status { CONF_ACTIVE, CONF_LATER, CONF_MOOT, CONF_REMOVED };

enum conf_alias_how { CONF_SAME, CONF_OLD, CONF_NOT };

enum {
    CONF_SECRET = 1,       /* the value is never shown */
    CONF_BARE = 2,         /* the value may be left out: the default is meant */
    CONF_LETTER_VALUE = 4, /* a flag whose letter may have a value behind it */
    CONF_NAMED = 8,        /* a domain name may stand behind an endpoint */
    CONF_NEEDED = 16,      /* of a section's key: the section makes no sense without it */
};

struct conf_option {
    const char *name;
    const char *unit; /* the words of a choice, "a|b" */
    const char *help;
    const char *note;
    const char *text; /* default of a text, or NULL */
    uint64_t number;  /* default of anything else */
    uint64_t min;     /* of a text: shortest and longest; of an endpoint: min is the default port */
    uint64_t max;
    size_t offset; /* of the field in struct conf */
    enum conf_type type;
    enum conf_reload reload;
    enum conf_status status;
    unsigned attributes;
    char letter;
};

struct conf_alias {
    const char *name;
    enum conf_opt opt;
    enum conf_alias_how how;
};

struct conf_group {
    const char *title;
    const char *why; /* why options of this group have no effect */
    int first;       /* enum conf_opt of its first option */
};

struct conf_section_kind {
    const char *kind;
    const char *help;
    bool active; /* its keys are known and judged; else it has no effect in this version */
};

/* A key of a section: judged like an option, kept as text. */
struct conf_key {
    const char *section;
    const char *alias; /* another spelling, or NULL */
    struct conf_option option;
};

extern const struct conf_option conf_options[CONF_OPTIONS];
extern const struct conf_alias conf_aliases[];
extern const size_t conf_alias_count;
extern const struct conf_group conf_groups[];
extern const size_t conf_group_count;
extern const struct conf_section_kind conf_section_kinds[];
extern const size_t conf_section_kind_count;
extern const struct conf_key conf_keys[];
extern const size_t conf_key_count;

static inline bool conf_type_is_list(enum conf_type type)
{
    return type >= CONF_TYPE_list_text && type <= CONF_TYPE_list_prefix;
}

/* The option (or alias, or NULL in `*out_alias`) of that name.  0 or -ENOENT. */
MUST_USE int conf_option_find(struct bytes name, enum conf_opt *out_opt,
                              const struct conf_alias **out_alias);

/* The option of a command-line letter.  0 or -ENOENT. */
MUST_USE int conf_option_find_letter(char letter, enum conf_opt *out_opt);

/* The known option name that `name` was most likely meant to be, or NULL. */
const char *conf_option_nearest(struct bytes name);

/* The section kind likewise. */
const char *conf_section_nearest(struct bytes kind);

/* The kind of that name, and the key of a kind by its name or alias; NULL when there is none. */
const struct conf_section_kind *conf_section_kind_find(struct bytes kind);
const struct conf_key *conf_key_find(const char *section, struct bytes name);

/* The key that `name` was most likely meant to be, or NULL. */
const char *conf_key_nearest(const char *section, struct bytes name);

/* The group that an option belongs to. */
const struct conf_group *conf_option_group(enum conf_opt opt);

/* Word `index` of a choice into `word` (32 bytes); false past the last one. */
bool conf_choice_word(const struct conf_option *option, uint32_t index, char word[32]);

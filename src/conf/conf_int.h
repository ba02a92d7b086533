/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of conf/ share and nobody else sees.
 *
 * Owner   see conf.h.  Thread  the one that loads. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "conf/conf.h"
#include "conf/conf_table.h"

struct conf_external;
struct conf_user;
struct net_ip;

/* Where a value stands. */
struct conf_place {
    enum conf_source source;
    const char *file; /* kept by conf_name_keep(), or a literal; NULL for none */
    unsigned line;
    unsigned column;
};

/* A value as somebody gave it. */
struct conf_given {
    const char *written; /* the name as it was written, for messages */
    struct bytes value;  /* without NUL */
    bool has_value;      /* false: the name stood alone */
    struct conf_place place;
};

/* Add a finding.  `place` may be NULL. */
void conf_say(struct conf *conf, enum conf_severity severity, const struct conf_place *place,
              const char *format, ...) PRINTF(4, 5);

void conf_say_args(struct conf *conf, enum conf_severity severity, const struct conf_place *place,
                   const char *format, va_list args) PRINTF(4, 0);

/* The place where option `opt` got its value. */
struct conf_place conf_place_of(const struct conf *conf, enum conf_opt opt);

/* A text made fit for a message: at most 80 characters, no control characters. */
struct conf_shown {
    char text[96];
};

struct conf_shown conf_show(struct bytes text);

/* `name`, kept as long as the conf; NULL without memory. */
const char *conf_name_keep(struct conf *conf, const char *name);

/* Room for one more item behind `count` of them, grown in powers of two; false without memory
 * (`no_memory` is set then) or at CONF_LIST_MAX. */
MUST_USE bool conf_room(struct conf *conf, void *items, size_t count, size_t size);

/* A heap copy of `text` as a string; NULL without memory (`no_memory` is set then). */
char *conf_copy(struct conf *conf, struct bytes text);

/* Give option `opt` a value, or say why not.  `alias` is how it was named, or NULL. */
void conf_give(struct conf *conf, enum conf_opt opt, const struct conf_alias *alias,
               const struct conf_given *given);

/* Judge a value of a section's key by `option`, or say why it is no good.  A heap text, with words
 * in one spelling; NULL when it is no good, or without memory (`no_memory` is set then). */
char *conf_value_take(struct conf *conf, const struct conf_option *option,
                      const struct conf_given *given);

/* Append to a list without judging the item. */
void conf_list_add(struct conf *conf, enum conf_opt opt, struct bytes text,
                   const struct conf_place *place);
void conf_list_remove(struct conf_list *list, size_t index);
void conf_text_free(char *text); /* wipes */

/* Replace a flag, number or choice. */
void conf_number_set(struct conf *conf, enum conf_opt opt, uint64_t number);

/* Replace a text option; takes `text`. */
void conf_text_set(struct conf *conf, enum conf_opt opt, char *text);

/* Read a whole file into `*out` (owned by the caller, to be wiped).  0 or negative errno; -EFBIG
 * beyond `max` bytes. */
MUST_USE int conf_read_file(const char *path, size_t max, char **out, size_t *out_len);

/* The field of an option. */
const void *conf_field(const struct conf *conf, const struct conf_option *option);
void *conf_field_of(struct conf *conf, const struct conf_option *option);

/* What a flag, number or choice is now; whether a text is `text` (NULL: unset). */
uint64_t conf_number_of(const struct conf *conf, const struct conf_option *option);
bool conf_text_is(const struct conf *conf, const struct conf_option *option, const char *text);

/* True when the option has its default value. */
bool conf_is_default(const struct conf *conf, const struct conf_option *option);

/* What a loader returns, given the errors before it began. */
MUST_USE int conf_result(const struct conf *conf, size_t errors_before);

/* Sections (conf_section.c). */
struct conf_section *conf_section_begin(struct conf *conf, struct bytes line,
                                        const struct conf_place *place);
void conf_section_pair(struct conf *conf, struct conf_section *section, struct bytes name,
                       const struct conf_given *given);
void conf_sections_free(struct conf *conf);

/* Values (conf_value.c): NULL when `text` is good, else what is wrong with it. */
const char *conf_range_fault(const char *text);
const char *conf_external_fault(const char *text, struct conf_external *out);
const char *conf_user_fault(const char *text, struct conf_user *out);

/* Set what follows from other options (conf_settle.c); conf_check() does it first. */
void conf_settle(struct conf *conf);

/* True when users of TURN are asked for credentials. */
bool conf_wants_auth(const struct conf *conf);

/* Tells whether JSON Web Tokens or an HTTP hook are configured. */
bool conf_has_outside(const struct conf *conf);

/* Judge the whole (conf_judge.c): what the options do together; of that, what concerns listeners
 * and encryption (conf_judge_listen.c), the kernel path (conf_judge_offload.c), redirects
 * (conf_judge_redirect.c), and the sections (conf_judge_section.c). */
void conf_judge(struct conf *conf);
void conf_judge_listen(struct conf *conf);
void conf_judge_behaviour(struct conf *conf); /* RFC 5780 */
void conf_judge_offload(struct conf *conf);
void conf_judge_outside(struct conf *conf); /* tokens, the HTTP hook */
void conf_judge_oauth(struct conf *conf);   /* keys of third parties */
void conf_judge_redirect(struct conf *conf);
void conf_judge_sections(struct conf *conf);
void conf_judge_realms(struct conf *conf);

/* Judge a user: whether there is a key of an algorithm that is offered. */
void conf_judge_user(struct conf *conf, const struct conf_user *user,
                     const struct conf_place *place);

/* Tell of a range that no address is in. */
void conf_judge_empty_range(struct conf *conf, const struct conf_place *place);

enum { CONF_REALM_MAX = 127 }; /* RFC 8489 section 14.9: fewer than 128 characters */

/* Characters of a text in UTF-8. */
size_t conf_characters(const char *text);

/* The domain part of a host name, or NULL: "turn.example.org" gives "example.org". */
const char *conf_domain_of(const char *host);

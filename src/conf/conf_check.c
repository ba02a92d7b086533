/* SPDX-License-Identifier: Apache-2.0 */
/* The last step of loading, and the comparison of two loaded configurations. */
#include <assert.h>
#include <string.h>

#include "conf/conf_int.h"

int conf_check(struct conf *conf)
{
    assert(!conf->checked);
    conf->checked = true;
    conf_settle(conf);
    conf_judge(conf);
    return conf_result(conf, 0);
}

uint64_t conf_number_of(const struct conf *conf, const struct conf_option *option)
{
    bool flag;
    uint32_t u32;
    uint64_t u64;

    switch (option->type) {
    case CONF_TYPE_flag:
        memcpy(&flag, conf_field(conf, option), sizeof(flag));
        return flag;
    case CONF_TYPE_u32:
    case CONF_TYPE_choice:
        memcpy(&u32, conf_field(conf, option), sizeof(u32));
        return u32;
    case CONF_TYPE_u64:
        memcpy(&u64, conf_field(conf, option), sizeof(u64));
        return u64;
    case CONF_TYPE_text:
    case CONF_TYPE_list_text:
    case CONF_TYPE_list_addr:
    case CONF_TYPE_list_endpoint:
    case CONF_TYPE_list_range:
    case CONF_TYPE_list_external:
    case CONF_TYPE_list_user:
    case CONF_TYPE_list_prefix:
    case CONF_TYPE_none:
        break;
    }
    return 0;
}

static const char *text_of(const struct conf *conf, const struct conf_option *option)
{
    const char *text;

    memcpy(&text, conf_field(conf, option), sizeof(char *));
    return text;
}

static bool texts_equal(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool conf_text_is(const struct conf *conf, const struct conf_option *option, const char *text)
{
    return texts_equal(text_of(conf, option), text);
}

static bool lists_equal(const struct conf_list *a, const struct conf_list *b)
{
    if (a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->items[i].text, b->items[i].text) != 0) {
            return false;
        }
    }
    return true;
}

bool conf_is_default(const struct conf *conf, const struct conf_option *option)
{
    if (option->type == CONF_TYPE_text) {
        return conf_text_is(conf, option, option->text);
    }
    if (conf_type_is_list(option->type)) {
        const struct conf_list *list = conf_field(conf, option);

        return list->count == 0;
    }
    return conf_number_of(conf, option) == (option->type == CONF_TYPE_none ? 0 : option->number);
}

static bool same_value(const struct conf *a, const struct conf *b, const struct conf_option *option)
{
    if (option->type == CONF_TYPE_text) {
        return texts_equal(text_of(a, option), text_of(b, option));
    }
    if (conf_type_is_list(option->type)) {
        return lists_equal(conf_field(a, option), conf_field(b, option));
    }
    return conf_number_of(a, option) == conf_number_of(b, option);
}

size_t conf_diff(const struct conf *old_conf, const struct conf *new_conf, conf_diff_fn each,
                 void *arg)
{
    size_t count = 0;

    for (int i = 0; i < CONF_OPTIONS; i++) {
        if (!same_value(old_conf, new_conf, &conf_options[i])) {
            each(arg, &conf_options[i]);
            count++;
        }
    }
    return count;
}

static bool sections_same(const struct conf_section *a, const struct conf_section *b)
{
    if (strcmp(a->name, b->name) != 0 || a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->pairs[i].key, b->pairs[i].key) != 0 ||
            strcmp(a->pairs[i].value, b->pairs[i].value) != 0) {
            return false;
        }
    }
    return true;
}

/* The first section of `kind` from `*at` on, or NULL; `*at` is behind it then. */
static const struct conf_section *section_next(const struct conf *conf, const char *kind,
                                               size_t *at)
{
    while (*at < conf->section_count) {
        const struct conf_section *section = &conf->sections[(*at)++];

        if (strcmp(section->kind, kind) == 0) {
            return section;
        }
    }
    return NULL;
}

bool conf_sections_equal(const struct conf *a, const struct conf *b, const char *kind)
{
    size_t at_a = 0;
    size_t at_b = 0;

    for (;;) {
        const struct conf_section *of_a = section_next(a, kind, &at_a);
        const struct conf_section *of_b = section_next(b, kind, &at_b);

        if (of_a == NULL || of_b == NULL) {
            return of_a == of_b;
        }
        if (!sections_same(of_a, of_b)) {
            return false;
        }
    }
}

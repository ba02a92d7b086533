/* SPDX-License-Identifier: Apache-2.0 */
/* A loaded configuration written as a file, without its secrets. */
#include <inttypes.h>
#include <string.h>

#include "conf/conf_int.h"

/* Write a text so that it reads back as it is. */
static void text_write(FILE *out, const char *text)
{
    const size_t len = strlen(text);
    const bool plain = len > 0 && strpbrk(text, " \t#\"") == NULL;

    (void)fprintf(out, plain ? "%s" : "\"%s\"", text);
}

static void line_write(FILE *out, const struct conf_option *option, const char *text)
{
    if ((option->attributes & CONF_SECRET) != 0) {
        (void)fprintf(out, "# %s=(hidden)\n", option->name);
        return;
    }
    (void)fprintf(out, "%s=", option->name);
    text_write(out, text);
    (void)fputc('\n', out);
}

static void number_write(FILE *out, const struct conf *conf, const struct conf_option *option)
{
    const uint64_t number = conf_number_of(conf, option);
    char text[32] = "";

    if (option->type == CONF_TYPE_flag) {
        (void)snprintf(text, sizeof(text), "%s", number != 0 ? "on" : "off");
    } else if (option->type == CONF_TYPE_choice) {
        (void)conf_choice_word(option, (uint32_t)number, text);
    } else {
        (void)snprintf(text, sizeof(text), "%" PRIu64, number);
    }
    line_write(out, option, text);
}

static void option_write(FILE *out, const struct conf *conf, const struct conf_option *option)
{
    const char *text;

    if (conf_type_is_list(option->type)) {
        const struct conf_list *list = conf_field(conf, option);

        for (size_t i = 0; i < list->count; i++) {
            line_write(out, option, list->items[i].text);
        }
    } else if (option->type == CONF_TYPE_text) {
        memcpy(&text, conf_field(conf, option), sizeof(char *));
        if (text != NULL) {
            line_write(out, option, text);
        }
    } else {
        number_write(out, conf, option);
    }
}

/* Names and values hold no '"' that could end them: see conf_section.c and value_quoted(). */
static void section_write(FILE *out, const struct conf_section *section)
{
    (void)fprintf(out, "\n[%s", section->kind);
    if (section->name[0] != 0) {
        (void)fprintf(out, " \"%s\"", section->name);
    }
    (void)fputs("]\n", out);
    for (size_t i = 0; i < section->count; i++) {
        const struct conf_key *key = conf_key_find(section->kind, bytes_of(section->pairs[i].key));

        if (key != NULL) {
            line_write(out, &key->option, section->pairs[i].value);
        }
    }
}

void conf_write_effective(const struct conf *conf, FILE *out, bool all)
{
    for (int i = 0; i < CONF_OPTIONS; i++) {
        const struct conf_option *option = &conf_options[i];
        const bool changed = conf->is_set[i] || !conf_is_default(conf, option);

        if (option->status != CONF_REMOVED && (changed || (all && option->status == CONF_ACTIVE))) {
            option_write(out, conf, option);
        }
    }
    for (size_t i = 0; i < conf->section_count; i++) {
        const struct conf_section_kind *kind =
            conf_section_kind_find(bytes_of(conf->sections[i].kind));

        if (kind != NULL && kind->active) {
            section_write(out, &conf->sections[i]);
        }
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* docs/reference/options.md. */
#include <string.h>

#include "conf/conf_prose.h"

/* Table cells: what Markdown would take as its own is escaped. */
static void cell(FILE *out, const char *text)
{
    for (; *text != 0; text++) {
        if (strchr("|<>*_\\", *text) != NULL) {
            (void)fputc('\\', out);
        }
        (void)fputc(*text, out);
    }
}

static void prose_write(FILE *out)
{
    for (size_t i = 0; i < conf_prose_count; i++) {
        const struct conf_prose *p = &conf_prose[i];

        switch (p->kind) {
        case CONF_HEADING:
            (void)fprintf(out, "## %s\n\n", p->text);
            break;
        case CONF_PARAGRAPH:
            (void)fprintf(out, "%s\n\n", p->text);
            break;
        case CONF_EXAMPLE:
            (void)fprintf(out, "```\n%s```\n\n", p->text);
            break;
        }
    }
}

static void row_write(FILE *out, const struct conf_option *option)
{
    char text[CONF_CELL];

    (void)fprintf(out, "| `%s`", option->name);
    if (option->letter != 0) {
        (void)fprintf(out, " (`-%c`)", option->letter);
    }
    (void)fputs(" | ", out);
    cell(out, conf_prose_value(option, text));
    (void)fputs(" | ", out);
    cell(out, conf_prose_default(option, text));
    (void)fprintf(out, " | %s | %s | ", conf_prose_reload(option), conf_prose_status(option));
    cell(out, option->help);
    (void)fputs(" | ", out);
    cell(out, option->note);
    (void)fputs(" |\n", out);
}

static void options_write(FILE *out)
{
    const struct conf_group *group = NULL;

    for (int i = 0; i < CONF_OPTIONS; i++) {
        if (conf_option_group((enum conf_opt)i) != group) {
            group = conf_option_group((enum conf_opt)i);
            (void)fprintf(out,
                          "\n### %s\n\n"
                          "| option | value | default | takes effect | status | meaning | in "
                          "coturn |\n"
                          "|---|---|---|---|---|---|---|\n",
                          group->title);
        }
        row_write(out, &conf_options[i]);
    }
}

static void names_write(FILE *out)
{
    (void)fputs("\n## Other names\n\n| name | is |\n|---|---|\n", out);
    for (size_t i = 0; i < conf_alias_count; i++) {
        (void)fprintf(out, "| `%s` | %s `%s` |\n", conf_aliases[i].name,
                      conf_prose_alias(&conf_aliases[i]), conf_options[conf_aliases[i].opt].name);
    }
}

static void key_write(FILE *out, const struct conf_key *key)
{
    char text[CONF_CELL];

    (void)fprintf(out, "| `%s`", key->option.name);
    if (key->alias != NULL) {
        (void)fprintf(out, ", `%s`", key->alias);
    }
    (void)fputs(" | ", out);
    cell(out, conf_prose_value(&key->option, text));
    (void)fputs(" | ", out);
    cell(out, conf_prose_key_default(key));
    (void)fprintf(out, " | %s | ", conf_prose_reload(&key->option));
    cell(out, key->option.help);
    (void)fputs((key->option.attributes & CONF_NEEDED) != 0 ? " Must be given. |\n" : " |\n", out);
}

static void section_write(FILE *out, const struct conf_section_kind *kind)
{
    (void)fprintf(out, "\n### `[%s \"NAME\"]`\n\n", kind->kind);
    cell(out, kind->help);
    (void)fputc('\n', out);
    if (!kind->active) {
        (void)fputs("It has no effect in this version.\n", out);
        return;
    }
    (void)fputs("\n| key | value | default | takes effect | meaning |\n|---|---|---|---|---|\n",
                out);
    for (size_t i = 0; i < conf_key_count; i++) {
        if (strcmp(conf_keys[i].section, kind->kind) == 0) {
            key_write(out, &conf_keys[i]);
        }
    }
}

static void sections_write(FILE *out)
{
    (void)fputs("\n## Sections\n", out);
    for (size_t i = 0; i < conf_section_kind_count; i++) {
        section_write(out, &conf_section_kinds[i]);
    }
}

void conf_write_markdown(FILE *out)
{
    (void)fputs("<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
                "<!-- Generated from src/conf/options.def and sections.def: do not edit. -->\n"
                "# Options\n\n",
                out);
    prose_write(out);
    (void)fputs("## Options by subject\n\n"
                "*Takes effect*: after `reload` (SIGHUP), or only after a `restart`.\n"
                "*Status*: `in effect`; `no effect yet`: known, with a warning at start; `always "
                "so`: accepted, because the server always behaves so; `removed`: accepted with a "
                "warning.\n",
                out);
    options_write(out);
    names_write(out);
    sections_write(out);
}

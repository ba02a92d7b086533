/* SPDX-License-Identifier: Apache-2.0 */
/* The manual page sterna.conf(5). */
#include <string.h>

#include "conf/conf_prose.h"

/* Text for troff: no character of it is a request or an escape. */
static void troff(FILE *out, const char *text)
{
    bool begin = true;

    for (; *text != 0; text++) {
        if (begin && (*text == '.' || *text == '\'')) {
            (void)fputs("\\&", out);
        }
        if (*text == '\\') {
            (void)fputs("\\e", out);
        } else if (*text == '-') {
            (void)fputs("\\-", out);
        } else {
            (void)fputc(*text, out);
        }
        begin = *text == '\n';
    }
}

static void prose_write(FILE *out)
{
    for (size_t i = 0; i < conf_prose_count; i++) {
        const struct conf_prose *p = &conf_prose[i];

        switch (p->kind) {
        case CONF_HEADING:
            (void)fputs(".SS ", out);
            break;
        case CONF_PARAGRAPH:
            (void)fputs(".PP\n", out);
            break;
        case CONF_EXAMPLE:
            (void)fputs(".PP\n.nf\n.RS\n", out);
            break;
        }
        troff(out, p->text);
        (void)fputs(p->kind == CONF_EXAMPLE ? ".RE\n.fi\n" : "\n", out);
    }
}

static void head_write(FILE *out, const struct conf_option *option)
{
    (void)fputs(".TP\n.B ", out);
    troff(out, option->name);
    if (option->letter != 0) {
        (void)fprintf(out, " \\fR(\\-%c)", option->letter);
    }
    (void)fputc('\n', out);
}

static void option_write(FILE *out, const struct conf_option *option)
{
    char text[CONF_CELL];

    head_write(out, option);
    troff(out, option->help);
    if (option->status == CONF_REMOVED) {
        (void)fputc('\n', out);
        return;
    }
    (void)fputs("\nValue: ", out);
    troff(out, conf_prose_value(option, text));
    (void)fputs(". Default: ", out);
    troff(out, conf_prose_default(option, text));
    (void)fprintf(out, ". Takes effect after: %s.", conf_prose_reload(option));
    if (option->status != CONF_ACTIVE) {
        (void)fprintf(out, " Status: %s.", conf_prose_status(option));
    }
    if (option->note[0] != 0) {
        (void)fputc(' ', out);
        troff(out, option->note);
    }
    (void)fputc('\n', out);
}

static void key_write(FILE *out, const struct conf_key *key)
{
    char text[CONF_CELL];

    (void)fputs(".TP\n.B ", out);
    troff(out, key->option.name);
    if (key->alias != NULL) {
        (void)fputs(" \\fR(", out);
        troff(out, key->alias);
        (void)fputc(')', out);
    }
    (void)fputc('\n', out);
    troff(out, key->option.help);
    (void)fputs("\nValue: ", out);
    troff(out, conf_prose_value(&key->option, text));
    (void)fputs(". Default: ", out);
    troff(out, conf_prose_key_default(key));
    (void)fprintf(out, ". Takes effect after: %s.\n", conf_prose_reload(&key->option));
}

static void sections_write(FILE *out)
{
    (void)fputs(".SH SECTIONS\n", out);
    for (size_t i = 0; i < conf_section_kind_count; i++) {
        const struct conf_section_kind *kind = &conf_section_kinds[i];

        (void)fprintf(out, ".SS [%s \\(dqNAME\\(dq]\n", kind->kind);
        troff(out, kind->help);
        (void)fputs(kind->active ? "\n" : "\nIt has no effect in this version.\n", out);
        for (size_t k = 0; k < conf_key_count; k++) {
            if (strcmp(conf_keys[k].section, kind->kind) == 0) {
                key_write(out, &conf_keys[k]);
            }
        }
    }
}

static void names_write(FILE *out)
{
    (void)fputs(".SH OTHER NAMES\n", out);
    for (size_t i = 0; i < conf_alias_count; i++) {
        (void)fputs(".TP\n.B ", out);
        troff(out, conf_aliases[i].name);
        (void)fprintf(out, "\n%s ", conf_prose_alias(&conf_aliases[i]));
        troff(out, conf_options[conf_aliases[i].opt].name);
        (void)fputc('\n', out);
    }
}

void conf_write_man_conf(FILE *out)
{
    const struct conf_group *group = NULL;

    (void)fputs(".\\\" SPDX-License-Identifier: Apache-2.0\n"
                ".\\\" Generated from src/conf/options.def and sections.def: do not edit.\n"
                ".TH STERNA.CONF 5 \"\" \"sterna\" \"File formats\"\n"
                ".SH NAME\nsterna.conf, turnserver.conf \\- configuration of sterna\n"
                ".SH DESCRIPTION\n",
                out);
    prose_write(out);
    (void)fputs(".SH OPTIONS\n", out);
    for (int i = 0; i < CONF_OPTIONS; i++) {
        if (conf_option_group((enum conf_opt)i) != group) {
            group = conf_option_group((enum conf_opt)i);
            (void)fputs(".SS ", out);
            troff(out, group->title);
            (void)fputc('\n', out);
        }
        option_write(out, &conf_options[i]);
    }
    sections_write(out);
    names_write(out);
    (void)fputs(".SH SEE ALSO\n.BR sterna (1)\n", out);
}

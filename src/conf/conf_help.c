/* SPDX-License-Identifier: Apache-2.0 */
/* The options part of --help. */
#include <string.h>

#include "conf/conf_prose.h"

enum { COLUMN = 34, WIDTH = 96 };

/* Write `text` between the columns, beginning at column `at`. */
static void wrap(FILE *out, const char *text, size_t at)
{
    while (*text != 0) {
        const size_t word = strcspn(text, " ");

        if (at > COLUMN && at + word + 1 > WIDTH) {
            (void)fputc('\n', out);
            at = 0;
        }
        if (at < COLUMN) {
            (void)fprintf(out, "%*s", (int)(COLUMN - at), "");
            at = COLUMN;
        } else {
            (void)fputc(' ', out);
            at++;
        }
        (void)fwrite(text, 1, word, out);
        at += word;
        text += word;
        text += strspn(text, " ");
    }
    (void)fputc('\n', out);
}

/* What the value may be and is by default, in brackets. */
static void details(const struct conf_option *option, char *out, size_t cap)
{
    char value[CONF_CELL];
    char standard[CONF_CELL];

    out[0] = 0;
    if (option->type == CONF_TYPE_flag) {
        (void)snprintf(out, cap, "%s", option->number != 0 ? " (on by default)" : "");
    } else if (conf_type_is_list(option->type)) {
        (void)snprintf(out, cap, " (%s)", conf_prose_value(option, value));
    } else {
        (void)snprintf(out, cap, " (%s; %s by default)", conf_prose_value(option, value),
                       conf_prose_default(option, standard));
    }
}

static void option_write(FILE *out, const struct conf_option *option)
{
    const char letter[] = {'-', option->letter, ',', ' ', 0};
    char more[2 * CONF_CELL + 32];
    char text[1024];

    const int len = fprintf(out, "  %s--%s%s", option->letter != 0 ? letter : "    ", option->name,
                            option->type == CONF_TYPE_flag ? "" : "=VALUE");
    size_t at = len > 0 ? (size_t)len : 0;
    if (at >= COLUMN) {
        (void)fputc('\n', out);
        at = 0;
    }
    details(option, more, sizeof(more));
    (void)snprintf(text, sizeof(text), "%s%s", option->help, more);
    wrap(out, text, at);
}

void conf_write_help(FILE *out)
{
    const struct conf_group *group = NULL;

    for (int i = 0; i < CONF_OPTIONS; i++) {
        const struct conf_option *option = &conf_options[i];

        if (option->status != CONF_ACTIVE) {
            continue;
        }
        if (conf_option_group((enum conf_opt)i) != group) {
            group = conf_option_group((enum conf_opt)i);
            (void)fprintf(out, "\n%s\n", group->title);
        }
        option_write(out, option);
    }
    (void)fprintf(out, "\nOther options of coturn are accepted, with a warning where they have no "
                       "effect: see sterna.conf(5).\n");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The environment: STERNA_LISTENING_PORT=3478.  Values of a repeatable option are separated by line
 * ends; addresses by commas, too. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "conf/conf_int.h"

static const char from_env[] = "environment";

static const char prefix[] = "STERNA_";

/* True when `name` is the option's name in capitals with '_' for '-'. */
static bool env_name_is(const char *option_name, struct bytes name)
{
    if (strlen(option_name) != name.n) {
        return false;
    }
    for (size_t i = 0; i < name.n; i++) {
        const char c = option_name[i] == '-' ? '_' : (char)toupper((unsigned char)option_name[i]);

        if (c != (char)name.p[i]) {
            return false;
        }
    }
    return true;
}

static int env_find(struct bytes name, enum conf_opt *out_opt, const struct conf_alias **out_alias)
{
    for (int i = 0; i < CONF_OPTIONS; i++) {
        if (env_name_is(conf_options[i].name, name)) {
            *out_opt = (enum conf_opt)i;
            *out_alias = NULL;
            return 0;
        }
    }
    for (size_t i = 0; i < conf_alias_count; i++) {
        if (env_name_is(conf_aliases[i].name, name)) {
            *out_opt = conf_aliases[i].opt;
            *out_alias = &conf_aliases[i];
            return 0;
        }
    }
    return -ENOENT;
}

static const char *separators(const struct conf_option *option)
{
    const enum conf_type type = option->type;

    if (!conf_type_is_list(type)) {
        return "";
    }
    if ((option->attributes & CONF_NAMED) != 0) {
        return "\n,"; /* a name stands behind a blank */
    }
    return type == CONF_TYPE_list_user || type == CONF_TYPE_list_text ? "\n" : "\n, ";
}

/* Give every value of `text`; empty ones between separators do not count. */
static void values_give(struct conf *conf, enum conf_opt opt, const struct conf_alias *alias,
                        struct conf_given *given, const char *text)
{
    const char *between = separators(&conf_options[opt]);

    while (text[0] != 0) {
        const size_t len = strcspn(text, between);

        if (len > 0) {
            given->value = (struct bytes){(const uint8_t *)text, len};
            conf_give(conf, opt, alias, given);
        }
        text += len;
        text += strspn(text, between);
    }
}

static void variable(struct conf *conf, const char *text)
{
    const struct conf_alias *alias;
    enum conf_opt opt;
    const char *equals = strchr(text, '=');
    const char *begin = text + sizeof(prefix) - 1;

    if (equals == NULL || equals < begin) {
        return;
    }
    const struct bytes name = {(const uint8_t *)begin, (size_t)(equals - begin)};
    const struct conf_shown written =
        conf_show((struct bytes){(const uint8_t *)text, (size_t)(equals - text)});
    struct conf_given given = {
        .written = written.text,
        .has_value = true,
        .place = {.source = CONF_FROM_ENV, .file = from_env},
    };
    if (env_find(name, &opt, &alias) == 0) {
        values_give(conf, opt, alias, &given, equals + 1);
        return;
    }
    const char *nearest = conf_option_nearest(name); /* others may use STERNA_ names, too */
    if (nearest != NULL) {
        conf_say(conf, CONF_WARNING, &given.place,
                 "%s names no option, so it has no effect; is '%s' meant?", written.text, nearest);
    }
}

int conf_load_env(struct conf *conf, char *const *env)
{
    const size_t errors = conf->severity_count[CONF_ERROR];

    for (; *env != NULL; env++) {
        if (strncmp(*env, prefix, sizeof(prefix) - 1) == 0) {
            variable(conf, *env);
        }
    }
    return conf_result(conf, errors);
}

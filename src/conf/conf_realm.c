/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf_realm.h"

#include <stdlib.h>
#include <string.h>

const struct conf_section *conf_realm_next(const struct conf *conf, size_t *at)
{
    while (*at < conf->section_count) {
        const struct conf_section *section = &conf->sections[(*at)++];

        if (strcmp(section->kind, "realm") == 0) {
            return section;
        }
    }
    return NULL;
}

const struct conf_section *conf_realm_find(const struct conf *conf, const char *name)
{
    const struct conf_section *section;
    size_t at = 0;

    do {
        section = conf_realm_next(conf, &at);
    } while (section != NULL && strcmp(section->name, name) != 0);
    return section;
}

bool conf_realm_is_main(const struct conf *conf, const struct conf_section *section)
{
    return conf->realm != NULL && strcmp(conf->realm, section->name) == 0;
}

bool conf_realm_number(const struct conf_section *section, const char *key, uint64_t *out)
{
    const char *value = conf_section_value(section, key);

    if (value == NULL) {
        return false;
    }
    *out = strtoull(value, NULL, 10); /* digits alone, and in range: it has been judged */
    return true;
}

bool conf_realms_have(const struct conf *conf, const char *key)
{
    const struct conf_section *section;
    size_t at = 0;

    do {
        section = conf_realm_next(conf, &at);
    } while (section != NULL && conf_section_value(section, key) == NULL);
    return section != NULL;
}

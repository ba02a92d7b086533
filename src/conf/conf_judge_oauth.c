/* SPDX-License-Identifier: Apache-2.0 */
/* What [oauth "kid"] sections say: keys of third-party authorization (RFC 7635). */
#include <string.h>

#include "conf/conf_int.h"

enum { KID_MAX = 128, KEY_256 = 32, KEY_128 = 16 };

/* How many bytes `text` is base64 of (RFC 4648, either alphabet, padded or not); 0 when of none. */
static size_t base64_bytes(const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                 "0123456789+/-_";
    const size_t n = strspn(text, digits);
    const size_t padding = strspn(text + n, "=");
    const bool whole = text[n + padding] == 0 && n % 4 != 1 &&
                       (padding == 0 || (padding <= 2 && (n + padding) % 4 == 0));

    return whole ? n * 3 / 4 : 0;
}

static struct conf_place value_place(const struct conf_section *section, const char *key)
{
    struct conf_place place = {.file = section->file, .line = section->line};

    for (size_t i = 0; i < section->count; i++) {
        if (strcmp(section->pairs[i].key, key) == 0) {
            place.line = section->pairs[i].line;
            place.column = section->pairs[i].column;
        }
    }
    return place;
}

static void key_judge(struct conf *conf, const struct conf_section *section)
{
    const char *key = conf_section_value(section, "key");
    const char *algorithm = conf_section_value(section, "algorithm");
    const bool is_128 = algorithm != NULL && strcmp(algorithm, "A128GCM") == 0;
    const size_t least = is_128 ? KEY_128 : KEY_256;
    const struct conf_place place = value_place(section, "key");

    if (key == NULL) {
        return; /* told already */
    }
    const size_t n = base64_bytes(key);
    if (n == 0) {
        conf_say(conf, CONF_ERROR, &place, "the key is no base64");
    } else if (n < least) {
        conf_say(conf, CONF_ERROR, &place, "%s needs a key of %zu bytes, but this one has %zu",
                 is_128 ? "A128GCM" : "A256GCM", least, n);
    }
}

static void realm_judge(struct conf *conf, const struct conf_section *section)
{
    const char *realm = conf_section_value(section, "realm");
    const struct conf_place place = value_place(section, "realm");

    if (realm != NULL && conf_characters(realm) > CONF_REALM_MAX) {
        conf_say(conf, CONF_ERROR, &place, "a realm may have %d characters at most",
                 CONF_REALM_MAX);
    }
}

static void kid_judge(struct conf *conf, const struct conf_section *section, size_t at)
{
    const struct conf_place place = {.file = section->file, .line = section->line};

    if (section->name[0] == 0 || strlen(section->name) > KID_MAX) {
        conf_say(conf, CONF_ERROR, &place,
                 "write the kid as the name, [oauth \"kid\"]: it has 1 to %d bytes", KID_MAX);
    }
    for (size_t i = 0; i < at; i++) {
        if (strcmp(conf->sections[i].kind, "oauth") == 0 &&
            strcmp(conf->sections[i].name, section->name) == 0) {
            conf_say(conf, CONF_ERROR, &place, "this kid has a section in line %u already",
                     conf->sections[i].line);
            return;
        }
    }
}

void conf_judge_oauth(struct conf *conf)
{
    const struct conf_place place = conf_place_of(conf, CONF_OPT_oauth);
    size_t count = 0;

    for (size_t i = 0; i < conf->section_count; i++) {
        const struct conf_section *section = &conf->sections[i];
        if (strcmp(section->kind, "oauth") != 0) {
            continue;
        }
        count++;
        kid_judge(conf, section, i);
        key_judge(conf, section);
        realm_judge(conf, section);
    }
    if (count > 0 && !conf->oauth) {
        conf_say(conf, CONF_WARNING, NULL,
                 "without the option 'oauth', [oauth] sections have no "
                 "effect");
    }
    if (count == 0 && conf->oauth && conf->userdb == NULL) {
        conf_say(
            conf, CONF_ERROR, &place,
            "oauth is on, but there is no key: write an [oauth \"kid\"] section, or userdb=FILE");
    }
}

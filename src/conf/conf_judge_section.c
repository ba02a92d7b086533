/* SPDX-License-Identifier: Apache-2.0 */
/* What the lines of a section say together, and the sections with each other. */
#include <string.h>
#include <strings.h>

#include "conf/conf_int.h"
#include "conf/conf_listener.h"

static struct conf_place section_place(const struct conf_section *section)
{
    return (struct conf_place){.file = section->file, .line = section->line};
}

/* The place of a key's value; of the section when the key is not given. */
static struct conf_place key_place(const struct conf_section *section, const char *key)
{
    for (size_t i = 0; i < section->count; i++) {
        if (strcmp(section->pairs[i].key, key) == 0) {
            return (struct conf_place){.file = section->file,
                                       .line = section->pairs[i].line,
                                       .column = section->pairs[i].column};
        }
    }
    return section_place(section);
}

static bool value_is(const struct conf_section *section, const char *key, const char *word)
{
    const char *value = conf_section_value(section, key);

    return value != NULL && strcmp(value, word) == 0;
}

static void needed_judge(struct conf *conf, const struct conf_section *section)
{
    const struct conf_place place = section_place(section);

    for (size_t i = 0; i < conf_key_count; i++) {
        const struct conf_option *key = &conf_keys[i].option;

        if ((key->attributes & CONF_NEEDED) != 0 &&
            strcmp(conf_keys[i].section, section->kind) == 0 &&
            conf_section_value(section, key->name) == NULL) {
            conf_say(conf, CONF_ERROR, &place, "[%s] needs '%s = %s'", section->kind, key->name,
                     key->unit);
        }
    }
}

static void name_judge(struct conf *conf, const struct conf_section *section)
{
    enum { NAME_MAX_BYTES = 255 };
    const struct conf_place place = section_place(section);
    const struct conf_section *first = conf_section_find(conf, section->kind, section->name);

    if (strlen(section->name) > NAME_MAX_BYTES) {
        conf_say(conf, CONF_ERROR, &place, "the name of a section may have %d bytes at most",
                 NAME_MAX_BYTES);
    } else if (first != section) {
        conf_say(conf, CONF_ERROR, &place,
                 "there is such a section in line %u already: [%s \"%s\"]", first->line,
                 section->kind, section->name);
    }
}

static void tls_judge(struct conf *conf, const struct conf_section *section)
{
    const char *lowest = conf_section_value(section, "min-version");
    const char *highest = conf_section_value(section, "max-version");
    struct conf_place place = key_place(section, "min-version");

    /* The words sort as the versions do. */
    if (strcmp(lowest != NULL ? lowest : "1.2", highest != NULL ? highest : "1.3") > 0) {
        place = key_place(section, highest != NULL ? "max-version" : "min-version");
        conf_say(conf, CONF_ERROR, &place, "max-version is below min-version (%s)",
                 lowest != NULL ? lowest : "1.2 by default");
    } else if (lowest != NULL && strcmp(lowest, "1.2") < 0) {
        conf_say(conf, CONF_WARNING, &place,
                 "min-version=%s allows a version of TLS that is not safe any more (RFC 8996)",
                 lowest);
    }
    const bool verifies = value_is(section, "verify-client", "optional") ||
                          value_is(section, "verify-client", "required");
    if (verifies && conf_section_value(section, "ca-file") == NULL) {
        place = key_place(section, "verify-client");
        conf_say(conf, CONF_ERROR, &place, "verify-client needs 'ca-file = path'");
    }
    if (conf_section_value(section, "crl-file") != NULL &&
        (conf_section_value(section, "ca-file") == NULL ||
         value_is(section, "verify-client", "off"))) {
        place = key_place(section, "crl-file");
        conf_say(conf, CONF_WARNING, &place,
                 "crl-file has no effect, as clients are not asked for a certificate");
    }
}

/* Both would be the settings for every name. */
static void tls_default_judge(struct conf *conf, const struct conf_section *section)
{
    const struct conf_place place = section_place(section);

    if (section->name[0] == 0 && conf->cert != NULL) {
        conf_say(conf, CONF_ERROR, &place,
                 "'cert' is given, too, which is the same as a [tls] section without a name: keep "
                 "one, or give the section a name");
    }
}

static void listener_tls_judge(struct conf *conf, const struct conf_section *section)
{
    const char *name = conf_section_value(section, "tls-name");
    struct conf_place place = key_place(section, "tls-name");

    if (name != NULL && conf_section_find(conf, "tls", name) == NULL) {
        const struct conf_shown shown = conf_show(bytes_of(name));

        conf_say(conf, CONF_ERROR, &place, "there is no section [tls \"%s\"]", shown.text);
    } else if (name != NULL && value_is(section, "encryption", "plain")) {
        conf_say(conf, CONF_WARNING, &place, "with encryption=plain, tls-name has no effect");
    }
    if (value_is(section, "encryption", "tls") && !conf_has_certificate(conf)) {
        place = key_place(section, "encryption");
        conf_say(conf, CONF_ERROR, &place,
                 "encryption=tls needs a certificate: write cert=FILE and pkey=FILE, or a [tls] "
                 "section");
    }
}

static void listener_judge(struct conf *conf, const struct conf_section *section)
{
    const struct conf_listener listener = conf_listener_read(conf, section);
    const struct conf_place place = key_place(section, "proxy-protocol");

    listener_tls_judge(conf, section);
    if (!listener.proxy) {
        return;
    }
    if (listener.takes[CONF_UDP].secure) {
        conf_say(conf, CONF_ERROR, &place,
                 "over UDP the PROXY protocol carries plain clients only: write encryption=plain");
    } else if (listener.takes[CONF_UDP].plain && conf->proxy_protocol_from.count == 0) {
        /* The source of a datagram is anybody's word. */
        conf_say(conf, CONF_ERROR, &place,
                 "over UDP the PROXY protocol is believed from listed balancers only: write "
                 "proxy-protocol-from=ADDRESS for each");
    }
}

void conf_judge_sections(struct conf *conf)
{
    for (size_t i = 0; i < conf->section_count; i++) {
        const struct conf_section *section = &conf->sections[i];
        const struct conf_section_kind *kind = conf_section_kind_find(bytes_of(section->kind));

        if (kind == NULL || !kind->active) {
            continue;
        }
        needed_judge(conf, section);
        if (strcmp(section->kind, "realm") == 0 || strcmp(section->kind, "oauth") == 0) {
            continue; /* their names are not like others' */
        }
        name_judge(conf, section);
        if (strcmp(section->kind, "tls") == 0) {
            tls_judge(conf, section);
            tls_default_judge(conf, section);
        } else {
            listener_judge(conf, section);
        }
    }
    conf_judge_realms(conf);
    conf_judge_oauth(conf);
}

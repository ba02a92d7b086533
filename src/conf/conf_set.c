/* SPDX-License-Identifier: Apache-2.0 */
/* From the text of a value to the value of an option. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/net_addr.h"
#include "base/secret.h"
#include "conf/conf_int.h"
#include "conf/conf_value.h"

/* One value on its way in. */
struct setting {
    struct conf *conf;
    enum conf_opt opt;
    const struct conf_option *option;
    const struct conf_given *given;
    bool inverted; /* named by its negation */
    char *text;    /* the value as a string, owned */
    uint64_t number;
};

static struct conf_shown shown(const struct setting *s)
{
    const bool secret = (s->option->attributes & CONF_SECRET) != 0;

    return conf_show(secret ? bytes_of("(hidden)") : bytes_of(s->text));
}

#define FAULT(s, ...) conf_say((s)->conf, CONF_ERROR, &(s)->given->place, __VA_ARGS__)
#define WARN(s, ...)  conf_say((s)->conf, CONF_WARNING, &(s)->given->place, __VA_ARGS__)

static bool flag_read(struct setting *s)
{
    static const char *const yes[] = {"on", "yes", "true", "1", "y", "t"};
    static const char *const no[] = {"off", "no", "false", "0", "n", "f"};

    if (s->text[0] == 0) { /* bare */
        s->number = 1;
    } else {
        bool known = false;

        for (size_t i = 0; i < ARRAY_SIZE(yes) && !known; i++) {
            if (strcasecmp(s->text, yes[i]) == 0 || strcasecmp(s->text, no[i]) == 0) {
                s->number = strcasecmp(s->text, yes[i]) == 0;
                known = true;
            }
        }
        if (!known) {
            FAULT(s, "'%s' is switched by on, off, yes, no, true, false, 1 or 0, not by '%s'",
                  s->given->written, shown(s).text);
            return false;
        }
    }
    if (s->inverted) {
        s->number = !s->number;
    }
    return true;
}

static void number_fault(struct setting *s)
{
    const char *unit = s->option->unit;

    FAULT(s,
          "'%s' wants a whole number from %llu to %llu%s%s%s, in digits alone, not '%s': write for "
          "example %s=%llu",
          s->given->written, (unsigned long long)s->option->min, (unsigned long long)s->option->max,
          unit[0] != 0 ? " (" : "", unit, unit[0] != 0 ? ")" : "", shown(s).text, s->option->name,
          (unsigned long long)(s->option->number != 0 ? s->option->number : s->option->min));
}

static bool number_read(struct setting *s)
{
    char *end;

    if (s->text[0] == 0 && (s->option->attributes & CONF_BARE) != 0) {
        s->number = s->option->number;
        return true;
    }
    if (!isdigit((unsigned char)s->text[0])) { /* strtoull() would take signs and blanks */
        number_fault(s);
        return false;
    }
    errno = 0;
    const unsigned long long number = strtoull(s->text, &end, 10);
    if (errno != 0 || *end != 0 || number < s->option->min || number > s->option->max) {
        number_fault(s);
        return false;
    }
    s->number = number;
    return true;
}

static bool choice_read(struct setting *s)
{
    char word[32];

    for (uint32_t i = 0; conf_choice_word(s->option, i, word); i++) {
        if (strcasecmp(s->text, word) == 0) {
            s->number = i;
            return true;
        }
    }
    FAULT(s, "'%s' knows no '%s': write one of %s", s->given->written, shown(s).text,
          s->option->unit);
    return false;
}

static bool text_read(struct setting *s)
{
    const size_t len = strlen(s->text);

    if (len > 0 && (len < s->option->min || len > s->option->max)) {
        FAULT(s, "the value of '%s' is %zu bytes long, but may have %llu at most",
              s->given->written, len, (unsigned long long)s->option->max);
        return false;
    }
    return true;
}

static const char *addr_fault(const char *text)
{
    struct net_ip ip;

    return net_ip_parse(text, &ip) == 0 ? NULL : "an IP address such as 192.0.2.1 or 2001:db8::1";
}

static const char *endpoint_fault(const char *text, const struct conf_option *option)
{
    const uint16_t default_port = (uint16_t)option->min;
    struct conf_endpoint endpoint;

    if ((option->attributes & CONF_NAMED) != 0) {
        return conf_endpoint_parse(text, default_port, &endpoint) == 0
                   ? NULL
                   : "an address, with or without a port and a domain name behind it, such as "
                     "\"192.0.2.1:5349 turn.example.org\"";
    }
    if (net_addr_parse(text, default_port, &endpoint.addr) < 0 || endpoint.addr.port == 0) {
        return default_port == 0
                   ? "an address with a port, such as 192.0.2.1:3478 or [2001:db8::1]:3478"
                   : "an address, with or without a port, such as 192.0.2.1:3478 or "
                     "[2001:db8::1]:3478";
    }
    return NULL;
}

static const char *prefix_fault(const char *text)
{
    struct net_ip prefix;
    unsigned bits;

    return conf_prefix_parse(text, &prefix, &bits) == 0
               ? NULL
               : "an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits, such as 64:ff9b:1::/48";
}

static const char *item_fault(const struct setting *s)
{
    struct conf_external external;
    struct conf_user user;
    const char *fault;

    switch (s->option->type) {
    case CONF_TYPE_list_addr:
        return addr_fault(s->text);
    case CONF_TYPE_list_endpoint:
        return endpoint_fault(s->text, s->option);
    case CONF_TYPE_list_range:
        return conf_range_fault(s->text);
    case CONF_TYPE_list_external:
        return conf_external_fault(s->text, &external);
    case CONF_TYPE_list_prefix:
        return prefix_fault(s->text);
    case CONF_TYPE_list_user:
        fault = conf_user_fault(s->text, &user);
        secret_wipe(&user, sizeof(user));
        return fault;
    case CONF_TYPE_list_text:
        return strlen(s->text) <= s->option->max ? NULL : "a text of at most 1024 bytes";
    case CONF_TYPE_flag:
    case CONF_TYPE_u32:
    case CONF_TYPE_u64:
    case CONF_TYPE_choice:
    case CONF_TYPE_text:
    case CONF_TYPE_none:
        break;
    }
    return NULL;
}

static bool item_read(struct setting *s)
{
    if (s->text[0] == 0) {
        FAULT(s, "'%s' is empty: write %s=%s", s->given->written, s->option->name, s->option->unit);
        return false;
    }
    const char *fault = item_fault(s);
    if (fault != NULL) {
        FAULT(s, "'%s' wants %s, not '%s'", s->given->written, fault, shown(s).text);
        return false;
    }
    return true;
}

static bool value_read(struct setting *s)
{
    switch (s->option->type) {
    case CONF_TYPE_flag:
        return flag_read(s);
    case CONF_TYPE_u32:
    case CONF_TYPE_u64:
        return number_read(s);
    case CONF_TYPE_choice:
        return choice_read(s);
    case CONF_TYPE_text:
        return text_read(s);
    case CONF_TYPE_list_text:
    case CONF_TYPE_list_addr:
    case CONF_TYPE_list_endpoint:
    case CONF_TYPE_list_range:
    case CONF_TYPE_list_external:
    case CONF_TYPE_list_user:
    case CONF_TYPE_list_prefix:
        return item_read(s);
    case CONF_TYPE_none:
        break;
    }
    return true;
}

/* coturn's users end lines with ';' by mistake.  Where it cannot belong to the value it is cut. */
static void semicolon_cut(struct setting *s)
{
    const size_t len = strlen(s->text);
    const bool may_belong =
        s->option->type == CONF_TYPE_text || s->option->type == CONF_TYPE_list_text ||
        s->option->type == CONF_TYPE_list_user || s->option->type == CONF_TYPE_none;

    if (len == 0 || s->text[len - 1] != ';') {
        return;
    }
    if (may_belong) {
        WARN(s, "the value of '%s' ends with ';', which is taken as a part of it",
             s->given->written);
    } else {
        WARN(s, "the ';' behind the value of '%s' is left out: lines do not end with one",
             s->given->written);
        s->text[len - 1] = 0;
    }
}

static void repeated_tell(struct setting *s)
{
    const struct conf_place before = conf_place_of(s->conf, s->opt);
    const bool same = s->option->type == CONF_TYPE_text
                          ? conf_text_is(s->conf, s->option, s->text)
                          : conf_number_of(s->conf, s->option) == s->number;

    if (!same && before.source == CONF_FROM_FILE && s->given->place.source == CONF_FROM_FILE &&
        before.line != 0) {
        WARN(s, "'%s' was given in line %u before; this line counts", s->given->written,
             before.line);
    }
}

/* True when the value now standing has the same or less say than the new one. */
static bool overrides(const struct setting *s)
{
    return s->given->place.source >= s->conf->origin[s->opt].source;
}

static void value_store(struct setting *s)
{
    struct conf *conf = s->conf;
    const struct conf_place *place = &s->given->place;

    if (conf_type_is_list(s->option->type)) {
        conf_list_add(conf, s->opt, bytes_of(s->text), place);
    } else if (!overrides(s)) {
        return;
    } else if (s->option->type == CONF_TYPE_text) {
        const char *fallback = s->option->text;

        repeated_tell(s);
        if (s->text[0] != 0) {
            conf_text_set(conf, s->opt, s->text);
            s->text = NULL;
        } else { /* an empty text takes the value back */
            conf_text_set(conf, s->opt,
                          fallback == NULL ? NULL : conf_copy(conf, bytes_of(fallback)));
        }
    } else {
        repeated_tell(s);
        conf_number_set(conf, s->opt, s->number);
    }
    conf->is_set[s->opt] = true;
    conf->origin[s->opt].source = place->source;
    conf->origin[s->opt].file = place->file;
    conf->origin[s->opt].line = place->line;
    conf->origin[s->opt].column = place->column;
}

static void alias_tell(struct setting *s, const struct conf_alias *alias)
{
    const char *now = s->option->name;

    if (alias->how == CONF_OLD) {
        WARN(s, "'%s' is taken as '%s': write it so", alias->name, now);
    } else if (alias->how == CONF_NOT && s->number == s->option->number) {
        conf_say(s->conf, CONF_NOTE, &s->given->place,
                 "'%s' is not needed any more: it is so without '%s'", alias->name, now);
    } else if (alias->how == CONF_NOT) {
        WARN(s, "'%s' is an old name: write '%s' instead", alias->name, now);
    }
}

static bool value_wanted(const struct setting *s)
{
    if (s->given->has_value || s->option->type == CONF_TYPE_flag ||
        (s->option->attributes & CONF_BARE) != 0) {
        return true;
    }
    FAULT(s, "'%s' needs a value: write %s=%s", s->given->written, s->option->name,
          s->option->unit);
    return false;
}

/* Words in one spelling, so that readers need not know the others. */
static void value_normalise(struct setting *s)
{
    char word[32] = "";

    if (s->option->type == CONF_TYPE_flag) {
        (void)snprintf(word, sizeof(word), "%s", s->number != 0 ? "on" : "off");
    } else if (s->option->type == CONF_TYPE_choice) {
        (void)conf_choice_word(s->option, (uint32_t)s->number, word);
    } else {
        return;
    }
    conf_text_free(s->text);
    s->text = conf_copy(s->conf, bytes_of(word));
}

char *conf_value_take(struct conf *conf, const struct conf_option *option,
                      const struct conf_given *given)
{
    struct setting s = {.conf = conf, .option = option, .given = given};

    if (!given->has_value && option->type != CONF_TYPE_flag) {
        FAULT(&s, "'%s' needs a value: write %s = %s", given->written, option->name, option->unit);
        return NULL;
    }
    s.text = conf_copy(conf, given->value);
    if (s.text == NULL) {
        return NULL;
    }
    semicolon_cut(&s);
    if (!value_read(&s)) {
        conf_text_free(s.text);
        return NULL;
    }
    value_normalise(&s);
    return s.text;
}

void conf_give(struct conf *conf, enum conf_opt opt, const struct conf_alias *alias,
               const struct conf_given *given)
{
    struct setting s = {
        .conf = conf,
        .opt = opt,
        .option = &conf_options[opt],
        .given = given,
        .inverted = alias != NULL && alias->how == CONF_NOT,
    };

    if (s.option->status == CONF_REMOVED) {
        conf->is_set[opt] = true;
        WARN(&s, "'%s' has no effect any more, take it out. %s", given->written, s.option->help);
        return;
    }
    if (!value_wanted(&s)) {
        return;
    }
    s.text = conf_copy(conf, given->has_value ? given->value : (struct bytes){NULL, 0});
    if (s.text == NULL) {
        return;
    }
    semicolon_cut(&s);
    if (value_read(&s)) {
        if (alias != NULL) {
            alias_tell(&s, alias);
        }
        value_store(&s);
    }
    conf_text_free(s.text);
}

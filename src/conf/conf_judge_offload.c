/* SPDX-License-Identifier: Apache-2.0 */
/* What the options say together about the kernel path: each rule is one small function. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "conf/conf_int.h"
#include "conf/conf_listener.h"
#include "conf/conf_value.h"

/* --- offload-interface ---------------------------------------------------------------------------
 */

/* What the kernel takes for a name (dev_valid_name()). */
static bool is_interface(struct bytes name)
{
    if (name.n == 0 || name.n >= CONF_INTERFACE_NAME) {
        return false;
    }
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '/' || name.p[i] == ':' || isspace(name.p[i]) || iscntrl(name.p[i])) {
            return false;
        }
    }
    return name.p[0] != '.';
}

/* A mode by its word; off is none. */
static int mode_parse(const char *text, uint32_t *out)
{
    char word[32];

    for (uint32_t i = CONF_OFFLOAD_OFF + 1;
         conf_choice_word(&conf_options[CONF_OPT_offload], i, word); i++) {
        if (strcmp(word, text) == 0) {
            *out = i;
            return 0;
        }
    }
    return -EBADMSG;
}

int conf_offload_interface_parse(const char *text, struct conf_offload_interface *out)
{
    const char *equals = strchr(text, '=');
    const size_t len = equals != NULL ? (size_t)(equals - text) : strlen(text);
    struct conf_offload_interface found = {.has_mode = equals != NULL};

    if (!is_interface((struct bytes){(const uint8_t *)text, len}) ||
        (equals != NULL && mode_parse(equals + 1, &found.mode) < 0)) {
        return -EBADMSG;
    }
    memcpy(found.name, text, len);
    *out = found;
    return 0;
}

static bool named_before(const struct conf_list *list, size_t count, const char *name)
{
    struct conf_offload_interface other;

    for (size_t i = 0; i < count; i++) {
        if (conf_offload_interface_parse(list->items[i].text, &other) == 0 &&
            strcmp(other.name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void interfaces_judge(struct conf *conf)
{
    const struct conf_list *list = &conf->offload_interface;
    struct conf_offload_interface one;

    for (size_t i = 0; i < list->count; i++) {
        const struct conf_text *item = &list->items[i];
        const struct conf_place place = {
            .file = item->file, .line = item->line, .column = item->column};

        if (conf_offload_interface_parse(item->text, &one) < 0) {
            conf_say(conf, CONF_ERROR, &place,
                     "offload-interface wants an interface such as eth0, or eth0=xdp with one of "
                     "auto, xdp, xdp-generic, tc; not '%s'",
                     conf_show(bytes_of(item->text)).text);
        } else if (named_before(list, i, one.name)) {
            conf_say(conf, CONF_ERROR, &place, "offload-interface names %s twice", one.name);
        } else if (i == CONF_OFFLOAD_INTERFACES) {
            conf_say(conf, CONF_ERROR, &place, "there may be %d of offload-interface at most",
                     CONF_OFFLOAD_INTERFACES);
        }
    }
}

/* --- options that change nothing -----------------------------------------------------------------
 */

static void idle_tell(struct conf *conf, enum conf_opt opt, const char *without)
{
    const struct conf_place place = conf_place_of(conf, opt);

    if (conf->is_set[opt]) {
        conf_say(conf, CONF_WARNING, &place, "%s changes nothing without %s",
                 conf_options[opt].name, without);
    }
}

static void idle_judge(struct conf *conf)
{
    if (conf->offload == CONF_OFFLOAD_OFF) {
        idle_tell(conf, CONF_OPT_offload_channels, "offload");
        if (!conf->flood_shield) {
            idle_tell(conf, CONF_OPT_offload_interface, "offload or flood-shield");
        }
    }
    if (!conf->flood_shield) {
        idle_tell(conf, CONF_OPT_flood_shield_newcomers, "flood-shield");
        idle_tell(conf, CONF_OPT_flood_shield_prefix, "flood-shield");
    }
}

/* Only channels between UDP and UDP are forwarded. */
static void nothing_judge(struct conf *conf)
{
    const struct conf_place place = conf_place_of(conf, CONF_OPT_offload);

    if (conf->offload != CONF_OFFLOAD_OFF &&
        (conf->no_udp || conf->no_udp_relay || conf->stun_only)) {
        conf_say(conf, CONF_WARNING, &place,
                 "offload changes nothing with %s: it is for clients "
                 "on UDP and their UDP relays",
                 conf->stun_only      ? "stun-only"
                 : conf->no_udp_relay ? "no-udp-relay"
                                      : "no-udp");
    }
}

/* Connections have limits of their own. */
static void shield_judge(struct conf *conf)
{
    const struct conf_place place = conf_place_of(conf, CONF_OPT_flood_shield);

    if (conf->flood_shield && !conf_serves(conf, CONF_UDP)) {
        conf_say(conf, CONF_WARNING, &place,
                 "flood-shield changes nothing: nobody is served on UDP");
    }
}

void conf_judge_offload(struct conf *conf)
{
    interfaces_judge(conf);
    idle_judge(conf);
    nothing_judge(conf);
    shield_judge(conf);
}

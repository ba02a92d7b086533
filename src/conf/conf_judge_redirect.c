/* SPDX-License-Identifier: Apache-2.0 */
/* What the options say together about sending clients elsewhere: each rule is one small function.
 */
#include <string.h>

#include "base/net_addr.h"
#include "conf/conf_int.h"
#include "conf/conf_listener.h"

/* Is the alternate server `text` an address that listening-ip or aux-server names?  The server
 * finds more when it knows the addresses of its host. */
static bool is_own(const struct conf *conf, const char *text, uint16_t port)
{
    struct net_addr alternate;
    struct net_addr own;
    char head[NET_ADDR_TEXT];
    const size_t n = strcspn(text, " \t"); /* a name may follow */

    if (n >= sizeof(head)) {
        return false;
    }
    memcpy(head, text, n);
    head[n] = 0;
    if (net_addr_parse(head, port, &alternate) < 0) {
        return false;
    }
    for (size_t i = 0; i < conf->listening_ip.count; i++) {
        if (net_addr_parse(conf->listening_ip.items[i].text, 0, &own) == 0 &&
            net_ip_equal(&own.ip, &alternate.ip) &&
            (alternate.port == conf->listening_port ||
             alternate.port == conf->tls_listening_port)) {
            return true;
        }
    }
    for (size_t i = 0; i < conf->aux_server.count; i++) {
        if (net_addr_parse(conf->aux_server.items[i].text, 0, &own) == 0 &&
            net_addr_equal(&own, &alternate)) {
            return true;
        }
    }
    return false;
}

static void own_judge(struct conf *conf)
{
    static const enum conf_opt opts[] = {CONF_OPT_alternate_server, CONF_OPT_udp_alternate_server,
                                         CONF_OPT_tcp_alternate_server,
                                         CONF_OPT_tls_alternate_server};

    for (size_t i = 0; i < sizeof(opts) / sizeof(opts[0]); i++) {
        const struct conf_option *option = &conf_options[opts[i]];
        const struct conf_list *list = conf_field(conf, option);

        for (size_t k = 0; k < list->count; k++) {
            const struct conf_text *item = &list->items[k];
            const struct conf_place place = {
                .file = item->file, .line = item->line, .column = item->column};

            if (is_own(conf, item->text, (uint16_t)option->min)) {
                conf_say(conf, CONF_WARNING, &place,
                         "'%s' %s is an address of this server itself: it is left out",
                         option->name, conf_show(bytes_of(item->text)).text);
            }
        }
    }
}

static void balancer_judge(struct conf *conf)
{
    const struct conf_place place = conf_place_of(conf, CONF_OPT_redirect_only);

    if (!conf->redirect_only) {
        return;
    }
    if (conf->alternate_server.count + conf->udp_alternate_server.count +
            conf->tcp_alternate_server.count + conf->tls_alternate_server.count ==
        0) {
        conf_say(conf, CONF_ERROR, &place,
                 "with redirect-only every client is refused: name a server that clients are sent "
                 "to (alternate-server, tls-alternate-server)");
    }
    if (conf->no_auth) {
        conf_say(conf, CONF_ERROR, &place,
                 "with no-auth nobody can be sent elsewhere (RFC 8489 section 14.8), and "
                 "redirect-only serves nobody here");
    }
    if (conf->udp_self_balance) {
        conf_say(conf, CONF_WARNING, &place,
                 "with redirect-only, 'udp-self-balance' has no effect");
    }
}

static void balance_judge(struct conf *conf)
{
    const struct conf_place place = conf_place_of(conf, CONF_OPT_udp_self_balance);

    if (!conf->udp_self_balance) {
        return;
    }
    if (conf->aux_server.count == 0) {
        conf_say(conf, CONF_WARNING, &place, "'udp-self-balance' has no effect without aux-server");
    } else if (conf->no_auth) {
        conf_say(conf, CONF_WARNING, &place,
                 "'udp-self-balance' has no effect with no-auth: clients without credentials are "
                 "not sent elsewhere (RFC 8489 section 14.8)");
    }
}

static bool has_listeners(const struct conf *conf)
{
    for (size_t i = 0; i < conf->section_count; i++) {
        if (strcmp(conf->sections[i].kind, "listener") == 0) {
            return true;
        }
    }
    return false;
}

static bool list_has(const struct conf_list *list, const struct net_ip *ip)
{
    struct net_addr addr;

    for (size_t i = 0; i < list->count; i++) {
        if (net_addr_parse(list->items[i].text, 0, &addr) == 0 && net_ip_equal(&addr.ip, ip)) {
            return true;
        }
    }
    return false;
}

/* Without listening-ip every address of the host is listened on. */
static void anycast_listened_judge(struct conf *conf)
{
    for (size_t i = 0; i < conf->anycast_ip.count; i++) {
        const struct conf_text *item = &conf->anycast_ip.items[i];
        const struct conf_place place = {
            .file = item->file, .line = item->line, .column = item->column};
        struct net_ip ip;

        if (conf->listening_ip.count > 0 && !has_listeners(conf) &&
            net_ip_parse(item->text, &ip) == 0 && !list_has(&conf->listening_ip, &ip) &&
            !list_has(&conf->aux_server, &ip)) {
            conf_say(conf, CONF_WARNING, &place,
                     "nobody reaches 'anycast-ip' %s: it is not among listening-ip",
                     conf_show(bytes_of(item->text)).text);
        }
    }
}

static void anycast_judge(struct conf *conf)
{
    const struct conf_place place = conf_place_of(conf, CONF_OPT_anycast_ip);
    const struct conf_place to = conf_place_of(conf, CONF_OPT_anycast_unicast);

    if (conf->anycast_ip.count == 0 && conf->anycast_unicast.count > 0) {
        conf_say(conf, CONF_WARNING, &to, "'anycast-unicast' has no effect without anycast-ip");
    }
    if (conf->anycast_ip.count > 0 && conf->no_auth) {
        conf_say(conf, CONF_ERROR, &place,
                 "with no-auth nobody can be sent from an anycast address to another one (RFC 8489 "
                 "section 14.8), and allocations are not made there (RFC 8155 section 6)");
    }
}

void conf_judge_redirect(struct conf *conf)
{
    own_judge(conf);
    balancer_judge(conf);
    balance_judge(conf);
    anycast_judge(conf);
    anycast_listened_judge(conf);
}

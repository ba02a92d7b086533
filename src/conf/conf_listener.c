/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf_listener.h"

#include <string.h>

bool conf_has_certificate(const struct conf *conf)
{
    return conf->cert != NULL || conf_section_find(conf, "tls", NULL) != NULL;
}

struct conf_listener conf_listener_default(const struct conf *conf)
{
    const bool certificate = conf_has_certificate(conf);

    return (struct conf_listener){
        .takes = {[CONF_UDP] = {.plain = !conf->no_udp, .secure = conf->dtls && certificate},
                  [CONF_TCP] = {.plain = !conf->no_tcp, .secure = !conf->no_tls && certificate}},
        .tls_name = "",
    };
}

static bool is_on(const struct conf_section *section, const char *key, const char *word)
{
    const char *value = conf_section_value(section, key);

    return value != NULL && strcmp(value, word) == 0;
}

struct conf_listener conf_listener_read(const struct conf *conf, const struct conf_section *section)
{
    const char *transport = conf_section_value(section, "transport");
    const char *tls_name = conf_section_value(section, "tls-name");
    const bool tls = is_on(section, "encryption", "tls");
    const bool proxy = is_on(section, "proxy-protocol", "on");
    const bool may_tls = conf_has_certificate(conf) && !is_on(section, "encryption", "plain");

    if (transport == NULL) {
        transport = tls || proxy ? "tcp" : "udp,tcp";
    }
    const bool udp = strstr(transport, "udp") != NULL;
    const bool tcp = strstr(transport, "tcp") != NULL;
    return (struct conf_listener){
        .takes = {[CONF_UDP] = {.plain = udp && !tls,
                                .secure = udp && may_tls && (tls || conf->dtls)},
                  [CONF_TCP] = {.plain = tcp && !tls, .secure = tcp && may_tls}},
        .proxy = proxy,
        .tls_name = tls_name != NULL ? tls_name : "",
    };
}

/* At the ports of the options: the port for TLS takes the place of a listening-port that is not
 * opened, unless it is not opened either. */
static struct conf_listener reachable_default(const struct conf *conf)
{
    struct conf_listener all = conf_listener_default(conf);

    for (int i = 0; i < CONF_TRANSPORTS; i++) {
        const bool proxy_port = i == CONF_TCP && conf->tcp_proxy_port != 0;

        if (!all.takes[i].plain && conf->tls_listening_port == 0 && !proxy_port) {
            all.takes[i].secure = false;
        }
    }
    return all;
}

static bool takes_any(const struct conf_takes *takes)
{
    return takes->plain || takes->secure;
}

bool conf_serves(const struct conf *conf, enum conf_transport transport)
{
    struct conf_listener all = reachable_default(conf);
    bool found = takes_any(&all.takes[transport]);

    for (size_t i = 0; i < conf->section_count && !found; i++) {
        if (strcmp(conf->sections[i].kind, "listener") == 0) {
            all = conf_listener_read(conf, &conf->sections[i]);
            found = takes_any(&all.takes[transport]);
        }
    }
    return found;
}

bool conf_serves_secure(const struct conf *conf)
{
    struct conf_listener all = reachable_default(conf);
    bool found = all.takes[CONF_UDP].secure || all.takes[CONF_TCP].secure;

    for (size_t i = 0; i < conf->section_count && !found; i++) {
        if (strcmp(conf->sections[i].kind, "listener") == 0) {
            all = conf_listener_read(conf, &conf->sections[i]);
            found = all.takes[CONF_UDP].secure || all.takes[CONF_TCP].secure;
        }
    }
    return found;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What the options say together about listeners, encryption and connections: each rule is one small
 * function. */
#include <ctype.h>
#include <string.h>

#include "conf/conf_int.h"
#include "conf/conf_listener.h"

static void something_judge(struct conf *conf)
{
    const enum conf_opt cause = conf->no_udp ? CONF_OPT_no_udp : CONF_OPT_no_tcp;
    const struct conf_place place = conf_place_of(conf, cause);

    if (!conf_serves(conf, CONF_UDP) && !conf_serves(conf, CONF_TCP)) {
        conf_say(conf, CONF_ERROR, &place, "with no-udp and no-tcp nothing is left to serve%s",
                 conf_has_certificate(conf) ? ": tls-listening-port is 0, or no-tls is on"
                                            : ": TLS and DTLS need a certificate (cert, pkey)");
    }
}

static void relay_judge(struct conf *conf)
{
    const struct conf_place place = conf_place_of(conf, CONF_OPT_no_udp_relay);

    if (conf->stun_only || !conf->no_udp_relay) {
        return;
    }
    if (conf->no_tcp_relay) {
        conf_say(conf, CONF_WARNING, &place,
                 "with no-udp-relay and no-tcp-relay every allocation is refused");
    } else if (!conf_serves(conf, CONF_TCP)) {
        conf_say(conf, CONF_WARNING, &place,
                 "with no-udp-relay every allocation is refused, as TCP relays (RFC 6062) are for "
                 "TCP and TLS clients, which are not served");
    }
}

/* Options about TLS that were given and change nothing for want of a certificate. */
static void certificate_judge(struct conf *conf)
{
    static const enum conf_opt about_tls[] = {CONF_OPT_tls_listening_port,
                                              CONF_OPT_dtls,
                                              CONF_OPT_pkey,
                                              CONF_OPT_CA_file,
                                              CONF_OPT_cipher_list,
                                              CONF_OPT_ec_curve_name,
                                              CONF_OPT_dh_file,
                                              CONF_OPT_tlsv1,
                                              CONF_OPT_tlsv1_1,
                                              CONF_OPT_no_tlsv1_2,
                                              CONF_OPT_tls_alternate_server};

    bool told = conf->no_tls;

    if (conf_has_certificate(conf)) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(about_tls); i++) {
        const struct conf_option *option = &conf_options[about_tls[i]];
        const struct conf_place place = conf_place_of(conf, about_tls[i]);
        const bool off = option->type == CONF_TYPE_flag && conf_is_default(conf, option);

        if (conf->is_set[about_tls[i]] && !off) {
            conf_say(conf, CONF_WARNING, &place,
                     "'%s' has no effect without a certificate: write cert=FILE and pkey=FILE",
                     option->name);
            told = true;
        }
    }
    if (!told) {
        conf_say(conf, CONF_NOTE, NULL,
                 "no certificate is given (cert, pkey), so TLS and DTLS clients are not served");
    }
}

static void versions_judge(struct conf *conf)
{
    static const enum conf_opt old[] = {CONF_OPT_tlsv1, CONF_OPT_tlsv1_1};

    for (size_t i = 0; i < ARRAY_SIZE(old); i++) {
        const struct conf_place place = conf_place_of(conf, old[i]);

        if (conf_number_of(conf, &conf_options[old[i]]) == 0) {
            continue;
        }
        if (conf->no_tlsv1_2) {
            conf_say(conf, CONF_WARNING, &place, "with no-tlsv1_2, '%s' has no effect",
                     conf_options[old[i]].name);
        } else if (conf_has_certificate(conf)) {
            conf_say(conf, CONF_WARNING, &place,
                     "'%s' allows a version of TLS that is not safe any more (RFC 8996)",
                     conf_options[old[i]].name);
        }
    }
}

/* RFC 8155 section 9: who does not ask for credentials has to offer (D)TLS. */
static void open_judge(struct conf *conf)
{
    const struct conf_place place = conf_place_of(conf, CONF_OPT_no_auth);

    if (conf->no_auth && !conf->stun_only && !conf_serves_secure(conf)) {
        conf_say(conf, CONF_WARNING, &place,
                 "a server with no-auth has to offer TLS or DTLS (RFC 8155 section 9): write "
                 "cert=FILE and pkey=FILE");
    }
}

/* One port cannot both demand the PROXY protocol and do without. */
static void ports_judge(struct conf *conf)
{
    const struct conf_place place = conf_place_of(conf, CONF_OPT_tcp_proxy_port);
    const uint32_t port = conf->tcp_proxy_port;

    if (port != 0 && (port == conf->listening_port || port == conf->tls_listening_port)) {
        conf_say(conf, CONF_ERROR, &place, "tcp-proxy-port needs a port of its own: %u is %s", port,
                 port == conf->listening_port ? "listening-port" : "tls-listening-port");
    }
}

static bool uses_proxy(const struct conf *conf)
{
    bool found = conf->tcp_proxy_port != 0;

    for (size_t i = 0; i < conf->section_count && !found; i++) {
        found = strcmp(conf->sections[i].kind, "listener") == 0 &&
                conf_listener_read(conf, &conf->sections[i]).proxy;
    }
    return found;
}

static void proxy_judge(struct conf *conf)
{
    const struct conf_place port = conf_place_of(conf, CONF_OPT_tcp_proxy_port);
    const struct conf_place from = conf_place_of(conf, CONF_OPT_proxy_protocol_from);
    const bool given = conf->proxy_protocol_from.count > 0;

    if (uses_proxy(conf) && !given) {
        conf_say(conf, CONF_WARNING, conf->tcp_proxy_port != 0 ? &port : NULL,
                 "the PROXY protocol is believed from private, loopback and link-local addresses: "
                 "write proxy-protocol-from=ADDRESS for each balancer");
    } else if (!uses_proxy(conf) && given) {
        conf_say(conf, CONF_WARNING, &from,
                 "'proxy-protocol-from' has no effect without tcp-proxy-port or a [listener] with "
                 "proxy-protocol");
    }
}

/* It becomes a header field of a response: nothing but a plain URL may get there. */
static void redirect_judge(struct conf *conf)
{
    const struct conf_place place = conf_place_of(conf, CONF_OPT_acme_redirect);
    const char *url = conf->acme_redirect;
    bool good =
        url != NULL && (strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0);

    for (const char *p = url; good && *p != 0; p++) {
        good = isgraph((unsigned char)*p) && (unsigned char)*p < 0x7f;
    }
    if (url != NULL && !good) {
        conf_say(conf, CONF_ERROR, &place,
                 "acme-redirect wants a URL, such as http://acme.example.org");
    }
}

void conf_judge_listen(struct conf *conf)
{
    something_judge(conf);
    relay_judge(conf);
    certificate_judge(conf);
    versions_judge(conf);
    open_judge(conf);
    ports_judge(conf);
    proxy_judge(conf);
    redirect_judge(conf);
}

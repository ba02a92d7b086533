/* SPDX-License-Identifier: Apache-2.0 */
/* What the options say together about NAT behaviour discovery (RFC 5780) and RFC 3489: each rule is
 * one small function. */
#include "conf/conf_behaviour.h"
#include "conf/conf_int.h"
#include "conf/conf_listener.h"

/* Options that mean nothing without rfc5780. */
static void lonely_judge(struct conf *conf)
{
    static const enum conf_opt about[] = {CONF_OPT_alt_listening_port,
                                          CONF_OPT_alt_tls_listening_port,
                                          CONF_OPT_rfc5780_response_port, CONF_OPT_rfc5780_padding};

    for (size_t i = 0; i < ARRAY_SIZE(about) && !conf->rfc5780; i++) {
        const struct conf_option *option = &conf_options[about[i]];
        const struct conf_place place = conf_place_of(conf, about[i]);

        if (conf->is_set[about[i]] && !conf_is_default(conf, option)) {
            conf_say(conf, CONF_WARNING, &place, "'%s' has no effect without rfc5780",
                     option->name);
        }
    }
}

static void pair_judge(struct conf *conf, const struct conf_behaviour *behaviour)
{
    static const char *const family[] = {"IPv4", "IPv6"};
    const struct conf_place place = conf_place_of(conf, CONF_OPT_rfc5780);

    for (int i = 0; i < 2; i++) {
        if (behaviour->pair[i] == CONF_PAIR_ONE_FACE) {
            conf_say(conf, CONF_WARNING, &place,
                     "rfc5780 is not served over %s: external-ip gives both listening-ip the same "
                     "public address; write an external-ip=public/local pair for each",
                     family[i]);
        }
    }
    if (behaviour->pair[0] == CONF_PAIR_MISSING && behaviour->pair[1] == CONF_PAIR_MISSING) {
        conf_say(conf, CONF_WARNING, &place,
                 "rfc5780 has no effect: it needs two addresses of this host, so write "
                 "listening-ip=ADDRESS twice, both IPv4 or both IPv6");
    }
}

static void port_judge(struct conf *conf, enum conf_opt opt, const char *of, const uint32_t port[2])
{
    const struct conf_place place = conf_place_of(conf, opt);

    if (port[1] > UINT16_MAX) {
        conf_say(conf, CONF_ERROR, &place, "rfc5780 needs a port beside %s (%u): write %s=PORT", of,
                 port[0], conf_options[opt].name);
    } else if (port[1] != 0 && port[1] == port[0]) {
        conf_say(conf, CONF_ERROR, &place, "%s needs a port of its own: %u is %s",
                 conf_options[opt].name, port[1], of);
    }
}

/* RFC 5780 section 6: "TCP and TCP/TLS MUST use different ports". */
static void ports_judge(struct conf *conf, const struct conf_behaviour *behaviour)
{
    const struct conf_place place = conf_place_of(conf, CONF_OPT_rfc5780);

    port_judge(conf, CONF_OPT_alt_listening_port, "listening-port", behaviour->port);
    if (!conf_serves_secure(conf)) {
        return;
    }
    port_judge(conf, CONF_OPT_alt_tls_listening_port, "tls-listening-port", behaviour->tls_port);
    for (int i = 0; i < 4; i++) {
        if (behaviour->port[i / 2] == behaviour->tls_port[i % 2]) {
            conf_say(conf, CONF_ERROR, &place,
                     "with rfc5780, listening-port and alt-listening-port cannot be "
                     "tls-listening-port or alt-tls-listening-port: %u is both",
                     behaviour->port[i / 2]);
        }
    }
}

/* RFC 3489 has no credentials that would do, and needs the pair to tell more than an address. */
static void classic_judge(struct conf *conf)
{
    const struct conf_place place = conf_place_of(conf, CONF_OPT_rfc3489_compatibility);

    if (conf->rfc3489_compatibility && (conf->secure_stun || conf->no_stun || conf->no_udp)) {
        conf_say(conf, CONF_WARNING, &place, "with %s, rfc3489-compatibility has no effect",
                 conf->no_stun       ? "no-stun"
                 : conf->secure_stun ? "secure-stun"
                                     : "no-udp");
    }
}

void conf_judge_behaviour(struct conf *conf)
{
    const struct conf_behaviour behaviour = conf_behaviour_read(conf);
    const struct conf_place place = conf_place_of(conf, CONF_OPT_rfc5780);

    lonely_judge(conf);
    classic_judge(conf);
    if (!conf->rfc5780) {
        return;
    }
    if (conf->no_stun) {
        conf_say(conf, CONF_WARNING, &place, "with no-stun, rfc5780 has no effect");
    }
    pair_judge(conf, &behaviour);
    if (conf_behaviour_any(&behaviour)) {
        ports_judge(conf, &behaviour);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/check_gate.h"

#include <stdbool.h>

#include "base/attr.h"
#include "conf/conf.h"
#include "conf/conf_realm.h"

static void line(FILE *out, const char *what, bool open, const char *why)
{
    fprintf(out, "  %-10s %s: %s\n", open ? "reachable" : "refused", what, why);
}

static void rules(FILE *out, const char *what, const struct conf_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct conf_text *item = &list->items[i];
        fprintf(out, "  %-10s %s (%s", what, item->text, item->file);
        if (item->line != 0) {
            fprintf(out, ":%u", item->line);
        }
        fputs(")\n", out);
    }
}

static void realm_rules(FILE *out, const struct conf_section *section, const char *what,
                        const char *key)
{
    const char *text;
    size_t at = 0;

    while ((text = conf_section_next(section, key, &at)) != NULL) {
        fprintf(out, "  %-10s %s (%s:%u)\n", what, text, section->file,
                section->pairs[at - 1].line);
    }
}

/* Rules of realms add to those of all. */
static void realms_write(const struct conf *conf, FILE *out)
{
    const struct conf_section *section;
    size_t at = 0;

    while ((section = conf_realm_next(conf, &at)) != NULL) {
        if (conf_section_value(section, "allowed-peer-ip") != NULL ||
            conf_section_value(section, "denied-peer-ip") != NULL) {
            fprintf(out, "  And in the realm \"%s\":\n", section->name);
            realm_rules(out, section, "allowed", "allowed-peer-ip");
            realm_rules(out, section, "denied", "denied-peer-ip");
        }
    }
}

static bool serves_relay(const struct conf *conf)
{
    return !conf->stun_only && !(conf->no_udp_relay && conf->no_tcp_relay);
}

void check_gate_write(const struct conf *conf, FILE *out)
{
    if (!serves_relay(conf)) {
        fputs("Peers: none; the server relays nothing (stun-only, or no-udp-relay and "
              "no-tcp-relay).\n",
              out);
        return;
    }
    fputs("Peers that clients may reach through the relay:\n", out);
    line(out, "public addresses", true, "all that no denied-peer-ip closes");
    line(out, "private networks", conf->allow_private_peers,
         conf->allow_private_peers
             ? "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10 and fc00::/7, because of "
               "allow-private-peers"
             : "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10 and fc00::/7; "
               "allow-private-peers opens them all, allowed-peer-ip one");
    line(out, "loopback", conf->allow_loopback_peers,
         conf->allow_loopback_peers
             ? "127.0.0.0/8 and ::1, because of allow-loopback-peers: for tests only, services on "
               "this host are open to clients"
             : "127.0.0.0/8 and ::1");
    line(out, "link-local", false,
         "169.254.0.0/16, where clouds keep instance metadata, and fe80::/10");
    line(out, "special", false,
         "reserved, documentation and benchmark networks; these and link-local ones are opened by "
         "allowed-peer-ip alone");
    line(
        out, "never", false,
        "multicast, broadcast, unspecified and tunnel addresses (6to4, Teredo), whatever the rules "
        "say");
    line(out, "this server", false, "its own addresses, but for the relay ports of its clients");
    if (conf->allowed_peer_ip.count > 0 || conf->denied_peer_ip.count > 0) {
        fputs("  Your rules; where both match, allowed wins:\n", out);
        rules(out, "allowed", &conf->allowed_peer_ip);
        rules(out, "denied", &conf->denied_peer_ip);
    }
    realms_write(conf, out);
    rules(out, "nat64", &conf->nat64_prefix);
    fputs("An IPv4 address written as IPv6 (mapped, NAT64) is judged as the IPv4 address.\n", out);
}

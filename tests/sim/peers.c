/* SPDX-License-Identifier: Apache-2.0 */
#include "peers.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

/* One letter a set of rules: O open, X denied.
 *
 *   set 0   allow the documentation networks
 *   set 1   allow a few of their addresses only; deny 11.22.33.44
 *   set 2   as 0, and private networks; deny 2a00::1
 *   set 3   as 0, allow 10.1.2.3, deny 198.51.100.5 (which an allow rule opens all the same) */
static const struct {
    const char *ip;
    const char *open;
    bool mapped; /* an IPv4 address that the client writes as IPv6 */
} rows[] = {
    /* friendly */
    {"198.51.100.1", "OXOO", false},
    {"198.51.100.2", "OXOO", false},
    {"198.51.100.3", "OOOO", false},
    {"198.51.100.4", "OOOO", false},
    {"198.51.100.5", "OOOO", false},
    {"2001:db8:1::1", "OXOO", false},
    {"2001:db8:1::2", "OOOO", false},
    {"2001:db8:1::3", "OOOO", false},
    {"11.22.33.44", "OXOO", false},
    {"2a00::1", "OOXO", false},
    /* others */
    {"10.1.2.3", "XXOO", false},
    {"172.16.0.9", "XXOX", false},
    {"100.64.0.1", "XXOX", false},
    {"fc00::1", "XXOX", false},
    {"127.0.0.1", "XXXX", false},
    {"::1", "XXXX", false},
    {"169.254.169.254", "XXXX", false},
    {"224.0.0.5", "XXXX", false},
    {"0.0.0.0", "XXXX", false},
    {"fe80::1", "XXXX", false},
    {"2002:c633:6403::1", "XXXX", false},
    {"64:ff9b::7f00:1", "XXXX", false},
    {"64:ff9b::b16:212c", "OXOO", false}, /* 11.22.33.44 */
    {"64:ff9b::a01:203", "XXOO", false},  /* 10.1.2.3 */
    {"198.51.100.3", "XXXX", true},
    /* our own: relay ports only */
    {"192.0.2.1", "OOOO", false},
    {"2001:db8::1", "OOOO", false},
};

enum { ROWS = ARRAY_SIZE(rows), FRIENDLY = 10, OWN_V4 = ROWS - 2, OWN_V6 = ROWS - 1 };

static struct net_addr addrs[ROWS];
static struct net_addr listeners[PEER_LISTENERS][2];

static struct net_ip ip_of(const char *text)
{
    struct net_ip ip;
    const int err = net_ip_parse(text, &ip);

    assert(err == 0);
    (void)err;
    return ip;
}

void peers_init(void)
{
    char text[64];

    for (size_t i = 0; i < ROWS; i++) {
        const struct net_ip ip = ip_of(rows[i].ip);
        addrs[i] = net_addr_make(&ip, 0);
        addrs[i].family = rows[i].mapped ? NET_V6 : addrs[i].family;
    }
    for (unsigned i = 0; i < PEER_LISTENERS; i++) {
        (void)snprintf(text, sizeof(text), "192.0.2.%u", i + 1);
        const struct net_ip v4 = ip_of(text);
        (void)snprintf(text, sizeof(text), "2001:db8::%u", i + 1);
        const struct net_ip v6 = ip_of(text);
        listeners[i][0] = net_addr_make(&v4, PEER_LISTENER_PORT);
        listeners[i][1] = net_addr_make(&v6, PEER_LISTENER_PORT);
    }
}

uint8_t peers_count(void)
{
    return ROWS;
}

uint8_t peers_friendly(void)
{
    return FRIENDLY;
}

uint8_t peers_own(uint8_t family)
{
    return family == NET_V4 ? OWN_V4 : OWN_V6;
}

struct net_addr peers_addr(uint8_t row, uint16_t port)
{
    struct net_addr addr = addrs[row];

    addr.port = port;
    return addr;
}

uint8_t peers_row_of(const struct net_addr *addr)
{
    for (uint8_t i = 0; i < ROWS; i++) {
        if (addrs[i].family == addr->family && net_ip_equal(&addrs[i].ip, &addr->ip)) {
            return i;
        }
    }
    return ROWS;
}

bool peers_is_host(uint8_t row)
{
    return row < FRIENDLY;
}

bool peers_ip_open(uint8_t row, uint8_t rules)
{
    return rows[row].open[rules] == 'O';
}

bool peers_addr_open(uint8_t row, uint16_t port, uint8_t rules)
{
    const bool own = row == OWN_V4 || row == OWN_V6;

    return peers_ip_open(row, rules) &&
           (!own || (port >= PEER_RELAY_PORT_MIN && port <= PEER_RELAY_PORT_MAX));
}

struct net_addr peers_listener(uint8_t server, uint8_t family)
{
    return listeners[server][family == NET_V4 ? 0 : 1];
}

/* --- the real gate ------------------------------------------------------------------------------
 */

struct rule {
    const char *first;
    const char *last;
    bool allow;
};

static const struct rule documentation[] = {
    {"198.51.100.0", "198.51.100.255", true},
    {"203.0.113.0", "203.0.113.255", true},
    {"2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true},
};

static const struct rule narrow[] = {
    {"198.51.100.3", "198.51.100.5", true},
    {"2001:db8:1::2", "2001:db8:1::3", true},
    {"11.22.33.44", "11.22.33.44", false},
};

static const struct rule of_set_2[] = {{"2a00::1", "2a00::1", false}};

static const struct rule of_set_3[] = {
    {"10.1.2.3", "10.1.2.3", true},
    {"198.51.100.5", "198.51.100.5", false},
};

static int add_rules(struct gate *gate, const struct rule *rule, size_t n)
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < n; i++) {
        const struct net_ip first = ip_of(rule[i].first);
        const struct net_ip last = ip_of(rule[i].last);
        err = rule[i].allow ? gate_allow(gate, &first, &last) : gate_deny(gate, &first, &last);
    }
    return err;
}

static int add_own(struct gate *gate)
{
    int err = 0;

    for (size_t i = 0; i < PEER_LISTENERS * 2; i++) {
        const struct net_addr *at = &listeners[i / 2][i % 2];
        err = err == 0 ? gate_own(gate, &at->ip) : err;
        err = err == 0 ? gate_protect(gate, at) : err;
    }
    return err;
}

struct gate *peers_gate_new(uint8_t rules)
{
    const struct gate_options options = {
        .allow_private = rules == 2,
        .relay_port_min = PEER_RELAY_PORT_MIN,
        .relay_port_max = PEER_RELAY_PORT_MAX,
    };
    struct gate *gate = gate_new(&options);
    int err = gate == NULL ? -ENOMEM : add_own(gate);

    if (err == 0) {
        err = rules == 1 ? add_rules(gate, narrow, ARRAY_SIZE(narrow))
                         : add_rules(gate, documentation, ARRAY_SIZE(documentation));
    }
    if (err == 0 && rules == 2) {
        err = add_rules(gate, of_set_2, ARRAY_SIZE(of_set_2));
    }
    if (err == 0 && rules == 3) {
        err = add_rules(gate, of_set_3, ARRAY_SIZE(of_set_3));
    }
    err = err == 0 ? gate_build(gate) : err;
    if (err < 0) {
        gate_free(gate);
        return NULL;
    }
    return gate;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "turn/gate.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/prefix_set.h"

enum {
    PORTS = 65536,
    PORT_UNKNOWN = PORTS, /* a permission names no port */
    FIRST_ROOM = 8,
    MEMBER = 1, /* the tag in sets that only say yes or no */
};

/* A transport address that nobody may reach through us; port 0 stands for every port. */
struct endpoint {
    struct net_ip ip;
    uint16_t port;
};

struct nat64 {
    struct net_ip prefix;
    unsigned bits;
};

struct gate {
    struct gate_options options;
    struct prefix_set *special; /* the tag is 1 + enum gate_verdict */
    struct prefix_set *own;
    struct prefix_set *allow;
    struct prefix_set *deny;
    struct endpoint *endpoints; /* sorted by gate_build() */
    size_t endpoint_count;
    size_t endpoint_room;
    struct nat64 *nat64;
    size_t nat64_count;
    size_t nat64_room;
    uint8_t wildcard_ports[PORTS / 8]; /* protected on every own and every loopback address */
};

/* The IANA special-purpose address registries (RFC 6890 and its updates), from wide to narrow: the
 * later row holds.  Outside 2000::/3 nothing is allocated for global unicast (RFC 4291
 * section 2.4), so 64:ff9b:1::/48, 100::/64, 100:0:0:1::/64, 5f00::/16 and the compatible ::/96
 * need no rows. */
static const struct {
    const char *prefix;
    enum gate_verdict verdict;
} special_networks[] = {
    {"::/3", GATE_SPECIAL},
    {"4000::/2", GATE_SPECIAL},
    {"8000::/1", GATE_SPECIAL},
    {"::/128", GATE_UNSPECIFIED},
    {"::1/128", GATE_LOOPBACK},
    {"64:ff9b::/96", GATE_OPEN},         /* NAT64, judged by the address inside (RFC 6052) */
    {"2001::/23", GATE_SPECIAL},         /* IETF protocol assignments */
    {"2001::/32", GATE_TUNNEL},          /* Teredo */
    {"2001:db8::/32", GATE_SPECIAL},     /* documentation */
    {"2002::/16", GATE_TUNNEL},          /* 6to4 */
    {"3fff::/20", GATE_SPECIAL},         /* documentation (RFC 9637) */
    {"fc00::/7", GATE_PRIVATE},          /* unique local */
    {"fe80::/10", GATE_LINK_LOCAL},      /* link-local */
    {"fec0::/10", GATE_LINK_LOCAL},      /* site-local, deprecated (RFC 3879) */
    {"ff00::/8", GATE_MULTICAST},        /* multicast */
    {"0.0.0.0/0", GATE_OPEN},            /* the rest of IPv4, which lies inside ::/3 */
    {"0.0.0.0/8", GATE_UNSPECIFIED},     /* this network */
    {"10.0.0.0/8", GATE_PRIVATE},        /* RFC 1918 */
    {"100.64.0.0/10", GATE_PRIVATE},     /* carrier-grade NAT (RFC 6598) */
    {"127.0.0.0/8", GATE_LOOPBACK},      /* loopback */
    {"169.254.0.0/16", GATE_LINK_LOCAL}, /* link-local, and the metadata service of clouds */
    {"172.16.0.0/12", GATE_PRIVATE},     /* RFC 1918 */
    {"192.0.0.0/24", GATE_SPECIAL},      /* IETF protocol assignments */
    /* 192.0.0.9, PCP anycast, is global too, but a peer could ask our gateway for port mappings. */
    {"192.0.0.10/32", GATE_OPEN},           /* TURN anycast, global (RFC 8155) */
    {"192.0.2.0/24", GATE_SPECIAL},         /* documentation */
    {"192.88.99.0/24", GATE_SPECIAL},       /* 6to4 relays, deprecated (RFC 7526) */
    {"192.168.0.0/16", GATE_PRIVATE},       /* RFC 1918 */
    {"198.18.0.0/15", GATE_SPECIAL},        /* benchmarks */
    {"198.51.100.0/24", GATE_SPECIAL},      /* documentation */
    {"203.0.113.0/24", GATE_SPECIAL},       /* documentation */
    {"224.0.0.0/4", GATE_MULTICAST},        /* multicast */
    {"240.0.0.0/4", GATE_SPECIAL},          /* reserved */
    {"255.255.255.255/32", GATE_MULTICAST}, /* limited broadcast */
};

static int special_add_all(struct prefix_set *special)
{
    for (size_t i = 0; i < ARRAY_SIZE(special_networks); i++) {
        const uint8_t tag = (uint8_t)(special_networks[i].verdict + 1);
        const int err = prefix_set_add_text(special, special_networks[i].prefix, tag);
        assert(err != -EBADMSG);
        if (err < 0) {
            return err;
        }
    }
    return 0;
}

struct gate *gate_new(const struct gate_options *options)
{
    struct gate *gate = mem_new(1, sizeof(*gate));

    if (gate == NULL) {
        return NULL;
    }
    gate->options = *options;
    gate->special = prefix_set_new();
    gate->own = prefix_set_new();
    gate->allow = prefix_set_new();
    gate->deny = prefix_set_new();
    if (gate->special == NULL || gate->own == NULL || gate->allow == NULL || gate->deny == NULL ||
        special_add_all(gate->special) < 0) {
        gate_free(gate);
        return NULL;
    }
    return gate;
}

void gate_free(struct gate *gate)
{
    if (gate == NULL) {
        return;
    }
    prefix_set_free(gate->special);
    prefix_set_free(gate->own);
    prefix_set_free(gate->allow);
    prefix_set_free(gate->deny);
    free(gate->endpoints);
    free(gate->nat64);
    free(gate);
}

/* Room for one more in an array of `count` objects: returns `array`, or a larger copy of it in its
 * place; NULL without memory, with `array` as it was. */
static void *array_room(void *array, size_t count, size_t *room, size_t size)
{
    if (count < *room) {
        return array;
    }
    const size_t more = *room == 0 ? FIRST_ROOM : *room * 2;
    void *larger = mem_new(more, size);
    if (larger == NULL) {
        return NULL;
    }
    if (array != NULL) {
        memcpy(larger, array, count * size);
        free(array);
    }
    *room = more;
    return larger;
}

/* IPv4 lies inside the 128-bit space, yet a rule for IPv6 addresses says nothing about IPv4: such a
 * range is added as the two parts around ::ffff:0:0/96. */
static int rule_add(struct prefix_set *set, const struct net_ip *first, const struct net_ip *last)
{
    static const struct net_ip v4_first = {{[10] = 0xff, [11] = 0xff}};
    static const struct net_ip before_v4 = {
        {[10] = 0xff, [11] = 0xfe, [12] = 0xff, [13] = 0xff, [14] = 0xff, [15] = 0xff}};
    static const struct net_ip after_v4 = {{[9] = 0x01}};

    if (net_ip_is_v4(first) != net_ip_is_v4(last) || net_ip_compare(last, first) < 0) {
        return -EINVAL;
    }
    if (net_ip_compare(first, &v4_first) < 0 && net_ip_compare(last, &v4_first) > 0) {
        const int err = prefix_set_add(set, first, &before_v4, MEMBER);
        return err < 0 ? err : prefix_set_add(set, &after_v4, last, MEMBER);
    }
    return prefix_set_add(set, first, last, MEMBER);
}

int gate_allow(struct gate *gate, const struct net_ip *first, const struct net_ip *last)
{
    return rule_add(gate->allow, first, last);
}

int gate_deny(struct gate *gate, const struct net_ip *first, const struct net_ip *last)
{
    return rule_add(gate->deny, first, last);
}

int gate_own(struct gate *gate, const struct net_ip *ip)
{
    return prefix_set_add(gate->own, ip, ip, MEMBER);
}

static bool is_wildcard(const struct net_ip *ip)
{
    static const uint8_t zero[sizeof(ip->b)];
    const bool v4 = net_ip_is_v4(ip);

    return memcmp(v4 ? net_ip_v4_bytes(ip) : ip->b, zero, v4 ? 4 : sizeof(zero)) == 0;
}

int gate_protect(struct gate *gate, const struct net_addr *endpoint)
{
    if (is_wildcard(&endpoint->ip)) {
        if (endpoint->port == 0) {
            memset(gate->wildcard_ports, 0xff, sizeof(gate->wildcard_ports));
        }
        uint8_t *byte = &gate->wildcard_ports[endpoint->port / 8];
        *byte = (uint8_t)(*byte | 1 << endpoint->port % 8);
        return 0;
    }
    struct endpoint *endpoints =
        array_room(gate->endpoints, gate->endpoint_count, &gate->endpoint_room, sizeof(*endpoints));
    if (endpoints == NULL) {
        return -ENOMEM;
    }
    endpoints[gate->endpoint_count++] = (struct endpoint){endpoint->ip, endpoint->port};
    gate->endpoints = endpoints;
    return 0;
}

static bool has_prefix(const struct net_ip *ip, const struct net_ip *prefix, unsigned bits)
{
    const unsigned whole = bits / 8;
    const unsigned rest = bits % 8;

    return memcmp(ip->b, prefix->b, whole) == 0 &&
           (rest == 0 || (ip->b[whole] ^ prefix->b[whole]) >> (8 - rest) == 0);
}

/* A prefix that can carry NAT64: not IPv4 itself, nor what is refused in any case. */
static bool nat64_usable(const struct net_ip *prefix)
{
    static const struct net_ip teredo = {{0x20, 0x01}};
    static const struct net_ip zero;

    return !has_prefix(prefix, &zero, 32) && !has_prefix(prefix, &teredo, 32) &&
           be16(prefix->b) != 0x2002 && prefix->b[0] != 0xff;
}

int gate_nat64(struct gate *gate, const struct net_ip *prefix, unsigned prefix_bits)
{
    static const struct net_ip zero;
    const unsigned bytes = prefix_bits / 8;
    struct net_ip last = *prefix;

    if (prefix_bits != 96 && (prefix_bits % 8 != 0 || prefix_bits < 32 || prefix_bits > 64)) {
        return -EINVAL;
    }
    if (memcmp(prefix->b + bytes, zero.b, sizeof(zero.b) - bytes) != 0 || !nat64_usable(prefix)) {
        return -EINVAL;
    }
    memset(last.b + bytes, 0xff, sizeof(last.b) - bytes);
    /* Whatever network the prefix was cut from, what lies behind it is an IPv4 address: that one is
     * judged.  Rules for the prefix itself hold as well. */
    const int err = prefix_set_add(gate->special, prefix, &last, GATE_OPEN + 1);
    if (err < 0) {
        return err;
    }
    struct nat64 *nat64 =
        array_room(gate->nat64, gate->nat64_count, &gate->nat64_room, sizeof(*nat64));
    if (nat64 == NULL) {
        return -ENOMEM;
    }
    nat64[gate->nat64_count++] = (struct nat64){*prefix, prefix_bits};
    gate->nat64 = nat64;
    return 0;
}

static int endpoint_order(const void *a, const void *b)
{
    const struct endpoint *x = a;
    const struct endpoint *y = b;
    const int order = net_ip_compare(&x->ip, &y->ip);

    return order != 0 ? order : (x->port > y->port) - (x->port < y->port);
}

int gate_build(struct gate *gate)
{
    if (prefix_set_build(gate->special) < 0 || prefix_set_build(gate->own) < 0 ||
        prefix_set_build(gate->allow) < 0 || prefix_set_build(gate->deny) < 0) {
        return -ENOMEM;
    }
    if (gate->endpoint_count > 0) {
        qsort(gate->endpoints, gate->endpoint_count, sizeof(*gate->endpoints), endpoint_order);
    }
    return 0;
}

static bool has_endpoint(const struct gate *gate, const struct net_ip *ip, uint16_t port)
{
    const struct endpoint key = {*ip, port};

    return gate->endpoint_count > 0 && bsearch(&key, gate->endpoints, gate->endpoint_count,
                                               sizeof(key), endpoint_order) != NULL;
}

static bool is_protected(const struct gate *gate, const struct net_ip *ip, uint32_t port,
                         bool local)
{
    if (has_endpoint(gate, ip, 0)) {
        return true;
    }
    if (port == PORT_UNKNOWN) {
        return false;
    }
    return has_endpoint(gate, ip, (uint16_t)port) ||
           (local && (gate->wildcard_ports[port / 8] >> port % 8 & 1) != 0);
}

/* No rule opens these. */
static bool is_final(const struct gate *gate, enum gate_verdict verdict)
{
    return verdict == GATE_UNSPECIFIED || verdict == GATE_MULTICAST || verdict == GATE_TUNNEL ||
           (verdict == GATE_LOOPBACK && !gate->options.allow_loopback);
}

/* Judge `ip` as it is, without a look at what it may carry inside. */
static enum gate_verdict judge(const struct gate *gate, const struct net_ip *ip, uint32_t port)
{
    const uint8_t tag = prefix_set_find(gate->special, ip);
    const enum gate_verdict special = tag == 0 ? GATE_OPEN : (enum gate_verdict)(tag - 1);
    const bool own = prefix_set_find(gate->own, ip) == MEMBER;

    if (is_final(gate, special)) {
        return special;
    }
    if (is_protected(gate, ip, port, own || special == GATE_LOOPBACK)) {
        return GATE_BACKEND;
    }
    if (own && port != PORT_UNKNOWN &&
        (port < gate->options.relay_port_min || port > gate->options.relay_port_max)) {
        return GATE_OWN;
    }
    if (prefix_set_find(gate->allow, ip) == MEMBER) {
        return GATE_OPEN;
    }
    if (prefix_set_find(gate->deny, ip) == MEMBER) {
        return GATE_RULE;
    }
    /* Two clients of ours meet on our own relay addresses, which are private behind a 1:1 NAT. */
    if (own || special == GATE_LOOPBACK ||
        (special == GATE_PRIVATE && gate->options.allow_private)) {
        return GATE_OPEN;
    }
    return special;
}

/* The IPv4 address behind a prefix of `bits` (RFC 6052 section 2.2): its bytes follow the prefix,
 * stepping over byte 8, which is reserved. */
static struct net_ip embedded_v4(const struct net_ip *ip, unsigned bits)
{
    uint8_t v4[4];
    size_t from = bits / 8;

    for (size_t i = 0; i < sizeof(v4); i++, from++) {
        from += from == 8;
        v4[i] = ip->b[from];
    }
    return net_ip_v4(v4);
}

static enum gate_verdict judge_embedded(const struct gate *gate, const struct net_ip *ip,
                                        unsigned bits, uint32_t port)
{
    const struct net_ip inner = embedded_v4(ip, bits);

    return judge(gate, &inner, port);
}

/* 64:ff9b:1::/48 is for translators of any prefix length (RFC 8215) and we were not told which:
 * the first refusal of an address that may be meant counts. */
static enum gate_verdict judge_any_length(const struct gate *gate, const struct net_ip *ip,
                                          uint32_t port)
{
    static const unsigned lengths[] = {96, 64, 56, 48};
    static const uint8_t zero[6];
    /* 64:ff9b:1::/96 itself, where a shorter prefix would have nothing but zeros to show. */
    const size_t count = memcmp(ip->b + 6, zero, sizeof(zero)) == 0 ? 1 : ARRAY_SIZE(lengths);
    enum gate_verdict verdict = GATE_OPEN;

    for (size_t i = 0; i < count && verdict == GATE_OPEN; i++) {
        verdict = judge_embedded(gate, ip, lengths[i], port);
    }
    return verdict;
}

/* Judge the IPv4 address that the IPv6 address `ip` stands for; open when there is none. */
static enum gate_verdict judge_inner(const struct gate *gate, const struct net_ip *ip,
                                     uint32_t port)
{
    static const struct net_ip carriers[] = {
        {{0x00}},                   /* compatible (RFC 4291 section 2.5.5.1) */
        {{[8] = 0xff, [9] = 0xff}}, /* translated (RFC 2765 section 2.1) */
        {{0x00, 0x64, 0xff, 0x9b}}, /* NAT64, well known (RFC 6052 section 2.1) */
    };
    static const struct net_ip nat64_local = {{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}};
    bool declared = false;

    for (size_t i = 0; i < gate->nat64_count; i++) {
        if (has_prefix(ip, &gate->nat64[i].prefix, gate->nat64[i].bits)) {
            const enum gate_verdict verdict = judge_embedded(gate, ip, gate->nat64[i].bits, port);
            if (verdict != GATE_OPEN) {
                return verdict;
            }
            declared = true;
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(carriers); i++) {
        if (has_prefix(ip, &carriers[i], 96)) {
            return judge_embedded(gate, ip, 96, port);
        }
    }
    if (!declared && has_prefix(ip, &nat64_local, 48)) {
        return judge_any_length(gate, ip, port);
    }
    return GATE_OPEN;
}

static enum gate_verdict judge_whole(const struct gate *gate, const struct net_ip *ip,
                                     uint32_t port)
{
    static const struct net_ip loopback = {
        {[15] = 1}}; /* in ::/96, but stands for no IPv4 address */
    const enum gate_verdict outer = judge(gate, ip, port);

    if (net_ip_is_v4(ip) || net_ip_equal(ip, &loopback)) {
        return outer;
    }
    const enum gate_verdict inner = judge_inner(gate, ip, port);
    return inner != GATE_OPEN ? inner : outer;
}

enum gate_verdict gate_check_ip(const struct gate *gate, const struct net_ip *ip)
{
    return judge_whole(gate, ip, PORT_UNKNOWN);
}

enum gate_verdict gate_check_addr(const struct gate *gate, const struct net_addr *addr)
{
    return judge_whole(gate, &addr->ip, addr->port);
}

const char *gate_verdict_text(enum gate_verdict verdict)
{
    static const char *const texts[GATE_VERDICTS] = {
        [GATE_OPEN] = "open",
        [GATE_UNSPECIFIED] = "unspecified address",
        [GATE_LOOPBACK] = "loopback address",
        [GATE_MULTICAST] = "multicast or broadcast address",
        [GATE_LINK_LOCAL] = "link-local address",
        [GATE_PRIVATE] = "private network (RFC 1918, carrier-grade NAT or unique local)",
        [GATE_SPECIAL] = "special-purpose network",
        [GATE_TUNNEL] = "tunnelled address (6to4 or Teredo)",
        [GATE_OWN] = "our own address outside the relay ports",
        [GATE_BACKEND] = "a service that this server itself uses or offers",
        [GATE_RULE] = "denied by a rule",
    };

    assert(verdict < GATE_VERDICTS);
    return texts[verdict];
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "turn/gate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "check.h"
#include "dice.h"

#define RELAY_MIN 49152
#define RELAY_MAX 65535

/* What can stand before a dotted IPv4 address. */
static const char *const encodings[] = {
    "", "::ffff:", "::", "::ffff:0:", "64:ff9b::", "64:ff9b:1::"};

static struct gate *gate_make(bool loopback, bool private)
{
    const struct gate_options options = {
        .allow_loopback = loopback,
        .allow_private = private,
        .relay_port_min = RELAY_MIN,
        .relay_port_max = RELAY_MAX,
    };
    struct gate *gate = gate_new(&options);

    assert_non_null(gate);
    return gate;
}

static struct net_ip ip_of(const char *text)
{
    struct net_ip ip;

    if (net_ip_parse(text, &ip) < 0) {
        fail_msg("no address: %s", text);
    }
    return ip;
}

typedef int rule_fn(struct gate *gate, const struct net_ip *first, const struct net_ip *last);

static void rule(rule_fn *add, struct gate *gate, const char *first, const char *last)
{
    const struct net_ip a = ip_of(first);
    const struct net_ip b = ip_of(last);

    assert_int_equal(add(gate, &a, &b), 0);
}

static void own(struct gate *gate, const char *text)
{
    const struct net_ip ip = ip_of(text);

    assert_int_equal(gate_own(gate, &ip), 0);
}

static void protect(struct gate *gate, const char *text)
{
    struct net_addr addr;

    assert_int_equal(net_addr_parse(text, 0, &addr), 0);
    assert_int_equal(gate_protect(gate, &addr), 0);
}

static int nat64(struct gate *gate, const char *prefix, unsigned bits)
{
    const struct net_ip ip = ip_of(prefix);

    return gate_nat64(gate, &ip, bits);
}

static void check_ip(const struct gate *gate, const char *text, enum gate_verdict expected)
{
    const struct net_ip ip = ip_of(text);
    const enum gate_verdict verdict = gate_check_ip(gate, &ip);

    if (verdict != expected) {
        fail_msg("%s: %s, not %s", text, gate_verdict_text(verdict), gate_verdict_text(expected));
    }
}

static void check_addr(const struct gate *gate, const char *text, enum gate_verdict expected)
{
    struct net_addr addr;

    assert_int_equal(net_addr_parse(text, 0, &addr), 0);
    const enum gate_verdict verdict = gate_check_addr(gate, &addr);
    if (verdict != expected) {
        fail_msg("%s: %s, not %s", text, gate_verdict_text(verdict), gate_verdict_text(expected));
    }
}

/* ---- the vectors made from the registries by tools/gate_vectors.py ---- */

static enum gate_verdict verdict_of(const char *word)
{
    static const char *const words[GATE_VERDICTS] = {
        [GATE_OPEN] = "open",
        [GATE_UNSPECIFIED] = "unspecified",
        [GATE_LOOPBACK] = "loopback",
        [GATE_MULTICAST] = "multicast",
        [GATE_LINK_LOCAL] = "link-local",
        [GATE_PRIVATE] = "private",
        [GATE_SPECIAL] = "special",
        [GATE_TUNNEL] = "tunnel",
    };

    for (size_t i = 0; i < GATE_VERDICTS; i++) {
        if (words[i] != NULL && strcmp(words[i], word) == 0) {
            return (enum gate_verdict)i;
        }
    }
    fail_msg("no verdict: %s", word);
    return GATE_VERDICTS;
}

static FILE *vectors_open(void)
{
    const char *dir = getenv("STERNA_VECTORS");
    char path[4096];

    (void)snprintf(path, sizeof(path), "%s/gate/special.txt", dir == NULL ? "tests/vectors" : dir);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        fail_msg("%s: cannot be opened; set STERNA_VECTORS to tests/vectors", path);
    }
    return file;
}

/* Proves T-8656-21.2.2-01 */
static void special__agrees_with_the_registries(void **state)
{
    enum { COLUMNS = 3, LEAST_VECTORS = 2000 };
    struct gate *gates[COLUMNS] = {
        gate_make(false, false),
        gate_make(false, true),
        gate_make(true, false),
    };
    char line[256];
    char text[NET_ADDR_TEXT];
    char words[COLUMNS][16];
    size_t vectors = 0;

    (void)state;
    for (size_t i = 0; i < COLUMNS; i++) {
        assert_int_equal(gate_build(gates[i]), 0);
    }
    FILE *file = vectors_open();
    while (fgets(line, sizeof(line), file) != NULL) {
        if (line[0] == '#') {
            continue;
        }
        assert_int_equal(sscanf(line, "%79s %15s %15s %15s", text, words[0], words[1], words[2]),
                         COLUMNS + 1);
        for (size_t i = 0; i < COLUMNS; i++) {
            check_ip(gates[i], text, verdict_of(words[i]));
        }
        vectors++;
    }
    (void)fclose(file);
    for (size_t i = 0; i < COLUMNS; i++) {
        gate_free(gates[i]);
    }
    assert_true(vectors > LEAST_VECTORS);
}

/* ---- encodings ---- */

/* Proves T-8656-21.2.2-01, T-8656-21.4-01 */
static void encodings__each_one_of_a_refused_address_is_refused(void **state)
{
    static const struct {
        const char *v4;
        enum gate_verdict verdict;
    } cases[] = {
        {"127.0.0.1", GATE_LOOPBACK},         {"127.255.255.254", GATE_LOOPBACK},
        {"10.0.0.1", GATE_PRIVATE},           {"172.16.0.1", GATE_PRIVATE},
        {"192.168.1.1", GATE_PRIVATE},        {"100.64.0.1", GATE_PRIVATE},
        {"169.254.169.254", GATE_LINK_LOCAL}, {"0.0.0.0", GATE_UNSPECIFIED},
        {"224.0.0.1", GATE_MULTICAST},        {"255.255.255.255", GATE_MULTICAST},
        {"240.0.0.1", GATE_SPECIAL},          {"198.18.0.1", GATE_SPECIAL},
    };
    struct gate *gate = gate_make(false, false);
    char text[NET_ADDR_TEXT];

    (void)state;
    assert_int_equal(gate_build(gate), 0);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (size_t j = 0; j < COUNT_OF(encodings); j++) {
            struct net_addr addr;
            (void)snprintf(text, sizeof(text), "%s%s", encodings[j], cases[i].v4);
            check_ip(gate, text, cases[i].verdict);
            const struct net_ip ip = ip_of(text);
            addr = net_addr_make(&ip, 443);
            assert_int_equal(gate_check_addr(gate, &addr), cases[i].verdict);
        }
    }
    gate_free(gate);
}

/* Proves T-8656-21.4-01 */
static void encodings__tunnels_are_never_open(void **state)
{
    struct gate *gate = gate_make(true, true);

    (void)state;
    rule(gate_allow, gate, "2001::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    assert_int_equal(gate_build(gate), 0);
    check_ip(gate, "2002::1", GATE_TUNNEL);
    check_ip(gate, "2002:808:808::1", GATE_TUNNEL);
    check_ip(gate, "2002:7f00:1::1", GATE_TUNNEL);
    check_ip(gate, "2001:0:4136:e378:8000:63bf:3fff:fdd2", GATE_TUNNEL);
    check_addr(gate, "[2002::1]:50000", GATE_TUNNEL);
    check_addr(gate, "[2001::1]:50000", GATE_TUNNEL);
    check_ip(gate, "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", GATE_TUNNEL);
    check_ip(gate, "2001:1::1", GATE_OPEN); /* special, opened by the rule */
    gate_free(gate);
}

static void encodings__nat64_is_as_open_as_the_address_inside(void **state)
{
    struct gate *gate = gate_make(false, false);

    (void)state;
    rule(gate_allow, gate, "10.1.0.0", "10.1.255.255");
    rule(gate_deny, gate, "8.8.4.0", "8.8.4.255");
    rule(gate_deny, gate, "64:ff9b::909:909", "64:ff9b::909:909");
    assert_int_equal(gate_build(gate), 0);
    check_ip(gate, "64:ff9b::8.8.8.8", GATE_OPEN);
    check_ip(gate, "64:ff9b::10.1.0.1", GATE_OPEN);
    check_ip(gate, "64:ff9b::10.2.0.1", GATE_PRIVATE);
    check_ip(gate, "64:ff9b::8.8.4.4", GATE_RULE);
    check_ip(gate, "64:ff9b::9.9.9.9", GATE_RULE); /* the outer address is judged, too */
    check_ip(gate, "9.9.9.9", GATE_OPEN);
    gate_free(gate);
}

/* An allow rule for the outer form opens only the outer form. */
static void encodings__a_rule_for_the_outer_address_does_not_open_the_inner(void **state)
{
    struct gate *gate = gate_make(false, false);

    (void)state;
    rule(gate_allow, gate, "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    assert_int_equal(gate_build(gate), 0);
    check_ip(gate, "64:ff9b::10.0.0.1", GATE_PRIVATE);
    check_ip(gate, "::10.0.0.1", GATE_PRIVATE);
    check_ip(gate, "::ffff:0:169.254.169.254", GATE_LINK_LOCAL);
    check_ip(gate, "64:ff9b:1::127.0.0.1", GATE_LOOPBACK);
    check_ip(gate, "::8.8.8.8", GATE_OPEN); /* special only, and a rule opens that */
    gate_free(gate);
}

/* 64:ff9b:1::/48 opened by a rule: we do not know where its translator looks. */
static void nat64__local_use_is_judged_at_every_length(void **state)
{
    struct gate *gate = gate_make(false, false);

    (void)state;
    rule(gate_allow, gate, "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff");
    assert_int_equal(gate_build(gate), 0);
    check_ip(gate, "64:ff9b:1::8.8.8.8", GATE_OPEN);
    check_ip(gate, "64:ff9b:1::10.0.0.1", GATE_PRIVATE);
    check_ip(gate, "64:ff9b:1:7f01:8:808:808:808", GATE_LOOPBACK); /* 127.1.8.8 behind 48 */
    check_ip(gate, "64:ff9b:1:87f:8:808:808:808", GATE_LOOPBACK);  /* 127.8.8.8 behind 56 */
    check_ip(gate, "64:ff9b:1:808:7f:808:808:808", GATE_LOOPBACK); /* ... behind 64 */
    check_ip(gate, "64:ff9b:1:808:8:808:7f08:808", GATE_LOOPBACK); /* ... behind 96 */
    check_ip(gate, "64:ff9b:1:808:8:808:808:808", GATE_OPEN);
    gate_free(gate);
}

/* The examples of RFC 6052 section 2.4: 192.0.2.33 behind a prefix of each length. */
static void nat64__declared_prefixes_of_every_length(void **state)
{
    static const struct {
        const char *prefix;
        unsigned bits;
        const char *carrier;
    } cases[] = {
        {"2001:db8::", 32, "2001:db8:c000:221::"},
        {"2001:db8:100::", 40, "2001:db8:1c0:2:21::"},
        {"2001:db8:122::", 48, "2001:db8:122:c000:2:2100::"},
        {"2001:db8:122:300::", 56, "2001:db8:122:3c0:0:221::"},
        {"2001:db8:122:344::", 64, "2001:db8:122:344:c0:2:2100::"},
        {"2001:db8:122:344::", 96, "2001:db8:122:344::192.0.2.33"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct gate *open = gate_make(false, false);
        struct gate *closed = gate_make(false, false);
        struct gate *unknown = gate_make(false, false);

        rule(gate_allow, open, "192.0.2.33", "192.0.2.33");
        rule(gate_deny, closed, "192.0.2.33", "192.0.2.33");
        rule(gate_deny, unknown, "192.0.2.33", "192.0.2.33");
        assert_int_equal(nat64(open, cases[i].prefix, cases[i].bits), 0);
        assert_int_equal(nat64(closed, cases[i].prefix, cases[i].bits), 0);
        assert_int_equal(gate_build(open), 0);
        assert_int_equal(gate_build(closed), 0);
        assert_int_equal(gate_build(unknown), 0);
        check_ip(open, cases[i].carrier, GATE_OPEN);
        check_ip(closed, cases[i].carrier, GATE_RULE);
        check_ip(unknown, cases[i].carrier, GATE_SPECIAL);
        gate_free(open);
        gate_free(closed);
        gate_free(unknown);
    }
}

/* Byte 8 is reserved (RFC 6052 section 2.2): whatever stands there hides nothing. */
static void nat64__the_reserved_byte_is_stepped_over(void **state)
{
    struct gate *gate = gate_make(false, false);

    (void)state;
    assert_int_equal(nat64(gate, "fd00:64::", 48), 0); /* a private prefix is not in the way */
    assert_int_equal(nat64(gate, "2a00:64:0:1::", 64), 0);
    assert_int_equal(gate_build(gate), 0);
    check_ip(gate, "fd00:64:0:7f00:0:100::", GATE_LOOPBACK);
    check_ip(gate, "fd00:64:0:7f00:ff00:100::", GATE_LOOPBACK);
    check_ip(gate, "fd00:64:0:808:8:800::", GATE_OPEN);
    check_ip(gate, "fd00:64:1:808:8:800::", GATE_PRIVATE); /* outside the prefix */
    check_ip(gate, "2a00:64:0:1:a:0:100:0", GATE_PRIVATE);
    check_ip(gate, "2a00:64:0:1:ee0a:0:100:0", GATE_PRIVATE);
    check_ip(gate, "2a00:64:0:2:a:0:100:0", GATE_OPEN);
    gate_free(gate);
}

static void nat64__a_declared_prefix_replaces_guesses(void **state)
{
    struct gate *gate = gate_make(false, false);

    (void)state;
    assert_int_equal(nat64(gate, "64:ff9b:1:fffe::", 96), 0);
    assert_int_equal(gate_build(gate), 0);
    check_ip(gate, "64:ff9b:1:fffe::8.8.8.8", GATE_OPEN);
    check_ip(gate, "64:ff9b:1:fffe::10.0.0.1", GATE_PRIVATE);
    check_ip(gate, "64:ff9b:1:fffd::8.8.8.8", GATE_UNSPECIFIED); /* a guess: 0.0.0.8 behind 64 */
    gate_free(gate);
}

/* Prefixes inside each other: the address inside must be open whichever of them is meant. */
static void nat64__overlapping_prefixes_all_count(void **state)
{
    struct gate *gate = gate_make(false, false);

    (void)state;
    assert_int_equal(nat64(gate, "64:ff9b::", 32), 0); /* takes in the well-known prefix */
    assert_int_equal(nat64(gate, "64:ff9b:808:800::", 64), 0);
    assert_int_equal(gate_build(gate), 0);
    check_ip(gate, "64:ff9b::8.8.8.8", GATE_UNSPECIFIED); /* behind 32 bits: 0.0.0.0 */
    check_ip(gate, "64:ff9b:808:808::", GATE_OPEN);
    check_ip(gate, "64:ff9b:808:800:8:808:800::", GATE_OPEN);
    check_ip(gate, "64:ff9b:808:800:a:808:800::", GATE_PRIVATE);
    gate_free(gate);
}

static void nat64__refuses_what_is_no_prefix(void **state)
{
    struct gate *gate = gate_make(false, false);

    (void)state;
    for (unsigned bits = 0; bits <= 130; bits++) {
        const bool good =
            bits == 32 || bits == 40 || bits == 48 || bits == 56 || bits == 64 || bits == 96;
        assert_int_equal(nat64(gate, "2a00:1234::", bits), good ? 0 : -EINVAL);
    }
    assert_int_equal(nat64(gate, "2a00:1234:1::", 40), -EINVAL); /* bits behind the prefix */
    assert_int_equal(nat64(gate, "2a00::1", 96), -EINVAL);
    assert_int_equal(nat64(gate, "::", 96), -EINVAL);
    assert_int_equal(nat64(gate, "0.0.0.0", 96), -EINVAL);
    assert_int_equal(nat64(gate, "2002:100::", 32), -EINVAL);
    assert_int_equal(nat64(gate, "2001:0:1::", 48), -EINVAL);
    assert_int_equal(nat64(gate, "ff0e::", 48), -EINVAL);
    gate_free(gate);
}

/* ---- rules ---- */

/* Proves T-8656-21.1.4-01 */
static void rules__allow_wins_over_deny(void **state)
{
    struct gate *gate = gate_make(false, false);

    (void)state;
    rule(gate_allow, gate, "198.51.100.7", "198.51.100.9");
    rule(gate_allow, gate, "8.8.8.8", "8.8.8.8");
    rule(gate_deny, gate, "0.0.0.0", "255.255.255.255");
    rule(gate_deny, gate, "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    rule(gate_allow, gate, "2a00::5", "2a00::5");
    assert_int_equal(gate_build(gate), 0);
    check_ip(gate, "8.8.8.8", GATE_OPEN);
    check_ip(gate, "::ffff:8.8.8.8", GATE_OPEN);
    check_ip(gate, "8.8.8.9", GATE_RULE);
    check_ip(gate, "198.51.100.6", GATE_RULE);
    check_ip(gate, "198.51.100.7", GATE_OPEN);
    check_ip(gate, "198.51.100.9", GATE_OPEN);
    check_ip(gate, "198.51.100.10", GATE_RULE);
    check_ip(gate, "2a00::5", GATE_OPEN);
    check_ip(gate, "2a00::6", GATE_RULE);
    check_ip(gate, "127.0.0.1", GATE_LOOPBACK);
    gate_free(gate);
}

static void rules__allow_opens_what_is_special_and_nothing_final(void **state)
{
    struct gate *gate = gate_make(false, false);

    (void)state;
    rule(gate_allow, gate, "0.0.0.0", "255.255.255.255");
    rule(gate_allow, gate, "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    assert_int_equal(gate_build(gate), 0);
    check_ip(gate, "10.0.0.1", GATE_OPEN);
    check_ip(gate, "100.64.0.1", GATE_OPEN);
    check_ip(gate, "169.254.169.254", GATE_OPEN);
    check_ip(gate, "192.0.2.1", GATE_OPEN);
    check_ip(gate, "240.0.0.1", GATE_OPEN);
    check_ip(gate, "fd00::1", GATE_OPEN);
    check_ip(gate, "fe80::1", GATE_OPEN);
    check_ip(gate, "0.0.0.0", GATE_UNSPECIFIED);
    check_ip(gate, "0.255.255.255", GATE_UNSPECIFIED);
    check_ip(gate, "::", GATE_UNSPECIFIED);
    check_ip(gate, "127.0.0.1", GATE_LOOPBACK);
    check_ip(gate, "::1", GATE_LOOPBACK);
    check_ip(gate, "224.0.0.1", GATE_MULTICAST);
    check_ip(gate, "255.255.255.255", GATE_MULTICAST);
    check_ip(gate, "ff02::1", GATE_MULTICAST);
    check_ip(gate, "2002::1", GATE_TUNNEL);
    gate_free(gate);
}

/* An IPv6 rule that numerically holds ::ffff:0:0/96 says nothing about IPv4. */
static void rules__ipv6_ranges_leave_ipv4_alone(void **state)
{
    struct gate *gate = gate_make(false, false);

    (void)state;
    rule(gate_deny, gate, "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    assert_int_equal(gate_build(gate), 0);
    check_ip(gate, "8.8.8.8", GATE_OPEN);
    check_ip(gate, "255.255.255.254", GATE_SPECIAL);
    check_ip(gate, "2a00::1", GATE_RULE);
    check_ip(gate, "0:0:0:0:0:fffe:ffff:ffff", GATE_RULE);
    check_ip(gate, "0:0:0:0:1::", GATE_RULE);
    gate_free(gate);
}

/* Ranges compare as 128-bit numbers, not byte for byte. */
static void rules__ranges_carry_from_byte_to_byte(void **state)
{
    struct gate *gate = gate_make(false, false);

    (void)state;
    rule(gate_deny, gate, "2a00::ff", "2a00::100");
    rule(gate_deny, gate, "2a00:0:0:1:ffff:ffff:ffff:fff0", "2a00:0:0:2::10");
    rule(gate_deny, gate, "9.0.255.250", "9.1.0.5");
    assert_int_equal(gate_build(gate), 0);
    check_ip(gate, "2a00::fe", GATE_OPEN);
    check_ip(gate, "2a00::ff", GATE_RULE);
    check_ip(gate, "2a00::100", GATE_RULE);
    check_ip(gate, "2a00::101", GATE_OPEN);
    check_ip(gate, "2a00:0:0:1:ffff:ffff:ffff:ffef", GATE_OPEN);
    check_ip(gate, "2a00:0:0:1:ffff:ffff:ffff:ffff", GATE_RULE);
    check_ip(gate, "2a00:0:0:2::", GATE_RULE);
    check_ip(gate, "2a00:0:0:2::11", GATE_OPEN);
    check_ip(gate, "9.0.255.249", GATE_OPEN);
    check_ip(gate, "9.0.255.255", GATE_RULE);
    check_ip(gate, "9.1.0.0", GATE_RULE);
    check_ip(gate, "9.1.0.6", GATE_OPEN);
    gate_free(gate);
}

static void rules__refuse_an_impossible_range(void **state)
{
    struct gate *gate = gate_make(false, false);
    const struct net_ip low = ip_of("9.0.0.1");
    const struct net_ip high = ip_of("9.0.0.2");
    const struct net_ip v6 = ip_of("2a00::1");
    const struct net_ip zero = ip_of("::");

    (void)state;
    assert_int_equal(gate_deny(gate, &high, &low), -EINVAL);
    assert_int_equal(gate_allow(gate, &high, &low), -EINVAL);
    assert_int_equal(gate_deny(gate, &low, &v6), -EINVAL);
    assert_int_equal(gate_allow(gate, &zero, &low), -EINVAL);
    gate_free(gate);
}

/* ---- our own addresses and services ---- */

/* Proves T-8656-21.2.2-01 */
static void own__only_relay_ports_are_peers(void **state)
{
    struct gate *gate = gate_make(false, false);

    (void)state;
    own(gate, "8.8.8.8");
    own(gate, "10.0.0.5"); /* behind a 1:1 NAT */
    own(gate, "2a00::5");
    assert_int_equal(gate_build(gate), 0);
    check_ip(gate, "8.8.8.8", GATE_OPEN);
    check_ip(gate, "10.0.0.5", GATE_OPEN);
    check_ip(gate, "10.0.0.6", GATE_PRIVATE);
    check_addr(gate, "8.8.8.8:3478", GATE_OWN);
    check_addr(gate, "8.8.8.8:0", GATE_OWN);
    check_addr(gate, "8.8.8.8:49151", GATE_OWN);
    check_addr(gate, "8.8.8.8:49152", GATE_OPEN);
    check_addr(gate, "8.8.8.8:65535", GATE_OPEN);
    check_addr(gate, "10.0.0.5:22", GATE_OWN);
    check_addr(gate, "10.0.0.5:50000", GATE_OPEN);
    check_addr(gate, "[::ffff:10.0.0.5]:22", GATE_OWN);
    check_addr(gate, "[64:ff9b::a00:5]:22", GATE_OWN);
    check_addr(gate, "[64:ff9b::a00:5]:50000", GATE_OPEN);
    check_addr(gate, "[2a00::5]:3478", GATE_OWN);
    check_addr(gate, "[2a00::5]:50000", GATE_OPEN);
    check_addr(gate, "[2a00::6]:3478", GATE_OPEN);
    gate_free(gate);
}

static void own__rules_hold_but_open_no_other_port(void **state)
{
    struct gate *gate = gate_make(false, false);

    (void)state;
    own(gate, "10.0.0.5");
    own(gate, "10.0.0.6");
    rule(gate_deny, gate, "10.0.0.0", "10.255.255.255");
    rule(gate_allow, gate, "10.0.0.5", "10.0.0.5");
    assert_int_equal(gate_build(gate), 0);
    check_addr(gate, "10.0.0.5:50000", GATE_OPEN);
    check_addr(gate, "10.0.0.5:3478", GATE_OWN);
    check_addr(gate, "10.0.0.6:50000", GATE_RULE);
    check_ip(gate, "10.0.0.6", GATE_RULE);
    gate_free(gate);
}

static void own__loopback_stays_subject_to_its_option(void **state)
{
    struct gate *shut = gate_make(false, false);
    struct gate *open = gate_make(true, false);

    (void)state;
    own(shut, "127.0.0.1");
    own(open, "127.0.0.1");
    assert_int_equal(gate_build(shut), 0);
    assert_int_equal(gate_build(open), 0);
    check_addr(shut, "127.0.0.1:50000", GATE_LOOPBACK);
    check_addr(open, "127.0.0.1:50000", GATE_OPEN);
    check_addr(open, "127.0.0.1:80", GATE_OWN);
    check_addr(open, "127.0.0.2:80", GATE_OPEN); /* not among our own */
    gate_free(shut);
    gate_free(open);
}

static void protect__an_endpoint_is_never_a_peer(void **state)
{
    struct gate *gate = gate_make(true, true);

    (void)state;
    rule(gate_allow, gate, "0.0.0.0", "255.255.255.255");
    protect(gate, "10.0.0.9:5432");
    protect(gate, "9.9.9.9:0");
    protect(gate, "127.0.0.1:6379");
    protect(gate, "[2a00::9]:3306");
    own(gate, "10.0.0.5");
    protect(gate, "10.0.0.5:50001"); /* a listener among the relay ports */
    assert_int_equal(gate_build(gate), 0);
    check_addr(gate, "10.0.0.9:5432", GATE_BACKEND);
    check_addr(gate, "10.0.0.9:5433", GATE_OPEN);
    check_addr(gate, "[::ffff:10.0.0.9]:5432", GATE_BACKEND);
    check_addr(gate, "[64:ff9b::a00:9]:5432", GATE_BACKEND);
    check_addr(gate, "9.9.9.9:1", GATE_BACKEND);
    check_addr(gate, "9.9.9.9:65535", GATE_BACKEND);
    check_addr(gate, "127.0.0.1:6379", GATE_BACKEND);
    check_addr(gate, "127.0.0.1:6380", GATE_OPEN);
    check_addr(gate, "[2a00::9]:3306", GATE_BACKEND);
    check_addr(gate, "[2a00::9]:3307", GATE_OPEN);
    check_addr(gate, "10.0.0.5:50001", GATE_BACKEND);
    check_addr(gate, "10.0.0.5:50002", GATE_OPEN);
    check_ip(gate, "10.0.0.9", GATE_OPEN);
    check_ip(gate, "9.9.9.9", GATE_BACKEND);
    gate_free(gate);
}

static void protect__a_wildcard_is_every_own_and_loopback_address(void **state)
{
    static const char *const wildcards[] = {"0.0.0.0:50001", "[::]:50001"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(wildcards); i++) {
        struct gate *gate = gate_make(true, false);

        own(gate, "8.8.8.8");
        own(gate, "2a00::5");
        protect(gate, wildcards[i]);
        assert_int_equal(gate_build(gate), 0);
        check_addr(gate, "8.8.8.8:50001", GATE_BACKEND);
        check_addr(gate, "8.8.8.8:50002", GATE_OPEN);
        check_addr(gate, "[2a00::5]:50001", GATE_BACKEND);
        check_addr(gate, "127.0.0.1:50001", GATE_BACKEND);
        check_addr(gate, "127.0.0.77:50001", GATE_BACKEND);
        check_addr(gate, "[::1]:50001", GATE_BACKEND);
        check_addr(gate, "127.0.0.1:50002", GATE_OPEN);
        check_addr(gate, "9.9.9.9:50001", GATE_OPEN); /* somebody else's */
        gate_free(gate);
    }
}

static void protect__a_wildcard_of_every_port_leaves_none(void **state)
{
    struct gate *gate = gate_make(true, false);

    (void)state;
    own(gate, "8.8.8.8");
    protect(gate, "0.0.0.0:0");
    assert_int_equal(gate_build(gate), 0);
    check_addr(gate, "8.8.8.8:1", GATE_BACKEND);
    check_addr(gate, "8.8.8.8:65535", GATE_BACKEND);
    check_addr(gate, "[::1]:443", GATE_BACKEND);
    check_addr(gate, "9.9.9.9:443", GATE_OPEN);
    gate_free(gate);
}

static void protect__many_endpoints_are_all_found(void **state)
{
    enum { MANY = 500 };
    struct gate *gate = gate_make(false, false);
    struct dice dice = {1};
    static struct net_addr addrs[MANY];

    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        const uint8_t v4[4] = {9, 9, (uint8_t)dice_next(&dice), (uint8_t)dice_next(&dice)};
        const struct net_ip ip = net_ip_v4(v4);
        addrs[i] = net_addr_make(&ip, (uint16_t)(1 + dice_below(&dice, UINT16_MAX)));
        assert_int_equal(gate_protect(gate, &addrs[i]), 0);
    }
    assert_int_equal(gate_build(gate), 0);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(gate_check_addr(gate, &addrs[i]), GATE_BACKEND);
        addrs[i].ip.b[13] = 8;
        assert_int_equal(gate_check_addr(gate, &addrs[i]), GATE_OPEN);
    }
    gate_free(gate);
}

/* ---- the rest ---- */

static void text__every_verdict_has_one(void **state)
{
    (void)state;
    for (int i = GATE_OPEN; i < GATE_VERDICTS; i++) {
        const char *text = gate_verdict_text((enum gate_verdict)i);
        assert_non_null(text);
        assert_true(strlen(text) > 3);
    }
}

/* Everything a gate can be told; returns 0 or the first error. */
static int gate_fill(struct gate *gate)
{
    const struct net_ip first = ip_of("9.0.0.0");
    const struct net_ip last = ip_of("9.0.0.9");
    const struct net_ip prefix = ip_of("2a00::");
    const struct net_ip v6_first = ip_of("::2");
    const struct net_addr endpoint = net_addr_make(&first, 5432);
    int err = 0;

    for (int i = 0; i < 20 && err == 0; i++) { /* enough that each list grows */
        err = gate_allow(gate, &first, &last);
        err = err != 0 ? err : gate_deny(gate, &v6_first, &prefix);
        err = err != 0 ? err : gate_own(gate, &first);
        err = err != 0 ? err : gate_protect(gate, &endpoint);
        err = err != 0 ? err : gate_nat64(gate, &prefix, 32);
    }
    return err != 0 ? err : gate_build(gate);
}

/* With the build option fault_injection each allocation fails in turn; without it the first run
 * passes. */
static void memory__a_failed_allocation_is_told_and_leaks_nothing(void **state)
{
    int err = -ENOMEM;

    (void)state;
    for (long n = 0; err != 0; n++) {
        const struct gate_options options = {.relay_port_min = RELAY_MIN,
                                             .relay_port_max = RELAY_MAX};
        mem_fail_at(n);
        struct gate *gate = gate_new(&options);
        err = gate == NULL ? -ENOMEM : gate_fill(gate);
        mem_fail_at(-1);
        assert_true(err == 0 || err == -ENOMEM);
        gate_free(gate);
        assert_true(n < 1000);
    }
    gate_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(special__agrees_with_the_registries),
        cmocka_unit_test(encodings__each_one_of_a_refused_address_is_refused),
        cmocka_unit_test(encodings__tunnels_are_never_open),
        cmocka_unit_test(encodings__nat64_is_as_open_as_the_address_inside),
        cmocka_unit_test(encodings__a_rule_for_the_outer_address_does_not_open_the_inner),
        cmocka_unit_test(nat64__local_use_is_judged_at_every_length),
        cmocka_unit_test(nat64__declared_prefixes_of_every_length),
        cmocka_unit_test(nat64__the_reserved_byte_is_stepped_over),
        cmocka_unit_test(nat64__a_declared_prefix_replaces_guesses),
        cmocka_unit_test(nat64__overlapping_prefixes_all_count),
        cmocka_unit_test(nat64__refuses_what_is_no_prefix),
        cmocka_unit_test(rules__allow_wins_over_deny),
        cmocka_unit_test(rules__allow_opens_what_is_special_and_nothing_final),
        cmocka_unit_test(rules__ipv6_ranges_leave_ipv4_alone),
        cmocka_unit_test(rules__ranges_carry_from_byte_to_byte),
        cmocka_unit_test(rules__refuse_an_impossible_range),
        cmocka_unit_test(own__only_relay_ports_are_peers),
        cmocka_unit_test(own__rules_hold_but_open_no_other_port),
        cmocka_unit_test(own__loopback_stays_subject_to_its_option),
        cmocka_unit_test(protect__an_endpoint_is_never_a_peer),
        cmocka_unit_test(protect__a_wildcard_is_every_own_and_loopback_address),
        cmocka_unit_test(protect__a_wildcard_of_every_port_leaves_none),
        cmocka_unit_test(protect__many_endpoints_are_all_found),
        cmocka_unit_test(text__every_verdict_has_one),
        cmocka_unit_test(memory__a_failed_allocation_is_told_and_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

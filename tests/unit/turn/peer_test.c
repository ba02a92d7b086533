/* SPDX-License-Identifier: Apache-2.0 */
/* Permissions, channels and application data (RFC 8656 sections 9 to 12), ICMP (section 11.5),
 * header fields (section 14): permission.c, perm.c, chan.c, data.c. */
#include <stdio.h>
#include <string.h>

#include "stage.h"

static const uint8_t hello[8] = "hello";

static struct reply permit_many(struct client *c, const struct net_addr *peers, size_t n)
{
    client_begin(c, STUN_CREATE_PERMISSION, STUN_REQUEST);
    for (size_t i = 0; i < n; i++) {
        stun_out_xor_addr(&c->out, STUN_XOR_PEER_ADDRESS, &peers[i]);
    }
    client_sign(c);
    return client_submit(c);
}

static bool hears(struct stage *s, const struct net_addr *relayed, const char *peer)
{
    const struct net_addr from = world_addr(peer);
    return world_from_peer(&s->w, relayed, &from, hello, 5) == TURN_TO_CLIENT;
}

/* --- permissions --------------------------------------------------------------------------------
 */

/* Proves T-8656-7.2-20, T-8656-9-05, T-8656-9-02, T-8656-9-03, T-8656-10.2-09 */
static void permission__opens_an_address_on_all_ports(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = stage_allocate(&s->c);
    const struct net_addr peer = world_addr("198.51.100.1:9");

    assert_false(hears(s, &relayed, "198.51.100.1:9"));
    const struct reply r = client_permit(&s->c, &peer);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.msg.method, STUN_CREATE_PERMISSION);
    assert_true(r.integrity_ok);
    assert_true(hears(s, &relayed, "198.51.100.1:9"));
    assert_true(hears(s, &relayed, "198.51.100.1:65535"));
    assert_false(hears(s, &relayed, "198.51.100.2:9"));
    assert_int_equal(world_drops(&s->w, DROP_NO_PERMISSION), 2);
}

/* Proves T-8656-9-01, T-8656-9-07, T-8656-11.2-05, T-8656-9-04 */
static void permission__lives_300_seconds_whatever_flows(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = stage_allocate(&s->c);
    const struct net_addr peer = world_addr("198.51.100.1:9");

    assert_int_equal(client_permit(&s->c, &peer).code, 0);
    for (int i = 0; i < 299; i++) {
        assert_true(hears(s, &relayed, "198.51.100.1:9"));
        assert_int_equal(client_send(&s->c, &peer, hello, 5), TURN_TO_PEER);
        world_advance(&s->w, 1000);
    }
    world_advance(&s->w, 999);
    assert_true(hears(s, &relayed, "198.51.100.1:9"));
    world_advance(&s->w, 1);
    assert_false(hears(s, &relayed, "198.51.100.1:9"));
    assert_int_equal(client_send(&s->c, &peer, hello, 5), TURN_DROP);
}

/* Proves T-8656-9-03, T-8656-10.2-10, T-8656-12.2-10 */
static void permission__is_reset_by_both_requests(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = stage_allocate(&s->c);
    const struct net_addr peer = world_addr("198.51.100.1:9");

    assert_int_equal(client_refresh(&s->c, 3600).code, 0);
    assert_int_equal(client_bind(&s->c, 0x4000, &peer).code, 0); /* no CreatePermission needed */
    world_advance(&s->w, 299 * 1000);
    assert_int_equal(client_permit(&s->c, &peer).code, 0);
    world_advance(&s->w, 299 * 1000);
    assert_true(hears(s, &relayed, "198.51.100.1:9"));
    assert_int_equal(client_submit(&s->c).code, 0); /* the same bytes once more refresh again */
    world_advance(&s->w, 299 * 1000);
    assert_true(hears(s, &relayed, "198.51.100.1:9"));
    assert_int_equal(client_bind(&s->c, 0x4000, &peer).code, 0);
    world_advance(&s->w, 299 * 1000);
    assert_true(hears(s, &relayed, "198.51.100.1:9"));
    world_advance(&s->w, 1000);
    assert_false(hears(s, &relayed, "198.51.100.1:9"));
}

/* Proves T-8656-9-06 */
static void permission__is_of_one_allocation(void **state)
{
    struct stage *s = *state;
    struct client c;
    const struct net_addr peer = world_addr("198.51.100.1:9");
    const struct net_addr first = stage_allocate(&s->c);

    client_init(&c, &s->w, "203.0.113.6:4000", "user", "pass");
    const struct net_addr second = stage_allocate(&c);
    assert_int_equal(client_permit(&s->c, &peer).code, 0);
    assert_true(hears(s, &first, "198.51.100.1:9"));
    assert_false(hears(s, &second, "198.51.100.1:9"));
    assert_int_equal(client_refresh(&s->c, 0).code, 0);
    const struct net_addr again = stage_allocate(&s->c); /* gone with the allocation */
    assert_false(hears(s, &again, "198.51.100.1:9"));
}

/* Proves T-8656-10.2-01, T-8489-14.1-01 */
static void create_permission__malformed(void **state)
{
    static const uint8_t v4_long[20] = {0, 1, 0, 9};
    static const uint8_t family3[8] = {0, 3, 0, 9};
    static const uint8_t odd_first[8] = {0xff, 1, 0x21, 0x12, 0xe7, 0x21, 0xc0, 0x43};
    struct stage *s = *state;
    const struct net_addr relayed = stage_allocate(&s->c);

    assert_int_equal(permit_many(&s->c, NULL, 0).code, STUN_BAD_REQUEST);
    client_begin(&s->c, STUN_CREATE_PERMISSION, STUN_REQUEST);
    stun_out_attr(&s->c.out, STUN_XOR_PEER_ADDRESS, (struct bytes){v4_long, sizeof(v4_long)});
    client_sign(&s->c);
    assert_int_equal(client_submit(&s->c).code, STUN_BAD_REQUEST);
    client_begin(&s->c, STUN_CREATE_PERMISSION, STUN_REQUEST);
    stun_out_attr(&s->c.out, STUN_XOR_PEER_ADDRESS, (struct bytes){family3, sizeof(family3)});
    client_sign(&s->c);
    assert_int_equal(client_submit(&s->c).code, STUN_BAD_REQUEST);
    client_begin(&s->c, STUN_CREATE_PERMISSION, STUN_REQUEST); /* 198.51.100.1 */
    stun_out_attr(&s->c.out, STUN_XOR_PEER_ADDRESS, (struct bytes){odd_first, sizeof(odd_first)});
    client_sign(&s->c);
    assert_int_equal(client_submit(&s->c).code, 0);
    assert_true(hears(s, &relayed, "198.51.100.1:1"));
}

/* Proves T-8656-10.2-02, T-8656-10.2-03 */
static void create_permission__of_many(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = stage_allocate(&s->c);
    struct net_addr peers[10];
    char text[64];

    for (unsigned i = 0; i < 10; i++) {
        (void)snprintf(text, sizeof(text), "198.51.100.%u:%u", i + 1, i * 7000);
        peers[i] = world_addr(text);
    }
    assert_int_equal(permit_many(&s->c, peers, 10).code, 0);
    for (unsigned i = 0; i < 10; i++) {
        (void)snprintf(text, sizeof(text), "198.51.100.%u:77", i + 1);
        assert_true(hears(s, &relayed, text));
    }
}

/* Proves T-8656-10.2-04, T-8656-10.2-06, T-8656-10.2-08 */
static void create_permission__is_all_or_nothing(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = stage_allocate(&s->c);
    const struct net_addr good = world_addr("198.51.100.1:9");
    const struct net_addr v6 = world_addr("[2001:db8::9]:9");
    const struct net_addr denied = world_addr("127.0.0.1:9");
    const struct net_addr with_v6[] = {good, v6};
    const struct net_addr with_denied[] = {good, denied};
    const struct net_addr with_both[] = {good, denied, v6};
    static const uint8_t family3[8] = {0, 3, 0, 9};

    assert_int_equal(permit_many(&s->c, with_v6, 2).code, STUN_PEER_FAMILY_MISMATCH);
    assert_int_equal(permit_many(&s->c, with_denied, 2).code, STUN_FORBIDDEN);
    assert_int_equal(s->w.events.last_gate, GATE_LOOPBACK);
    assert_int_equal(permit_many(&s->c, with_both, 3).code, STUN_PEER_FAMILY_MISMATCH);
    client_begin(&s->c, STUN_CREATE_PERMISSION, STUN_REQUEST);
    stun_out_xor_addr(&s->c.out, STUN_XOR_PEER_ADDRESS, &good);
    stun_out_xor_addr(&s->c.out, STUN_XOR_PEER_ADDRESS, &denied);
    stun_out_attr(&s->c.out, STUN_XOR_PEER_ADDRESS, (struct bytes){family3, sizeof(family3)});
    client_sign(&s->c);
    assert_int_equal(client_submit(&s->c).code, STUN_BAD_REQUEST); /* 400 before 443 before 403 */
    assert_false(hears(s, &relayed, "198.51.100.1:9"));
}

/* Threat model row 33. */
/* Proves T-8656-10.2-07, T-8656-10.2-08 */
static void create_permission__capacity(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = stage_allocate(&s->c);
    struct net_addr peers[65];
    char text[64];

    for (unsigned i = 0; i < 65; i++) {
        (void)snprintf(text, sizeof(text), "198.51.100.%u:9", i + 1);
        peers[i] = world_addr(text);
    }
    assert_int_equal(permit_many(&s->c, peers, 65).code, STUN_INSUFFICIENT_CAPACITY);
    assert_false(hears(s, &relayed, "198.51.100.1:9"));
    assert_int_equal(permit_many(&s->c, peers, 64).code, 0);
    assert_int_equal(permit_many(&s->c, peers, 64).code, 0); /* the same ones need no more room */
    assert_int_equal(permit_many(&s->c, &peers[64], 1).code, STUN_INSUFFICIENT_CAPACITY);
    world_advance(&s->w, 300 * 1000); /* expired ones make room */
    assert_int_equal(permit_many(&s->c, &peers[64], 1).code, 0);
}

/* Mapped, 6to4 and other ways to write an address that must not be reached.
 * Threat model rows 2, 7 and 9 to 12. */
/* Proves T-8656-21.4-01, T-8656-21.2.2-01,
 * T-8656-21.1.4-01 */
static void gate__is_asked_on_every_way(void **state)
{
    static const char *const denied[] = {
        "127.0.0.1:9",
        "0.0.0.0:9",
        "224.0.0.1:9",
        "255.255.255.255:9",
        "169.254.169.254:9",
        "10.0.0.1:9",
        "192.168.1.1:9",
        "172.16.0.1:9",
        "100.64.0.1:9",
        "[::]:9",
        "[::1]:9",
        "[ff02::1]:9",
        "[fe80::1]:9",
        "[fc00::1]:9",
        "[2002:7f00:1::]:9",
        "[2001::1]:9",
        "[64:ff9b::7f00:1]:9",
        "[64:ff9b::a9fe:a9fe]:9",
        "[::127.0.0.1]:9",
        "[64:ff9b::a00:1]:9",
        "[2002:c633:6401::]:9",
        "192.0.2.1:3478",
    };
    struct stage *s = *state;

    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    assert_true(client_challenge(&s->c));
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&s->c);
    stun_out_u32(&s->c.out, STUN_ADDITIONAL_ADDRESS_FAMILY, UINT32_C(2) << 24);
    client_sign(&s->c);
    const struct reply r = client_submit(&s->c);
    assert_int_equal(r.relayed_count, 2);
    for (size_t i = 0; i < COUNT_OF(denied); i++) {
        const struct net_addr peer = world_addr(denied[i]);
        const bool own = net_ip_equal(&peer.ip, &s->w.server_addr[0].ip);
        assert_int_equal(client_permit(&s->c, &peer).code, own ? 0 : STUN_FORBIDDEN);
        assert_int_equal(client_bind(&s->c, (uint16_t)(0x4000 + i), &peer).code, STUN_FORBIDDEN);
        assert_int_equal(client_send(&s->c, &peer, hello, 5), TURN_DROP);
        assert_int_equal(world_from_peer(&s->w, &r.relayed[peer.family - 1], &peer, hello, 5),
                         TURN_DROP);
    }
}

/* An IPv4 address dressed as IPv6 names no IPv6 host, public or not. */
/* Proves T-8656-21.2.2-01 */
static void mapped_address__is_refused(void **state)
{
    static const uint8_t mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 198, 51, 100, 1};
    struct stage *s = *state;
    struct net_addr peer = {.port = 9, .family = NET_V6};

    memcpy(peer.ip.b, mapped, sizeof(mapped));
    assert_true(client_challenge(&s->c));
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&s->c);
    stun_out_u32(&s->c.out, STUN_REQUESTED_ADDRESS_FAMILY, UINT32_C(2) << 24);
    client_sign(&s->c);
    assert_int_equal(client_submit(&s->c).code, 0);
    assert_int_equal(client_permit(&s->c, &peer).code, STUN_FORBIDDEN);
    assert_int_equal(client_bind(&s->c, 0x4000, &peer).code, STUN_FORBIDDEN);
    assert_int_equal(client_send(&s->c, &peer, hello, 5), TURN_DROP);
}

/* Rules that change take hold of what is established. */
static void reload__revokes_permissions_and_channels(void **state)
{
    static const char *const allow[] = {"198.51.100.2", NULL};
    static const char *const deny[] = {"198.51.100.1", NULL};
    struct stage *s = *state;
    const struct net_addr relayed = stage_allocate(&s->c);
    const struct net_addr peers[] = {world_addr("198.51.100.1:9"), world_addr("198.51.100.2:9")};

    assert_int_equal(client_bind(&s->c, 0x4000, &peers[0]).code, 0);
    assert_int_equal(client_bind(&s->c, 0x4001, &peers[1]).code, 0);
    assert_int_equal(world_reconfigure(&s->w, allow, deny), 0);
    assert_int_equal(client_channel(&s->c, 0x4000, hello, 5), TURN_DROP);
    assert_int_equal(client_channel(&s->c, 0x4001, hello, 5), TURN_TO_PEER);
    assert_false(hears(s, &relayed, "198.51.100.1:9"));
    assert_true(hears(s, &relayed, "198.51.100.2:9"));
    assert_int_equal(s->w.events.count[TURN_EVENT_REVOKED], 2);
}

/* --- channels -----------------------------------------------------------------------------------
 */

/* Proves T-8656-12-01, T-8656-12.2-02, T-7983-9.3-01, T-5766-11.2-01 */
static void channel_numbers__in_range_only(void **state)
{
    static const uint16_t good[] = {0x4000, 0x4fff};
    static const uint16_t bad[] = {0x0000, 0x3fff, 0x5000, 0x7fff, 0x8000, 0xffff};
    struct stage *s = *state;

    (void)stage_allocate(&s->c);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const struct net_addr peer = world_addr("198.51.100.1:9");
        assert_int_equal(client_bind(&s->c, bad[i], &peer).code, STUN_BAD_REQUEST);
    }
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        const struct net_addr peer = world_addr(i == 0 ? "198.51.100.1:9" : "198.51.100.1:10");
        assert_int_equal(client_bind(&s->c, good[i], &peer).code, 0);
    }
    const struct net_addr peer = world_addr("198.51.100.3:9");
    s->w.config.channels_5766 = true; /* the opt-in of RFC 5766 clients */
    assert_int_equal(client_bind(&s->c, 0x7fff, &peer).code, 0);
    assert_int_equal(client_channel(&s->c, 0x7fff, hello, 5), TURN_TO_PEER);
    assert_int_equal(client_bind(&s->c, 0x8000, &peer).code, STUN_BAD_REQUEST);
}

/* Proves T-8656-12.2-01, T-8656-18.1-01 */
static void channel_bind__malformed(void **state)
{
    static const uint8_t rffu[4] = {0x40, 0x00, 0xff, 0xff};
    struct stage *s = *state;
    const struct net_addr peer = world_addr("198.51.100.1:9");
    const struct net_addr port0 = world_addr("198.51.100.1:0");

    (void)stage_allocate(&s->c);
    client_begin(&s->c, STUN_CHANNEL_BIND, STUN_REQUEST);
    stun_out_xor_addr(&s->c.out, STUN_XOR_PEER_ADDRESS, &peer);
    client_sign(&s->c);
    assert_int_equal(client_submit(&s->c).code, STUN_BAD_REQUEST);
    client_begin(&s->c, STUN_CHANNEL_BIND, STUN_REQUEST);
    stun_out_u32(&s->c.out, STUN_CHANNEL_NUMBER, 0x40000000);
    client_sign(&s->c);
    assert_int_equal(client_submit(&s->c).code, STUN_BAD_REQUEST);
    client_begin(&s->c, STUN_CHANNEL_BIND, STUN_REQUEST);
    stun_out_attr(&s->c.out, STUN_CHANNEL_NUMBER, (struct bytes){rffu, 2});
    stun_out_xor_addr(&s->c.out, STUN_XOR_PEER_ADDRESS, &peer);
    client_sign(&s->c);
    assert_int_equal(client_submit(&s->c).code, STUN_BAD_REQUEST);
    assert_int_equal(client_bind(&s->c, 0x4000, &port0).code, STUN_BAD_REQUEST);
    client_begin(&s->c, STUN_CHANNEL_BIND, STUN_REQUEST);
    stun_out_attr(&s->c.out, STUN_CHANNEL_NUMBER, (struct bytes){rffu, 4});
    stun_out_xor_addr(&s->c.out, STUN_XOR_PEER_ADDRESS, &peer);
    client_sign(&s->c);
    assert_int_equal(client_submit(&s->c).code, 0);
}

/* Proves T-8656-12.2-03, T-8656-12.2-04, T-8656-12.2-05, T-8656-12.2-09, T-8656-12.2-14 */
static void channel_bind__is_one_to_one(void **state)
{
    struct stage *s = *state;
    const struct net_addr a = world_addr("198.51.100.1:9");
    const struct net_addr a_other_port = world_addr("198.51.100.1:10");
    const struct net_addr b = world_addr("198.51.100.2:9");

    (void)stage_allocate(&s->c);
    const struct reply r = client_bind(&s->c, 0x4000, &a);
    assert_int_equal(r.code, 0);
    assert_true(r.integrity_ok);
    assert_int_equal(client_bind(&s->c, 0x4000, &b).code, STUN_BAD_REQUEST);
    assert_int_equal(client_bind(&s->c, 0x4000, &a_other_port).code, STUN_BAD_REQUEST);
    assert_int_equal(client_bind(&s->c, 0x4001, &a).code, STUN_BAD_REQUEST);
    assert_int_equal(client_bind(&s->c, 0x4000, &a).code, 0);
    assert_int_equal(client_submit(&s->c).code, 0);
    assert_int_equal(client_bind(&s->c, 0x4001, &a_other_port).code, 0);
}

/* Proves T-8656-12.2-12, T-8656-12.2-06, T-8656-12.2-07 */
static void channel_bind__that_fails_changes_nothing(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = stage_allocate(&s->c);
    const struct net_addr a = world_addr("198.51.100.1:9");
    const struct net_addr b = world_addr("198.51.100.2:9");
    const struct net_addr v6 = world_addr("[2001:db8::9]:9");
    const struct net_addr denied = world_addr("127.0.0.1:9");

    assert_int_equal(client_bind(&s->c, 0x4000, &a).code, 0);
    world_advance(&s->w, 200 * 1000);
    assert_int_equal(client_bind(&s->c, 0x4001, &a).code, STUN_BAD_REQUEST); /* no timer of a's */
    assert_int_equal(client_bind(&s->c, 0x4000, &b).code,
                     STUN_BAD_REQUEST); /* no permission of b */
    assert_int_equal(client_bind(&s->c, 0x4002, &v6).code, STUN_PEER_FAMILY_MISMATCH);
    assert_int_equal(client_bind(&s->c, 0x4002, &denied).code, STUN_FORBIDDEN);
    assert_false(hears(s, &relayed, "198.51.100.2:9"));
    world_advance(&s->w, 100 * 1000);
    assert_false(hears(s, &relayed, "198.51.100.1:9"));
}

/* Proves T-8656-12.2-08 */
static void channel_bind__capacity(void **state)
{
    struct stage *s = *state;

    (void)stage_allocate(&s->c);
    for (uint16_t i = 0; i <= 32; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "198.51.100.%u:9", i + 1U);
        const struct net_addr peer = world_addr(text);
        const int code = client_bind(&s->c, (uint16_t)(0x4000 + i), &peer).code;
        assert_int_equal(code, i < 32 ? 0 : STUN_INSUFFICIENT_CAPACITY);
    }
}

/* Threat model row 33: one allocation's appetite leaves to every other its certain share. */
static void channels_and_permissions__of_one_do_not_starve_others(void **state)
{
    struct stage *s = *state;
    struct client greedy;
    char text[64];

    world_stop(&s->w);
    world_init(&s->w, 5);
    s->w.user_count = 0;
    s->w.max_allocations = 4;
    s->w.config.max_permissions = 1024;
    s->w.config.max_channels = 1024;
    assert_int_equal(world_start(&s->w), 0);
    (void)world_add_user(&s->w, "user", "pass");
    client_init(&greedy, &s->w, "203.0.113.6:4000", "user", "pass");
    (void)stage_allocate(&greedy);
    for (unsigned i = 0; i < 200; i++) {
        (void)snprintf(text, sizeof(text), "198.51.100.%u:9", i + 1);
        const struct net_addr peer = world_addr(text);
        (void)client_bind(&greedy, (uint16_t)(0x4000 + i), &peer);
        (void)client_permit(&greedy, &peer);
    }
    for (unsigned c = 0; c < 3; c++) {
        struct client other;
        (void)snprintf(text, sizeof(text), "203.0.113.7:%u", 4000 + c);
        client_init(&other, &s->w, text, "user", "pass");
        (void)stage_allocate(&other);
        for (unsigned i = 0; i < 4; i++) {
            (void)snprintf(text, sizeof(text), "198.51.100.%u:9", i + 1);
            const struct net_addr peer = world_addr(text);
            assert_int_equal(client_bind(&other, (uint16_t)(0x4000 + i), &peer).code, 0);
        }
        for (unsigned i = 4; i < 8; i++) {
            (void)snprintf(text, sizeof(text), "198.51.100.%u:9", i + 1);
            const struct net_addr peer = world_addr(text);
            assert_int_equal(client_permit(&other, &peer).code, 0);
        }
    }
}

/* Proves T-8656-12.2-11, T-8656-12.2-13, T-8656-12-03, T-8656-12.6-04, T-8656-12.6-07 */
static void channel__lives_600_seconds_from_its_last_bind(void **state)
{
    struct stage *s = *state;
    const struct net_addr a = world_addr("198.51.100.1:9");
    const struct net_addr b = world_addr("198.51.100.2:9");

    (void)stage_allocate(&s->c);
    assert_int_equal(client_refresh(&s->c, 3600).code, 0);
    assert_int_equal(client_bind(&s->c, 0x4000, &a).code, 0);
    for (int i = 0; i < 599; i++) {
        world_advance(&s->w, 1000);
        assert_int_equal(client_channel(&s->c, 0x4000, hello, 5), TURN_TO_PEER);
        if (i % 100 == 0) { /* neither of these refreshes the channel */
            assert_int_equal(client_permit(&s->c, &a).code, 0);
            assert_int_equal(client_send(&s->c, &a, hello, 5), TURN_TO_PEER);
        }
    }
    world_advance(&s->w, 999);
    assert_int_equal(client_channel(&s->c, 0x4000, hello, 5), TURN_TO_PEER);
    world_advance(&s->w, 1);
    assert_int_equal(client_channel(&s->c, 0x4000, hello, 5), TURN_DROP);
    assert_int_equal(client_bind(&s->c, 0x4000, &b).code, 0); /* free at once */
    assert_int_equal(client_bind(&s->c, 0x4001, &a).code, 0);
}

/* The same when nobody swept what has expired. */
/* Proves T-8656-12.2-13 */
static void channel__expired_but_not_swept_is_free(void **state)
{
    struct stage *s = *state;
    const struct net_addr a = world_addr("198.51.100.1:9");
    const struct net_addr b = world_addr("198.51.100.2:9");

    (void)stage_allocate(&s->c);
    assert_int_equal(client_refresh(&s->c, 3600).code, 0);
    assert_int_equal(client_bind(&s->c, 0x4000, &a).code, 0);
    s->w.now_ms += 600 * 1000;
    assert_int_equal(client_channel(&s->c, 0x4000, hello, 5), TURN_DROP);
    assert_int_equal(client_bind(&s->c, 0x4000, &b).code, 0);
    assert_int_equal(client_bind(&s->c, 0x4001, &a).code, 0);
}

/* Proves T-8656-12-02 */
static void channel__is_of_one_allocation(void **state)
{
    struct stage *s = *state;
    struct client c;
    const struct net_addr a = world_addr("198.51.100.1:9");
    const struct net_addr b = world_addr("198.51.100.2:9");

    (void)stage_allocate(&s->c);
    client_init(&c, &s->w, "203.0.113.6:4000", "user", "pass");
    (void)stage_allocate(&c);
    assert_int_equal(client_bind(&s->c, 0x4000, &a).code, 0);
    assert_int_equal(client_channel(&c, 0x4000, hello, 5), TURN_DROP);
    assert_int_equal(client_bind(&c, 0x4000, &b).code, 0);
    assert_int_equal(client_channel(&s->c, 0x4000, hello, 5), TURN_TO_PEER);
    assert_true(net_addr_equal(&s->w.pkt.remote, &a));
    assert_int_equal(client_channel(&c, 0x4000, hello, 5), TURN_TO_PEER);
    assert_true(net_addr_equal(&s->w.pkt.remote, &b));
    assert_int_equal(client_refresh(&c, 0).code, 0);
    (void)stage_allocate(&c); /* gone with the allocation */
    assert_int_equal(client_channel(&c, 0x4000, hello, 5), TURN_DROP);
}

/* --- data ---------------------------------------------------------------------------------------
 */

/* Proves T-8656-12.4-01, T-8656-12.6-05, T-8656-12.6-06, T-7983-7-03 */
static void channel_data__reaches_the_peer(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = stage_allocate(&s->c);
    const struct net_addr peer = world_addr("198.51.100.1:9");
    uint8_t data[1500];

    assert_int_equal(client_bind(&s->c, 0x4abc, &peer).code, 0);
    for (size_t n = 0; n <= sizeof(data); n += n < 8 ? 1 : 373) {
        memset(data, (int)n, sizeof(data));
        assert_int_equal(client_channel(&s->c, 0x4abc, data, n), TURN_TO_PEER);
        assert_int_equal(s->w.pkt.len, n);
        assert_memory_equal(s->w.pkt.data, data, n);
        assert_true(net_addr_equal(&s->w.pkt.remote, &peer));
        assert_true(net_addr_equal(&s->w.pkt.local, &relayed));
        assert_false(s->w.pkt.df);
    }
}

/* Proves T-8656-12.5-04, T-8656-12.6-02, T-8656-12.6-01, T-8656-12.6-03, T-8656-5-09 */
static void channel_data__odd(void **state)
{
    static const uint8_t padded[] = {0x40, 0, 0, 5, 'h', 'e', 'l', 'l', 'o', 1, 2, 3};
    struct stage *s = *state;
    const struct net_addr peer = world_addr("198.51.100.1:9");
    uint8_t message[16];

    memcpy(message, padded, sizeof(padded));
    assert_int_equal(world_from_client(&s->w, &s->c.addr, padded, 9), TURN_DROP);
    assert_int_equal(world_drops(&s->w, DROP_NO_ALLOCATION), 1);
    (void)stage_allocate(&s->c);
    assert_int_equal(world_from_client(&s->w, &s->c.addr, padded, 9), TURN_DROP);
    assert_int_equal(world_drops(&s->w, DROP_NO_CHANNEL), 1);
    assert_int_equal(client_bind(&s->c, 0x4000, &peer).code, 0);
    for (size_t n = 9; n <= sizeof(padded); n++) { /* padding, tolerated on UDP */
        assert_int_equal(world_from_client(&s->w, &s->c.addr, padded, n), TURN_TO_PEER);
        assert_int_equal(s->w.pkt.len, 5);
    }
    for (size_t n = 1; n < 9; n++) { /* shorter than it says */
        assert_int_equal(world_from_client(&s->w, &s->c.addr, padded, n), TURN_DROP);
    }
    for (unsigned first = 0x50; first <= 0xff; first++) {
        message[0] = (uint8_t)first;
        assert_int_equal(world_from_client(&s->w, &s->c.addr, message, 9), TURN_DROP);
    }
    for (unsigned len = 6; len <= 0xffff; len += 0x333) { /* threat model row 18 */
        message[0] = 0x40;
        be16_put(message + 2, (uint16_t)len);
        assert_int_equal(world_from_client(&s->w, &s->c.addr, message, 9), TURN_DROP);
    }
    be16_put(message + 2, 0xffff);
    assert_int_equal(world_from_client(&s->w, &s->c.addr, message, 9), TURN_DROP);
}

/* Proves T-8656-12.5-01, T-8656-12.5-02, T-8656-11.3-05 */
static void peer_data__as_channel_data_where_one_is_bound(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = stage_allocate(&s->c);
    const struct net_addr peer = world_addr("198.51.100.1:9");
    const struct net_addr other_port = world_addr("198.51.100.1:10");

    assert_int_equal(client_refresh(&s->c, 3600).code, 0);
    assert_int_equal(client_bind(&s->c, 0x4001, &peer).code, 0);
    for (uint32_t n = 0; n < 8; n++) {
        assert_int_equal(world_from_peer(&s->w, &relayed, &peer, hello, n), TURN_TO_CLIENT);
        assert_int_equal(s->w.pkt.len, 4 + n); /* not padded on UDP */
        assert_int_equal(be16(s->w.pkt.data), 0x4001);
        assert_int_equal(be16(s->w.pkt.data + 2), n);
        assert_memory_equal(s->w.pkt.data + 4, hello, n);
        assert_true(net_addr_equal(&s->w.pkt.remote, &s->c.addr));
        assert_true(net_addr_equal(&s->w.pkt.local, &s->w.server_addr[0]));
        assert_true(s->w.pkt.port == &s->w.server_addr);
    }
    assert_int_equal(world_from_peer(&s->w, &relayed, &other_port, hello, 5), TURN_TO_CLIENT);
    assert_int_equal(be16(s->w.pkt.data), 0x0017);
    world_advance(&s->w, 300 * 1000); /* the channel lives on, the permission does not */
    assert_int_equal(world_from_peer(&s->w, &relayed, &peer, hello, 5), TURN_DROP);
    assert_int_equal(client_channel(&s->c, 0x4001, hello, 5), TURN_TO_PEER);
}

/* Proves T-8656-11.3-01, T-8656-11.3-02, T-8656-11.3-03, T-8656-18.4-01, T-8489-14-01,
 * T-8489-14-02, T-8489-5-07, T-8489-14.2-01, T-8489-14.2-02 */
static void peer_data__as_data_indication(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = stage_allocate(&s->c);
    const struct net_addr peer = world_addr("198.51.100.1:9");
    uint8_t data[1400];

    memset(data, 0xee, sizeof(data));
    memset(s->w.buf, 0xff, sizeof(s->w.buf)); /* padding must be zeroed: CVE-2020-4067 */
    assert_int_equal(client_permit(&s->c, &peer).code, 0);
    for (uint32_t n = 0; n <= sizeof(data); n += n < 9 ? 1 : 100) {
        const enum turn_verdict v = world_from_peer(&s->w, &relayed, &peer, data, n);
        const struct reply r = client_read(&s->c, v, s->w.pkt.data, s->w.pkt.len);
        assert_int_equal(v, TURN_TO_CLIENT);
        assert_int_equal(r.msg.method, STUN_DATA);
        assert_int_equal(r.msg.class, STUN_INDICATION);
        assert_true(net_addr_equal(&r.peer, &peer));
        assert_true(r.has_data);
        assert_int_equal(r.data.n, n);
        assert_memory_equal(r.data.p, data, n);
        assert_int_equal(s->w.pkt.len % 4, 0);
        for (uint32_t i = n; i % 4 != 0; i++) {
            assert_int_equal(r.data.p[i], 0);
        }
        assert_false(r.has_mi || r.has_mi256);
    }
}

/* Proves T-8489-14.2-03, T-8489-5-06, T-8489-5-03 */
static void data_indication__over_ipv6_has_its_own_random_id(void **state)
{
    static uint8_t seen[1000][STUN_TID];
    struct stage *s = *state;
    const struct net_addr peer = world_addr("[2001:db8::77]:999");

    assert_true(client_challenge(&s->c));
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&s->c);
    stun_out_u32(&s->c.out, STUN_REQUESTED_ADDRESS_FAMILY, UINT32_C(2) << 24);
    client_sign(&s->c);
    const struct net_addr relayed = client_submit(&s->c).relayed[0];
    assert_int_equal(client_permit(&s->c, &peer).code, 0);
    for (size_t i = 0; i < 1000; i++) {
        const enum turn_verdict v = world_from_peer(&s->w, &relayed, &peer, hello, 5);
        const struct reply r = client_read(&s->c, v, s->w.pkt.data, s->w.pkt.len);
        assert_true(net_addr_equal(&r.peer, &peer));
        memcpy(seen[i], r.msg.tid, STUN_TID);
        for (size_t j = 0; j < i; j++) {
            assert_memory_not_equal(seen[i], seen[j], 4); /* no shared counter in front... */
        }
    }
}

/* Proves T-8656-11.2-01, T-8656-11.2-02, T-8656-11.2-04, T-8656-11.2-07, T-8656-11.2-08 */
static void send__reaches_the_peer(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = stage_allocate(&s->c);
    const struct net_addr peer = world_addr("198.51.100.1:9");
    uint8_t data[1500];

    memset(data, 0x3c, sizeof(data));
    assert_int_equal(client_send(&s->c, &peer, data, 5), TURN_DROP); /* no permission yet */
    assert_int_equal(client_bind(&s->c, 0x4000, &peer).code, 0);
    for (uint32_t n = 0; n <= sizeof(data); n += n < 9 ? 1 : 213) {
        assert_int_equal(client_send(&s->c, &peer, data, n), TURN_TO_PEER);
        assert_int_equal(s->w.pkt.len, n);
        assert_memory_equal(s->w.pkt.data, data, n);
        assert_true(net_addr_equal(&s->w.pkt.remote, &peer));
        assert_true(net_addr_equal(&s->w.pkt.local, &relayed));
    }
    client_begin(&s->c, STUN_SEND, STUN_INDICATION);
    stun_out_xor_addr(&s->c.out, STUN_XOR_PEER_ADDRESS, &peer);
    client_end(&s->c);
    assert_int_equal(client_submit(&s->c).verdict, TURN_DROP);
    client_begin(&s->c, STUN_SEND, STUN_INDICATION);
    stun_out_attr(&s->c.out, STUN_DATA_ATTR, bytes_of("x"));
    client_end(&s->c);
    assert_int_equal(client_submit(&s->c).verdict, TURN_DROP);
    assert_int_equal(world_drops(&s->w, DROP_BAD_INDICATION), 2);
}

/* Proves T-8656-11.2-06, T-8656-11.2-09, T-8489-6.3.2-01, T-8489-6.3.2-02 */
static void send__dropped_without_a_word(void **state)
{
    static const uint8_t family3[8] = {0, 3, 0, 9};
    struct stage *s = *state;
    const struct net_addr peer = world_addr("198.51.100.1:9");
    const struct net_addr port0 = world_addr("198.51.100.1:0");
    const struct net_addr v6 = world_addr("[2001:db8::9]:9");
    const struct net_addr own = world_addr(WORLD_SERVER_V4 ":3478");
    const struct net_addr own_relay = world_addr(WORLD_SERVER_V4 ":50000");

    assert_int_equal(client_send(&s->c, &peer, hello, 5), TURN_DROP);
    assert_int_equal(world_drops(&s->w, DROP_NO_ALLOCATION), 1);
    (void)stage_allocate(&s->c);
    assert_int_equal(client_permit(&s->c, &peer).code, 0);
    assert_int_equal(client_permit(&s->c, &own).code, 0); /* an address, the port comes later */
    assert_int_equal(client_send(&s->c, &port0, hello, 5), TURN_DROP);
    assert_int_equal(client_send(&s->c, &v6, hello, 5), TURN_DROP);
    assert_int_equal(client_send(&s->c, &own, hello, 5), TURN_DROP);
    assert_int_equal(world_drops(&s->w, DROP_PEER_DENIED), 1);
    assert_int_equal(client_send(&s->c, &own_relay, hello, 5), TURN_TO_PEER);
    client_begin(&s->c, STUN_SEND, STUN_INDICATION);
    stun_out_xor_addr(&s->c.out, STUN_XOR_PEER_ADDRESS, &peer);
    stun_out_attr(&s->c.out, STUN_DATA_ATTR, bytes_of("x"));
    stun_out_u32(&s->c.out, 0x7ffe, 0);
    client_end(&s->c);
    assert_int_equal(client_submit(&s->c).verdict, TURN_DROP);
    assert_int_equal(world_drops(&s->w, DROP_UNKNOWN_ATTRIBUTE), 1);
    client_begin(&s->c, STUN_SEND, STUN_INDICATION);
    stun_out_attr(&s->c.out, STUN_XOR_PEER_ADDRESS, (struct bytes){family3, sizeof(family3)});
    stun_out_attr(&s->c.out, STUN_DATA_ATTR, bytes_of("x"));
    client_end(&s->c);
    assert_int_equal(client_submit(&s->c).verdict, TURN_DROP);
}

/* Threat model row 34. */
/* Proves T-8489-14-04 */
static void duplicates__the_first_wins(void **state)
{
    struct stage *s = *state;
    const struct net_addr a = world_addr("198.51.100.1:9");
    const struct net_addr b = world_addr("198.51.100.2:9");

    (void)stage_allocate(&s->c);
    assert_int_equal(client_permit(&s->c, &a).code, 0);
    assert_int_equal(client_permit(&s->c, &b).code, 0);
    client_begin(&s->c, STUN_SEND, STUN_INDICATION);
    stun_out_xor_addr(&s->c.out, STUN_XOR_PEER_ADDRESS, &a);
    stun_out_xor_addr(&s->c.out, STUN_XOR_PEER_ADDRESS, &b);
    stun_out_attr(&s->c.out, STUN_DATA_ATTR, bytes_of("one"));
    stun_out_attr(&s->c.out, STUN_DATA_ATTR, bytes_of("two"));
    client_end(&s->c);
    assert_int_equal(client_submit(&s->c).verdict, TURN_TO_PEER);
    assert_true(net_addr_equal(&s->w.pkt.remote, &a));
    assert_memory_equal(s->w.pkt.data, "one", 3);
    client_begin(&s->c, STUN_REFRESH, STUN_REQUEST);
    stun_out_u32(&s->c.out, STUN_LIFETIME, 700);
    stun_out_u32(&s->c.out, STUN_LIFETIME, 0);
    client_sign(&s->c);
    assert_int_equal(client_submit(&s->c).lifetime_s, 700);
}

/* Proves T-8656-14-03, T-8656-13.1-05 */
static void dont_fragment__is_honoured_from_ipv4_to_ipv4_only(void **state)
{
    static const struct {
        const char *client, *peer;
        uint8_t family;
        bool df;
    } cases[] = {
        {"203.0.113.5:4001", "198.51.100.1:9", NET_V4, true},
        {"203.0.113.5:4002", "[2001:db8::9]:9", NET_V6, false},
        {"[2001:db8::5]:4003", "198.51.100.1:9", NET_V4, false},
        {"[2001:db8::5]:4004", "[2001:db8::9]:9", NET_V6, false},
    };
    struct stage *s = *state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct client c;
        const struct net_addr peer = world_addr(cases[i].peer);
        client_init(&c, &s->w, cases[i].client, "user", "pass");
        assert_true(client_challenge(&c));
        client_begin(&c, STUN_ALLOCATE, STUN_REQUEST);
        client_put_transport(&c);
        stun_out_u32(&c.out, STUN_REQUESTED_ADDRESS_FAMILY, (uint32_t)cases[i].family << 24);
        client_sign(&c);
        assert_int_equal(client_submit(&c).code, 0);
        assert_int_equal(client_permit(&c, &peer).code, 0);
        for (int with = 0; with < 2; with++) {
            client_begin(&c, STUN_SEND, STUN_INDICATION);
            stun_out_xor_addr(&c.out, STUN_XOR_PEER_ADDRESS, &peer);
            if (with == 1) {
                stun_out_attr(&c.out, STUN_DONT_FRAGMENT, (struct bytes){NULL, 0});
            }
            stun_out_attr(&c.out, STUN_DATA_ATTR, bytes_of("x"));
            client_end(&c);
            assert_int_equal(client_submit(&c).verdict, TURN_TO_PEER);
            assert_int_equal(s->w.pkt.df, with == 1 && cases[i].df);
        }
    }
}

static void submit_with_tos(struct stage *s, uint8_t tos, const struct net_addr *relayed,
                            const struct net_addr *peer, uint8_t *out_up, uint8_t *out_down)
{
    struct pkt pkt = {
        .data = s->w.buf + PKT_HEADROOM,
        .cap = WORLD_PKT_CAP,
        .buf = s->w.buf,
        .len = 8,
        .remote = s->c.addr,
        .local = s->w.server_addr[0],
        .transport = NET_UDP,
        .tos = tos,
    };
    memcpy(pkt.data, "\x40\x00\x00\x04toes", 8);
    assert_int_equal(turn_server_client_packet(s->w.server, &pkt, s->w.now_ms), TURN_TO_PEER);
    *out_up = pkt.tos;
    assert_int_equal(world_from_peer(&s->w, relayed, peer, hello, 5), TURN_TO_CLIENT);
    for (uint32_t i = 0; i < WORLD_MAX_SOCKETS; i++) {
        if (s->w.sockets[i].open) {
            pkt.remote = *peer;
            pkt.tos = tos;
            pkt.data = s->w.buf + PKT_HEADROOM;
            pkt.len = 5;
            assert_int_equal(
                turn_server_peer_packet(s->w.server, s->w.sockets[i].relay, &pkt, s->w.now_ms),
                TURN_TO_CLIENT);
            *out_down = pkt.tos;
            break;
        }
    }
}

/* Proves T-8656-14-01, T-8656-14-02 */
static void dscp_and_ecn__are_copied_or_reset(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = stage_allocate(&s->c);
    const struct net_addr peer = world_addr("198.51.100.1:9");
    uint8_t up = 0;
    uint8_t down = 0;

    assert_int_equal(client_bind(&s->c, 0x4000, &peer).code, 0);
    for (unsigned tos = 0; tos < 256; tos++) {
        s->w.config.copy_dscp = true;
        s->w.config.copy_ecn = true;
        submit_with_tos(s, (uint8_t)tos, &relayed, &peer, &up, &down);
        assert_true(up == tos && down == tos);
        s->w.config.copy_ecn = false;
        submit_with_tos(s, (uint8_t)tos, &relayed, &peer, &up, &down);
        assert_true(up == (tos & 0xfc) && down == (tos & 0xfc));
        s->w.config.copy_dscp = false;
        submit_with_tos(s, (uint8_t)tos, &relayed, &peer, &up, &down);
        assert_true(up == 0 && down == 0);
    }
}

/* The largest datagrams: what fits goes, what does not is counted, nothing is over-written. */
static void datagrams__of_any_size(void **state)
{
    static uint8_t data[65535];
    struct stage *s = *state;
    const struct net_addr relayed = stage_allocate(&s->c);
    const struct net_addr peer = world_addr("198.51.100.1:9");
    const struct net_addr plain = world_addr("198.51.100.1:10");

    assert_int_equal(client_bind(&s->c, 0x4000, &peer).code, 0);
    assert_int_equal(world_from_peer(&s->w, &relayed, &peer, data, 65503), TURN_TO_CLIENT);
    assert_int_equal(s->w.pkt.len, 65507);
    assert_int_equal(world_from_peer(&s->w, &relayed, &peer, data, 65504), TURN_DROP);
    assert_int_equal(world_from_peer(&s->w, &relayed, &plain, data, 65468), TURN_TO_CLIENT);
    assert_int_equal(world_from_peer(&s->w, &relayed, &plain, data, 65472), TURN_DROP);
    assert_int_equal(world_drops(&s->w, DROP_TOO_BIG), 2);
    assert_int_equal(client_channel(&s->c, 0x4000, data, 65503), TURN_TO_PEER);
}

/* Proves T-8656-5-14, T-8656-21.1.7-01 */
static void max_bps__drops_the_excess_by_direction(void **state)
{
    static uint8_t data[1000];
    struct stage *s = *state;
    const struct net_addr relayed = stage_allocate(&s->c);
    const struct net_addr peer = world_addr("198.51.100.1:9");
    uint32_t passed = 0;

    assert_int_equal(client_refresh(&s->c, 0).code, 0);
    s->w.config.main.max_bps = 100000;
    const struct net_addr again = stage_allocate(&s->c);
    (void)relayed;
    assert_int_equal(client_bind(&s->c, 0x4000, &peer).code, 0);
    for (int second = 0; second < 10; second++) {
        for (int i = 0; i < 200; i++) { /* twice the rate */
            world_advance(&s->w, 5);
            passed += client_channel(&s->c, 0x4000, data, 996) == TURN_TO_PEER;
        }
    }
    assert_true(passed >= 1000 && passed <= 1101); /* ten seconds' worth, and one bucket */
    assert_int_equal(world_from_peer(&s->w, &again, &peer, data, 1000), TURN_TO_CLIENT);
    assert_true(world_drops(&s->w, DROP_BANDWIDTH) == 2000 - passed);
}

static void capacity__is_leased(void **state)
{
    static uint8_t data[1000];
    struct stage *s = *state;
    const struct net_addr relayed = stage_allocate(&s->c);
    const struct net_addr peer = world_addr("198.51.100.1:9");
    uint32_t up = 0;
    uint32_t down = 0;

    s->w.config.limit_capacity = true;
    s->w.capacity_left[0] = 50 * 1000;
    s->w.capacity_left[1] = 20 * 1000;
    assert_int_equal(client_bind(&s->c, 0x4000, &peer).code, 0);
    for (int i = 0; i < 100; i++) {
        up += client_channel(&s->c, 0x4000, data, 996) == TURN_TO_PEER;
        down += world_from_peer(&s->w, &relayed, &peer, data, 996) == TURN_TO_CLIENT;
    }
    assert_int_equal(up, 50);
    assert_int_equal(down, 20);
    assert_int_equal(world_drops(&s->w, DROP_CAPACITY), 130);
}

static void traffic__is_told_at_the_end(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = stage_allocate(&s->c);
    const struct net_addr peer = world_addr("198.51.100.1:9");

    assert_int_equal(client_bind(&s->c, 0x4000, &peer).code, 0);
    for (int i = 0; i < 7; i++) {
        (void)client_channel(&s->c, 0x4000, hello, 5);
    }
    for (int i = 0; i < 3; i++) {
        (void)world_from_peer(&s->w, &relayed, &peer, hello, 4);
    }
    assert_int_equal(client_refresh(&s->c, 0).code, 0);
    assert_int_equal(s->w.events.last_traffic.to_peer_packets, 7);
    assert_int_equal(s->w.events.last_traffic.to_peer_bytes, 35);
    assert_int_equal(s->w.events.last_traffic.to_client_packets, 3);
    assert_int_equal(s->w.events.last_traffic.to_client_bytes, 12);
}

/* --- ICMP ---------------------------------------------------------------------------------------
 */

/* Proves T-8656-11.5-01, T-8656-18.13-01, T-8656-18.13-02, T-8656-11.5-05 */
static void icmp__is_told_in_a_data_indication(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = stage_allocate(&s->c);
    const struct net_addr peer = world_addr("198.51.100.1:9");

    assert_int_equal(client_permit(&s->c, &peer).code, 0);
    for (unsigned type = 0; type < 256; type++) {
        for (unsigned code = 0; code < 6; code++) {
            const struct turn_icmp icmp = {peer, (uint8_t)type, (uint8_t)code, 1400};
            const enum turn_verdict v = world_icmp(&s->w, &relayed, &icmp);
            assert_int_equal(v, type == 3 || type == 11 ? TURN_TO_CLIENT : TURN_DROP);
            if (v == TURN_DROP) {
                continue;
            }
            const struct reply r = client_read(&s->c, v, s->w.pkt.data, s->w.pkt.len);
            assert_int_equal(r.msg.method, STUN_DATA);
            assert_true(net_addr_equal(&r.peer, &peer));
            assert_false(r.has_data);
            assert_int_equal(r.icmp.n, 8);
            assert_int_equal(be16(r.icmp.p), 0);
            assert_int_equal(r.icmp.p[2], type);
            assert_int_equal(r.icmp.p[3], code);
            assert_int_equal(be32(r.icmp.p + 4), type == 3 && code == 4 ? 1400 : 0);
        }
    }
}

/* Proves T-8656-11.5-01, T-8656-18.13-02 */
static void icmpv6__has_its_own_types(void **state)
{
    struct stage *s = *state;
    const struct net_addr peer = world_addr("[2001:db8::77]:999");

    assert_true(client_challenge(&s->c));
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&s->c);
    stun_out_u32(&s->c.out, STUN_REQUESTED_ADDRESS_FAMILY, UINT32_C(2) << 24);
    client_sign(&s->c);
    const struct net_addr relayed = client_submit(&s->c).relayed[0];
    assert_int_equal(client_permit(&s->c, &peer).code, 0);
    for (unsigned type = 0; type < 256; type++) {
        const struct turn_icmp icmp = {peer, (uint8_t)type, 0, 1280};
        const enum turn_verdict v = world_icmp(&s->w, &relayed, &icmp);
        assert_int_equal(v, type >= 1 && type <= 3 ? TURN_TO_CLIENT : TURN_DROP);
        if (v == TURN_TO_CLIENT) {
            const struct reply r = client_read(&s->c, v, s->w.pkt.data, s->w.pkt.len);
            assert_int_equal(be32(r.icmp.p + 4), type == 2 ? 1280 : 0);
        }
    }
}

/* Proves T-8656-11.5-04, T-8656-11.5-06, T-8656-11.5-07, T-8656-11.5-03 */
static void icmp__is_judged_by_the_destination_it_is_about(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = stage_allocate(&s->c);
    const struct net_addr peer = world_addr("198.51.100.1:9");
    const struct net_addr nowhere = world_addr("192.0.2.1:1024");
    const struct turn_icmp about_peer = {peer, 3, 3, 0};
    struct turn_icmp other = {world_addr("198.51.100.2:9"), 3, 3, 0};

    assert_int_equal(client_bind(&s->c, 0x4000, &peer).code, 0);
    enum turn_verdict v = world_icmp(&s->w, &relayed, &about_peer);
    assert_int_equal(v, TURN_TO_CLIENT);
    assert_int_equal(be16(s->w.pkt.data), 0x0017); /* an indication though a channel is bound */
    assert_int_equal(world_icmp(&s->w, &relayed, &other), TURN_DROP);
    other.peer = world_addr("198.51.100.1:0"); /* the port is not known */
    v = world_icmp(&s->w, &relayed, &other);
    const struct reply r = client_read(&s->c, v, s->w.pkt.data, s->w.pkt.len);
    assert_int_equal(r.peer.port, 0);
    assert_int_equal(world_icmp(&s->w, &nowhere, &about_peer), TURN_DROP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(permission__opens_an_address_on_all_ports),
        STAGE_TEST(permission__lives_300_seconds_whatever_flows),
        STAGE_TEST(permission__is_reset_by_both_requests),
        STAGE_TEST(permission__is_of_one_allocation),
        STAGE_TEST(create_permission__malformed),
        STAGE_TEST(create_permission__of_many),
        STAGE_TEST(create_permission__is_all_or_nothing),
        STAGE_TEST(create_permission__capacity),
        STAGE_TEST(gate__is_asked_on_every_way),
        STAGE_TEST(mapped_address__is_refused),
        STAGE_TEST(reload__revokes_permissions_and_channels),
        STAGE_TEST(channel_numbers__in_range_only),
        STAGE_TEST(channel_bind__malformed),
        STAGE_TEST(channel_bind__is_one_to_one),
        STAGE_TEST(channel_bind__that_fails_changes_nothing),
        STAGE_TEST(channel_bind__capacity),
        STAGE_TEST(channels_and_permissions__of_one_do_not_starve_others),
        STAGE_TEST(channel__lives_600_seconds_from_its_last_bind),
        STAGE_TEST(channel__expired_but_not_swept_is_free),
        STAGE_TEST(channel__is_of_one_allocation),
        STAGE_TEST(channel_data__reaches_the_peer),
        STAGE_TEST(channel_data__odd),
        STAGE_TEST(peer_data__as_channel_data_where_one_is_bound),
        STAGE_TEST(peer_data__as_data_indication),
        STAGE_TEST(data_indication__over_ipv6_has_its_own_random_id),
        STAGE_TEST(send__reaches_the_peer),
        STAGE_TEST(send__dropped_without_a_word),
        STAGE_TEST(duplicates__the_first_wins),
        STAGE_TEST(dont_fragment__is_honoured_from_ipv4_to_ipv4_only),
        STAGE_TEST(dscp_and_ecn__are_copied_or_reset),
        STAGE_TEST(datagrams__of_any_size),
        STAGE_TEST(max_bps__drops_the_excess_by_direction),
        STAGE_TEST(capacity__is_leased),
        STAGE_TEST(traffic__is_told_at_the_end),
        STAGE_TEST(icmp__is_told_in_a_data_indication),
        STAGE_TEST(icmpv6__has_its_own_types),
        STAGE_TEST(icmp__is_judged_by_the_destination_it_is_about),
    };
    return cmocka_run_group_tests_name("peer", tests, NULL, NULL);
}

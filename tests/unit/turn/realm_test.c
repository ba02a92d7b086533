/* SPDX-License-Identifier: Apache-2.0 */
/* Several realms in one server: which one a request is judged in, and what it brings along. */
#include "turn/realm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "stage.h"

enum { NORTH = 1, SOUTH = 2, GONE = 3, REALMS = 3 };

static struct turn_realm realms[REALMS];
static const uint32_t order[REALMS] = {GONE, NORTH, SOUTH}; /* gone, north, south */
static const struct turn_origin origins[] = {
    {"https://gone.example:443", GONE},
    {"https://north.example:443", NORTH}, /* as origin_spell() spells them */
    {"https://south.example:443", SOUTH},
};

static int open_realms(void **state)
{
    static const char *const names[REALMS] = {"north", "south", "gone"};

    if (stage_open(state) < 0) {
        return -1;
    }
    struct stage *s = *state;
    for (size_t i = 0; i < REALMS; i++) {
        realms[i] = s->w.config.main;
        (void)strcpy(realms[i].name, names[i]);
    }
    realms[GONE - 1].gone = true;
    s->w.config.realms = realms;
    s->w.config.realm_count = REALMS;
    s->w.config.realm_order = order;
    s->w.config.origins = origins;
    s->w.config.origin_count = COUNT_OF(origins);
    (void)world_add_user_of(&s->w, "north", "ann", "north-pass");
    (void)world_add_user_of(&s->w, "south", "ann", "south-pass");
    (void)world_add_user_of(&s->w, "gone", "ann", "gone-pass");
    return 0;
}

static void put_origin(struct client *c, const char *origin)
{
    if (origin != NULL) {
        stun_out_attr(&c->out, STUN_ORIGIN, bytes_of(origin));
    }
}

/* An Allocate without credentials: the realm of the challenge. */
static struct reply ask(struct client *c, const char *origin)
{
    client_begin(c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(c);
    put_origin(c, origin);
    client_end(c);
    return client_submit(c);
}

static struct reply allocate(struct client *c, const char *origin)
{
    client_begin(c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(c);
    put_origin(c, origin);
    client_sign(c);
    return client_submit(c);
}

static void client_of(struct client *c, struct stage *s, const char *realm, const char *password)
{
    client_init(c, &s->w, "203.0.113.9:5000", "ann", password);
    const struct reply r = ask(c, NULL);
    (void)client_learn(c, &r);
    c->realm = realm;
}

static bool challenged_with(const struct reply *r, const char *realm)
{
    return r->code == STUN_UNAUTHENTICATED && bytes_equal(r->realm, bytes_of(realm));
}

static void names__are_found_unless_gone(void **state)
{
    struct stage *s = *state;
    const struct turn_config *config = &s->w.config;
    uint32_t id = 77;

    assert_int_equal(turn_realm_find(config, bytes_of("south"), &id), 0);
    assert_int_equal(id, SOUTH);
    assert_int_equal(turn_realm_find(config, bytes_of("north"), &id), 0);
    assert_int_equal(id, NORTH);
    assert_int_equal(turn_realm_find(config, bytes_of(WORLD_REALM), &id), 0);
    assert_int_equal(id, 0);
    assert_int_equal(turn_realm_named(config, bytes_of("gone"), &id), 0);
    assert_int_equal(id, GONE);
    id = 77;
    assert_int_equal(turn_realm_find(config, bytes_of("gone"), &id), -ENOENT);
    assert_int_equal(turn_realm_find(config, bytes_of("nort"), &id), -ENOENT);
    assert_int_equal(turn_realm_find(config, bytes_of("northe"), &id), -ENOENT);
    assert_int_equal(turn_realm_find(config, bytes_of(""), &id), -ENOENT);
    assert_int_equal(id, 77);
    assert_ptr_equal(turn_realm_at(config, REALMS + 1), &config->main);
}

static void origin__chooses_the_realm_of_the_challenge(void **state)
{
    struct stage *s = *state;
    struct reply r = ask(&s->c, "https://north.example");

    assert_true(challenged_with(&r, "north"));
    r = ask(&s->c, "https://south.example");
    assert_true(challenged_with(&r, "south"));
    r = ask(&s->c, "https://south.exampl");
    assert_true(challenged_with(&r, WORLD_REALM));
    r = ask(&s->c, "");
    assert_true(challenged_with(&r, WORLD_REALM));
    r = ask(&s->c, NULL);
    assert_true(challenged_with(&r, WORLD_REALM));
}

/* Nobody could answer the challenge of a realm that is gone. */
static void origin__of_a_realm_that_is_gone_is_unknown(void **state)
{
    struct stage *s = *state;
    const struct reply r = ask(&s->c, "https://gone.example");

    assert_true(challenged_with(&r, WORLD_REALM));
}

static void origin__is_compared_in_one_spelling(void **state)
{
    static const struct {
        const char *origin;
        const char *realm;
    } cases[] = {
        {"HTTPS://North.Example/page", "north"},
        {"https://u@south.example:443", "south"},
        {"https://north.example:80", WORLD_REALM},
        {"http://north.example", WORLD_REALM},
        {"north.example", WORLD_REALM},
    };
    struct stage *s = *state;
    char longest[TURN_ORIGIN_MAX * 4] = "";

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct reply r = ask(&s->c, cases[i].origin);
        assert_true(challenged_with(&r, cases[i].realm));
    }
    (void)snprintf(longest, sizeof(longest), "https://north.example/%0*d", TURN_ORIGIN_MAX * 2, 0);
    struct reply r = ask(&s->c, longest);
    assert_true(challenged_with(&r, "north")); /* the path is no part of it */
    memset(longest, 'x', sizeof(longest) - 1);
    r = ask(&s->c, longest);
    assert_true(challenged_with(&r, WORLD_REALM));
}

/* turnutils_uclient sends three, the second of which is the one that it is told. */
static void origin__that_is_known_counts_of_several(void **state)
{
    struct stage *s = *state;

    for (int before = 0; before <= 8; before++) {
        client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
        client_put_transport(&s->c);
        for (int i = 0; i < before; i++) {
            put_origin(&s->c, i % 2 == 0 ? "https://carleon.gov:443" : "");
        }
        put_origin(&s->c, "https://north.example");
        put_origin(&s->c, "https://south.example");
        client_end(&s->c);
        const struct reply r = client_submit(&s->c);
        assert_true(
            challenged_with(&r, before < 8 ? "north" : WORLD_REALM)); /* few are looked at */
    }
}

/* coturn hole 23: what a stranger says decides nothing about who comes later. */
static void origin__before_authentication_binds_nothing(void **state)
{
    struct stage *s = *state;
    struct reply r = ask(&s->c, "https://north.example");

    assert_true(challenged_with(&r, "north"));
    (void)client_learn(&s->c, &r);
    s->c.realm = WORLD_REALM;
    r = allocate(&s->c, NULL);
    assert_int_equal(r.code, 0);
    assert_int_equal(s->w.quota_realm, 0);
}

/* Proves T-8489-9-01: what stands behind MESSAGE-INTEGRITY is not there. */
static void origin__after_integrity_does_not_count(void **state)
{
    struct stage *s = *state;

    assert_true(client_challenge(&s->c));
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&s->c);
    s->c.password = "wrong";
    client_sign(&s->c);
    const size_t len = s->c.len;
    static const char origin[] = "https://north.example";
    uint8_t *at = s->c.buf + len;
    be16_put(at, STUN_ORIGIN);
    be16_put(at + 2, sizeof(origin) - 1);
    memset(at + 4, 0, 24);
    memcpy(at + 4, origin, sizeof(origin) - 1);
    s->c.len = len + 4 + 24;
    be16_put(s->c.buf + 2, (uint16_t)(s->c.len - STUN_HEADER));
    const struct reply r = client_submit(&s->c);
    assert_true(challenged_with(&r, WORLD_REALM));
}

static void same_name__is_another_user_in_another_realm(void **state)
{
    struct stage *s = *state;
    struct client c;

    client_of(&c, s, "north", "south-pass");
    struct reply r = allocate(&c, NULL);
    assert_true(challenged_with(&r, "north"));
    c.password = "north-pass";
    r = allocate(&c, NULL);
    assert_int_equal(r.code, 0);
    assert_true(r.integrity_ok);
    assert_int_equal(s->w.quota_realm, NORTH);
    /* The session stays in its realm: its namesake of another cannot touch it. */
    c.realm = "south";
    c.password = "south-pass";
    r = client_refresh(&c, 600);
    assert_int_equal(r.code, STUN_UNAUTHENTICATED);
    assert_true(bytes_equal(r.realm, bytes_of("north")));
    c.realm = "north";
    c.password = "north-pass";
    r = client_refresh(&c, 0);
    assert_int_equal(r.code, 0);
    assert_int_equal(s->w.quota_realm, NORTH);
}

static void unknown_realm__is_challenged_with_the_one_of_the_origin(void **state)
{
    struct stage *s = *state;
    struct client c;

    client_of(&c, s, "nowhere", "north-pass");
    struct reply r = allocate(&c, NULL);
    assert_true(challenged_with(&r, WORLD_REALM));
    r = allocate(&c, "https://south.example");
    assert_true(challenged_with(&r, "south"));
    client_of(&c, s, "gone", "gone-pass");
    r = allocate(&c, NULL);
    assert_true(challenged_with(&r, WORLD_REALM));
}

static void realm_that_goes__keeps_its_sessions_and_takes_no_others(void **state)
{
    struct stage *s = *state;
    struct client c;
    struct client late;

    client_of(&c, s, "north", "north-pass");
    struct reply r = allocate(&c, NULL);
    assert_int_equal(r.code, 0);
    realms[NORTH - 1].gone = true;
    r = client_refresh(&c, 900);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.lifetime_s, 900);
    client_of(&late, s, "north", "north-pass");
    late.addr = world_addr("203.0.113.9:5001");
    r = ask(&late, NULL);
    (void)client_learn(&late, &r);
    late.realm = "north";
    r = allocate(&late, NULL);
    assert_int_equal(r.code, STUN_UNAUTHENTICATED);
}

static void origin__can_be_demanded_to_stay_the_same(void **state)
{
    struct stage *s = *state;
    struct client c;

    s->w.config.origin_consistency = true;
    client_of(&c, s, "north", "north-pass");
    struct reply r = allocate(&c, "https://north.example");
    assert_int_equal(r.code, 0);
    r = client_refresh(&c, 600); /* without one */
    assert_int_equal(r.code, STUN_WRONG_CREDENTIALS);
    client_begin(&c, STUN_REFRESH, STUN_REQUEST);
    put_origin(&c, "https://north.example");
    client_sign(&c);
    r = client_submit(&c);
    assert_int_equal(r.code, 0);
    s->w.config.origin_consistency = false;
    r = client_refresh(&c, 600);
    assert_int_equal(r.code, 0);
}

static void peers__are_judged_by_the_rules_of_the_realm(void **state)
{
    struct stage *s = *state;
    const struct gate_options options = s->w.gate_options;
    const struct net_addr peer = world_addr("198.51.100.7:9");
    struct gate *closed = gate_new(&options);
    struct client c;

    assert_non_null(closed);
    assert_int_equal(gate_deny(closed, &peer.ip, &peer.ip), 0);
    assert_int_equal(gate_build(closed), 0);
    realms[NORTH - 1].gate = closed;
    client_of(&c, s, "north", "north-pass");
    struct reply r = allocate(&c, NULL);
    assert_int_equal(r.code, 0);
    r = client_permit(&c, &peer);
    assert_int_equal(r.code, STUN_FORBIDDEN);
    stage_allocate(&s->c); /* another realm, other rules */
    r = client_permit(&s->c, &peer);
    assert_int_equal(r.code, 0);
    world_stop(&s->w);
    gate_free(closed);
    assert_int_equal(world_start(&s->w), 0);
}

static void bandwidth__is_the_realms(void **state)
{
    struct stage *s = *state;
    const struct net_addr peer = world_addr("198.51.100.7:9");
    static const uint8_t data[900];
    struct client c;

    realms[NORTH - 1].max_bps = 1000;
    client_of(&c, s, "north", "north-pass");
    assert_int_equal(allocate(&c, NULL).code, 0);
    assert_int_equal(client_permit(&c, &peer).code, 0);
    uint32_t passed = 0;
    while (passed < 100 && client_send(&c, &peer, data, sizeof(data)) == TURN_TO_PEER) {
        passed++;
    }
    assert_in_range(passed, 60, 73); /* what may come in one burst: BUCKET_MIN_DEPTH */
    assert_int_equal(world_drops(&s->w, DROP_BANDWIDTH), 1);
    stage_allocate(&s->c);
    assert_int_equal(client_permit(&s->c, &peer).code, 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(client_send(&s->c, &peer, data, sizeof(data)), TURN_TO_PEER);
    }
}

/* What is offered, and told with the nonce, is what holds in the realm. */
static void algorithms__are_the_realms(void **state)
{
    struct stage *s = *state;

    realms[NORTH - 1].algorithms = TURN_ALG_MD5;
    realms[NORTH - 1].username_anonymity = false;
    struct reply r = ask(&s->c, "https://north.example");
    assert_int_equal(r.algorithms.n, 4);
    assert_memory_equal(r.nonce.p, "obMatJos2gAAA", 13);
    r = ask(&s->c, "https://south.example");
    assert_int_equal(r.algorithms.n, 8);
    assert_memory_equal(r.nonce.p, "obMatJos2wAAA", 13);
}

static void userhash__is_of_the_realm(void **state)
{
    struct stage *s = *state;
    struct client c;

    client_of(&c, s, "south", "south-pass");
    c.userhash = true;
    const struct reply r = allocate(&c, NULL);
    assert_int_equal(r.code, 0);
    assert_int_equal(s->w.quota_realm, SOUTH);
}

/* Who counts by numbers gets back what was taken under that number, whatever a name means by then.
 */
static void number__is_given_back_to_a_session_that_was_packed(void **state)
{
    struct stage *s = *state;
    const struct five_tuple other = {.protocol = NET_UDP};
    struct client c;

    client_of(&c, s, "south", "south-pass");
    assert_int_equal(allocate(&c, NULL).code, 0);
    const struct five_tuple tuple = {c.addr, s->w.server_addr[0], NET_UDP};
    assert_int_equal(turn_server_realm(s->w.server, &tuple), SOUTH);
    turn_server_set_realm(s->w.server, &other, NORTH);
    assert_int_equal(turn_server_realm(s->w.server, &other), 0);
    turn_server_set_realm(s->w.server, &tuple, NORTH);
    assert_int_equal(turn_server_realm(s->w.server, &tuple), NORTH);
    turn_server_client_closed(s->w.server, &tuple, NULL, s->w.now_ms);
    assert_int_equal(s->w.quota_realm, NORTH);
}

/* Whose rules hold for him is not for one to say who proves nothing. */
static void without_authentication__there_is_the_main_realm(void **state)
{
    struct stage *s = *state;

    s->w.config.require_auth = false;
    s->c.auth = CLIENT_NO_AUTH;
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&s->c);
    put_origin(&s->c, "https://north.example");
    stun_out_attr(&s->c.out, STUN_REALM, bytes_of("south"));
    client_end(&s->c);
    s->w.quota_realm = 77;
    assert_int_equal(client_submit(&s->c).code, 0);
    assert_int_equal(s->w.quota_realm, 0);
}

#define REALM_TEST(f) cmocka_unit_test_setup_teardown(f, open_realms, stage_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        REALM_TEST(names__are_found_unless_gone),
        REALM_TEST(origin__chooses_the_realm_of_the_challenge),
        REALM_TEST(origin__of_a_realm_that_is_gone_is_unknown),
        REALM_TEST(origin__is_compared_in_one_spelling),
        REALM_TEST(origin__that_is_known_counts_of_several),
        REALM_TEST(origin__before_authentication_binds_nothing),
        REALM_TEST(origin__after_integrity_does_not_count),
        REALM_TEST(same_name__is_another_user_in_another_realm),
        REALM_TEST(unknown_realm__is_challenged_with_the_one_of_the_origin),
        REALM_TEST(realm_that_goes__keeps_its_sessions_and_takes_no_others),
        REALM_TEST(origin__can_be_demanded_to_stay_the_same),
        REALM_TEST(peers__are_judged_by_the_rules_of_the_realm),
        REALM_TEST(bandwidth__is_the_realms),
        REALM_TEST(algorithms__are_the_realms),
        REALM_TEST(userhash__is_of_the_realm),
        REALM_TEST(without_authentication__there_is_the_main_realm),
        REALM_TEST(number__is_given_back_to_a_session_that_was_packed),
    };
    return cmocka_run_group_tests_name("realm", tests, NULL, NULL);
}

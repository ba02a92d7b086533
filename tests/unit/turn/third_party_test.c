/* SPDX-License-Identifier: Apache-2.0 */
/* Third-party authorization (RFC 7635) in the core: what is offered, what a token proves, and for
 * how long.  What is inside a token is not the core's business: tests/unit/auth, tests/unit/crypto.
 */
#include <string.h>

#include "stage.h"

#define SERVER_NAME "turn.example.org"

static int open_stage(void **state)
{
    if (stage_open(state) < 0) {
        return -1;
    }
    struct stage *s = *state;
    s->w.config.third_party = true;
    (void)strcpy(s->w.config.server_name, SERVER_NAME);
    world_add_token(&s->w, "kid", "token-a", 0xaa)->lifetime_s = 125;
    world_add_token(&s->w, "kid", "token-b", 0xbb)->lifetime_s = 5000;
    return 0;
}

static void holder(struct client *c, struct stage *s, const char *addr, const char *token,
                   uint8_t fill)
{
    client_init(c, &s->w, addr, "kid", NULL);
    c->auth = CLIENT_TOKEN;
    c->token = token;
    c->mac_key_len = 20;
    memset(c->mac_key, fill, c->mac_key_len);
}

static struct reply allocate_for(struct client *c, uint32_t lifetime_s)
{
    if (c->nonce[0] == '\0') {
        assert_true(client_challenge(c));
    }
    client_begin(c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(c);
    if (lifetime_s > 0) {
        stun_out_u32(&c->out, STUN_LIFETIME, lifetime_s);
    }
    client_sign(c);
    return client_submit(c);
}

/* Proves T-7635-4-01, T-7635-6.1-01 */
static void challenge__names_the_server(void **state)
{
    struct stage *s = *state;

    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&s->c);
    client_end(&s->c);
    const struct reply r = client_submit(&s->c);
    assert_int_equal(r.code, STUN_UNAUTHENTICATED);
    assert_true(bytes_equal(r.third_party, bytes_of(SERVER_NAME)));
    assert_true(bytes_equal(r.realm, bytes_of(WORLD_REALM)));
    assert_true(r.nonce.n > 0);
}

/* Proves T-7635-6.1-02 */
static void nothing__is_offered_unless_configured(void **state)
{
    struct stage *s = *state;

    s->w.config.third_party = false;
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_end(&s->c);
    const struct reply r = client_submit(&s->c);
    assert_int_equal(r.code, STUN_UNAUTHENTICATED);
    assert_null(r.third_party.p);
}

/* Proves T-7635-7-06 */
static void token__is_unknown_where_it_was_not_offered(void **state)
{
    struct stage *s = *state;
    struct client c;

    s->w.config.third_party = false;
    holder(&c, s, "203.0.113.5:4100", "token-a", 0xaa);
    struct reply r = allocate_for(&c, 0);
    assert_int_equal(r.code, STUN_UNKNOWN_ATTRIBUTE);
    assert_int_equal(r.unknown.n, 2);
    assert_int_equal(be16(r.unknown.p), STUN_ACCESS_TOKEN);
    assert_int_equal(turn_server_allocation_count(s->w.server), 0);
    /* Of one who is proven otherwise, too. */
    assert_true(client_challenge(&s->c));
    client_begin(&s->c, STUN_BINDING, STUN_REQUEST);
    stun_out_attr(&s->c.out, STUN_ACCESS_TOKEN, bytes_of("x"));
    client_end(&s->c);
    r = client_submit(&s->c);
    assert_int_equal(r.code, STUN_UNKNOWN_ATTRIBUTE);
}

/* Proves T-7635-5-01, T-7635-7-05, T-7635-9-03, T-7635-9-05 */
static void token__opens_sessions_and_its_key_proves_what_follows(void **state)
{
    struct stage *s = *state;
    const struct net_addr peer = world_addr("198.51.100.7:9");
    struct client c;
    struct client again;

    holder(&c, s, "203.0.113.5:4100", "token-a", 0xaa);
    struct reply r = allocate_for(&c, 0);
    assert_int_equal(r.code, 0);
    assert_true(r.integrity_ok && r.has_mi && !r.has_mi256);
    const uint32_t lookups = s->w.key_lookups;
    c.token = NULL;
    r = client_permit(&c, &peer);
    assert_int_equal(r.code, 0);
    assert_true(r.integrity_ok);
    assert_int_equal(client_bind(&c, 0x4000, &peer).code, 0);
    assert_int_equal(s->w.key_lookups, lookups);
    holder(&again, s, "203.0.113.5:4101", "token-a", 0xaa);
    assert_int_equal(allocate_for(&again, 0).code, 0);
}

/* */
static void realm__may_be_left_out(void **state)
{
    struct stage *s = *state;
    struct client c;

    holder(&c, s, "203.0.113.5:4100", "token-a", 0xaa);
    c.realm = NULL;
    assert_int_equal(allocate_for(&c, 0).code, 0);
    c.token = NULL; /* without a token it is missing */
    assert_int_equal(client_refresh(&c, 600).code, STUN_BAD_REQUEST);
}

/* */
static void sha256__is_answered_with_sha256(void **state)
{
    struct stage *s = *state;
    struct client c;

    holder(&c, s, "203.0.113.5:4100", "token-a", 0xaa);
    c.mac_sha256 = true;
    const struct reply r = allocate_for(&c, 0);
    assert_int_equal(r.code, 0);
    assert_true(r.integrity_ok && r.has_mi256 && !r.has_mi);
}

/* Proves T-7635-7-04, T-7635-7-01 */
static void wrong_key_or_token__is_unauthenticated(void **state)
{
    struct stage *s = *state;
    struct client c;

    holder(&c, s, "203.0.113.5:4100", "token-a", 0xbb);
    assert_int_equal(allocate_for(&c, 0).code, STUN_UNAUTHENTICATED);
    holder(&c, s, "203.0.113.5:4100", "token-c", 0xaa);
    assert_int_equal(allocate_for(&c, 0).code, STUN_UNAUTHENTICATED);
    holder(&c, s, "203.0.113.5:4100", "", 0xaa);
    assert_int_equal(allocate_for(&c, 0).code, STUN_UNAUTHENTICATED);
    holder(&c, s, "203.0.113.5:4100", "token-a", 0xaa);
    c.user = "dik";
    assert_int_equal(allocate_for(&c, 0).code, STUN_UNAUTHENTICATED);
}

/* Proves T-7635-7-07 */
static void ordinary_checks__apply(void **state)
{
    struct stage *s = *state;
    struct client c;

    holder(&c, s, "203.0.113.5:4100", "token-a", 0xaa);
    assert_true(client_challenge(&c));
    client_begin(&c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&c);
    stun_out_attr(&c.out, STUN_ACCESS_TOKEN, bytes_of("token-a"));
    client_end(&c);
    assert_int_equal(client_submit(&c).code, STUN_UNAUTHENTICATED); /* no integrity */
    world_advance(&s->w, (uint64_t)(s->w.config.nonce_s + 1) * 1000);
    assert_int_equal(allocate_for(&c, 0).code, STUN_STALE_NONCE);
    c.nonce[0] = '\0';
    assert_int_equal(allocate_for(&c, 0).code, 0);
}

/* Proves T-7635-9-01, T-7635-9-02 */
static void lifetime__is_not_beyond_the_tokens(void **state)
{
    struct stage *s = *state;
    struct client c;

    holder(&c, s, "203.0.113.5:4100", "token-a", 0xaa);
    struct reply r = allocate_for(&c, 3600);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.lifetime_s, 125);
    holder(&c, s, "203.0.113.5:4101", "token-a", 0xaa);
    r = allocate_for(&c, 0);
    assert_int_equal(r.lifetime_s, 125);
    holder(&c, s, "203.0.113.5:4102", "token-b", 0xbb);
    r = allocate_for(&c, 3600);
    assert_int_equal(r.lifetime_s, 3600);
    /* A Refresh by the session's key does not make the token younger. */
    holder(&c, s, "203.0.113.5:4101", "token-a", 0xaa);
    world_advance(&s->w, 100 * 1000);
    assert_true(client_challenge(&c));
    c.token = NULL;
    r = client_refresh(&c, 600);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.lifetime_s, 25);
    /* Not by a Refresh each half second either, though a lifetime is told in whole seconds. */
    world_advance(&s->w, 24 * 1000 + 500);
    assert_int_equal(client_refresh(&c, 600).lifetime_s, 1);
    const struct five_tuple tuple = {c.addr, s->w.server_addr[0], NET_UDP};
    assert_true(turn_server_has_allocation(s->w.server, &tuple));
    world_advance(&s->w, 500);
    assert_false(turn_server_has_allocation(s->w.server, &tuple));
    assert_int_equal(client_refresh(&c, 600).code, STUN_UNAUTHENTICATED);
}

/* Proves T-7635-9-04 */
static void new_token__refreshes_the_session(void **state)
{
    struct stage *s = *state;
    struct client c;

    holder(&c, s, "203.0.113.5:4100", "token-a", 0xaa);
    assert_int_equal(allocate_for(&c, 0).code, 0);
    c.token = "token-b";
    memset(c.mac_key, 0xbb, sizeof(c.mac_key));
    struct reply r = client_refresh(&c, 600);
    assert_int_equal(r.code, 0);
    assert_true(r.integrity_ok);
    assert_int_equal(r.lifetime_s, 600);
    c.token = NULL; /* its key is the session's now */
    r = client_refresh(&c, 3000);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.lifetime_s, 3000);
    memset(c.mac_key, 0xaa, sizeof(c.mac_key));
    assert_int_equal(client_refresh(&c, 600).code, STUN_UNAUTHENTICATED);
}

/* Proves T-7635-9-04: keys are changed by giving them another kid, and sessions outlive that. */
static void kid__may_change_with_the_token(void **state)
{
    struct stage *s = *state;
    struct client c;

    world_add_token(&s->w, "next", "token-n", 0xcc)->lifetime_s = 500;
    holder(&c, s, "203.0.113.5:4100", "token-a", 0xaa);
    assert_int_equal(allocate_for(&c, 0).code, 0);
    c.user = "next";
    c.token = "token-n";
    memset(c.mac_key, 0xcc, sizeof(c.mac_key));
    assert_int_equal(client_refresh(&c, 600).lifetime_s, 500);
    c.token = NULL;
    assert_int_equal(client_refresh(&c, 400).code, 0); /* under the new kid */
    c.user = "kid";
    assert_int_equal(client_refresh(&c, 400).code, 0); /* the key proves, not the kid */
    memset(c.mac_key, 0xaa, sizeof(c.mac_key));
    assert_int_equal(client_refresh(&c, 400).code, STUN_UNAUTHENTICATED);
}

/* A younger token may hold the mac_key that is known: it is the younger one that counts. */
static void younger_token__counts(void **state)
{
    struct stage *s = *state;
    struct client c;

    world_add_token(&s->w, "kid", "token-y", 0xaa)->lifetime_s = 3000;
    holder(&c, s, "203.0.113.5:4100", "token-a", 0xaa);
    assert_int_equal(allocate_for(&c, 0).lifetime_s, 125);
    c.token = "token-y";
    assert_int_equal(client_refresh(&c, 2000).lifetime_s, 2000);
    c.token = NULL;
    assert_int_equal(client_refresh(&c, 2000).lifetime_s, 2000);
}

/* Also of one who comes back with a ticket (RFC 8016). */
static void younger_token__counts_with_a_ticket(void **state)
{
    struct stage *s = *state;
    struct client c;

    world_add_token(&s->w, "kid", "token-y", 0xaa)->lifetime_s = 3000;
    holder(&c, s, "203.0.113.5:4100", "token-a", 0xaa);
    assert_int_equal(client_allocate_mobile(&c).lifetime_s, 125);
    client_readdress(&c, "203.0.113.6:4100");
    c.nonce[0] = '\0';
    assert_true(client_challenge(&c));
    c.token = "token-y";
    assert_int_equal(client_move(&c, 2000).lifetime_s, 2000);
    world_advance(&s->w, 1000 * 1000);
    c.token = NULL;
    c.nonce[0] = '\0';
    assert_true(client_challenge(&c));
    assert_int_equal(client_refresh(&c, 3000).lifetime_s, 2000);
}

/* The account counts, not the kid: one token's sessions do not use up the other's. */
static void quota__is_of_the_token(void **state)
{
    struct stage *s = *state;
    struct client c;

    quota_set_limits(s->w.quota, 1, 0);
    holder(&c, s, "203.0.113.5:4100", "token-a", 0xaa);
    assert_int_equal(allocate_for(&c, 0).code, 0);
    holder(&c, s, "203.0.113.5:4101", "token-a", 0xaa);
    assert_int_equal(allocate_for(&c, 0).code, STUN_QUOTA_REACHED);
    holder(&c, s, "203.0.113.5:4102", "token-b", 0xbb);
    assert_int_equal(allocate_for(&c, 0).code, 0);
    assert_string_equal(s->w.events.last_user, "token-b");
}

/* coturn hole 26: a ticket is its owner's, and a kid is many people's. */
static void ticket__is_for_its_own_token(void **state)
{
    struct stage *s = *state;
    struct client c;

    holder(&c, s, "203.0.113.5:4100", "token-a", 0xaa);
    assert_true(client_challenge(&c));
    client_begin(&c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&c);
    stun_out_attr(&c.out, STUN_MOBILITY_TICKET, (struct bytes){NULL, 0});
    client_sign(&c);
    const struct reply r = client_submit(&c);
    assert_int_equal(r.code, 0);
    struct client thief;
    holder(&thief, s, "203.0.113.66:4100", "token-b", 0xbb);
    thief.ticket_len = r.ticket.n;
    memcpy(thief.ticket, r.ticket.p, r.ticket.n);
    assert_true(client_challenge(&thief));
    assert_int_equal(client_move(&thief, 600).code, STUN_WRONG_CREDENTIALS);
    struct client moved;
    holder(&moved, s, "203.0.113.5:4444", "token-a", 0xaa);
    moved.ticket_len = thief.ticket_len;
    memcpy(moved.ticket, thief.ticket, thief.ticket_len);
    assert_true(client_challenge(&moved));
    assert_int_equal(client_move(&moved, 600).code, 0);
}

/* A fixed user who is called like a kid is somebody else. */
static void user_of_that_name__is_another(void **state)
{
    struct stage *s = *state;
    struct client c;

    (void)world_add_user(&s->w, "kid", "password");
    holder(&c, s, "203.0.113.5:4100", "token-a", 0xaa);
    assert_int_equal(allocate_for(&c, 0).code, 0);
    c.auth = CLIENT_SHA256;
    c.password = "password";
    assert_int_equal(client_refresh(&c, 600).code, STUN_WRONG_CREDENTIALS);
}

/* The key of a kid may be of a realm of its own (coturn's oauth_key): that is the session's. */
static void realm_of_the_key__is_the_sessions(void **state)
{
    static const uint32_t order[] = {1};
    static struct turn_realm north;
    struct stage *s = *state;
    struct client c;

    north = s->w.config.main;
    (void)strcpy(north.name, "north");
    s->w.config.realms = &north;
    s->w.config.realm_count = 1;
    s->w.config.realm_order = order;
    struct world_user *user = world_add_token(&s->w, "northern", "token-n", 0xcc);
    user->realm = "north";
    user->own_realm = true;
    holder(&c, s, "203.0.113.5:4100", "token-n", 0xcc);
    c.user = "northern";
    assert_int_equal(allocate_for(&c, 0).code, 0);
    assert_int_equal(s->w.quota_realm, 1);
    /* The client goes on with the REALM that it was told: its mac_key belongs to none (RFC 8656
     * section 21.1.6). */
    assert_int_equal(client_refresh(&c, 600).code, 0);
    c.token = NULL;
    assert_int_equal(client_refresh(&c, 600).code, 0);
    c.realm = "north";
    assert_int_equal(client_refresh(&c, 0).code, 0);
    assert_int_equal(s->w.quota_realm, 1);
    user->realm = "nowhere";
    holder(&c, s, "203.0.113.5:4101", "token-n", 0xcc);
    c.user = "northern";
    assert_int_equal(allocate_for(&c, 0).code, STUN_UNAUTHENTICATED);
}

/* A Connect (RFC 6062) is answered later, under the mac_key that it was proven by: of the longest
 * kind, too.  Proves T-7635-7-05 */
static void connect__is_answered_under_a_mac_key_of_any_length(void **state)
{
    static const size_t lengths[] = {16, 20, 32, 33, CREDENTIAL_MAC_MAX};
    struct stage *s = *state;
    const struct net_addr peers[] = {world_addr("198.51.100.7:80"), world_addr("198.51.100.7:81")};
    struct world_user *user = world_add_token(&s->w, "long", "token-l", 0xee);
    struct client c;

    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        user->key.mac_len = (uint8_t)lengths[i];
        memset(user->key.mac, 0xee, lengths[i]);
        holder(&c, s, "203.0.113.5:4300", "token-l", 0xee);
        c.user = "long";
        c.transport = NET_TCP;
        c.addr.port = (uint16_t)(c.addr.port + i);
        c.mac_key_len = lengths[i];
        memset(c.mac_key, 0xee, c.mac_key_len);
        assert_int_equal(client_allocate_tcp(&c).code, 0);
        for (size_t k = 0; k < COUNT_OF(peers); k++) { /* two records, side by side */
            assert_int_equal(client_permit(&c, &peers[k]).code, 0);
            assert_int_equal(client_connect(&c, &peers[k]).verdict, TURN_LATER);
        }
        for (size_t k = 0; k < COUNT_OF(peers); k++) {
            const enum turn_verdict verdict =
                world_connected(&s->w, world_conn(&s->w, &peers[k]), true);
            const struct reply r = client_read(&c, verdict, s->w.pkt.data, s->w.pkt.len);
            assert_int_equal(r.code, 0);
            assert_true(r.integrity_ok);
            assert_int_not_equal(r.connection_id, 0);
        }
        assert_int_equal(client_refresh(&c, 0).code, 0);
    }
}

/* What is refused is told of the account, whether a token or the session's key has proven it. */
static void refusal__is_told_of_the_account(void **state)
{
    struct stage *s = *state;
    const struct net_addr peer = world_addr("127.0.0.1:9");
    struct client c;

    holder(&c, s, "203.0.113.5:4100", "token-a", 0xaa);
    assert_int_equal(allocate_for(&c, 0).code, 0);
    assert_string_equal(s->w.events.last_user, "token-a");
    (void)strcpy(s->w.events.last_user, "nobody");
    assert_int_equal(client_permit(&c, &peer).code, STUN_FORBIDDEN);
    assert_string_equal(s->w.events.last_user, "token-a");
    (void)strcpy(s->w.events.last_user, "nobody");
    c.token = NULL;
    assert_int_equal(client_permit(&c, &peer).code, STUN_FORBIDDEN);
    assert_string_equal(s->w.events.last_user, "token-a");
}

/* A Connect is refused long after its request has gone. */
static void refusal__of_a_connect_is_told_of_the_account(void **state)
{
    struct stage *s = *state;
    const struct net_addr peer = world_addr("198.51.100.7:80");
    struct client c;

    holder(&c, s, "203.0.113.5:4100", "token-a", 0xaa);
    c.transport = NET_TCP;
    assert_int_equal(client_allocate_tcp(&c).code, 0);
    c.token = NULL;
    assert_int_equal(client_connect(&c, &peer).verdict, TURN_LATER);
    (void)strcpy(s->w.events.last_user, "nobody");
    (void)world_connected(&s->w, world_conn(&s->w, &peer), false);
    assert_int_equal(s->w.events.last_code, STUN_CONNECTION_FAILED);
    assert_string_equal(s->w.events.last_user, "token-a");
}

/* Where passwords are for SHA-256 only: a mac_key has nothing to do with them.
 * Proves T-7635-9-03 */
static void password_algorithms__are_not_asked_of_a_mac_key(void **state)
{
    struct stage *s = *state;
    const struct net_addr peer = world_addr("198.51.100.7:9");
    struct client c;

    s->w.config.main.algorithms = TURN_ALG_SHA256;
    holder(&c, s, "203.0.113.5:4100", "token-a", 0xaa);
    assert_int_equal(allocate_for(&c, 0).code, 0);
    c.token = NULL;
    assert_int_equal(client_permit(&c, &peer).code, 0);
    assert_int_equal(client_refresh(&c, 60).code, 0);
}

/* Proves T-7635-6.2-05: with the longest token and kid that are made, a request is no longer than
 * what any path takes in one piece (RFC 8489 section 6.1). */
static void request__fits_into_one_datagram(void **state)
{
    enum { LONGEST_TOKEN = 108, LONGEST_KID = 127, IPV4_SAFE = 548 };

    static char token[LONGEST_TOKEN + 1];
    static char kid[LONGEST_KID + 1];
    struct stage *s = *state;
    struct client c;

    memset(token, 't', LONGEST_TOKEN);
    memset(kid, 'k', LONGEST_KID);
    world_add_token(&s->w, kid, token, 0xdd)->lifetime_s = 600;
    holder(&c, s, "203.0.113.5:4200", token, 0xdd);
    c.user = kid;
    c.fingerprint = true;
    assert_int_equal(allocate_for(&c, 600).code, 0);
    assert_true(c.len <= IPV4_SAFE);
}

#define TOKEN_TEST(f) cmocka_unit_test_setup_teardown(f, open_stage, stage_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TOKEN_TEST(challenge__names_the_server),
        TOKEN_TEST(nothing__is_offered_unless_configured),
        TOKEN_TEST(token__is_unknown_where_it_was_not_offered),
        TOKEN_TEST(token__opens_sessions_and_its_key_proves_what_follows),
        TOKEN_TEST(realm__may_be_left_out),
        TOKEN_TEST(sha256__is_answered_with_sha256),
        TOKEN_TEST(wrong_key_or_token__is_unauthenticated),
        TOKEN_TEST(ordinary_checks__apply),
        TOKEN_TEST(lifetime__is_not_beyond_the_tokens),
        TOKEN_TEST(new_token__refreshes_the_session),
        TOKEN_TEST(kid__may_change_with_the_token),
        TOKEN_TEST(younger_token__counts),
        TOKEN_TEST(younger_token__counts_with_a_ticket),
        TOKEN_TEST(quota__is_of_the_token),
        TOKEN_TEST(ticket__is_for_its_own_token),
        TOKEN_TEST(user_of_that_name__is_another),
        TOKEN_TEST(realm_of_the_key__is_the_sessions),
        TOKEN_TEST(connect__is_answered_under_a_mac_key_of_any_length),
        TOKEN_TEST(refusal__is_told_of_the_account),
        TOKEN_TEST(refusal__of_a_connect_is_told_of_the_account),
        TOKEN_TEST(password_algorithms__are_not_asked_of_a_mac_key),
        TOKEN_TEST(request__fits_into_one_datagram),
    };
    return cmocka_run_group_tests_name("third_party", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The long-term credential mechanism as seen from outside (RFC 8489 section 9.2.4): longterm.c,
 * nonce.c and what reply.c puts into refusals. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto/longterm.h"
#include "stage.h"

/* A 401 or 438 with all that a client needs, and nothing that it must not carry. */
static void assert_challenge(const struct reply *r, int code)
{
    assert_int_equal(r->verdict, TURN_TO_CLIENT);
    assert_int_equal(r->code, code);
    assert_true(bytes_equal(r->realm, bytes_of(WORLD_REALM)));
    assert_true(r->nonce.n > 13 && r->nonce.n < 128);
    assert_memory_equal(r->nonce.p, "obMatJos2", 9);
    assert_int_equal(r->algorithms.n, 8);
    assert_memory_equal(r->algorithms.p, "\0\2\0\0\0\1\0\0", 8);
    assert_false(r->has_username);
    assert_false(r->has_mi);
    assert_false(r->has_mi256);
}

static void assert_bad_request(const struct reply *r)
{
    assert_int_equal(r->verdict, TURN_TO_CLIENT);
    assert_int_equal(r->code, STUN_BAD_REQUEST);
    assert_int_equal(r->nonce.n, 0);
    assert_int_equal(r->realm.n, 0);
    assert_false(r->has_username);
    assert_false(r->has_mi);
    assert_false(r->has_mi256);
}

/* Proves T-8489-9.2.4-01, T-8489-9.2.4-02, T-8489-9.2.4-04, T-8489-9.2.4-05, T-8489-9.2.4-07,
 * T-8489-9.2-01, T-8489-14.10-01, T-8489-14.11-01, T-8656-5-02, T-8656-5-15, T-8656-7.2-01,
 * T-8489-6.3.1.1-01, T-8489-9.2.4-33, T-8489-9.2.5-01 */
static void no_integrity__is_challenged(void **state)
{
    struct stage *s = *state;

    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&s->c);
    client_end(&s->c);
    const struct reply r = client_submit(&s->c);
    assert_challenge(&r, STUN_UNAUTHENTICATED);
    for (size_t i = 0; i < r.nonce.n; i++) {
        const uint8_t c = r.nonce.p[i];
        assert_true(c > 32 && c < 127 && c != '"' && c != '\\');
    }
}

/* Strangers learn nothing about the program that answers. */
static void challenge__has_no_software_and_the_standard_phrase(void **state)
{
    struct stage *s = *state;

    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_end(&s->c);
    const struct reply r = client_submit(&s->c);
    assert_int_equal(r.software.n, 0);
    assert_true(bytes_equal(r.reason, bytes_of("Unauthenticated")));
}

/* Proves T-8489-9.2-02, T-8489-9.2-03, T-8489-9.2.4-06, T-REST-4.2-04 */
static void nonce_cookie__tells_the_features(void **state)
{
    struct stage *s = *state;

    assert_true(client_challenge(&s->c));
    assert_memory_equal(s->c.nonce, "obMatJos2wAAA", 13); /* bits 0 and 1, most significant first */
    s->w.config.main.username_anonymity = false;
    assert_true(client_challenge(&s->c));
    assert_memory_equal(s->c.nonce, "obMatJos2gAAA", 13); /* bit 0 alone */
}

/* Proves T-8489-9.2.4-03, T-8656-5-04, T-8489-16-01 */
static void nonce__is_never_the_same_twice(void **state)
{
    struct stage *s = *state;
    struct client other;
    char first[256];

    assert_true(client_challenge(&s->c));
    (void)snprintf(first, sizeof(first), "%s", s->c.nonce);
    assert_true(client_challenge(&s->c));
    assert_string_not_equal(first, s->c.nonce);

    client_init(&other, &s->w, "203.0.113.5:4001", "user", "pass");
    assert_true(client_challenge(&other));
    assert_string_not_equal(other.nonce, s->c.nonce);
}

/* Proves T-8489-9.2.4-28, T-8489-9.2.4-26 */
static void nonce__of_another_address_is_stale(void **state)
{
    struct stage *s = *state;
    struct client other;

    assert_true(client_challenge(&s->c));
    client_init(&other, &s->w, "203.0.113.5:4001", "user", "pass");
    memcpy(other.nonce, s->c.nonce, sizeof(other.nonce));
    memcpy(other.algorithms, s->c.algorithms, sizeof(other.algorithms));
    other.algorithms_len = s->c.algorithms_len;
    struct reply r = client_allocate(&other);
    assert_challenge(&r, STUN_STALE_NONCE);
    (void)client_learn(&other, &r);
    r = client_allocate(&other);
    assert_int_equal(r.code, 0);
}

/* Proves T-8489-9.2.4-28 */
static void nonce__altered_anywhere_is_refused(void **state)
{
    struct stage *s = *state;
    char good[256];

    s->c.auth = CLIENT_LEGACY;
    assert_true(client_challenge(&s->c));
    memcpy(good, s->c.nonce, sizeof(good));
    for (size_t i = 0; good[i] != '\0'; i++) {
        memcpy(s->c.nonce, good, sizeof(good));
        s->c.nonce[i] = good[i] == 'A' ? 'B' : good[i] == '0' ? '1' : '0';
        if (s->c.nonce[i] == good[i]) {
            continue;
        }
        const struct reply r = client_allocate(&s->c);
        assert_challenge(&r, STUN_STALE_NONCE);
    }
}

/* Bid-down: the feature bits cannot be cleared on the way. */
/* Proves T-8489-9.2.4-28 */
static void nonce__with_cleared_features_is_refused(void **state)
{
    struct stage *s = *state;

    s->c.auth = CLIENT_LEGACY;
    assert_true(client_challenge(&s->c));
    memcpy(s->c.nonce + 9, "AAAA", 4);
    const struct reply r = client_allocate(&s->c);
    assert_challenge(&r, STUN_STALE_NONCE);
}

/* Proves T-8656-5-05, T-8489-9.2.4-25, T-8489-9.2.4-26, T-8489-9.2.4-27 */
static void nonce__expires_and_is_replaced(void **state)
{
    struct stage *s = *state;

    (void)stage_allocate(&s->c);
    struct reply r = client_refresh(&s->c, 3600);
    assert_int_equal(r.code, 0);
    world_advance(&s->w, 3599 * 1000);
    r = client_refresh(&s->c, 3600);
    assert_int_equal(r.code, 0);
    world_advance(&s->w, 1000);
    r = client_refresh(&s->c, 3600);
    assert_challenge(&r, STUN_STALE_NONCE);
    (void)client_learn(&s->c, &r);
    r = client_refresh(&s->c, 600);
    assert_int_equal(r.code, 0);
    assert_true(r.integrity_ok);
}

/* Proves T-8489-9.2.4-24 */
static void nonce__is_judged_last(void **state)
{
    struct stage *s = *state;

    assert_true(client_challenge(&s->c));
    world_advance(&s->w, 4000 * 1000);
    s->c.password = "wrong";
    struct reply r = client_allocate(&s->c);
    assert_challenge(&r, STUN_UNAUTHENTICATED);
    s->c.password = "pass";
    r = client_allocate(&s->c);
    assert_challenge(&r, STUN_STALE_NONCE);
}

/* Keys follow from secret and time: a nonce lives on across the change of epochs, and another
 * server with the same secret takes it. */
static void nonce__keys_rotate_by_themselves(void **state)
{
    struct stage *s = *state;
    struct stage *other = NULL;

    for (int i = 0; i < 20; i++) {
        assert_true(client_challenge(&s->c));
        world_advance(&s->w, 3000 * 1000); /* most of an epoch of 4096 s */
        assert_int_equal(client_allocate(&s->c).code, 0);
        assert_int_equal(client_refresh(&s->c, 0).code, 0);
    }
    assert_int_equal(stage_open((void **)&other), 0);
    assert_true(client_challenge(&s->c));
    const uint64_t wall_s = s->w.wall_s;
    s->c.world = &other->w;
    turn_server_set_wall(other->w.server, wall_s);
    assert_int_equal(client_allocate(&s->c).code, 0);
    s->c.world = &s->w;
    assert_int_equal(stage_close((void **)&other), 0);
}

static void nonce__of_an_older_key_is_taken_until_it_is_removed(void **state)
{
    struct stage *s = *state;

    assert_true(client_challenge(&s->c));
    memcpy(s->w.config.nonce_keys[1], s->w.config.nonce_keys[0], TURN_NONCE_KEY_LEN);
    memset(s->w.config.nonce_keys[0], 0x11, TURN_NONCE_KEY_LEN);
    s->w.config.nonce_key_count = 2;
    assert_int_equal(world_reconfigure(&s->w, NULL, NULL), 0);
    (void)stage_allocate(&s->c);
    s->w.config.nonce_key_count = 1;
    assert_int_equal(world_reconfigure(&s->w, NULL, NULL), 0);
    const struct reply r = client_refresh(&s->c, 600);
    assert_int_equal(r.code, STUN_STALE_NONCE);
}

/* Proves T-8489-9.2.4-17, T-8489-9.2.4-18 */
static void user__unknown_is_challenged(void **state)
{
    struct stage *s = *state;

    s->c.user = "nobody";
    const struct reply r = client_allocate(&s->c);
    assert_challenge(&r, STUN_UNAUTHENTICATED);
}

/* Proves T-8489-9.2.4-22, T-8489-9.2.4-23, T-8489-9.2.5-02 */
static void password__wrong_is_challenged_again_and_again(void **state)
{
    struct stage *s = *state;

    s->c.password = "wrong";
    for (int i = 0; i < 100; i++) {
        const struct reply r = client_allocate(&s->c);
        assert_challenge(&r, STUN_UNAUTHENTICATED);
    }
    s->c.password = "pass";
    (void)stage_allocate(&s->c);
}

/* Proves T-8489-9.2.4-35 */
static void realm__of_others_is_challenged_with_ours(void **state)
{
    struct stage *s = *state;

    s->c.realm = "elsewhere.example";
    const struct reply r = client_allocate(&s->c);
    assert_challenge(&r, STUN_UNAUTHENTICATED);
}

enum omit { OMIT_NONE, OMIT_USERNAME, OMIT_REALM, OMIT_NONCE, OMIT_ALGORITHMS, OMIT_ALGORITHM };

/* An Allocate signed with the SHA-256 key that lacks one attribute, or has others instead. */
static struct reply allocate_odd(struct client *c, enum omit omit, const void *list, size_t list_n,
                                 const void *chosen, size_t chosen_n)
{
    uint8_t key[CRYPTO_SHA256_LEN];
    struct crypto_mac *mac = crypto_mac_new();

    assert_non_null(mac);
    assert_int_equal(
        crypto_longterm_sha256(bytes_of("user"), bytes_of(WORLD_REALM), bytes_of("pass"), key), 0);
    client_begin(c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(c);
    if (omit != OMIT_USERNAME) {
        stun_out_attr(&c->out, STUN_USERNAME, bytes_of("user"));
    }
    if (omit != OMIT_REALM) {
        stun_out_attr(&c->out, STUN_REALM, bytes_of(WORLD_REALM));
    }
    if (omit != OMIT_NONCE) {
        stun_out_attr(&c->out, STUN_NONCE, bytes_of(c->nonce));
    }
    if (omit != OMIT_ALGORITHMS) {
        stun_out_attr(&c->out, STUN_PASSWORD_ALGORITHMS, (struct bytes){list, list_n});
    }
    if (omit != OMIT_ALGORITHM) {
        stun_out_attr(&c->out, STUN_PASSWORD_ALGORITHM, (struct bytes){chosen, chosen_n});
    }
    assert_int_equal(stun_out_mi256(&c->out, mac, (struct bytes){key, sizeof(key)}), 0);
    client_end(c);
    crypto_mac_free(mac);
    return client_submit(c);
}

static const uint8_t both[] = {0, 2, 0, 0, 0, 1, 0, 0};
static const uint8_t sha256[] = {0, 2, 0, 0};

/* Proves T-8489-9.2.4-08, T-8489-9.2.4-09, T-8489-9.2.4-10, T-8489-9.2.4-11 */
static void missing_attribute__is_a_bad_request(void **state)
{
    struct stage *s = *state;

    assert_true(client_challenge(&s->c));
    for (enum omit omit = OMIT_USERNAME; omit <= OMIT_NONCE; omit++) {
        const struct reply r = allocate_odd(&s->c, omit, both, 8, sha256, 4);
        assert_bad_request(&r);
    }
    const struct reply whole = allocate_odd(&s->c, OMIT_NONE, both, 8, sha256, 4);
    assert_int_equal(whole.code, 0);
}

/* Proves T-8489-9.2.4-13, T-8489-9.2.4-14, T-8489-9.2.4-15, T-8489-9.2.4-16, T-8489-14.12-01 */
static void algorithms__inconsistent_are_a_bad_request(void **state)
{
    static const uint8_t reversed[] = {0, 1, 0, 0, 0, 2, 0, 0};
    static const uint8_t dropped[] = {0, 2, 0, 0};
    static const uint8_t three[] = {0, 3, 0, 0};
    static const uint8_t with_params[] = {0, 2, 0, 4, 1, 2, 3, 4};
    struct stage *s = *state;
    struct reply r;

    assert_true(client_challenge(&s->c));
    r = allocate_odd(&s->c, OMIT_ALGORITHMS, NULL, 0, sha256, 4);
    assert_bad_request(&r);
    r = allocate_odd(&s->c, OMIT_ALGORITHM, both, 8, NULL, 0);
    assert_bad_request(&r);
    r = allocate_odd(&s->c, OMIT_NONE, reversed, 8, sha256, 4);
    assert_bad_request(&r);
    r = allocate_odd(&s->c, OMIT_NONE, dropped, 4, sha256, 4);
    assert_bad_request(&r);
    r = allocate_odd(&s->c, OMIT_NONE, both, 8, three, 4);
    assert_bad_request(&r);
    r = allocate_odd(&s->c, OMIT_NONE, both, 8, with_params, 8);
    assert_bad_request(&r);
}

/* Proves T-8489-9.2.4-12, T-8489-9.2.4-21, T-8489-9.2.4-30, T-5389-10.2-01, T-5389-10.2-02,
 * T-8489-9.2.4-34 */
static void legacy_client__is_served_with_sha1(void **state)
{
    struct stage *s = *state;

    s->c.auth = CLIENT_LEGACY;
    const struct reply r = client_allocate(&s->c);
    assert_int_equal(r.code, 0);
    assert_true(r.has_mi);
    assert_false(r.has_mi256);
    assert_true(r.integrity_ok);
}

/* Proves T-8489-9.2.4-29, T-8489-9.2.2-03, T-8489-9.2.4-31, T-8489-14.6-02 */
static void modern_client__gets_sha256_integrity_only(void **state)
{
    static const enum client_auth kinds[] = {CLIENT_MD5, CLIENT_SHA256};
    struct stage *s = *state;
    const struct net_addr peer = world_addr("198.51.100.1:9");

    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct client c;
        client_init(&c, &s->w, i == 0 ? "203.0.113.5:4100" : "203.0.113.5:4101", "user", "pass");
        c.auth = kinds[i];
        struct reply r[] = {client_allocate(&c), client_permit(&c, &peer),
                            client_bind(&c, 0x4000, &peer), client_allocate(&c),
                            client_refresh(&c, 0)};
        for (size_t j = 0; j < COUNT_OF(r); j++) {
            assert_int_equal(r[j].verdict, TURN_TO_CLIENT);
            assert_int_equal(r[j].code, j == 3 ? STUN_ALLOCATION_MISMATCH : 0);
            assert_true(r[j].has_mi256);
            assert_false(r[j].has_mi);
            assert_int_equal(r[j].realm.n, 0);
            assert_int_equal(r[j].nonce.n, 0);
            assert_false(r[j].has_username);
        }
    }
}

/* Both integrities in one request: only the SHA-256 one counts. */
static struct reply allocate_both(struct client *c, bool good_mi, bool good_mi256)
{
    uint8_t key[CRYPTO_SHA256_LEN];
    struct crypto_mac *mac = crypto_mac_new();

    assert_non_null(mac);
    assert_int_equal(
        crypto_longterm_md5(bytes_of("user"), bytes_of(WORLD_REALM), bytes_of("pass"), key), 0);
    const struct bytes good = {key, CRYPTO_MD5_LEN};
    const struct bytes bad = bytes_of("not the key");

    client_begin(c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(c);
    stun_out_attr(&c->out, STUN_USERNAME, bytes_of("user"));
    stun_out_attr(&c->out, STUN_REALM, bytes_of(WORLD_REALM));
    stun_out_attr(&c->out, STUN_NONCE, bytes_of(c->nonce));
    assert_int_equal(stun_out_mi(&c->out, mac, good_mi ? good : bad), 0);
    assert_int_equal(stun_out_mi256(&c->out, mac, good_mi256 ? good : bad), 0);
    c->fingerprint = true;
    client_end(c);
    crypto_mac_free(mac);
    return client_submit(c);
}

/* Proves T-8489-9.2.4-19, T-8489-9.2.4-20, T-8489-14.5-02 */
static void both_integrities__sha256_decides(void **state)
{
    struct stage *s = *state;
    struct client c;

    assert_true(client_challenge(&s->c));
    struct reply r = allocate_both(&s->c, true, false);
    assert_int_equal(r.code, STUN_UNAUTHENTICATED);
    r = allocate_both(&s->c, false, true);
    assert_int_equal(r.code, 0);

    client_init(&c, &s->w, "203.0.113.5:4200", "user", "pass");
    assert_true(client_challenge(&c));
    r = allocate_both(&c, true, true);
    assert_int_equal(r.code, 0);
    assert_true(r.has_mi && !r.has_mi256); /* no algorithm was named: MD5 is meant */
}

/* The example of RFC 8656 section 20: both integrities in the first request. */
/* Proves T-8656-20-01 */
static void both_integrities__of_a_modern_client_get_sha256_only(void **state)
{
    uint8_t key[CRYPTO_SHA256_LEN];
    const struct bytes k = {key, sizeof(key)};
    struct stage *s = *state;
    struct client *c = &s->c;
    struct crypto_mac *mac = crypto_mac_new();

    assert_non_null(mac);
    assert_true(client_challenge(c));
    assert_int_equal(
        crypto_longterm_sha256(bytes_of("user"), bytes_of(WORLD_REALM), bytes_of("pass"), key), 0);
    client_begin(c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(c);
    stun_out_attr(&c->out, STUN_USERNAME, bytes_of("user"));
    stun_out_attr(&c->out, STUN_REALM, bytes_of(WORLD_REALM));
    stun_out_attr(&c->out, STUN_NONCE, bytes_of(c->nonce));
    stun_out_attr(&c->out, STUN_PASSWORD_ALGORITHMS, (struct bytes){both, sizeof(both)});
    stun_out_attr(&c->out, STUN_PASSWORD_ALGORITHM, (struct bytes){sha256, sizeof(sha256)});
    assert_int_equal(stun_out_mi(&c->out, mac, k), 0);
    assert_int_equal(stun_out_mi256(&c->out, mac, k), 0);
    client_end(c);
    crypto_mac_free(mac);
    const struct reply r = client_submit(c);
    assert_int_equal(r.code, 0);
    assert_true(r.has_mi256 && !r.has_mi);
}

/* Proves T-8489-14.6-02 */
static void truncated_sha256__is_refused(void **state)
{
    static const size_t lengths[] = {0, 4, 15, 16, 20, 28, 36};
    static const uint8_t zeros[64];
    struct stage *s = *state;

    assert_true(client_challenge(&s->c));
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
        client_put_transport(&s->c);
        stun_out_attr(&s->c.out, STUN_USERNAME, bytes_of("user"));
        stun_out_attr(&s->c.out, STUN_REALM, bytes_of(WORLD_REALM));
        stun_out_attr(&s->c.out, STUN_NONCE, bytes_of(s->c.nonce));
        stun_out_attr(&s->c.out, STUN_MESSAGE_INTEGRITY_SHA256, (struct bytes){zeros, lengths[i]});
        client_end(&s->c);
        const struct reply r = client_submit(&s->c);
        assert_challenge(&r, STUN_UNAUTHENTICATED);
    }
}

/* Proves T-8489-14.4-01, T-8656-5-07 */
static void userhash__names_the_same_user(void **state)
{
    struct stage *s = *state;

    (void)stage_allocate(&s->c);
    s->c.userhash = true;
    struct reply r = client_refresh(&s->c, 600);
    assert_int_equal(r.code, 0);

    struct client c;
    client_init(&c, &s->w, "203.0.113.5:4300", "user", "pass");
    c.userhash = true;
    r = client_allocate(&c);
    assert_int_equal(r.code, 0);
    assert_string_equal(s->w.events.last_user, "user");
    assert_int_equal(client_allocate(&c).code, STUN_ALLOCATION_MISMATCH);
    assert_string_equal(s->w.events.last_user, "user"); /* a refusal names him, too */
    c.userhash = false;
    r = client_refresh(&c, 600);
    assert_int_equal(r.code, 0);
}

/* Proves T-8489-9.2.4-36 */
static void userhash__must_agree_and_be_offered(void **state)
{
    static const uint8_t other[32] = {1, 2, 3};
    struct stage *s = *state;

    /* USERHASH of nobody beside a right USERNAME */
    assert_true(client_challenge(&s->c));
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    stun_out_attr(&s->c.out, STUN_USERHASH, (struct bytes){other, sizeof(other)});
    client_put_transport(&s->c);
    client_sign(&s->c);
    struct reply r = client_submit(&s->c);
    assert_int_equal(r.code, STUN_UNAUTHENTICATED);

    /* a right one, though anonymity is not offered */
    s->w.config.main.username_anonymity = false;
    s->c.userhash = true;
    r = client_allocate(&s->c);
    assert_int_equal(r.code, STUN_UNAUTHENTICATED);
}

/* Proves T-8489-14.4-01 */
static void userhash__of_another_length_is_a_bad_request(void **state)
{
    static const uint8_t bytes[64];
    static const size_t lengths[] = {0, 31, 33};
    struct stage *s = *state;

    assert_true(client_challenge(&s->c));
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
        client_put_transport(&s->c);
        stun_out_attr(&s->c.out, STUN_USERHASH, (struct bytes){bytes, lengths[i]});
        client_sign(&s->c);
        const struct reply r = client_submit(&s->c);
        assert_int_equal(r.code, STUN_BAD_REQUEST);
    }
}

/* Proves T-8489-18.5.1-02 */
static void md5__can_be_switched_off(void **state)
{
    struct stage *s = *state;

    s->w.config.main.algorithms = TURN_ALG_SHA256;
    assert_true(client_challenge(&s->c));
    assert_int_equal(s->c.algorithms_len, 4);
    assert_memory_equal(s->c.algorithms, "\0\2\0\0", 4);
    s->c.auth = CLIENT_LEGACY;
    struct reply r = client_allocate(&s->c);
    assert_int_equal(r.code, STUN_UNAUTHENTICATED);
    s->c.auth = CLIENT_SHA256;
    r = client_allocate(&s->c);
    assert_int_equal(r.code, 0);
}

static void sha256__is_not_offered_where_users_lack_it(void **state)
{
    struct stage *s = *state;

    s->w.config.main.algorithms = TURN_ALG_MD5;
    s->w.users[0].key.has_sha256 = false;
    assert_true(client_challenge(&s->c));
    assert_int_equal(s->c.algorithms_len, 4);
    assert_memory_equal(s->c.algorithms, "\0\1\0\0", 4);
    s->c.auth = CLIENT_MD5;
    const struct reply r = client_allocate(&s->c);
    assert_int_equal(r.code, 0);
    assert_true(r.has_mi256);
}

/* A list offered before a reload stays the one that its NONCE goes with. */
static void offer__is_bound_to_the_nonce(void **state)
{
    struct stage *s = *state;

    assert_true(client_challenge(&s->c));
    s->w.config.main.algorithms = TURN_ALG_SHA256;
    const struct reply r = client_allocate(&s->c);
    assert_int_equal(r.code, 0);
}

/* Proves T-8489-14.3-01, T-5389-15.3-01, T-8489-14.9-01 */
static void long_names__are_parsed(void **state)
{
    static const size_t lengths[] = {508, 512, 763};
    struct stage *s = *state;
    char name[CREDENTIAL_NAME_MAX + 1];

    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        struct client c;
        char addr[32];
        memset(name, 'n', sizeof(name));
        name[lengths[i]] = '\0';
        (void)snprintf(addr, sizeof(addr), "203.0.113.9:%zu", 4000 + i);
        client_init(&c, &s->w, addr, name, "pass");
        struct reply r = client_allocate(&c);
        assert_challenge(&r, STUN_UNAUTHENTICATED);
        (void)world_add_user(&s->w, name, "pass");
        r = client_allocate(&c);
        assert_int_equal(r.code, 0);
        r = client_refresh(&c, 600);
        assert_int_equal(r.code, 0);
        c.realm = name;
        r = client_refresh(&c, 600);
        assert_challenge(&r, STUN_UNAUTHENTICATED);
    }
}

/* Proves T-8489-14.10-01 */
static void long_nonce__is_stale(void **state)
{
    struct stage *s = *state;
    static char long_nonce[764];

    memset(long_nonce, 'x', sizeof(long_nonce) - 1);
    s->c.auth = CLIENT_LEGACY;
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&s->c);
    stun_out_attr(&s->c.out, STUN_USERNAME, bytes_of("user"));
    stun_out_attr(&s->c.out, STUN_REALM, bytes_of(WORLD_REALM));
    stun_out_attr(&s->c.out, STUN_NONCE, bytes_of(long_nonce));
    uint8_t key[CRYPTO_MD5_LEN];
    struct crypto_mac *mac = crypto_mac_new();
    assert_int_equal(
        crypto_longterm_md5(bytes_of("user"), bytes_of(WORLD_REALM), bytes_of("pass"), key), 0);
    assert_int_equal(stun_out_mi(&s->c.out, mac, (struct bytes){key, sizeof(key)}), 0);
    crypto_mac_free(mac);
    client_end(&s->c);
    const struct reply r = client_submit(&s->c);
    assert_challenge(&r, STUN_STALE_NONCE);
}

/* Proves T-8489-9-03 */
static void credentials_after_integrity__do_not_count(void **state)
{
    struct stage *s = *state;
    uint8_t key[CRYPTO_MD5_LEN];
    struct crypto_mac *mac = crypto_mac_new();

    assert_true(client_challenge(&s->c));
    assert_int_equal(
        crypto_longterm_md5(bytes_of("user"), bytes_of(WORLD_REALM), bytes_of("pass"), key), 0);
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&s->c);
    stun_out_attr(&s->c.out, STUN_REALM, bytes_of(WORLD_REALM));
    stun_out_attr(&s->c.out, STUN_NONCE, bytes_of(s->c.nonce));
    assert_int_equal(stun_out_mi(&s->c.out, mac, (struct bytes){key, sizeof(key)}), 0);
    stun_out_attr(&s->c.out, STUN_USERNAME, bytes_of("user"));
    client_end(&s->c);
    crypto_mac_free(mac);
    const struct reply r = client_submit(&s->c);
    assert_bad_request(&r);
}

/* An Allocate whose attributes after the integrity attribute would change it, were they read. */
static struct reply allocate_with_tail(struct client *c, bool mi256)
{
    uint8_t key[CRYPTO_MD5_LEN];
    struct crypto_mac *mac = crypto_mac_new();

    assert_int_equal(
        crypto_longterm_md5(bytes_of("user"), bytes_of(WORLD_REALM), bytes_of("pass"), key), 0);
    const struct bytes k = {key, sizeof(key)};
    client_begin(c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(c);
    stun_out_attr(&c->out, STUN_USERNAME, bytes_of("user"));
    stun_out_attr(&c->out, STUN_REALM, bytes_of(WORLD_REALM));
    stun_out_attr(&c->out, STUN_NONCE, bytes_of(c->nonce));
    assert_int_equal(mi256 ? stun_out_mi256(&c->out, mac, k) : stun_out_mi(&c->out, mac, k), 0);
    stun_out_u32(&c->out, 0x7ffe, 1);
    stun_out_u32(&c->out, STUN_LIFETIME, 3000);
    client_end(c);
    crypto_mac_free(mac);
    return client_submit(c);
}

/* Threat model row 25. */
/* Proves T-8489-9-01, T-8489-9-02 */
static void attributes_after_integrity__are_ignored(void **state)
{
    struct stage *s = *state;
    struct client c;

    assert_true(client_challenge(&s->c));
    struct reply r = allocate_with_tail(&s->c, false);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.lifetime_s, 600);
    client_init(&c, &s->w, "203.0.113.5:4400", "user", "pass");
    assert_true(client_challenge(&c));
    r = allocate_with_tail(&c, true);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.lifetime_s, 600);
}

/* Proves T-8489-6.3-09, T-8489-6.3.1-02 */
static void unknown_attribute__is_told_after_authentication(void **state)
{
    struct stage *s = *state;

    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    stun_out_u32(&s->c.out, 0x7ffe, 1);
    client_put_transport(&s->c);
    client_end(&s->c);
    struct reply r = client_submit(&s->c);
    assert_challenge(&r, STUN_UNAUTHENTICATED);
    (void)client_learn(&s->c, &r);

    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    stun_out_u32(&s->c.out, 0x7ffe, 1);
    client_put_transport(&s->c);
    client_sign(&s->c);
    r = client_submit(&s->c);
    assert_int_equal(r.code, STUN_UNKNOWN_ATTRIBUTE);
    assert_true(r.integrity_ok);
    assert_int_equal(r.unknown.n, 2);
    assert_int_equal(be16(r.unknown.p), 0x7ffe);
}

/* Proves T-8489-9.2.4-32 */
static void refusals_after_authentication__are_signed(void **state)
{
    struct stage *s = *state;
    const struct net_addr loopback = world_addr("127.0.0.1:9");
    const struct net_addr v6 = world_addr("[2001:db8::9]:9");

    struct reply r = client_refresh(&s->c, 600);
    assert_int_equal(r.code, STUN_ALLOCATION_MISMATCH);
    assert_true(r.integrity_ok);
    (void)stage_allocate(&s->c);
    r = client_permit(&s->c, &loopback);
    assert_int_equal(r.code, STUN_FORBIDDEN);
    assert_true(r.integrity_ok);
    r = client_permit(&s->c, &v6);
    assert_int_equal(r.code, STUN_PEER_FAMILY_MISMATCH);
    assert_true(r.integrity_ok);
    client_begin(&s->c, STUN_CREATE_PERMISSION, STUN_REQUEST);
    client_sign(&s->c);
    r = client_submit(&s->c);
    assert_int_equal(r.code, STUN_BAD_REQUEST);
    assert_true(r.integrity_ok);
}

/* Proves T-8656-5-06, T-REST-4.2-02 */
static void other_user__may_not_touch_an_allocation(void **state)
{
    struct stage *s = *state;
    const struct net_addr peer = world_addr("198.51.100.1:9");

    (void)world_add_user(&s->w, "second", "word");
    (void)stage_allocate(&s->c);
    s->c.user = "second";
    s->c.password = "word";
    struct reply r[] = {client_refresh(&s->c, 600), client_permit(&s->c, &peer),
                        client_bind(&s->c, 0x4000, &peer), client_refresh(&s->c, 0)};
    for (size_t i = 0; i < COUNT_OF(r); i++) {
        assert_int_equal(r[i].code, STUN_WRONG_CREDENTIALS);
        assert_true(r[i].has_mi256);
    }
    s->c.user = "user";
    s->c.password = "pass";
    const struct reply own = client_refresh(&s->c, 600);
    assert_int_equal(own.code, 0);
}

/* An established session outlives its credentials and the database (design 1.9). */
/* Proves T-REST-4.2-02 */
static void established_session__asks_nobody(void **state)
{
    struct stage *s = *state;
    const struct net_addr peer = world_addr("198.51.100.1:9");

    (void)stage_allocate(&s->c);
    const uint32_t lookups = s->w.key_lookups;
    s->w.users[0].removed = true;
    s->w.key_answer = -EBUSY;
    struct reply r = client_refresh(&s->c, 600);
    assert_int_equal(r.code, 0);
    r = client_permit(&s->c, &peer);
    assert_int_equal(r.code, 0);
    assert_int_equal(s->w.key_lookups, lookups);
}

/* A password that was changed: the new key proves the session from then on, the old one no more. */
static void new_password__is_the_sessions_key_from_then_on(void **state)
{
    struct stage *s = *state;

    (void)stage_allocate(&s->c);
    s->w.user_count = 0;
    (void)world_add_user(&s->w, "user", "changed");
    s->c.password = "changed";
    assert_int_equal(client_refresh(&s->c, 600).code, 0);
    const uint32_t lookups = s->w.key_lookups;
    s->w.key_answer = -EBUSY; /* the database goes away: the call goes on */
    assert_int_equal(client_refresh(&s->c, 600).code, 0);
    assert_int_equal(s->w.key_lookups, lookups);
    s->w.key_answer = 0;
    s->c.password = "pass";
    assert_int_equal(client_refresh(&s->c, 600).code, STUN_UNAUTHENTICATED);
}

/* A nonce that is not ours gets 438 whatever the password: nothing is looked up, nothing told. */
/* Proves T-8489-9.2.4-28 */
static void foreign_nonce__tells_nothing_about_credentials(void **state)
{
    static const char *const passwords[] = {"pass", "wrong"};
    struct stage *s = *state;

    assert_true(client_challenge(&s->c));
    s->c.nonce[30] = s->c.nonce[30] == '0' ? '1' : '0';
    const uint32_t lookups = s->w.key_lookups;
    for (size_t i = 0; i < COUNT_OF(passwords); i++) {
        s->c.password = passwords[i];
        const struct reply r = client_allocate(&s->c);
        assert_challenge(&r, STUN_STALE_NONCE);
    }
    assert_int_equal(s->w.key_lookups, lookups);
}

/* What another user sends with the transaction ID of an Allocate is no retransmission of it. */
/* Proves T-8656-7.2-02 */
static void retransmission__of_another_user_is_a_mismatch(void **state)
{
    struct stage *s = *state;

    (void)world_add_user(&s->w, "second", "word");
    (void)stage_allocate(&s->c);
    s->c.user = "second";
    s->c.password = "word";
    client_begin_again(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&s->c);
    client_sign(&s->c);
    const struct reply r = client_submit(&s->c);
    assert_int_equal(r.code, STUN_ALLOCATION_MISMATCH);
    assert_int_equal(r.relayed_count, 0);
}

/* A stranger cannot keep the database busy: its prefix pays for each slow look-up. */
static void slow_look_ups__are_limited_per_prefix(void **state)
{
    struct stage *s = *state;

    s->w.config.unauth_per_s = 10;
    s->w.config.unauth_burst = 20;
    assert_int_equal(world_reconfigure(&s->w, NULL, NULL), 0);
    assert_true(client_challenge(&s->c));
    s->w.key_answer = -EBUSY;
    const uint32_t before = s->w.key_lookups;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(client_allocate(&s->c).verdict, TURN_DROP);
    }
    assert_int_equal(s->w.key_lookups - before, 1000 + 20); /* what is cached costs nothing */
}

static void look_up_under_way__waits(void **state)
{
    struct stage *s = *state;

    assert_true(client_challenge(&s->c));
    s->w.key_answer = -EAGAIN;
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&s->c);
    client_sign(&s->c);
    assert_int_equal(client_submit(&s->c).verdict, TURN_WAIT);
    assert_int_equal(s->w.pkt.len, s->c.len); /* the packet is as it was: */
    assert_memory_equal(s->w.pkt.data, s->c.buf, s->c.len);
    s->w.key_answer = 0; /* it is submitted again when the key has come */
    assert_int_equal(client_submit(&s->c).code, 0);
}

static void look_up_refused__is_dropped_for_the_proven_and_stale_for_strangers(void **state)
{
    struct stage *s = *state;

    assert_true(client_challenge(&s->c));
    s->w.key_answer = -EBUSY;
    struct reply r = client_allocate(&s->c);
    assert_int_equal(r.verdict, TURN_DROP);
    assert_int_equal(world_drops(&s->w, DROP_KEY_BUSY), 1);
    s->c.auth = CLIENT_LEGACY;
    (void)snprintf(s->c.nonce, sizeof(s->c.nonce), "made up");
    r = client_allocate(&s->c);
    assert_challenge(&r, STUN_STALE_NONCE);
}

/* Threat model row 37: what a stranger can make us send is bounded in number and size. */
static void challenges__are_limited_per_prefix(void **state)
{
    struct stage *s = *state;
    uint32_t answered = 0;
    struct client other;

    s->w.config.unauth_per_s = 10;
    s->w.config.unauth_burst = 20;
    assert_int_equal(world_reconfigure(&s->w, NULL, NULL), 0);
    for (int i = 0; i < 1000; i++) {
        client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
        client_end(&s->c);
        answered += client_submit(&s->c).verdict == TURN_TO_CLIENT;
    }
    assert_int_equal(answered, 20);
    assert_int_equal(world_drops(&s->w, DROP_UNAUTH_RATE), 980);

    client_init(&other, &s->w, "198.51.100.77:4000", "user", "pass");
    (void)stage_allocate(&other); /* another prefix is not touched */
    world_advance(&s->w, 1000);
    assert_true(client_challenge(&s->c));
}

/* Proves T-8489-6.1-01 */
static void longest_challenge__fits_an_unknown_path(void **state)
{
    struct stage *s = *state;

    memset(s->w.config.main.name, 'r', TURN_REALM_MAX);
    s->w.config.main.name[TURN_REALM_MAX] = '\0';
    s->c.fingerprint = true;
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_end(&s->c);
    assert_int_equal(client_submit(&s->c).code, STUN_UNAUTHENTICATED);
    assert_true(s->w.pkt.len <= 548);
}

/* Proves T-8489-14.3-02 */
static void user_names__are_compared_octet_by_octet(void **state)
{
    struct stage *s = *state;

    (void)world_add_user(&s->w, "caf\xc3\xa9", "pass"); /* NFC */
    s->c.user = "cafe\xcc\x81";                         /* the same letters, NFD */
    assert_int_equal(client_allocate(&s->c).code, STUN_UNAUTHENTICATED);
    s->c.user = "caf\xc3\xa9";
    assert_int_equal(client_allocate(&s->c).code, 0);
}

/* Format strings, quotes, control characters: a name is data (threat model row 20). */
static void hostile_user_names__are_only_names(void **state)
{
    static const char *const names[] = {"%s%n%b%x", "a b", "a\r\nb", "../../x", "*", "'; drop --"};
    struct stage *s = *state;

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct client c;
        char addr[32];
        (void)snprintf(addr, sizeof(addr), "203.0.113.8:%zu", 4000 + i);
        client_init(&c, &s->w, addr, names[i], "pass");
        assert_int_equal(client_allocate(&c).code, STUN_UNAUTHENTICATED);
        (void)world_add_user(&s->w, names[i], "pass");
        assert_int_equal(client_allocate(&c).code, 0);
    }
}

/* Proves T-8489-9.2-04, T-8656-5-03 */
static void indications__are_never_authenticated(void **state)
{
    static const uint8_t garbage[20] = {9, 9, 9};
    struct stage *s = *state;
    const struct net_addr peer = world_addr("198.51.100.1:9");

    (void)stage_allocate(&s->c);
    assert_int_equal(client_permit(&s->c, &peer).code, 0);
    client_begin(&s->c, STUN_SEND, STUN_INDICATION);
    stun_out_xor_addr(&s->c.out, STUN_XOR_PEER_ADDRESS, &peer);
    stun_out_attr(&s->c.out, STUN_DATA_ATTR, bytes_of("hello"));
    stun_out_attr(&s->c.out, STUN_MESSAGE_INTEGRITY, (struct bytes){garbage, sizeof(garbage)});
    client_end(&s->c);
    assert_int_equal(client_submit(&s->c).verdict, TURN_TO_PEER);
}

static void no_auth__serves_anybody(void **state)
{
    struct stage *s = *state;

    s->w.config.require_auth = false;
    s->c.auth = CLIENT_NO_AUTH;
    const struct reply r = client_allocate(&s->c);
    assert_int_equal(r.code, 0);
    assert_false(r.has_mi);
    assert_int_equal(client_refresh(&s->c, 0).code, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(no_integrity__is_challenged),
        STAGE_TEST(challenge__has_no_software_and_the_standard_phrase),
        STAGE_TEST(nonce_cookie__tells_the_features),
        STAGE_TEST(nonce__is_never_the_same_twice),
        STAGE_TEST(nonce__of_another_address_is_stale),
        STAGE_TEST(nonce__altered_anywhere_is_refused),
        STAGE_TEST(nonce__with_cleared_features_is_refused),
        STAGE_TEST(nonce__expires_and_is_replaced),
        STAGE_TEST(nonce__is_judged_last),
        STAGE_TEST(nonce__keys_rotate_by_themselves),
        STAGE_TEST(nonce__of_an_older_key_is_taken_until_it_is_removed),
        STAGE_TEST(user__unknown_is_challenged),
        STAGE_TEST(password__wrong_is_challenged_again_and_again),
        STAGE_TEST(realm__of_others_is_challenged_with_ours),
        STAGE_TEST(missing_attribute__is_a_bad_request),
        STAGE_TEST(algorithms__inconsistent_are_a_bad_request),
        STAGE_TEST(legacy_client__is_served_with_sha1),
        STAGE_TEST(modern_client__gets_sha256_integrity_only),
        STAGE_TEST(both_integrities__sha256_decides),
        STAGE_TEST(both_integrities__of_a_modern_client_get_sha256_only),
        STAGE_TEST(truncated_sha256__is_refused),
        STAGE_TEST(userhash__names_the_same_user),
        STAGE_TEST(userhash__must_agree_and_be_offered),
        STAGE_TEST(userhash__of_another_length_is_a_bad_request),
        STAGE_TEST(md5__can_be_switched_off),
        STAGE_TEST(sha256__is_not_offered_where_users_lack_it),
        STAGE_TEST(offer__is_bound_to_the_nonce),
        STAGE_TEST(long_names__are_parsed),
        STAGE_TEST(long_nonce__is_stale),
        STAGE_TEST(credentials_after_integrity__do_not_count),
        STAGE_TEST(attributes_after_integrity__are_ignored),
        STAGE_TEST(unknown_attribute__is_told_after_authentication),
        STAGE_TEST(refusals_after_authentication__are_signed),
        STAGE_TEST(other_user__may_not_touch_an_allocation),
        STAGE_TEST(established_session__asks_nobody),
        STAGE_TEST(new_password__is_the_sessions_key_from_then_on),
        STAGE_TEST(foreign_nonce__tells_nothing_about_credentials),
        STAGE_TEST(retransmission__of_another_user_is_a_mismatch),
        STAGE_TEST(slow_look_ups__are_limited_per_prefix),
        STAGE_TEST(look_up_under_way__waits),
        STAGE_TEST(look_up_refused__is_dropped_for_the_proven_and_stale_for_strangers),
        STAGE_TEST(challenges__are_limited_per_prefix),
        STAGE_TEST(longest_challenge__fits_an_unknown_path),
        STAGE_TEST(user_names__are_compared_octet_by_octet),
        STAGE_TEST(hostile_user_names__are_only_names),
        STAGE_TEST(indications__are_never_authenticated),
        STAGE_TEST(no_auth__serves_anybody),
    };
    return cmocka_run_group_tests_name("auth", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_token.h"

#include <errno.h>

#include "check.h"
#include "crypto/base64.h"
#include "store/store_realm.h"

static const char ikm[] = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEK";
static const char server_name[] = "blackdow.carleon.gov";
#define SHA256_1_20 "e12f08743344c0ea"

enum { NOW = 1700000000, LIFETIME = 120 };

static struct token_box *box;
static struct auth_oauth_keys keys;

static void add(const char *kid, const char *realm)
{
    const struct store_oauth_key row = {.kid = bytes_of(kid),
                                        .ikm_key = bytes_of(ikm),
                                        .as_rs_alg = bytes_of("A256GCM"),
                                        .realm = bytes_of(realm)};

    assert_int_equal(auth_oauth_add(&keys, &row), 0);
}

static int make(void **state)
{
    (void)state;
    box = token_box_new();
    add("north", "");
    add("south", "south.gov");
    auth_oauth_sort(&keys);
    return box == NULL || keys.count != 2 ? -1 : 0;
}

static int remove_all(void **state)
{
    (void)state;
    token_box_free(box);
    auth_oauth_fini(&keys);
    return 0;
}

static struct token token_of(size_t mac_len, uint64_t made_s, uint32_t lifetime_s)
{
    struct token token = {.mac_len = (uint16_t)mac_len,
                          .timestamp = token_timestamp(made_s),
                          .lifetime_s = lifetime_s};

    for (size_t i = 0; i < mac_len; i++) {
        token.mac[i] = (uint8_t)(i + 1);
    }
    return token;
}

static struct bytes sealed(const struct token *token, uint8_t out[TOKEN_LEN_MAX])
{
    static const uint8_t nonce[TOKEN_NONCE_LEN] = {1, 2, 3};
    const struct token_seal in = {&keys.keys[0].key, bytes_of(server_name), token, nonce};
    const int n = token_seal(box, &in, out);

    assert_true(n > 0);
    return (struct bytes){out, (size_t)n};
}

static int give(const char *kid, struct bytes token, uint64_t now_s, struct credential_keys *out)
{
    const struct auth_token_ask ask = {
        .key = auth_oauth_find(&keys, bytes_of(kid), now_s),
        .server_name = bytes_of(server_name),
        .kid = bytes_of(kid),
        .token = token,
        .wall_s = now_s,
    };

    assert_non_null(ask.key);
    memset(out, 0xa5, sizeof(*out));
    return auth_token_give(box, &ask, out);
}

/* Proves T-7635-5-01: the mac_key is the key, as it is; no MD5.  Then the half that coturn uses. */
static void give__tries_the_whole_mac_key_first(void **state)
{
    const struct token token = token_of(20, NOW, LIFETIME);
    uint8_t bytes[TOKEN_LEN_MAX];
    struct credential_keys out;

    (void)state;
    assert_int_equal(give("north", sealed(&token, bytes), NOW, &out), 0);
    assert_int_equal(out.count, 2);
    assert_int_equal(out.key[0].mac_len, 20);
    assert_memory_equal(out.key[0].mac, token.mac, 20);
    assert_int_equal(out.key[1].mac_len, 16);
    assert_memory_equal(out.key[1].mac, token.mac, 16);
    assert_false(out.key[0].has_md5 || out.key[0].has_sha256 || out.key[1].has_md5);
    const struct token short_one = token_of(16, NOW, LIFETIME);
    assert_int_equal(give("north", sealed(&short_one, bytes), NOW, &out), 0);
    assert_int_equal(out.count, 1);
}

static void give__names_kid_account_and_realm(void **state)
{
    const struct token token = token_of(20, NOW, LIFETIME);
    const struct token other = token_of(32, NOW, LIFETIME);
    uint8_t bytes[TOKEN_LEN_MAX];
    struct credential_keys a;
    struct credential_keys b;

    (void)state;
    assert_int_equal(give("north", sealed(&token, bytes), NOW, &a), 0);
    assert_int_equal(a.name_len, 5);
    assert_memory_equal(a.name, "north", 5);
    assert_int_equal(a.realm_len, 0);
    /* SHA-256 of the bytes 1 to 20, made with another implementation */
    assert_int_equal(a.quota_from, 5);
    assert_int_equal(a.quota_len, 5 + 1 + 16);
    assert_memory_equal(a.name + 5, "north#" SHA256_1_20, 22);
    assert_int_equal(give("south", sealed(&other, bytes), NOW, &b), 0);
    assert_int_equal(b.realm_len, 9);
    assert_memory_equal(b.realm, "south.gov", 9);
    assert_memory_not_equal(b.name + 5, a.name + 5, 22);
}

/* Proves T-7635-7-03, T-7635-9-01, T-7635-9-05: accepted, again and again, as long as
 * lifetime + 5 s > abs(now - timestamp). */
static void give__judges_the_age(void **state)
{
    const struct token token = token_of(20, NOW, LIFETIME);
    uint8_t bytes[TOKEN_LEN_MAX];
    struct credential_keys out;

    (void)state;
    for (int64_t apart = -LIFETIME - 10; apart <= LIFETIME + 10; apart++) {
        const int64_t left = LIFETIME + 5 - (apart < 0 ? -apart : apart);
        const uint64_t now_s = (uint64_t)(NOW + apart);
        assert_int_equal(give("north", sealed(&token, bytes), now_s, &out), left > 0 ? 0 : -ENOENT);
        if (left > 0) {
            assert_int_equal(out.lifetime_s, left);
        }
    }
}

static void left__does_not_overflow(void **state)
{
    struct token token = token_of(20, NOW, UINT32_MAX);

    (void)state;
    assert_int_equal(auth_token_left(&token, NOW), (uint64_t)UINT32_MAX + 5);
    token.timestamp = UINT64_MAX;
    token.lifetime_s = 0;
    assert_int_equal(auth_token_left(&token, NOW), 0);
    assert_int_equal(auth_token_left(&token, UINT64_MAX), 0);
    token.timestamp = 0;
    assert_int_equal(auth_token_left(&token, NOW), 0);
    token.timestamp = token_timestamp(NOW) + TOKEN_FRACTION - 1; /* parts of a second */
    assert_int_equal(auth_token_left(&token, NOW), 5);
}

static void give__takes_the_longest_lifetime(void **state)
{
    const struct token token = token_of(20, NOW, UINT32_MAX);
    uint8_t bytes[TOKEN_LEN_MAX];
    struct credential_keys out;

    (void)state;
    assert_int_equal(give("north", sealed(&token, bytes), NOW, &out), 0);
    assert_int_equal(out.lifetime_s, UINT32_MAX);
}

/* RFC 7635 section 6.2 gives clients base64, and some send what they got. */
static void give__takes_base64_too(void **state)
{
    const struct token token = token_of(20, NOW, LIFETIME);
    uint8_t bytes[TOKEN_LEN_MAX];
    char text[TOKEN_LEN_MAX * 2];
    struct credential_keys out;

    (void)state;
    const struct bytes raw = sealed(&token, bytes);
    assert_true(crypto_base64_write(raw, text, sizeof(text)) > 0);
    assert_int_equal(give("north", bytes_of(text), NOW, &out), 0);
    for (char *c = text; *c != '\0'; c++) {
        *c = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c);
    }
    text[strcspn(text, "=")] = '\0';
    assert_int_equal(give("north", bytes_of(text), NOW, &out), 0);
    text[3] ^= 1;
    assert_int_equal(give("north", bytes_of(text), NOW, &out), -ENOENT);
    memset(text, 'A', sizeof(text)); /* longer than any token */
    assert_int_equal(give("north", (struct bytes){(const uint8_t *)text, sizeof(text)}, NOW, &out),
                     -ENOENT);
    assert_int_equal(give("north", bytes_of(""), NOW, &out), -ENOENT);
    assert_int_equal(give("north", bytes_of("!"), NOW, &out), -ENOENT);
}

/* Proves T-7635-7-02 */
static void give__refuses_another_servers_token(void **state)
{
    const struct token token = token_of(20, NOW, LIFETIME);
    uint8_t bytes[TOKEN_LEN_MAX];
    struct credential_keys out;
    struct auth_token_ask ask = {
        .key = auth_oauth_find(&keys, bytes_of("north"), NOW),
        .server_name = bytes_of("another.org"),
        .kid = bytes_of("north"),
        .token = sealed(&token, bytes),
        .wall_s = NOW,
    };

    (void)state;
    assert_int_equal(auth_token_give(box, &ask, &out), -ENOENT);
    ask.server_name = bytes_of(server_name);
    assert_int_equal(auth_token_give(box, &ask, &out), 0);
    bytes[20] ^= 4;
    assert_int_equal(auth_token_give(box, &ask, &out), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(give__tries_the_whole_mac_key_first),
        cmocka_unit_test(give__names_kid_account_and_realm),
        cmocka_unit_test(give__judges_the_age),
        cmocka_unit_test(left__does_not_overflow),
        cmocka_unit_test(give__takes_the_longest_lifetime),
        cmocka_unit_test(give__takes_base64_too),
        cmocka_unit_test(give__refuses_another_servers_token),
    };
    return cmocka_run_group_tests(tests, make, remove_all);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_auth.h"

#include <errno.h>
#include <string.h>

#include "check.h"
#include "cmd/probe_reply.h"
#include "crypto/longterm.h"
#include "wire/turn_req.h"

static const uint8_t both[] = {0, 2, 0, 0, 0, 1, 0, 0}; /* SHA-256, MD5 */
static const uint8_t md5_first[] = {0, 1, 0, 0, 0, 2, 0, 0};
static const uint8_t foreign[] = {0, 9, 0, 0};

static struct probe_auth auth;

static struct probe_reply challenge(const char *realm, const char *nonce, struct bytes algorithms)
{
    return (struct probe_reply){
        .code = 401,
        .realm = bytes_of(realm),
        .nonce = bytes_of(nonce),
        .algorithms = algorithms,
    };
}

static int init(void **state)
{
    (void)state;
    return probe_auth_init(&auth, "alice", "secret");
}

static void features__reads_the_nonce_cookie(void **state)
{
    (void)state;
    struct probe_features f = probe_auth_features(bytes_of("obMatJos2wAAAxyz"));
    assert_true(f.cookie && f.password_algorithms && f.username_anonymity);
    f = probe_auth_features(bytes_of("obMatJos2gAAAxyz"));
    assert_true(f.cookie && f.password_algorithms && !f.username_anonymity);
    f = probe_auth_features(bytes_of("obMatJos2QAAA"));
    assert_true(f.cookie && !f.password_algorithms && f.username_anonymity);
    f = probe_auth_features(bytes_of("obMatJos2AAAAxyz"));
    assert_true(f.cookie && !f.password_algorithms && !f.username_anonymity);
}

static void features__without_a_cookie_are_none(void **state)
{
    static const char *const nonces[] = {
        "", "x", "obMatJos", "obMatJos2wAA", "obMatJos3wAAAxyz", "obMatJos2!AAAxyz"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(nonces); i++) {
        const struct probe_features f = probe_auth_features(bytes_of(nonces[i]));
        assert_false(f.cookie || f.password_algorithms || f.username_anonymity);
    }
}

static void learn__takes_the_first_algorithm_it_knows(void **state)
{
    struct probe_reply c =
        challenge("example.org", "obMatJos2gAAA1", (struct bytes){both, sizeof(both)});

    (void)state;
    assert_int_equal(probe_auth_learn(&auth, &c), 0);
    assert_int_equal(auth.algorithm, PROBE_SHA256);
    assert_int_equal(auth.key_len, CRYPTO_SHA256_LEN);
    c.algorithms = (struct bytes){md5_first, sizeof(md5_first)};
    assert_int_equal(probe_auth_learn(&auth, &c), 0);
    assert_int_equal(auth.algorithm, PROBE_MD5);
    c.algorithms = (struct bytes){NULL, 0};
    c.nonce = bytes_of("plain");
    assert_int_equal(probe_auth_learn(&auth, &c), 0);
    assert_int_equal(auth.algorithm, PROBE_RFC5389);
    assert_int_equal(auth.key_len, CRYPTO_MD5_LEN);
}

/* RFC 8489 section 9.2.5: the bit without the list is a bid-down attack. */
static void learn__refuses_a_stripped_list(void **state)
{
    const struct probe_reply c =
        challenge("example.org", "obMatJos2gAAA1", (struct bytes){NULL, 0});

    (void)state;
    assert_int_equal(probe_auth_learn(&auth, &c), -EPROTO);
    assert_false(auth.learned);
}

static void learn__refuses_algorithms_that_it_does_not_know(void **state)
{
    const struct probe_reply c =
        challenge("example.org", "obMatJos2gAAA1", (struct bytes){foreign, sizeof(foreign)});

    (void)state;
    assert_int_equal(probe_auth_learn(&auth, &c), -ENOTSUP);
    assert_false(auth.learned);
}

static void learn__refuses_what_is_missing_or_too_long(void **state)
{
    static char longer[PROBE_TEXT_MAX + 2];
    const struct bytes none = {NULL, 0};

    (void)state;
    memset(longer, 'x', sizeof(longer) - 1);
    struct probe_reply c = challenge("", "nonce", none);
    assert_int_equal(probe_auth_learn(&auth, &c), -EBADMSG);
    c = challenge("realm", "", none);
    assert_int_equal(probe_auth_learn(&auth, &c), -EBADMSG);
    c = challenge(longer, "nonce", none);
    assert_int_equal(probe_auth_learn(&auth, &c), -EBADMSG);
    c = challenge("realm", longer, none);
    assert_int_equal(probe_auth_learn(&auth, &c), -EBADMSG);
    c = challenge("realm", "nonce", (struct bytes){(const uint8_t *)longer, 65});
    assert_int_equal(probe_auth_learn(&auth, &c), -EBADMSG);
    assert_false(auth.learned);
}

static void sign__is_what_the_server_decodes(void **state)
{
    const struct probe_reply c =
        challenge("example.org", "obMatJos2wAAA1", (struct bytes){both, sizeof(both)});
    static const uint8_t tid[STUN_TID];
    struct crypto_mac *mac = crypto_mac_new();
    uint8_t buf[1024];
    uint8_t expected[CRYPTO_SHA256_LEN];
    struct stun_out out;
    struct stun_msg msg;
    struct turn_req req;

    (void)state;
    assert_int_equal(probe_auth_learn(&auth, &c), 0);
    stun_out_begin(&out, buf, sizeof(buf), stun_type(STUN_ALLOCATE, STUN_REQUEST), tid);
    assert_int_equal(probe_auth_sign(&auth, mac, &out), 0);
    const int n = stun_out_end(&out);
    assert_true(n > 0);
    assert_int_equal(stun_msg_parse((struct bytes){buf, (size_t)n}, &msg), 0);
    turn_req_decode(&msg, &req);
    assert_int_equal(req.bad, 0);
    assert_int_equal(req.has, HAS_USERHASH | HAS_REALM | HAS_NONCE | HAS_MI256 |
                                  HAS_PASSWORD_ALGORITHM | HAS_PASSWORD_ALGORITHMS);
    assert_int_equal(req.password_algorithm, PROBE_SHA256);
    assert_int_equal(crypto_longterm_userhash(bytes_of("alice"), bytes_of("example.org"), expected),
                     0);
    assert_memory_equal(req.userhash.p, expected, sizeof(expected));
    assert_int_equal(crypto_longterm_sha256(bytes_of("alice"), bytes_of("example.org"),
                                            bytes_of("secret"), expected),
                     0);
    assert_int_equal(
        stun_msg_check_mi(mac, &msg, req.mi256, (struct bytes){expected, sizeof(expected)}), 0);
    crypto_mac_free(mac);
}

static void init__refuses_what_is_no_name_or_password(void **state)
{
    static char longer[2048];

    (void)state;
    memset(longer, 'x', sizeof(longer) - 1);
    assert_int_equal(probe_auth_init(&auth, "", "x"), -EBADMSG);
    assert_int_equal(probe_auth_init(&auth, "a", "tab\t"), -EBADMSG);
    assert_int_equal(probe_auth_init(&auth, longer, "x"), -ENOBUFS);
    assert_int_equal(probe_auth_init(&auth, NULL, NULL), 0);
    assert_false(auth.has_credentials);
}

static void fini__leaves_no_password(void **state)
{
    (void)state;
    probe_auth_fini(&auth);
    for (size_t i = 0; i < sizeof(auth.password); i++) {
        assert_int_equal(auth.password[i], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features__reads_the_nonce_cookie),
        cmocka_unit_test(features__without_a_cookie_are_none),
        cmocka_unit_test_setup(learn__takes_the_first_algorithm_it_knows, init),
        cmocka_unit_test_setup(learn__refuses_a_stripped_list, init),
        cmocka_unit_test_setup(learn__refuses_algorithms_that_it_does_not_know, init),
        cmocka_unit_test_setup(learn__refuses_what_is_missing_or_too_long, init),
        cmocka_unit_test_setup(sign__is_what_the_server_decodes, init),
        cmocka_unit_test(init__refuses_what_is_no_name_or_password),
        cmocka_unit_test_setup(fini__leaves_no_password, init),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

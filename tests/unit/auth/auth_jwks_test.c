/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_jwks.h"

#include <errno.h>
#include <unistd.h>

#include "base/mem.h"
#include "check.h"
#include "jwt_maker.h"

static size_t count_of(const char *json)
{
    struct auth_jwks *set = NULL;

    assert_int_equal(auth_jwks_parse(bytes_of(json), &set), 0);
    const size_t count = auth_jwks_count(set);
    auth_jwks_free(set);
    return count;
}

static char *set_of(cjose_jwk_t *key)
{
    char *text = jwt_set(&key, 1);

    (void)cjose_jwk_release(key);
    return text;
}

/* Proves T-7518-3.2-01, T-7518-3.3-01 */
static void parse__keeps_strong_keys_only(void **state)
{
    const struct {
        cjose_jwk_t *key;
        size_t kept;
    } samples[] = {
        {jwt_rsa(1024, "a"), 0},
        {jwt_rsa(2048, "a"), 1},
        {jwt_ec(CJOSE_JWK_EC_P_256, NULL), 1},
        {jwt_ec(CJOSE_JWK_EC_P_384, NULL), 0},
        {jwt_ec(CJOSE_JWK_EC_P_521, NULL), 0},
        {jwt_oct("only thirty-one bytes, too few.", NULL), 0},
        {jwt_oct("thirty-two bytes are just enough", NULL), 1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        char *text = set_of(samples[i].key);
        assert_int_equal(count_of(text), samples[i].kept);
        free(text);
    }
}

/* RFC 7517 sections 4.2 to 4.4 */
/* Proves T-7517-4.2-01 */
static void parse__keeps_what_is_meant_for_it(void **state)
{
#define OCT "\"kty\":\"oct\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\""

    static const struct {
        const char *json;
        size_t kept;
    } samples[] = {
        {"{\"keys\":[{" OCT "}]}", 1},
        {"{\"keys\":[{" OCT ",\"use\":\"sig\"}]}", 1},
        {"{\"keys\":[{" OCT ",\"use\":\"enc\"}]}", 0},
        {"{\"keys\":[{" OCT ",\"use\":7}]}", 0},
        {"{\"keys\":[{" OCT ",\"alg\":\"HS256\"}]}", 1},
        {"{\"keys\":[{" OCT ",\"alg\":\"RS256\"}]}", 0},
        {"{\"keys\":[{" OCT ",\"alg\":\"A256GCM\"}]}", 0},
        {"{\"keys\":[{" OCT ",\"key_ops\":[\"sign\",\"verify\"]}]}", 1},
        {"{\"keys\":[{" OCT ",\"key_ops\":[\"encrypt\"]}]}", 0},
        {"{\"keys\":[{" OCT ",\"key_ops\":\"verify\"}]}", 0},
        {"{\"keys\":[]}", 0},
        {"{\"keys\":[7,null,\"x\",[],{}]}", 0},
        {"{\"keys\":[{\"kty\":\"RSA\"},{\"kty\":\"OKP\"},{\"kty\":\"oct\"}]}", 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        assert_int_equal(count_of(samples[i].json), samples[i].kept);
    }
}

/* cjose aborts over some of these: they must not get there. */
static void parse__leaves_malformed_keys_out(void **state)
{
#define N  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define EC "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\""
    static const char *const bad[] = {
        "{\"kty\":\"RSA\",\"n\":\"AAA=AAAA\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"n\":\"AAAAA=AA\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"n\":\"AAAAA\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"n\":\"" N "\",\"e\":\"A\"}",
        "{\"kty\":\"RSA\",\"n\":\"" N "\",\"e\":\"\"}",
        "{\"kty\":\"RSA\",\"n\":\"" N "\",\"e\":65537}",
        "{\"kty\":\"RSA\",\"n\":\"" N "\",\"e\":\"AQABAQABAQAB\"}",
        "{\"kty\":\"RSA\",\"e\":\"AQAB\"}",
        "{\"kty\":\"oct\",\"k\":\"A=\"}",
        "{\"kty\":\"oct\",\"k\":\"" N N "A+/A\"}",
        "{\"kty\":\"oct\",\"k\":[]}",
        "{\"kty\":7,\"k\":\"" N "\"}",
        EC N "\",\"y\":\"" N "\"}", /* not on the curve */
        EC N "A\",\"y\":\"" N "\"}",
        EC N "\",\"y\":\"=\"}",
        EC N "\"}",
        "{\"kty\":\"EC\",\"x\":\"" N "\",\"y\":\"" N "\"}",
    };
    char text[600];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        (void)snprintf(text, sizeof(text), "{\"keys\":[%s,{" OCT "}]}", bad[i]);
        assert_int_equal(count_of(text), 1); /* the good one beside it */
    }
}

static void parse__refuses_what_is_no_set(void **state)
{
    static const char *const bad[] = {
        "",     "{", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[]} x", "{\"keys\":[],\"keys\":[]}",
        "\xff",
    };
    struct auth_jwks *set = NULL;
    char *big = mem_new(1, AUTH_JWKS_BYTES_MAX + 1);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(auth_jwks_parse(bytes_of(bad[i]), &set), -EBADMSG);
    }
    memset(big, ' ', AUTH_JWKS_BYTES_MAX + 1);
    memcpy(big, "{\"keys\":[]}", 11);
    assert_int_equal(
        auth_jwks_parse((struct bytes){(const uint8_t *)big, AUTH_JWKS_BYTES_MAX + 1}, &set),
        -EBADMSG);
    assert_int_equal(
        auth_jwks_parse((struct bytes){(const uint8_t *)big, AUTH_JWKS_BYTES_MAX}, &set), 0);
    auth_jwks_free(set);
    free(big);
}

static void parse__is_bounded(void **state)
{
    json_t *list = json_array();
    struct auth_jwks *set = NULL;

    (void)state;
    for (int i = 0; i < AUTH_JWKS_KEYS_MAX + 3; i++) {
        assert_int_equal(json_array_append_new(list, json_pack("{s:s,s:s}", "kty", "oct", "k",
                                                               "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
                                                               "AAAAAAAAAAA")),
                         0);
    }
    json_t *root = json_pack("{so}", "keys", list);
    char *text = json_dumps(root, 0);
    assert_int_equal(auth_jwks_parse(bytes_of(text), &set), 0);
    assert_int_equal(auth_jwks_count(set), AUTH_JWKS_KEYS_MAX);
    assert_int_equal(auth_jwks_ignored(set), 3);
    auth_jwks_free(set);
    free(text);
    json_decref(root);
}

static void read__says_what_is_wrong(void **state)
{
    char path[] = "/tmp/sterna-jwks-XXXXXX";
    struct auth_jwks *set = NULL;
    const int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(auth_jwks_read("/nonexistent", &set), -ENOENT);
    assert_int_equal(auth_jwks_read("/", &set), -EISDIR);
    assert_int_equal(auth_jwks_read(path, &set), -EBADMSG);
    assert_int_equal(write(fd, "{\"keys\":[]}", 11), 11);
    assert_int_equal(auth_jwks_read(path, &set), 0);
    auth_jwks_free(set);
    assert_int_equal(close(fd), 0);
    assert_int_equal(unlink(path), 0);
}

static void parse__survives_without_memory(void **state)
{
    char *text = set_of(jwt_oct(JWT_SECRET, "a kid"));
    struct auth_jwks *set = NULL;
    int err = -ENOMEM;
    int n = 0;

    (void)state;
    for (; err == -ENOMEM; n++) {
        mem_fail_at(n);
        err = auth_jwks_parse(bytes_of(text), &set);
        mem_fail_at(-1);
    }
    assert_int_equal(err, 0);
#ifdef STERNA_FAULT_INJECTION
    assert_true(n > 1);
#endif
    auth_jwks_free(set);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse__keeps_strong_keys_only),
        cmocka_unit_test(parse__keeps_what_is_meant_for_it),
        cmocka_unit_test(parse__leaves_malformed_keys_out),
        cmocka_unit_test(parse__refuses_what_is_no_set),
        cmocka_unit_test(parse__is_bounded),
        cmocka_unit_test(read__says_what_is_wrong),
        cmocka_unit_test(parse__survives_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

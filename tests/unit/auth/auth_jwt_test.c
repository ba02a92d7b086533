/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_jwt.h"

#include <errno.h>

#include "auth/auth_jwt_shape.h"
#include "auth/auth_keys.h"
#include "base/mem.h"
#include "check.h"
#include "jwt_maker.h"

#define GOOD   "{\"sub\":\"alice\",\"exp\":2000}"
#define HS256  "{\"alg\":\"HS256\"}"
#define SECRET JWT_SECRET

enum { NOW_S = 1000 };

struct stage {
    struct crypto_mac *mac;
    cjose_jwk_t *rsa;
    cjose_jwk_t *ec;
    cjose_jwk_t *oct;
    struct auth_jwks *set; /* of rsa "r", ec "e", oct "o" */
    struct auth_secrets *secrets;
    struct auth_jwt_rules rules;
};

static struct auth_jwks *set_of(cjose_jwk_t *const *keys, size_t count)
{
    struct auth_jwks *set;
    char *text = jwt_set(keys, count);

    assert_int_equal(auth_jwks_parse(bytes_of(text), &set), 0);
    free(text);
    return set;
}

static int stage_make(void **state)
{
    static struct stage stage;

    stage.mac = crypto_mac_new();
    stage.rsa = jwt_rsa(2048, "r");
    stage.ec = jwt_ec(CJOSE_JWK_EC_P_256, "e");
    stage.oct = jwt_oct(JWT_SECRET2, "o");
    stage.set = set_of((cjose_jwk_t *[]){stage.rsa, stage.ec, stage.oct}, 3);
    assert_int_equal(auth_jwks_count(stage.set), 3);
    assert_int_equal(auth_secrets_put(&stage.secrets, bytes_of(SECRET)), 0);
    *state = &stage;
    return 0;
}

static int stage_end(void **state)
{
    struct stage *stage = *state;

    crypto_mac_free(stage->mac);
    (void)cjose_jwk_release(stage->rsa);
    (void)cjose_jwk_release(stage->ec);
    (void)cjose_jwk_release(stage->oct);
    auth_jwks_free(stage->set);
    auth_secrets_free(stage->secrets);
    return 0;
}

static int rules_reset(void **state)
{
    struct stage *stage = *state;

    stage->rules = (struct auth_jwt_rules){
        .realm = bytes_of("example.org"),
        .secrets = stage->secrets,
        .jwks = stage->set,
        .wall_s = NOW_S,
    };
    return 0;
}

static int judge(const struct stage *stage, const char *name, struct auth_jwt_answer *out)
{
    return auth_jwt_judge(stage->mac, &stage->rules, bytes_of(name), out);
}

/* Judged by the claims alone: everything else is right. */
static int judge_claims(const struct stage *stage, const char *claims)
{
    struct auth_jwt_answer answer;

    return judge(stage, jwt_half(HS256, claims).text, &answer);
}

static int judge_header(const struct stage *stage, const char *header)
{
    struct auth_jwt_answer answer;

    return judge(stage, jwt_half(header, GOOD).text, &answer);
}

static void assert_key(const struct auth_jwt_answer *answer, const char *name, const char *password)
{
    struct credential_key key;

    assert_int_equal(
        auth_keys_make(bytes_of(name), bytes_of("example.org"), bytes_of(password), &key), 0);
    assert_int_equal(answer->key_count, 1);
    assert_true(answer->key[0].has_md5 && answer->key[0].has_sha256);
    assert_memory_equal(answer->key[0].md5, key.md5, sizeof(key.md5));
    assert_memory_equal(answer->key[0].sha256, key.sha256, sizeof(key.sha256));
}

/* --- Shape --- */

static void shape__is_told(void **state)
{
    static const struct {
        const char *name;
        enum auth_jwt_shape shape;
    } samples[] = {
        {"eyJ.eyJ", AUTH_JWT_HALF},
        {"eyJ.eyJ.AA", AUTH_JWT_WHOLE},
        {"ey.aa", AUTH_JWT_HALF},
        {"", AUTH_JWT_NONE},
        {"e", AUTH_JWT_NONE},
        {"ey", AUTH_JWT_NONE},
        {"eyJ", AUTH_JWT_NONE},
        {"eyJ.", AUTH_JWT_NONE},
        {".eyJ.", AUTH_JWT_NONE},
        {"eyJ..AA", AUTH_JWT_NONE},
        {"eyJ.eyJ.", AUTH_JWT_NONE},
        {"eyJ.eyJ.AA.BB", AUTH_JWT_NONE},
        {"eyJ.e+J", AUTH_JWT_NONE},
        {"eyJ.eJ=", AUTH_JWT_NONE},
        {"eyJ.=", AUTH_JWT_NONE},
        {"eyJAA.eyJ", AUTH_JWT_NONE}, /* four characters and one: no bytes are so long */
        {"eyJ.eyJAA", AUTH_JWT_NONE},
        {"eyJ.eyJ.A", AUTH_JWT_NONE},
        {"alice.smith", AUTH_JWT_NONE},
        {"2000:eyJ.eyJ", AUTH_JWT_NONE},
        {"eyJ.ey J", AUTH_JWT_NONE},
        {"eyJ.e\xC3\xA9", AUTH_JWT_NONE},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        assert_int_equal(auth_jwt_shape(bytes_of(samples[i].name)), samples[i].shape);
    }
}

static void shape__hides_the_signature(void **state)
{
    (void)state;
    assert_true(bytes_equal(auth_jwt_shown(bytes_of("eyJ.eyK.Sig")), bytes_of("eyJ.eyK")));
    assert_true(bytes_equal(auth_jwt_shown(bytes_of("eyJ.eyK")), bytes_of("eyJ.eyK")));
    assert_true(bytes_equal(auth_jwt_shown(bytes_of("a.b.c")), bytes_of("a.b.c")));
}

/* --- Signatures --- */

/* Proves T-JWT-1-01 */
static void half__has_the_whole_as_its_password(void **state)
{
    const struct stage *stage = *state;
    const struct jwt_text half = jwt_half(HS256, GOOD);
    struct auth_jwt_answer answer;

    struct auth_jwt_rules rules = stage->rules;
    rules.jwks = NULL;
    assert_int_equal(auth_jwt_judge(stage->mac, &rules, bytes_of(half.text), &answer), 0);
    assert_key(&answer, half.text, jwt_hs256(half, SECRET, strlen(SECRET)).text);
    assert_false(answer.proven);
    assert_true(answer.expiry_s == 2000);
    assert_int_equal(answer.account_len, 5);
    assert_memory_equal(answer.account, "alice", 5);
}

static void half__tries_each_secret_and_the_kid_first(void **state)
{
    const struct stage *stage = *state;
    const struct jwt_text plain = jwt_half(HS256, GOOD);
    const struct jwt_text named = jwt_half("{\"alg\":\"HS256\",\"kid\":\"o\"}", GOOD);
    const struct jwt_text other = jwt_half("{\"alg\":\"HS256\",\"kid\":\"mine\"}", GOOD);
    struct auth_jwt_answer answer;

    assert_int_equal(judge(stage, plain.text, &answer), 0);
    assert_int_equal(answer.key_count, 2); /* the set's, and the option's */
    assert_int_equal(judge(stage, named.text, &answer), 0);
    assert_key(&answer, named.text, jwt_hs256(named, JWT_SECRET2, strlen(JWT_SECRET2)).text);
    assert_int_equal(judge(stage, other.text, &answer), 0);
    assert_key(&answer, other.text, jwt_hs256(other, SECRET, strlen(SECRET)).text);
}

static void half__is_for_hs256_alone(void **state)
{
    const struct stage *stage = *state;

    assert_int_equal(judge_header(stage, "{\"alg\":\"RS256\",\"kid\":\"r\"}"), -ENOENT);
    assert_int_equal(judge_header(stage, "{\"alg\":\"ES256\"}"), -ENOENT);
}

static void whole__is_proven_by_its_signature(void **state)
{
    const struct stage *stage = *state;

    const struct {
        cjose_jwk_t *key;
        const char *alg;
        const char *kid;
    } samples[] = {{stage->rsa, "RS256", "r"}, {stage->rsa, "RS256", NULL},
                   {stage->ec, "ES256", "e"},  {stage->ec, "ES256", NULL},
                   {stage->oct, "HS256", "o"}, {stage->oct, "HS256", NULL}};

    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        const struct jwt_text token =
            jwt_sign(samples[i].key, samples[i].alg, samples[i].kid, GOOD);
        struct auth_jwt_answer answer;
        assert_int_equal(judge(stage, token.text, &answer), 0);
        assert_true(answer.proven);
        assert_key(&answer, token.text, token.text);
    }
}

/* Every byte of header, payload and signature counts. */
/* Proves T-7515-5.2-01 */
static void whole__is_refused_when_changed(void **state)
{
    const struct stage *stage = *state;
    cjose_jwk_t *const keys[] = {stage->rsa, stage->ec, stage->oct};
    static const char *const algs[] = {"RS256", "ES256", "HS256"};

    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        struct jwt_text token = jwt_sign(keys[i], algs[i], NULL, GOOD);
        struct auth_jwt_answer answer;
        const size_t len = strlen(token.text);
        for (size_t at = 0; at < len - 1; at++) { /* the last holds bits that mean nothing */
            const char was = token.text[at];
            token.text[at] = was == 'A' ? 'B' : 'A';
            assert_true(judge(stage, token.text, &answer) < 0);
            token.text[at] = was;
        }
        token.text[len - 4] = '\0'; /* cut */
        assert_int_equal(judge(stage, token.text, &answer), -ENOENT);
    }
}

/* RFC 8725 section 2.1: the public key is no secret, and "none" is no signature. */
/* Proves T-8725-3.1-01, T-8725-3.2-01 */
static void whole__is_no_prey_to_confusion(void **state)
{
    const struct stage *stage = *state;
    cjose_err err;
    struct auth_jwt_answer answer;
    struct auth_jwt_rules rules = stage->rules;
    char *public = cjose_jwk_to_json(stage->rsa, false, &err);
    const struct jwt_text hs = jwt_half("{\"alg\":\"HS256\",\"kid\":\"r\"}", GOOD);
    struct jwt_text none = jwt_half("{\"alg\":\"none\"}", GOOD);

    assert_int_equal(judge(stage, jwt_hs256(hs, public, strlen(public)).text, &answer), -ENOENT);
    free(public);
    assert_int_equal(judge(stage, none.text, &answer), -ENOENT);
    strcat(none.text, ".AAAA");
    assert_int_equal(judge(stage, none.text, &answer), -ENOENT);
    /* With no other secret there is nothing at all to try. */
    struct auth_jwks *only = set_of((cjose_jwk_t *[]){stage->rsa, stage->ec}, 2);
    rules.jwks = only;
    rules.secrets = NULL;
    assert_int_equal(auth_jwt_judge(stage->mac, &rules, bytes_of(hs.text), &answer), -EAGAIN);
    auth_jwks_free(only);
}

static void whole__of_an_unknown_key_waits(void **state)
{
    const struct stage *stage = *state;
    cjose_jwk_t *fresh = jwt_ec(CJOSE_JWK_EC_P_256, "next");
    const struct jwt_text token = jwt_sign(fresh, "ES256", "next", GOOD);
    struct auth_jwt_rules rules = stage->rules;
    struct auth_jwt_answer answer;

    assert_int_equal(judge(stage, token.text, &answer), -EAGAIN);
    struct auth_jwks *rotated = set_of((cjose_jwk_t *[]){stage->ec, fresh}, 2);
    rules.jwks = rotated;
    assert_int_equal(auth_jwt_judge(stage->mac, &rules, bytes_of(token.text), &answer), 0);
    /* Without a kid, of two that fit none is taken. */
    const struct jwt_text unnamed = jwt_sign(fresh, "ES256", NULL, GOOD);
    assert_int_equal(auth_jwt_judge(stage->mac, &rules, bytes_of(unnamed.text), &answer), -ENOENT);
    rules.jwks = NULL;
    assert_int_equal(auth_jwt_judge(stage->mac, &rules, bytes_of(token.text), &answer), -EAGAIN);
    auth_jwks_free(rotated);
    (void)cjose_jwk_release(fresh);
}

/* --- Header and claims --- */

/* RFC 7515 sections 4 and 4.1.11 */
/* Proves T-7515-4-01, T-7515-4.1.11-01 */
static void header__is_judged(void **state)
{
    static const char *const bad[] = {
        "{}",
        "{\"alg\":1}",
        "{\"alg\":\"hs256\"}",
        "{\"alg\":\"HS384\"}",
        "{\"alg\":\"HS256\\u0000\"}",
        "{\"alg\":\"HS256\",\"alg\":\"HS256\"}",
        "{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}",
        "{\"alg\":\"HS256\",\"kid\":7}",
        "{\"alg\":\"HS256\"} x",
        "{\"alg\":\"HS256\"",
        "{\"alg\":\"HS256\",\"x\":\"\xff\"}",
    };
    const struct stage *stage = *state;

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(judge_header(stage, bad[i]), -ENOENT);
    }
    assert_int_equal(
        judge_header(stage, "{\"typ\":\"JWT\",\"alg\":\"HS256\",\"x5u\":\"http://x\"}"), 0);
}

/* RFC 7519 section 4.1 */
/* Proves T-7519-4-01, T-7519-4.1.3-01, T-7519-4.1.5-01 */
static void claims__must_be_there_and_sound(void **state)
{
    static const char *const bad[] = {
        "{}",
        "[]",
        "\"x\"",
        "{\"sub\":\"alice\"}",
        "{\"exp\":2000}",
        "{\"sub\":\"\",\"exp\":2000}",
        "{\"sub\":7,\"exp\":2000}",
        "{\"sub\":\"alice\",\"exp\":\"2000\"}",
        "{\"sub\":\"alice\",\"exp\":-1}",
        "{\"sub\":\"alice\",\"exp\":1e300}",
        "{\"sub\":\"alice\",\"exp\":99999999999999999999}",
        "{\"sub\":\"alice\",\"exp\":null}",
        "{\"sub\":\"alice\",\"exp\":2000,\"exp\":3000}",
        "{\"sub\":\"alice\",\"sub\":\"bob\",\"exp\":2000}",
        "{\"sub\":\"alice\",\"exp\":2000,\"nbf\":1031}",
        "{\"sub\":\"alice\",\"exp\":2000,\"nbf\":\"now\"}",
        "{\"sub\":\"alice\",\"exp\":2000,\"iat\":1031}",
        "{\"sub\":\"alice\",\"exp\":900,\"iat\":901}",
        "{\"sub\":\"alice\",\"exp\":2000,\"realm\":\"example.net\"}",
        "{\"sub\":\"alice\",\"exp\":2000,\"realm\":null}",
        "{\"sub\":\"alice\",\"exp\":2000,\"aud\":\"example.net\"}",
        "{\"sub\":\"alice\",\"exp\":2000,\"aud\":[]}",
        "{\"sub\":\"alice\",\"exp\":2000,\"aud\":[\"a\",7]}",
        "{\"sub\":\"alice\",\"exp\":2000,\"aud\":{\"a\":\"example.org\"}}",
    };
    static const char *const good[] = {
        GOOD,
        "{\"sub\":\"alice\",\"exp\":2000.9}",
        "{\"sub\":\"alice\",\"exp\":500}", /* its age is for the worker */
        "{\"sub\":\"alice\",\"exp\":2000,\"nbf\":1030,\"iat\":1030}",
        "{\"sub\":\"alice\",\"exp\":2000,\"realm\":\"example.org\"}",
        "{\"sub\":\"alice\",\"exp\":2000,\"aud\":\"example.org\"}",
        "{\"sub\":\"alice\",\"exp\":2000,\"aud\":[\"x\",\"example.org\"]}",
        "{\"sub\":\"alice\",\"exp\":2000,\"iss\":\"anybody\",\"more\":{\"a\":[1]}}",
    };
    const struct stage *stage = *state;

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(judge_claims(stage, bad[i]), -ENOENT);
    }
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        assert_int_equal(judge_claims(stage, good[i]), 0);
    }
}

/* Proves T-7519-4.1.3-01 */
static void claims__fit_issuer_and_audience(void **state)
{
    static const char *const audiences[] = {"turn", "stun"};
    struct stage *stage = *state;

    stage->rules.issuer = "https://id.example";
    stage->rules.audiences = audiences;
    stage->rules.audience_count = COUNT_OF(audiences);
    assert_int_equal(judge_claims(stage, "{\"sub\":\"a\",\"exp\":2000,\"aud\":\"stun\",\"iss\":"
                                         "\"https://id.example\"}"),
                     0);
    assert_int_equal(judge_claims(stage, "{\"sub\":\"a\",\"exp\":2000,\"aud\":\"stun\"}"), -ENOENT);
    assert_int_equal(judge_claims(stage, "{\"sub\":\"a\",\"exp\":2000,\"iss\":"
                                         "\"https://id.example\"}"),
                     -ENOENT);
    assert_int_equal(judge_claims(stage, "{\"sub\":\"a\",\"exp\":2000,\"aud\":\"example.org\","
                                         "\"iss\":\"https://id.example\"}"),
                     -ENOENT);
    assert_int_equal(judge_claims(stage, "{\"sub\":\"a\",\"exp\":2000,\"aud\":\"turn\",\"iss\":"
                                         "\"https://id.example/\"}"),
                     -ENOENT);
}

static void claims__are_bounded(void **state)
{
    const struct stage *stage = *state;
    char subject[256];
    char claims[400];
    struct jwt_text deep = {""};
    struct auth_jwt_answer answer;

    for (size_t n = 127; n <= 129; n++) {
        memset(subject, 's', n);
        subject[n] = '\0';
        (void)snprintf(claims, sizeof(claims), "{\"exp\":2000,\"sub\":\"%s\"}", subject);
        assert_int_equal(judge_claims(stage, claims), n <= 128 ? 0 : -ENOENT);
    }
    /* As deep as a name can hold it. */
    char nested[540] = "{\"sub\":\"a\",\"exp\":2000,\"x\":";
    memset(nested + strlen(nested), '[', 500);
    deep = jwt_half(HS256, nested);
    assert_true(strlen(deep.text) <= CREDENTIAL_NAME_MAX);
    assert_int_equal(judge(stage, deep.text, &answer), -ENOENT);
    /* Longer than a USERNAME can be. */
    memset(deep.text, 'A', CREDENTIAL_NAME_MAX + 1);
    memcpy(deep.text, "eyJ.", 4);
    deep.text[CREDENTIAL_NAME_MAX + 1] = '\0';
    assert_int_equal(judge(stage, deep.text, &answer), -ENOENT);
}

/* The longest name there can be has the longest password. */
static void half__may_be_as_long_as_a_name(void **state)
{
    const struct stage *stage = *state;
    char claims[800];
    struct auth_jwt_answer answer;
    struct jwt_text half = {""};

    for (int n = 400; strlen(half.text) < CREDENTIAL_NAME_MAX - 2; n++) {
        (void)snprintf(claims, sizeof(claims), "{\"sub\":\"a\",\"exp\":2000,\"x\":\"%0*d\"}", n, 0);
        half = jwt_half(HS256, claims);
    }
    assert_true(strlen(half.text) <= CREDENTIAL_NAME_MAX);
    assert_int_equal(judge(stage, half.text, &answer), 0);
    assert_int_equal(answer.key_count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shape__is_told),
        cmocka_unit_test(shape__hides_the_signature),
        cmocka_unit_test_setup(half__has_the_whole_as_its_password, rules_reset),
        cmocka_unit_test_setup(half__tries_each_secret_and_the_kid_first, rules_reset),
        cmocka_unit_test_setup(half__is_for_hs256_alone, rules_reset),
        cmocka_unit_test_setup(half__may_be_as_long_as_a_name, rules_reset),
        cmocka_unit_test_setup(whole__is_proven_by_its_signature, rules_reset),
        cmocka_unit_test_setup(whole__is_refused_when_changed, rules_reset),
        cmocka_unit_test_setup(whole__is_no_prey_to_confusion, rules_reset),
        cmocka_unit_test_setup(whole__of_an_unknown_key_waits, rules_reset),
        cmocka_unit_test_setup(header__is_judged, rules_reset),
        cmocka_unit_test_setup(claims__must_be_there_and_sound, rules_reset),
        cmocka_unit_test_setup(claims__fit_issuer_and_audience, rules_reset),
        cmocka_unit_test_setup(claims__are_bounded, rules_reset),
    };
    return cmocka_run_group_tests(tests, stage_make, stage_end);
}

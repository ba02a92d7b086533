/* SPDX-License-Identifier: Apache-2.0 */
/* The options of JSON Web Tokens and of the HTTP hook, by themselves and together. */
#include <unistd.h>

#include "conf_tests.h"

#define BASE   "realm=x\nuser=a:b\n"
#define SECRET "jwt-secret=a secret of at least thirty-two bytes\n"

struct sample {
    const char *lines;
    const char *words; /* of the finding; NULL: there is none */
    enum conf_severity severity;
};

#if defined(STERNA_JWT) && defined(STERNA_HOOK)
static void assert_found(const struct sample *sample)
{
    char text[512];

    (void)snprintf(text, sizeof(text), BASE "%s", sample->lines);
    struct conf *conf = conf_checked_of(text);
    if (sample->words == NULL) {
        conf_findings_write(conf, stdout, CONF_WARNING);
        conf_assert_count(conf, CONF_WARNING, 0);
        conf_assert_count(conf, CONF_ERROR, 0);
    } else {
        const struct conf_finding *finding = conf_finding_with(conf, sample->words);
        if (finding == NULL) {
            print_message("no finding says '%s'\n", sample->words);
        }
        assert_non_null(finding);
        assert_int_equal(finding->severity, sample->severity);
    }
    conf_unref(conf);
}

static void outside__is_judged(void **state)
{
    static const struct sample samples[] = {
        {SECRET, NULL, 0},
        {SECRET "[realm \"y\"]\nuser-quota=1\n", NULL, 0}, /* they can log in there, too */
        {"jwt-secret=a secret of thirty-one bytes, n\n", "jwt-secret", CONF_ERROR},
        {SECRET "jwt-plain\n", "jwt-plain: over UDP", CONF_WARNING},
        {"jwt-issuer=x\n", "has no effect", CONF_WARNING},
        {"jwt-audience=x\n", "has no effect", CONF_WARNING},
        {"auth-hook-header=A: b\n", "has no effect", CONF_WARNING},
        {"jwt-jwks=/etc/keys\nauth-hook-ca-file=/x\n", "has no effect", CONF_WARNING},
        {"jwt-jwks=https://example.org/keys\nauth-hook-ca-file=/x\n", NULL, 0},
        {"auth-hook=https://example.org/a?b=c\n", NULL, 0},
        {"auth-hook=https://example.org:8443\n", NULL, 0},
        {"auth-hook=https://[::1]/x\n", NULL, 0},
        {"auth-hook=http://127.0.0.1:80/\n", NULL, 0},
        {"auth-hook=http://localhost\n", NULL, 0},
        {"auth-hook=http://[::1]:80/\n", NULL, 0},
        {"auth-hook=http://example.org/\n", "anybody on the way", CONF_WARNING},
        {"auth-hook=http://127.0.0.1.example.org/\n", "anybody on the way", CONF_WARNING},
        {"auth-hook=http://localhosts/\n", "anybody on the way", CONF_WARNING},
        {"auth-hook=ftp://example.org/\n", "begins with https://", CONF_ERROR},
        {"auth-hook=example.org\n", "begins with https://", CONF_ERROR},
        {"auth-hook=https:///x\n", "no URL with a host", CONF_ERROR},
        {"auth-hook=https://a b/\n", "no URL with a host", CONF_ERROR},
        {"auth-hook=https://u:p@example.org/\n", "auth-hook-header", CONF_ERROR},
        {"auth-hook=https://example.org/@x\n", NULL, 0},
        {"jwt-jwks=file://etc/x\n", "begins with https://", CONF_ERROR},
        {"auth-hook=https://x/\nauth-hook-header=none\n", "Name: value", CONF_ERROR},
        {"auth-hook=https://x/\nauth-hook-header=a b: c\n", "Name: value", CONF_ERROR},
        {"auth-hook=https://x/\nauth-hook-header=: c\n", "Name: value", CONF_ERROR},
        {"auth-hook=https://x/\nauth-hook-header=Authorization: Bearer c\n", NULL, 0},
        {"auth-hook=https://x/\nauth-hook-timeout=10\n", "auth-hook-timeout", CONF_ERROR},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        assert_found(&samples[i]);
    }
}

static void outside__has_eight_secrets_at_most(void **state)
{
    char text[1024] = BASE;

    (void)state;
    for (int i = 0; i < 9; i++) {
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
                       "jwt-secret=%d secrets of at least thirty-two bytes\n", i);
    }
    struct conf *conf = conf_checked_of(text);
    assert_non_null(conf_finding_with(conf, "8 jwt-secret at most"));
    conf_unref(conf);
}

/* They are credentials: nothing else is needed, and no-auth contradicts them. */
static void outside__is_enough(void **state)
{
    static const char *const lines[] = {("realm=x\n" SECRET), "realm=x\njwt-jwks=/x\n",
                                        "realm=x\nauth-hook=https://example.org/\n",
                                        "realm=x\nlt-cred-mech\nauth-hook=https://example.org/\n",
                                        "realm=x\nuse-auth-secret\n" SECRET};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        char text[200];
        struct conf *conf = conf_checked_of(lines[i]);
        conf_assert_count(conf, CONF_ERROR, 0);
        conf_unref(conf);
        (void)snprintf(text, sizeof(text), "%sno-auth\n", lines[i]);
        conf = conf_checked_of(text);
        assert_non_null(conf_finding_with(conf, "one side only"));
        conf_unref(conf);
    }
}

static void outside__reads_a_file_of_secrets(void **state)
{
    static const char lines[] = "a secret of at least thirty-two bytes\r\n\ntoo short\n";
    char path[] = "/tmp/sterna-secrets-XXXXXX";
    char text[200];
    const int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, lines, sizeof(lines) - 1), sizeof(lines) - 1);
    (void)snprintf(text, sizeof(text), BASE "jwt-secret-file=%s\n", path);
    struct conf *conf = conf_checked_of(text);
    assert_int_equal(conf->jwt_secret.count, 2);
    const struct conf_finding *finding = conf_finding_with(conf, "32 bytes at least");
    assert_non_null(finding);
    assert_int_equal(finding->line, 3);
    conf_unref(conf);
    assert_int_equal(close(fd), 0);
    assert_int_equal(unlink(path), 0);
}
#else
static void outside__needs_its_libraries(void **state)
{
    static const struct sample samples[] = {
#ifndef STERNA_JWT
        {SECRET, "built without", CONF_ERROR},
        {"jwt-jwks=/etc/keys\n", "needs cjose", CONF_ERROR},
#endif
#ifndef STERNA_HOOK
        {"auth-hook=https://example.org/\n", "needs libcurl", CONF_ERROR},
        {"jwt-jwks=https://example.org/\n", "needs libcurl", CONF_ERROR},
#endif
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        char text[512];
        (void)snprintf(text, sizeof(text), BASE "%s", samples[i].lines);
        struct conf *conf = conf_checked_of(text);
        const struct conf_finding *finding = conf_finding_with(conf, samples[i].words);
        assert_non_null(finding);
        assert_int_equal(finding->severity, samples[i].severity);
        conf_unref(conf);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#if defined(STERNA_JWT) && defined(STERNA_HOOK)
        cmocka_unit_test(outside__is_judged),
        cmocka_unit_test(outside__has_eight_secrets_at_most),
        cmocka_unit_test(outside__is_enough),
        cmocka_unit_test(outside__reads_a_file_of_secrets),
#else
        cmocka_unit_test(outside__needs_its_libraries),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

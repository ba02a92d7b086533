/* SPDX-License-Identifier: Apache-2.0 */
/* [oauth "kid"] sections and what goes with them. */
#include "conf_tests.h"

#define KEY  "key=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEK\n"
#define BASE "realm=r\nuser=a:b\noauth\n"

static void expect_finding(const char *text, enum conf_severity severity, const char *part)
{
    struct conf *conf = conf_checked_of(text);
    const struct conf_finding *finding = conf_finding_with(conf, part);

    if (finding == NULL) {
        conf_findings_write(conf, stderr, CONF_NOTE);
        fail_msg("no finding says: %s", part);
    }
    assert_int_equal(finding->severity, severity);
    conf_unref(conf);
}

static void expect_good(const char *text)
{
    struct conf *conf = conf_checked_of(text);

    if (conf->severity_count[CONF_ERROR] > 0) {
        conf_findings_write(conf, stderr, CONF_ERROR);
        fail_msg("%s is no good", text);
    }
    conf_unref(conf);
}

static void key__is_judged(void **state)
{
    (void)state;
    expect_good(BASE "[oauth \"k\"]\n" KEY);
    expect_good(BASE "[oauth \"k\"]\nkey=MTIzNDU2Nzg5MDEyMzQ1Ngo=\nalgorithm=A128GCM\n");
    expect_good(BASE "[oauth \"k\"]\nkey=MTIzNDU2Nzg5MDEyMzQ1Ngo\nalgorithm=A128GCM\n");
    expect_good(BASE "[oauth \"k\"]\nkey=-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-\n");
    expect_finding(BASE "[oauth \"k\"]\n", CONF_ERROR, "needs 'key = base64'");
    expect_finding(BASE "[oauth \"k\"]\nkey=hello world!\n", CONF_ERROR, "no base64");
    expect_finding(BASE "[oauth \"k\"]\nkey=MTIzNDU2Nzg5MDEyMzQ1Ngo==\n", CONF_ERROR, "no base64");
    expect_finding(BASE "[oauth \"k\"]\nkey=MTIzNDU2Nzg5MDEyMzQ1Ngo=\n", CONF_ERROR,
                   "A256GCM needs a key of 32 bytes, but this one has 17");
    expect_finding(BASE "[oauth \"k\"]\n" KEY "algorithm=A256CBC-HS512\n", CONF_ERROR, "A128GCM");
    expect_finding(BASE "[oauth \"k\"]\n" KEY "lifetime=-1\n", CONF_ERROR, "lifetime");
}

static void kid__is_given_once(void **state)
{
    static const char head[] = BASE "[oauth \"";
    char text[400];

    (void)state;
    expect_finding(BASE "[oauth]\n" KEY, CONF_ERROR, "write the kid as the name");
    expect_finding(BASE "[oauth \"k\"]\n" KEY "[oauth \"k\"]\n" KEY, CONF_ERROR,
                   "this kid has a section in line 4 already");
    expect_good(BASE "[oauth \"k\"]\n" KEY "[oauth \"K\"]\n" KEY);
    (void)snprintf(text, sizeof(text), "%s%0129d\"]\n%s", head, 0, KEY);
    expect_finding(text, CONF_ERROR, "it has 1 to 128 bytes");
    (void)snprintf(text, sizeof(text), "%s%0128d\"]\n%s", head, 0, KEY);
    expect_good(text);
}

static void oauth__needs_a_key(void **state)
{
    (void)state;
    expect_finding(BASE, CONF_ERROR, "oauth is on, but there is no key");
    expect_good(BASE "userdb=/tmp/x\n");
    expect_finding("realm=r\nuser=a:b\n[oauth \"k\"]\n" KEY, CONF_WARNING,
                   "without the option 'oauth'");
    expect_good("realm=r\noauth\n[oauth \"k\"]\n" KEY); /* tokens are credentials enough */
    expect_finding("realm=r\nno-auth\noauth\n[oauth \"k\"]\n" KEY, CONF_ERROR,
                   "no-auth contradicts");
}

/* The key is a secret: it is not shown with what is in force. */
static void key__is_not_written(void **state)
{
    struct conf *conf = conf_checked_of(BASE "[oauth \"k\"]\n" KEY "realm=two\n");
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    (void)state;
    assert_non_null(out);
    conf_write_effective(conf, out, true);
    assert_int_equal(fclose(out), 0);
    assert_null(strstr(text, "MDEyMzQ1"));
    free(text);
    conf_unref(conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key__is_judged),
        cmocka_unit_test(kid__is_given_once),
        cmocka_unit_test(oauth__needs_a_key),
        cmocka_unit_test(key__is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

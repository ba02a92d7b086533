/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf_realm.h"

#include "conf_tests.h"

static struct conf *good(const char *text)
{
    struct conf *conf = conf_checked_of(text);

    if (conf->severity_count[CONF_ERROR] > 0) {
        conf_findings_write(conf, stderr, CONF_ERROR);
        fail_msg("%s is no good", text);
    }
    return conf;
}

static void realm__has_lists_and_numbers(void **state)
{
    struct conf *conf = good("realm=main\nuser=m:m\n"
                             "[realm \"one\"]\nuser=a:b\nuser=c:d\nmax-bps=18446744073709551615\n"
                             "user-quota=3\norigin=https://a.example\norigin=https://b.example\n"
                             "[realm \"One\"]\nstatic-auth-secret=s\ntotal-quota=0\n");
    const struct conf_section *one = conf_realm_find(conf, "one");
    const struct conf_section *other = conf_realm_find(conf, "One"); /* letters are not folded */
    uint64_t number = 1;
    size_t at = 0;

    (void)state;
    assert_non_null(one);
    assert_non_null(other);
    assert_ptr_not_equal(one, other);
    assert_null(conf_realm_find(conf, "ONE"));
    assert_null(conf_realm_find(conf, "main"));
    assert_string_equal(conf_section_next(one, "user", &at), "a:b");
    assert_string_equal(conf_section_next(one, "user", &at), "c:d");
    assert_null(conf_section_next(one, "user", &at));
    assert_null(conf_section_next(one, "user", &at));
    assert_true(conf_realm_number(one, "max-bps", &number) && number == UINT64_MAX);
    assert_true(conf_realm_number(one, "user-quota", &number) && number == 3);
    assert_false(conf_realm_number(one, "total-quota", &number));
    assert_true(conf_realm_number(other, "total-quota", &number) && number == 0);
    at = 0;
    assert_ptr_equal(conf_realm_next(conf, &at), one);
    assert_ptr_equal(conf_realm_next(conf, &at), other);
    assert_null(conf_realm_next(conf, &at));
    conf_unref(conf);
}

static void realm__with_users_is_a_source_of_credentials(void **state)
{
    struct conf *conf = good("realm=main\n[realm \"one\"]\nuser=a:b\n");

    (void)state;
    assert_true(conf->lt_cred_mech);
    assert_false(conf->use_auth_secret);
    assert_null(conf->userdb);
    conf_unref(conf);
    conf = good("realm=main\n[realm \"one\"]\nstatic-auth-secret=x\n");
    assert_true(conf->use_auth_secret);
    assert_false(conf->lt_cred_mech);
    conf_unref(conf);
}

static void realm__faults_are_told_where_they_stand(void **state)
{
    static const struct {
        const char *lines;
        enum conf_severity severity;
        unsigned line;
        const char *part;
    } cases[] = {
        {"[realm]\nuser=a:b\n", CONF_ERROR, 3, "a realm needs its name"},
        {"[realm \"x\"]\nuser=a:b\n[realm \"x\"]\nuser=c:d\n", CONF_ERROR, 5,
         "this realm has a section in line 3 already"},
        {"[realm \"x\"]\nuser=a\n", CONF_ERROR, 4, "'user' wants"},
        {"[realm \"x\"]\nuser=a:b\ndenied-peer-ip=10.0.0.1-10.0.0.0\n", CONF_ERROR, 5,
         "'denied-peer-ip' wants"},
        {"[realm \"x\"]\nuser=a:b\nallowed-peer-ip=everything\n", CONF_ERROR, 5,
         "'allowed-peer-ip' wants"},
        {"[realm \"x\"]\nuser=a:b\nuser-quota=4294967296\n", CONF_ERROR, 5,
         "'user-quota' wants a whole number"},
        {"[realm \"x\"]\nuser=a:b\nmax-bps=-1\n", CONF_ERROR, 5, "'max-bps' wants a whole number"},
        {"[realm \"x\"]\nuser=a:b\nuser-quota=1\nuser-quota=2\n", CONF_ERROR, 6,
         "'user-quota' was given in line 5 of this section before"},
        {"[realm \"x\"]\nuser=a:b\norigin=http://a\n[realm "
         "\"y\"]\nuser=a:b\norigin=HTTP://A:80/b\n",
         CONF_ERROR, 8, "this origin was given in line 5 before, for the realm \"x\""},
        {"[realm \"x\"]\nuser=a:b\norigin=http://a\norigin=http://a:80\n", CONF_WARNING, 6,
         "this origin was given in line 5 before"},
        {"[realm \"x\"]\nuser-quota=1\n", CONF_WARNING, 3, "nobody can log in in this realm"},
        {"[realm \"x\"]\nuser=a:b\ndenied-peer-ip=::ffff:0:0/96\n", CONF_NOTE, 5,
         "this range changes nothing"},
        {"[realm \"x\"]\nquota=1\n", CONF_ERROR, 4, "[realm] has no 'quota'"},
        {"password-algorithms=sha256\n[realm \"x\"]\nuser=a:0x00112233445566778899aabbccddeeff\n",
         CONF_WARNING, 5, "this user has an MD5 key only"},
    };

    char text[512];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        (void)snprintf(text, sizeof(text), "realm=main\nuser=m:m\n%s", cases[i].lines);
        struct conf *conf = conf_checked_of(text);
        bool found = false;

        for (size_t k = 0; k < conf->finding_count; k++) {
            const struct conf_finding *finding = &conf->findings[k];
            found = found ||
                    (finding->severity == cases[i].severity && finding->line == cases[i].line &&
                     strstr(finding->text, cases[i].part) != NULL);
        }
        if (!found) {
            conf_findings_write(conf, stderr, CONF_NOTE);
            fail_msg("%s is not told", cases[i].part);
        }
        conf_unref(conf);
    }
}

static void realm__of_the_option_needs_no_user_of_its_own(void **state)
{
    struct conf *conf = good("realm=main\nuser=m:m\n[realm \"main\"]\nuser-quota=2\n");
    const struct conf_section *section = conf_realm_find(conf, "main");

    (void)state;
    assert_true(conf_realm_is_main(conf, section));
    conf_assert_count(conf, CONF_WARNING, 0);
    conf_unref(conf);
}

/* RFC 8489 section 14.9: fewer than 128 characters, which may have four bytes each. */
static void realm__has_a_longest_name(void **state)
{
    char text[1024];

    (void)state;
    for (int length = 127; length <= 128; length++) {
        size_t n = (size_t)snprintf(text, sizeof(text), "realm=main\nuser=m:m\n[realm \"");
        for (int i = 0; i < length; i++) {
            memcpy(text + n, "\xf0\x9f\x8c\x8d", 4);
            n += 4;
        }
        (void)snprintf(text + n, sizeof(text) - n, "\"]\nuser=a:b\n");
        struct conf *conf = conf_checked_of(text);
        conf_assert_count(conf, CONF_ERROR, length > 127 ? 1 : 0);
        conf_unref(conf);
    }
}

static void realms__are_bounded(void **state)
{
    char *text = malloc((size_t)CONF_REALMS_MAX * 48);
    size_t n = 0;

    (void)state;
    assert_non_null(text);
    n += (size_t)snprintf(text, 64, "realm=main\nuser=m:m\n");
    for (int i = 1; i < CONF_REALMS_MAX; i++) {
        n += (size_t)snprintf(text + n, 48, "[realm \"r%d\"]\nuser=a:b\n", i);
    }
    struct conf *conf = conf_checked_of(text);
    conf_assert_count(conf, CONF_ERROR, 0);
    conf_unref(conf);
    (void)snprintf(text + n, 48, "[realm \"more\"]\nuser=a:b\n");
    conf = conf_checked_of(text);
    conf_assert_finding(conf, CONF_ERROR, "there may be 1024 realms at most");
    conf_unref(conf);
    free(text);
}

static void secrets__of_realms_are_not_shown(void **state)
{
    struct conf *conf =
        good("realm=main\n[realm \"x\"]\nuser=joe:sesame\nstatic-auth-secret=north\n");
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    (void)state;
    assert_non_null(out);
    conf_write_effective(conf, out, true);
    assert_int_equal(fclose(out), 0);
    assert_null(strstr(text, "sesame"));
    assert_null(strstr(text, "north"));
    assert_non_null(strstr(text, "[realm \"x\"]"));
    free(text);
    conf_unref(conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(realm__has_lists_and_numbers),
        cmocka_unit_test(realm__with_users_is_a_source_of_credentials),
        cmocka_unit_test(realm__faults_are_told_where_they_stand),
        cmocka_unit_test(realm__of_the_option_needs_no_user_of_its_own),
        cmocka_unit_test(realm__has_a_longest_name),
        cmocka_unit_test(realms__are_bounded),
        cmocka_unit_test(secrets__of_realms_are_not_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

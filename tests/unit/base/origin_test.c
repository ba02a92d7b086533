/* SPDX-License-Identifier: Apache-2.0 */
#include "base/origin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

/* What coturn's `turnadmin -O` stores for the same texts. */
static void origin__is_spelled_as_coturn_does(void **state)
{
    static const struct {
        const char *text;
        const char *spelled;
    } cases[] = {
        {"http://x", "http://x:80"},
        {"https://X/path?q=1", "https://x:443"},
        {"HTTP://User@Host:81/", "http://host:81"},
        {"http://a:00080", "http://a:80"},
        {"http://a:", "http://a:80"},
        {"http://a:0", "http://a:80"},
        {"http://[::1]", "http://[::1]:80"},
        {"http://[::1]:8080", "http://[::1]:8080"},
        {"ws://x", "ws://x"},
        {"turns://a", "turns://a:5349"},
        {"stun://a", "stun://a:3478"},
        {"sip://a", "sip://a:5060"},
        {"svn+ssh://a", "svn+ssh://a:22"},
        {"LDAPS://a", "ldaps://a:636"},
        {"ftp://x", "ftp://x:21"},
        {"chrome-extension://abc", "chrome-extension://abc"},
        {"http://a:99999", "http://a:99999"},
        {"http://a b", "http://a b"},
        {"http://a:b", "http://a:b"},
        {"file:///x", "file:///x"},
        {"http://a::", "http://a::"},
        {"null", "null"},
        {"x", "x"},
        {"://a", "://a"},
        {"1http://a", "1http://a"},
    };

    char out[64];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const int n = origin_spell(bytes_of(cases[i].text), out, sizeof(out));
        if (n < 0 || (size_t)n != strlen(cases[i].spelled) || strcmp(out, cases[i].spelled) != 0) {
            fail_msg("%s is spelled %s (%d)", cases[i].text, out, n);
        }
    }
}

static void origin__spelled_stays_as_it_is(void **state)
{
    static const char *const texts[] = {"HTTPS://A.example", "null", "ws://A:1", "http://a:99999"};
    char once[64];
    char twice[64];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        assert_true(origin_spell(bytes_of(texts[i]), once, sizeof(once)) > 0);
        assert_true(origin_spell(bytes_of(once), twice, sizeof(twice)) > 0);
        assert_string_equal(once, twice);
    }
}

static void origin__needs_room(void **state)
{
    static const char *const texts[] = {"http://x", "null", "ws://host"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        char out[32];
        const int n = origin_spell(bytes_of(texts[i]), out, sizeof(out));

        assert_true(n > 0);
        for (size_t cap = 0; cap <= (size_t)n; cap++) {
            char *small = malloc(cap + 1); /* exact, for the sanitizers */
            assert_non_null(small);
            assert_int_equal(origin_spell(bytes_of(texts[i]), small, cap), -ENOBUFS);
            free(small);
        }
        assert_int_equal(origin_spell(bytes_of(texts[i]), out, (size_t)n + 1), n);
    }
}

static void origin__of_no_text_is_none(void **state)
{
    static const uint8_t with_nul[] = {'h', 't', 't', 'p', ':', '/', '/', 0, 'a'};
    char out[32];

    (void)state;
    assert_int_equal(origin_spell((struct bytes){NULL, 0}, out, sizeof(out)), -EBADMSG);
    assert_int_equal(origin_spell((struct bytes){with_nul, sizeof(with_nul)}, out, sizeof(out)),
                     -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(origin__is_spelled_as_coturn_does),
        cmocka_unit_test(origin__spelled_stays_as_it_is),
        cmocka_unit_test(origin__needs_room),
        cmocka_unit_test(origin__of_no_text_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

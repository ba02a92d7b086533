/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_advice.h"

#include <errno.h>
#include <string.h>

#include "check.h"
#include "wire/stun_code.h"

/* Every refusal that a server of ours can give to the requests of a probe has its own words. */
static void code__each_has_words_of_its_own(void **state)
{
    static const int codes[] = {
        STUN_TRY_ALTERNATE,       STUN_BAD_REQUEST,           STUN_UNAUTHENTICATED,
        STUN_FORBIDDEN,           STUN_MOBILITY_FORBIDDEN,    STUN_UNKNOWN_ATTRIBUTE,
        STUN_ALLOCATION_MISMATCH, STUN_STALE_NONCE,           STUN_FAMILY_NOT_SUPPORTED,
        STUN_WRONG_CREDENTIALS,   STUN_UNSUPPORTED_TRANSPORT, STUN_PEER_FAMILY_MISMATCH,
        STUN_QUOTA_REACHED,       STUN_SERVER_ERROR,          STUN_INSUFFICIENT_CAPACITY,
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        assert_string_not_equal(probe_advice_code(codes[i]), probe_advice_code(699));
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(probe_advice_code(codes[i]), probe_advice_code(codes[j]));
        }
    }
}

static void code__names_the_option_to_change(void **state)
{
    (void)state;
    assert_non_null(strstr(probe_advice_code(STUN_QUOTA_REACHED), "user-quota"));
    assert_non_null(strstr(probe_advice_code(STUN_INSUFFICIENT_CAPACITY), "min-port"));
    assert_non_null(strstr(probe_advice_code(STUN_UNAUTHENTICATED), "password"));
}

static void errno__no_answer_means_address_or_firewall(void **state)
{
    (void)state;
    assert_non_null(strstr(probe_advice_errno(-ETIMEDOUT), "firewall"));
    assert_non_null(strstr(probe_advice_errno(-ECONNREFUSED), "listening-port"));
    assert_non_null(strstr(probe_advice_errno(-EPERM), "password"));
}

static void errno__an_unknown_one_has_words_too(void **state)
{
    (void)state;
    assert_non_null(strstr(probe_advice_errno(-EMFILE), "this host"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(code__each_has_words_of_its_own),
        cmocka_unit_test(code__names_the_option_to_change),
        cmocka_unit_test(errno__no_answer_means_address_or_firewall),
        cmocka_unit_test(errno__an_unknown_one_has_words_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

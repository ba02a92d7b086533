/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/longterm.h"

#include <string.h>

#include "check.h"
#include "vectors/stun/long_term.h"
#include "vectors/stun/rfc5769.h"

enum { USERHASH_AT = 24 }; /* the first attribute of the message: 20 and 4 bytes precede it */

/* Proves T-8489-9.2.2-01 */
static void md5__is_over_user_realm_and_password(void **state)
{
    uint8_t key[CRYPTO_MD5_LEN];

    (void)state;
    assert_int_equal(crypto_longterm_md5(bytes_of(LONG_TERM_USER), bytes_of(LONG_TERM_REALM),
                                         bytes_of(LONG_TERM_PASS), key),
                     0);
    assert_memory_equal(key, long_term_md5_key, sizeof(key));
}

/* Proves T-8489-18.5.1-01 */
static void sha256__is_over_user_realm_and_password(void **state)
{
    uint8_t key[CRYPTO_SHA256_LEN];

    (void)state;
    assert_int_equal(crypto_longterm_sha256(bytes_of(LONG_TERM_USER), bytes_of(LONG_TERM_REALM),
                                            bytes_of(LONG_TERM_PASS), key),
                     0);
    assert_memory_equal(key, long_term_sha256_key, sizeof(key));
}

static void userhash__is_over_user_and_realm(void **state)
{
    uint8_t hash[CRYPTO_SHA256_LEN];

    (void)state;
    assert_int_equal(
        crypto_longterm_userhash(bytes_of(LONG_TERM_USER), bytes_of(LONG_TERM_REALM), hash), 0);
    assert_memory_equal(hash, long_term_userhash, sizeof(hash));
}

/* Proves T-8489-14.4-01 */
static void userhash__is_that_of_rfc8489_appendix_b1(void **state)
{
    uint8_t hash[CRYPTO_SHA256_LEN];

    (void)state;
    assert_int_equal(
        crypto_longterm_userhash(bytes_of(RFC5769_USER), bytes_of(RFC5769_REALM), hash), 0);
    assert_memory_equal(hash, rfc8489_b1 + USERHASH_AT, sizeof(hash));
}

/* The colon stands even where a part is empty, and a colon inside a part is a byte like others. */
static void key__joins_its_parts_with_colons_only(void **state)
{
    uint8_t joined[CRYPTO_MD5_LEN];
    uint8_t whole[CRYPTO_MD5_LEN];
    const struct bytes empty = {NULL, 0};
    const struct bytes text = bytes_of("a:b::");

    (void)state;
    assert_int_equal(crypto_md5(&text, 1, whole), 0);
    assert_int_equal(crypto_longterm_md5(bytes_of("a:b"), empty, empty, joined), 0);
    assert_memory_equal(joined, whole, sizeof(whole));
    assert_int_equal(crypto_longterm_md5(bytes_of("a"), bytes_of("b"), bytes_of(":"), joined), 0);
    assert_memory_equal(joined, whole, sizeof(whole));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(md5__is_over_user_realm_and_password),
        cmocka_unit_test(sha256__is_over_user_realm_and_password),
        cmocka_unit_test(userhash__is_over_user_and_realm),
        cmocka_unit_test(userhash__is_that_of_rfc8489_appendix_b1),
        cmocka_unit_test(key__joins_its_parts_with_colons_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

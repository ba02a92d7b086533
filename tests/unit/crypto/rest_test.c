/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/rest.h"

#include "check.h"

/* The vectors were made with another implementation, Python's hmac and base64. */
/* Proves T-REST-2.2-01 */
static void password__is_that_of_other_implementations(void **state)
{
    static const char hundred[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                                  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    static const char *const vectors[][3] = {
        {"north", "1433895918:12334", "D2z3GKCuvPnlJaCR4joJ/GuCSzM="},
        {"secret", "alice:4102444800", "2lsEb3oLVfOom86LcmMhkYlOMcA="},
        {hundred, "4102444800", "SWODedZkGS0h/Fl30j1ce2o2ziw="},
        {"it's %s\xff", "1:\xff", "+28ZaHqNFwq7f1ONqsPggL+FFEU="},
    };
    struct crypto_mac *mac = crypto_mac_new();

    (void)state;
    assert_non_null(mac);
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        char password[CRYPTO_REST_LEN + 1];
        assert_int_equal(
            crypto_rest_password(mac, bytes_of(vectors[i][0]), bytes_of(vectors[i][1]), password),
            0);
        assert_string_equal(password, vectors[i][2]);
    }
    crypto_mac_free(mac);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(password__is_that_of_other_implementations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

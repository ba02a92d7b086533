/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_users.h"

#include <errno.h>

#include "auth/auth_keys.h"
#include "base/mem.h"
#include "check.h"
#include "conf/conf.h"
#include "crypto/longterm.h"
#include "icu.h"

static const struct bytes realm = {(const uint8_t *)"example.org", 11};

static int users_of(const char *const *lines, size_t count, struct auth_users **out, char *why,
                    size_t cap)
{
    struct conf_text items[8] = {{NULL, NULL, 0, 0}};
    char copies[8][256];

    assert_true(count <= 8);
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(copies[i], sizeof(copies[i]), "%s", lines[i]);
        items[i] = (struct conf_text){copies[i], "test", (unsigned)i + 1, 1};
    }
    return auth_users_new(&(struct conf_list){count, items}, realm, out, why, cap);
}

static struct auth_users *users(const char *const *lines, size_t count)
{
    struct auth_users *made;
    char why[200];

    assert_int_equal(users_of(lines, count, &made, why, sizeof(why)), 0);
    return made;
}

/* Proves T-8656-6-03 */
static void find__gives_keys_of_passwords(void **state)
{
    static const char *const lines[] = {"alice:wonder:land", "bob:x"};
    struct auth_users *made = users(lines, COUNT_OF(lines));
    struct credential_key expected;

    (void)state;
    const struct auth_user *alice = auth_users_find(made, bytes_of("alice"));
    assert_non_null(alice);
    assert_int_equal(alice->key_count, 1);
    assert_int_equal(auth_keys_make(bytes_of("alice"), realm, bytes_of("wonder:land"), &expected),
                     0);
    assert_memory_equal(&alice->keys[0], &expected, sizeof(expected));
    assert_null(auth_users_find(made, bytes_of("Alice")));
    assert_null(auth_users_find(made, bytes_of("alic")));
    assert_null(auth_users_find(made, bytes_of("alice ")));
    assert_null(auth_users_find(made, bytes_of("")));
    assert_int_equal(auth_users_count(made), 2);
    assert_int_equal(auth_users_count_sha256(made), 2);
    auth_users_free(made);
}

static void find__takes_keys_as_they_are(void **state)
{
    static const char *const lines[] = {
        "old:0x72f86f2053703faa0f521ce71cfe6f59",
        "new:0x07e934117abd40836e7c6329b54731b2b2d2a5f9a71f544922d75e0730d8251b",
    };
    struct auth_users *made = users(lines, COUNT_OF(lines));

    (void)state;
    const struct auth_user *old = auth_users_find(made, bytes_of("old"));
    assert_true(old->keys[0].has_md5 && !old->keys[0].has_sha256);
    assert_int_equal(old->keys[0].md5[0], 0x72);
    const struct auth_user *new = auth_users_find(made, bytes_of("new"));
    assert_true(!new->keys[0].has_md5 &&new->keys[0].has_sha256);
    assert_int_equal(new->keys[0].sha256[31], 0x1b);
    assert_int_equal(auth_users_count_sha256(made), 1);
    auth_users_free(made);
}

static void find__lets_the_last_line_hold(void **state)
{
    static const char *const lines[] = {"a:first", "b:x", "a:last"};
    struct auth_users *made = users(lines, COUNT_OF(lines));
    struct credential_key expected;

    (void)state;
    assert_int_equal(auth_keys_make(bytes_of("a"), realm, bytes_of("last"), &expected), 0);
    assert_memory_equal(auth_users_find(made, bytes_of("a"))->keys, &expected, sizeof(expected));
    assert_int_equal(auth_users_count(made), 2);
    auth_users_free(made);
}

/* Written decomposed, asked for as OpaqueString has it: the names are the same.
 * A request is compared as it came.  */
/* Proves T-8489-14.3-02 */
static void find__compares_the_prepared_name(void **state)
{
    static const char *const lines[] = {"andre\u0301:x"};
    struct auth_users *made;

    (void)state;
    need_icu();
    made = users(lines, COUNT_OF(lines));
    assert_non_null(auth_users_find(made, bytes_of("andr\u00e9")));
    assert_null(auth_users_find(made, bytes_of("andre\u0301")));
    auth_users_free(made);
}

/* Proves T-8489-14.4-01 */
static void find_hash__finds_the_same_user(void **state)
{
    static const char *const lines[] = {"alice:x", "bob:x"};
    struct auth_users *made = users(lines, COUNT_OF(lines));
    uint8_t hash[CRYPTO_SHA256_LEN];

    (void)state;
    assert_int_equal(crypto_longterm_userhash(bytes_of("bob"), realm, hash), 0);
    assert_ptr_equal(auth_users_find_hash(made, hash), auth_users_find(made, bytes_of("bob")));
    hash[0] ^= 1;
    assert_null(auth_users_find_hash(made, hash));
    auth_users_free(made);
}

static void names__are_data(void **state)
{
    static const char *const lines[] = {"o'brien%s%n:x", "a\r\nb:x", "\xff\xfe:x"};
    struct auth_users *made = users(lines, COUNT_OF(lines));

    (void)state;
    assert_non_null(auth_users_find(made, bytes_of("o'brien%s%n")));
    assert_non_null(auth_users_find(made, bytes_of("a\r\nb")));
    assert_non_null(auth_users_find(made, bytes_of("\xff\xfe")));
    auth_users_free(made);
}

static void new__says_which_line_is_wrong(void **state)
{
    static const char *const lines[] = {"a:x", "nothing"};
    struct auth_users *made;
    char why[200];

    (void)state;
    assert_int_equal(users_of(lines, 2, &made, why, sizeof(why)), -EBADMSG);
    assert_non_null(strstr(why, "test:2: option user"));
    assert_null(strstr(why, "nothing")); /* it may be a password */
}

static void none__is_fine(void **state)
{
    struct auth_users *made = users(NULL, 0);

    (void)state;
    assert_null(auth_users_find(made, bytes_of("a")));
    assert_int_equal(auth_users_count(made), 0);
    auth_users_free(made);
    auth_users_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(find__gives_keys_of_passwords),
        cmocka_unit_test(find__takes_keys_as_they_are),
        cmocka_unit_test(find__lets_the_last_line_hold),
        cmocka_unit_test(find__compares_the_prepared_name),
        cmocka_unit_test(find_hash__finds_the_same_user),
        cmocka_unit_test(names__are_data),
        cmocka_unit_test(new__says_which_line_is_wrong),
        cmocka_unit_test(none__is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_hook.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "auth/auth_keys.h"
#include "check.h"

static struct net_addr client;

static struct auth_hook_question question(const char *name)
{
    assert_int_equal(net_addr_parse("192.0.2.1:4000", 0, &client), 0);
    return (struct auth_hook_question){bytes_of(name), bytes_of("r"), &client, NET_DTLS};
}

static int read_text(long status, const char *body, struct auth_hook_answer *out)
{
    const struct auth_hook_question asked = question("alice");
    const char *why = NULL;
    const int err = auth_hook_read(&asked, status, bytes_of(body), out, &why);

    assert_int_equal(err == -EBADMSG, why != NULL);
    return err;
}

static void ask__says_who_wants_what(void **state)
{
    const struct auth_hook_question asked = question("al\"ice\n");
    char *text;

    (void)state;
    assert_int_equal(auth_hook_ask(&asked, &text), 0);
    assert_string_equal(text, "{\"username\":\"al\\\"ice\\n\",\"realm\":\"r\",\"client\":\"192.0.2."
                              "1\",\"transport\":\"dtls\",\"method\":\"allocate\"}");
    free(text);
}

static void ask__needs_utf8(void **state)
{
    const struct auth_hook_question asked = question("\xff");
    char *text;

    (void)state;
    assert_int_equal(auth_hook_ask(&asked, &text), -EBADMSG);
}

static void read__makes_keys_of_a_password(void **state)
{
    struct auth_hook_answer answer;
    struct credential_key key;

    (void)state;
    assert_int_equal(
        read_text(200, "{\"password\":\"pass\",\"ttl\":7,\"account\":\"acme\"}", &answer), 0);
    assert_int_equal(auth_keys_make(bytes_of("alice"), bytes_of("r"), bytes_of("pass"), &key), 0);
    assert_int_equal(answer.key_count, 1);
    assert_memory_equal(&answer.key[0], &key, sizeof(key));
    assert_true(answer.has_ttl && answer.ttl_s == 7);
    assert_int_equal(answer.account_len, 4);
    assert_memory_equal(answer.account, "acme", 4);
}

static void read__takes_keys(void **state)
{
    struct auth_hook_answer answer;

    (void)state;
    assert_int_equal(read_text(200, "{\"md5\":\"00112233445566778899AABBCCDDEEff\"}", &answer), 0);
    assert_true(answer.key_count == 1 && answer.key[0].has_md5 && !answer.key[0].has_sha256);
    assert_int_equal(answer.key[0].md5[0], 0);
    assert_int_equal(answer.key[0].md5[15], 0xff);
    assert_int_equal(answer.key[0].md5[10], 0xaa);
    assert_true(!answer.has_ttl && answer.account_len == 0);
    assert_int_equal(read_text(200,
                               "{\"sha256\":\"00112233445566778899aabbccddeeff"
                               "00112233445566778899aabbccddeeff\"}",
                               &answer),
                     0);
    assert_true(answer.key[0].has_sha256 && !answer.key[0].has_md5);
}

static void read__knows_a_no(void **state)
{
    struct auth_hook_answer answer;

    (void)state;
    assert_int_equal(read_text(403, "", &answer), -ENOENT);
    assert_int_equal(read_text(404, "{\"password\":\"x\"}", &answer), -ENOENT);
}

static void read__takes_nothing_else(void **state)
{
    static const char *const bad[] = {
        "",
        "null",
        "[]",
        "{}",
        "{",
        "{\"password\":\"x\"} y",
        "{\"password\":\"x\",\"password\":\"y\"}",
        "{\"password\":\"\"}",
        "{\"password\":null}",
        "{\"password\":7}",
        "{\"password\":\"x\\u0000y\"}",
        "{\"password\":\"x\",\"md5\":\"00112233445566778899aabbccddeeff\"}",
        "{\"md5\":\"00112233445566778899aabbccddeef\"}",
        "{\"md5\":\"00112233445566778899aabbccddeeff0\"}",
        "{\"md5\":\"00112233445566778899aabbccddeefg\"}",
        "{\"md5\":7}",
        "{\"sha256\":\"00112233445566778899aabbccddeeff\"}",
        "{\"md5\":\"00112233445566778899aabbccddeeff\",\"sha256\":\"\"}",
        "{\"password\":\"x\",\"ttl\":-1}",
        "{\"password\":\"x\",\"ttl\":1.5}",
        "{\"password\":\"x\",\"ttl\":86401}",
        "{\"password\":\"x\",\"ttl\":99999999999999999999}",
        "{\"password\":\"x\",\"ttl\":\"9\"}",
        "{\"password\":\"x\",\"account\":\"\"}",
        "{\"password\":\"x\",\"account\":7}",
    };
    static const long statuses[] = {0, 100, 201, 204, 301, 302, 307, 400, 401, 405, 429, 500, 503};
    struct auth_hook_answer answer;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(read_text(200, bad[i], &answer), -EBADMSG);
    }
    for (size_t i = 0; i < COUNT_OF(statuses); i++) {
        assert_int_equal(read_text(statuses[i], "{\"password\":\"x\"}", &answer), -EBADMSG);
    }
}

static void read__is_bounded(void **state)
{
    static char text[4096];
    struct auth_hook_answer answer;

    (void)state;
    for (int n = 1023; n <= 1025; n++) {
        (void)snprintf(text, sizeof(text), "{\"password\":\"%0*d\"}", n, 0);
        assert_int_equal(read_text(200, text, &answer), n <= 1024 ? 0 : -EBADMSG);
    }
    for (int n = 127; n <= 129; n++) {
        (void)snprintf(text, sizeof(text), "{\"password\":\"x\",\"account\":\"%0*d\"}", n, 0);
        assert_int_equal(read_text(200, text, &answer), n <= 128 ? 0 : -EBADMSG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ask__says_who_wants_what),
        cmocka_unit_test(ask__needs_utf8),
        cmocka_unit_test(read__makes_keys_of_a_password),
        cmocka_unit_test(read__takes_keys),
        cmocka_unit_test(read__knows_a_no),
        cmocka_unit_test(read__takes_nothing_else),
        cmocka_unit_test(read__is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

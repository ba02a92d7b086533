/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/turn_req.h"

#include <errno.h>
#include <string.h>

#include "check.h"
#include "draft.h"
#include "vectors/stun/long_term.h"

static struct draft draft;

static void assert_text(struct bytes value, const char *text)
{
    assert_true(bytes_equal(value, bytes_of(text)));
}

static void decode__of_an_empty_message_has_nothing(void **state)
{
    (void)state;
    draft_begin(&draft);
    const struct turn_req *req = draft_decode(&draft);
    assert_int_equal(req->has, 0);
    assert_int_equal(req->bad, 0);
    assert_false(req->overrun);
    assert_int_equal(req->unknown_count, 0);
    assert_int_equal(req->peers.n, 0);
    assert_int_equal(req->msg.method, STUN_ALLOCATE);
}

static void decode__finds_all_of_a_long_term_allocate(void **state)
{
    struct stun_msg msg;
    struct turn_req req;

    (void)state;
    assert_int_equal(stun_msg_parse((struct bytes){long_term_both, sizeof(long_term_both)}, &msg),
                     0);
    turn_req_decode(&msg, &req);
    assert_int_equal(req.has, HAS_REQUESTED_TRANSPORT | HAS_USERNAME | HAS_REALM | HAS_NONCE |
                                  HAS_PASSWORD_ALGORITHMS | HAS_PASSWORD_ALGORITHM | HAS_MI |
                                  HAS_MI256 | HAS_FINGERPRINT);
    assert_int_equal(req.bad, 0);
    assert_int_equal(req.transport, 17);
    assert_text(req.username, LONG_TERM_USER);
    assert_text(req.realm, LONG_TERM_REALM);
    assert_text(req.nonce, "obMatJos2gAAA0123456789abcdef");
    assert_int_equal(req.password_algorithms.n, 8);
    assert_int_equal(req.password_algorithm, 2);
    assert_false(req.password_algorithm_params);
    assert_int_equal(req.mi.n, 20);
    assert_int_equal(req.mi256.n, 32);
    assert_ptr_equal(req.fingerprint.p, long_term_both + sizeof(long_term_both) - 4);
}

static void decode__reads_turn_attributes(void **state)
{
    static const uint8_t token[] = {1, 2, 3, 4, 5, 6, 7, 8};
    char text[NET_ADDR_TEXT];

    (void)state;
    draft_begin(&draft);
    draft_put(&draft, STUN_CHANNEL_NUMBER, "\x40\x05\x00\x00", 4);
    draft_put(&draft, STUN_LIFETIME, "\x00\x00\x0e\x10", 4);
    draft_peer(&draft, "192.0.2.9:4000");
    draft_put(&draft, STUN_DATA_ATTR, "hello", 5);
    draft_put(&draft, STUN_REQUESTED_ADDRESS_FAMILY, "\x02\x00\x00\x00", 4);
    draft_put(&draft, STUN_ADDITIONAL_ADDRESS_FAMILY, "\x01\x00\x00\x00", 4);
    draft_put(&draft, STUN_EVEN_PORT, "\x80", 1);
    draft_put(&draft, STUN_REQUESTED_TRANSPORT, "\x06\x00\x00\x00", 4);
    draft_put(&draft, STUN_DONT_FRAGMENT, NULL, 0);
    draft_put(&draft, STUN_RESERVATION_TOKEN, token, sizeof(token));
    draft_fill(&draft, STUN_USERHASH, 32);
    draft_put(&draft, STUN_CONNECTION_ID, "\x81\x02\x03\x04", 4);
    const struct turn_req *req = draft_decode(&draft);
    assert_int_equal(req->has, HAS_CHANNEL_NUMBER | HAS_LIFETIME | HAS_XOR_PEER_ADDRESS | HAS_DATA |
                                   HAS_REQUESTED_ADDRESS_FAMILY | HAS_ADDITIONAL_ADDRESS_FAMILY |
                                   HAS_EVEN_PORT | HAS_REQUESTED_TRANSPORT | HAS_DONT_FRAGMENT |
                                   HAS_RESERVATION_TOKEN | HAS_USERHASH | HAS_CONNECTION_ID);
    assert_int_equal(req->bad, 0);
    assert_int_equal(req->channel, 0x4005);
    assert_int_equal(req->lifetime_s, 3600);
    assert_string_equal(net_addr_text(&req->peer, text), "192.0.2.9:4000");
    assert_text(req->data, "hello");
    assert_int_equal(req->family, 2);
    assert_int_equal(req->additional_family, 1);
    assert_true(req->even_port_reserve);
    assert_int_equal(req->transport, 6);
    assert_true(req->reservation_token == UINT64_C(0x0102030405060708));
    assert_int_equal(req->userhash.n, 32);
    assert_true(req->connection_id == 0x81020304);
}

/* Proves T-8656-18.1-01, T-8656-18.6-01, T-8656-18.7-01, T-8656-18.8-01 */
static void decode__ignores_reserved_bits(void **state)
{
    (void)state;
    draft_begin(&draft);
    draft_put(&draft, STUN_CHANNEL_NUMBER, "\x40\x00\xff\xff", 4);
    draft_put(&draft, STUN_REQUESTED_ADDRESS_FAMILY, "\x02\xff\xff\xff", 4);
    draft_put(&draft, STUN_ADDITIONAL_ADDRESS_FAMILY, "\x02\xff\xff\xff", 4);
    draft_put(&draft, STUN_EVEN_PORT, "\x7f", 1);
    draft_put(&draft, STUN_REQUESTED_TRANSPORT, "\x11\xff\xff\xff", 4);
    const struct turn_req *req = draft_decode(&draft);
    assert_int_equal(req->bad, 0);
    assert_int_equal(req->channel, 0x4000);
    assert_int_equal(req->family, 2);
    assert_int_equal(req->additional_family, 2);
    assert_true((req->has & HAS_EVEN_PORT) != 0);
    assert_false(req->even_port_reserve);
    assert_int_equal(req->transport, 17);
}

/* Proves T-8656-18.2-01 */
static void decode__reads_a_lifetime_as_unsigned(void **state)
{
    (void)state;
    draft_begin(&draft);
    stun_out_u32(&draft.out, STUN_LIFETIME, UINT32_MAX);
    assert_true(draft_decode(&draft)->lifetime_s == UINT32_MAX);
}

/* Proves T-8656-18.4-01 */
static void decode__leaves_padding_out_of_data(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 9; n++) {
        draft_begin(&draft);
        draft_put(&draft, STUN_DATA_ATTR, "123456789", n);
        const struct turn_req *req = draft_decode(&draft);
        assert_true((req->has & HAS_DATA) != 0);
        assert_int_equal(req->data.n, n);
        assert_memory_equal(req->data.p, "123456789", n);
    }
}

/* Padding and Resp of a request mean nothing. */
/* Proves T-7982-3.1-01 */
static void decode__reads_only_req_of_a_transmit_counter(void **state)
{
    (void)state;
    draft_begin(&draft);
    draft_put(&draft, STUN_TRANSACTION_TRANSMIT_COUNTER, "\xff\xff\x03\x09", 4);
    const struct turn_req *req = draft_decode(&draft);
    assert_int_equal(req->has, HAS_TRANSMIT_COUNTER);
    assert_int_equal(req->transmit_count, 3);
}

/* Every length for every attribute that has rules: well-formed, or marked as bad; never both, and
 * the neighbours are read all the same. */
static void decode__judges_every_length(void **state)
{
    static const struct {
        uint16_t type;
        uint32_t has;
        size_t min, max, step;
    } rules[] = {
        {STUN_USERNAME, HAS_USERNAME, 0, 763, 1},
        {STUN_REALM, HAS_REALM, 0, 763, 1},
        {STUN_NONCE, HAS_NONCE, 0, 763, 1},
        {STUN_USERHASH, HAS_USERHASH, 32, 32, 1},
        {STUN_CHANNEL_NUMBER, HAS_CHANNEL_NUMBER, 4, 4, 1},
        {STUN_LIFETIME, HAS_LIFETIME, 4, 4, 1},
        {STUN_REQUESTED_ADDRESS_FAMILY, HAS_REQUESTED_ADDRESS_FAMILY, 4, 4, 1},
        {STUN_ADDITIONAL_ADDRESS_FAMILY, HAS_ADDITIONAL_ADDRESS_FAMILY, 4, 4, 1},
        {STUN_EVEN_PORT, HAS_EVEN_PORT, 1, 1, 1},
        {STUN_REQUESTED_TRANSPORT, HAS_REQUESTED_TRANSPORT, 4, 4, 1},
        {STUN_DONT_FRAGMENT, HAS_DONT_FRAGMENT, 0, 0, 1},
        {STUN_RESERVATION_TOKEN, HAS_RESERVATION_TOKEN, 8, 8, 1},
        {STUN_CONNECTION_ID, HAS_CONNECTION_ID, 4, 4, 1},
        {STUN_TRANSACTION_TRANSMIT_COUNTER, HAS_TRANSMIT_COUNTER, 4, 4, 1},
        {STUN_MESSAGE_INTEGRITY, HAS_MI, 20, 20, 1},
        {STUN_MESSAGE_INTEGRITY_SHA256, HAS_MI256, 16, 32, 4},
        {STUN_FINGERPRINT, HAS_FINGERPRINT, 4, 4, 1},
        {STUN_DATA_ATTR, HAS_DATA, 0, 65535, 1},
        {STUN_PASSWORD_ALGORITHMS, HAS_PASSWORD_ALGORITHMS, 0, 65535, 1},
        {STUN_XOR_PEER_ADDRESS, HAS_XOR_PEER_ADDRESS, 1, 0, 1}, /* 0x1111… is no family */
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        for (size_t n = 0; n <= 900; n++) {
            const bool good = n >= rules[i].min && n <= rules[i].max && n % rules[i].step == 0;
            draft_begin(&draft);
            draft_put(&draft, STUN_SOFTWARE, "x", 1);
            draft_fill(&draft, rules[i].type, n);
            const struct turn_req *req = draft_decode(&draft);
            assert_int_equal(req->has, good ? rules[i].has : 0);
            assert_int_equal(req->bad, good ? 0 : rules[i].has);
            assert_false(req->overrun);
        }
    }
}

/* RFC 8489 section 14.3: what is longer than it may be must still be parsed. */
/* Proves T-8489-14.3-01 */
static void decode__takes_strings_of_763_bytes(void **state)
{
    (void)state;
    draft_begin(&draft);
    draft_fill(&draft, STUN_USERNAME, 763);
    draft_fill(&draft, STUN_REALM, 763);
    draft_fill(&draft, STUN_NONCE, 763);
    const struct turn_req *req = draft_decode(&draft);
    assert_int_equal(req->has, HAS_USERNAME | HAS_REALM | HAS_NONCE);
    assert_int_equal(req->username.n, 763);
    assert_int_equal(req->realm.n, 763);
    assert_int_equal(req->nonce.n, 763);
}

static void decode__keeps_a_truncated_sha256_for_the_credentials(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 40; n++) {
        draft_begin(&draft);
        draft_fill(&draft, STUN_MESSAGE_INTEGRITY_SHA256, n);
        const struct turn_req *req = draft_decode(&draft);
        assert_true(((req->has | req->bad) & HAS_MI256) != 0);
        assert_int_equal(req->mi256.n, n);
    }
}

/* Proves T-8489-14.1-01 */
static void decode__marks_a_peer_of_wrong_family_or_length(void **state)
{
    uint8_t value[20] = {0};

    (void)state;
    for (unsigned family = 0; family <= 3; family++) {
        for (size_t n = 0; n <= sizeof(value); n++) {
            const bool good = (family == 1 && n == 8) || (family == 2 && n == 20);
            value[0] = 0xFF; /* ignored */
            value[1] = (uint8_t)family;
            draft_begin(&draft);
            draft_put(&draft, STUN_XOR_PEER_ADDRESS, value, n);
            const struct turn_req *req = draft_decode(&draft);
            assert_int_equal(req->has, good ? HAS_XOR_PEER_ADDRESS : 0);
            assert_int_equal(req->bad, good ? 0 : HAS_XOR_PEER_ADDRESS);
        }
    }
}

/* A REQUESTED-TRANSPORT of 12 bytes whose value looks like a LIFETIME: it is too long, and there is
 * no LIFETIME. */
static void decode__does_not_enter_values(void **state)
{
    static const uint8_t value[] = {17, 0, 0, 0, 0x00, 0x0d, 0x00, 0x04, 0xde, 0xad, 0xbe, 0xef};

    (void)state;
    draft_begin(&draft);
    draft_put(&draft, STUN_REQUESTED_TRANSPORT, value, sizeof(value));
    draft_put(&draft, STUN_DONT_FRAGMENT, NULL, 0);
    const struct turn_req *req = draft_decode(&draft);
    assert_int_equal(req->has, HAS_DONT_FRAGMENT);
    assert_int_equal(req->bad, HAS_REQUESTED_TRANSPORT);
    assert_int_equal(req->lifetime_s, 0);
}

static void decode__knows_password_algorithm_parameters(void **state)
{
    static const struct {
        const char *value;
        size_t n;
        bool good, params;
    } cases[] = {
        {"\x00\x02\x00\x00", 4, true, false},
        {"\x00\x02\x00\x01p\0\0\0", 8, true, true},
        {"\x00\x02\x00\x04pppp", 8, true, true},
        {"\x00\x02\x00\x01p", 5, false, true}, /* parameters are padded inside the value */
        {"\x00\x02\x00\x04", 4, false, true},  /* fewer than they say */
        {"\x00\x02\x00\x00pppp", 8, false, false},
        {"\x00\x02\x00", 3, false, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        draft_begin(&draft);
        draft_put(&draft, STUN_PASSWORD_ALGORITHM, cases[i].value, cases[i].n);
        const struct turn_req *req = draft_decode(&draft);
        assert_int_equal(req->has, cases[i].good ? HAS_PASSWORD_ALGORITHM : 0);
        assert_int_equal(req->bad, cases[i].good ? 0 : HAS_PASSWORD_ALGORITHM);
        if (cases[i].good) {
            assert_int_equal(req->password_algorithm, 2);
            assert_int_equal(req->password_algorithm_params, cases[i].params);
        }
    }
}

static void next_algorithm__steps_through_a_list(void **state)
{
    static const uint8_t list[] = {0,   2,   0,   0, 0, 1, 0, 5, 'a', 'b',
                                   'c', 'd', 'e', 9, 9, 9, 0, 3, 0,   0};
    struct bytes rest = {list, sizeof(list)};
    struct bytes params;
    uint16_t number;

    (void)state;
    assert_int_equal(turn_req_next_algorithm(&rest, &number, &params), 1);
    assert_int_equal(number, 2);
    assert_int_equal(params.n, 0);
    assert_int_equal(turn_req_next_algorithm(&rest, &number, &params), 1);
    assert_int_equal(number, 1);
    assert_text(params, "abcde");
    assert_int_equal(turn_req_next_algorithm(&rest, &number, &params), 1);
    assert_int_equal(number, 3);
    assert_int_equal(turn_req_next_algorithm(&rest, &number, &params), 0);
    for (size_t n = 1; n < sizeof(list); n++) {
        int step = 1;
        rest = (struct bytes){list, n};
        while (step > 0) {
            step = turn_req_next_algorithm(&rest, &number, &params);
        }
        assert_int_equal(step, n == 4 || n == 16 ? 0 : -EBADMSG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decode__of_an_empty_message_has_nothing),
        cmocka_unit_test(decode__finds_all_of_a_long_term_allocate),
        cmocka_unit_test(decode__reads_turn_attributes),
        cmocka_unit_test(decode__ignores_reserved_bits),
        cmocka_unit_test(decode__reads_a_lifetime_as_unsigned),
        cmocka_unit_test(decode__leaves_padding_out_of_data),
        cmocka_unit_test(decode__reads_only_req_of_a_transmit_counter),
        cmocka_unit_test(decode__judges_every_length),
        cmocka_unit_test(decode__takes_strings_of_763_bytes),
        cmocka_unit_test(decode__keeps_a_truncated_sha256_for_the_credentials),
        cmocka_unit_test(decode__marks_a_peer_of_wrong_family_or_length),
        cmocka_unit_test(decode__does_not_enter_values),
        cmocka_unit_test(decode__knows_password_algorithm_parameters),
        cmocka_unit_test(next_algorithm__steps_through_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 and FINGERPRINT of wire/stun_msg.c, on published
 * messages and on our own.  The vectors are constants in read-only memory: a check that rewrote
 * what was received would crash here. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "crypto/longterm.h"
#include "crypto/mac.h"
#include "vectors/stun/long_term.h"
#include "vectors/stun/rfc5769.h"
#include "wire/stun_addr.h"
#include "wire/stun_msg.h"

static const uint8_t tid[STUN_TID] = {9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 255, 254};

static int make_mac(void **state)
{
    *state = crypto_mac_new();
    return *state == NULL ? -1 : 0;
}

static int free_mac(void **state)
{
    crypto_mac_free(*state);
    return 0;
}

static struct stun_msg parsed(const uint8_t *p, size_t n)
{
    struct stun_msg msg;

    assert_int_equal(stun_msg_parse((struct bytes){p, n}, &msg), 0);
    return msg;
}

/* The value of the first attribute of `type`; no bytes at NULL when there is none. */
static struct bytes find(const struct stun_msg *msg, uint16_t type)
{
    struct bytes rest = msg->body;
    struct stun_attr attr;

    while (stun_attr_next(&rest, &attr) > 0) {
        if (attr.type == type) {
            return attr.value;
        }
    }
    return (struct bytes){NULL, 0};
}

/* Both ways to read a message: right under its key, and wrong under another. */
static void assert_signed(struct crypto_mac *mac, const struct stun_msg *msg, uint16_t type,
                          struct bytes key)
{
    const struct bytes mi = find(msg, type);

    assert_non_null(mi.p);
    assert_int_equal(stun_msg_check_mi(mac, msg, mi, key), 0);
    assert_int_equal(stun_msg_check_mi(mac, msg, mi, bytes_of("another key")), -EPERM);
    assert_int_equal(stun_msg_check_mi(mac, msg, mi, (struct bytes){NULL, 0}), -EPERM);
}

/* Proves T-8489-14.5-01, T-8489-14.5-02, T-8489-14.7-01, T-8489-14-03, T-8489-9.1.1-01 */
static void rfc5769__short_term_messages_verify(void **state)
{
    const struct stun_msg messages[] = {
        parsed(rfc5769_request, sizeof(rfc5769_request)),
        parsed(rfc5769_ipv4_response, sizeof(rfc5769_ipv4_response)),
        parsed(rfc5769_ipv6_response, sizeof(rfc5769_ipv6_response)),
    };

    for (size_t i = 0; i < COUNT_OF(messages); i++) {
        assert_signed(*state, &messages[i], STUN_MESSAGE_INTEGRITY, bytes_of(RFC5769_PASSWORD));
        assert_true(stun_msg_check_fingerprint(&messages[i], find(&messages[i], STUN_FINGERPRINT)));
    }
}

/* Proves T-8489-14.2-01, T-8489-14.2-02, T-8489-14.2-03 */
static void rfc5769__mapped_addresses_decode(void **state)
{
    const struct stun_msg v4 = parsed(rfc5769_ipv4_response, sizeof(rfc5769_ipv4_response));
    const struct stun_msg v6 = parsed(rfc5769_ipv6_response, sizeof(rfc5769_ipv6_response));
    struct net_addr addr;
    char text[NET_ADDR_TEXT];

    (void)state;
    assert_int_equal(stun_addr_decode_xor(find(&v4, STUN_XOR_MAPPED_ADDRESS), v4.tid, &addr), 0);
    assert_string_equal(net_addr_text(&addr, text), "192.0.2.1:32853");
    assert_int_equal(stun_addr_decode_xor(find(&v6, STUN_XOR_MAPPED_ADDRESS), v6.tid, &addr), 0);
    assert_string_equal(net_addr_text(&addr, text), "[2001:db8:1234:5678:11:2233:4455:6677]:32853");
}

/* Proves T-8489-14.5-01 */
static void rfc5769__long_term_request_verifies(void **state)
{
    const struct stun_msg msg =
        parsed(rfc5769_long_term_request, sizeof(rfc5769_long_term_request));
    uint8_t key[CRYPTO_MD5_LEN];

    assert_int_equal(crypto_longterm_md5(bytes_of(RFC5769_USER), bytes_of(RFC5769_REALM),
                                         bytes_of(RFC5769_LONG_TERM_PASS), key),
                     0);
    assert_true(bytes_equal(find(&msg, STUN_USERNAME), bytes_of(RFC5769_USER)));
    assert_signed(*state, &msg, STUN_MESSAGE_INTEGRITY, (struct bytes){key, sizeof(key)});
    assert_null(find(&msg, STUN_FINGERPRINT).p);
}

/* As printed B.1 is no STUN message, since its length is wrong; its HMAC is over the bytes as
 * printed.  With the length put right it verifies. */
/* Proves T-8489-14.6-01 */
static void rfc8489__appendix_b1_verifies_once_its_length_is_right(void **state)
{
    const size_t signed_len = sizeof(rfc8489_b1) - STUN_ATTR_HEAD - STUN_MI256_LEN;
    const struct bytes printed = {rfc8489_b1, signed_len};
    uint8_t key[CRYPTO_SHA256_LEN];
    uint8_t mac[CRYPTO_SHA256_LEN];
    struct stun_msg msg;

    assert_int_equal(crypto_longterm_sha256(bytes_of(RFC5769_USER), bytes_of(RFC5769_REALM),
                                            bytes_of(RFC5769_LONG_TERM_PASS), key),
                     0);
    assert_int_equal(crypto_hmac_sha256(*state, (struct bytes){key, sizeof(key)}, &printed, 1, mac),
                     0);
    assert_memory_equal(mac, rfc8489_b1 + signed_len + STUN_ATTR_HEAD, sizeof(mac));
    assert_int_equal(stun_msg_parse((struct bytes){rfc8489_b1, sizeof(rfc8489_b1)}, &msg),
                     -EBADMSG);
    msg = parsed(long_term_b1, sizeof(long_term_b1));
    assert_signed(*state, &msg, STUN_MESSAGE_INTEGRITY_SHA256, (struct bytes){key, sizeof(key)});
}

/* Proves T-8489-14.5-01, T-8489-14.5-02, T-8489-14.6-01, T-8489-14.7-01 */
static void long_term__messages_of_each_kind_verify(void **state)
{
    const struct bytes md5 = {long_term_md5_key, sizeof(long_term_md5_key)};
    const struct bytes sha256 = {long_term_sha256_key, sizeof(long_term_sha256_key)};
    const struct stun_msg v2 = parsed(long_term_sha256, sizeof(long_term_sha256));
    const struct stun_msg v3 = parsed(long_term_md5, sizeof(long_term_md5));
    const struct stun_msg v4 = parsed(long_term_both, sizeof(long_term_both));

    assert_signed(*state, &v2, STUN_MESSAGE_INTEGRITY_SHA256, sha256);
    assert_signed(*state, &v3, STUN_MESSAGE_INTEGRITY, md5);
    assert_signed(*state, &v4, STUN_MESSAGE_INTEGRITY, sha256);
    assert_signed(*state, &v4, STUN_MESSAGE_INTEGRITY_SHA256, sha256);
    assert_true(stun_msg_check_fingerprint(&v2, find(&v2, STUN_FINGERPRINT)));
    assert_true(stun_msg_check_fingerprint(&v3, find(&v3, STUN_FINGERPRINT)));
    assert_true(stun_msg_check_fingerprint(&v4, find(&v4, STUN_FINGERPRINT)));
}

/* Write `like` again attribute by attribute: the same bytes come out. */
static void assert_rewritten(struct crypto_mac *mac, const uint8_t *like, size_t n,
                             struct bytes key)
{
    uint8_t buf[256];
    struct stun_msg msg = parsed(like, n);
    struct stun_out out;
    struct stun_attr attr;

    stun_out_begin(&out, buf, sizeof(buf), be16(like), msg.tid);
    while (stun_attr_next(&msg.body, &attr) > 0) {
        if (attr.type == STUN_MESSAGE_INTEGRITY) {
            assert_int_equal(stun_out_mi(&out, mac, key), 0);
        } else if (attr.type == STUN_MESSAGE_INTEGRITY_SHA256) {
            assert_int_equal(stun_out_mi256(&out, mac, key), 0);
        } else if (attr.type == STUN_FINGERPRINT) {
            stun_out_fingerprint(&out);
        } else {
            stun_out_attr(&out, attr.type, attr.value);
        }
    }
    assert_int_equal(stun_out_end(&out), n);
    assert_memory_equal(buf, like, n);
}

/* Proves T-8489-14.5-01, T-8489-14.6-01, T-8489-14.7-01, T-8489-14.7-02 */
static void out__writes_the_vectors_byte_for_byte(void **state)
{
    const struct bytes md5 = {long_term_md5_key, sizeof(long_term_md5_key)};
    const struct bytes sha256 = {long_term_sha256_key, sizeof(long_term_sha256_key)};

    assert_rewritten(*state, long_term_sha256, sizeof(long_term_sha256), sha256);
    assert_rewritten(*state, long_term_md5, sizeof(long_term_md5), md5);
    assert_rewritten(*state, long_term_both, sizeof(long_term_both), sha256);
}

/* A change of any bit before the end of an integrity value breaks it, except in the header's
 * length, which is not taken from the header; a change behind it does not. */
static void check_mi__notices_every_changed_bit_up_to_its_end(void **state)
{
    static const uint16_t types[] = {STUN_MESSAGE_INTEGRITY, STUN_MESSAGE_INTEGRITY_SHA256};
    const struct bytes key = {long_term_sha256_key, sizeof(long_term_sha256_key)};
    uint8_t copy[sizeof(long_term_both)];

    memcpy(copy, long_term_both, sizeof(copy));
    const struct stun_msg msg = parsed(copy, sizeof(copy));
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        const struct bytes mi = find(&msg, types[i]);
        const size_t end = (size_t)(mi.p - copy) + mi.n;
        const size_t head = (size_t)(mi.p - copy) - STUN_ATTR_HEAD; /* not part of what is hashed */
        for (size_t at = 0; at < sizeof(copy); at++) {
            if (at == 2 || at == 3 || (at >= head && at < head + STUN_ATTR_HEAD)) {
                continue;
            }
            copy[at] ^= (uint8_t)(1U << at % 8);
            assert_int_equal(stun_msg_check_mi(*state, &msg, mi, key), at < end ? -EPERM : 0);
            copy[at] ^= (uint8_t)(1U << at % 8);
        }
    }
}

/* Proves T-8489-14.6-02 */
static void check_mi__refuses_a_truncated_sha256(void **state)
{
    const struct bytes key = bytes_of("key");
    uint8_t buf[128];
    uint8_t full[CRYPTO_SHA256_LEN];

    for (size_t len = 0; len <= 40; len += 4) {
        struct stun_out out;
        uint8_t header[STUN_HEADER];
        const struct bytes part = {header, sizeof(header)};
        uint8_t value[40] = {0};
        stun_out_begin(&out, buf, sizeof(buf), stun_type(STUN_ALLOCATE, STUN_REQUEST), tid);
        memcpy(header, buf, sizeof(header));
        be16_put(header + 2, (uint16_t)(STUN_ATTR_HEAD + len));
        assert_int_equal(crypto_hmac_sha256(*state, key, &part, 1, full), 0);
        memcpy(value, full, sizeof(full));
        stun_out_attr(&out, STUN_MESSAGE_INTEGRITY_SHA256, (struct bytes){value, len});
        const int n = stun_out_end(&out);
        const struct stun_msg msg = parsed(buf, (size_t)n);
        const struct bytes mi = find(&msg, STUN_MESSAGE_INTEGRITY_SHA256);
        assert_int_equal(stun_msg_check_mi(*state, &msg, mi, key), len == 32 ? 0 : -EPERM);
    }
}

/* Twenty bytes of MESSAGE-INTEGRITY-SHA256 are not judged as HMAC-SHA1, nor is another attribute.
 */
static void check_mi__goes_by_the_type_and_not_by_the_length(void **state)
{
    static const uint16_t types[] = {STUN_MESSAGE_INTEGRITY_SHA256, STUN_NONCE};
    const struct bytes key = bytes_of("key");
    uint8_t buf[128];
    struct stun_out out;

    stun_out_begin(&out, buf, sizeof(buf), stun_type(STUN_ALLOCATE, STUN_REQUEST), tid);
    assert_int_equal(stun_out_mi(&out, *state, key), 0);
    const int n = stun_out_end(&out);
    const struct stun_msg msg = parsed(buf, (size_t)n);
    const struct bytes mi = find(&msg, STUN_MESSAGE_INTEGRITY);
    assert_int_equal(stun_msg_check_mi(*state, &msg, mi, key), 0);
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        be16_put(buf + STUN_HEADER, types[i]);
        assert_int_equal(stun_msg_check_mi(*state, &msg, mi, key), -EPERM);
    }
}

/* The fingerprint covers everything before it, the length of the header included. */
/* Proves T-8489-14.7-01 */
static void check_fingerprint__notices_every_changed_byte(void **state)
{
    uint8_t copy[sizeof(rfc5769_request)];

    (void)state;
    memcpy(copy, rfc5769_request, sizeof(copy));
    const struct stun_msg msg = parsed(copy, sizeof(copy));
    const struct bytes fp = find(&msg, STUN_FINGERPRINT);
    const size_t head = (size_t)(fp.p - copy) - STUN_ATTR_HEAD; /* not part of what is summed up */
    for (size_t at = 0; at < sizeof(copy); at++) {
        if (at == 2 || at == 3 || (at >= head && at < head + STUN_ATTR_HEAD)) {
            continue;
        }
        copy[at] ^= 0x10;
        assert_false(stun_msg_check_fingerprint(&msg, fp));
        copy[at] ^= 0x10;
    }
    assert_true(stun_msg_check_fingerprint(&msg, fp));
    assert_false(stun_msg_check_fingerprint(&msg, (struct bytes){fp.p, 3}));
    assert_false(stun_msg_check_fingerprint(&msg, (struct bytes){NULL, 0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc5769__short_term_messages_verify),
        cmocka_unit_test(rfc5769__mapped_addresses_decode),
        cmocka_unit_test(rfc5769__long_term_request_verifies),
        cmocka_unit_test(rfc8489__appendix_b1_verifies_once_its_length_is_right),
        cmocka_unit_test(long_term__messages_of_each_kind_verify),
        cmocka_unit_test(out__writes_the_vectors_byte_for_byte),
        cmocka_unit_test(check_mi__notices_every_changed_bit_up_to_its_end),
        cmocka_unit_test(check_mi__refuses_a_truncated_sha256),
        cmocka_unit_test(check_mi__goes_by_the_type_and_not_by_the_length),
        cmocka_unit_test(check_fingerprint__notices_every_changed_byte),
    };
    return cmocka_run_group_tests(tests, make_mac, free_mac);
}

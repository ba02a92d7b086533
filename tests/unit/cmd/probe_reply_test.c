/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_reply.h"

#include <errno.h>

#include "check.h"
#include "crypto/mac.h"
#include "wire/stun_addr.h"
#include "wire/stun_code.h"

static const uint8_t tid[STUN_TID] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
static const struct bytes key = {(const uint8_t *)"0123456789abcdef", 16};
static uint8_t buf[2048];

static struct net_addr addr(const char *text)
{
    struct net_addr a;

    assert_int_equal(net_addr_parse(text, 0, &a), 0);
    return a;
}

static struct stun_out begin(uint16_t method, enum stun_class class)
{
    struct stun_out o;

    stun_out_begin(&o, buf, sizeof(buf), stun_type(method, class), tid);
    return o;
}

static struct bytes end(struct stun_out *o)
{
    const int n = stun_out_end(o);

    assert_true(n > 0);
    return (struct bytes){buf, (size_t)n};
}

/* An Allocate success with all that a server sends. */
static struct bytes allocated(void)
{
    struct stun_out o = begin(STUN_ALLOCATE, STUN_SUCCESS);
    const struct net_addr relayed = addr("192.0.2.9:50000");
    const struct net_addr mapped = addr("[2001:db8::7]:4000");
    struct crypto_mac *mac = crypto_mac_new();

    stun_out_xor_addr(&o, STUN_XOR_RELAYED_ADDRESS, &relayed);
    stun_out_u32(&o, STUN_LIFETIME, 600);
    stun_out_xor_addr(&o, STUN_XOR_MAPPED_ADDRESS, &mapped);
    stun_out_attr(&o, STUN_SOFTWARE, bytes_of("x"));
    assert_int_equal(stun_out_mi(&o, mac, key), 0);
    stun_out_u32(&o, STUN_LIFETIME, 1); /* behind the integrity: does not count */
    assert_int_equal(stun_out_mi256(&o, mac, key), 0);
    stun_out_fingerprint(&o);
    crypto_mac_free(mac);
    return end(&o);
}

static void decode__reads_a_success(void **state)
{
    const struct net_addr relayed = addr("192.0.2.9:50000");
    const struct net_addr mapped = addr("[2001:db8::7]:4000");
    struct probe_reply r;

    (void)state;
    assert_int_equal(probe_reply_decode(allocated(), &r), 0);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.lifetime_s, 600);
    assert_true(net_addr_equal(&r.relayed, &relayed));
    assert_true(net_addr_equal(&r.mapped, &mapped));
    assert_int_equal(r.mi.n, STUN_MI_LEN);
    assert_int_equal(r.mi256.n, STUN_MI256_LEN);
    assert_true(r.fingerprint);
    assert_int_equal(r.peer.family, NET_NONE);
}

static void decode__reads_an_error(void **state)
{
    struct stun_out o = begin(STUN_ALLOCATE, STUN_ERROR);
    const struct net_addr other = addr("198.51.100.1:3478");
    struct probe_reply r;

    (void)state;
    stun_out_error(&o, STUN_TRY_ALTERNATE, "Try Alternate");
    stun_out_addr(&o, STUN_ALTERNATE_SERVER, &other);
    stun_out_attr(&o, STUN_REALM, bytes_of("example.org"));
    stun_out_attr(&o, STUN_NONCE, bytes_of("n"));
    assert_int_equal(probe_reply_decode(end(&o), &r), 0);
    assert_int_equal(r.code, 300);
    assert_true(bytes_equal(r.reason, bytes_of("Try Alternate")));
    assert_true(net_addr_equal(&r.alternate, &other));
    assert_true(bytes_equal(r.realm, bytes_of("example.org")));
    assert_null(r.algorithms.p);
}

/* RFC 5780 sections 7.3 and 7.4 (plain addresses, without the disguise of XOR), RFC 8016 section 4.
 */
static void decode__reads_addresses_of_the_server_and_tickets(void **state)
{
    struct stun_out o = begin(STUN_BINDING, STUN_SUCCESS);
    const struct net_addr origin = addr("192.0.2.1:3478");
    const struct net_addr other = addr("192.0.2.2:3479");
    struct probe_reply r;

    (void)state;
    stun_out_addr(&o, STUN_RESPONSE_ORIGIN, &origin);
    stun_out_addr(&o, STUN_OTHER_ADDRESS, &other);
    stun_out_attr(&o, STUN_MOBILITY_TICKET, bytes_of("ticket"));
    assert_int_equal(probe_reply_decode(end(&o), &r), 0);
    assert_true(net_addr_equal(&r.origin, &origin));
    assert_true(net_addr_equal(&r.other, &other));
    assert_true(bytes_equal(r.ticket, bytes_of("ticket")));
    assert_int_equal(r.mapped.family, NET_NONE);
}

static void decode__refuses_every_truncation(void **state)
{
    const struct bytes whole = allocated();
    struct probe_reply r;

    (void)state;
    for (size_t n = 0; n < whole.n; n++) {
        assert_int_equal(probe_reply_decode((struct bytes){whole.p, n}, &r), -EBADMSG);
    }
}

/* With the length corrected each cut is a message of its own: read, or refused, never overrun. */
static void decode__stays_inside_shortened_messages(void **state)
{
    uint8_t copy[2048];
    struct probe_reply r;

    (void)state;
    const struct bytes whole = allocated();
    for (size_t n = STUN_HEADER; n < whole.n; n += 4) {
        memcpy(copy, whole.p, n);
        be16_put(copy + 2, (uint16_t)(n - STUN_HEADER));
        const int err = probe_reply_decode((struct bytes){copy, n}, &r);
        assert_true(err == 0 || err == -EBADMSG);
    }
}

static void decode__refuses_malformed_values(void **state)
{
    static const struct {
        uint16_t type;
        size_t n;
    } rows[] = {
        {STUN_XOR_MAPPED_ADDRESS, 7}, {STUN_XOR_RELAYED_ADDRESS, 20},      {STUN_LIFETIME, 3},
        {STUN_MESSAGE_INTEGRITY, 19}, {STUN_MESSAGE_INTEGRITY_SHA256, 31}, {STUN_FINGERPRINT, 4},
        {STUN_XOR_PEER_ADDRESS, 0},
    };

    static const uint8_t zeros[64];
    struct probe_reply r;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct stun_out o = begin(STUN_ALLOCATE, STUN_SUCCESS);
        stun_out_attr(&o, rows[i].type, (struct bytes){zeros, rows[i].n});
        assert_int_equal(probe_reply_decode(end(&o), &r), -EBADMSG);
    }
}

static void decode__an_error_has_a_code_and_a_success_has_none(void **state)
{
    struct probe_reply r;

    (void)state;
    struct stun_out o = begin(STUN_BINDING, STUN_ERROR);
    assert_int_equal(probe_reply_decode(end(&o), &r), -EBADMSG);
    o = begin(STUN_BINDING, STUN_SUCCESS);
    stun_out_error(&o, STUN_BAD_REQUEST, "");
    assert_int_equal(probe_reply_decode(end(&o), &r), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decode__reads_a_success),
        cmocka_unit_test(decode__reads_an_error),
        cmocka_unit_test(decode__reads_addresses_of_the_server_and_tickets),
        cmocka_unit_test(decode__refuses_every_truncation),
        cmocka_unit_test(decode__stays_inside_shortened_messages),
        cmocka_unit_test(decode__refuses_malformed_values),
        cmocka_unit_test(decode__an_error_has_a_code_and_a_success_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

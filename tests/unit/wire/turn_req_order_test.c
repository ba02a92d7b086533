/* SPDX-License-Identifier: Apache-2.0 */
/* Which attributes of a request count: duplicates, unknown ones, what follows the integrity. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "draft.h"

static struct draft draft;

/* Proves T-8489-14-04 */
static void decode__takes_the_first_of_a_kind(void **state)
{
    (void)state;
    draft_begin(&draft);
    stun_out_u32(&draft.out, STUN_LIFETIME, 1);
    stun_out_u32(&draft.out, STUN_LIFETIME, 2);
    draft_put(&draft, STUN_USERNAME, "one", 3);
    draft_put(&draft, STUN_USERNAME, "two", 3);
    const struct turn_req *req = draft_decode(&draft);
    assert_int_equal(req->lifetime_s, 1);
    assert_memory_equal(req->username.p, "one", 3);
    assert_int_equal(req->bad, 0);
}

static void decode__takes_the_first_even_when_it_is_bad(void **state)
{
    (void)state;
    draft_begin(&draft);
    draft_fill(&draft, STUN_LIFETIME, 3);
    stun_out_u32(&draft.out, STUN_LIFETIME, 2);
    stun_out_u32(&draft.out, STUN_CHANNEL_NUMBER, 0x40000000);
    draft_fill(&draft, STUN_CHANNEL_NUMBER, 5);
    const struct turn_req *req = draft_decode(&draft);
    assert_int_equal(req->bad, HAS_LIFETIME);
    assert_int_equal(req->has, HAS_CHANNEL_NUMBER);
    assert_int_equal(req->lifetime_s, 0);
}

/* Proves T-8489-14-05, T-8489-6.3-10 */
static void decode__lists_unknown_required_types_only(void **state)
{
    static const uint16_t required[] = {
        0x0000, 0x0002, 0x0004, 0x0007, 0x000B, 0x0010, 0x0021,
        0x0024, 0x0025, 0x0028, 0x0029, 0x0030, 0x7FFE, 0x7FFF,
    };
    static const uint16_t optional[] = {0x8003, 0x8004, 0x8022, 0x8023, 0x8027, 0x8029, 0x802A,
                                        0x802B, 0x802C, 0x802D, 0x802E, 0x8031, 0x8032, 0xFFFF};

    (void)state;
    draft_begin(&draft);
    for (size_t i = 0; i < COUNT_OF(optional); i++) {
        draft_fill(&draft, optional[i], i);
        draft_fill(&draft, required[i], i);
    }
    const struct turn_req *req = draft_decode(&draft);
    assert_int_equal(req->unknown_count, COUNT_OF(required));
    assert_memory_equal(req->unknown, required, sizeof(required));
    assert_int_equal(req->has | req->bad, 0);
}

/* Proves T-8489-6.3-11 */
static void decode__ignores_known_attributes_that_no_request_has(void **state)
{
    static const uint16_t types[] = {
        STUN_MAPPED_ADDRESS,      STUN_ERROR_CODE,         STUN_UNKNOWN_ATTRIBUTES,
        STUN_XOR_RELAYED_ADDRESS, STUN_XOR_MAPPED_ADDRESS,
    };

    (void)state;
    for (size_t n = 0; n < 30; n++) { /* of any form */
        draft_begin(&draft);
        for (size_t i = 0; i < COUNT_OF(types); i++) {
            draft_fill(&draft, types[i], n);
        }
        const struct turn_req *req = draft_decode(&draft);
        assert_int_equal(req->unknown_count, 0);
        assert_int_equal(req->has | req->bad, 0);
    }
}

static void decode__lists_an_unknown_type_once_and_16_at_most(void **state)
{
    (void)state;
    draft_begin(&draft);
    for (unsigned i = 0; i < 60; i++) {
        draft_fill(&draft, (uint16_t)(0x7000 + i % 20), 1);
    }
    const struct turn_req *req = draft_decode(&draft);
    assert_int_equal(req->unknown_count, TURN_REQ_MAX_UNKNOWN);
    for (unsigned i = 0; i < TURN_REQ_MAX_UNKNOWN; i++) {
        assert_int_equal(req->unknown[i], 0x7000 + i);
    }
}

/* All that a request may hold, in front of or behind something. */
static void draft_everything(struct draft *d)
{
    draft_put(d, STUN_USERNAME, "user", 4);
    draft_fill(d, STUN_USERHASH, 32);
    draft_put(d, STUN_REALM, "realm", 5);
    draft_put(d, STUN_NONCE, "nonce", 5);
    draft_put(d, STUN_PASSWORD_ALGORITHMS, "\x00\x01\x00\x00", 4);
    draft_put(d, STUN_PASSWORD_ALGORITHM, "\x00\x01\x00\x00", 4);
    stun_out_u32(&d->out, STUN_CHANNEL_NUMBER, 0x40000000);
    stun_out_u32(&d->out, STUN_LIFETIME, 5);
    draft_peer(d, "192.0.2.1:1");
    draft_put(d, STUN_DATA_ATTR, "data", 4);
    stun_out_u32(&d->out, STUN_REQUESTED_ADDRESS_FAMILY, 0x01000000);
    stun_out_u32(&d->out, STUN_ADDITIONAL_ADDRESS_FAMILY, 0x02000000);
    draft_put(d, STUN_EVEN_PORT, "\x80", 1);
    stun_out_u32(&d->out, STUN_REQUESTED_TRANSPORT, 0x11000000);
    draft_put(d, STUN_DONT_FRAGMENT, NULL, 0);
    draft_fill(d, STUN_RESERVATION_TOKEN, 8);
    stun_out_u32(&d->out, STUN_TRANSACTION_TRANSMIT_COUNTER, 0x00000100);
    draft_fill(d, 0x7FFE, 4);
}

static void assert_nothing_but(const struct turn_req *req, uint32_t has)
{
    assert_int_equal(req->has, has);
    assert_int_equal(req->bad, 0);
    assert_int_equal(req->unknown_count, 0);
    assert_int_equal(req->peers.n, 0);
    assert_int_equal(req->lifetime_s, 0);
    assert_int_equal(req->username.n, 0);
}

/* Proves T-8489-9-01, T-8489-9-03 */
static void decode__ignores_what_follows_message_integrity(void **state)
{
    (void)state;
    draft_begin(&draft);
    draft_mi(&draft);
    draft_everything(&draft);
    draft_mi256(&draft);
    draft_everything(&draft);
    stun_out_fingerprint(&draft.out);
    assert_nothing_but(draft_decode(&draft), HAS_MI | HAS_MI256 | HAS_FINGERPRINT);
}

/* Proves T-8489-9-02, T-8489-9-03 */
static void decode__ignores_what_follows_message_integrity_sha256(void **state)
{
    (void)state;
    draft_begin(&draft);
    draft_mi256(&draft);
    draft_everything(&draft);
    draft_mi(&draft); /* too late */
    draft_mi256(&draft);
    stun_out_fingerprint(&draft.out);
    const struct turn_req *req = draft_decode(&draft);
    assert_nothing_but(req, HAS_MI256 | HAS_FINGERPRINT);
    assert_ptr_equal(req->mi256.p, draft.buf + STUN_HEADER + STUN_ATTR_HEAD); /* the first */
    assert_null(req->mi.p);
}

/* Proves T-8489-14.7-03 */
static void decode__looks_at_nothing_behind_the_fingerprint(void **state)
{
    (void)state;
    for (size_t len = 3; len <= 4; len++) { /* a malformed one is an end, too */
        draft_begin(&draft);
        draft_fill(&draft, STUN_FINGERPRINT, len);
        draft_everything(&draft);
        draft_mi(&draft);
        draft_mi256(&draft);
        stun_out_fingerprint(&draft.out);
        be16_put(draft.buf + draft.out.w.len - 6, 500); /* not even an overrun */
        const struct turn_req *req = draft_decode(&draft);
        assert_int_equal(req->has | req->bad, HAS_FINGERPRINT);
        assert_int_equal(req->unknown_count, 0);
        assert_false(req->overrun);
        assert_int_equal(req->peers.n, 0);
    }
}

/* An integrity attribute of a wrong length is still where the protected part ends. */
static void decode__ends_at_malformed_integrity_too(void **state)
{
    static const uint16_t types[] = {STUN_MESSAGE_INTEGRITY, STUN_MESSAGE_INTEGRITY_SHA256};
    static const uint32_t bits[] = {HAS_MI, HAS_MI256};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        draft_begin(&draft);
        draft_fill(&draft, types[i], 15);
        draft_everything(&draft);
        const struct turn_req *req = draft_decode(&draft);
        assert_int_equal(req->has, 0);
        assert_int_equal(req->bad, bits[i]);
        assert_int_equal(req->unknown_count, 0);
    }
}

static void decode__counts_what_precedes_the_integrity(void **state)
{
    (void)state;
    draft_begin(&draft);
    draft_everything(&draft);
    draft_mi(&draft);
    draft_mi256(&draft);
    stun_out_fingerprint(&draft.out);
    const struct turn_req *req = draft_decode(&draft);
    assert_int_equal(req->has, HAS_USERNAME | HAS_USERHASH | HAS_REALM | HAS_NONCE | HAS_MI |
                                   HAS_MI256 | HAS_FINGERPRINT | HAS_PASSWORD_ALGORITHM |
                                   HAS_PASSWORD_ALGORITHMS | HAS_CHANNEL_NUMBER | HAS_LIFETIME |
                                   HAS_XOR_PEER_ADDRESS | HAS_DATA | HAS_REQUESTED_ADDRESS_FAMILY |
                                   HAS_ADDITIONAL_ADDRESS_FAMILY | HAS_EVEN_PORT |
                                   HAS_REQUESTED_TRANSPORT | HAS_DONT_FRAGMENT |
                                   HAS_RESERVATION_TOKEN | HAS_TRANSMIT_COUNTER);
    assert_int_equal(req->unknown_count, 1);
}

static unsigned walk_peers(const struct turn_req *req, struct net_addr *out, int *out_step)
{
    struct bytes rest = req->peers;
    unsigned count = 0;

    while ((*out_step = turn_req_next_peer(req, &rest, out)) > 0) {
        count++;
        out++;
    }
    return count;
}

static void next_peer__visits_all_peers_before_the_integrity(void **state)
{
    struct net_addr peers[8];
    char text[NET_ADDR_TEXT];
    int step;

    (void)state;
    draft_begin(&draft);
    draft_put(&draft, STUN_USERNAME, "u", 1);
    draft_peer(&draft, "192.0.2.1:1");
    draft_put(&draft, STUN_SOFTWARE, "between", 7);
    draft_peer(&draft, "[2001:db8::1]:0");
    draft_peer(&draft, "192.0.2.1:1"); /* the same again: the caller's business */
    draft_put(&draft, STUN_REALM, "after", 5);
    draft_mi(&draft);
    draft_peer(&draft, "192.0.2.99:1"); /* not protected */
    const struct turn_req *req = draft_decode(&draft);
    assert_int_equal(walk_peers(req, peers, &step), 3);
    assert_int_equal(step, 0);
    assert_string_equal(net_addr_text(&peers[0], text), "192.0.2.1:1");
    assert_string_equal(net_addr_text(&peers[1], text), "[2001:db8::1]:0");
    assert_true(net_addr_equal(&peers[0], &peers[2]));
    assert_true(net_addr_equal(&peers[0], &req->peer));
}

static void next_peer__reports_a_malformed_one_wherever_it_is(void **state)
{
    struct net_addr peers[8];
    int step;

    (void)state;
    for (unsigned wrong = 0; wrong < 3; wrong++) {
        draft_begin(&draft);
        for (unsigned i = 0; i < 3; i++) {
            if (i == wrong) {
                draft_fill(&draft, STUN_XOR_PEER_ADDRESS, 8);
            } else {
                draft_peer(&draft, "192.0.2.1:1");
            }
        }
        const struct turn_req *req = draft_decode(&draft);
        assert_int_equal(walk_peers(req, peers, &step), wrong);
        assert_int_equal(step, -EBADMSG);
    }
}

static void next_peer__finds_none_where_there_are_none(void **state)
{
    struct net_addr peers[1];
    int step;

    (void)state;
    draft_begin(&draft);
    draft_put(&draft, STUN_USERNAME, "u", 1);
    assert_int_equal(walk_peers(draft_decode(&draft), peers, &step), 0);
    assert_int_equal(step, 0);
}

static void next_origin__visits_all_before_the_integrity(void **state)
{
    static const char *const texts[] = {"https://a", "", "b"};
    struct bytes origin;
    size_t count = 0;

    (void)state;
    draft_begin(&draft);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        draft_put(&draft, STUN_USERNAME, "u", 1);
        draft_put(&draft, STUN_ORIGIN, texts[i], (uint16_t)strlen(texts[i]));
    }
    draft_mi(&draft);
    draft_put(&draft, STUN_ORIGIN, "after", 5);
    const struct turn_req *req = draft_decode(&draft);
    struct bytes rest = req->origins;
    while (turn_req_next_origin(&rest, &origin)) {
        assert_true(count < COUNT_OF(texts) && bytes_equal(origin, bytes_of(texts[count])));
        count++;
    }
    assert_int_equal(count, COUNT_OF(texts));
    assert_true(bytes_equal(req->origin, bytes_of(texts[0])));
    draft_begin(&draft);
    rest = draft_decode(&draft)->origins;
    assert_false(turn_req_next_origin(&rest, &origin));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decode__takes_the_first_of_a_kind),
        cmocka_unit_test(decode__takes_the_first_even_when_it_is_bad),
        cmocka_unit_test(decode__lists_unknown_required_types_only),
        cmocka_unit_test(decode__ignores_known_attributes_that_no_request_has),
        cmocka_unit_test(decode__lists_an_unknown_type_once_and_16_at_most),
        cmocka_unit_test(decode__ignores_what_follows_message_integrity),
        cmocka_unit_test(decode__ignores_what_follows_message_integrity_sha256),
        cmocka_unit_test(decode__looks_at_nothing_behind_the_fingerprint),
        cmocka_unit_test(decode__ends_at_malformed_integrity_too),
        cmocka_unit_test(decode__counts_what_precedes_the_integrity),
        cmocka_unit_test(next_peer__visits_all_peers_before_the_integrity),
        cmocka_unit_test(next_origin__visits_all_before_the_integrity),
        cmocka_unit_test(next_peer__reports_a_malformed_one_wherever_it_is),
        cmocka_unit_test(next_peer__finds_none_where_there_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

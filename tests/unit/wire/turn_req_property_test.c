/* SPDX-License-Identifier: Apache-2.0 */
/* Properties of turn_req_decode() over seeded random requests: what was written is read, whatever
 * is cut off or lengthened. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "draft.h"
#include "seeded.h"

static struct draft draft;

/* What a random request says; every member is written when its bit is in `has`. */
struct wanted {
    uint32_t has;
    uint8_t text[4][800]; /* username, realm, nonce, data */
    size_t text_len[4];
    uint8_t hash[32];
    uint32_t number[6]; /* channel, lifetime, family, additional family, transport, counter */
    uint64_t token;
    uint8_t even;
    struct net_addr peer;
    uint16_t algorithm;
};

enum { USERNAME, REALM, NONCE, DATA };

enum { CHANNEL, LIFETIME, FAMILY, ADDITIONAL, TRANSPORT, COUNTER };

static const struct {
    uint32_t has;
    uint16_t type;
} text_attrs[] =
    {
        [USERNAME] = {HAS_USERNAME, STUN_USERNAME},
        [REALM] = {HAS_REALM, STUN_REALM},
        [NONCE] = {HAS_NONCE, STUN_NONCE},
        [DATA] = {HAS_DATA, STUN_DATA_ATTR},
},
  number_attrs[] = {
      [CHANNEL] = {HAS_CHANNEL_NUMBER, STUN_CHANNEL_NUMBER},
      [LIFETIME] = {HAS_LIFETIME, STUN_LIFETIME},
      [FAMILY] = {HAS_REQUESTED_ADDRESS_FAMILY, STUN_REQUESTED_ADDRESS_FAMILY},
      [ADDITIONAL] = {HAS_ADDITIONAL_ADDRESS_FAMILY, STUN_ADDITIONAL_ADDRESS_FAMILY},
      [TRANSPORT] = {HAS_REQUESTED_TRANSPORT, STUN_REQUESTED_TRANSPORT},
      [COUNTER] = {HAS_TRANSMIT_COUNTER, STUN_TRANSACTION_TRANSMIT_COUNTER},
};

static void random_wanted(struct seeded *seed, struct wanted *want)
{
    struct net_ip ip;

    seeded_fill(seed, (uint8_t *)want, sizeof(*want));
    want->has &= HAS_USERNAME | HAS_USERHASH | HAS_REALM | HAS_NONCE | HAS_PASSWORD_ALGORITHM |
                 HAS_CHANNEL_NUMBER | HAS_LIFETIME | HAS_XOR_PEER_ADDRESS | HAS_DATA |
                 HAS_REQUESTED_ADDRESS_FAMILY | HAS_ADDITIONAL_ADDRESS_FAMILY | HAS_EVEN_PORT |
                 HAS_REQUESTED_TRANSPORT | HAS_DONT_FRAGMENT | HAS_RESERVATION_TOKEN |
                 HAS_TRANSMIT_COUNTER;
    for (size_t i = 0; i < COUNT_OF(text_attrs); i++) {
        want->text_len[i] = seeded_below(seed, seeded_below(seed, 8) == 0 ? 764 : 20);
    }
    seeded_fill(seed, ip.b, sizeof(ip.b));
    ip = (seeded_u64(seed) & 1) != 0 ? net_ip_v4(ip.b) : ip;
    want->peer = net_addr_make(&ip, (uint16_t)seeded_u64(seed));
}

/* Write the attribute whose presence bit is `bit`. */
static void write_one(struct draft *d, const struct wanted *want, uint32_t bit)
{
    uint8_t raw[8];

    for (size_t i = 0; i < COUNT_OF(text_attrs); i++) {
        if (text_attrs[i].has == bit) {
            draft_put(d, text_attrs[i].type, want->text[i], want->text_len[i]);
        }
    }
    for (size_t i = 0; i < COUNT_OF(number_attrs); i++) {
        if (number_attrs[i].has == bit) {
            stun_out_u32(&d->out, number_attrs[i].type, want->number[i]);
        }
    }
    switch (bit) {
    case HAS_USERHASH:
        draft_put(d, STUN_USERHASH, want->hash, sizeof(want->hash));
        break;
    case HAS_PASSWORD_ALGORITHM:
        stun_out_u32(&d->out, STUN_PASSWORD_ALGORITHM, (uint32_t)want->algorithm << 16);
        break;
    case HAS_XOR_PEER_ADDRESS:
        stun_out_xor_addr(&d->out, STUN_XOR_PEER_ADDRESS, &want->peer);
        break;
    case HAS_EVEN_PORT:
        draft_put(d, STUN_EVEN_PORT, &want->even, 1);
        break;
    case HAS_DONT_FRAGMENT:
        draft_put(d, STUN_DONT_FRAGMENT, NULL, 0);
        break;
    case HAS_RESERVATION_TOKEN:
        be64_put(raw, want->token);
        draft_put(d, STUN_RESERVATION_TOKEN, raw, sizeof(raw));
        break;
    default:
        break;
    }
}

/* All wanted attributes in a random order, optional ones that nobody knows between them. */
static void write_all(struct seeded *seed, struct draft *d, const struct wanted *want)
{
    uint32_t bits[32];
    uint32_t count = 0;

    for (uint32_t i = 0; i < 32; i++) {
        if ((want->has >> i & 1) != 0) {
            const uint32_t at = seeded_below(seed, ++count);
            bits[count - 1] = bits[at];
            bits[at] = UINT32_C(1) << i;
        }
    }
    draft_begin(d);
    for (uint32_t i = 0; i < count; i++) {
        if (seeded_below(seed, 4) == 0) {
            draft_fill(d, (uint16_t)(0xC000 + seeded_below(seed, 100)), seeded_below(seed, 30));
        }
        write_one(d, want, bits[i]);
    }
}

static void assert_wanted(const struct turn_req *req, const struct wanted *want)
{
    const struct bytes text[] = {
        [USERNAME] = req->username, [REALM] = req->realm, [NONCE] = req->nonce, [DATA] = req->data};
    const uint32_t number[] = {
        [CHANNEL] = req->channel,     [LIFETIME] = req->lifetime_s,
        [FAMILY] = req->family,       [ADDITIONAL] = req->additional_family,
        [TRANSPORT] = req->transport, [COUNTER] = req->transmit_count,
    };
    static const unsigned shift[] = {[CHANNEL] = 16,    [LIFETIME] = 0,   [FAMILY] = 24,
                                     [ADDITIONAL] = 24, [TRANSPORT] = 24, [COUNTER] = 8};

    for (size_t i = 0; i < COUNT_OF(text); i++) {
        const bool in = (want->has & text_attrs[i].has) != 0;
        assert_int_equal(text[i].n, in ? want->text_len[i] : 0);
        assert_true(text[i].n == 0 || memcmp(text[i].p, want->text[i], text[i].n) == 0);
    }
    for (size_t i = 0; i < COUNT_OF(number); i++) {
        const bool in = (want->has & number_attrs[i].has) != 0;
        const uint32_t value = want->number[i] >> shift[i];
        assert_int_equal(number[i], !in ? 0 : i == COUNTER ? value & 0xFF : value);
    }
    if ((want->has & HAS_USERHASH) != 0) {
        assert_memory_equal(req->userhash.p, want->hash, sizeof(want->hash));
    }
    if ((want->has & HAS_PASSWORD_ALGORITHM) != 0) {
        assert_int_equal(req->password_algorithm, want->algorithm);
    }
    if ((want->has & HAS_XOR_PEER_ADDRESS) != 0) {
        assert_true(net_addr_equal(&req->peer, &want->peer));
    }
    if ((want->has & HAS_EVEN_PORT) != 0) {
        assert_int_equal(req->even_port_reserve, want->even >> 7);
    }
    if ((want->has & HAS_RESERVATION_TOKEN) != 0) {
        assert_true(req->reservation_token == want->token);
    }
}

static void decode__reads_what_was_written(void **state)
{
    static struct wanted want;
    struct seeded seed = {2024};

    (void)state;
    for (int round = 0; round < 3000; round++) {
        random_wanted(&seed, &want);
        write_all(&seed, &draft, &want);
        if (round % 2 == 0) {
            draft_mi(&draft);
        }
        const struct turn_req *req = draft_decode(&draft);
        assert_int_equal(req->has, want.has | (round % 2 == 0 ? HAS_MI : 0U));
        assert_int_equal(req->bad, 0);
        assert_false(req->overrun);
        assert_int_equal(req->unknown_count, 0);
        assert_wanted(req, &want);
    }
}

/* Decode `n` bytes of the draft as a message of their own, on a heap block of exactly that size. */
static struct turn_req decode_copy(const struct draft *d, size_t n)
{
    uint8_t *copy = malloc(n);
    struct stun_msg msg;
    struct turn_req req;

    assert_non_null(copy);
    memcpy(copy, d->buf, n);
    be16_put(copy + 2, (uint16_t)(n - STUN_HEADER));
    assert_int_equal(stun_msg_parse((struct bytes){copy, n}, &msg), 0);
    turn_req_decode(&msg, &req);
    free(copy);
    return req;
}

/* Cut at any multiple of four: an overrun is seen exactly when an attribute was cut, and what
 * stands before the cut is read as before. */
static void decode__survives_every_truncation(void **state)
{
    static struct wanted want;
    struct seeded seed = {7};

    (void)state;
    for (int round = 0; round < 60; round++) {
        random_wanted(&seed, &want);
        write_all(&seed, &draft, &want);
        const struct turn_req whole = *draft_decode(&draft);
        struct bytes rest = whole.msg.body;
        struct stun_attr attr;
        for (size_t n = STUN_HEADER; n <= whole.msg.whole.n; n += 4) {
            while (rest.n > 0 &&
                   (size_t)(rest.p - draft.buf) < n) { /* the next attribute's start */
                assert_int_equal(stun_attr_next(&rest, &attr), 1);
            }
            const struct turn_req cut = decode_copy(&draft, n);
            assert_int_equal(cut.overrun, (size_t)(rest.p - draft.buf) != n);
            assert_int_equal(cut.has & ~whole.has, 0);
            assert_int_equal(cut.bad, 0);
        }
    }
}

/* The last attribute claims any length: inside it is taken for what it says, beyond it an overrun.
 */
static void decode__survives_every_claimed_length(void **state)
{
    static const uint16_t types[] = {STUN_DATA_ATTR,        STUN_LIFETIME,
                                     STUN_XOR_PEER_ADDRESS, STUN_MESSAGE_INTEGRITY,
                                     STUN_FINGERPRINT,      0x7FFE};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        draft_begin(&draft);
        stun_out_u32(&draft.out, STUN_REQUESTED_TRANSPORT, 0x11000000);
        const size_t at = draft.out.w.len;
        draft_fill(&draft, types[i], 20);
        const size_t n = draft.out.w.len;
        for (unsigned len = 0; len <= UINT16_MAX; len++) {
            be16_put(draft.buf + at + 2, (uint16_t)len);
            const struct turn_req req = decode_copy(&draft, n);
            assert_true((req.has & HAS_REQUESTED_TRANSPORT) != 0);
            if (len > 20) {
                assert_true(req.overrun);
                assert_int_equal(req.has | req.bad, HAS_REQUESTED_TRANSPORT);
                assert_int_equal(req.unknown_count, 0);
            } else if (len > 16) {
                assert_false(req.overrun);
            }
        }
    }
}

/* Random bytes behind a right header: nothing is claimed that lies outside. */
static void decode__keeps_spans_inside_the_message(void **state)
{
    struct seeded seed = {99};

    (void)state;
    for (int round = 0; round < 20000; round++) {
        draft_begin(&draft);
        const size_t n = STUN_HEADER + 4 * seeded_below(&seed, 60);
        seeded_fill(&seed, draft.buf + STUN_HEADER, n - STUN_HEADER);
        for (size_t at = STUN_HEADER; at < n; at += 4 * (1 + seeded_below(&seed, 6))) {
            be16_put(draft.buf + at, (uint16_t)(seeded_below(&seed, 0x30) |
                                                (seeded_below(&seed, 4) == 0 ? 0x8000U : 0U)));
            be16_put(draft.buf + at + 2, (uint16_t)seeded_below(&seed, 36));
        }
        draft.out.w.len = n;
        const struct turn_req *req = draft_decode(&draft);
        const struct bytes spans[] = {req->username, req->userhash,    req->realm,
                                      req->nonce,    req->mi,          req->mi256,
                                      req->data,     req->fingerprint, req->password_algorithms,
                                      req->peers};
        for (size_t i = 0; i < COUNT_OF(spans); i++) {
            assert_true(spans[i].p == NULL || (spans[i].p >= draft.buf + STUN_HEADER &&
                                               spans[i].p + spans[i].n <= draft.buf + n));
        }
        assert_int_equal(req->has & req->bad, 0);
        assert_true(req->unknown_count <= TURN_REQ_MAX_UNKNOWN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decode__reads_what_was_written),
        cmocka_unit_test(decode__survives_every_truncation),
        cmocka_unit_test(decode__survives_every_claimed_length),
        cmocka_unit_test(decode__keeps_spans_inside_the_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

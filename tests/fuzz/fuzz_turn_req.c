/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target of turn_req_decode(), turn_req_next_peer(), turn_req_next_origin() and
 * turn_req_next_algorithm().
 *
 * Input: one datagram.  Its top bits, cookie and length are put right first, so that the bytes
 * after the header are what is explored. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire/turn_req.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_span(const struct turn_req *req, struct bytes span)
{
    assert(span.p == NULL ? span.n == 0
                          : span.p >= req->msg.body.p &&
                                span.p + span.n <= req->msg.whole.p + req->msg.whole.n);
}

static void check_spans(const struct turn_req *req)
{
    check_span(req, req->username);
    check_span(req, req->userhash);
    check_span(req, req->realm);
    check_span(req, req->nonce);
    check_span(req, req->mi);
    check_span(req, req->mi256);
    check_span(req, req->fingerprint);
    check_span(req, req->password_algorithms);
    check_span(req, req->data);
    check_span(req, req->peers);
}

static void check_masks(const struct turn_req *req)
{
    assert((req->has & req->bad) == 0);
    assert((req->has & HAS_MI) == 0 || req->mi.n == STUN_MI_LEN);
    assert((req->has & HAS_MI256) == 0 ||
           (req->mi256.n >= 16 && req->mi256.n <= STUN_MI256_LEN && req->mi256.n % 4 == 0));
    assert((req->has & HAS_FINGERPRINT) == 0 || req->fingerprint.n == 4);
    assert((req->has & HAS_USERHASH) == 0 || req->userhash.n == 32);
    assert(req->username.n <= 763 && req->realm.n <= 763 && req->nonce.n <= 763);
    assert((((req->has | req->bad) & HAS_XOR_PEER_ADDRESS) != 0) == (req->peers.n > 0));
    assert(req->unknown_count <= TURN_REQ_MAX_UNKNOWN);
    for (unsigned i = 0; i < req->unknown_count; i++) {
        assert(req->unknown[i] < 0x8000);
        for (unsigned j = 0; j < i; j++) {
            assert(req->unknown[i] != req->unknown[j]);
        }
    }
}

/* The first peer of the walk is the one in the struct. */
static void check_walks(const struct turn_req *req)
{
    struct bytes rest = req->peers;
    struct bytes params;
    struct net_addr peer;
    uint16_t number;
    int step = turn_req_next_peer(req, &rest, &peer);

    assert((step == 1) == ((req->has & HAS_XOR_PEER_ADDRESS) != 0));
    assert(step != 1 || net_addr_equal(&peer, &req->peer));
    while (step == 1) {
        step = turn_req_next_peer(req, &rest, &peer);
    }
    rest = req->password_algorithms;
    while (turn_req_next_algorithm(&rest, &number, &params) == 1) {
        check_span(req, params);
    }
    rest = req->origins;
    assert(turn_req_next_origin(&rest, &params) == ((req->has & HAS_ORIGIN) != 0));
    assert((req->has & HAS_ORIGIN) == 0 || params.p == req->origin.p);
    while (turn_req_next_origin(&rest, &params)) {
        check_span(req, params);
    }
}

/* The integrity attribute ends what counts: cut behind it, the request says the same. */
static void check_prefix(const struct turn_req *req)
{
    const struct bytes last = req->mi.p != NULL ? req->mi : req->mi256;
    struct turn_req cut;

    if (last.p == NULL || ((req->has & (HAS_MI | HAS_MI256)) == 0)) {
        return;
    }
    struct stun_msg msg = req->msg;
    msg.body.n = (size_t)(last.p + last.n - msg.body.p);
    msg.whole.n = msg.body.n + STUN_HEADER;
    turn_req_decode(&msg, &cut);
    const uint32_t later = HAS_MI256 | HAS_FINGERPRINT;
    assert((cut.has & ~later) == (req->has & ~later) && (cut.bad & ~later) == (req->bad & ~later));
    assert(cut.unknown_count == req->unknown_count && cut.peers.n == req->peers.n);
    assert(!cut.overrun);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stun_msg msg;
    struct turn_req req;
    const size_t n = size & ~(size_t)3;

    if (n < STUN_HEADER || n > STUN_HEADER + UINT16_MAX) {
        return 0;
    }
    uint8_t *copy = malloc(n);
    assert(copy != NULL);
    memcpy(copy, data, n);
    copy[0] &= 0x3F;
    be16_put(copy + 2, (uint16_t)(n - STUN_HEADER));
    be32_put(copy + 4, STUN_COOKIE);
    const int err = stun_msg_parse((struct bytes){copy, n}, &msg);
    assert(err == 0);
    turn_req_decode(&msg, &req);
    check_spans(&req);
    check_masks(&req);
    check_walks(&req);
    check_prefix(&req);
    free(copy);
    return 0;
}

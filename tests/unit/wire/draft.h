/* SPDX-License-Identifier: Apache-2.0 */
/* A request under construction, and its decoded form, for the tests of wire/turn_req.c.
 *
 * Owner   the test that declares it. */
#pragma once

#include <string.h>

#include "check.h"
#include "crypto/mac.h"
#include "wire/stun_addr.h"
#include "wire/turn_req.h"

struct draft {
    struct stun_out out;
    struct stun_msg msg;
    struct turn_req req; /* valid after draft_decode() */
    uint8_t buf[70000];
};

static const uint8_t draft_tid[STUN_TID] = {0xB1, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6,
                                            0xB7, 0xB8, 0xB9, 0xBA, 0xBB, 0xBC};

static inline void draft_begin(struct draft *d)
{
    stun_out_begin(&d->out, d->buf, sizeof(d->buf), stun_type(STUN_ALLOCATE, STUN_REQUEST),
                   draft_tid);
}

/* An attribute whose value is `n` bytes at `value`. */
static inline void draft_put(struct draft *d, uint16_t type, const void *value, size_t n)
{
    stun_out_attr(&d->out, type, (struct bytes){value, n});
}

/* An attribute whose value is `n` bytes 0x11. */
static inline void draft_fill(struct draft *d, uint16_t type, size_t n)
{
    static uint8_t value[65536];

    memset(value, 0x11, n);
    draft_put(d, type, value, n);
}

static inline void draft_peer(struct draft *d, const char *text)
{
    struct net_addr addr;

    assert_int_equal(net_addr_parse(text, 0, &addr), 0);
    stun_out_xor_addr(&d->out, STUN_XOR_PEER_ADDRESS, &addr);
}

/* Integrity attributes that nobody checks here. */
static inline void draft_mi(struct draft *d)
{
    draft_fill(d, STUN_MESSAGE_INTEGRITY, STUN_MI_LEN);
}

static inline void draft_mi256(struct draft *d)
{
    draft_fill(d, STUN_MESSAGE_INTEGRITY_SHA256, STUN_MI256_LEN);
}

static inline const struct turn_req *draft_decode(struct draft *d)
{
    const int n = stun_out_end(&d->out);

    assert_true(n > 0);
    assert_int_equal(stun_msg_parse((struct bytes){d->buf, (size_t)n}, &d->msg), 0);
    memset(&d->req, 0xA5, sizeof(d->req)); /* nothing may rest on what was there */
    turn_req_decode(&d->msg, &d->req);
    return &d->req;
}

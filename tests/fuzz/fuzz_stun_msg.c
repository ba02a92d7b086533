/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target of stun_msg_parse(), stun_attr_next(), stun_msg_check_mi(),
 * stun_msg_check_fingerprint(), stun_addr_decode(), stun_addr_decode_xor(), stun_code_decode() and
 * the writer stun_out_*().
 *
 * Input: one datagram as it comes.  What parses is written again attribute by attribute, and must
 * be read as the same message. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "crypto/mac.h"
#include "wire/stun_addr.h"
#include "wire/stun_code.h"
#include "wire/stun_msg.h"

enum { ROOM = STUN_HEADER + UINT16_MAX };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An address that decodes is written as it was read, its first byte aside. */
static void check_addr(const struct stun_msg *msg, struct bytes value)
{
    uint8_t buf[64];
    struct stun_out out;
    struct net_addr addr;

    if (stun_addr_decode_xor(value, msg->tid, &addr) < 0) {
        assert(stun_addr_decode(value, &addr) == -EBADMSG);
        return;
    }
    stun_out_begin(&out, buf, sizeof(buf), 0, msg->tid);
    stun_out_xor_addr(&out, STUN_XOR_MAPPED_ADDRESS, &addr);
    assert(stun_out_end(&out) > 0);
    const struct bytes written = {buf + STUN_HEADER + STUN_ATTR_HEAD + 1, value.n - 1};
    assert(bytes_equal(written, (struct bytes){value.p + 1, value.n - 1}));
}

static void check_attr(struct crypto_mac *mac, const struct stun_msg *msg,
                       const struct stun_attr *attr)
{
    static const uint8_t key[16];

    assert(attr->value.p >= msg->body.p);
    assert(attr->value.p + attr->value.n <= msg->whole.p + msg->whole.n);
    if (attr->type == STUN_MESSAGE_INTEGRITY || attr->type == STUN_MESSAGE_INTEGRITY_SHA256) {
        const int err = stun_msg_check_mi(mac, msg, attr->value, (struct bytes){key, sizeof(key)});
        assert(err == 0 || err == -EPERM);
    }
    (void)stun_msg_check_fingerprint(msg, attr->value);
    check_addr(msg, attr->value);
    const int code = stun_code_decode(attr->value);
    assert(code == -EBADMSG || (code >= 300 && code <= 699));
}

/* Walk both messages side by side. */
static void check_same(struct stun_msg a, struct stun_msg b)
{
    struct stun_attr x;
    struct stun_attr y;

    assert(a.method == b.method && a.class == b.class);
    while (stun_attr_next(&a.body, &x) > 0) {
        assert(stun_attr_next(&b.body, &y) == 1);
        assert(x.type == y.type && bytes_equal(x.value, y.value));
    }
    assert(b.body.n == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t again[ROOM];
    static struct crypto_mac *mac;
    struct stun_msg msg;
    struct stun_msg copy;
    struct stun_attr attr;
    struct stun_out out;

    if (mac == NULL) {
        mac = crypto_mac_new();
        assert(mac != NULL);
    }
    if (stun_msg_parse((struct bytes){data, size}, &msg) < 0) {
        return 0;
    }
    struct bytes rest = msg.body;
    stun_out_begin(&out, again, sizeof(again), stun_type(msg.method, (enum stun_class)msg.class),
                   msg.tid);
    while (stun_attr_next(&rest, &attr) > 0) {
        check_attr(mac, &msg, &attr);
        stun_out_attr(&out, attr.type, attr.value);
    }
    const int n = stun_out_end(&out);
    assert(n >= STUN_HEADER && (size_t)n <= size);
    assert(stun_msg_parse((struct bytes){again, (size_t)n}, &copy) == 0);
    check_same(msg, copy);
    return 0;
}

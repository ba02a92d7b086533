/* SPDX-License-Identifier: Apache-2.0 */
/* Classic STUN (RFC 3489) over DTLS: there is no such thing, and a request is told so (RFC 8489
 * section 11, RFC 7350 section 3). */
#include <string.h>

#include "turn/turn_int.h"

enum { COOKIE_AT = 4, COOKIE_LEN = 4 };

/* Parse a message as though it had the magic cookie that it lacks.  `*out` has its method, class
 * and ID. */
static bool parse_without_cookie(const struct pkt *pkt, struct stun_msg *out)
{
    uint8_t head[STUN_HEADER];

    if (pkt->len < STUN_HEADER || be32(pkt->data + COOKIE_AT) == STUN_COOKIE ||
        be16(pkt->data + 2) + (uint32_t)STUN_HEADER != pkt->len) {
        return false;
    }
    memcpy(head, pkt->data, STUN_HEADER);
    be16_put(head + 2, 0);
    be32_put(head + COOKIE_AT, STUN_COOKIE);
    if ((pkt->len & 3) != 0 || stun_msg_parse((struct bytes){head, STUN_HEADER}, out) < 0) {
        return false;
    }
    out->tid = pkt->data + COOKIE_AT + COOKIE_LEN;
    return true;
}

enum turn_verdict turn_classic_message(struct turn_server *s, struct pkt *pkt, uint64_t now_ms)
{
    enum { ANSWER_MAX = 64 };

    uint8_t answer[ANSWER_MAX];
    struct stun_msg msg;
    struct stun_out out;

    if (pkt->transport != NET_DTLS || !parse_without_cookie(pkt, &msg) ||
        msg.class != STUN_REQUEST) {
        return turn_drop(s, DROP_BAD_MESSAGE);
    }
    if (!turn_may_answer(s, pkt, now_ms)) {
        return turn_drop(s, DROP_UNAUTH_RATE);
    }
    stun_out_begin(&out, answer, sizeof(answer), stun_type(msg.method, STUN_ERROR), msg.tid);
    stun_out_error(&out, STUN_SERVER_ERROR, stun_code_phrase(STUN_SERVER_ERROR));
    const int len = stun_out_end(&out);
    if (len < 0 || (uint32_t)len > pkt->cap) {
        return turn_drop(s, DROP_INTERNAL);
    }
    /* What stood in place of the cookie is part of a 128-bit ID. */
    memcpy(answer + COOKIE_AT, pkt->data + COOKIE_AT, COOKIE_LEN);
    pkt->data = pkt->buf + PKT_HEADROOM;
    pkt->len = (uint32_t)len;
    memcpy(pkt->data, answer, (size_t)len);
    pkt->tos = 0;
    pkt->df = false;
    turn_count(&s->count.refused_300_to_599[STUN_SERVER_ERROR - 300], 1);
    return TURN_TO_CLIENT;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Classic STUN (RFC 3489), whose messages have no magic cookie but a longer transaction ID.
 *
 * Over UDP, Binding requests are answered where that is switched on (RFC 5389 section 12.2).  Over
 * DTLS there is no such thing, and a request is told so (RFC 8489 section 11, RFC 7350 section 3).
 */
#include <string.h>

#include "turn/turn_int.h"
#include "wire/stun_addr.h"

enum { COOKIE_AT = 4, COOKIE_LEN = 4 };

/* Parse a message as though it had the magic cookie that it lacks. */
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
    out->whole = (struct bytes){pkt->data, pkt->len};
    out->body = (struct bytes){pkt->data + STUN_HEADER, pkt->len - STUN_HEADER};
    out->tid = pkt->data + COOKIE_AT + COOKIE_LEN;
    return true;
}

/* TURN never uses this mechanism (RFC 8656 section 5), and what was SharedSecret is no method any
 * more.  Credentials would be those of RFC 3489: who asks for them on every request gets none. */
static bool is_served(const struct turn_config *config, const struct pkt *pkt,
                      const struct stun_msg *msg)
{
    return config->rfc3489 && config->stun_enabled && !config->auth_binding &&
           (pkt->transport == NET_UDP || pkt->transport == NET_PROXIED) &&
           msg->method == STUN_BINDING;
}

/* RFC 3489 section 8.1. */
static enum stun_code judge(struct turn_call *call)
{
    if (call->req->overrun) {
        return STUN_BAD_REQUEST;
    }
    /* RESPONSE-ADDRESS, by which anybody could be sent an answer, is among the unknown ones. */
    return call->req->unknown_count > 0 ? STUN_UNKNOWN_ATTRIBUTE : turn_behaviour_judge(call);
}

static enum turn_verdict serve(struct turn_server *s, struct pkt *pkt, const struct stun_msg *msg,
                               uint64_t now_ms)
{
    struct turn_call call;
    struct turn_req req;

    turn_req_decode(msg, &req);
    turn_req_disown(&req, HAS_PADDING | HAS_RESPONSE_PORT); /* these came later */
    turn_behaviour_sift(s, pkt, &req);
    turn_call_init(&call, s, pkt, &req, now_ms);
    call.classic = true;
    turn_count(&s->count.requests[STUN_BINDING], 1);
    return turn_reply(&call, judge(&call));
}

void turn_classic_put(const struct turn_call *call, struct stun_out *out)
{
    stun_out_addr(out, STUN_MAPPED_ADDRESS, &call->pkt->remote);
    turn_behaviour_put(call, out);
}

/* Say that this is not served. */
static enum turn_verdict refuse(struct turn_server *s, struct pkt *pkt, const struct stun_msg *msg,
                                uint64_t now_ms)
{
    const struct turn_req req = {.msg = *msg};
    struct turn_call call;

    turn_call_init(&call, s, pkt, &req, now_ms);
    call.classic = true;
    return turn_reply(&call, STUN_SERVER_ERROR);
}

enum turn_verdict turn_classic_message(struct turn_server *s, struct pkt *pkt, uint64_t now_ms)
{
    struct stun_msg msg;

    if (!parse_without_cookie(pkt, &msg) || msg.class != STUN_REQUEST) {
        return turn_drop(s, DROP_BAD_MESSAGE);
    }
    if (is_served(s->config, pkt, &msg)) {
        return serve(s, pkt, &msg, now_ms);
    }
    return pkt->transport == NET_DTLS ? refuse(s, pkt, &msg, now_ms)
                                      : turn_drop(s, DROP_BAD_MESSAGE);
}

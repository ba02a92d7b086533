/* SPDX-License-Identifier: Apache-2.0 */
/* NAT behaviour discovery (RFC 5780): a client asks to be answered from another of four addresses
 * of ours, to another port of its own, or with padding, and sees what its NAT makes of that.
 *
 * Whoever writes another's address into a request has the answer sent there: it is never much
 * longer than the request, and what more than a plain answer is in it is rationed. */
#include <string.h>

#include "turn/turn_int.h"
#include "wire/stun_addr.h"

enum {
    ATTRS = HAS_CHANGE_REQUEST | HAS_PADDING | HAS_RESPONSE_PORT,
    PADDING_MAX = 1500, /* the MTU of nearly every interface (RFC 5780 section 7.6) */
};

/* The set and the address in it that the request came to; NULL: to none. */
static const struct turn_behaviour_set *find(const struct turn_config *config,
                                             const struct pkt *pkt, uint8_t *out_at)
{
    const bool stream = net_is_stream(pkt->transport);

    if (pkt->transport == NET_PROXIED) { /* only the balancer sends from there */
        return NULL;
    }
    for (uint32_t i = 0; i < config->behaviour.count; i++) {
        const struct turn_behaviour_set *set = &config->behaviour.sets[i];

        for (uint8_t at = 0; set->stream == stream && at < TURN_BEHAVIOUR_ADDRS; at++) {
            if (net_addr_equal(&set->local[at], &pkt->local)) {
                *out_at = at;
                return set;
            }
        }
    }
    return NULL;
}

/* The attributes that mean something where the request came to. */
static uint32_t meant(const struct turn_config *config, const struct pkt *pkt,
                      const struct turn_req *req)
{
    uint32_t has = 0;
    uint8_t at;

    if (find(config, pkt, &at) == NULL) {
        return 0; /* RFC 5780 section 6: without a second address, 420 */
    }
    if (pkt->transport != NET_UDP) { /* no connection can be answered from elsewhere */
        return req->change == 0 ? HAS_CHANGE_REQUEST : 0;
    }
    has |= HAS_CHANGE_REQUEST;
    has |= config->behaviour.padding ? HAS_PADDING : 0;
    has |= config->behaviour.response_port ? HAS_RESPONSE_PORT : 0; /* RFC 5780 section 7.5 */
    return has;
}

void turn_behaviour_sift(const struct turn_server *s, const struct pkt *pkt, struct turn_req *req)
{
    /* RFC 5780 section 7: "these attributes are all used only with Binding Requests". */
    const bool binding = req->msg.method == STUN_BINDING && req->msg.class == STUN_REQUEST;

    if (((req->has | req->bad) & ATTRS) != 0) {
        turn_req_disown(req, ATTRS & ~(binding ? meant(s->config, pkt, req) : 0));
    }
}

/* RFC 5780 section 6.1, table 1. */
static uint8_t source_of(uint8_t at, uint32_t change)
{
    at ^= (change & TURN_CHANGE_PORT) != 0 ? TURN_OTHER_PORT : 0;
    at ^= (change & TURN_CHANGE_IP) != 0 ? TURN_OTHER_IP : 0;
    return at;
}

enum stun_code turn_behaviour_judge(struct turn_call *call)
{
    const struct turn_server *s = call->server;
    const struct turn_req *req = call->req;
    const struct turn_behaviour_set *set = find(s->config, call->pkt, &call->at);
    const bool elsewhere = (req->has & HAS_RESPONSE_PORT) != 0;

    if (set == NULL) {
        return STUN_OK;
    }
    if ((req->bad & ATTRS) != 0 || (elsewhere && req->response_port == 0)) {
        return STUN_BAD_REQUEST;
    }
    if (elsewhere && (req->has & HAS_PADDING) != 0) { /* RFC 5780 section 6.1 */
        return STUN_BAD_REQUEST;
    }
    call->from = source_of(call->at, req->change);
    /* The socket that the request came by may be connected to the port that it came from. */
    if (call->from != call->at || elsewhere) {
        const uint32_t number = (uint32_t)(set - s->config->behaviour.sets);
        call->port = s->fx.behaviour_port(s->fx.arg, number, call->from);
        if (call->port == NULL) {
            return STUN_SERVER_ERROR;
        }
    }
    call->served = set;
    return STUN_OK;
}

bool turn_behaviour_costs(const struct turn_call *call)
{
    return call->served != NULL && (call->req->has & (HAS_PADDING | HAS_RESPONSE_PORT)) != 0;
}

/* RFC 5780 section 6.1 would have it as long as the MTU, whatever the request's: a stranger gets no
 * more than he has sent. */
static void put_padding(const struct turn_call *call, struct stun_out *out)
{
    /* cppcheck-suppress unassignedVariable; zeros as they are */
    static const uint8_t zeros[PADDING_MAX];
    const size_t asked = (call->req->padding + (size_t)3) & ~(size_t)3;

    stun_out_attr(out, STUN_PADDING,
                  (struct bytes){zeros, asked < PADDING_MAX ? asked : PADDING_MAX});
}

void turn_behaviour_put(const struct turn_call *call, struct stun_out *out)
{
    const struct turn_behaviour_set *set = call->served;
    const uint8_t other = call->at ^ (TURN_OTHER_IP | TURN_OTHER_PORT);

    if (set == NULL) {
        return;
    }
    /* RFC 5780 section 7.4 says that OTHER-ADDRESS has the number of CHANGED-ADDRESS; the registry
     * has another for it. */
    stun_out_addr(out, call->classic ? STUN_SOURCE_ADDRESS : STUN_RESPONSE_ORIGIN,
                  &set->told[call->from]);
    stun_out_addr(out, call->classic ? STUN_CHANGED_ADDRESS : STUN_OTHER_ADDRESS,
                  &set->told[other]);
    if ((call->req->has & HAS_PADDING) != 0) {
        put_padding(call, out);
    }
}

void turn_behaviour_send(const struct turn_call *call)
{
    struct pkt *pkt = call->pkt;

    if (call->port == NULL) {
        return;
    }
    pkt->port = call->port;
    pkt->local = call->served->local[call->from];
    if ((call->req->has & HAS_RESPONSE_PORT) != 0) {
        pkt->remote.port = call->req->response_port; /* never another address than his */
    }
}

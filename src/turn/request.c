/* SPDX-License-Identifier: Apache-2.0 */
/* A STUN message from a client, in the order of processing of RFC 8489 section 6.3 and RFC 8656
 * section 5 (conformance section 4): header, fingerprint, authentication, unknown attributes,
 * allocation, method. */
#include <errno.h>
#include <string.h>

#include "turn/turn_int.h"

/* What a method needs before its handler is asked. */
enum turn_need { NO_ALLOC, ALLOC, EITHER };

struct turn_rule {
    enum turn_need need;
    enum stun_code (*handle)(struct turn_call *call);
};

static const struct turn_rule rules[] = {
    [STUN_ALLOCATE] = {NO_ALLOC, turn_on_allocate},
    [STUN_REFRESH] = {ALLOC, turn_on_refresh},
    [STUN_CREATE_PERMISSION] = {ALLOC, turn_on_create_permission},
    [STUN_CHANNEL_BIND] = {ALLOC, turn_on_channel_bind},
    [STUN_CONNECT] = {ALLOC, turn_on_connect},
    [STUN_CONNECTION_BIND] = {EITHER, turn_on_connection_bind},
};

static const struct turn_rule *rule_of(uint16_t method)
{
    return method < ARRAY_SIZE(rules) && rules[method].handle != NULL ? &rules[method] : NULL;
}

/* Attributes whose malformed value makes a request of any TURN method a bad one.  Those that may be
 * ignored when not understood are not among them. */
static const uint32_t binding_form = HAS_CHANNEL_NUMBER | HAS_LIFETIME | HAS_XOR_PEER_ADDRESS |
                                     HAS_REQUESTED_ADDRESS_FAMILY | HAS_ADDITIONAL_ADDRESS_FAMILY |
                                     HAS_EVEN_PORT | HAS_REQUESTED_TRANSPORT | HAS_DONT_FRAGMENT |
                                     HAS_RESERVATION_TOKEN;

/* The request is authentic and understood: judge it (RFC 8656 section 5). */
static enum stun_code judge_method(struct turn_call *call, const struct turn_rule *rule)
{
    const struct turn_alloc *alloc = call->alloc;
    const bool same_user = alloc != NULL && turn_is_owner(call, alloc);

    if (call->ticket != TURN_NO_TICKET) {
        const enum stun_code code = turn_mobility_judge(call);
        if (code != STUN_OK) {
            return code;
        }
    }
    if (rule->need == ALLOC) {
        if (alloc == NULL) {
            return STUN_ALLOCATION_MISMATCH;
        }
        if (!same_user) {
            return STUN_WRONG_CREDENTIALS;
        }
        if (call->server->config->origin_consistency &&
            turn_origin_mark(call->server->config, call->req) != alloc->origin) {
            return STUN_WRONG_CREDENTIALS; /* as coturn says it */
        }
    } else if (rule->need == NO_ALLOC && !(call->retransmission && same_user) &&
               (alloc != NULL || call->tomb != NULL)) {
        return STUN_ALLOCATION_MISMATCH;
    }
    if ((call->req->bad & binding_form) != 0) {
        return STUN_BAD_REQUEST;
    }
    /* No data ever comes on the control connection of a TCP allocation (RFC 6062): its next request
     * says that the client has arrived (RFC 8016 section 3.2.2). */
    if (rule->need == ALLOC && alloc->protocol == NET_TCP && alloc->mobile != NULL &&
        call->ticket == TURN_NO_TICKET) {
        turn_mobility_heard(call->server, call->alloc, &call->tuple, call->now_ms);
    }
    return rule->handle(call);
}

/* Authentication, then 420, then the method.  A negative errno ends without an answer. */
static int judge(struct turn_call *call, const struct turn_rule *rule)
{
    const struct turn_server *s = call->server;
    const bool binding = rule == NULL;

    if (call->req->overrun) {
        return STUN_BAD_REQUEST;
    }
    if (binding ? s->config->auth_binding : s->config->require_auth) {
        const int code = turn_authenticate(call);
        if (code != STUN_OK) {
            return code;
        }
    }
    if (turn_token_unknown(call) || call->req->unknown_count > 0) {
        return STUN_UNKNOWN_ATTRIBUTE;
    }
    return (int)(binding ? turn_behaviour_judge(call) : judge_method(call, rule));
}

void turn_call_init(struct turn_call *call, struct turn_server *s, struct pkt *pkt,
                    const struct turn_req *req, uint64_t now_ms)
{
    call->server = s;
    call->pkt = pkt;
    call->req = req;
    call->now_ms = now_ms;
    call->alloc = NULL;
    call->conn = NULL;
    call->realm_id = 0;
    call->realm = &s->config->main;
    call->proven = false;
    call->integrity = TURN_NO_INTEGRITY;
    call->key = (struct bytes){NULL, 0};
    /* Stays so without authentication. */
    call->user_key = (struct credential_key){.has_md5 = false};
    call->found.count = 0;
    call->found.name_len = 0;
    call->found.quota_from = 0;
    call->found.quota_len = 0;
    call->found.realm_len = 0;
    call->found.lifetime_s = 0;
    call->lifetime_cap_s = 0;
    call->gate = GATE_OPEN;
    call->refused_attr = 0;
    call->lifetime_s = 0;
    call->retransmission = false;
    call->tomb = NULL;
    call->alternate_count = 0;
    call->connection_id = 0;
    call->later = false;
    call->ticket = TURN_NO_TICKET;
    call->ticket_out = false;
    call->classic = false;
    call->served = NULL;
    call->port = NULL;
}

/* What the request is about: the allocation of its 5-tuple, or what it names: a connection, or by a
 * ticket an allocation.  0 or -EIO. */
static int find_subject(struct turn_call *call)
{
    struct turn_server *s = call->server;
    const struct turn_req *req = call->req;

    int err = 0;

    call->tuple = turn_tuple_of(call->pkt);
    call->alloc = turn_current(s, turn_alloc_find(&s->tables, &call->tuple), call->now_ms);
    if (req->msg.method == STUN_REFRESH && (req->has & HAS_MOBILITY_TICKET) != 0) {
        err = turn_mobility_find(call);
    }
    if (req->msg.method == STUN_ALLOCATE && call->alloc != NULL) {
        /* RFC 8656 section 7.2: the transaction that made the allocation, once more. */
        call->retransmission = memcmp(call->alloc->tid, req->msg.tid, STUN_TID) == 0;
    } else if (req->msg.method == STUN_ALLOCATE) {
        call->tomb = turn_tombstone_find(&s->tables, &call->tuple, req->msg.tid, call->now_ms);
    }
    call->conn = call->alloc == NULL ? turn_conn_named(s, req, call->now_ms) : NULL;
    return err;
}

/* True with the verdict when the request is not ours to judge. */
static bool is_elsewhere(struct turn_server *s, const struct turn_call *call,
                         enum turn_verdict *out_verdict)
{
    if (call->ticket == TURN_TICKET_ELSEWHERE) {
        *out_verdict = TURN_ELSEWHERE;
        return true;
    }
    /* A late duplicate of an Allocate that the other instance has the answer to, or a session that
     * has yet to get here: the client asks again. */
    if (call->ticket == TURN_TICKET_TRAVELLING || (call->tomb != NULL && call->tomb->travelled)) {
        *out_verdict = turn_drop(s, DROP_ELSEWHERE);
        return true;
    }
    return false;
}

static enum turn_verdict serve_request(struct turn_server *s, struct pkt *pkt,
                                       const struct turn_req *req, uint64_t now_ms)
{
    const struct turn_rule *rule = rule_of(req->msg.method);
    struct turn_call call;

    turn_call_init(&call, s, pkt, req, now_ms);
    int code = rule != NULL ? find_subject(&call) : 0;
    enum turn_verdict verdict;
    if (is_elsewhere(s, &call, &verdict)) {
        return verdict;
    }
    turn_realm_choose(&call);
    code = code < 0 ? code : judge(&call, rule);
    if (code == -EAGAIN) {
        return TURN_WAIT; /* counted when it comes again */
    }
    turn_count(&s->count.requests[req->msg.method & 15], 1);
    if (code == -EBUSY) {
        return turn_drop(s, DROP_KEY_BUSY);
    }
    if (call.later) {
        return TURN_LATER;
    }
    verdict = turn_reply(&call, code < 0 ? STUN_SERVER_ERROR : (enum stun_code)code);
    if (code == STUN_OK && call.conn != NULL && verdict == TURN_TO_CLIENT) {
        turn_bind_conn(s, call.conn, pkt->port);
    }
    return verdict;
}

static bool method_known(uint16_t method)
{
    return method == STUN_BINDING || method == STUN_SEND || method == STUN_DATA ||
           method == STUN_CONNECTION_ATTEMPT || rule_of(method) != NULL;
}

static enum turn_verdict serve_indication(struct turn_server *s, struct pkt *pkt,
                                          const struct turn_req *req, uint64_t now_ms)
{
    switch (req->msg.method) {
    case STUN_BINDING:
        return turn_drop(s, DROP_KEEPALIVE);
    case STUN_SEND:
        return turn_on_send(s, pkt, req, now_ms);
    default: /* Data and ConnectionAttempt are for clients; the others have no indication */
        return turn_drop(s, DROP_BAD_CLASS);
    }
}

enum turn_verdict turn_stun_message(struct turn_server *s, struct pkt *pkt, uint64_t now_ms)
{
    struct stun_msg msg;
    struct turn_req req;

    if (stun_msg_parse((struct bytes){pkt->data, pkt->len}, &msg) < 0) {
        return turn_classic_message(s, pkt, now_ms);
    }
    if (msg.class == STUN_SUCCESS || msg.class == STUN_ERROR) {
        return turn_drop(s, DROP_STRAY_RESPONSE);
    }
    if (!method_known(msg.method)) {
        return turn_drop(s, DROP_UNKNOWN_METHOD);
    }
    const bool binding = msg.method == STUN_BINDING;
    if (binding ? !s->config->stun_enabled : !s->config->turn_enabled) {
        return turn_drop(s, DROP_DISABLED);
    }
    if (msg.class == STUN_REQUEST && !binding && rule_of(msg.method) == NULL) {
        return turn_drop(
            s, DROP_BAD_CLASS); /* Send, Data and ConnectionAttempt are indications only */
    }
    turn_req_decode(&msg, &req);
    turn_behaviour_sift(s, pkt, &req);
    if ((req.bad & HAS_FINGERPRINT) != 0 ||
        ((req.has & HAS_FINGERPRINT) != 0 && !stun_msg_check_fingerprint(&msg, req.fingerprint))) {
        return turn_drop(s, DROP_BAD_FINGERPRINT);
    }
    return msg.class == STUN_REQUEST ? serve_request(s, pkt, &req, now_ms)
                                     : serve_indication(s, pkt, &req, now_ms);
}

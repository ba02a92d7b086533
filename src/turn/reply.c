/* SPDX-License-Identifier: Apache-2.0 */
/* Every response is made here: the verdict of a handler becomes bytes, counter and event
 * (conformance section 6: which response carries what). */
#include <string.h>

#include "turn/turn_int.h"
#include "wire/stun_addr.h"

static void put_text(struct stun_out *out, uint16_t type, const char *text)
{
    stun_out_attr(out, type, bytes_of(text));
}

static int put_challenge(struct turn_call *call, struct stun_out *out)
{
    struct turn_server *s = call->server;
    uint8_t nonce[TURN_NONCE_LEN];
    const struct net_addr client = turn_nonce_client(call->pkt);
    const int err = turn_nonce_make(s, call->realm, &client, nonce);
    if (err < 0) {
        return err;
    }
    put_text(out, STUN_REALM, call->realm->name);
    stun_out_attr(out, STUN_NONCE, (struct bytes){nonce, sizeof(nonce)});
    stun_out_attr(out, STUN_PASSWORD_ALGORITHMS, turn_algorithm_list(call->realm->algorithms));
    if (s->config->third_party) {
        /* RFC 7635 section 4: clients that have a token use it, the others go on as ever. */
        put_text(out, STUN_THIRD_PARTY_AUTHORIZATION, s->config->server_name);
    }
    return 0;
}

/* UNKNOWN-ATTRIBUTES: each type once (RFC 8489 section 14.13). */
static void put_unknown(const struct turn_call *call, struct stun_out *out)
{
    uint8_t list[2 * (TURN_REQ_MAX_UNKNOWN + 1)];
    struct writer w = writer_over(list, sizeof(list));

    for (uint8_t i = 0; i < call->req->unknown_count; i++) {
        writer_be16(&w, call->req->unknown[i]);
    }
    if (call->refused_attr != 0) {
        writer_be16(&w, call->refused_attr);
    }
    /* RFC 3489 section 11.2.10: an odd number of them is made even by one of them, again. */
    if (call->classic && call->req->unknown_count % 2 != 0) {
        writer_be16(&w, call->req->unknown[0]);
    }
    stun_out_attr(out, STUN_UNKNOWN_ATTRIBUTES, (struct bytes){list, w.len});
}

/* RFC 8489 section 10: the name in the certificate of the first alternate server, for a client that
 * will see one, and that has proven itself by MESSAGE-INTEGRITY-SHA256. */
static void put_alternate_domain(const struct turn_call *call, struct stun_out *out)
{
    const uint32_t transport = call->tuple.protocol;
    const char *domain = call->alternate[0]->domain;

    if ((transport == NET_TLS || transport == NET_DTLS) && (call->req->has & HAS_MI256) != 0 &&
        domain[0] != '\0') {
        put_text(out, STUN_ALTERNATE_DOMAIN, domain);
    }
}

static int put_refusal(struct turn_call *call, struct stun_out *out, enum stun_code code)
{
    stun_out_error(out, code, stun_code_phrase(code));
    switch ((int)code) {
    case STUN_UNAUTHENTICATED:
    case STUN_STALE_NONCE:
        return put_challenge(call, out);
    case STUN_UNKNOWN_ATTRIBUTE:
        put_unknown(call, out);
        return 0;
    case STUN_TRY_ALTERNATE:
        for (uint32_t i = 0; i < call->alternate_count; i++) {
            stun_out_addr(out, STUN_ALTERNATE_SERVER, &call->alternate[i]->addr);
        }
        put_alternate_domain(call, out);
        return 0;
    default:
        return 0;
    }
}

static void put_binding(const struct turn_call *call, struct stun_out *out)
{
    if (call->classic) {
        turn_classic_put(call, out);
        return;
    }
    stun_out_xor_addr(out, STUN_XOR_MAPPED_ADDRESS, &call->pkt->remote);
    if (call->server->config->mapped_address || call->served != NULL) {
        stun_out_addr(out, STUN_MAPPED_ADDRESS, &call->pkt->remote);
    }
    turn_behaviour_put(call, out);
}

/* RFC 8656 section 7.2: the success response of an Allocate, first or repeated. */
static void put_allocate(const struct turn_call *call, struct stun_out *out)
{
    struct turn_alloc *alloc = call->alloc;

    for (int i = 0; i < 2; i++) {
        const uint8_t family = i == 0 ? NET_V4 : NET_V6;
        const struct turn_relay *relay = turn_alloc_relay(alloc, family);
        if (relay != NULL) {
            stun_out_xor_addr(out, STUN_XOR_RELAYED_ADDRESS, &relay->relayed);
        } else if (alloc->family_code[i] != STUN_OK) {
            stun_out_address_error(out, family, (enum stun_code)alloc->family_code[i]);
        }
    }
    stun_out_u32(out, STUN_LIFETIME, call->lifetime_s);
    stun_out_xor_addr(out, STUN_XOR_MAPPED_ADDRESS, &call->pkt->remote);
    if (alloc->reservation != 0) {
        uint8_t token[8];
        be64_put(token, alloc->reservation);
        stun_out_attr(out, STUN_RESERVATION_TOKEN, (struct bytes){token, sizeof(token)});
    }
}

static void put_success(const struct turn_call *call, struct stun_out *out)
{
    switch (call->req->msg.method) {
    case STUN_BINDING:
        put_binding(call, out);
        break;
    case STUN_ALLOCATE:
        put_allocate(call, out);
        break;
    case STUN_REFRESH:
        stun_out_u32(out, STUN_LIFETIME, call->lifetime_s);
        break;
    case STUN_CONNECT:
        stun_out_u32(out, STUN_CONNECTION_ID, call->connection_id);
        break;
    default: /* CreatePermission, ChannelBind and ConnectionBind: integrity only */
        break;
    }
    if (call->ticket_out) {
        stun_out_attr(out, STUN_MOBILITY_TICKET,
                      (struct bytes){call->new_ticket, sizeof(call->new_ticket)});
    }
}

/* What stands last in every response. */
static int put_tail(struct turn_call *call, struct stun_out *out)
{
    const struct turn_server *s = call->server;
    int err = 0;

    /* Strangers are told nothing about us: SOFTWARE only under integrity, or without any auth. */
    if (s->config->software[0] != '\0' &&
        (call->integrity != TURN_NO_INTEGRITY || !s->config->require_auth)) {
        put_text(out, STUN_SOFTWARE, s->config->software);
    }
    if ((call->req->has & HAS_TRANSMIT_COUNTER) != 0) {
        /* RFC 7982 section 3.3: Req echoed; Resp is 0, transactions are not counted. */
        stun_out_u32(out, STUN_TRANSACTION_TRANSMIT_COUNTER,
                     (uint32_t)call->req->transmit_count << 8);
    }
    if (call->integrity == TURN_MI) {
        err = stun_out_mi(out, s->mac, call->key);
    } else if (call->integrity == TURN_MI256) {
        err = stun_out_mi256(out, s->mac, call->key);
    }
    if (s->config->always_fingerprint || (call->req->has & HAS_FINGERPRINT) != 0) {
        stun_out_fingerprint(out);
    }
    return err;
}

/* A token has no name that says anything: its account does. */
static struct bytes turn_user_to_tell(struct bytes name, const struct credential_keys *found)
{
    return found->quota_from < found->name_len || found->quota_len == 0
               ? name
               : (struct bytes){found->name + found->quota_from, found->quota_len};
}

static void tell_refusal(const struct turn_call *call, enum stun_code code)
{
    const struct turn_server *s = call->server;
    const struct bytes found = {call->found.name, call->found.name_len};
    const bool named = (call->req->has & HAS_USERNAME) != 0;
    const struct turn_event event = {
        .kind = TURN_EVENT_REFUSED,
        .session = call->alloc != NULL ? call->alloc->session : 0,
        .method = call->req->msg.method,
        .code = code,
        .gate = call->gate,
        .proven = call->proven,
        .client = &call->pkt->remote,
        .server = &call->pkt->local,
        .peer = (call->req->has & HAS_XOR_PEER_ADDRESS) != 0 ? &call->req->peer : NULL,
        /* as it was found, whatever attribute named it; else as the client writes it */
        .user =
            found.n > 0 || !named ? turn_user_to_tell(found, &call->found) : call->req->username,
        .realm = call->realm->name,
    };
    s->fx.event(s->fx.arg, &event);
}

static bool may_answer(const struct turn_call *call, enum stun_code code)
{
    const bool free = code == STUN_OK && !call->classic && !turn_behaviour_costs(call);

    return free || call->integrity != TURN_NO_INTEGRITY ||
           turn_may_answer(call->server, call->pkt, call->now_ms);
}

enum turn_verdict turn_reply(struct turn_call *call, enum stun_code code)
{
    struct turn_server *s = call->server;
    struct pkt *pkt = call->pkt;
    struct stun_out out;
    int err = 0;

    if (!may_answer(call, code)) {
        return turn_drop(s, DROP_UNAUTH_RATE);
    }
    stun_out_begin(&out, s->response, sizeof(s->response),
                   stun_type(call->req->msg.method, code == STUN_OK ? STUN_SUCCESS : STUN_ERROR),
                   call->req->msg.tid);
    if (code == STUN_OK) {
        put_success(call, &out);
        turn_count(&s->count.successes[call->req->msg.method & 15], 1);
    } else {
        err = put_refusal(call, &out, code);
        turn_count(&s->count.refused_300_to_599[(unsigned)code - 300U], 1);
        tell_refusal(call, code);
    }
    if (err == 0 && !call->classic) {
        err = put_tail(call, &out);
    }
    const int len = err < 0 ? err : stun_out_end(&out);
    if (len < 0 || (uint32_t)len > pkt->cap) {
        return turn_drop(s, DROP_INTERNAL);
    }
    if (call->classic) { /* what stands in place of the cookie is part of a 128-bit ID */
        memcpy(s->response + STUN_HEADER - STUN_TID - 4, call->req->msg.tid - 4, 4);
    }
    if (code == STUN_OK) {
        turn_behaviour_send(call);
    }
    pkt->data = pkt->buf + PKT_HEADROOM; /* the request is not needed any more */
    pkt->len = (uint32_t)len;
    memcpy(pkt->data, s->response, (size_t)len);
    pkt->tos = 0;
    pkt->df = false;
    return TURN_TO_CLIENT;
}

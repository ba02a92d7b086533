/* SPDX-License-Identifier: Apache-2.0 */
/* TCP relays (RFC 6062): Connect, ConnectionBind and ConnectionAttempt.
 *
 *   CONNECTING --connected--> WAITING --ConnectionBind--> BOUND
 *   (Connect)                 (or accepted; 30 s)
 *
 * The core judges and names connections; their bytes never come here. */
#include <errno.h>
#include <string.h>

#include "base/secret.h"
#include "turn/turn_int.h"
#include "wire/stun_addr.h"

enum {
    BIND_MS = 30 * 1000, /* RFC 6062 sections 5.2 and 5.3 */
    ID_ATTEMPTS = 16,
    ID_NONE = 0,
};

/* --- CONNECTION-ID ------------------------------------------------------------------------------
 *
 * Random, so nobody guesses another's; its remainder tells the instance that made it. */

/* An id that is not in use; ID_NONE when the source of randomness yields none. */
static uint32_t new_id(struct turn_server *s)
{
    for (int i = 0; i < ID_ATTEMPTS; i++) {
        uint32_t random;
        s->fx.random_fill(s->fx.arg, (uint8_t *)&random, sizeof(random));
        const uint32_t base = random - random % s->instances;
        const uint32_t id = base + s->instance;
        if (id >= base && id != ID_NONE && turn_conn_find(&s->tables, id) == NULL) {
            return id;
        }
    }
    return ID_NONE;
}

bool turn_connection_owner(struct bytes message, uint32_t instances, uint32_t *out_instance)
{
    struct stun_msg msg;
    struct turn_req req;

    if (stun_msg_parse(message, &msg) < 0 || msg.class != STUN_REQUEST ||
        msg.method != STUN_CONNECTION_BIND) {
        return false;
    }
    turn_req_decode(&msg, &req);
    if (req.overrun || (req.has & HAS_CONNECTION_ID) == 0) {
        return false;
    }
    *out_instance = req.connection_id % (instances > 1 ? instances : 1);
    return true;
}

/* --- ends ---------------------------------------------------------------------------------------
 */

/* The record goes; the connection itself is somebody else's business. */
static void forget(struct turn_server *s, struct turn_conn *conn)
{
    if (conn->state != TURN_CONN_CONNECTING) {
        turn_tell(s, conn->alloc, TURN_EVENT_CONNECTION_CLOSED, &conn->peer.addr);
    }
    turn_conn_remove(&s->tables, conn);
}

static void end(struct turn_server *s, struct turn_conn *conn)
{
    s->fx.peer_close(s->fx.arg, conn->handle);
    forget(s, conn);
}

void turn_end_conns(struct turn_server *s, struct turn_alloc *alloc)
{
    LIST_EACH_SAFE (node, &alloc->conns) {
        end(s, CONTAINER_OF(node, struct turn_conn, node));
    }
}

void turn_expire_conns(struct turn_server *s, struct turn_alloc *alloc, uint64_t now_ms)
{
    LIST_EACH_SAFE (node, &alloc->conns) {
        struct turn_conn *conn = CONTAINER_OF(node, struct turn_conn, node);
        if (conn->expires_ms <= now_ms) {
            end(s, conn);
        }
    }
}

/* One that is being connected is judged when it is: its Connect wants an answer. */
void turn_recheck_conns(struct turn_server *s, struct turn_alloc *alloc)
{
    LIST_EACH_SAFE (node, &alloc->conns) {
        struct turn_conn *conn = CONTAINER_OF(node, struct turn_conn, node);
        if (conn->state != TURN_CONN_CONNECTING &&
            gate_check_addr(turn_alloc_realm(s, alloc)->gate, &conn->peer.addr) != GATE_OPEN) {
            turn_tell(s, alloc, TURN_EVENT_REVOKED, &conn->peer.addr);
            end(s, conn);
        }
    }
}

void turn_server_conn_closed(struct turn_server *s, struct turn_conn *conn)
{
    forget(s, conn);
}

void turn_server_conn_traffic(struct turn_server *s, struct turn_conn *conn, uint64_t to_peer_bytes,
                              uint64_t to_client_bytes)
{
    struct turn_traffic *traffic = &conn->alloc->traffic;

    traffic->to_peer_bytes += to_peer_bytes;
    traffic->to_client_bytes += to_client_bytes;
    turn_count(&s->count.to_peer_bytes, to_peer_bytes);
    turn_count(&s->count.to_client_bytes, to_client_bytes);
}

/* --- bandwidth ----------------------------------------------------------------------------------
 *
 * Of a stream nothing can be dropped: it is read less often, and TCP tells the sender. */

enum { US = 1000, PACE_MS = 20, PACE_MAX_MS = 1000 };

/* As a bucket one second deep, but into the red. */
static uint32_t pace_alloc(uint64_t rate, uint64_t *until_us, uint64_t bytes, uint64_t now_ms)
{
    const uint64_t now_us = now_ms * US;
    const uint64_t depth_us = UINT64_C(1000) * US;

    if (rate == 0) {
        return 0;
    }
    if (*until_us + depth_us < now_us) {
        *until_us = now_us - depth_us;
    }
    *until_us += bytes * US * US / rate;
    const uint64_t left_ms = *until_us > now_us ? (*until_us - now_us) / US + 1 : 0;
    return left_ms < PACE_MAX_MS ? (uint32_t)left_ms : PACE_MAX_MS;
}

static uint32_t pace_server(struct turn_server *s, int way, uint64_t bytes, uint64_t now_ms)
{
    uint64_t *owed = &s->owed[way];

    if (!s->config->limit_capacity) {
        *owed = 0;
        return 0;
    }
    *owed += bytes;
    if (s->lease[way] < *owed) {
        const uint64_t want = *owed - s->lease[way];
        s->lease[way] += s->fx.capacity_lease(
            s->fx.arg, way, want < UINT32_MAX ? (uint32_t)want : UINT32_MAX, now_ms);
    }
    const uint64_t paid = s->lease[way] < *owed ? s->lease[way] : *owed;
    s->lease[way] -= paid;
    *owed -= paid;
    return *owed > 0 ? PACE_MS : 0;
}

uint32_t turn_server_conn_pace(struct turn_server *s, struct turn_conn *conn, bool to_peer,
                               uint64_t bytes, uint64_t now_ms)
{
    const int way = to_peer ? 0 : 1;
    const uint32_t own = pace_alloc(turn_alloc_realm(s, conn->alloc)->max_bps,
                                    &conn->alloc->conns_until_us[way], bytes, now_ms);
    const uint32_t all = pace_server(s, way, bytes, now_ms);

    return own > all ? own : all;
}

/* --- Connect (RFC 6062 section 5.2) -------------------------------------------------------------
 */

_Static_assert((int)CREDENTIAL_MAC_MAX >= (int)CRYPTO_SHA256_LEN, "any key may be kept");

/* Keep what the answer needs. */
static void keep_request(const struct turn_call *call, struct turn_conn_request *request)
{
    request->has = call->req->has & (HAS_FINGERPRINT | HAS_TRANSMIT_COUNTER);
    request->transmit_count = call->req->transmit_count;
    request->integrity = (uint8_t)call->integrity;
    request->key_len = (uint8_t)call->key.n;
    memcpy(request->tid, call->req->msg.tid, STUN_TID);
    if (call->key.n > 0) {
        memcpy(request->key, call->key.p, call->key.n);
    }
}

/* Syntax (400), family (443), policy (403), then what is there already (446). */
static enum stun_code judge_connect(struct turn_call *call)
{
    const struct turn_req *req = call->req;

    if (call->alloc->protocol != NET_TCP || (req->has & HAS_XOR_PEER_ADDRESS) == 0 ||
        req->peer.port == 0) {
        return STUN_BAD_REQUEST;
    }
    const enum stun_code code = turn_judge_peer(call, &req->peer, true);
    if (code != STUN_OK) {
        return code;
    }
    return turn_conn_by_peer(&call->server->tables, call->alloc, &req->peer) != NULL
               ? STUN_CONNECTION_EXISTS
               : STUN_OK;
}

enum stun_code turn_on_connect(struct turn_call *call)
{
    struct turn_server *s = call->server;
    const struct net_addr *peer = &call->req->peer;
    const enum stun_code code = judge_connect(call);
    if (code != STUN_OK) {
        return code;
    }
    const uint32_t id = new_id(s);
    struct turn_conn *conn = id == ID_NONE ? NULL
                                           : turn_conn_new(&s->tables, call->alloc, id, peer,
                                                           s->config->max_connections);
    if (conn == NULL) {
        return STUN_INSUFFICIENT_CAPACITY;
    }
    keep_request(call, &conn->request);
    const struct turn_relay *relay = turn_alloc_relay(call->alloc, peer->family);
    const int err = s->fx.peer_connect(s->fx.arg, relay->port, peer, conn, &conn->handle);
    if (err < 0) {
        turn_conn_remove(&s->tables, conn);
        return err == -ENOSPC ? STUN_INSUFFICIENT_CAPACITY : STUN_CONNECTION_FAILED;
    }
    call->later = true;
    return STUN_OK;
}

/* Make the Connect that `conn` began once more into a call, as far as its answer needs it. */
static void restore_call(struct turn_call *call, struct turn_req *req, struct turn_conn *conn)
{
    const struct turn_conn_request *request = &conn->request;
    const struct turn_alloc *alloc = conn->alloc;

    memset(req, 0, sizeof(*req));
    req->has = request->has | HAS_XOR_PEER_ADDRESS;
    req->transmit_count = request->transmit_count;
    req->peer = conn->peer.addr;
    req->msg.method = STUN_CONNECT;
    req->msg.tid = request->tid;
    call->tuple = alloc->tuple;
    call->alloc = conn->alloc;
    turn_realm_choose(call);
    call->integrity = (enum turn_integrity)request->integrity;
    call->proven = call->integrity != TURN_NO_INTEGRITY;
    call->key = (struct bytes){request->key, request->key_len};
    turn_take_user(call, alloc);
    call->connection_id = conn->id;
}

/* The gate may have changed since the Connect was judged. */
static enum stun_code judge_connected(struct turn_call *call, const struct turn_conn *conn,
                                      bool success)
{
    if (!success) {
        return STUN_CONNECTION_FAILED;
    }
    call->gate = gate_check_addr(call->realm->gate, &conn->peer.addr);
    return call->gate == GATE_OPEN ? STUN_OK : STUN_FORBIDDEN;
}

static enum turn_verdict answer_connect(struct turn_server *s, struct turn_conn *conn, bool success,
                                        struct pkt *pkt, uint64_t now_ms)
{
    struct turn_call call;
    struct turn_req req;

    turn_call_init(&call, s, pkt, &req, now_ms);
    restore_call(&call, &req, conn);
    turn_to_client(conn->alloc, pkt);
    const enum stun_code code = judge_connected(&call, conn, success);
    if (code == STUN_OK) {
        turn_conn_wait(&s->tables, conn, now_ms + BIND_MS);
        turn_tell(s, conn->alloc, TURN_EVENT_CONNECTED, &conn->peer.addr);
    }
    const enum turn_verdict verdict = turn_reply(&call, code);
    if (code == STUN_OK) {
        secret_wipe(&conn->request, sizeof(conn->request));
    } else if (success) {
        end(s, conn);
    } else {
        forget(s, conn);
    }
    return verdict;
}

enum turn_verdict turn_server_connected(struct turn_server *s, struct turn_conn *conn, bool success,
                                        struct pkt *pkt, uint64_t now_ms)
{
    struct turn_alloc *alloc = conn->alloc;
    const struct turn_relay *relay = turn_alloc_relay(alloc, conn->peer.addr.family);

    s->now_ms = now_ms;
    if (turn_client_away(alloc)) { /* nobody would learn its CONNECTION-ID */
        if (success) {
            end(s, conn);
        } else {
            forget(s, conn);
        }
        return turn_drop(s, DROP_CLIENT_AWAY);
    }
    if (relay->expires_ms <= now_ms) { /* the tick has not come to it yet */
        if (!success) {
            forget(s, conn);
        }
        (void)turn_expire(s, alloc, now_ms);
        return turn_drop(s, DROP_NO_ALLOCATION);
    }
    return answer_connect(s, conn, success, pkt, now_ms);
}

/* --- ConnectionAttempt (RFC 6062 section 5.3) ---------------------------------------------------
 */

static enum turn_verdict write_attempt(struct turn_server *s, const struct turn_conn *conn,
                                       struct pkt *pkt)
{
    uint8_t tid[STUN_TID];
    struct stun_out out;

    s->fx.random_fill(s->fx.arg, tid, sizeof(tid));
    pkt->data = pkt->buf + PKT_HEADROOM;
    stun_out_begin(&out, pkt->data, pkt->cap, stun_type(STUN_CONNECTION_ATTEMPT, STUN_INDICATION),
                   tid);
    stun_out_xor_addr(&out, STUN_XOR_PEER_ADDRESS, &conn->peer.addr);
    stun_out_u32(&out, STUN_CONNECTION_ID, conn->id);
    const int len = stun_out_end(&out);
    if (len < 0) {
        return turn_drop(s, DROP_TOO_BIG);
    }
    pkt->len = (uint32_t)len;
    turn_to_client(conn->alloc, pkt);
    return TURN_TO_CLIENT;
}

/* DROP_COUNT when `peer` may connect to `relay`. */
static enum drop judge_accepted(const struct turn_server *s, const struct turn_relay *relay,
                                const struct net_addr *peer, uint64_t now_ms)
{
    if (relay->expires_ms <= now_ms) {
        return DROP_NO_ALLOCATION;
    }
    if (turn_client_away(relay->alloc)) { /* nobody can be told of it */
        return DROP_CLIENT_AWAY;
    }
    if (turn_perm_find(&s->tables, relay->alloc, &peer->ip, now_ms) == NULL) {
        return DROP_NO_PERMISSION;
    }
    const struct gate *gate = turn_alloc_realm(s, relay->alloc)->gate;
    return gate_check_addr(gate, peer) == GATE_OPEN ? DROP_COUNT : DROP_PEER_DENIED;
}

enum turn_verdict turn_server_peer_accepted(struct turn_server *s, struct turn_relay *relay,
                                            const struct net_addr *peer, void *handle,
                                            struct pkt *pkt, struct turn_conn **out_conn,
                                            uint64_t now_ms)
{
    struct turn_alloc *alloc = relay->alloc;
    const enum drop why = judge_accepted(s, relay, peer, now_ms);

    s->now_ms = now_ms;
    if (why != DROP_COUNT) {
        return turn_drop(s, why);
    }
    turn_expire_conns(s, alloc, now_ms);
    const uint32_t id = new_id(s);
    struct turn_conn *conn =
        id == ID_NONE ? NULL
                      : turn_conn_new(&s->tables, alloc, id, peer, s->config->max_connections);
    if (conn == NULL) {
        return turn_drop(s, DROP_CONNECTIONS);
    }
    const enum turn_verdict verdict = write_attempt(s, conn, pkt);
    if (verdict != TURN_TO_CLIENT) {
        turn_conn_remove(&s->tables, conn);
        return verdict;
    }
    conn->handle = handle;
    turn_conn_wait(&s->tables, conn, now_ms + BIND_MS);
    turn_tell(s, alloc, TURN_EVENT_CONNECTED, peer);
    *out_conn = conn;
    return verdict;
}

/* --- ConnectionBind (RFC 6062 section 5.4) ------------------------------------------------------
 */

struct turn_conn *turn_conn_named(struct turn_server *s, const struct turn_req *req,
                                  uint64_t now_ms)
{
    if (req->msg.method != STUN_CONNECTION_BIND || (req->has & HAS_CONNECTION_ID) == 0) {
        return NULL;
    }
    struct turn_conn *conn = turn_conn_find(&s->tables, req->connection_id);
    if (conn != NULL && conn->alloc->timer.deadline_ms <= now_ms) {
        (void)turn_expire(s, conn->alloc, now_ms); /* the tick has not come to it yet */
        conn = turn_conn_find(&s->tables, req->connection_id);
    }
    return conn;
}

enum stun_code turn_on_connection_bind(struct turn_call *call)
{
    const struct turn_conn *conn = call->conn;

    /* On a connection that has an allocation none is looked for. */
    if (!net_is_stream(call->tuple.protocol) || conn == NULL || conn->state != TURN_CONN_WAITING) {
        return STUN_BAD_REQUEST;
    }
    return turn_is_owner(call, conn->alloc) ? STUN_OK : STUN_WRONG_CREDENTIALS;
}

void turn_bind_conn(struct turn_server *s, struct turn_conn *conn, void *listener)
{
    conn->state = TURN_CONN_BOUND;
    conn->expires_ms = UINT64_MAX;
    s->fx.peer_bind(s->fx.arg, conn->handle, listener);
}

uint64_t turn_conn_user_hash(const struct turn_server *s, const struct turn_conn *conn)
{
    const struct bytes user = turn_alloc_quota_user(conn->alloc);

    return hash_bytes(&s->tables.by_tuple.key, user.p, user.n);
}

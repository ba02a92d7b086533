/* SPDX-License-Identifier: Apache-2.0 */
/* Peer data connections (RFC 6062): found by CONNECTION-ID, and by the peer's transport address, of
 * which an allocation has one connection at most (RFC 6062 section 3). */
#include "base/secret.h"
#include "turn/alloc.h"

_Static_assert(sizeof(struct turn_conn_peer) == 32, "turn_conn_peer is hashed as it lies");

struct turn_conn *turn_conn_find(const struct turn_tables *t, uint32_t id)
{
    return table_find(&t->conns, &id);
}

struct turn_conn *turn_conn_by_peer(const struct turn_tables *t, const struct turn_alloc *alloc,
                                    const struct net_addr *peer)
{
    const struct turn_conn_peer key = {alloc->session, *peer};

    return table_find(&t->conn_peers, &key);
}

static int insert(struct turn_tables *t, struct turn_conn *conn)
{
    const int err = table_insert(&t->conns, conn);
    if (err < 0) {
        return err;
    }
    const int second = table_insert(&t->conn_peers, conn);
    if (second < 0) {
        (void)table_remove(&t->conns, &conn->id);
    }
    return second;
}

struct turn_conn *turn_conn_new(struct turn_tables *t, struct turn_alloc *alloc, uint32_t id,
                                const struct net_addr *peer, uint32_t max)
{
    const bool shares = alloc->conn_count >= TURN_SURE_CONNS;

    if (alloc->conn_count >= max || (shares && t->conn_shared >= t->conn_pool)) {
        return NULL;
    }
    struct turn_conn *conn = slab_get(t->conn_slab);
    if (conn == NULL) {
        return NULL;
    }
    conn->id = id;
    conn->state = TURN_CONN_CONNECTING;
    conn->peer = (struct turn_conn_peer){alloc->session, *peer};
    conn->alloc = alloc;
    conn->expires_ms = UINT64_MAX;
    if (insert(t, conn) < 0) {
        slab_put(t->conn_slab, conn);
        return NULL;
    }
    list_push(&alloc->conns, &conn->node);
    alloc->conn_count++;
    t->conn_shared += shares;
    return conn;
}

void turn_conn_wait(struct turn_tables *t, struct turn_conn *conn, uint64_t expires_ms)
{
    conn->state = TURN_CONN_WAITING;
    conn->expires_ms = expires_ms;
    turn_alloc_wake_by(t, conn->alloc, expires_ms);
}

void turn_conn_remove(struct turn_tables *t, struct turn_conn *conn)
{
    struct turn_alloc *alloc = conn->alloc;

    list_remove(&conn->node);
    (void)table_remove(&t->conns, &conn->id);
    (void)table_remove(&t->conn_peers, &conn->peer);
    secret_wipe(&conn->request, sizeof(conn->request));
    slab_put(t->conn_slab, conn);
    alloc->conn_count--;
    t->conn_shared -= alloc->conn_count >= TURN_SURE_CONNS;
}

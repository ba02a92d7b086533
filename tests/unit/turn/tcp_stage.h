/* SPDX-License-Identifier: Apache-2.0 */
/* A stage for RFC 6062: the client `c` controls over TCP, `data` is another connection of his, for
 * ConnectionBind.  Peers exist as effects only. */
#pragma once

#include <stdlib.h>

#include "stage.h"
#include "turn/turn_int.h"

struct tcp_stage {
    struct stage s; /* first: the stage's own functions work on it */
    struct client data;
    struct net_addr relayed;
    struct net_addr peer;
};

static inline int tcp_stage_open(void **state)
{
    struct tcp_stage *t = calloc(1, sizeof(*t));

    if (t == NULL) {
        return -1;
    }
    world_init(&t->s.w, 6062);
    if (world_start(&t->s.w) < 0) {
        return -1;
    }
    (void)world_add_user(&t->s.w, "user", "pass");
    (void)world_add_user(&t->s.w, "other", "word");
    client_init(&t->s.c, &t->s.w, "203.0.113.5:4000", "user", "pass");
    client_init(&t->data, &t->s.w, "203.0.113.5:4001", "user", "pass");
    t->s.c.transport = NET_TCP;
    t->data.transport = NET_TCP;
    t->peer = world_addr("198.51.100.7:80");
    *state = t;
    return 0;
}

/* Whatever happened, no connection that the core knows of outlives the server. */
static inline int tcp_stage_close(void **state)
{
    struct tcp_stage *t = *state;
    int left = 0;

    world_stop(&t->s.w);
    for (uint32_t i = 0; i < WORLD_MAX_CONNS; i++) {
        left += t->s.w.conns[i].conn != NULL;
    }
    left += (int)t->s.w.open_sockets;
    free(t);
    return left == 0 ? 0 : -1;
}

static inline void tcp_stage_allocate(struct tcp_stage *t)
{
    const struct reply r = client_allocate_tcp(&t->s.c);

    assert_int_equal(r.verdict, TURN_TO_CLIENT);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.relayed_count, 1);
    t->relayed = r.relayed[0];
}

/* The verdict's packet, as `c` reads it. */
static inline struct reply tcp_stage_read(struct client *c, enum turn_verdict verdict)
{
    return client_read(c, verdict, c->world->pkt.data, c->world->pkt.len);
}

/* A Connect that is under way. */
static inline struct world_conn *tcp_stage_begin(struct tcp_stage *t, const struct net_addr *peer)
{
    assert_int_equal(client_connect(&t->s.c, peer).verdict, TURN_LATER);
    struct world_conn *conn = world_conn(&t->s.w, peer);
    assert_non_null(conn);
    assert_true(conn->connecting && !conn->closed);
    return conn;
}

/* A Connect that succeeds; the CONNECTION-ID. */
static inline uint32_t tcp_stage_connect(struct tcp_stage *t, const struct net_addr *peer,
                                         struct world_conn **out_conn)
{
    struct world_conn *conn = tcp_stage_begin(t, peer);
    const struct reply r = tcp_stage_read(&t->s.c, world_connected(&t->s.w, conn, true));

    assert_int_equal(r.code, 0);
    assert_int_not_equal(r.connection_id, 0);
    *out_conn = conn;
    return r.connection_id;
}

/* Nothing of any connection is left in the core. */
static inline void tcp_stage_no_conns(const struct tcp_stage *t)
{
    const struct turn_tables *tables = &t->s.w.server->tables;

    assert_int_equal(tables->conns.count + tables->conn_peers.count, 0);
    assert_int_equal(slab_count(tables->conn_slab), 0);
    assert_int_equal(tables->conn_shared, 0);
}

#define TCP_TEST(f) cmocka_unit_test_setup_teardown(f, tcp_stage_open, tcp_stage_close)

/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/proxied.h"

#include <errno.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/pkt.h"
#include "base/prefix_set.h"
#include "base/slab.h"
#include "base/table.h"
#include "wire/proxy_header.h"

enum { FORGET_PER_CALL = 2 }; /* idle entries ended by the way: more than a call can add */

/* What tells clients apart: the same addresses as the core's. */
struct proxied_key {
    struct net_addr client;
    struct net_addr server;
};

_Static_assert(sizeof(struct proxied_key) == 48, "hashed as it lies");

/* A datagram on its way between the balancer and us. */
struct way {
    struct net_addr remote;
    struct net_addr local;
    void *port;
};

struct proxied_client {
    struct proxied_key key; /* zero when free */
    struct proxied *owner;
    struct way way;   /* of the last datagram that came */
    struct list node; /* in proxied.order, longest unused first; in none when kept; or in free */
    uint64_t used_ms;
    bool kept;
};

/* Entries never go back to the slab: whoever still holds one finds an entry, if not his. */
struct proxied {
    struct table table;
    struct slab *slab;
    struct list order;
    struct list free;
    uint64_t now_ms;
};

struct proxied *proxied_new(uint32_t max_clients, struct hash_key key)
{
    struct proxied *p = mem_new(1, sizeof(*p));

    if (p == NULL) {
        return NULL;
    }
    p->slab = slab_new(sizeof(struct proxied_client), max_clients);
    if (p->slab == NULL) {
        free(p);
        return NULL;
    }
    table_init(&p->table, offsetof(struct proxied_client, key), sizeof(struct proxied_key), key);
    list_init(&p->order);
    list_init(&p->free);
    return p;
}

void proxied_free(struct proxied *proxied)
{
    if (proxied == NULL) {
        return;
    }
    table_fini(&proxied->table);
    slab_free(proxied->slab);
    free(proxied);
}

static void client_end(struct proxied *p, struct proxied_client *c)
{
    (void)table_remove(&p->table, &c->key);
    list_remove(&c->node);
    list_push(&p->free, &c->node);
    c->key = (struct proxied_key){.client = {.family = NET_NONE}};
}

static struct proxied_client *longest_unused(const struct proxied *p)
{
    return list_empty(&p->order) ? NULL : CONTAINER_OF(p->order.next, struct proxied_client, node);
}

static void forget_idle(struct proxied *p)
{
    for (int i = 0; i < FORGET_PER_CALL; i++) {
        struct proxied_client *c = longest_unused(p);
        if (c == NULL || p->now_ms - c->used_ms < PROXIED_IDLE_MS) {
            return;
        }
        client_end(p, c);
    }
}

/* An entry that belongs to nobody.  0; -ENOSPC, -ENOMEM. */
static int entry_take(struct proxied *p, struct proxied_client **out)
{
    struct list *node = list_shift(&p->free);
    struct proxied_client *c =
        node == NULL ? slab_get(p->slab) : CONTAINER_OF(node, struct proxied_client, node);

    if (c == NULL) { /* the oldest gives way */
        c = longest_unused(p);
        if (c == NULL) {
            return p->table.count > 0 ? -ENOSPC : -ENOMEM;
        }
        client_end(p, c);
        list_remove(&c->node);
    }
    *out = c;
    return 0;
}

/* Find or make the client's entry.  0; -ENOSPC, -ENOMEM. */
static int client_of(struct proxied *p, const struct proxied_key *key, struct proxied_client **out)
{
    struct proxied_client *c = table_find(&p->table, key);

    if (c == NULL) {
        const int err = entry_take(p, &c);
        if (err < 0) {
            return err;
        }
        *c = (struct proxied_client){.key = *key, .owner = p};
        list_init(&c->node);
        if (table_insert(&p->table, c) < 0) {
            c->key = (struct proxied_key){.client = {.family = NET_NONE}};
            list_push(&p->free, &c->node);
            return -ENOMEM;
        }
    }
    *out = c;
    return 0;
}

static void client_used(struct proxied *p, struct proxied_client *c)
{
    c->used_ms = p->now_ms;
    if (!c->kept) {
        list_remove(&c->node);
        list_push(&p->order, &c->node);
    }
}

/* The header of a datagram is whole, of version 2 (the only one that begins with CR) and speaks of
 * datagrams, or of no client.  0 or -EBADMSG. */
static int datagram_header(const struct pkt *pkt, struct proxy_header *out)
{
    const struct bytes in = {pkt->data, pkt->len};

    if (in.n < PROXY_V2_HEAD || in.p[0] != '\r' || proxy_header_decode(in, out) < 0 ||
        (!out->local && !out->datagram)) {
        return -EBADMSG;
    }
    return 0;
}

int proxied_in(struct proxied *proxied, const struct prefix_set *from, struct pkt *pkt,
               uint64_t now_ms)
{
    struct proxy_header header;
    struct proxied_client *c;

    if (from == NULL || prefix_set_find(from, &pkt->remote.ip) == 0) {
        return -EPERM;
    }
    int err = datagram_header(pkt, &header);
    if (err < 0) {
        return err;
    }
    proxied->now_ms = now_ms;
    forget_idle(proxied);
    const struct proxied_key key = {
        .client = header.local ? pkt->remote : header.source,
        .server = header.local ? pkt->local : header.destination,
    };
    err = client_of(proxied, &key, &c);
    if (err < 0) {
        return err;
    }
    client_used(proxied, c);
    c->way = (struct way){pkt->remote, pkt->local, pkt->port};
    pkt_strip(pkt, header.len, pkt->len - header.len);
    pkt->remote = key.client;
    pkt->local = key.server;
    pkt->port = c;
    return 0;
}

bool proxied_out(struct proxied_client *client, struct pkt *pkt)
{
    if (!net_addr_equal(&client->key.client, &pkt->remote) ||
        !net_addr_equal(&client->key.server, &pkt->local)) {
        const struct proxied_key key = {pkt->remote, pkt->local};
        client = table_find(&client->owner->table, &key); /* it may have got another since */
        if (client == NULL) {
            return false;
        }
    }
    pkt->remote = client->way.remote;
    pkt->local = client->way.local;
    pkt->port = client->way.port;
    return true;
}

void proxied_keep(struct proxied *proxied, const struct net_addr *client,
                  const struct net_addr *server, bool keep)
{
    struct proxied_client *c = proxied_find(proxied, client, server);

    if (c == NULL || c->kept == keep) {
        return;
    }
    c->kept = keep;
    list_remove(&c->node);
    if (!keep) {
        client_used(proxied, c); /* it was in use until now */
    }
}

/* --- travel --------------------------------------------------------------------------------------
 */

struct proxied_client *proxied_find(const struct proxied *proxied, const struct net_addr *client,
                                    const struct net_addr *server)
{
    const struct proxied_key key = {*client, *server};

    return table_find(&proxied->table, &key);
}

void proxied_route_of(const struct proxied_client *client, struct proxied_route *out)
{
    *out = (struct proxied_route){
        .remote = client->way.remote,
        .local = client->way.local,
        .client = client->key.client,
        .server = client->key.server,
        .used_ms = client->used_ms,
    };
}

void *proxied_port(const struct proxied_client *client)
{
    return client->way.port;
}

struct proxied_client *proxied_attach(struct proxied *proxied, const struct net_addr *client,
                                      const struct net_addr *server,
                                      const struct proxied_route *route, void *port,
                                      uint64_t now_ms)
{
    const struct proxied_key key = {*client, *server};
    struct proxied_client *c = table_find(&proxied->table, &key);

    if (!net_addr_equal(&route->client, client) || !net_addr_equal(&route->server, server)) {
        return NULL;
    }
    if (c != NULL && c->used_ms > route->used_ms) {
        return c;
    }
    if (client_of(proxied, &key, &c) < 0) {
        return NULL;
    }
    proxied->now_ms = now_ms;
    client_used(proxied, c);
    c->way = (struct way){route->remote, route->local, port};
    return c;
}

void proxied_forget(struct proxied *proxied, const struct net_addr *client,
                    const struct net_addr *server)
{
    struct proxied_client *c = proxied_find(proxied, client, server);

    if (c != NULL) {
        client_end(proxied, c);
    }
}

/* --- questions -----------------------------------------------------------------------------------
 */

uint32_t proxied_count(const struct proxied *proxied)
{
    return proxied->table.count;
}

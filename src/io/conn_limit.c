/* SPDX-License-Identifier: Apache-2.0 */
#include "io/conn_limit.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/slab.h"
#include "base/table.h"

/* Where connections come from: an IPv4 address, or a /64, which is what one IPv6 host has. */
struct source {
    struct net_ip net;
    uint32_t count;
};

struct conn_limit {
    pthread_mutex_t lock;
    struct conn_limits limits;
    uint32_t max_sources;
    uint32_t total;
    uint32_t tls;
    struct table sources;
    struct slab *slab;
};

struct conn_limit *conn_limit_new(const struct conn_limits *limits, uint32_t max_sources,
                                  struct hash_key key)
{
    struct conn_limit *l = mem_new(1, sizeof(*l));

    if (l == NULL) {
        return NULL;
    }
    assert(max_sources > 0 && max_sources < UINT32_MAX);
    l->slab = slab_new(sizeof(struct source), max_sources + 1); /* one more while it moves */
    if (l->slab == NULL) {
        goto free_limit;
    }
    if (pthread_mutex_init(&l->lock, NULL) != 0) {
        goto free_slab;
    }
    table_init(&l->sources, offsetof(struct source, net), sizeof(struct net_ip), key);
    l->limits = *limits;
    l->max_sources = max_sources;
    return l;

free_slab:
    slab_free(l->slab);
free_limit:
    free(l);
    return NULL;
}

void conn_limit_free(struct conn_limit *limit)
{
    if (limit == NULL) {
        return;
    }
    (void)pthread_mutex_destroy(&limit->lock);
    table_fini(&limit->sources);
    slab_free(limit->slab);
    free(limit);
}

static void lock(struct conn_limit *l)
{
    const int err = pthread_mutex_lock(&l->lock);
    assert(err == 0);
}

static void unlock(struct conn_limit *l)
{
    const int err = pthread_mutex_unlock(&l->lock);
    assert(err == 0);
}

void conn_limit_set(struct conn_limit *limit, const struct conn_limits *limits)
{
    lock(limit);
    limit->limits = *limits;
    unlock(limit);
}

static struct net_ip net_of(const struct net_ip *ip)
{
    struct net_ip net = *ip;

    if (!net_ip_is_v4(ip)) {
        memset(net.b + 8, 0, sizeof(net.b) - 8);
    }
    return net;
}

static struct source *source_new(struct conn_limit *l, const struct net_ip *net)
{
    struct source *s = slab_get(l->slab);

    if (s != NULL) {
        s->net = *net;
        if (table_insert(&l->sources, s) < 0) {
            slab_put(l->slab, s);
            s = NULL;
        }
    }
    return s;
}

/* How many there may be from `net`; 0: any number. */
static uint32_t most_of(const struct conn_limit *l, const struct net_ip *net)
{
    static const struct net_ip nobody;

    if (net_ip_equal(net, &nobody)) {
        return 0;
    }
    return net_ip_is_v4(net) ? l->limits.per_ipv4 : l->limits.per_ipv6_net;
}

/* Count one more from `net`. */
static enum conn_verdict source_take(struct conn_limit *l, const struct net_ip *net)
{
    const uint32_t most = most_of(l, net);
    struct source *s = table_find(&l->sources, net);

    if (s != NULL && most != 0 && s->count >= most) {
        return CONN_SOURCE_REACHED;
    }
    if (s == NULL) {
        s = source_new(l, net);
        if (s == NULL) {
            return CONN_TOTAL_REACHED; /* no memory: the total was too high for this machine */
        }
    }
    s->count++;
    return CONN_ADMITTED;
}

static void source_give(struct conn_limit *l, const struct net_ip *net)
{
    struct source *s = table_find(&l->sources, net);

    assert(s != NULL && s->count > 0);
    s->count--;
    if (s->count == 0) {
        (void)table_remove(&l->sources, net);
        slab_put(l->slab, s);
    }
}

enum conn_verdict conn_limit_take(struct conn_limit *limit, const struct net_ip *source)
{
    const struct net_ip net = net_of(source);
    enum conn_verdict verdict = CONN_TOTAL_REACHED;

    lock(limit);
    if (limit->total < limit->limits.total && limit->total < limit->max_sources) {
        verdict = source_take(limit, &net);
    }
    if (verdict == CONN_ADMITTED) {
        limit->total++;
    }
    unlock(limit);
    return verdict;
}

void conn_limit_give(struct conn_limit *limit, const struct net_ip *source)
{
    const struct net_ip net = net_of(source);

    lock(limit);
    assert(limit->total > 0);
    limit->total--;
    source_give(limit, &net);
    unlock(limit);
}

enum conn_verdict conn_limit_take_tls(struct conn_limit *limit)
{
    enum conn_verdict verdict = CONN_TLS_REACHED;

    lock(limit);
    if (limit->tls < limit->limits.tls) {
        limit->tls++;
        verdict = CONN_ADMITTED;
    }
    unlock(limit);
    return verdict;
}

void conn_limit_give_tls(struct conn_limit *limit)
{
    lock(limit);
    assert(limit->tls > 0);
    limit->tls--;
    unlock(limit);
}

enum conn_verdict conn_limit_move(struct conn_limit *limit, const struct net_ip *was,
                                  const struct net_ip *source)
{
    const struct net_ip from = net_of(was);
    const struct net_ip to = net_of(source);
    enum conn_verdict verdict = CONN_ADMITTED;

    if (net_ip_equal(&from, &to)) {
        return verdict;
    }
    lock(limit);
    verdict = source_take(limit, &to);
    if (verdict == CONN_ADMITTED) {
        source_give(limit, &from);
    }
    unlock(limit);
    return verdict;
}

uint32_t conn_limit_count(struct conn_limit *limit)
{
    lock(limit);
    const uint32_t total = limit->total;
    unlock(limit);
    return total;
}

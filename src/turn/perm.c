/* SPDX-License-Identifier: Apache-2.0 */
/* Permissions (RFC 8656 section 9): per allocation and IP address; ports are not considered. */
#include "turn/alloc.h"

struct turn_perm *turn_perm_find(const struct turn_tables *t, const struct turn_alloc *alloc,
                                 const struct net_ip *ip, uint64_t now_ms)
{
    const struct turn_perm_key key = {alloc->session, *ip};
    struct turn_perm *perm = table_find(&t->perms, &key);

    return perm != NULL && perm->expires_ms > now_ms ? perm : NULL;
}

struct turn_perm *turn_perm_again(const struct turn_tables *t, struct turn_alloc *alloc,
                                  const struct net_ip *ip, uint64_t now_ms)
{
    struct turn_perm *perm = alloc->last_perm;

    if (perm != NULL && perm->expires_ms > now_ms && net_ip_equal(&perm->key.ip, ip)) {
        return perm;
    }
    perm = turn_perm_find(t, alloc, ip, now_ms);
    if (perm != NULL) {
        alloc->last_perm = perm;
    }
    return perm;
}

struct turn_perm *turn_perm_get(struct turn_tables *t, struct turn_alloc *alloc,
                                const struct net_ip *ip, uint32_t max, uint64_t now_ms)
{
    const struct turn_perm_key key = {alloc->session, *ip};
    struct turn_perm *perm = table_find(&t->perms, &key);
    if (perm != NULL) {
        return perm;
    }
    const bool shares = alloc->perm_count >= TURN_SURE_PERMS;
    if (alloc->perm_count >= max || (shares && t->perm_shared >= t->perm_pool)) {
        return NULL;
    }
    perm = slab_get(t->perm_slab);
    if (perm == NULL) {
        return NULL;
    }
    perm->key = key;
    perm->expires_ms = now_ms; /* not alive yet */
    if (table_insert(&t->perms, perm) < 0) {
        slab_put(t->perm_slab, perm);
        return NULL;
    }
    list_push(&alloc->perms, &perm->node);
    alloc->perm_count++;
    t->perm_shared += shares;
    return perm;
}

void turn_perm_refresh(struct turn_tables *t, struct turn_alloc *alloc, struct turn_perm *perm,
                       uint64_t expires_ms)
{
    perm->expires_ms = expires_ms;
    turn_alloc_wake_by(t, alloc, expires_ms);
}

void turn_perm_remove(struct turn_tables *t, struct turn_alloc *alloc, struct turn_perm *perm)
{
    if (alloc->last_perm == perm) {
        alloc->last_perm = NULL;
    }
    list_remove(&perm->node);
    (void)table_remove(&t->perms, &perm->key);
    slab_put(t->perm_slab, perm);
    alloc->perm_count--;
    t->perm_shared -= alloc->perm_count >= TURN_SURE_PERMS;
}

void turn_perm_sweep(struct turn_tables *t, struct turn_alloc *alloc, uint64_t now_ms)
{
    LIST_EACH_SAFE (node, &alloc->perms) {
        struct turn_perm *perm = CONTAINER_OF(node, struct turn_perm, node);
        if (perm->expires_ms <= now_ms) {
            turn_perm_remove(t, alloc, perm);
        }
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/quotas.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "turn/quota.h"
#include "turn/turn_config.h"

struct quotas {
    pthread_mutex_t lock;
    uint32_t most;
    uint32_t total;
    struct quota_limits limits[TURN_MAX_REALMS];
    struct quota *realm[TURN_MAX_REALMS]; /* made when the first allocation is counted */
};

struct quotas *quotas_new(uint32_t most)
{
    assert(most > 0);
    struct quotas *quotas = mem_new(1, sizeof(*quotas));
    if (quotas == NULL) {
        return NULL;
    }
    (void)pthread_mutex_init(&quotas->lock, NULL);
    quotas->most = most;
    return quotas;
}

void quotas_free(struct quotas *quotas)
{
    if (quotas == NULL) {
        return;
    }
    for (uint32_t i = 0; i < TURN_MAX_REALMS; i++) {
        quota_free(quotas->realm[i]);
    }
    (void)pthread_mutex_destroy(&quotas->lock);
    free(quotas);
}

void quotas_set_limits(struct quotas *quotas, const struct quota_limits *limits, uint32_t count)
{
    assert(count <= TURN_MAX_REALMS);
    (void)pthread_mutex_lock(&quotas->lock);
    for (uint32_t i = 0; i < count; i++) {
        quotas->limits[i] = limits[i];
        if (quotas->realm[i] != NULL) {
            quota_set_limits(quotas->realm[i], limits[i].per_user, limits[i].total);
        }
    }
    (void)pthread_mutex_unlock(&quotas->lock);
}

static int take(struct quotas *quotas, uint32_t realm, struct bytes user)
{
    const struct quota_limits *limits = &quotas->limits[realm];
    struct quota **quota = &quotas->realm[realm];

    if (*quota == NULL) {
        *quota = quota_new(limits->per_user, limits->total, quotas->most);
    }
    if (*quota == NULL) {
        return -ENOMEM;
    }
    const int err = quota_take(*quota, user);
    if (err < 0) {
        return err; /* the user's own limit is told first: it is the user who can act */
    }
    if (quotas->total >= quotas->most) {
        quota_give(*quota, user);
        return -ENOSPC;
    }
    quotas->total++;
    return 0;
}

int quotas_take(struct quotas *quotas, uint32_t realm, struct bytes user)
{
    assert(realm < TURN_MAX_REALMS);
    (void)pthread_mutex_lock(&quotas->lock);
    const int err = take(quotas, realm, user);
    (void)pthread_mutex_unlock(&quotas->lock);
    return err;
}

void quotas_give(struct quotas *quotas, uint32_t realm, struct bytes user)
{
    assert(realm < TURN_MAX_REALMS);
    (void)pthread_mutex_lock(&quotas->lock);
    assert(quotas->realm[realm] != NULL); /* it was taken */
    quota_give(quotas->realm[realm], user);
    quotas->total--;
    (void)pthread_mutex_unlock(&quotas->lock);
}

uint32_t quotas_total(struct quotas *quotas)
{
    (void)pthread_mutex_lock(&quotas->lock);
    const uint32_t total = quotas->total;
    (void)pthread_mutex_unlock(&quotas->lock);
    return total;
}

uint32_t quotas_of_realm(struct quotas *quotas, uint32_t realm)
{
    (void)pthread_mutex_lock(&quotas->lock);
    const struct quota *quota = quotas->realm[realm];
    const uint32_t total = quota != NULL ? quota_total(quota) : 0;
    (void)pthread_mutex_unlock(&quotas->lock);
    return total;
}

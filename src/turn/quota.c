/* SPDX-License-Identifier: Apache-2.0 */
#include "turn/quota.h"

#include <assert.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct user {
    struct bytes name; /* in the bytes behind this struct, or borrowed by a key for a look-up */
    uint32_t count;
    uint8_t bytes[];
};

/* The users are in the C library's balanced tree: no name, however chosen, makes it slow, and no
 * secret is needed for that. */
struct quota {
    void *users;
    uint32_t user_count;
    uint32_t max_users;
    uint32_t per_user;
    uint32_t limit;
    uint32_t total;
};

static int user_order(const void *a, const void *b)
{
    const struct user *x = a;
    const struct user *y = b;

    if (x->name.n != y->name.n) {
        return x->name.n < y->name.n ? -1 : 1;
    }
    return x->name.n == 0 ? 0 : memcmp(x->name.p, y->name.p, x->name.n);
}

struct quota *quota_new(uint32_t per_user, uint32_t total, uint32_t max_users)
{
    assert(max_users > 0);
    struct quota *quota = mem_new(1, sizeof(*quota));
    if (quota == NULL) {
        return NULL;
    }
    quota->max_users = max_users;
    quota_set_limits(quota, per_user, total);
    return quota;
}

void quota_free(struct quota *quota)
{
    if (quota == NULL) {
        return;
    }
    tdestroy(quota->users, free);
    free(quota);
}

void quota_set_limits(struct quota *quota, uint32_t per_user, uint32_t total)
{
    quota->per_user = per_user;
    quota->limit = total;
}

static struct user *user_find(const struct quota *quota, struct bytes name)
{
    const struct user key = {.name = name};
    void *const *node = tfind(&key, &quota->users, user_order);

    return node == NULL ? NULL : *node;
}

/* Add a record with the count 1. */
static int user_add(struct quota *quota, struct bytes name)
{
    struct user *user = mem_new(1, sizeof(*user) + name.n);

    if (user == NULL) {
        return -ENOMEM;
    }
    if (name.n > 0) {
        memcpy(user->bytes, name.p, name.n);
    }
    user->name = (struct bytes){user->bytes, name.n};
    user->count = 1;
    if (tsearch(user, &quota->users, user_order) == NULL) {
        free(user);
        return -ENOMEM;
    }
    quota->user_count++;
    return 0;
}

int quota_take(struct quota *quota, struct bytes user)
{
    struct user *record = user_find(quota, user);

    if (record != NULL && quota->per_user != 0 && record->count >= quota->per_user) {
        return -EDQUOT;
    }
    if ((quota->limit != 0 && quota->total >= quota->limit) || quota->total == UINT32_MAX ||
        (record == NULL && quota->user_count >= quota->max_users)) {
        return -ENOSPC;
    }
    if (record != NULL) {
        record->count++;
    } else {
        const int err = user_add(quota, user);
        if (err < 0) {
            return err;
        }
    }
    quota->total++;
    return 0;
}

void quota_give(struct quota *quota, struct bytes user)
{
    struct user *record = user_find(quota, user);

    assert(record != NULL); /* it was taken */
    quota->total--;
    if (--record->count == 0) {
        (void)tdelete(record, &quota->users, user_order);
        quota->user_count--;
        free(record);
    }
}

uint32_t quota_total(const struct quota *quota)
{
    return quota->total;
}

uint32_t quota_of(const struct quota *quota, struct bytes user)
{
    const struct user *record = user_find(quota, user);

    return record == NULL ? 0 : record->count;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/realms.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "turn/realm.h"

struct realms {
    uint32_t count;
    char *names[TURN_MAX_REALMS]; /* by number; the first is not used */
    uint32_t order[TURN_MAX_REALMS];
};

struct realms *realms_new(void)
{
    return mem_new(1, sizeof(struct realms));
}

void realms_free(struct realms *realms)
{
    if (realms == NULL) {
        return;
    }
    for (uint32_t id = 1; id <= realms->count; id++) {
        free(realms->names[id]);
    }
    free(realms);
}

/* Where `name` is in the order, or would be. */
static uint32_t place_of(const struct realms *realms, const char *name, bool *found)
{
    uint32_t low = 0;
    uint32_t high = realms->count;

    *found = false;
    while (low < high && !*found) {
        const uint32_t middle = (low + high) / 2;
        const char *at = realms->names[realms->order[middle]];
        const int order = turn_realm_order(bytes_of(name), bytes_of(at));

        *found = order == 0;
        if (order <= 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return high;
}

int realms_find(const struct realms *realms, const char *name, uint32_t *out)
{
    bool found;
    const uint32_t place = place_of(realms, name, &found);

    if (!found) {
        return -ENOENT;
    }
    *out = realms->order[place];
    return 0;
}

int realms_add(struct realms *realms, const char *name, uint32_t *out)
{
    const size_t size = strlen(name) + 1;
    bool found;
    const uint32_t place = place_of(realms, name, &found);

    if (found) {
        *out = realms->order[place];
        return 0;
    }
    if (realms->count + 1 >= TURN_MAX_REALMS) {
        return -ENOSPC;
    }
    char *copy = mem_new(1, size);
    if (copy == NULL) {
        return -ENOMEM;
    }
    memcpy(copy, name, size);
    memmove(&realms->order[place + 1], &realms->order[place],
            (realms->count - place) * sizeof(realms->order[0]));
    *out = ++realms->count;
    realms->order[place] = *out;
    realms->names[*out] = copy;
    return 0;
}

uint32_t realms_count(const struct realms *realms)
{
    return realms->count;
}

const char *realms_name(const struct realms *realms, uint32_t id)
{
    assert(id > 0 && id <= realms->count);
    return realms->names[id];
}

const uint32_t *realms_order(const struct realms *realms)
{
    return realms->order;
}

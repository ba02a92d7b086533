/* SPDX-License-Identifier: Apache-2.0 */
/* Which realm a request is judged in.
 *
 * Nothing is remembered of what a stranger says (coturn once let an ORIGIN choose the realm of a
 * client for good): a realm is kept with an allocation, once its user has been proven. */
#include <errno.h>
#include <string.h>

#include "base/origin.h"
#include "turn/turn_int.h"

int turn_realm_order(struct bytes a, struct bytes b)
{
    const size_t n = a.n < b.n ? a.n : b.n;
    const int order = n > 0 ? memcmp(a.p, b.p, n) : 0;

    return order != 0 || a.n == b.n ? order : (a.n < b.n ? -1 : 1);
}

const struct turn_realm *turn_realm_at(const struct turn_config *config, uint32_t id)
{
    return id > 0 && id <= config->realm_count ? &config->realms[id - 1] : &config->main;
}

int turn_realm_named(const struct turn_config *config, struct bytes name, uint32_t *out_id)
{
    uint32_t low = 0;
    uint32_t high = config->realm_count;

    if (bytes_equal(name, bytes_of(config->main.name))) {
        *out_id = 0;
        return 0;
    }
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        const uint32_t id = config->realm_order[middle];
        const int order = turn_realm_order(name, bytes_of(turn_realm_at(config, id)->name));
        if (order == 0) {
            *out_id = id;
            return 0;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return -ENOENT;
}

int turn_realm_find(const struct turn_config *config, struct bytes name, uint32_t *out_id)
{
    uint32_t id;

    if (turn_realm_named(config, name, &id) < 0 || turn_realm_at(config, id)->gone) {
        return -ENOENT;
    }
    *out_id = id;
    return 0;
}

/* 0 with the id; -ENOENT. */
static int origin_find(const struct turn_config *config, struct bytes origin, uint32_t *out_id)
{
    char spelled[TURN_ORIGIN_SPELLED_MAX + 1];
    const int len =
        config->origin_count > 0 ? origin_spell(origin, spelled, sizeof(spelled)) : -ENOENT;
    uint32_t low = 0;
    uint32_t high = config->origin_count;

    if (len < 0) {
        return -ENOENT;
    }
    const struct bytes wanted = {(const uint8_t *)spelled, (size_t)len};
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        const struct turn_origin *at = &config->origins[middle];
        const int order = turn_realm_order(wanted, bytes_of(at->origin));
        if (order == 0) {
            *out_id = at->realm;
            return 0;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return -ENOENT;
}

uint32_t turn_realm_of_origin(const struct turn_config *config, struct bytes origin)
{
    uint32_t id;

    return origin_find(config, origin, &id) == 0 ? id : 0;
}

/* Of several origins, those of a page and of the pages around it, the first that is known counts,
 * as in coturn; the first of all when none is.  Strangers choose how many there are: few are looked
 * at.
 */
static struct bytes origin_of(const struct turn_config *config, const struct turn_req *req,
                              uint32_t *out_id)
{
    enum { ORIGINS_MAX = 8 };
    struct bytes rest = req->origins;
    struct bytes origin;

    *out_id = 0;
    for (int i = 0; i < ORIGINS_MAX && turn_req_next_origin(&rest, &origin); i++) {
        if (origin_find(config, origin, out_id) == 0) {
            return origin;
        }
    }
    return req->origin;
}

void turn_realm_choose(struct turn_call *call)
{
    const struct turn_config *config = call->server->config;
    const struct turn_req *req = call->req;
    const struct turn_alloc *alloc = call->conn != NULL ? call->conn->alloc : call->alloc;

    if (!config->require_auth) {
        call->realm_id = 0; /* who proves nothing does not choose whose peers he may reach */
    } else if (alloc != NULL) {
        call->realm_id = alloc->realm;
    } else if ((req->has & HAS_REALM) == 0 ||
               turn_realm_find(config, req->realm, &call->realm_id) < 0) {
        (void)origin_of(config, req, &call->realm_id);
        if (turn_realm_at(config, call->realm_id)->gone) {
            call->realm_id = 0; /* nobody can log in there */
        }
    }
    call->realm = turn_realm_at(config, call->realm_id);
}

/* Only told from others: no secret rests on it. */
uint64_t turn_origin_mark(const struct turn_config *config, const struct turn_req *req)
{
    uint32_t id;

    if ((req->has & HAS_ORIGIN) == 0) {
        return 0;
    }
    const struct bytes origin = origin_of(config, req, &id);
    return hash_bytes(&(const struct hash_key){0, 0}, origin.p, origin.n) | 1;
}

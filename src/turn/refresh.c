/* SPDX-License-Identifier: Apache-2.0 */
/* Refresh (RFC 8656 section 8.2). */
#include "turn/turn_int.h"

/* Give `relay` its new time to live, or close it. */
static void refresh_relay(struct turn_call *call, struct turn_relay *relay)
{
    struct turn_server *s = call->server;

    if (call->lifetime_s == 0) {
        turn_end_relay(s, call->alloc, relay, TURN_EVENT_DELETED, call->now_ms);
        return;
    }
    relay->expires_ms = call->now_ms + (uint64_t)call->lifetime_s * 1000;
    if (call->alloc->until_ms != 0 && relay->expires_ms > call->alloc->until_ms) {
        relay->expires_ms = call->alloc->until_ms; /* told in whole seconds, it is less */
    }
    turn_alloc_wake_by(&s->tables, call->alloc, relay->expires_ms);
}

enum stun_code turn_on_refresh(struct turn_call *call)
{
    struct turn_server *s = call->server;
    const struct turn_req *req = call->req;
    const bool one = (req->has & HAS_REQUESTED_ADDRESS_FAMILY) != 0;
    const bool delete = (req->has & HAS_LIFETIME) != 0 && req->lifetime_s == 0;

    /* While one of two relays is left there is somebody to move. */
    const bool ends =
        delete &&!(one && call->alloc->relay[0].port != NULL && call->alloc->relay[1].port != NULL);

    if (one && turn_alloc_relay(call->alloc, req->family) == NULL) {
        return STUN_PEER_FAMILY_MISMATCH;
    }
    if (call->ticket != TURN_NO_TICKET && !ends) {
        const enum stun_code code = turn_mobility_move(call);
        if (code != STUN_OK) {
            return code;
        }
    }
    call->lifetime_s = delete ? 0 : turn_grant_lifetime(call);
    if (one) {
        refresh_relay(call, turn_alloc_relay(call->alloc, req->family));
    } else if (delete) {
        turn_end_allocation(s, call->alloc, TURN_EVENT_DELETED, call->now_ms);
    } else {
        for (int i = 0; i < 2; i++) {
            if (call->alloc->relay[i].port != NULL) {
                refresh_relay(call, &call->alloc->relay[i]);
            }
        }
    }
    if (!delete) {
        turn_flow_update(s, call->alloc, NULL, call->now_ms);
        turn_tell(s, call->alloc, TURN_EVENT_REFRESHED, NULL);
    } else {
        call->alloc = NULL; /* it may be gone */
    }
    return STUN_OK;
}

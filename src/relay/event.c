/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/event.h"

#include <string.h>

#include "auth/auth_jwt_shape.h"
#include "log/log.h"
#include "turn/turn_server.h"
#include "wire/stun_msg.h"

static const char *method_name(uint16_t method)
{
    switch (method) {
    case STUN_BINDING:
        return "binding";
    case STUN_ALLOCATE:
        return "allocate";
    case STUN_REFRESH:
        return "refresh";
    case STUN_CREATE_PERMISSION:
        return "create-permission";
    case STUN_CHANNEL_BIND:
        return "channel-bind";
    case STUN_CONNECT:
        return "connect";
    case STUN_CONNECTION_BIND:
        return "connection-bind";
    default:
        return "other";
    }
}

/* What anybody may have sent in anybody's name is for debugging only: it must neither fill the log
 * nor let fail2ban close out the one whose address was borrowed.  438 is how authentication goes;
 * 300 is what was asked for. */
static enum log_level refusal_level(const struct turn_event *event)
{
    if (!event->proven || event->code == STUN_STALE_NONCE) {
        return LOG_DEBUG;
    }
    return event->code == STUN_TRY_ALTERNATE ? LOG_INFO : LOG_NOTICE;
}

/* Of a client that is away (RFC 8016) nobody knows an address: it is left out of the line. */
static const struct net_addr *client_of(const struct turn_event *event)
{
    return event->client->family != NET_NONE ? event->client : NULL;
}

/* A user that is unknown is left out of the line, and of a token what others could use. */
static struct bytes user_of(const struct turn_event *event)
{
    return event->user.n > 0 ? auth_jwt_shown(event->user) : (struct bytes){NULL, SIZE_MAX};
}

static void log_refusal(const struct turn_event *event, const char *realm)
{
    const char *gate = event->gate != GATE_OPEN ? gate_verdict_text(event->gate) : NULL;
    const enum log_level level = refusal_level(event);

    /* The order of the first two fields is a promise to fail2ban (docs/reference/log.md). */
    log_event(level, "request.refused", LOG_ADDR("client", event->client),
              LOG_U64("code", event->code), LOG_TEXT("method", method_name(event->method)),
              LOG_USER("user", user_of(event)), LOG_TEXT("realm", realm),
              LOG_ADDR("peer", event->peer), LOG_TEXT("gate", gate),
              LOG_ADDR("server", event->server),
              event->session != 0 ? LOG_ID("session", event->session) : LOG_END, LOG_END);
}

static void log_life(const char *what, const struct turn_event *event, const char *realm)
{
    const struct turn_traffic *t = event->traffic;

    if (t == NULL || event->kind == TURN_EVENT_ALLOCATED) {
        log_write(LOG_INFO, what,
                  (const struct log_field[]){
                      LOG_ID("session", event->session), LOG_ADDR("client", client_of(event)),
                      LOG_ADDR("server", event->server), LOG_USER("user", user_of(event)),
                      LOG_TEXT("realm", realm), LOG_ADDR("relay4", event->relayed[0]),
                      LOG_ADDR("relay6", event->relayed[1]),
                      LOG_U64("lifetime_s", event->lifetime_s), LOG_END});
        return;
    }
    log_write(LOG_INFO, what,
              (const struct log_field[]){
                  LOG_ID("session", event->session), LOG_ADDR("client", client_of(event)),
                  LOG_USER("user", user_of(event)), LOG_TEXT("realm", realm),
                  LOG_ADDR("relay4", event->relayed[0]), LOG_ADDR("relay6", event->relayed[1]),
                  LOG_U64("to_peer_packets", t->to_peer_packets),
                  LOG_U64("to_peer_bytes", t->to_peer_bytes),
                  LOG_U64("to_client_packets", t->to_client_packets),
                  LOG_U64("to_client_bytes", t->to_client_bytes), LOG_END});
}

static void log_detail(enum log_level level, const char *what, const struct turn_event *event,
                       const char *realm)
{
    const struct net_addr *was =
        event->was != NULL && event->was->client.family != NET_NONE ? &event->was->client : NULL;

    log_write(level, what,
              (const struct log_field[]){LOG_ID("session", event->session),
                                         LOG_ADDR("client", client_of(event)), LOG_ADDR("was", was),
                                         LOG_USER("user", user_of(event)), LOG_TEXT("realm", realm),
                                         LOG_ADDR("peer", event->peer),
                                         LOG_U64("lifetime_s", event->lifetime_s), LOG_END});
}

void event_log(const struct turn_event *event, const char *main_realm)
{
    static const struct {
        const char *name;
        enum log_level level;
        bool life;
    } kinds[] = {
        [TURN_EVENT_ALLOCATED] = {"allocation.created", LOG_INFO, true},
        [TURN_EVENT_REFRESHED] = {"allocation.refreshed", LOG_DEBUG, false},
        [TURN_EVENT_PERMISSION] = {"permission.installed", LOG_DEBUG, false},
        [TURN_EVENT_CHANNEL] = {"channel.bound", LOG_DEBUG, false},
        [TURN_EVENT_DELETED] = {"allocation.deleted", LOG_INFO, true},
        [TURN_EVENT_EXPIRED] = {"allocation.expired", LOG_INFO, true},
        [TURN_EVENT_CLOSED] = {"allocation.closed", LOG_INFO, true},
        [TURN_EVENT_REVOKED] = {"permission.revoked", LOG_NOTICE, false},
        [TURN_EVENT_CONNECTED] = {"peer.connected", LOG_INFO, false},
        [TURN_EVENT_CONNECTION_CLOSED] = {"peer.closed", LOG_INFO, false},
        [TURN_EVENT_MOVED] = {"allocation.moved", LOG_INFO, false},
        [TURN_EVENT_LEFT] = {"allocation.address_left", LOG_DEBUG, false},
    };

    const char *realm =
        event->realm != NULL && strcmp(event->realm, main_realm) != 0 ? event->realm : NULL;

    if (event->kind == TURN_EVENT_REFUSED) {
        log_refusal(event, realm);
    } else if (event->kind == TURN_EVENT_LEFT && event->client->family == NET_NONE) {
        log_detail(LOG_INFO, "allocation.client_away", event, realm);
    } else if (log_enabled(kinds[event->kind].level)) {
        if (kinds[event->kind].life) {
            log_life(kinds[event->kind].name, event, realm);
        } else {
            log_detail(kinds[event->kind].level, kinds[event->kind].name, event, realm);
        }
    }
}

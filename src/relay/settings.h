/* SPDX-License-Identifier: Apache-2.0 */
/* What the workers are told, made from the configuration: turn_config and the peer gate for their
 * cores, limits and times for what carries clients.
 *
 * Owner   the relay server; immutable, replaced whole at reload.  Thread  any number may read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/auth.h"
#include "base/attr.h"
#include "io/conn_limit.h"
#include "io/dtls.h"
#include "io/stream.h"
#include "turn/turn_config.h"

struct auth_realms;
struct conf;
struct external_map;
struct front;
struct front_item;
struct interfaces;
struct listener_plan;
struct prefix_set;
struct quota_limits;
struct realms;
struct tls_set;

/* What turn_config borrows for realms. */
struct settings_realms {
    uint32_t count;              /* numbers from 1 to this one, beside the main realm */
    struct turn_realm *items;    /* from number 1 on */
    uint32_t *order;             /* their numbers, by name */
    struct gate **gates;         /* by number, 0 too: of those with rules of their own, else NULL */
    struct quota_limits *quotas; /* by number, 0 too */
    struct turn_origin *origins;
    char (*origin_texts)[TURN_ORIGIN_SPELLED_MAX + 1];
    uint32_t ignored_realms; /* of the database: there are too many, or the name is no good */
    uint32_t ignored_origins;
    uint32_t ignored_ranges; /* that are none */
};

struct settings {
    struct turn_config config;
    struct gate *gate; /* of realms without rules of their own */
    struct settings_realms realms;
    struct conn_limits conns;    /* of the whole server */
    struct stream_limits stream; /* of one worker */
    struct dtls_limits dtls;     /* of one worker */
    uint32_t client_idle_ms;     /* of a connection without an allocation */
    uint32_t splice_idle_ms;     /* of a relayed connection (RFC 6062) */
    uint32_t holdoff_ms;
    uint32_t holdoff_shared_ms;
    uint32_t alternates_left_out;  /* alternate servers that are this one */
    char *acme_redirect;           /* or NULL */
    struct prefix_set *proxy_from; /* whose PROXY protocol headers are believed: tag 1 */
    struct tls_set *tls;           /* a reference of our own; NULL: there is no certificate */
    /* What is open at config.behaviour.sets[].local[]; they stay as long as the server. */
    const struct front_item *behaviour_item[TURN_BEHAVIOUR_SETS][TURN_BEHAVIOUR_ADDRS];
};

struct settings_input {
    const struct conf *conf;
    const struct conf *start; /* whose RESTART options hold */
    const struct interfaces *own;
    const struct external_map *external;
    const struct listener_plan *listeners;
    const struct front *front; /* whose listeners are those; NULL: no answer leaves by another */
    struct auth_abilities abilities; /* of realms that `facts` says nothing of */
    const struct auth_realms *facts; /* of the database; NULL: it says nothing */
    const struct net_addr *backends; /* where no client may go: `backend_count` of them */
    size_t backend_count;
    struct realms *realms;    /* gets numbers for those that are new; NULL: the main realm only */
    const uint8_t *nonce_key; /* TURN_NONCE_KEY_LEN random bytes, for want of a configured secret */
    bool relay_family[2];     /* there are relay addresses of that family: IPv4, IPv6 */
    bool draining;
    uint32_t workers;      /* they share what is limited for the whole server */
    uint64_t memory_bytes; /* of this host: bounds what may wait for clients */
    struct tls_set *tls;   /* may be NULL */
};

/* 0 with `*out`; -ENOMEM; -EIO when libcrypto fails; -EINVAL with `why`. */
MUST_USE int settings_new(const struct settings_input *in, struct settings **out, char *why,
                          size_t cap);

/* `now` comes into force in place of `was` (NULL: at start): log what of the alternate servers it
 * had to leave out. */
void settings_tell_redirects(const struct settings *now, const struct settings *was);

/* Wipe and release; the workers must not borrow it any more.  NULL is allowed. */
void settings_free(struct settings *settings);

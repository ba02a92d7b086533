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

struct conf;
struct external_map;
struct interfaces;
struct listener_plan;
struct prefix_set;
struct tls_set;

struct settings {
    struct turn_config config;
    struct gate *gate;
    struct conn_limits conns;    /* of the whole server */
    struct stream_limits stream; /* of one worker */
    struct dtls_limits dtls;     /* of one worker */
    uint32_t client_idle_ms;     /* of a connection without an allocation */
    uint32_t splice_idle_ms;     /* of a relayed connection (RFC 6062) */
    uint32_t holdoff_ms;
    uint32_t holdoff_shared_ms;
    char *acme_redirect;           /* or NULL */
    struct prefix_set *proxy_from; /* whose PROXY protocol headers are believed: tag 1 */
    struct tls_set *tls;           /* a reference of our own; NULL: there is no certificate */
};

struct settings_input {
    const struct conf *conf;
    const struct conf *start; /* whose RESTART options hold */
    const struct interfaces *own;
    const struct external_map *external;
    const struct listener_plan *listeners;
    struct auth_abilities abilities;
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

/* Wipe and release; the workers must not borrow it any more.  NULL is allowed. */
void settings_free(struct settings *settings);

/* SPDX-License-Identifier: Apache-2.0 */
/* What a client meant with a packet.  It travels beside the bytes, so that the model can judge the
 * server without parsing anything: a mistake in a decoder cannot hide itself. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/net_addr.h"
#include "lib/client.h"
#include "turn/turn_config.h"
#include "wire/stun_msg.h"

enum { INTENT_PEERS = 3 };

enum intent_kind {
    INTENT_BINDING,
    INTENT_KEEPALIVE, /* Binding indication */
    INTENT_ALLOCATE,
    INTENT_REFRESH,
    INTENT_PERMIT,
    INTENT_BIND,
    INTENT_CONNECT,
    INTENT_CONN_BIND, /* ConnectionBind */
    INTENT_SEND,
    INTENT_CHANNEL,
    INTENT_NOISE, /* bytes without a meaning */
};

enum intent_missing { MISSING_NOTHING, MISSING_USER, MISSING_REALM, MISSING_NONCE };

enum intent_even { EVEN_NO, EVEN_YES, EVEN_RESERVE };

/* Where and when the server gave out the NONCE that a request shows. */
struct intent_nonce {
    bool known; /* false: there is none */
    bool forged;
    uint32_t generation; /* of the nonce keys */
    uint64_t issued_s;
    struct net_addr issued_to;
    enum turn_algorithms offered;
};

/* A MOBILITY-TICKET (RFC 8016), and what it means. */
enum { INTENT_TICKET_LEN = 32 };

enum intent_ticket_use { TICKET_NO, TICKET_ASK, TICKET_SHOW };

struct intent_ticket {
    bool known;
    bool forged;
    uint32_t generation; /* of the keys, which are the nonces' */
    uint32_t number;     /* of the allocation */
    uint32_t serial;     /* of this ticket among the allocation's */
    uint8_t bytes[INTENT_TICKET_LEN];
};

struct intent_peer {
    struct net_addr addr;
    uint8_t row; /* of the catalogue of peers */
};

struct intent {
    enum intent_kind kind;
    uint8_t actor;
    bool mutated; /* bytes were changed afterwards: the meaning holds no longer */
    uint8_t tid[STUN_TID];

    /* Credentials. */
    enum client_auth auth;
    enum intent_missing missing;
    uint8_t user;
    bool userhash;
    bool wrong_password;
    bool wrong_realm;
    struct intent_nonce nonce;

    /* Anything. */
    bool fingerprint;
    bool unknown_attr;
    bool counter;
    uint8_t count;

    /* Allocate and Refresh; 0 stands for absent. */
    uint8_t transport;
    uint8_t requested_family;
    uint8_t additional_family;
    enum intent_even even;
    bool dont_fragment; /* Send, too */
    bool has_token;
    uint64_t token;
    bool has_lifetime;
    uint32_t lifetime_s;
    enum intent_ticket_use ticket_use;
    struct intent_ticket ticket;

    /* Peers and data. */
    struct intent_peer peer[INTENT_PEERS];
    uint8_t peer_count;
    uint16_t channel;
    uint32_t connection_id; /* ConnectionBind; 0: without one */
    uint32_t payload_seed;
    uint16_t payload_len;
    uint8_t padding;   /* ChannelData: bytes behind the data */
    bool short_length; /* ChannelData: shorter than it says */
};

/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual network: packets under way and a queue of events in the order of (time, sequence).
 * It loses, doubles, delays and thereby reorders, and knows how large a packet may be.
 *
 * Owner   the simulation.  Thread  one.  Clock  virtual milliseconds. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/net_addr.h"
#include "intent.h"
#include "prng.h"
#include "turn/turn_server.h"

enum { NET_PACKETS = 512, NET_EVENTS = 1024, NET_PACKET_MAX = 2048, UDP_OVERHEAD = 28 };

struct net_packet {
    struct net_addr from;
    struct net_addr to;
    bool df;
    bool is_icmp;
    uint8_t tos;
    uint16_t index;
    uint16_t len;
    uint16_t conn;         /* NET_CONNECT: the model's record, */
    uint32_t serial;       /* if it is still the same */
    struct turn_icmp icmp; /* an error about something that `to` sent */
    struct intent intent;
    struct intent_nonce nonce;   /* a challenge: the NONCE inside */
    struct intent_ticket ticket; /* a success: the ticket inside */
    uint8_t data[NET_PACKET_MAX];
};

enum net_event_kind {
    NET_STEP,    /* the next thing to happen of its own accord */
    NET_ARRIVE,  /* `packet` reaches its destination */
    NET_RETRY,   /* `packet` waited for a key and goes to the server again */
    NET_CONNECT, /* the Connect in `packet` has come to something */
};

struct net_event {
    uint64_t at_ms;
    uint64_t sequence;
    enum net_event_kind kind;
    struct net_packet *packet;
};

struct net_link {
    uint32_t loss;      /* in a thousand */
    uint32_t duplicate; /* in a thousand */
    uint32_t delay_ms;  /* least */
    uint32_t jitter_ms; /* more, at random: packets overtake each other */
    uint32_t mtu;
};

struct net {
    struct prng *random;
    struct net_link link;
    uint64_t sequence;
    uint32_t event_count;
    uint32_t free_count;
    struct net_event events[NET_EVENTS]; /* a heap */
    uint16_t free[NET_PACKETS];
    struct net_packet packets[NET_PACKETS];
};

void net_init(struct net *n, struct prng *random, const struct net_link *link);

/* A packet to be filled; NULL when too many are under way (the network is full). */
struct net_packet *net_take(struct net *n);
void net_put(struct net *n, struct net_packet *packet);

/* Send `packet` off.  False when it is too big and must not be fragmented; the caller keeps it. */
bool net_send(struct net *n, struct net_packet *packet, uint64_t now_ms);

/* Queue an event. */
void net_schedule(struct net *n, uint64_t at_ms, enum net_event_kind kind,
                  struct net_packet *packet);

/* The time of the next event; UINT64_MAX when there is none. */
uint64_t net_next_at(const struct net *n);

/* Take the next event.  There is one. */
struct net_event net_next(struct net *n);

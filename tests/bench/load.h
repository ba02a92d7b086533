/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of sterna-load share: its options, its clients, and one turn of its loop.
 *
 * Owner   load.c.  Thread  one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/net_addr.h"
#include "crypto/mac.h"
#include "frame.h"
#include "meter.h"
#include "stats/histogram.h"

enum {
    LOAD_CLIENTS_MAX = 20000,
    LOAD_RETRY_MS = 500,
    LOAD_CLIENT_PORT = 10000, /* of the first client */
    LOAD_CLIENT_PORTS = 50000,
    LOAD_PEER_PORT = 20000, /* of the first peer */
    LOAD_CHANNEL = 0x4000,
    LOAD_PAYLOAD_MIN = 20,
    LOAD_PAYLOAD_MAX = 1400,
    LIVE_PAYLOAD_MIN = 64,
};

/* What a client asks for next. */
enum load_phase { CHALLENGE, ALLOCATE, BIND, READY, REFRESH, DELETE };

struct load_client {
    enum load_phase phase;
    uint64_t sent_ns; /* the last request */
    uint32_t turn;    /* counts transactions */
    uint32_t cycle;   /* counts allocations: each has a port of its own for a while */
    bool asked;       /* a timed request waits for its answer */
    char nonce[200];
    struct net_addr relayed;
};

/* The packets of one direction. */
struct load_flow {
    uint32_t sent;
    uint32_t expected; /* sequence number */
};

struct load_lane {
    struct load_flow *flow; /* a client each */
    uint32_t next;          /* client whose turn it is */
    uint64_t sent;
    uint64_t received;
    uint64_t reordered;
    uint64_t damaged;
    uint64_t in_flight;
    uint32_t window; /* packets */
    struct histogram latency;
    /* pacing */
    uint32_t *phase_ns; /* when in its period each client sends, ascending */
    uint64_t period_ns;
    uint64_t cycle_ns; /* start of the current period */
    uint64_t skipped;  /* bursts given up because the generator was late */
    uint64_t refills;  /* windows that were filled anew after a silence; `live` */
};

struct load {
    struct end client_end;
    struct end peer_end;
    struct crypto_mac *mac;
    uint8_t key[CRYPTO_MD5_LEN];
    const char *mode;
    const char *user;
    const char *realm;
    struct endpoint server;
    struct endpoint bare; /* first relay port of a bare forwarder; port 0: it is a TURN server */
    uint32_t client_ip;
    uint32_t peer_ip;
    uint32_t clients;      /* that send or receive */
    uint32_t idle;         /* that only have an allocation */
    uint32_t control;      /* that only ask, and are timed */
    uint32_t total;        /* all of these, in this order */
    uint32_t window;       /* packets under way, of both directions together */
    uint32_t payload;      /* bytes */
    uint32_t tail;         /* bytes of the last packet of a burst; 0: as the others */
    uint32_t burst;        /* packets of one client back to back */
    uint32_t batch;        /* `live`: turns at a time, 1 to 256 */
    uint32_t rate;         /* packets a second and direction; 0: as the window allows */
    uint32_t control_rate; /* requests a second */
    uint32_t milliseconds; /* measured */
    uint32_t outstanding;
    uint32_t capacity; /* soak: ports that the server has */
    uint64_t count;    /* flood: requests */
    uint32_t flood;    /* relay: packets a second from nobody; takes `live` */
    bool up;
    bool down;
    bool indications; /* Send and Data instead of ChannelData */
    bool packets;     /* packet sockets instead of AF_XDP */
    bool live;        /* media packets are made in the kernel (live.h) */
    bool client_v6;
    bool peer_v6;
    struct meter meter;
    struct load_client *c;
    struct load_lane lane[2]; /* up, down */
    uint32_t ready;
    uint64_t cycles;
    uint64_t refused;
    uint64_t answered;
    uint64_t bindings; /* answered ones */
    uint64_t asked;    /* timed requests */
    struct histogram answer_time;
    bool running;
    uint64_t now_ns; /* when this turn began */
};

enum { LANE_UP, LANE_DOWN };

/* load.c: say why, and end. */
_Noreturn void load_die(const char *what);

/* load_turn.c: requests.  Client `i`'s address; its request as its phase wants; a STUN message that
 * came for a client. */
struct endpoint load_client_at(const struct load *l, uint32_t i);
void load_request(struct load *l, uint32_t i);
void load_retry(struct load *l, uint32_t first, uint32_t count);
void load_on_stun(struct load *l, const struct datagram *d);
void load_make_tid(uint32_t client, uint32_t turn, uint8_t out[12]);

/* Send a timed request (Binding or Refresh, by turns) from control client `i`. */
void load_ask(struct load *l, uint32_t i);

/* Bring clients to READY, `outstanding` at a time, with retransmissions. */
void load_allocate_all(struct load *l);

/* load_media.c: where client `i`'s peer sends to; send one burst of the next client of a lane. */
struct endpoint load_relay_of(const struct load *l, uint32_t i);
void load_send_burst(struct load *l, int which);

/* Take what is there, and send what is queued, at both ends.  Return how many frames that were. */
unsigned load_receive(struct load *l);
unsigned load_flush(struct load *l);

/* The modes; each prints one line of JSON. */
void load_run_relay(struct load *l);
void load_run_alloc(struct load *l);
void load_run_soak(struct load *l);
void load_run_idle(struct load *l);
void load_run_flood(struct load *l);

/* SPDX-License-Identifier: Apache-2.0 */
/* What `sterna bench` measured: the one thing that its summary, JSON and page are made of.
 *
 * A flow is the packets of one client in one direction.  Up: client, server, peer; down: peer,
 * server, client.  Both ends are in this process, so a latency is the difference of two readings of
 * one clock.  Packets and bytes are those of the application (payload without ChannelData or STUN).
 *
 * Owner   cmd_bench(); bench_result_fini() releases the series.  Texts are NUL-terminated, may hold
 *         any byte (names come from the command line and from the server), and are never NULL.
 * Thread  one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stats/histogram.h"

enum bench_transport { BENCH_UDP, BENCH_TCP, BENCH_TLS };

/* What a client sends. */
enum bench_mix {
    BENCH_AUDIO, /* one small packet a tick */
    BENCH_VIDEO, /* a frame a tick: equal packets and a shorter one */
    BENCH_BULK,  /* equal packets, flat out or at a rate */
    BENCH_ALLOC, /* no packets: Allocate and Refresh 0, over and over */
};

enum bench_way { BENCH_UP, BENCH_DOWN, BENCH_WAYS };

enum { BENCH_TEXT = 256, BENCH_WHY = 512, BENCH_PIDS = 16 };

/* What was asked for, after defaults. */
struct bench_setup {
    char target[BENCH_TEXT]; /* as given */
    char server[BENCH_TEXT]; /* its address and port */
    char command[BENCH_WHY]; /* the command line, without secrets */
    char user[BENCH_TEXT];   /* empty without credentials */
    char source[BENCH_TEXT]; /* the clients' addresses: one, or PREFIX/LENGTH */
    char peer[BENCH_TEXT];   /* the peers' address */
    enum bench_transport transport;
    enum bench_mix mix;
    bool way[BENCH_WAYS]; /* directions in use; both false for BENCH_ALLOC */
    bool pairs; /* clients are each other's peers: packets pass two relays; `way` is up alone */
    bool indications; /* Send and Data in place of ChannelData */
    bool flat;        /* as fast as the window allows, instead of paced */
    uint32_t clients;
    uint32_t peer_sockets;
    uint32_t client_sockets;
    uint32_t outstanding;  /* transactions at a time */
    uint32_t window;       /* flat: packets in flight, all flows together */
    uint32_t packet_bytes; /* payload of a full packet */
    uint32_t burst;        /* packets a tick of one flow, the tail included */
    uint32_t tail_bytes;   /* payload of the last packet of a burst; packet_bytes when equal */
    double tick_s;         /* paced: time between two bursts of one flow; 0 when flat */
    double rate_planned;   /* paced: packets/s of all flows of one direction; 0 when flat */
    uint32_t duration_s;
    double ramp_s;
};

/* One direction over the whole run. */
struct bench_flow_total {
    uint64_t sent;
    uint64_t sent_bytes;
    uint64_t received; /* without duplicates */
    uint64_t received_bytes;
    uint64_t lost;      /* sent and not received until the drain ended */
    uint64_t reordered; /* came after a later one of their flow */
    uint64_t duplicates;
    uint64_t corrupt;         /* not as they were sent; counted as lost, too */
    uint64_t unsent;          /* could not be sent: full send buffer, slow connection */
    double jitter_mean_us;    /* RFC 3550 section 6.4.1 at the end, mean over flows */
    double jitter_max_us;     /* the same, the worst flow */
    struct histogram latency; /* of each packet received */
};

struct bench_second_flow {
    uint64_t sent;
    uint64_t received;
    uint64_t received_bytes;
    int64_t lost;    /* gaps found in this second; negative when late packets closed some */
    uint64_t p50_us; /* 0 when nothing was received */
    uint64_t p99_us;
    uint64_t max_us;
};

/* One second of the load (the last one may be shorter: `length_s`). */
struct bench_second {
    double start_s; /* since the load began */
    double length_s;
    struct bench_second_flow way[BENCH_WAYS];
    uint64_t cycles;     /* BENCH_ALLOC: cycles finished */
    double server_cpu_s; /* CPU time of the server in this second; 0 when not asked for */
    double own_cpu_s;
};

struct bench_alloc_total {
    uint32_t wanted; /* clients */
    uint32_t ready;  /* that got allocation, permission and channel */
    uint32_t failed;
    uint32_t ended;           /* ready, and lost later: connection closed, allocation gone */
    double took_s;            /* from the first request until all were ready or had failed */
    uint64_t cycles;          /* BENCH_ALLOC: Allocate (401 included) and Refresh 0 */
    uint64_t retransmissions; /* of requests, over UDP */
    uint64_t refused;         /* error responses other than those of a challenge */
    struct histogram time;    /* Allocate, from the first request to the success; with BENCH_ALLOC,
                                 whole cycles */
    char failure[BENCH_WHY];  /* why the first of the failed ones failed; empty when none did */
};

struct bench_cpu {
    bool has_server;
    int pids[BENCH_PIDS];
    uint32_t pid_count;
    double server_s;             /* CPU time while the load ran, threads included */
    double own_s;                /* of this process, likewise */
    double server_us_per_packet; /* per packet relayed (received, both directions), or per cycle; 0
                                    when nothing was */
    double own_us_per_packet;    /* with pairs, a packet counts as two: two relays forward it */
};

/* A measurement that says less than it seems to. */
enum bench_caveat {
    BENCH_CAVEAT_PACE = 1 << 0,        /* this process could not send as fast as planned */
    BENCH_CAVEAT_OWN_LOSS = 1 << 1,    /* its own receive buffers overflowed */
    BENCH_CAVEAT_PARTIAL = 1 << 2,     /* not all clients took part */
    BENCH_CAVEAT_INTERRUPTED = 1 << 3, /* ended before its time */
    BENCH_CAVEAT_LIMITED = 1 << 4,     /* flat: this process used a whole CPU, the server did not */
};

struct bench_result {
    struct bench_setup setup;
    char date[BENCH_TEXT];      /* of the start, RFC 3339 in UTC */
    char version[BENCH_TEXT];   /* of sterna */
    char system[BENCH_TEXT];    /* kernel and machine */
    char processor[BENCH_TEXT]; /* model and number of usable CPUs */
    double load_s;              /* how long packets (cycles) were sent */
    struct bench_flow_total way[BENCH_WAYS];
    struct bench_alloc_total alloc;
    struct bench_cpu cpu;
    uint64_t own_drops;  /* packets that our own sockets had to drop */
    unsigned caveats;    /* set of enum bench_caveat */
    bool ok;             /* there is something to tell, and no limit was exceeded */
    char why[BENCH_WHY]; /* when not ok: what is wrong, where, what to do */
    struct bench_second *series;
    size_t series_count;
};

/* Names as on the command line: "udp", "audio", "up". */
const char *bench_transport_name(enum bench_transport transport);
const char *bench_mix_name(enum bench_mix mix);
const char *bench_way_name(enum bench_way way);

/* What a caveat (one bit) means for the reader, a sentence. */
const char *bench_caveat_text(enum bench_caveat caveat);

/* Derived figures; 0 when there is nothing to divide by. */
double bench_loss_percent(const struct bench_flow_total *flow);
double bench_received_per_s(const struct bench_result *result, enum bench_way way);
double bench_received_mbit_s(const struct bench_result *result, enum bench_way way);

/* Release the series; `result` itself is the caller's. */
void bench_result_fini(struct bench_result *result);

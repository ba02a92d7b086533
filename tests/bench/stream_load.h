/* SPDX-License-Identifier: Apache-2.0 */
/* What the modes of sterna-stream-load share: the options, and the paced loop that is measured.
 *
 * Owner   stream_load.c.  Thread  one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"
#include "meter.h"
#include "stream_turn.h"

struct epoll_event;

struct stream_load {
    const char *client_ns;
    const char *peer_ns;
    const char *peer_dev; /* for the peers that live in a packet socket */
    const char *peer_mac; /* of the server's side */
    struct endpoint server;
    uint32_t client_ip;
    uint32_t client_ips; /* that many from client_ip on: a server may count connections by source */
    uint32_t peer_ip;    /* of the peer namespace */
    uint32_t ghost_ip;   /* of peers that no kernel answers for */
    uint32_t clients;
    uint32_t payload;
    uint32_t rate;   /* of the case's unit, a second; 0: as the window allows */
    uint32_t window; /* packets under way */
    uint32_t seconds;
    uint32_t outstanding;
    bool resume;
    SSL_CTX *context; /* NULL: plain TCP */
    struct stream_login login;
    struct meter meter;
};

/* One measured direction.  `send` sends one unit from the next sender, or tells that it has to
 * wait. `ready` is told what epoll reported and counts what arrives into `received`. */
struct stream_phase {
    struct stream_load *load;
    const char *name;
    int epoll;
    void *arg;
    bool (*send)(void *arg);
    void (*flush)(void *arg);
    void (*ready)(void *arg, const struct epoll_event *event);
    const uint64_t *received;
    /* results */
    uint64_t sent;     /* in all, not only in the measured span */
    uint64_t lost;     /* of those, after a while of waiting */
    uint64_t held;     /* times that a sender had to wait */
    uint64_t skipped;  /* given up because the generator itself was late */
    uint64_t measured; /* received in the span */
    struct meter_reading reading;
};

/* Run it: half a second unmeasured, then load->seconds.  `rate` units a second; 0: with
 * load->window of them under way. */
void stream_phase_run(struct stream_phase *p, uint64_t rate);

/* Watch `fd` for input; events carry `id`. */
void stream_phase_watch(int epoll, int fd, uint32_t id);

/* Address of client `i`, and a client connected and ready for requests. */
uint32_t stream_load_client_ip(const struct stream_load *l, uint32_t i);
void stream_load_client(const struct stream_load *l, uint32_t i, struct stream_turn *out);

/* The modes; each prints one line of JSON. */
void stream_channel_run(struct stream_load *l);
void stream_pairs_run(struct stream_load *l);
void stream_connect_run(struct stream_load *l);

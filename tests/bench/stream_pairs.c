/* SPDX-License-Identifier: Apache-2.0 */
/* Mode pairs: RFC 6062.  Each client has a control connection with a TCP allocation, one Connect,
 * and a bound data connection; bytes go up, then down. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream_load.h"

enum { PEER_PORT = 7000, CHUNK = 16384, TCP = 6, PEER_BIT = 0x10000, READS = 4 };

struct pair {
    struct stream_turn control;
    struct stream_turn data;
    struct stream_conn peer;
};

struct pairs {
    struct stream_load *load;
    struct pair *pair;
    uint32_t next;
    uint64_t up; /* bytes at the peers */
    uint64_t down;
    uint64_t sent; /* bytes of this phase */
    uint8_t chunk[CHUNK];
    uint8_t waste[4 * CHUNK];
};

static int listen_for_server(const struct stream_load *l)
{
    const struct sockaddr_in at = {
        .sin_family = AF_INET,
        .sin_port = htons(PEER_PORT),
        .sin_addr.s_addr = htonl(l->peer_ip),
    };

    frame_enter(l->peer_ns);
    const int one = 1; /* connections of the run before may rest on the port */
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 64) < 0) {
        stream_conn_die("the peers' listening socket");
    }
    return fd;
}

static void open_pair(const struct stream_load *l, uint32_t i, int listener, struct pair *out)
{
    const struct endpoint peer = {l->peer_ip, PEER_PORT};

    stream_load_client(l, i, &out->control);
    (void)stream_turn_allocate(&out->control, TCP);
    const uint32_t id = stream_turn_connect(&out->control, peer);
    out->peer = (struct stream_conn){.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)};
    if (out->peer.fd < 0) {
        stream_conn_die("accept");
    }
    stream_load_client(l, i, &out->data);
    /* coturn closes a connection whose first request has no credentials. */
    memcpy(out->data.nonce, out->control.nonce, sizeof(out->data.nonce));
    stream_turn_bind_connection(&out->data, id);
    stream_conn_nonblocking(&out->data.conn);
    stream_conn_nonblocking(&out->peer);
}

static struct pair *take_turn(struct pairs *s)
{
    struct pair *pair = &s->pair[s->next];

    s->next = (s->next + 1) % s->load->clients;
    return pair;
}

static bool send_some(struct pairs *s, struct stream_conn *c)
{
    const ssize_t n = stream_conn_write(c, s->chunk, sizeof(s->chunk));

    if (n < 0) {
        stream_conn_die("a data connection has ended");
    }
    s->sent += (uint64_t)n;
    return n == (ssize_t)sizeof(s->chunk);
}

static bool send_up(void *arg)
{
    struct pairs *s = arg;

    return send_some(s, &take_turn(s)->data.conn);
}

static bool send_down(void *arg)
{
    struct pairs *s = arg;

    return send_some(s, &take_turn(s)->peer);
}

static void flush(void *arg)
{
    (void)arg;
}

static uint64_t discard(struct pairs *s, struct stream_conn *c)
{
    uint64_t sum = 0;

    for (int i = 0; i < READS; i++) {
        const ssize_t n = stream_conn_discard(c, s->waste, sizeof(s->waste));
        if (n < 0) {
            stream_conn_die("the server has closed a data connection");
        }
        if (n == 0) {
            break;
        }
        sum += (uint64_t)n;
    }
    return sum;
}

static void ready(void *arg, const struct epoll_event *event)
{
    struct pairs *s = arg;
    struct pair *pair = &s->pair[event->data.u32 & ~(uint32_t)PEER_BIT];

    if ((event->data.u32 & PEER_BIT) != 0) {
        s->up += discard(s, &pair->peer);
    } else {
        s->down += discard(s, &pair->data.conn);
    }
}

static void run_phase(struct pairs *s, struct stream_phase *p)
{
    const uint64_t received = *p->received;
    const uint64_t rate = (uint64_t)s->load->rate * 1000000U / CHUNK;

    s->sent = 0;
    stream_phase_run(p, rate);
    p->sent = s->sent;
    p->lost = s->sent - (*p->received - received);
    const double mb = (double)p->measured / 1e6;
    (void)printf("\"%s\": {\"mb_per_cpu_s\": %.1f, \"mb_per_s\": %.1f, \"cpu_share\": %.3f, "
                 "\"lost\": %lld, \"held\": %llu, \"skipped\": %llu, \"strangers\": %.3f}",
                 p->name, meter_per(mb, p->reading.cpu_s), mb / p->reading.seconds,
                 p->reading.cpu_s / p->reading.seconds, (long long)p->lost,
                 (unsigned long long)p->held, (unsigned long long)p->skipped, p->reading.strangers);
}

void stream_pairs_run(struct stream_load *l)
{
    static struct pairs s;
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    const int listener = listen_for_server(l);

    if (l->rate == 0) {
        stream_conn_die("pairs need a rate");
    }
    s.load = l;
    s.pair = calloc(l->clients, sizeof(*s.pair));
    if (epoll < 0 || s.pair == NULL) {
        stream_conn_die("no memory");
    }
    memset(s.chunk, 0x33, sizeof(s.chunk));
    frame_enter(l->client_ns);
    for (uint32_t i = 0; i < l->clients; i++) {
        open_pair(l, i, listener, &s.pair[i]);
        stream_phase_watch(epoll, s.pair[i].data.conn.fd, i);
        stream_phase_watch(epoll, s.pair[i].peer.fd, i | PEER_BIT);
    }
    struct stream_phase up = {.load = l,
                              .name = "up",
                              .epoll = epoll,
                              .arg = &s,
                              .send = send_up,
                              .flush = flush,
                              .ready = ready,
                              .received = &s.up};
    struct stream_phase down = {.load = l,
                                .name = "down",
                                .epoll = epoll,
                                .arg = &s,
                                .send = send_down,
                                .flush = flush,
                                .ready = ready,
                                .received = &s.down};
    (void)printf("{");
    run_phase(&s, &up);
    (void)printf(", ");
    run_phase(&s, &down);
    (void)printf("}\n");
    (void)close(listener);
    (void)close(epoll);
}

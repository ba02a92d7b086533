/* SPDX-License-Identifier: Apache-2.0 */
/* Mode channel: clients with one bound channel each, first towards the peers, then back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/bytes.h"
#include "stream_load.h"
#include "wire/channel_data.h"

enum {
    CHANNEL = 0x4000,
    FIRST_PEER_PORT = 20000,
    PEER_ID = UINT16_MAX, /* epoll: the peers' packet socket */
    IN_BUF = 16384,
    UDP = 17,
};

struct channel_client {
    struct stream_turn turn;
    struct endpoint relayed;
    uint32_t sent; /* bytes of a frame that was written in part; 0: none */
    uint32_t have;
    uint8_t in[IN_BUF];
};

struct channels {
    struct stream_load *load;
    struct channel_client *c;
    struct end peers;
    uint32_t next;
    uint32_t frame_len;
    uint8_t frame[FRAME_MAX];
    uint64_t up;
    uint64_t down;
};

static struct endpoint peer_of(const struct channels *s, uint32_t i)
{
    return (struct endpoint){s->load->ghost_ip, (uint16_t)(FIRST_PEER_PORT + i)};
}

static uint32_t take_turn(struct channels *s)
{
    const uint32_t i = s->next;

    s->next = (s->next + 1) % s->load->clients;
    return i;
}

/* One frame, whole or not at all: what the socket did not take of it goes before the next. */
static bool send_up(void *arg)
{
    struct channels *s = arg;
    struct channel_client *c = &s->c[take_turn(s)];
    const bool rest = c->sent > 0;

    const ssize_t n = stream_conn_write(&c->turn.conn, s->frame + c->sent, s->frame_len - c->sent);
    if (n < 0) {
        stream_conn_die("a client's connection has ended");
    }
    c->sent += (uint32_t)n;
    if (c->sent == s->frame_len) {
        c->sent = 0;
    }
    return n > 0 && !rest;
}

static bool send_down(void *arg)
{
    struct channels *s = arg;
    const uint32_t i = take_turn(s);

    end_send(&s->peers, peer_of(s, i), s->c[i].relayed, s->frame + CHANNEL_HEAD, s->load->payload);
    return true;
}

static void flush(void *arg)
{
    struct channels *s = arg;

    if (s->peers.queued > 0) {
        end_flush(&s->peers);
    }
}

static void at_peer(void *arg, const struct datagram *d)
{
    struct channels *s = arg;

    s->up += d->n == s->load->payload;
}

/* Count the frames that are whole; keep the rest. */
static void count_frames(struct channels *s, struct channel_client *c)
{
    uint32_t at = 0;

    for (; c->have - at >= s->frame_len; at += s->frame_len) {
        if (memcmp(c->in + at, s->frame, CHANNEL_HEAD) != 0) {
            stream_conn_die("what comes down is not the client's ChannelData");
        }
        s->down++;
    }
    c->have -= at;
    if (at > 0 && c->have > 0) {
        memmove(c->in, c->in + at, c->have);
    }
}

static void at_client(struct channels *s, struct channel_client *c)
{
    ssize_t n;

    do {
        n = stream_conn_read(&c->turn.conn, c->in + c->have, sizeof(c->in) - c->have);
        if (n < 0) {
            stream_conn_die("the server has closed a client's connection");
        }
        c->have += (uint32_t)n;
        count_frames(s, c);
    } while (n > 0 && c->turn.conn.ssl != NULL); /* a record is at most what one read gives */
}

static void ready(void *arg, const struct epoll_event *event)
{
    struct channels *s = arg;

    if (event->data.u32 == PEER_ID) {
        (void)end_receive(&s->peers, at_peer, s);
    } else {
        at_client(s, &s->c[event->data.u32]);
    }
}

static void set_up(struct channels *s, int epoll)
{
    struct stream_load *l = s->load;

    s->frame_len = (CHANNEL_HEAD + l->payload + 3U) & ~3U; /* RFC 8656 section 12.5 */
    memset(s->frame, 0x33, sizeof(s->frame));
    channel_data_head(s->frame, CHANNEL, (uint16_t)l->payload);
    end_open(&s->peers, l->peer_ns, l->peer_dev, l->peer_mac);
    stream_phase_watch(epoll, s->peers.fd, PEER_ID);
    frame_enter(l->client_ns);
    for (uint32_t i = 0; i < l->clients; i++) {
        struct stream_turn *t = &s->c[i].turn;
        stream_load_client(l, i, t);
        s->c[i].relayed = stream_turn_allocate(t, UDP);
        stream_turn_bind_channel(t, CHANNEL, peer_of(s, i));
        stream_conn_nonblocking(&t->conn);
        stream_phase_watch(epoll, t->conn.fd, i);
    }
}

static void print(const struct stream_phase *p)
{
    const double packets = (double)p->measured;

    (void)printf("\"%s\": {\"cpu_us\": %.4f, \"pps\": %.0f, \"cpu_share\": %.3f, \"sent\": %llu, "
                 "\"lost\": %llu, \"held\": %llu, \"skipped\": %llu, \"strangers\": %.3f}",
                 p->name, meter_per(p->reading.cpu_s * 1e6, packets), packets / p->reading.seconds,
                 p->reading.cpu_s / p->reading.seconds, (unsigned long long)p->sent,
                 (unsigned long long)p->lost, (unsigned long long)p->held,
                 (unsigned long long)p->skipped, p->reading.strangers);
}

void stream_channel_run(struct stream_load *l)
{
    static struct channels s;
    const int epoll = epoll_create1(EPOLL_CLOEXEC);

    s.load = l;
    s.c = calloc(l->clients, sizeof(*s.c));
    if (epoll < 0 || s.c == NULL) {
        stream_conn_die("no memory");
    }
    set_up(&s, epoll);
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
    stream_phase_run(&up, l->rate);
    stream_phase_run(&down, l->rate);
    (void)printf("{");
    print(&up);
    (void)printf(", ");
    print(&down);
    (void)printf("}\n");
    (void)close(epoll);
}

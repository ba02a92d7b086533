/* SPDX-License-Identifier: Apache-2.0 */
/* What comes and goes on sockets and connections. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "cmd/bench_int.h"
#include "wire/channel_data.h"
#include "wire/demux.h"
#include "wire/stream_frame.h"
#include "wire/stun_msg.h"

enum {
    EVENTS = 256,
    READS = 16, /* batches of one socket in a turn */
    ROUNDS = 8, /* times EVENTS in a turn */
    STREAM_READ = 256 * 1024,
};

enum source { FROM_CLIENT, FROM_PEER, FROM_CONNECTION };

static int watch(const struct bench_engine *e, int fd, enum source source, uint32_t number,
                 uint32_t events)
{
    struct epoll_event event = {
        .events = events,
        .data.u64 = (uint64_t)source << 32 | number,
    };

    return epoll_ctl(e->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int bench_link_watch_client(struct bench_engine *e, uint32_t i)
{
    return watch(e, e->sockets[i].fd, FROM_CLIENT, i, EPOLLIN);
}

int bench_link_watch_all(struct bench_engine *e)
{
    int err = 0;

    for (uint32_t i = 0; i < e->socket_count && err == 0; i++) {
        err = bench_link_watch_client(e, i);
    }
    for (uint32_t k = 0; k < e->setup->peer_sockets && err == 0; k++) {
        err = watch(e, e->peers[k].fd, FROM_PEER, k, EPOLLIN);
    }
    return err;
}

int bench_link_connect(struct bench_engine *e, uint32_t i)
{
    const struct net_addr local = bench_place_source_of(e, i);
    const struct bench_conn_options options = {
        .server = &e->plan->server,
        .local = &local,
        .context = e->tls,
        .host = e->plan->target.host,
    };
    struct bench_conn *conn = &e->clients[i].conn;
    e->unheard++;
    const int err = bench_conn_open(&options, conn);

    return err < 0
               ? err
               : watch(e, conn->fd, FROM_CONNECTION, i, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

/* --- out -------------------------------------------------------------------------------------- */

int bench_link_request(struct bench_engine *e, uint32_t i, const uint8_t *p, uint32_t n)
{
    struct bench_client *c = &e->clients[i];

    e->unheard++;
    if (bench_is_stream(e)) {
        return bench_conn_write(&c->conn, p, n);
    }
    struct bench_socket *socket = bench_place_socket_of(e, i);
    bench_tx_request(e->tx[BENCH_UP],
                     &(const struct bench_tx_way){
                         .socket = socket,
                         .to = socket->connected ? NULL : &e->server,
                         .source = socket->sourced ? &c->source : NULL,
                     },
                     p, n);
    return 0;
}

int bench_link_write(struct bench_engine *e, uint32_t i, uint32_t n)
{
    return bench_conn_write(&e->clients[i].conn, e->stream, n);
}

/* --- in --------------------------------------------------------------------------------------- */

/* The DATA of a Data indication; false when it is none. */
static bool data_of(struct bytes message, struct bytes *out)
{
    struct stun_msg msg;
    struct stun_attr attr;

    if (stun_msg_parse(message, &msg) < 0 || msg.method != STUN_DATA ||
        msg.class != STUN_INDICATION) {
        return false;
    }
    struct bytes rest = msg.body;
    while (stun_attr_next(&rest, &attr) > 0) {
        if (attr.type == STUN_DATA_ATTR) {
            *out = attr.value;
            return true;
        }
    }
    return false;
}

/* A message from the server for client `i`. */
static void take_message(struct bench_engine *e, uint32_t i, struct bytes message, uint64_t when_ns)
{
    struct bytes data;
    uint16_t channel;

    if (message.n == 0) {
        return;
    }
    if (demux_first_byte(message.p[0]) == DEMUX_CHANNEL) {
        if (channel_data_decode(message, &channel, &data) == 0 && channel == BENCH_CHANNEL) {
            bench_count_packet(e, e->setup->pairs ? BENCH_UP : BENCH_DOWN, i, data, when_ns);
        }
    } else if (data_of(message, &data)) {
        bench_count_packet(e, e->setup->pairs ? BENCH_UP : BENCH_DOWN, i, data, when_ns);
    } else {
        e->heard = true;
        e->heard_ns = e->now_ns;
        e->unheard = 0;
        bench_client_message(e, i, message);
    }
}

void bench_link_at_client(void *engine, const struct bench_socket *socket, const struct net_ip *to,
                          struct bytes datagram, uint64_t when_ns)
{
    struct bench_engine *e = engine;
    const uint32_t i = bench_place_client_at(e, socket, to);

    if (i != UINT32_MAX) {
        take_message(e, i, datagram, when_ns);
    }
}

void bench_link_at_peer(void *engine, const struct bench_socket *socket, const struct net_ip *to,
                        struct bytes datagram, uint64_t when_ns)
{
    (void)socket;
    (void)to;
    bench_count_packet(engine, BENCH_UP, 0, datagram, when_ns);
}

/* Nobody listens there.  Which client learned it is known when the socket is its own. */
static void on_refusal(struct bench_engine *e, const struct bench_socket *socket)
{
    e->refusals++;
    if (!socket->sourced) {
        e->clients[socket->number].refused = true;
    }
}

static void read_client(struct bench_engine *e, uint32_t k, uint32_t events)
{
    struct bench_socket *socket = &e->sockets[k];

    if ((events & EPOLLERR) != 0 && socket->sourced && bench_socket_refused(socket)) {
        on_refusal(e, socket);
    }
    for (int reads = 0; reads < READS; reads++) {
        const int n = bench_rx_read(e->rx_client, socket, &e->result->own_drops);
        if (n == -ECONNREFUSED) {
            on_refusal(e, socket);
        }
        if (n != BENCH_RX_BATCH) {
            return;
        }
    }
}

static void read_peer(struct bench_engine *e, uint32_t k)
{
    for (int reads = 0; reads < READS; reads++) {
        if (bench_rx_read(e->rx_peer, &e->peers[k], &e->result->own_drops) != BENCH_RX_BATCH) {
            return;
        }
    }
}

static uint64_t wall_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

/* Cut `n` bytes of e->stream into messages.  0; -EBADMSG out of step; -ENOMEM; -ENOTCONN when a
 * message was the last one that the client waited for. */
static int take_stream(struct bench_engine *e, uint32_t i, size_t n)
{
    const uint64_t when_ns = wall_ns();
    struct bench_conn *conn = &e->clients[i].conn;
    struct bytes rest = {e->stream, n};
    uint32_t len;
    uint32_t step;
    int err;

    while ((err = stream_frame_next(rest, &len, &step)) == 0 && step <= rest.n) {
        take_message(e, i, (struct bytes){rest.p, len}, when_ns);
        if (conn->fd < 0) {
            return -ENOTCONN;
        }
        rest = (struct bytes){rest.p + step, rest.n - step};
    }
    return err == -EBADMSG ? err : bench_conn_carry(conn, rest.p, (uint32_t)rest.n);
}

/* Edge-triggered: until nothing is left. */
static void read_connection(struct bench_engine *e, uint32_t i)
{
    struct bench_conn *conn = &e->clients[i].conn;

    while (conn->fd >= 0) {
        const uint32_t kept = conn->carry_len;
        if (kept > 0) {
            memcpy(e->stream, conn->carry, kept);
        }
        const ssize_t n = bench_conn_read(conn, e->stream + kept, STREAM_READ);
        const int err = n > 0 ? take_stream(e, i, kept + (size_t)n) : (int)n;
        if (err < 0 && err != -ENOTCONN) {
            bench_client_lost(e, i, err, NULL);
        }
        if (n <= 0 || err < 0) {
            return;
        }
    }
}

static void on_connection(struct bench_engine *e, uint32_t i)
{
    struct bench_client *c = &e->clients[i];
    char why[256] = "";

    if (c->conn.fd < 0) {
        return;
    }
    if (c->step == BENCH_CONNECT) {
        const int err = bench_conn_advance(&c->conn, why, sizeof(why));
        if (err < 0) {
            bench_client_lost(e, i, err, why);
        } else if (err > 0) {
            bench_client_connected(e, i);
        }
        if (err <= 0) {
            return;
        }
    }
    if (c->conn.fd >= 0 && bench_conn_waits(&c->conn)) {
        const int err = bench_conn_flush(&c->conn);
        if (err < 0) {
            bench_client_lost(e, i, err, NULL);
            return;
        }
    }
    read_connection(e, i);
}

static void dispatch(struct bench_engine *e, const struct epoll_event *event)
{
    const uint32_t number = (uint32_t)event->data.u64;

    switch ((enum source)(event->data.u64 >> 32)) {
    case FROM_CLIENT:
        read_client(e, number, event->events);
        break;
    case FROM_PEER:
        read_peer(e, number);
        break;
    case FROM_CONNECTION:
    default:
        on_connection(e, number);
        break;
    }
}

/* --- waiting ---------------------------------------------------------------------------------- */

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000U),
                             .tv_nsec = (long)(ns % 1000000000U)};
}

void bench_link_turn(struct bench_engine *e, uint64_t until_ns, bool wake)
{
    struct epoll_event events[EVENTS];
    struct timespec wait = {.tv_sec = 0};

    if (!wake) { /* what comes meanwhile keeps the time at which the kernel received it */
        const struct timespec until = timespec_of(until_ns);
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    } else if (until_ns > e->now_ns) {
        wait = timespec_of(until_ns - e->now_ns);
    }
    for (int round = 0; round < ROUNDS; round++) {
        const int n = epoll_pwait2(e->epoll, events, EVENTS, &wait, NULL);
        e->now_ns = bench_run_now_ns();
        for (int k = 0; k < n; k++) {
            dispatch(e, &events[k]);
        }
        if (n < EVENTS) {
            return;
        }
        wait = timespec_of(0);
    }
}

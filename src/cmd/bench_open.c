/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets of a run, and whose they are. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "cmd/bench_int.h"
#include "crypto/mac.h"
#include "crypto/random.h"

enum {
    SHARED_CLIENTS = 256, /* of one shared socket, or of one peer's */
    SHARED_MAX = 16,
    SHARED_BUFFER = 8 << 20,
    OWN_BUFFER = 256 << 10,
    SPARE_FILES = 32,
    WHOLE_BYTES = 1300,   /* of payload: they fit any usual link, in an indication over IPv6, too */
    DATAGRAM_CAP = 16384, /* a payload of 8192 bytes in an indication, and any STUN message */
    STREAM_CAP = 1 << 20,
};

static int fail(struct bench_engine *e, int err, const char *what, const char *remedy)
{
    snprintf(e->result->why, sizeof(e->result->why), "%s: %s. %s", what, strerror(-err), remedy);
    return err;
}

/* --- limits ----------------------------------------------------------------------------------- */

/* How many sockets: clients on one of them need an address each. */
static uint32_t shared_count(const struct bench_engine *e)
{
    const uint32_t clients = e->setup->clients;
    const uint32_t size = bench_place_addresses(e);
    const uint32_t least = clients / size + (clients % size != 0);
    uint32_t count = (clients + SHARED_CLIENTS - 1) / SHARED_CLIENTS;

    count = count < SHARED_MAX ? count : (uint32_t)SHARED_MAX;
    /* cppcheck-suppress knownConditionTrueFalse; it depends on the addresses */
    return count > least ? count : least;
}

/* Every client needs a descriptor, unless they share sockets. */
static int raise_files(struct bench_engine *e)
{
    const rlim_t need = (rlim_t)(bench_place_shared(e) ? shared_count(e) : e->setup->clients) +
                        e->setup->peer_sockets + SPARE_FILES;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= need) {
        return 0;
    }
    limit.rlim_cur = need;
    if (need <= limit.rlim_max && setrlimit(RLIMIT_NOFILE, &limit) == 0) {
        return 0;
    }
    limit.rlim_max = need;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0) {
        return 0;
    }
    snprintf(e->result->why, sizeof(e->result->why),
             "%u clients need %llu open files, more than this process may have: raise its limit "
             "(ulimit -n), take fewer --clients, or give a range of addresses with --source.",
             e->setup->clients, (unsigned long long)need);
    return -EMFILE;
}

/* --- sockets ---------------------------------------------------------------------------------- */

static const char *remedy_for(int err)
{
    switch (-err) {
    case EADDRNOTAVAIL:
        return "This host does not own the address, or has no free port there: correct --source, "
               "or widen net.ipv4.ip_local_port_range.";
    case EAGAIN:
        return "This host has no free port left: widen net.ipv4.ip_local_port_range, take fewer "
               "--clients, or give a range of addresses with --source.";
    case ENETUNREACH:
        return "This host has no route to that address: try the other address family (-4 or -6).";
    case EMFILE:
    case ENFILE:
        return "Raise the limit of open files (ulimit -n).";
    default:
        return "This is an error of this host, not of the server.";
    }
}

static bool is_small(const struct bench_engine *e)
{
    return e->setup->packet_bytes <= WHOLE_BYTES;
}

static int open_own(struct bench_engine *e, bool gro)
{
    for (uint32_t i = 0; i < e->setup->clients; i++) {
        const struct bench_socket_options options = {
            .local = bench_place_source_of(e, i),
            .remote = &e->plan->server,
            .gro = gro,
            .whole = is_small(e),
            .buffer_bytes = OWN_BUFFER,
        };
        const int err = bench_socket_open(&options, i, &e->sockets[i]);
        if (err < 0) {
            return fail(e, err, "cannot open the socket of a client", remedy_for(err));
        }
        e->socket_count = i + 1;
    }
    return 0;
}

static int open_shared(struct bench_engine *e, bool gro)
{
    const uint32_t count = e->setup->client_sockets;
    const struct net_ip any = {.b = {0}};
    uint8_t v4[4] = {0};
    const struct net_ip any4 = net_ip_v4(v4);
    const bool is4 = net_ip_is_v4(&e->source);

    for (uint32_t k = 0; k < count; k++) {
        struct bench_socket_options options = {
            .local = net_addr_make(is4 ? &any4 : &any, 0),
            .sourced = true,
            .gro = gro,
            .whole = is_small(e),
            .buffer_bytes = SHARED_BUFFER,
        };
        const int err = bench_socket_open(&options, k, &e->sockets[k]);
        if (err < 0) {
            return fail(e, err, "cannot open a socket for clients", remedy_for(err));
        }
        e->socket_count = k + 1;
    }
    for (uint32_t i = 0; i < e->setup->clients; i++) {
        bench_place_settle(e, i);
    }
    return 0;
}

static int open_clients(struct bench_engine *e, bool gro)
{
    const bool shared = bench_place_shared(e);

    if (bench_is_stream(e)) {
        return 0;
    }
    if (shared) {
        e->setup->client_sockets = shared_count(e);
    } else {
        e->setup->client_sockets = e->setup->clients;
    }
    e->sockets = mem_new(e->setup->client_sockets, sizeof(e->sockets[0]));
    if (e->sockets == NULL) {
        return fail(e, -ENOMEM, "cannot begin", "");
    }
    return shared ? open_shared(e, gro) : open_own(e, gro);
}

/* Another port for a client with a socket of its own.  0 or an errno, the old one being kept. */
static int reopen_own(struct bench_engine *e, uint32_t i)
{
    struct bench_socket next;
    const struct bench_socket_options options = {
        .local = bench_place_source_of(e, i),
        .remote = &e->plan->server,
        .buffer_bytes = OWN_BUFFER,
    };
    int err = bench_socket_open(&options, i, &next);

    if (err == 0) {
        bench_tx_flush(e->tx[BENCH_UP]); /* what is queued goes by the old one */
        bench_socket_close(&e->sockets[i]);
        e->sockets[i] = next;
        err = bench_link_watch_client(e, i);
    }
    return err;
}

int bench_open_renew(struct bench_engine *e, uint32_t i)
{
    return bench_place_turn(e, i) ? 0 : reopen_own(e, i);
}

/* The address that this host has towards the server. */
static int own_address(struct bench_engine *e, struct net_ip *out)
{
    struct bench_socket s;
    const struct bench_socket_options options = {.remote = &e->plan->server};
    const int err = bench_socket_open(&options, 0, &s);

    if (err < 0) {
        return fail(e, err, "cannot send to the server", remedy_for(err));
    }
    *out = s.local.ip;
    bench_socket_close(&s);
    return 0;
}

static int open_peers(struct bench_engine *e, const struct net_ip *ip, bool gro)
{
    for (uint32_t k = 0; k < e->setup->peer_sockets; k++) {
        const struct bench_socket_options options = {
            .local = net_addr_make(ip, 0),
            .gro = gro,
            .whole = is_small(e),
            .buffer_bytes = SHARED_BUFFER,
        };
        const int err = bench_socket_open(&options, k, &e->peers[k]);
        if (err < 0) {
            return fail(e, err, "cannot open the socket of a peer",
                        err == -EADDRNOTAVAIL ? "--peer-address must be an address of this host."
                                              : remedy_for(err));
        }
    }
    return 0;
}

static int open_sockets(struct bench_engine *e)
{
    struct bench_setup *setup = e->setup;
    const bool gro = setup->burst > 1;
    struct net_ip peer = e->plan->peer;
    char text[NET_ADDR_TEXT];

    if (setup->peer_sockets == 0) {
        setup->peer_sockets = (setup->clients + SHARED_CLIENTS - 1) / SHARED_CLIENTS;
        setup->peer_sockets =
            setup->peer_sockets < SHARED_MAX ? setup->peer_sockets : (uint32_t)SHARED_MAX;
    }
    int err = raise_files(e);
    if (err == 0 && !e->plan->has_peer) {
        err = own_address(e, &peer);
    }
    if (err == 0) {
        snprintf(setup->peer, sizeof(setup->peer), "%s", net_ip_text(&peer, text));
        e->peers = mem_new(setup->peer_sockets, sizeof(e->peers[0]));
        err = e->peers == NULL ? fail(e, -ENOMEM, "cannot begin", "") : 0;
    }
    for (uint32_t k = 0; err == 0 && k < setup->peer_sockets; k++) {
        e->peers[k].fd = -1;
    }
    if (err == 0) {
        err = open_peers(e, &peer, gro);
    }
    return err == 0 ? open_clients(e, gro) : err;
}

/* --- everything else -------------------------------------------------------------------------- */

static void fill_body(uint8_t *body)
{
    for (uint32_t i = 0; i < BENCH_PAYLOAD_CAP; i++) {
        body[i] = (uint8_t)(i * 7 + 1);
    }
}

static int open_credentials(struct bench_engine *e)
{
    const struct probe_login *login = &e->plan->login;
    const int err = probe_auth_init(&e->auth, login->has_user ? login->user : NULL,
                                    login->has_user ? login->password : NULL);

    return err == 0 ? 0
                    : fail(e, err, "the user name or password cannot be used",
                           "It holds characters that are not allowed in one (RFC 8265), or is too "
                           "long.");
}

static int open_memory(struct bench_engine *e)
{
    const bool gro = e->setup->burst > 1;
    struct crypto_random *random = crypto_random_new();

    e->clients = mem_new(e->setup->clients, sizeof(e->clients[0]));
    e->order = mem_new(e->setup->clients, sizeof(e->order[0]));
    e->body = mem_new(1, BENCH_PAYLOAD_CAP);
    e->stream = mem_new(1, STREAM_CAP);
    e->mac = crypto_mac_new();
    for (int way = 0; way < BENCH_WAYS && e->body != NULL; way++) {
        e->tx[way] = bench_tx_new(e->body, bench_count_sent, e);
    }
    e->rx_client = bench_rx_new(DATAGRAM_CAP, gro, bench_link_at_client, e);
    e->rx_peer = bench_rx_new(DATAGRAM_CAP, gro, bench_link_at_peer, e);
    if (random != NULL) {
        crypto_random_fill(random, (uint8_t *)&e->run, sizeof(e->run));
    }
    const bool ok = random != NULL && e->clients != NULL && e->order != NULL && e->body != NULL &&
                    e->stream != NULL && e->mac != NULL && e->tx[BENCH_UP] != NULL &&
                    e->tx[BENCH_DOWN] != NULL && e->rx_client != NULL && e->rx_peer != NULL;
    crypto_random_free(random);
    if (!ok) {
        return fail(e, -ENOMEM, "cannot begin", "Take fewer --clients.");
    }
    fill_body(e->body);
    for (uint32_t i = 0; i < e->setup->clients; i++) {
        wheel_timer_init(&e->clients[i].timer);
        e->clients[i].step = BENCH_IDLE;
        e->clients[i].conn.fd = -1;
    }
    return 0;
}

int bench_open(struct bench_engine *e)
{
    char why[256] = "";

    e->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (e->epoll < 0) {
        return fail(e, -errno, "cannot begin", "");
    }
    bench_socket_name(&e->plan->server, &e->server);
    e->source = bench_place_network(e->plan);
    int err = open_memory(e);
    if (err == 0) {
        err = open_credentials(e);
    }
    if (err == 0 && e->setup->transport == BENCH_TLS) {
        err = bench_conn_context(e->plan->ca, e->plan->insecure, &e->tls, why, sizeof(why));
        if (err < 0) {
            snprintf(e->result->why, sizeof(e->result->why), "%s. Look at --ca.", why);
        }
    }
    if (err == 0) {
        err = open_sockets(e);
    }
    if (err == 0) {
        err = bench_link_watch_all(e);
        return err == 0 ? 0 : fail(e, err, "cannot watch the sockets", "");
    }
    return err;
}

void bench_open_undo(struct bench_engine *e)
{
    for (uint32_t i = 0; e->clients != NULL && i < e->setup->clients; i++) {
        bench_conn_close(&e->clients[i].conn);
        free(e->clients[i].nonce);
    }
    for (uint32_t i = 0; i < e->socket_count; i++) {
        bench_socket_close(&e->sockets[i]);
    }
    for (uint32_t k = 0; e->peers != NULL && k < e->setup->peer_sockets; k++) {
        bench_socket_close(&e->peers[k]);
    }
    if (e->epoll >= 0) {
        (void)close(e->epoll);
    }
    free(e->clients);
    free(e->order);
    free(e->sockets);
    free(e->peers);
    free(e->body);
    free(e->stream);
    bench_tx_free(e->tx[BENCH_UP]);
    bench_tx_free(e->tx[BENCH_DOWN]);
    bench_rx_free(e->rx_client);
    bench_rx_free(e->rx_peer);
    crypto_mac_free(e->mac);
    bench_conn_context_free(e->tls);
    probe_auth_fini(&e->auth);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/relay_ports.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/slab.h"
#include "base/table.h"
#include "conf/conf.h"
#include "crypto/random.h"
#include "io/stream.h"
#include "io/udp.h"
#include "relay/interfaces.h"
#include "relay/port_pool.h"
#include "turn/turn_server.h"

/* How many ports that foreign programs hold are passed over for one allocation. */
enum { OPEN_TRIES = 32, TCP_BACKLOG = 128, RESERVATIONS_PER_USER = RELAY_PORTS_RESERVATIONS / 16 };

/* An open socket without an allocation.  All live equally long, so the list is in order of age. */
struct reservation {
    uint64_t token;
    uint64_t user; /* hash of the user's name */
    uint64_t expires_ms;
    struct net_addr addr;
    struct list node;
    int fd;
};

struct relay_ports {
    struct hash_key key;
    pthread_mutex_t lock;
    struct port_pool *pool;
    struct crypto_random *random;
    struct slab *reservations;
    struct table by_token;
    struct list by_age;
    struct interfaces own;
    size_t extra;       /* relay addresses of clients that are no address of an interface */
    uint64_t sockets;   /* open now */
    uint64_t budget;    /* of sockets: the rest of the descriptors is for the server itself */
    size_t given_count; /* relay-ip; else relay addresses follow the clients */
    struct net_ip *given;
};

static int own_copy(const struct interfaces *from, struct interfaces *out)
{
    struct interface_address *items = mem_new(from->count + 1, sizeof(*items));
    if (items == NULL) {
        return -ENOMEM;
    }
    if (from->count > 0) {
        memcpy(items, from->items, from->count * sizeof(*items));
    }
    *out = (struct interfaces){from->count, items};
    return 0;
}

/* Can a socket be bound to `ip` at all? */
static int probe_ip(const struct net_ip *ip)
{
    const struct udp_options options = {.local = net_addr_make(ip, 0)};
    struct udp_port port;
    const int err = udp_open(&options, &port);

    if (err == 0) {
        udp_close(&port);
    }
    return err;
}

/* Sockets that may be open at once.  Files, databases and the list of our own addresses need a
 * descriptor now and then, however many clients there are. */
static uint64_t socket_budget(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY) {
        return UINT64_MAX;
    }
    const uint64_t quarter = limit.rlim_cur / 4;
    return limit.rlim_cur - (quarter < RELAY_PORTS_SPARE_FDS ? quarter : RELAY_PORTS_SPARE_FDS);
}

static int read_given(struct relay_ports *ports, const struct conf *conf, char *why, size_t cap)
{
    ports->given = mem_new(conf->relay_ip.count + 1, sizeof(*ports->given));
    if (ports->given == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < conf->relay_ip.count; i++) {
        const struct conf_text *item = &conf->relay_ip.items[i];
        struct net_ip *ip = &ports->given[ports->given_count];
        int err = net_ip_parse(item->text, ip) < 0 ? -EINVAL : probe_ip(ip);
        if (err < 0) {
            (void)snprintf(why, cap,
                           "%s:%u: relay-ip %s cannot be used: %s; give an address of "
                           "this host",
                           item->file, item->line, item->text, strerror(-err));
            return err;
        }
        err = port_pool_add(ports->pool, ip);
        if (err == -EEXIST) {
            continue; /* given twice */
        }
        if (err < 0) {
            return err;
        }
        ports->given_count++;
    }
    return 0;
}

static int make_parts(struct relay_ports *ports, const struct conf *conf,
                      const struct interfaces *own)
{
    ports->random = crypto_random_new();
    if (ports->random == NULL) {
        return -ENOMEM;
    }
    crypto_random_fill(ports->random, (uint8_t *)&ports->key, sizeof(ports->key));
    table_init(&ports->by_token, offsetof(struct reservation, token), sizeof(uint64_t), ports->key);
    const struct port_pool_options options = {
        .port_min = (uint16_t)conf->min_port,
        .port_max = (uint16_t)conf->max_port,
        .quarantine_ms = (uint64_t)conf->port_quarantine * 1000,
        .random_fill = crypto_random_fill,
        .random_arg = ports->random,
    };
    ports->pool = port_pool_new(&options);
    ports->reservations = slab_new(sizeof(struct reservation), RELAY_PORTS_RESERVATIONS);
    if (ports->pool == NULL || ports->reservations == NULL) {
        return -ENOMEM;
    }
    return own_copy(own, &ports->own);
}

int relay_ports_new(const struct conf *conf, const struct interfaces *own, struct relay_ports **out,
                    char *why, size_t cap)
{
    struct relay_ports *ports = mem_new(1, sizeof(*ports));
    if (ports == NULL) {
        return -ENOMEM;
    }
    (void)pthread_mutex_init(&ports->lock, NULL);
    list_init(&ports->by_age);
    ports->budget = socket_budget();
    int err = make_parts(ports, conf, own);
    if (err == 0) {
        err = read_given(ports, conf, why, cap);
    }
    if (err < 0) {
        relay_ports_free(ports);
        return err;
    }
    *out = ports;
    return 0;
}

void relay_ports_spare(struct relay_ports *ports, size_t count)
{
    if (ports->budget != UINT64_MAX) {
        ports->budget -= ports->budget < count ? ports->budget : count;
    }
}

/* A socket is closed, or was never opened: its port rests.  The lock is held. */
static void give(struct relay_ports *ports, const struct net_addr *addr, uint64_t now_ms)
{
    port_pool_give(ports->pool, addr, now_ms);
    ports->sockets--;
}

/* --- reservations; the lock is held -------------------------------------------------------------
 */

static void reservation_forget(struct relay_ports *ports, struct reservation *r)
{
    (void)table_remove(&ports->by_token, &r->token);
    list_remove(&r->node);
    slab_put(ports->reservations, r);
}

static void reservations_sweep(struct relay_ports *ports, uint64_t now_ms)
{
    while (!list_empty(&ports->by_age)) {
        struct reservation *r = CONTAINER_OF(ports->by_age.next, struct reservation, node);
        if (r->expires_ms > now_ms) {
            return;
        }
        (void)close(r->fd);
        give(ports, &r->addr, now_ms);
        reservation_forget(ports, r);
    }
}

/* A user's live reservations: they are no allocations and no quota counts them, so they are few. */
static bool user_has_room(const struct relay_ports *ports, uint64_t user)
{
    unsigned count = 0;

    LIST_EACH (node, &ports->by_age) {
        count += CONTAINER_OF(node, struct reservation, node)->user == user;
    }
    return count < RESERVATIONS_PER_USER;
}

/* Keep the socket `fd`; 0, or -ENOSPC with the caller still owning it. */
static int reservation_keep(struct relay_ports *ports, const struct turn_relay_want *want,
                            const struct net_addr *addr, int fd, uint64_t now_ms)
{
    const uint64_t user = hash_bytes(&ports->key, want->user.p, want->user.n);
    struct reservation *r = user_has_room(ports, user) ? slab_get(ports->reservations) : NULL;

    if (r == NULL) {
        return -ENOSPC;
    }
    r->token = want->new_token;
    r->user = user;
    r->expires_ms = now_ms + RELAY_PORTS_RESERVATION_MS;
    r->addr = *addr;
    r->fd = fd;
    list_init(&r->node);
    if (table_insert(&ports->by_token, r) < 0) {
        slab_put(ports->reservations, r);
        return -ENOSPC;
    }
    list_push(&ports->by_age, &r->node);
    return 0;
}

void relay_ports_free(struct relay_ports *ports)
{
    if (ports == NULL) {
        return;
    }
    reservations_sweep(ports, UINT64_MAX);
    table_fini(&ports->by_token);
    slab_free(ports->reservations);
    port_pool_free(ports->pool);
    crypto_random_free(ports->random);
    interfaces_fini(&ports->own);
    free(ports->given);
    (void)pthread_mutex_destroy(&ports->lock);
    free(ports);
}

void relay_ports_sweep(struct relay_ports *ports, uint64_t now_ms)
{
    (void)pthread_mutex_lock(&ports->lock);
    reservations_sweep(ports, now_ms);
    (void)pthread_mutex_unlock(&ports->lock);
}

static int redeem(struct relay_ports *ports, uint64_t token, uint64_t now_ms, struct udp_port *out)
{
    (void)pthread_mutex_lock(&ports->lock);
    reservations_sweep(ports, now_ms);
    struct reservation *r = table_find(&ports->by_token, &token);
    if (r != NULL) {
        udp_adopt(out, r->fd, &r->addr, true);
        reservation_forget(ports, r);
    }
    (void)pthread_mutex_unlock(&ports->lock);
    return r != NULL ? 0 : -ENOENT;
}

/* --- choice ------------------------------------------------------------------------------------
 */

static bool ip_serves(const struct net_ip *ip, uint8_t family)
{
    return net_ip_is_v4(ip) == (family == NET_V4);
}

/* Take a port on one of the addresses given.  `gone` counts those that turned out not to be there
 * for this allocation: each further try begins with another one. */
static int take_given(struct relay_ports *ports, uint8_t family, enum port_want kind, size_t gone,
                      uint64_t now_ms, struct net_addr *out)
{
    int err = -ENOSPC;

    if (gone == 0) {
        return port_pool_take(ports->pool, NULL, family, kind, now_ms, out);
    }
    for (size_t i = 0; err < 0 && i < ports->given_count; i++) {
        const struct net_ip *ip = &ports->given[(gone + i) % ports->given_count];
        if (ip_serves(ip, family)) {
            err = port_pool_take(ports->pool, ip, family, kind, now_ms, out);
        }
    }
    return err;
}

/* The first client of `ip` has come.  Its ports take some 400 KiB for good, and whole networks may
 * be routed to this host (127.0.0.0/8 is): only addresses of interfaces are as many as it takes. */
static int add_address(struct relay_ports *ports, const struct net_ip *ip)
{
    const bool extra = !interfaces_have(&ports->own, ip);

    if (extra && ports->extra >= RELAY_PORTS_EXTRA_ADDRESSES) {
        return -ENOSPC;
    }
    const int err = port_pool_add(ports->pool, ip);
    if (err < 0) {
        return -ENOSPC;
    }
    ports->extra += extra ? 1 : 0;
    return 0;
}

/* A link-local address serves nobody beyond its link, and cannot be bound without its scope. */
static bool relays_elsewhere(const struct turn_relay_want *want)
{
    return want->server.family != want->family ||
           (want->family == NET_V6 && interfaces_link_local(&want->server.ip));
}

/* Choose a port as `want` says; the lock is held. */
static int choose(struct relay_ports *ports, const struct turn_relay_want *want, size_t gone,
                  uint64_t now_ms, struct net_addr *out)
{
    static const enum port_want kinds[] = {
        [TURN_PORT_ANY] = PORT_ANY,
        [TURN_PORT_EVEN] = PORT_EVEN,
        [TURN_PORT_EVEN_RESERVE] = PORT_EVEN_PAIR,
    };
    const enum port_want kind = kinds[want->want];
    struct net_ip ip = want->server.ip;

    if (ports->given_count > 0) {
        return take_given(ports, want->family, kind, gone, now_ms, out);
    }
    /* The address that the client reached; for the other family, or when this host does not have it
     * (a balancer told it), the one that fits it best. */
    if ((relays_elsewhere(want) || gone > 0) &&
        !interfaces_best(&ports->own, &want->server.ip, want->family, &ip)) {
        return -ENOENT;
    }
    int err = port_pool_take(ports->pool, &ip, want->family, kind, now_ms, out);
    if (err == -ENOENT) {
        err = add_address(ports, &ip);
        err = err == 0 ? port_pool_take(ports->pool, &ip, want->family, kind, now_ms, out) : err;
    }
    return err;
}

/* Take a port, or a pair, for sockets that the budget allows; the lock is held. */
static int take(struct relay_ports *ports, const struct turn_relay_want *want, size_t gone,
                uint64_t now_ms, struct net_addr *out)
{
    const uint64_t count = want->want == TURN_PORT_EVEN_RESERVE ? 2 : 1;

    if (ports->sockets + count > ports->budget) {
        return -ENOSPC;
    }
    const int err = choose(ports, want, gone, now_ms, out);
    ports->sockets += err == 0 ? count : 0;
    return err;
}

/* A listening socket in the place of a UDP one (RFC 6062): others on the same address and port, of
 * this server, connect from there. */
static int open_tcp(const struct net_addr *addr, struct udp_port *out)
{
    int fd = -1;
    const int err = stream_listen_fd(addr, true, TCP_BACKLOG, &fd);

    if (err == 0) {
        udp_adopt(out, fd, addr, false);
    }
    return err;
}

static int open_one(const struct net_addr *addr, uint8_t protocol, bool ask_tos,
                    struct udp_port *out)
{
    const struct udp_options options = {
        .local = *addr,
        .ask_tos = ask_tos,
        .ask_errors = true,
        .ask_drops = true,
    };

    return protocol == NET_TCP ? open_tcp(addr, out) : udp_open(&options, out);
}

/* Open the socket on `addr`, and the next one when it is a pair. */
static int open_taken(const struct net_addr *addr, const struct turn_relay_want *want, bool ask_tos,
                      struct udp_port *out, struct udp_port *out_next)
{
    int err = open_one(addr, want->protocol, ask_tos, out);
    if (err == 0 && want->want == TURN_PORT_EVEN_RESERVE) {
        struct net_addr next = *addr;
        next.port++;
        err = open_one(&next, NET_UDP, ask_tos, out_next);
        if (err < 0) {
            udp_close(out);
        }
    }
    return err;
}

static void give_taken(struct relay_ports *ports, const struct net_addr *addr, bool pair,
                       uint64_t now_ms)
{
    struct net_addr next = *addr;

    give(ports, addr, now_ms);
    if (pair) {
        next.port++;
        give(ports, &next, now_ms);
    }
}

/* The even socket is `out`; keep the odd one for whoever comes with the token. */
static int keep_next(struct relay_ports *ports, const struct turn_relay_want *want,
                     struct udp_port *next, struct udp_port *out, uint64_t now_ms)
{
    (void)pthread_mutex_lock(&ports->lock);
    const int err = reservation_keep(ports, want, &next->local, next->fd, now_ms);
    if (err < 0) {
        give_taken(ports, &out->local, true, now_ms);
    }
    (void)pthread_mutex_unlock(&ports->lock);
    if (err < 0) {
        udp_close(next);
        udp_close(out);
    }
    return err;
}

/* May the next port be better?  A foreign program has this one (or may: EACCES), or the address has
 * left this host and there are others. */
static bool worth_a_try(const struct relay_ports *ports, int err)
{
    return err == -EADDRINUSE || err == -EACCES ||
           (err == -EADDRNOTAVAIL && ports->given_count != 1);
}

int relay_ports_open(struct relay_ports *ports, const struct turn_relay_want *want, bool ask_tos,
                     uint64_t now_ms, struct udp_port *out)
{
    const bool pair = want->want == TURN_PORT_EVEN_RESERVE;
    size_t gone = 0;

    if (want->want == TURN_PORT_RESERVED) {
        return redeem(ports, want->token, now_ms, out);
    }
    for (int tries = 0; tries < OPEN_TRIES; tries++) {
        struct udp_port next = {.fd = -1};
        struct net_addr addr;

        (void)pthread_mutex_lock(&ports->lock);
        reservations_sweep(ports, now_ms);
        int err = take(ports, want, gone, now_ms, &addr);
        (void)pthread_mutex_unlock(&ports->lock);
        if (err < 0) {
            return err == -ENOENT ? -EAFNOSUPPORT : -ENOSPC;
        }
        err = open_taken(&addr, want, ask_tos, out, &next);
        if (err == 0) {
            return pair ? keep_next(ports, want, &next, out, now_ms) : 0;
        }
        /* Given back, the port rests a while. */
        (void)pthread_mutex_lock(&ports->lock);
        give_taken(ports, &addr, pair, now_ms);
        (void)pthread_mutex_unlock(&ports->lock);
        gone += err == -EADDRNOTAVAIL ? 1 : 0;
        if (!worth_a_try(ports, err)) {
            return -ENOSPC;
        }
    }
    return -ENOSPC;
}

void relay_ports_close(struct relay_ports *ports, struct udp_port *port, uint64_t now_ms)
{
    udp_close(port);
    (void)pthread_mutex_lock(&ports->lock);
    give(ports, &port->local, now_ms);
    (void)pthread_mutex_unlock(&ports->lock);
}

int relay_ports_refresh(struct relay_ports *ports, const struct interfaces *own)
{
    struct interfaces copy;
    const int err = own_copy(own, &copy);
    if (err < 0) {
        return err;
    }
    (void)pthread_mutex_lock(&ports->lock);
    struct interfaces old = ports->own;
    ports->own = copy;
    (void)pthread_mutex_unlock(&ports->lock);
    interfaces_fini(&old);
    return 0;
}

bool relay_ports_serve(struct relay_ports *ports, uint8_t family)
{
    bool found = false;

    for (size_t i = 0; i < ports->given_count; i++) {
        found = found || ip_serves(&ports->given[i], family);
    }
    if (ports->given_count > 0) {
        return found;
    }
    (void)pthread_mutex_lock(&ports->lock);
    for (size_t i = 0; i < ports->own.count; i++) {
        const struct interface_address *item = &ports->own.items[i];
        found = found || (!item->link_local && !item->down && ip_serves(&item->ip, family));
    }
    (void)pthread_mutex_unlock(&ports->lock);
    return found;
}

size_t relay_ports_given(const struct relay_ports *ports, const struct net_ip **out)
{
    *out = ports->given;
    return ports->given_count;
}

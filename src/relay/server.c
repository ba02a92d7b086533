/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/secret.h"
#include "conf/conf.h"
#include "crypto/random.h"
#include "io/conn_limit.h"
#include "io/tls.h"
#include "relay/address_watch.h"
#include "relay/cpus.h"
#include "relay/external.h"
#include "relay/plan.h"
#include "relay/relay_ports.h"
#include "relay/server_int.h"
#include "relay/watchdog.h"
#include "turn/quota.h"

enum {
    DEFAULT_ALLOCATIONS = 200000,
    WORKER_FDS = 16,
    CONNECTIONS_MAX = 1 << 20,
    CONNECTIONS_SHARE = 2, /* one worker may have all clients' connections, and as many of peers */
};

/* --- opening -------------------------------------------------------------------------------------
 */

static uint32_t count_workers(const struct conf *conf)
{
    if (conf->is_set[CONF_OPT_relay_threads]) {
        return conf->relay_threads > 0 ? conf->relay_threads : 1;
    }
    return conf->cpus > 0 ? conf->cpus : cpus_usable();
}

static int open_listener(struct relay_server *s, size_t item, struct opened_listener *out,
                         char *why, size_t cap)
{
    out->fd = -1;
    out->port.fd = -1;
    return s->plan.item[item].stream ? listener_open_stream(&s->plan, item, &out->fd, why, cap)
                                     : listener_open(&s->plan, item, &out->port, why, cap);
}

/* All sockets of all workers are bound before any worker reads: as long as the group of sockets on
 * one address stays as it is, the kernel hands a client to the same worker every time. */
static int open_listeners(struct relay_server *s, char *why, size_t cap)
{
    int err = listener_plan_make(s->conf, &s->plan, why, cap);
    if (err < 0) {
        return err;
    }
    s->listeners = mem_new(s->worker_count * s->plan.count, sizeof(*s->listeners));
    if (s->listeners == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; err == 0 && i < s->worker_count * s->plan.count; i++) {
        err = open_listener(s, i % s->plan.count, &s->listeners[i], why, cap);
        s->listener_count += err == 0 ? 1 : 0;
    }
    return err;
}

static int make_nonce_key(struct relay_server *s)
{
    struct crypto_random *random = crypto_random_new();
    if (random == NULL) {
        return -ENOMEM;
    }
    crypto_random_fill(random, s->nonce_key, sizeof(s->nonce_key));
    crypto_random_free(random);
    return 0;
}

/* Keys are read here: later, privileges may be gone. */
static int open_certificates(struct relay_server *s, char *why, size_t cap)
{
    if (s->conf->tls_ticket_rotation > 0) {
        s->tickets = tls_tickets_new(s->conf->tls_ticket_rotation);
        if (s->tickets == NULL) {
            return -ENOMEM;
        }
    }
    return server_make_certificates(s, s->conf, &s->tls, why, cap);
}

/* Most connections of clients that there can ever be: half of the descriptors. */
static uint32_t connection_room(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur / 2 >= CONNECTIONS_MAX) {
        return CONNECTIONS_MAX;
    }
    return (uint32_t)(limit.rlim_cur / 2);
}

static struct conn_limit *make_conn_limit(const struct relay_server *s)
{
    const struct conn_limits none = {.total = 0}; /* the settings bring them */
    struct crypto_random *random = crypto_random_new();
    struct hash_key key;

    if (random == NULL) {
        return NULL;
    }
    crypto_random_fill(random, (uint8_t *)&key, sizeof(key));
    crypto_random_free(random);
    return conn_limit_new(&none, s->connection_room, key);
}

static int open_parts(struct relay_server *s, char *why, size_t cap)
{
    s->watch_fd = address_watch_open(); /* first: what changes from now on is told */
    int err = interfaces_read(&s->own);
    if (err < 0) {
        (void)snprintf(why, cap, "cannot read the addresses of this host: %s", strerror(-err));
        return err;
    }
    err = external_map_new(s->conf, &s->own, &s->external, why, cap);
    err = err == 0 ? relay_ports_new(s->conf, &s->own, &s->ports, why, cap) : err;
    err = err == 0 ? open_certificates(s, why, cap) : err;
    err = err == 0 ? open_listeners(s, why, cap) : err;
    err = err == 0 ? make_nonce_key(s) : err;
    if (err < 0) {
        return err;
    }
    relay_ports_spare(s->ports, s->listener_count + (size_t)s->worker_count * WORKER_FDS +
                                    s->max_connections);
    s->quota = quota_new(s->conf->user_quota, server_quota_limit(s, s->conf), s->max_allocations);
    s->workers = mem_new(s->worker_count, sizeof(struct worker *));
    s->watchdogs = mem_new(s->worker_count, sizeof(*s->watchdogs));
    s->conns = make_conn_limit(s);
    if (s->quota == NULL || s->workers == NULL || s->watchdogs == NULL || s->conns == NULL) {
        return -ENOMEM;
    }
    return 0;
}

int relay_server_open(struct conf *conf, struct file_keeper *keeper, struct relay_server **out,
                      char *why, size_t cap)
{
    struct relay_server *s = mem_new(1, sizeof(*s));

    (void)snprintf(why, cap, "out of memory");
    if (s == NULL) {
        return -ENOMEM;
    }
    s->start = conf_ref(conf);
    s->conf = conf_ref(conf);
    s->keeper = keeper;
    s->watch_fd = -1;
    s->worker_count = count_workers(conf);
    s->max_allocations = conf->max_allocations > 0 ? conf->max_allocations : DEFAULT_ALLOCATIONS;
    s->connection_room = connection_room();
    s->max_connections =
        conf->max_connections < s->connection_room ? conf->max_connections : s->connection_room;
    (void)pthread_mutex_init(&s->quota_lock, NULL);
    const int err = open_parts(s, why, cap);
    if (err < 0) {
        relay_server_stop(s);
        return err;
    }
    *out = s;
    return 0;
}

/* --- running -------------------------------------------------------------------------------------
 */

static int make_worker(struct relay_server *s, unsigned index)
{
    int err = worker_new(&s->env, s->settings, index, &s->workers[index]);

    for (size_t i = 0; err == 0 && i < s->plan.count; i++) {
        struct opened_listener *opened = &s->listeners[index * s->plan.count + i];
        const struct listener_spec *spec = &s->plan.item[i];
        err = spec->stream ? worker_listen_stream(s->workers[index], opened->fd, spec)
                           : worker_listen(s->workers[index], &opened->port, spec);
        if (err == 0) { /* the worker's now */
            opened->fd = -1;
            opened->port.fd = -1;
        }
    }
    return err;
}

static int start_workers(struct relay_server *s)
{
    int err = 0;

    for (uint32_t i = 0; err == 0 && i < s->worker_count; i++) {
        err = make_worker(s, i);
    }
    for (uint32_t i = 0; err == 0 && i < s->worker_count; i++) {
        err = worker_start(s->workers[i]);
    }
    return err;
}

static uint32_t granted_buffer(const struct relay_server *s)
{
    for (size_t i = 0; i < s->plan.count; i++) {
        if (!s->plan.item[i].stream) {
            return udp_buffer_bytes(&s->listeners[i].port);
        }
    }
    return s->plan.buffer_bytes; /* no UDP */
}

int relay_server_run(struct relay_server *s, char *why, size_t cap)
{
    const struct plan plan = {
        .workers = s->worker_count,
        .max_allocations = s->max_allocations,
        .port_min = (uint16_t)s->conf->min_port,
        .port_max = (uint16_t)s->conf->max_port,
        .buffer_asked = s->plan.buffer_bytes,
        .buffer_granted = granted_buffer(s),
        .max_connections = s->max_connections,
    };

    (void)snprintf(why, cap, "out of memory");
    plan_log(&plan);
    int err = auth_service_new(s->conf, &s->auth, why, cap);
    err = err == 0 ? server_make_settings(s, s->conf, false, &s->settings, why, cap) : err;
    if (err < 0) {
        return err;
    }
    s->abilities = s->made_for;
    s->env = (struct worker_env){
        .ports = s->ports,
        .external = s->external,
        .quota = s->quota,
        .quota_lock = &s->quota_lock,
        .capacity = s->capacity,
        .auth = s->auth,
        .conns = s->conns,
        .workers = s->workers,
        .worker_count = s->worker_count,
        .max_allocations = s->max_allocations,
        .max_connections = CONNECTIONS_SHARE * s->connection_room,
    };
    server_apply_limits(s, s->conf, s->settings);
    err = start_workers(s);
    if (err < 0) {
        (void)snprintf(why, cap, "cannot start %u workers: %s", s->worker_count, strerror(-err));
    }
    return err;
}

void relay_server_stop(struct relay_server *s)
{
    if (s == NULL) {
        return;
    }
    for (uint32_t i = 0; s->workers != NULL && i < s->worker_count; i++) {
        worker_stop(s->workers[i]);
    }
    for (uint32_t i = 0; s->workers != NULL && i < s->worker_count; i++) {
        worker_free(s->workers[i]);
    }
    auth_service_free(s->auth);
    settings_free(s->settings);
    for (size_t i = 0; i < s->listener_count; i++) {
        udp_close(&s->listeners[i].port);
        if (s->listeners[i].fd >= 0) {
            (void)close(s->listeners[i].fd);
        }
    }
    free(s->listeners);
    free(s->workers);
    free(s->watchdogs);
    tls_set_unref(s->tls);
    tls_tickets_free(s->tickets);
    conn_limit_free(s->conns);
    quota_free(s->quota);
    relay_ports_free(s->ports);
    external_map_free(s->external);
    interfaces_fini(&s->own);
    if (s->watch_fd >= 0) {
        (void)close(s->watch_fd);
    }
    (void)pthread_mutex_destroy(&s->quota_lock);
    conf_unref(s->conf);
    conf_unref(s->start);
    secret_wipe(s->nonce_key, sizeof(s->nonce_key));
    free(s);
}

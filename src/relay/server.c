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
#include "io/udp_gso.h"
#include "log/log.h"
#include "relay/address_watch.h"
#include "relay/directory.h"
#include "relay/dispatcher.h"
#include "relay/external.h"
#include "relay/plan.h"
#include "relay/quotas.h"
#include "relay/realms.h"
#include "relay/relay_ports.h"
#include "relay/server_int.h"
#include "relay/watchdog.h"

enum {
    DEFAULT_ALLOCATIONS = 200000,
    WORKER_FDS = 16,
    CONNECTIONS_MAX = 1 << 20,
    CONNECTIONS_SHARE = 2, /* one worker may have all clients' connections, and as many of peers */
};

/* --- opening -------------------------------------------------------------------------------------
 */

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

static void open_kernel_path(struct relay_server *s)
{
    struct kernel_path_input in = {
        .conf = s->conf,
        .own = &s->own,
        .listeners = &s->plan,
        .external = s->external,
        .max_allocations = s->max_allocations,
    };

    in.relay_count = relay_ports_given(s->ports, &in.relays);
    s->kernel_path = kernel_path_open(&in);
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
    err = err == 0 ? server_open_front(s, why, cap) : err;
    err = err == 0 ? make_nonce_key(s) : err;
    if (err < 0) {
        return err;
    }
    const uint32_t workers_max = front_workers_max(s->front);
    relay_ports_spare(s->ports, front_sockets(s->front) + (size_t)workers_max * WORKER_FDS +
                                    s->max_connections);
    s->realms = realms_new();
    s->quotas = quotas_new(s->max_allocations);
    s->workers = mem_new(workers_max, sizeof(struct worker *));
    s->watchdogs = mem_new(workers_max, sizeof(*s->watchdogs));
    s->conns = make_conn_limit(s);
    if (s->realms == NULL || s->quotas == NULL || s->workers == NULL || s->watchdogs == NULL ||
        s->conns == NULL) {
        return -ENOMEM;
    }
    open_kernel_path(s);
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
    s->max_allocations = conf->max_allocations > 0 ? conf->max_allocations : DEFAULT_ALLOCATIONS;
    s->connection_room = connection_room();
    s->max_connections =
        conf->max_connections < s->connection_room ? conf->max_connections : s->connection_room;
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

static int start_workers(struct relay_server *s)
{
    const uint32_t wanted = server_workers_wanted(s->conf);
    int err = 0;

    while (err == 0 && s->worker_count < wanted) {
        err = server_add_worker(s);
    }
    err = err == 0 ? server_spread_sockets(s) : err;
    err = err == 0 ? server_start_workers(s) : err;
    return err == 0 && s->dispatcher != NULL ? dispatcher_start(s->dispatcher) : err;
}

static uint32_t granted_buffer(const struct relay_server *s)
{
    for (uint32_t i = 0; i < s->front->item_count; i++) {
        const struct front_item *item = s->front->item[i];

        if (!item->spec.stream) {
            const struct udp_port port = {.fd = item->fd[0]};
            return udp_buffer_bytes(&port);
        }
    }
    return s->plan.buffer_bytes; /* no UDP */
}

/* Bursts leave as one buffer where the kernel cuts them right. */
static bool may_segment(const struct conf *conf)
{
    const int err = conf->udp_gso ? udp_gso_test() : -EOPNOTSUPP;

    if (conf->udp_gso && err < 0) {
        log_event(LOG_NOTICE, "bursts.single", LOG_ERRNO("why", err),
                  LOG_TEXT("effect", "each packet of a burst is sent by itself"), LOG_END);
    }
    return err == 0;
}

int relay_server_run(struct relay_server *s, char *why, size_t cap)
{
    const struct plan plan = {
        .workers = server_workers_wanted(s->conf),
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
    settings_tell_redirects(s->settings, NULL);
    s->followed = s->made_for;
    s->followed_backends = s->made_for_backends;
    server_tell_ignored(s->settings, NULL);
    quotas_set_limits(s->quotas, s->settings->realms.quotas, s->settings->realms.count + 1);
    kernel_path_start(&s->kernel_path, s->conf);
    kernel_path_share(s->kernel_path, s->capacity);
    kernel_path_configure(s->kernel_path, s->conf, s->settings->config.main.max_bps);
    kernel_path_listen(s->kernel_path, &s->plan, &s->own);
    s->env = (struct worker_env){
        .ports = s->ports,
        .external = s->external,
        .quotas = s->quotas,
        .capacity = s->capacity,
        .auth = s->auth,
        .conns = s->conns,
        .front = s->front,
        .directory = s->directory,
        .workers = s->workers,
        .max_allocations = s->max_allocations,
        .max_connections = CONNECTIONS_SHARE * s->connection_room,
        .kernel_path = s->kernel_path,
        .mirror = kernel_path_mirror(s->kernel_path),
        .gso = may_segment(s->conf),
        .single = kernel_path_wants_single(s->kernel_path),
        .buffer_bytes = s->plan.buffer_bytes,
        .pinned = s->conf->worker_affinity == CONF_AFFINITY_CPU,
    };
    server_apply_limits(s, s->conf, s->settings);
    err = start_workers(s);
    if (err < 0) {
        (void)snprintf(why, cap, "cannot start %u workers: %s", server_workers_wanted(s->conf),
                       strerror(-err));
    }
    return err;
}

void relay_server_stop(struct relay_server *s)
{
    if (s == NULL) {
        return;
    }
    dispatcher_stop(s->dispatcher);
    for (uint32_t i = 0; s->workers != NULL && i < s->worker_count; i++) {
        worker_stop(s->workers[i]);
    }
    for (uint32_t i = 0; s->workers != NULL && i < s->worker_count; i++) {
        worker_free(s->workers[i]);
    }
    kernel_path_free(s->kernel_path);
    auth_service_free(s->auth);
    settings_free(s->settings);
    dispatcher_free(s->dispatcher);
    front_free(s->front);
    directory_free(s->directory);
    free(s->workers);
    free(s->watchdogs);
    tls_set_unref(s->tls);
    tls_tickets_free(s->tickets);
    conn_limit_free(s->conns);
    quotas_free(s->quotas);
    realms_free(s->realms);
    relay_ports_free(s->ports);
    external_map_free(s->external);
    interfaces_fini(&s->own);
    if (s->watch_fd >= 0) {
        (void)close(s->watch_fd);
    }
    conf_unref(s->conf);
    conf_unref(s->start);
    secret_wipe(s->nonce_key, sizeof(s->nonce_key));
    free(s);
}

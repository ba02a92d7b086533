/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/auth.h"
#include "base/mem.h"
#include "base/secret.h"
#include "conf/conf.h"
#include "crypto/random.h"
#include "io/clock.h"
#include "io/udp.h"
#include "log/log.h"
#include "relay/address_watch.h"
#include "relay/capacity.h"
#include "relay/control.h"
#include "relay/cpus.h"
#include "relay/external.h"
#include "relay/interfaces.h"
#include "relay/listener.h"
#include "relay/plan.h"
#include "relay/relay_ports.h"
#include "relay/settings.h"
#include "relay/worker.h"
#include "turn/quota.h"

enum { DEFAULT_ALLOCATIONS = 200000, WORKER_FDS = 8 };

/* Something around us that the settings follow.  What fails is tried again at each tick. */
struct follow {
    bool stale; /* it may have changed since the settings were made */
    bool told;  /* that following it fails: once is enough */
};

struct relay_server {
    struct conf *start; /* what the server was started with: RESTART options hold from here */
    struct conf *conf;  /* what is in force */
    struct interfaces own;
    struct external_map *external;
    struct listener_plan plan;
    struct udp_port *listeners; /* worker_count * plan.count, until the workers have them */
    size_t listener_count;
    struct relay_ports *ports;
    struct quota *quota;
    pthread_mutex_t quota_lock;
    struct capacity capacity[2];
    struct auth_service *auth;
    struct settings *settings;
    struct worker_env env;
    struct worker **workers;
    uint32_t worker_count;
    uint32_t max_allocations;
    int watch_fd;
    bool draining;
    struct auth_abilities made_for;  /* what the settings that were made last offer */
    struct auth_abilities abilities; /* what those in force offer */
    struct follow addresses;
    struct follow users;
    uint8_t nonce_key[TURN_NONCE_KEY_LEN];
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

static uint32_t quota_limit(const struct relay_server *s, const struct conf *conf)
{
    return conf->total_quota > 0 && conf->total_quota < s->max_allocations ? conf->total_quota
                                                                           : s->max_allocations;
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
        err = listener_open(&s->plan, i % s->plan.count, &s->listeners[i], why, cap);
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
    err = err == 0 ? open_listeners(s, why, cap) : err;
    err = err == 0 ? make_nonce_key(s) : err;
    if (err < 0) {
        return err;
    }
    relay_ports_spare(s->ports, s->listener_count + (size_t)s->worker_count * WORKER_FDS);
    s->quota = quota_new(s->conf->user_quota, quota_limit(s, s->conf), s->max_allocations);
    s->workers = mem_new(s->worker_count, sizeof(struct worker *));
    if (s->quota == NULL || s->workers == NULL) {
        return -ENOMEM;
    }
    return 0;
}

int relay_server_open(struct conf *conf, struct relay_server **out, char *why, size_t cap)
{
    struct relay_server *s = mem_new(1, sizeof(*s));

    (void)snprintf(why, cap, "out of memory");
    if (s == NULL) {
        return -ENOMEM;
    }
    s->start = conf_ref(conf);
    s->conf = conf_ref(conf);
    s->watch_fd = -1;
    s->worker_count = count_workers(conf);
    s->max_allocations = conf->max_allocations > 0 ? conf->max_allocations : DEFAULT_ALLOCATIONS;
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

static int make_settings(struct relay_server *s, const struct conf *conf, bool draining,
                         struct settings **out, char *why, size_t cap)
{
    s->made_for = auth_service_abilities(s->auth);
    const struct settings_input in = {
        .conf = conf,
        .start = s->start,
        .own = &s->own,
        .external = s->external,
        .listeners = &s->plan,
        .abilities = s->made_for,
        .nonce_key = s->nonce_key,
        .relay_family = {relay_ports_serve(s->ports, NET_V4), relay_ports_serve(s->ports, NET_V6)},
        .draining = draining,
        .workers = s->worker_count,
    };
    return settings_new(&in, out, why, cap);
}

/* Limits that are not the core's. */
static void apply_limits(struct relay_server *s, const struct conf *conf)
{
    (void)pthread_mutex_lock(&s->quota_lock);
    quota_set_limits(s->quota, conf->user_quota, quota_limit(s, conf));
    (void)pthread_mutex_unlock(&s->quota_lock);
    capacity_set(&s->capacity[0], conf->bps_capacity);
    capacity_set(&s->capacity[1], conf->bps_capacity);
}

static int make_worker(struct relay_server *s, unsigned index)
{
    int err = worker_new(&s->env, s->settings, index, &s->workers[index]);

    for (size_t i = 0; err == 0 && i < s->plan.count; i++) {
        struct udp_port *port = &s->listeners[index * s->plan.count + i];
        err = worker_listen(s->workers[index], port);
        if (err == 0) {
            port->fd = -1; /* the worker's now */
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

int relay_server_run(struct relay_server *s, char *why, size_t cap)
{
    const struct plan plan = {
        .workers = s->worker_count,
        .max_allocations = s->max_allocations,
        .port_min = (uint16_t)s->conf->min_port,
        .port_max = (uint16_t)s->conf->max_port,
        .buffer_asked = s->plan.buffer_bytes,
        .buffer_granted = udp_buffer_bytes(&s->listeners[0]),
    };

    (void)snprintf(why, cap, "out of memory");
    plan_log(&plan);
    int err = auth_service_new(s->conf, &s->auth, why, cap);
    err = err == 0 ? make_settings(s, s->conf, false, &s->settings, why, cap) : err;
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
        .max_allocations = s->max_allocations,
    };
    apply_limits(s, s->conf);
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
        udp_close(&s->listeners[i]);
    }
    free(s->listeners);
    free(s->workers);
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

/* --- changing ------------------------------------------------------------------------------------
 */

/* Put `settings` into force in every worker; the old ones are released when nobody borrows them. */
static void install(struct relay_server *s, struct settings *settings)
{
    sem_t done;
    struct worker_configure message = {.settings = settings, .done = &done};

    (void)sem_init(&done, 0, 0);
    for (uint32_t i = 0; i < s->worker_count; i++) {
        if (worker_reconfigure(s->workers[i], &message) < 0) {
            abort(); /* only we post, and we wait for each answer: there is always room */
        }
    }
    for (uint32_t i = 0; i < s->worker_count; i++) {
        while (sem_wait(&done) < 0) {
            assert(errno == EINTR);
        }
    }
    (void)sem_destroy(&done);
    settings_free(s->settings);
    s->settings = settings;
    s->abilities = s->made_for;
}

int relay_server_reload(struct relay_server *s, struct conf *conf, char *why, size_t cap)
{
    struct settings *settings;

    (void)snprintf(why, cap, "out of memory");
    /* What the new configuration says must be sound before the credentials change. */
    int err = make_settings(s, conf, s->draining, &settings, why, cap);
    if (err < 0) {
        return err;
    }
    settings_free(settings);
    err = auth_service_reload(s->auth, conf, why, cap);
    if (err < 0) {
        return err;
    }
    err = make_settings(s, conf, s->draining, &settings, why, cap);
    if (err < 0) {
        char ignored[256];
        if (auth_service_reload(s->auth, s->conf, ignored, sizeof(ignored)) < 0) {
            log_event(LOG_ERROR, "reload.credentials_kept_new", LOG_TEXT("why", ignored), LOG_END);
        }
        return err;
    }
    install(s, settings);
    apply_limits(s, conf);
    struct conf *old = s->conf;
    s->conf = conf_ref(conf);
    conf_unref(old);
    return 0;
}

int relay_server_drain(struct relay_server *s, char *why, size_t cap)
{
    struct settings *settings;

    (void)snprintf(why, cap, "out of memory");
    const int err = make_settings(s, s->conf, true, &settings, why, cap);
    if (err < 0) {
        return err;
    }
    s->draining = true;
    install(s, settings);
    return 0;
}

int relay_server_fd(const struct relay_server *s)
{
    return s->watch_fd;
}

static void follow_failed(struct follow *follow, const char *what, const char *why)
{
    if (!follow->told) {
        log_event(LOG_ERROR, "settings.not_renewed", LOG_TEXT("because", what),
                  LOG_TEXT("why", why), LOG_TEXT("effect", "the old ones hold; tried on"), LOG_END);
    }
    follow->told = true;
}

/* Make the settings anew from what has changed around us.  False, and logged, when that fails. */
static bool renew_settings(struct relay_server *s, struct follow *follow, const char *what)
{
    char why[256] = "out of memory";
    struct settings *settings;

    if (make_settings(s, s->conf, s->draining, &settings, why, sizeof(why)) < 0) {
        follow_failed(follow, what, why);
        return false;
    }
    install(s, settings);
    *follow = (struct follow){.stale = false};
    return true;
}

/* What a 401 offers follows what the users of the database can do now: one that another tool added
 * may have an MD5 key only. */
static void follow_abilities(struct relay_server *s)
{
    const struct auth_abilities now = auth_service_abilities(s->auth);
    const struct auth_abilities *was = &s->abilities;

    if (now.sha256 == was->sha256 && now.md5_only == was->md5_only &&
        now.userhash == was->userhash) {
        return;
    }
    if (renew_settings(s, &s->users, "the users have changed")) {
        log_event(LOG_NOTICE, "credentials.offer_changed", LOG_U64("sha256", now.sha256),
                  LOG_U64("userhash", now.userhash), LOG_END);
    }
}

/* The gate closes our own addresses, whichever they are now. */
static void follow_addresses(struct relay_server *s)
{
    static const char what[] = "the addresses have changed";
    struct interfaces now;
    struct interfaces was = s->own;

    int err = interfaces_read(&now);
    err = err == 0 ? relay_ports_refresh(s->ports, &now) : err;
    if (err < 0) {
        interfaces_fini(&now);
        follow_failed(&s->addresses, what, strerror(-err));
        return;
    }
    if (interfaces_same(&now, &was)) {
        interfaces_fini(&now);
        s->addresses = (struct follow){.stale = false};
        return;
    }
    s->own = now;
    if (!renew_settings(s, &s->addresses, what)) {
        s->own = was; /* the next try sees the difference again */
        interfaces_fini(&now);
        return;
    }
    interfaces_fini(&was);
    log_event(LOG_NOTICE, "addresses.changed", LOG_U64("addresses", s->own.count), LOG_END);
}

void relay_server_tick(struct relay_server *s)
{
    relay_ports_sweep(s->ports, clock_now_ms());
    if (address_watch_changed(s->watch_fd)) {
        s->addresses.stale = true;
    }
    if (s->addresses.stale) {
        follow_addresses(s);
    }
    follow_abilities(s);
}

/* --- telling -------------------------------------------------------------------------------------
 */

void relay_server_stats(const struct relay_server *s, struct relay_stats *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < s->worker_count; i++) {
        if (s->workers[i] != NULL) {
            worker_add_stats(s->workers[i], out);
        }
    }
}

static void describe_relay(const struct relay_server *s, const struct net_ip *ip,
                           void (*each)(void *arg, const char *line), void *arg)
{
    char line[2 * NET_ADDR_TEXT + 32];
    char text[NET_ADDR_TEXT];
    char public_text[NET_ADDR_TEXT];
    const struct net_addr bound = net_addr_make(ip, 0);
    const struct net_addr relayed = external_relayed(s->external, &bound);

    if (net_addr_equal(&bound, &relayed)) {
        (void)snprintf(line, sizeof(line), "relay %s", net_ip_text(ip, text));
    } else {
        (void)snprintf(line, sizeof(line), "relay %s (external %s)", net_ip_text(ip, text),
                       net_ip_text(&relayed.ip, public_text));
    }
    each(arg, line);
}

void relay_server_describe(const struct relay_server *s, void (*each)(void *arg, const char *line),
                           void *arg)
{
    char line[NET_ADDR_TEXT + 32];
    char text[NET_ADDR_TEXT];
    const struct net_ip *given;
    const size_t given_count = relay_ports_given(s->ports, &given);

    for (size_t i = 0; i < s->plan.count; i++) {
        (void)snprintf(line, sizeof(line), "listening %s/udp",
                       net_addr_text(&s->plan.addr[i], text));
        each(arg, line);
    }
    for (size_t i = 0; i < given_count; i++) {
        describe_relay(s, &given[i], each, arg);
    }
    for (size_t i = 0; given_count == 0 && i < s->own.count; i++) {
        const struct interface_address *item = &s->own.items[i];
        if (!item->loopback && !item->link_local && !item->down) {
            describe_relay(s, &item->ip, each, arg);
        }
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/auth_realms.h"
#include "conf/conf.h"
#include "conf/conf_listener.h"
#include "io/clock.h"
#include "io/conn_limit.h"
#include "io/tls.h"
#include "log/log.h"
#include "relay/address_watch.h"
#include "relay/plan.h"
#include "relay/quotas.h"
#include "relay/relay_ports.h"
#include "relay/server_int.h"
#include "relay/tls_conf.h"

int server_make_settings(struct relay_server *s, const struct conf *conf, bool draining,
                         struct settings **out, char *why, size_t cap)
{
    struct net_addr backends[AUTH_BACKENDS];
    const uint64_t generation = auth_service_backends_generation(s->auth);
    struct auth_realms *facts = auth_service_realms(s->auth);
    const struct settings_input in = {
        .conf = conf,
        .start = s->start,
        .own = &s->own,
        .external = s->external,
        .listeners = &s->plan,
        .front = s->front,
        .abilities = auth_service_abilities(s->auth),
        .facts = facts,
        .backends = backends,
        .backend_count = auth_service_backends(s->auth, backends, AUTH_BACKENDS),
        .realms = s->realms,
        .nonce_key = s->nonce_key,
        .relay_family = {relay_ports_serve(s->ports, NET_V4), relay_ports_serve(s->ports, NET_V6)},
        .draining = draining,
        .workers = server_workers_wanted(conf),
        .memory_bytes = plan_memory_bytes(),
        .tls = s->tls,
    };
    const int err = settings_new(&in, out, why, cap);
    s->made_for = facts->generation;
    s->made_for_backends = generation;
    auth_realms_unref(facts);
    return err;
}

void server_tell_ignored(const struct settings *now, const struct settings *was)
{
    static const struct settings_realms none;
    const struct settings_realms *n = &now->realms;
    const struct settings_realms *w = was != NULL ? &was->realms : &none;
    const bool same = n->ignored_realms == w->ignored_realms &&
                      n->ignored_origins == w->ignored_origins &&
                      n->ignored_ranges == w->ignored_ranges;

    if (same || (n->ignored_realms == 0 && n->ignored_origins == 0 && n->ignored_ranges == 0)) {
        return;
    }
    log_event(LOG_WARNING, "realms.ignored", LOG_U64("realms", n->ignored_realms),
              LOG_U64("origins", n->ignored_origins), LOG_U64("ranges", n->ignored_ranges),
              LOG_TEXT("why", "there are too many realms, or what the database says is none"),
              LOG_END);
}

/* What a 401 offers follows what the users can do: one that another tool added may have an MD5 key
 * only. */
static void tell_realms(const struct settings *now, const struct settings *was)
{
    const struct turn_realm *a = &was->config.main;
    const struct turn_realm *b = &now->config.main;

    if (a->algorithms != b->algorithms || a->username_anonymity != b->username_anonymity) {
        log_event(LOG_NOTICE, "credentials.offer_changed",
                  LOG_U64("sha256", b->algorithms != TURN_ALG_MD5),
                  LOG_U64("userhash", b->username_anonymity), LOG_END);
    }
    log_event(LOG_NOTICE, "realms.changed", LOG_U64("realms", now->config.realm_count + 1),
              LOG_U64("origins", now->config.origin_count), LOG_END);
}

void server_apply_limits(struct relay_server *s, const struct conf *conf,
                         const struct settings *settings)
{
    struct conn_limits conns = settings->conns;

    if (conns.total > s->connection_room) {
        conns.total = s->connection_room;
    }
    conn_limit_set(s->conns, &conns);
    capacity_set(&s->capacity[0], conf->bps_capacity);
    capacity_set(&s->capacity[1], conf->bps_capacity);
}

int server_make_certificates(const struct relay_server *s, const struct conf *conf,
                             struct tls_set **out, char *why, size_t cap)
{
    *out = NULL;
    if (!conf_serves_secure(conf)) {
        return 0; /* whatever is said about certificates: nobody will see them */
    }
    const int err = tls_conf_make_kept(conf, s->tickets, s->keeper, out, why, cap);
    if (err > 0) {
        log_event(LOG_WARNING, "certificates.doubtful", LOG_TEXT("why", why), LOG_END);
    }
    return err < 0 ? err : 0;
}

/* --- changing ------------------------------------------------------------------------------------
 */

/* Put `settings`, made of `conf`, into force in every worker; the old ones are released when nobody
 * borrows them. Nothing is forwarded by old rules once this has returned. */
static void install(struct relay_server *s, const struct conf *conf, struct settings *settings)
{
    sem_t done;
    struct worker_configure message = {.settings = settings, .done = &done};

    kernel_path_halt(s->kernel_path);
    kernel_path_configure(s->kernel_path, conf, settings->config.main.max_bps);
    /* Before anybody can come in in a new realm. */
    quotas_set_limits(s->quotas, settings->realms.quotas, settings->realms.count + 1);
    (void)sem_init(&done, 0, 0);
    for (uint32_t i = 0; i < s->worker_count; i++) {
        worker_reconfigure(s->workers[i], &message);
    }
    for (uint32_t i = 0; i < s->worker_count; i++) {
        while (sem_wait(&done) < 0) {
            assert(errno == EINTR);
        }
    }
    (void)sem_destroy(&done);
    settings_tell_redirects(settings, s->settings);
    server_tell_ignored(settings, s->settings);
    if (s->made_for != s->followed) {
        tell_realms(settings, s->settings);
    }
    settings_free(s->settings);
    s->settings = settings;
    s->followed = s->made_for;
    s->followed_backends = s->made_for_backends;
}

static int64_t days_left(const struct tls_set *tls)
{
    const int64_t left_s = tls != NULL ? tls_set_expires_in(tls, (int64_t)clock_wall_s()) : 0;

    return left_s > 0 ? left_s / 86400 : 0;
}

static int reload_all(struct relay_server *s, struct conf *conf, char *why, size_t cap)
{
    struct settings *settings;

    /* What the new configuration says must be sound before the credentials change. */
    int err = server_make_settings(s, conf, s->draining, &settings, why, cap);
    if (err < 0) {
        return err;
    }
    settings_free(settings);
    err = auth_service_reload(s->auth, conf, why, cap);
    if (err < 0) {
        return err;
    }
    (void)snprintf(why, cap, "out of memory"); /* it has cleared that */
    err = server_make_settings(s, conf, s->draining, &settings, why, cap);
    if (err < 0) {
        char ignored[256];
        if (auth_service_reload(s->auth, s->conf, ignored, sizeof(ignored)) < 0) {
            log_event(LOG_ERROR, "reload.credentials_kept_new", LOG_TEXT("why", ignored), LOG_END);
        }
        return err;
    }
    install(s, conf, settings);
    server_apply_limits(s, conf, settings);
    return 0;
}

static int renew_all(struct relay_server *s, struct conf *conf, char *why, size_t cap)
{
    struct settings *settings;
    const int err = server_make_settings(s, conf, s->draining, &settings, why, cap);

    if (err == 0) {
        install(s, conf, settings);
    }
    return err;
}

/* Read the certificates of `conf` and let `apply` put settings with them into force; all or
 * nothing.
 */
static int with_certificates(struct relay_server *s, struct conf *conf,
                             int (*apply)(struct relay_server *s, struct conf *conf, char *why,
                                          size_t cap),
                             char *why, size_t cap)
{
    struct tls_set *was = s->tls;
    struct tls_set *tls = NULL;

    (void)snprintf(why, cap, "out of memory");
    int err = server_make_certificates(s, conf, &tls, why, cap);
    if (err < 0) {
        return err;
    }
    s->tls = tls;
    err = apply(s, conf, why, cap);
    if (err < 0) {
        s->tls = was;
        tls_set_unref(tls);
        return err;
    }
    tls_set_unref(was); /* connections that began with it keep it */
    s->certificates = (struct follow){.stale = false};
    s->certificates_changed = false;
    return 0;
}

int relay_server_reload(struct relay_server *s, struct conf *conf, char *why, size_t cap)
{
    struct front_change change;
    int err = server_front_prepare(s, conf, &change, why, cap);
    if (err < 0) {
        return err;
    }
    err = with_certificates(s, conf, reload_all, why, cap);
    if (err < 0) {
        server_front_forget(s, &change);
        return err;
    }
    server_front_apply(s, conf, &change);
    kernel_path_listen(s->kernel_path, &s->plan, &s->own);
    struct conf *old = s->conf;
    s->conf = conf_ref(conf);
    conf_unref(old);
    return 0;
}

int relay_server_renew_certificates(struct relay_server *s, char *why, size_t cap)
{
    const int err = with_certificates(s, s->conf, renew_all, why, cap);
    if (err == 0) {
        log_event(LOG_NOTICE, "certificates.renewed",
                  LOG_U64("days_left", (uint64_t)days_left(s->tls)), LOG_END);
    }
    return err;
}

int relay_server_drain(struct relay_server *s, char *why, size_t cap)
{
    struct settings *settings;

    (void)snprintf(why, cap, "out of memory");
    const int err = server_make_settings(s, s->conf, true, &settings, why, cap);
    if (err < 0) {
        return err;
    }
    s->draining = true;
    kernel_path_drain(s->kernel_path);
    install(s, s->conf, settings);
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

    if (server_make_settings(s, s->conf, s->draining, &settings, why, sizeof(why)) < 0) {
        follow_failed(follow, what, why);
        return false;
    }
    install(s, s->conf, settings);
    *follow = (struct follow){.stale = false};
    return true;
}

/* What the database says of realms holds: which there are, who may be reached, and how much of what
 * there may be. */
static void follow_facts(struct relay_server *s)
{
    if (auth_service_realms_generation(s->auth) != s->followed) {
        (void)renew_settings(s, &s->facts, "the database has changed");
    }
}

/* The gate closes the addresses of back ends, wherever they are now. */
static void follow_backends(struct relay_server *s)
{
    if (auth_service_backends_generation(s->auth) != s->followed_backends) {
        (void)renew_settings(s, &s->backends, "the addresses of back ends have changed");
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
    kernel_path_follow(s->kernel_path, &s->plan, &s->own); /* before channels are judged anew */
    if (!renew_settings(s, &s->addresses, what)) {
        s->own = was; /* the next try sees the difference again */
        interfaces_fini(&now);
        return;
    }
    interfaces_fini(&was);
    log_event(LOG_NOTICE, "addresses.changed", LOG_U64("addresses", s->own.count), LOG_END);
}

/* New certificates are put in place file by file: they are read when a whole tick has brought
 * nothing new. */
static void follow_certificates(struct relay_server *s)
{
    char why[512];

    if (s->tickets != NULL) {
        tls_tickets_tick(s->tickets, clock_now_ms() / 1000);
    }
    if (s->tls == NULL || !tls_set_files_changed(s->tls)) {
        s->certificates_changed = false;
        return;
    }
    if (!s->certificates_changed) {
        s->certificates_changed = true;
        return;
    }
    if (relay_server_renew_certificates(s, why, sizeof(why)) < 0) {
        follow_failed(&s->certificates, "the certificates have changed", why);
    }
}

void relay_server_tick(struct relay_server *s)
{
    relay_ports_sweep(s->ports, clock_now_ms());
    if (address_watch_changed(s->watch_fd)) {
        kernel_path_look(s->kernel_path);
        s->addresses.stale = true;
    }
    if (s->addresses.stale) {
        follow_addresses(s);
    }
    follow_facts(s);
    follow_backends(s);
    follow_certificates(s);
    server_watch_workers(s);
    kernel_path_tick(s->kernel_path);
    server_tell_numbers(s, clock_now_ms());
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The service: one thread that alone touches the database, and the snapshot that it publishes. */
#include "auth/auth_service.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/auth_outside.h"
#include "auth/auth_realms.h"
#include "auth/auth_source.h"
#include "base/mem.h"
#include "conf/conf.h"

enum job { JOB_NONE, JOB_POLL, JOB_RELOAD };

struct auth_service {
    uint32_t cache_size;
    bool has_thread;
    pthread_t thread;

    /* The thread's own; the control thread's where there is none. */
    struct auth_source *source; /* NULL when users come from the configuration only */
    struct auth_config *config;

    struct auth_outside *outside;
    _Atomic uint64_t generation;
    _Atomic uint64_t realms_generation;
    _Atomic unsigned abilities;

    pthread_mutex_t *lock; /* guards what follows; apart, so that const functions can take it */
    pthread_cond_t work;   /* for the thread */
    pthread_cond_t done;   /* for those who wait for it */
    struct auth_snapshot *snapshot;
    struct auth_status status;
    struct list questions;
    const struct auth_worker *answering; /* the worker whose question the thread has */
    bool stop;
    enum job job;
    int job_result;
    struct auth_config *job_config;
};

enum { SHA256 = 1, MD5_ONLY = 2, USERHASH = 4 };

static void abilities_set(struct auth_service *s, struct auth_abilities a)
{
    const unsigned bits =
        (a.sha256 ? SHA256 : 0U) | (a.md5_only ? MD5_ONLY : 0U) | (a.userhash ? USERHASH : 0U);

    atomic_store_explicit(&s->abilities, bits, memory_order_relaxed);
}

struct auth_abilities auth_service_abilities(const struct auth_service *service)
{
    const unsigned bits = atomic_load_explicit(&service->abilities, memory_order_relaxed);

    return (struct auth_abilities){
        .sha256 = (bits & SHA256) != 0,
        .md5_only = (bits & MD5_ONLY) != 0,
        .userhash = (bits & USERHASH) != 0,
    };
}

static void lock(const struct auth_service *s)
{
    (void)pthread_mutex_lock(s->lock);
}

static void unlock(const struct auth_service *s)
{
    (void)pthread_mutex_unlock(s->lock);
}

/* Show the workers what is known now.  0 or -ENOMEM, with the old snapshot still shown. */
static int publish(struct auth_service *s, struct auth_config *config, struct auth_facts *facts)
{
    struct auth_snapshot *fresh;
    const uint64_t generation = atomic_load_explicit(&s->generation, memory_order_relaxed) + 1;
    const int err = auth_snapshot_new(config, facts, generation, &fresh);

    if (err < 0) {
        return err;
    }
    lock(s);
    struct auth_snapshot *old = s->snapshot;
    if (old != NULL) {
        const bool same = auth_realms_same(old->realms, fresh->realms);
        fresh->realms->generation = old->realms->generation + (same ? 0 : 1);
    }
    s->snapshot = fresh;
    s->status.secrets = fresh->secrets;
    s->status.secrets_ignored = fresh->secrets_ignored;
    atomic_store_explicit(&s->generation, generation, memory_order_release);
    atomic_store_explicit(&s->realms_generation, fresh->realms->generation, memory_order_release);
    abilities_set(s, fresh->realms->realms[0].abilities);
    unlock(s);
    auth_snapshot_unref(old);
    return 0;
}

static struct auth_facts *facts_of(const struct auth_service *s)
{
    return s->source == NULL ? NULL : auth_source_facts(s->source);
}

/* Copy how the source does to where everybody may see it. */
static void status_update(struct auth_service *s)
{
    lock(s);
    auth_source_status(s->source, &s->status);
    unlock(s);
}

static int poll_now(struct auth_service *s)
{
    const int changed = auth_source_poll(s->source, s->config);

    status_update(s);
    return changed > 0 ? publish(s, s->config, facts_of(s)) : changed;
}

/* Use `config` from now on; takes it on success.  0 or -ENOMEM. */
static int switch_to(struct auth_service *s, struct auth_config *config)
{
    config->epoch = s->config->epoch + 1;
    if (s->source != NULL) {
        (void)!auth_source_turn(s->source, s->config, config); /* the status tells a failure */
        status_update(s);
    }
    /* Before the workers ask by it. */
    int err = auth_outside_turn(s->outside, config->outside);
    if (err == 0) {
        err = publish(s, config, facts_of(s));
    }
    if (err < 0) {
        (void)!auth_outside_turn(s->outside, s->config->outside);
        return err;
    }
    auth_config_unref(s->config);
    s->config = config;
    return 0;
}

static void do_job(struct auth_service *s)
{
    const enum job job = s->job;

    unlock(s);
    const int result = job == JOB_RELOAD ? switch_to(s, s->job_config) : poll_now(s);
    lock(s);
    s->job = JOB_NONE;
    s->job_result = result;
}

/* Whom the database does not know others may. */
static void hand_on(struct auth_service *s, struct auth_lookup *lookup)
{
    if (lookup->result < 0 && !lookup->database_only && s->config->outside != NULL) {
        auth_outside_ask(s->outside, lookup);
    } else {
        auth_worker_answer(lookup);
    }
}

static void do_question(struct auth_service *s, struct auth_lookup *lookup)
{
    s->answering = lookup->worker;
    unlock(s);
    if (s->config->ask_users) {
        auth_source_answer(s->source, s->config, lookup);
        status_update(s);
    } else {
        lookup->epoch = s->config->epoch;
        lookup->result = -ENOENT;
    }
    hand_on(s, lookup);
    lock(s);
    s->answering = NULL;
}

static void *service_run(void *arg)
{
    struct auth_service *s = arg;

    lock(s);
    while (!s->stop) {
        struct list *node = NULL;
        struct timespec until;

        if (s->job != JOB_NONE) {
            do_job(s);
        } else if (auth_source_due(s->source, &until)) {
            unlock(s);
            (void)!poll_now(s);
            lock(s);
        } else if ((node = list_shift(&s->questions)) != NULL) {
            do_question(s, CONTAINER_OF(node, struct auth_lookup, node));
        } else {
            (void)pthread_cond_timedwait(&s->work, s->lock, &until);
            continue;
        }
        (void)pthread_cond_broadcast(&s->done);
    }
    unlock(s);
    return NULL;
}

/* Signals are for the control thread. */
static int thread_start(struct auth_service *s)
{
    sigset_t all;
    sigset_t before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int err = pthread_create(&s->thread, NULL, service_run, s);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err != 0) {
        return -err;
    }
    (void)pthread_setname_np(s->thread, "sterna-auth");
    s->has_thread = true;
    return 0;
}

/* A service with its lock and conditions, or NULL. */
static struct auth_service *service_make(void)
{
    struct auth_service *s = mem_new(1, sizeof(*s));
    pthread_condattr_t monotonic;

    if (s == NULL) {
        return NULL;
    }
    s->lock = mem_new(1, sizeof(*s->lock));
    if (s->lock == NULL || pthread_mutex_init(s->lock, NULL) != 0) {
        free(s->lock);
        free(s);
        return NULL;
    }
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&s->work, &monotonic);
    (void)pthread_cond_init(&s->done, NULL);
    (void)pthread_condattr_destroy(&monotonic);
    list_init(&s->questions);
    return s;
}

static bool wants_store(const struct conf *conf)
{
    return conf->userdb != NULL && (conf->lt_cred_mech || conf->use_auth_secret || conf->oauth);
}

int auth_service_new(const struct conf *conf, struct auth_service **out, char *why, size_t cap)
{
    struct auth_service *s = service_make();
    int err = -ENOMEM;

    (void)snprintf(why, cap, "memory is exhausted");
    if (s == NULL) {
        return err;
    }
    s->cache_size = conf->user_cache_size;
    err = auth_config_new(conf, wants_store(conf), &s->config, why, cap);
    if (err == 0) {
        (void)snprintf(why, cap, "memory is exhausted");
        err = auth_outside_new(&s->outside);
    }
    if (err == 0) {
        err = auth_outside_turn(s->outside, s->config->outside);
    }
    if (err == 0 && wants_store(conf)) {
        err = auth_source_new(conf->userdb, s->config, &s->source, why, cap);
    }
    if (err == 0) {
        err = publish(s, s->config, facts_of(s));
    }
    if (err == 0 && s->source != NULL) {
        auth_source_status(s->source, &s->status);
        err = thread_start(s);
    }
    if (err < 0) {
        auth_service_free(s);
        return err;
    }
    why[0] = '\0';
    *out = s;
    return 0;
}

void auth_service_free(struct auth_service *service)
{
    if (service == NULL) {
        return;
    }
    if (service->has_thread) {
        lock(service);
        service->stop = true;
        (void)pthread_cond_signal(&service->work);
        unlock(service);
        (void)pthread_join(service->thread, NULL);
    }
    auth_outside_free(service->outside);
    auth_source_free(service->source);
    auth_config_unref(service->config);
    auth_snapshot_unref(service->snapshot);
    (void)pthread_cond_destroy(&service->work);
    (void)pthread_cond_destroy(&service->done);
    (void)pthread_mutex_destroy(service->lock);
    free(service->lock);
    free(service);
}

/* Have the thread do a job, and wait for it. */
static int job_run(struct auth_service *s, enum job job, struct auth_config *config)
{
    lock(s);
    s->job = job;
    s->job_config = config;
    (void)pthread_cond_signal(&s->work);
    while (s->job != JOB_NONE) {
        (void)pthread_cond_wait(&s->done, s->lock);
    }
    const int result = s->job_result;
    unlock(s);
    return result;
}

int auth_service_reload(struct auth_service *service, const struct conf *conf, char *why,
                        size_t cap)
{
    struct auth_config *config;
    int err = auth_config_new(conf, service->source != NULL, &config, why, cap);

    if (err < 0) {
        return err;
    }
    err = service->has_thread ? job_run(service, JOB_RELOAD, config) : switch_to(service, config);
    if (err < 0) {
        auth_config_unref(config);
        (void)snprintf(why, cap, "memory is exhausted");
        return err;
    }
    why[0] = '\0';
    return 0;
}

int auth_service_poll(struct auth_service *service)
{
    return service->has_thread ? job_run(service, JOB_POLL, NULL) : 0;
}

void auth_service_status(const struct auth_service *service, struct auth_status *out)
{
    lock(service);
    *out = service->status;
    unlock(service);
}

uint64_t auth_service_generation(const struct auth_service *service)
{
    return atomic_load_explicit(&service->generation, memory_order_acquire);
}

struct auth_snapshot *auth_service_snapshot(struct auth_service *service)
{
    lock(service);
    struct auth_snapshot *snapshot = auth_snapshot_ref(service->snapshot);
    unlock(service);
    return snapshot;
}

struct auth_realms *auth_service_realms(const struct auth_service *service)
{
    lock(service);
    struct auth_realms *realms = auth_realms_ref(service->snapshot->realms);
    unlock(service);
    return realms;
}

uint64_t auth_service_realms_generation(const struct auth_service *service)
{
    return atomic_load_explicit(&service->realms_generation, memory_order_acquire);
}

uint32_t auth_service_cache_size(const struct auth_service *service)
{
    return service->cache_size;
}

void auth_service_ask(struct auth_service *service, struct auth_lookup *lookup)
{
    if (service->source == NULL) {
        lock(service);
        lookup->epoch = service->snapshot->config->epoch;
        unlock(service);
        lookup->result = -ENOENT;
        auth_outside_ask(service->outside, lookup);
        return;
    }
    lock(service);
    list_push(&service->questions, &lookup->node);
    (void)pthread_cond_signal(&service->work);
    unlock(service);
}

void auth_service_forget(struct auth_service *service, const struct auth_worker *worker)
{
    lock(service);
    LIST_EACH_SAFE (node, &service->questions) {
        if (CONTAINER_OF(node, struct auth_lookup, node)->worker == worker) {
            list_remove(node);
        }
    }
    while (service->answering == worker) {
        (void)pthread_cond_wait(&service->done, service->lock);
    }
    unlock(service);
    auth_outside_forget(service->outside, worker); /* after those that were handed on */
}

size_t auth_service_backends(const struct auth_service *service, struct net_addr *out, size_t max)
{
    return auth_outside_servers(service->outside, out, max);
}

uint64_t auth_service_backends_generation(const struct auth_service *service)
{
    return auth_outside_generation(service->outside);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_outside.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "auth/auth_hook_calls.h"
#include "auth/auth_jwt.h"
#include "auth/auth_jwt_shape.h"
#include "auth/auth_key_source.h"
#include "auth/auth_service.h"
#include "base/mem.h"
#include "base/secret.h"

enum { PARKED_MAX = 32 }; /* of one worker */

static_assert((int)AUTH_JWT_KEYS <= (int)AUTH_LOOKUP_KEYS,
              "a look-up has room for the keys of a token");

struct auth_outside {
    _Atomic uint64_t generation; /* of `servers` */
    bool has_thread;
    pthread_t thread;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t work;  /* for the thread, where there is no `http` */
    pthread_cond_t done;  /* for those who wait for it */
    struct list asked;
    bool stop;
    bool turned; /* `next` counts from now on */
    struct auth_outside_config *next;
    const struct auth_worker *forgotten; /* its questions are to be dropped */
    size_t fixed_count; /* of URLs with an address: they are known without a connection */
    struct net_addr fixed[2];
    size_t server_count;
    struct net_addr servers[AUTH_HTTP_SERVERS];

    /* The thread's own. */
    struct auth_outside_config *config;
    struct auth_http *http; /* NULL without libcurl */
    struct crypto_mac *mac;
    struct auth_key_source keys;
    struct auth_hook_calls hook;
    struct list parked; /* look-ups that wait for a newer key set */
};

static uint64_t clock_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- One question --------------------------------------------------------------------------------
 */

/* The hook comes last.  When the database could not tell whether it knows the user, nobody else is
 * asked. */
static void to_hook(struct auth_outside *o, struct auth_lookup *lookup)
{
    if (o->config != NULL && o->config->hook != NULL && lookup->result == -ENOENT) {
        const int err = auth_hook_calls_ask(&o->hook, o->config, lookup);
        if (err == 0) {
            return;
        }
        lookup->extra.outside = true;
        lookup->result = err == -ENOENT ? err : -EIO;
    }
    auth_worker_answer(lookup);
}

static void token_give(struct auth_lookup *lookup, const struct auth_jwt_answer *answer)
{
    struct auth_extra *extra = &lookup->extra;

    lookup->name = lookup->asked;
    lookup->result = 0;
    extra->outside = true;
    extra->guessed = !answer->proven;
    extra->expiry_s = answer->expiry_s + AUTH_JWT_SKEW_S;
    extra->account_len = answer->account_len;
    memcpy(extra->account, answer->account, sizeof(extra->account));
    extra->key_count = answer->key_count;
    memcpy(extra->key, answer->key, sizeof(answer->key));
}

/* As auth_jwt_judge(). */
static int judge(struct auth_outside *o, struct auth_lookup *lookup)
{
    const struct auth_jwt_rules rules = {
        .realm = {lookup->realm, lookup->realm_len},
        .issuer = o->config->issuer,
        .audiences = (const char *const *)o->config->audiences,
        .audience_count = o->config->audience_count,
        .secrets = o->config->secrets,
        .jwks = o->keys.set,
        .wall_s = (uint64_t)time(NULL),
    };
    struct auth_jwt_answer answer;
    const int err = auth_jwt_judge(o->mac, &rules,
                                   (struct bytes){lookup->asked.bytes, lookup->asked.len}, &answer);

    if (err == 0) {
        token_give(lookup, &answer);
        secret_wipe(&answer, sizeof(answer));
    }
    return err;
}

/* What waits for a key set may not take all look-ups of its worker: the others are for the
 * database.
 */
static bool may_park(const struct auth_outside *o, const struct auth_lookup *lookup)
{
    uint32_t count = 0;

    LIST_EACH (node, &o->parked) {
        count += CONTAINER_OF(node, struct auth_lookup, node)->worker == lookup->worker;
    }
    return count < PARKED_MAX;
}

/* Answer, pass on, or, unless it is the `last` time, have it wait for a newer key set. */
static void question(struct auth_outside *o, struct auth_lookup *lookup, bool last)
{
    const struct bytes name = {lookup->asked.bytes, lookup->asked.len};
    int err = -ENOENT;

    if (o->config != NULL && o->config->jwt && auth_jwt_shape(name) != AUTH_JWT_NONE) {
        err = judge(o, lookup);
    }
    if (err == -EAGAIN && !last && may_park(o, lookup) &&
        auth_key_source_hurry(&o->keys, clock_ms())) {
        list_push(&o->parked, &lookup->node);
        return;
    }
    if (err == -EAGAIN && o->config->jwks != NULL && o->keys.set == NULL) {
        lookup->extra.outside = true;
        lookup->result = -EIO; /* nobody can tell */
        err = 0;
    }
    if (err == 0) {
        auth_worker_answer(lookup);
    } else {
        to_hook(o, lookup);
    }
}

static void unpark(struct auth_outside *o)
{
    struct list *node;

    while ((node = list_shift(&o->parked)) != NULL) {
        question(o, CONTAINER_OF(node, struct auth_lookup, node), true);
    }
}

/* --- The thread ----------------------------------------------------------------------------------
 */

static void drop_of(struct list *list, const struct auth_worker *worker)
{
    LIST_EACH_SAFE (node, list) {
        if (CONTAINER_OF(node, struct auth_lookup, node)->worker == worker) {
            list_remove(node);
        }
    }
}

/* Follow what others want.  Called and returns with the lock held. */
static void follow(struct auth_outside *o)
{
    if (o->turned) {
        struct auth_outside_config *old = o->config;
        o->turned = false;
        o->config = o->next;
        o->next = NULL;
        auth_key_source_turn(&o->keys, o->config);
        auth_hook_calls_find(&o->hook, o->config);
        auth_outside_config_unref(old);
    }
    if (o->forgotten != NULL) {
        drop_of(&o->asked, o->forgotten);
        drop_of(&o->parked, o->forgotten);
        auth_hook_calls_drop(&o->hook, o->forgotten);
        o->forgotten = NULL;
        (void)pthread_cond_broadcast(&o->done);
    }
}

static void show_servers(struct auth_outside *o)
{
    struct net_addr servers[AUTH_HTTP_SERVERS];
    const size_t count = auth_http_servers(o->http, servers, AUTH_HTTP_SERVERS);

    (void)pthread_mutex_lock(&o->lock);
    if (count != o->server_count || memcmp(servers, o->servers, count * sizeof(servers[0])) != 0) {
        memcpy(o->servers, servers, count * sizeof(servers[0]));
        o->server_count = count;
        atomic_fetch_add_explicit(&o->generation, 1, memory_order_release);
    }
    (void)pthread_mutex_unlock(&o->lock);
}

/* Wait for work, without libcurl for no answers.  Called and returns without the lock. */
static void idle(struct auth_outside *o, int wait_ms)
{
    struct timespec until;

    if (o->http != NULL) {
        auth_http_run(o->http, wait_ms);
        show_servers(o);
        return;
    }
    const uint64_t until_ms = clock_ms() + (uint64_t)wait_ms;
    until = (struct timespec){(time_t)(until_ms / 1000), (long)(until_ms % 1000) * 1000000};
    (void)pthread_mutex_lock(&o->lock);
    if (!o->stop && !o->turned && o->forgotten == NULL && list_empty(&o->asked)) {
        (void)pthread_cond_timedwait(&o->work, &o->lock, &until);
    }
    (void)pthread_mutex_unlock(&o->lock);
}

/* Deal with some questions.  True when more may be there.  Called and returns without the lock. */
static bool serve(struct auth_outside *o)
{
    enum { BUDGET = 64 };

    for (int i = 0; i < BUDGET; i++) {
        (void)pthread_mutex_lock(&o->lock);
        /* What was asked since then is for the new configuration: follow() comes first. */
        const bool wait = o->stop || o->turned;
        struct list *node = wait ? NULL : list_shift(&o->asked);
        (void)pthread_mutex_unlock(&o->lock);
        if (node == NULL) {
            return wait;
        }
        question(o, CONTAINER_OF(node, struct auth_lookup, node), false);
    }
    return true;
}

static void *outside_run(void *arg)
{
    struct auth_outside *o = arg;

    (void)pthread_mutex_lock(&o->lock);
    while (!o->stop) {
        follow(o);
        (void)pthread_mutex_unlock(&o->lock);
        const int wait_ms = auth_key_source_poll(&o->keys, clock_ms());
        const bool more = serve(o);
        if (o->keys.ended) {
            o->keys.ended = false;
            unpark(o);
        }
        idle(o, more ? 0 : wait_ms);
        (void)pthread_mutex_lock(&o->lock);
    }
    (void)pthread_mutex_unlock(&o->lock);
    return NULL;
}

/* Signals are for the control thread. */
static int thread_start(struct auth_outside *o)
{
    sigset_t all;
    sigset_t before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int err = pthread_create(&o->thread, NULL, outside_run, o);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err != 0) {
        return -err;
    }
    (void)pthread_setname_np(o->thread, "sterna-outside");
    o->has_thread = true;
    return 0;
}

/* Have the thread look.  The lock is held, or was since the change. */
static void wake(struct auth_outside *o)
{
    if (o->http != NULL) {
        auth_http_wake(o->http);
    }
    (void)pthread_cond_signal(&o->work);
}

/* --- For others ----------------------------------------------------------------------------------
 */

int auth_outside_new(struct auth_outside **out)
{
    struct auth_outside *o = mem_new(1, sizeof(*o));
    pthread_condattr_t monotonic;

    if (o == NULL || pthread_mutex_init(&o->lock, NULL) != 0) {
        free(o);
        return -ENOMEM;
    }
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&o->work, &monotonic);
    (void)pthread_cond_init(&o->done, NULL);
    (void)pthread_condattr_destroy(&monotonic);
    list_init(&o->asked);
    list_init(&o->parked);
    list_init(&o->hook.list);
    *out = o;
    return 0;
}

void auth_outside_free(struct auth_outside *outside)
{
    if (outside == NULL) {
        return;
    }
    if (outside->has_thread) {
        (void)pthread_mutex_lock(&outside->lock);
        outside->stop = true;
        wake(outside);
        (void)pthread_mutex_unlock(&outside->lock);
        (void)pthread_join(outside->thread, NULL);
    }
    auth_hook_calls_drop(&outside->hook, NULL);
    auth_hook_calls_find(&outside->hook, NULL);
    auth_key_source_turn(&outside->keys, NULL);
    auth_http_free(outside->http);
    auth_outside_config_unref(outside->config);
    auth_outside_config_unref(outside->next);
    crypto_mac_free(outside->mac);
    (void)pthread_cond_destroy(&outside->work);
    (void)pthread_cond_destroy(&outside->done);
    (void)pthread_mutex_destroy(&outside->lock);
    free(outside);
}

/* What the thread needs, and itself. */
static int begin(struct auth_outside *o)
{
    if (o->mac == NULL) {
        o->mac = crypto_mac_new();
    }
    int err = o->mac == NULL ? -ENOMEM : 0;
    if (err == 0 && o->http == NULL && auth_http_built()) {
        err = auth_http_new(&o->http);
    }
    o->keys.http = o->http;
    o->hook.http = o->http;
    return err == 0 ? thread_start(o) : err;
}

static void fix_servers(struct auth_outside *o, const struct auth_outside_config *config)
{
    const char *const urls[] = {config == NULL ? NULL : config->hook,
                                config == NULL || !config->jwks_is_url ? NULL : config->jwks};

    o->fixed_count = 0;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        if (urls[i] != NULL && auth_http_address(urls[i], &o->fixed[o->fixed_count]) == 0) {
            o->fixed_count++;
        }
    }
    atomic_fetch_add_explicit(&o->generation, 1, memory_order_release);
}

int auth_outside_turn(struct auth_outside *outside, struct auth_outside_config *config)
{
    if (config == NULL && !outside->has_thread) {
        return 0;
    }
    const int err = outside->has_thread ? 0 : begin(outside);
    if (err < 0) {
        return err;
    }
    (void)pthread_mutex_lock(&outside->lock);
    auth_outside_config_unref(outside->next);
    outside->next = config == NULL ? NULL : auth_outside_config_ref(config);
    fix_servers(outside, config);
    outside->turned = true;
    wake(outside);
    (void)pthread_mutex_unlock(&outside->lock);
    return 0;
}

void auth_outside_ask(struct auth_outside *outside, struct auth_lookup *lookup)
{
    lookup->extra = (struct auth_extra){0};
    (void)pthread_mutex_lock(&outside->lock);
    list_push(&outside->asked, &lookup->node);
    wake(outside);
    (void)pthread_mutex_unlock(&outside->lock);
}

void auth_outside_forget(struct auth_outside *outside, const struct auth_worker *worker)
{
    if (!outside->has_thread) {
        return;
    }
    (void)pthread_mutex_lock(&outside->lock);
    while (outside->forgotten != NULL) { /* one at a time */
        (void)pthread_cond_wait(&outside->done, &outside->lock);
    }
    outside->forgotten = worker;
    wake(outside);
    while (outside->forgotten == worker) {
        (void)pthread_cond_wait(&outside->done, &outside->lock);
    }
    (void)pthread_mutex_unlock(&outside->lock);
}

uint64_t auth_outside_generation(const struct auth_outside *outside)
{
    return atomic_load_explicit(&outside->generation, memory_order_acquire);
}

size_t auth_outside_servers(struct auth_outside *outside, struct net_addr *out, size_t max)
{
    (void)pthread_mutex_lock(&outside->lock);
    size_t count = outside->fixed_count < max ? outside->fixed_count : max;
    memcpy(out, outside->fixed, count * sizeof(*out));
    for (size_t i = 0; i < outside->server_count && count < max; i++) {
        out[count++] = outside->servers[i];
    }
    (void)pthread_mutex_unlock(&outside->lock);
    return count;
}

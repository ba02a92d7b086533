/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/worker.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/auth.h"
#include "base/mem.h"
#include "base/slab.h"
#include "crypto/random.h"
#include "io/clock.h"
#include "io/mailbox.h"
#include "io/udp_batch.h"
#include "relay/control.h"
#include "relay/listener.h"
#include "relay/settings.h"
#include "relay/stash.h"
#include "relay/worker_int.h"

enum {
    MAILBOX_MESSAGES = 64,
    TICK_BUDGET = 256,   /* allocations that expire in one turn */
    RECHECK_BUDGET = 64, /* allocations that are judged anew in one turn */
};

enum worker_mail { MAIL_STOP = 1, MAIL_CONFIGURE };

/* --- making --------------------------------------------------------------------------------------
 */

static void on_mail(void *arg, struct loop_watch *watch, unsigned events)
{
    struct worker *w = arg;

    (void)watch;
    (void)events;
    w->mail = true;
}

static void on_auth_answers(void *arg)
{
    mailbox_wake(arg);
}

static int make_core(struct worker *w)
{
    struct turn_server_options options = {
        .config = &w->settings->config,
        .effects = effects_of(w),
        .max_allocations = w->env->max_allocations,
        .now_ms = w->now_ms,
        .wall_s = w->wall_s,
    };

    crypto_random_fill(w->random, (uint8_t *)&options.hash_key, sizeof(options.hash_key));
    return turn_server_new(&options, &w->core);
}

static int make_parts(struct worker *w)
{
    w->batch = udp_batch_new(path_too_big, w);
    w->listeners = mem_new(LISTENER_MAX, sizeof(*w->listeners));
    w->mailbox = mailbox_new(MAILBOX_MESSAGES);
    w->stash = stash_new();
    w->random = crypto_random_new();
    w->socks = slab_new(sizeof(struct relay_sock), 2 * w->env->max_allocations);
    if (w->batch == NULL || w->listeners == NULL || w->mailbox == NULL || w->stash == NULL ||
        w->random == NULL || w->socks == NULL) {
        return -ENOMEM;
    }
    w->loop = loop_new(w);
    if (w->loop == NULL) {
        return -errno;
    }
    w->mail_watch.fn = on_mail;
    int err = loop_add(w->loop, mailbox_fd(w->mailbox), false, &w->mail_watch);
    err = err == 0 ? auth_worker_new(w->env->auth, on_auth_answers, w->mailbox, &w->auth) : err;
    return err == 0 ? make_core(w) : err;
}

int worker_new(const struct worker_env *env, const struct settings *settings, unsigned index,
               struct worker **out)
{
    struct worker *w = mem_new(1, sizeof(*w));
    if (w == NULL) {
        return -ENOMEM;
    }
    w->env = env;
    w->external = env->external;
    w->settings = settings;
    w->index = index;
    w->now_ms = clock_now_ms();
    w->wall_s = clock_wall_s();
    list_init(&w->ready);
    list_init(&w->round_end);
    list_init(&w->closing);
    const int err = make_parts(w);
    if (err < 0) {
        worker_free(w);
        return err;
    }
    *out = w;
    return 0;
}

int worker_listen(struct worker *w, const struct udp_port *port)
{
    assert(!w->running && w->listener_count < LISTENER_MAX);
    struct udp_port *mine = &w->listeners[w->listener_count];

    *mine = *port;
    list_init(&mine->ready);
    mine->role = WORKER_LISTENER;
    mine->watch.fn = path_ready;
    const int err = loop_add(w->loop, mine->fd, true, &mine->watch);
    if (err < 0) {
        return err;
    }
    w->listener_count++;
    return 0;
}

void worker_free(struct worker *w)
{
    if (w == NULL) {
        return;
    }
    worker_stop(w);
    turn_server_free(w->core);
    effects_reap(w);
    auth_worker_free(w->auth);
    for (size_t i = 0; i < w->listener_count; i++) {
        udp_close(&w->listeners[i]);
    }
    loop_free(w->loop);
    slab_free(w->socks);
    crypto_random_free(w->random);
    stash_free(w->stash);
    mailbox_free(w->mailbox);
    free(w->listeners);
    udp_batch_free(w->batch);
    free(w);
}

/* --- the thread ----------------------------------------------------------------------------------
 */

static void publish(struct worker *w)
{
    stats_set(&w->count.allocations, turn_server_allocation_count(w->core));
}

static void configure(struct worker *w, struct worker_configure *message)
{
    w->settings = message->settings;
    turn_server_configure(w->core, &w->settings->config);
    w->rechecking = true;
    publish(w);
    (void)sem_post(message->done); /* the message is not ours any more */
}

static void serve_mail(struct worker *w)
{
    struct mail mail;

    w->mail = false;
    mailbox_quiet(w->mailbox);
    while (mailbox_take(w->mailbox, &mail)) {
        if (mail.kind == MAIL_CONFIGURE) {
            configure(w, mail.what);
        } else {
            w->stop = true;
        }
    }
    (void)auth_worker_collect(w->auth, w->now_ms);
    path_resubmit(w);
}

/* When the loop must go on at the latest. */
static uint64_t next_turn(const struct worker *w)
{
    if (!list_empty(&w->ready) || w->rechecking || w->behind) {
        return w->now_ms;
    }
    return turn_server_next_deadline(w->core);
}

static void turn(struct worker *w)
{
    (void)loop_turn(w->loop, w->now_ms, next_turn(w));
    w->now_ms = clock_now_ms();
    w->wall_s = clock_wall_s();
    turn_server_set_wall(w->core, w->wall_s);
    path_run(w);
    if (w->mail) {
        serve_mail(w);
    }
    w->behind = turn_server_tick(w->core, w->now_ms, TICK_BUDGET) == TICK_BUDGET;
    if (w->rechecking) {
        w->rechecking = !turn_server_recheck(w->core, RECHECK_BUDGET, w->now_ms);
    }
    effects_reap(w);
    publish(w);
}

static void *run(void *arg)
{
    struct worker *w = arg;

    while (!w->stop) {
        turn(w);
    }
    return NULL;
}

int worker_start(struct worker *w)
{
    char name[16];
    sigset_t all;
    sigset_t before;

    /* Signals are the control thread's. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int err = pthread_create(&w->thread, NULL, run, w);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err != 0) {
        return -err;
    }
    w->running = true;
    (void)snprintf(name, sizeof(name), "worker-%u", w->index % 100000);
    (void)pthread_setname_np(w->thread, name);
    return 0;
}

static int post(struct worker *w, enum worker_mail kind, void *what)
{
    const struct mail mail = {.kind = kind, .what = what};

    return mailbox_post(w->mailbox, &mail);
}

void worker_stop(struct worker *w)
{
    if (w == NULL || !w->running) {
        return;
    }
    /* Only control posts, and waits for each answer: there is room. */
    if (post(w, MAIL_STOP, NULL) < 0) {
        abort();
    }
    (void)pthread_join(w->thread, NULL);
    w->running = false;
}

int worker_reconfigure(struct worker *w, struct worker_configure *message)
{
    return post(w, MAIL_CONFIGURE, message);
}

/* --- numbers -------------------------------------------------------------------------------------
 */

static void add_turn(const struct turn_counters *from, struct turn_counters *sum)
{
    const uint64_t *in = (const uint64_t *)from;
    uint64_t *out = (uint64_t *)sum;

    _Static_assert(sizeof(*from) % sizeof(uint64_t) == 0, "turn_counters holds nothing else");
    for (size_t i = 0; i < sizeof(*from) / sizeof(uint64_t); i++) {
        out[i] += __atomic_load_n(&in[i], __ATOMIC_RELAXED);
    }
}

void worker_add_stats(const struct worker *w, struct relay_stats *sum)
{
    const struct udp_counters *udp = udp_batch_counters(w->batch);

    add_turn(turn_server_counters(w->core), &sum->turn);
    sum->allocations += stats_read(&w->count.allocations);
    sum->rx_batches += stats_read(&udp->rx_batches);
    sum->rx_packets += stats_read(&udp->rx_packets);
    sum->rx_overflow += stats_read(&udp->rx_overflow);
    sum->tx_packets += stats_read(&udp->tx_packets);
    sum->tx_calls += stats_read(&udp->tx_calls);
    sum->tx_errors += stats_read(&udp->tx_errors);
    sum->tx_full += stats_read(&udp->tx_full);
    sum->icmp_relayed += stats_read(&w->count.icmp_relayed);
    sum->wait_dropped += stats_read(&w->count.wait_dropped);
    sum->workers++;
}

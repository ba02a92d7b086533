/* SPDX-License-Identifier: Apache-2.0 */
/* The listening sockets as the control thread sees them: opened before privileges are given up,
 * spread over the workers, and spread anew when a reload changes workers or addresses.
 *
 * Sessions move with their sockets (travel.c), one socket at a time; what comes for a socket that
 * nobody reads for a moment waits in the kernel. */
#include <assert.h>
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "log/log.h"
#include "offload/steer.h"
#include "relay/affinity.h"
#include "relay/cpus.h"
#include "relay/directory.h"
#include "relay/dispatcher.h"
#include "relay/server_int.h"

enum { SPARE_GROUPS = 8 }; /* addresses that may come later and still be steered */

static uint32_t cpus_of(const struct conf *conf)
{
    return conf->cpus > 0 ? conf->cpus : cpus_usable();
}

uint32_t server_workers_wanted(const struct conf *conf)
{
    if (conf->is_set[CONF_OPT_relay_threads]) {
        return conf->relay_threads > 0 ? conf->relay_threads : 1;
    }
    return cpus_of(conf);
}

static enum front_engine engine_of(const struct conf *conf)
{
    switch (conf->network_engine) {
    case CONF_ENGINE_CONNECTED:
        return FRONT_CONNECTED;
    case CONF_ENGINE_PAIRED:
        return FRONT_PAIRED;
    case CONF_ENGINE_DISPATCH:
        return FRONT_DISPATCH;
    case CONF_ENGINE_AUTO:
    case CONF_ENGINE_REUSEPORT:
    default:
        return FRONT_REUSEPORT;
    }
}

/* --- opening -------------------------------------------------------------------------------------
 */

static uint32_t udp_items(const struct listener_plan *plan)
{
    uint32_t count = 0;

    for (size_t i = 0; i < plan->count; i++) {
        count += plan->item[i].stream ? 0 : 1;
    }
    return count;
}

/* Without the program the kernel's hash decides, which is no error: say which it is. */
static void open_steering(struct relay_server *s)
{
    const bool wanted = s->front->engine == FRONT_REUSEPORT || s->front->engine == FRONT_CONNECTED;
    const struct steer_options options = {
        .max_flows = s->max_allocations,
        .max_groups = udp_items(&s->plan) + SPARE_GROUPS,
        .max_sockets = s->front->sockets,
    };
    char why[256] = "";

    if (wanted && s->front->sockets > 1 &&
        steer_new(&options, &s->front->steer, why, sizeof(why)) < 0) {
        s->front->steer = NULL;
    }
    log_event(LOG_NOTICE, "ingress.ready", LOG_TEXT("engine", front_engine_name(s->front->engine)),
              LOG_TEXT("steering", s->front->steer != NULL ? "bpf" : "kernel"),
              LOG_U64("sockets", s->front->sockets), LOG_TEXT("why", why[0] != '\0' ? why : NULL),
              LOG_END);
}

static int make_directory(struct relay_server *s)
{
    if (!s->conf->mobility) {
        return 0;
    }
    s->directory = directory_new(s->max_allocations);
    return s->directory != NULL ? 0 : -ENOMEM;
}

int server_open_front(struct relay_server *s, char *why, size_t cap)
{
    uint32_t added;
    int err = listener_plan_make(s->conf, &s->plan, why, cap);

    err = err == 0 ? front_new(engine_of(s->conf), server_workers_wanted(s->conf), cpus_of(s->conf),
                               &s->front)
                   : err;
    if (err < 0) {
        return err;
    }
    open_steering(s);
    err = make_directory(s);
    return err == 0 ? front_open(s->front, &s->plan, &added, why, cap) : err;
}

void relay_server_give(const struct relay_server *s, uid_t uid)
{
    for (uint32_t i = 0; i < s->front->item_count; i++) {
        for (uint32_t k = 0; k < s->front->item[i]->sockets; k++) {
            if (fchown(s->front->item[i]->fd[k], uid, (gid_t)-1) < 0) {
                log_event(LOG_WARNING, "ingress.not_given", LOG_ERRNO("why", errno), LOG_END);
            }
        }
    }
}

/* --- at start ------------------------------------------------------------------------------------
 */

int server_add_worker(struct relay_server *s)
{
    const uint32_t index = s->worker_count;
    const int err = worker_new(&s->env, s->settings, index, &s->workers[index]);

    s->worker_count += err == 0 ? 1 : 0;
    return err;
}

int server_start_workers(struct relay_server *s)
{
    const uint32_t made = front_made(s->front);

    for (uint32_t i = made; i < s->worker_count; i++) {
        const int err = worker_start(s->workers[i]);
        if (err < 0) {
            return err;
        }
    }
    atomic_store_explicit(&s->front->made, s->worker_count, memory_order_release);
    return 0;
}

static int make_dispatcher(struct relay_server *s)
{
    const struct dispatcher_options options = {.front = s->front, .workers = s->workers};

    return s->front->engine == FRONT_DISPATCH ? dispatcher_new(&options, &s->dispatcher) : 0;
}

static int spread_item(struct relay_server *s, const struct front_item *item)
{
    int err = 0;

    for (uint32_t i = 0; err == 0 && i < item->sockets; i++) {
        const uint32_t reader = front_reader(item, i);
        err = reader == FRONT_DISPATCHER ? dispatcher_listen(s->dispatcher, item)
                                         : worker_listen(s->workers[reader], item, i);
    }
    return err;
}

/* A packet of a stranger is served where it was received, if packets come in everywhere. */
static void steer_to_cpus(struct relay_server *s)
{
    const uint32_t workers = atomic_load_explicit(&s->front->workers, memory_order_relaxed);
    uint32_t socket_of_cpu[FRONT_WORKERS];

    if (s->front->steer == NULL || s->conf->worker_affinity != CONF_AFFINITY_CPU ||
        affinity_receive_cpus("/sys/class/net") < workers) {
        return;
    }
    for (uint32_t i = 0; i < FRONT_WORKERS; i++) {
        socket_of_cpu[i] = STEER_ANY;
    }
    for (uint32_t i = 0; i < workers; i++) {
        const unsigned cpu = affinity_cpu_of(i);
        if (cpu < FRONT_WORKERS) {
            socket_of_cpu[cpu] = i;
        }
    }
    const int err = steer_by_cpu(s->front->steer, socket_of_cpu, FRONT_WORKERS);
    if (err < 0) { /* those that were not told go by the hash */
        log_event(LOG_WARNING, "ingress.not_by_cpu", LOG_ERRNO("why", err), LOG_END);
    }
}

int server_spread_sockets(struct relay_server *s)
{
    int err = make_dispatcher(s);

    for (uint32_t i = 0; err == 0 && i < s->front->item_count; i++) {
        err = spread_item(s, s->front->item[i]);
    }
    steer_to_cpus(s);
    return err;
}

/* --- a change: before ----------------------------------------------------------------------------
 */

int server_front_prepare(struct relay_server *s, const struct conf *conf, struct front_change *out,
                         char *why, size_t cap)
{
    struct listener_plan *before = mem_new(1, sizeof(*before));

    (void)snprintf(why, cap, "out of memory");
    if (before == NULL) {
        return -ENOMEM;
    }
    memcpy(before, &s->plan, sizeof(*before));
    *out = (struct front_change){.added = 0, .before = before};
    int err = listener_plan_change(conf, s->front, &s->plan, why, cap);
    err = err == 0 ? front_open(s->front, &s->plan, &out->added, why, cap) : err;
    if (err < 0) {
        server_front_forget(s, out);
    }
    return err;
}

void server_front_forget(struct relay_server *s, struct front_change *change)
{
    front_drop(s->front, change->added);
    memcpy(&s->plan, change->before, sizeof(s->plan));
    free(change->before);
}

/* --- a change: putting it into force -------------------------------------------------------------
 */

static void wait_for(sem_t *done, uint32_t count)
{
    for (; count > 0; count--) {
        while (sem_wait(done) < 0) {
            assert(errno == EINTR);
        }
    }
}

/* As many workers as are wanted, as far as that is possible. */
static uint32_t grow_workers(struct relay_server *s, uint32_t wanted)
{
    const uint32_t max = front_workers_max(s->front);

    if (wanted > max) {
        log_event(LOG_WARNING, "workers.limited", LOG_U64("asked", wanted), LOG_U64("used", max),
                  LOG_TEXT("advice", "restart the server: it has opened sockets for as many "
                                     "workers as at start, or as CPUs"),
                  LOG_END);
        wanted = max;
    }
    while (s->worker_count < wanted) {
        int err = server_add_worker(s);
        if (err == 0) {
            err = server_start_workers(s);
            if (err < 0) { /* nobody has been told of it */
                worker_free(s->workers[--s->worker_count]);
                s->workers[s->worker_count] = NULL;
            }
        }
        if (err < 0) {
            log_event(LOG_ERROR, "workers.too_few", LOG_U64("asked", wanted),
                      LOG_TEXT("why", strerror(-err)), LOG_END);
            return atomic_load_explicit(&s->front->workers, memory_order_relaxed);
        }
    }
    return wanted;
}

/* Hand one socket on, and wait until that is done: the next change finds it where it is. */
static void move_socket(struct relay_server *s, struct front_item *item, uint32_t socket,
                        uint32_t to)
{
    const uint32_t from = front_reader(item, socket);
    sem_t done;
    struct worker_handover message = {
        .item = item, .socket = socket, .to = to, .closed = item->closed, .done = &done};

    if (from == to) {
        return;
    }
    (void)sem_init(&done, 0, 0);
    worker_hand_over(s->workers[from], &message);
    wait_for(&done, 1);
    (void)sem_destroy(&done);
}

/* The dispatcher waits while the clients of a bucket change their worker. */
static void move_buckets(struct relay_server *s, uint32_t workers)
{
    sem_t done;

    (void)sem_init(&done, 0, 0);
    dispatcher_pause(s->dispatcher);
    for (uint32_t i = 0; i < FRONT_BUCKETS; i++) {
        atomic_store_explicit(&s->front->bucket[i], i % workers, memory_order_release);
    }
    for (uint32_t i = 0; i < s->worker_count; i++) {
        worker_rebucket(s->workers[i], &done);
    }
    wait_for(&done, s->worker_count);
    dispatcher_resume(s->dispatcher);
    (void)sem_destroy(&done);
}

static void set_workers(struct relay_server *s, uint32_t workers)
{
    const uint32_t before = atomic_load_explicit(&s->front->workers, memory_order_relaxed);

    if (workers == before) {
        return;
    }
    /* No session is placed on a worker that has no sockets yet, or will have none. */
    if (workers < before) {
        atomic_store_explicit(&s->front->workers, workers, memory_order_release);
    }
    if (s->dispatcher != NULL) {
        move_buckets(s, workers);
    }
    for (uint32_t i = 0; i < s->front->item_count; i++) {
        struct front_item *item = s->front->item[i];

        for (uint32_t k = 0; k < item->sockets && !(item->closed && item->spec.stream); k++) {
            const uint32_t reader = front_reader_of(s->front, item, k, workers);
            if (reader != FRONT_DISPATCHER) {
                move_socket(s, item, k, reader);
            }
        }
    }
    atomic_store_explicit(&s->front->workers, workers, memory_order_release);
    log_event(LOG_NOTICE, "workers.changed", LOG_U64("before", before), LOG_U64("now", workers),
              LOG_END);
}

/* Nobody has read these yet. */
static void begin_item(struct relay_server *s, struct front_item *item)
{
    sem_t done;

    (void)sem_init(&done, 0, 0);
    for (uint32_t i = 0; i < item->sockets; i++) {
        struct worker_handover message = {.item = item, .socket = i, .done = &done};

        if (front_reader(item, i) == FRONT_DISPATCHER) {
            dispatcher_pause(s->dispatcher);
            if (dispatcher_listen(s->dispatcher, item) < 0) {
                log_event(LOG_ERROR, "listener.lost", LOG_ADDR("listener", &item->spec.addr),
                          LOG_END);
            }
            dispatcher_resume(s->dispatcher);
            continue;
        }
        message.to = front_reader(item, i);
        worker_take_over(s->workers[message.to], &message);
        wait_for(&done, 1);
    }
    (void)sem_destroy(&done);
    log_event(LOG_NOTICE, "listener.opened", LOG_ADDR("listener", &item->spec.addr),
              LOG_TEXT("transport", item->spec.stream ? "tcp" : "udp"), LOG_END);
}

/* Those with an allocation are served on; who connects to a closed TCP listener is refused. */
static void set_closed(struct relay_server *s, struct front_item *item, bool closed)
{
    sem_t done;
    struct worker_closing message = {.item = item, .closed = closed, .done = &done};

    (void)sem_init(&done, 0, 0);
    for (uint32_t i = 0; i < s->worker_count; i++) {
        worker_close(s->workers[i], &message);
    }
    wait_for(&done, s->worker_count);
    (void)sem_destroy(&done);
    item->closed = closed;
    if (closed && item->spec.stream) {
        front_close(item);
    }
    log_event(LOG_NOTICE, "listener.changed", LOG_TEXT("to", closed ? "closed" : "open"),
              LOG_ADDR("listener", &item->spec.addr),
              LOG_TEXT("transport", item->spec.stream ? "tcp" : "udp"), LOG_END);
}

static bool is_planned(const struct listener_plan *plan, const struct front_item *item)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->item[i].stream == item->spec.stream &&
            net_addr_equal(&plan->item[i].addr, &item->spec.addr)) {
            return true;
        }
    }
    return false;
}

/* Items that are planned no more, and closed UDP items that are planned again. */
static void follow_plan(struct relay_server *s, const struct listener_plan *plan, uint32_t known)
{
    for (uint32_t i = 0; i < known; i++) {
        struct front_item *item = s->front->item[i];
        const bool closed = !is_planned(plan, item);

        if (closed != item->closed && !(item->closed && item->spec.stream)) {
            set_closed(s, item, closed);
        }
    }
}

void server_front_apply(struct relay_server *s, const struct conf *conf,
                        struct front_change *change)
{
    const uint32_t known = s->front->item_count - change->added;

    set_workers(s, grow_workers(s, server_workers_wanted(conf)));
    follow_plan(s, &s->plan, known);
    for (uint32_t i = known; i < s->front->item_count; i++) {
        struct front_item *item = s->front->item[i];

        for (uint32_t k = 0; k < item->sockets; k++) { /* there may be other workers now */
            atomic_store_explicit(
                &item->reader[k],
                front_reader_of(s->front, item, k,
                                atomic_load_explicit(&s->front->workers, memory_order_relaxed)),
                memory_order_release);
        }
        begin_item(s, item);
    }
    free(change->before);
}

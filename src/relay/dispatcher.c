/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/dispatcher.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"
#include "io/clock.h"
#include "io/loop.h"
#include "io/mailbox.h"
#include "io/udp.h"
#include "io/udp_batch.h"
#include "io/udp_rx.h"
#include "io/udp_tx.h"
#include "relay/front.h"
#include "relay/packet_block.h"
#include "relay/worker.h"
#include "stats/counters.h"

enum {
    BLOCKS = 8,       /* of each worker */
    BLOCKS_AHEAD = 2, /* that a worker has not read yet: more are sent only when they are full */
    WAIT_MS = 10,
    STUCK_MS = 100, /* a worker that takes nothing for so long does not hold up the others */
    BUDGET = 64,    /* packets a visit of a socket */
    ROOM_MIN = 16,
    MESSAGES = 16,
};

enum dispatcher_mail { MAIL_STOP = 1, MAIL_PAUSE, MAIL_RESUME };

/* A listener's socket. */
struct source {
    struct udp_port port;
    const struct front_item *item;
};

struct dispatcher {
    const struct front *front;
    struct worker *const *workers;
    struct loop *loop;
    struct loop_watch mail_watch;
    struct mailbox *mailbox;
    struct udp_batch *batch;
    struct list ready; /* struct source.port.ready */
    bool mail;
    bool paused;
    bool stop;
    bool running;
    uint32_t worker_max;
    struct packet_blocks wake;
    struct packet_block *blocks; /* BLOCKS for each worker */
    struct packet_block **open;  /* by worker: what is being filled */
    uint64_t waiting_ms;         /* since when nothing is read, for want of blocks; 0: it is */
    struct source *sources[LISTENER_MAX];
    struct stats_counter packets;
    struct stats_counter dropped;
    pthread_t thread;
};

static void on_mail(void *arg, struct loop_watch *watch, unsigned events)
{
    struct dispatcher *d = arg;

    (void)watch;
    (void)events;
    d->mail = true;
}

static void on_ready(void *arg, struct loop_watch *watch, unsigned events)
{
    struct dispatcher *d = arg;
    struct udp_port *port = CONTAINER_OF(watch, struct udp_port, watch);

    port->readable = port->readable || (events & LOOP_READ) != 0;
    list_remove(&port->ready);
    list_push(&d->ready, &port->ready);
}

static void too_big(void *arg, struct pkt *pkt)
{
    (void)arg; /* nothing is sent from here */
    (void)pkt;
}

static int make_parts(struct dispatcher *d)
{
    d->batch = udp_batch_new(too_big, d);
    d->mailbox = mailbox_new(MESSAGES);
    d->blocks = mem_new((size_t)BLOCKS * d->worker_max, sizeof(*d->blocks));
    d->open = mem_new(d->worker_max, sizeof(struct packet_block *));
    if (d->batch == NULL || d->mailbox == NULL || d->blocks == NULL || d->open == NULL) {
        return -ENOMEM;
    }
    d->wake.mailbox = d->mailbox;
    for (uint32_t i = 0; i < BLOCKS * d->worker_max; i++) {
        d->blocks[i].blocks = &d->wake;
    }
    d->loop = loop_new(d);
    if (d->loop == NULL) {
        return -errno;
    }
    d->mail_watch.fn = on_mail;
    return loop_add(d->loop, mailbox_fd(d->mailbox), false, &d->mail_watch);
}

int dispatcher_new(const struct dispatcher_options *options, struct dispatcher **out)
{
    struct dispatcher *d = mem_new(1, sizeof(*d));
    if (d == NULL) {
        return -ENOMEM;
    }
    d->front = options->front;
    d->workers = options->workers;
    d->worker_max = front_workers_max(options->front);
    list_init(&d->ready);
    const int err = make_parts(d);
    if (err < 0) {
        dispatcher_free(d);
        return err;
    }
    *out = d;
    return 0;
}

int dispatcher_listen(struct dispatcher *d, const struct front_item *item)
{
    struct source *source = mem_new(1, sizeof(*source));
    if (source == NULL) {
        return -ENOMEM;
    }
    source->item = item;
    udp_adopt(&source->port, item->fd[0], &item->spec.addr, false);
    source->port.watch.fn = on_ready;
    source->port.gro_never = true; /* what is read at once must fit a block */
    const int err = loop_add(d->loop, source->port.fd, true, &source->port.watch);
    if (err < 0) {
        free(source);
        return err;
    }
    d->sources[item->id] = source;
    return 0;
}

/* --- blocks --------------------------------------------------------------------------------------
 */

static struct packet_block *block_take(struct dispatcher *d, uint32_t worker)
{
    for (uint32_t i = 0; i < BLOCKS; i++) {
        struct packet_block *block = &d->blocks[worker * BLOCKS + i]; /* the first ones are warm */

        if (!atomic_load_explicit(&block->lent, memory_order_acquire)) {
            atomic_store_explicit(&block->lent, true, memory_order_relaxed);
            return block;
        }
    }
    return NULL;
}

/* Blocks that are out, the one that is being filled among them. */
static uint32_t block_count(const struct dispatcher *d, uint32_t worker)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < BLOCKS; i++) {
        count += atomic_load(&d->blocks[worker * BLOCKS + i].lent) ? 1 : 0;
    }
    return count;
}

static void block_post(struct dispatcher *d, uint32_t worker)
{
    struct packet_block *block = d->open[worker];
    const uint32_t count = block->count;

    d->open[worker] = NULL;
    if (worker_give_packets(d->workers[worker], block)) {
        stats_add(&d->packets, count);
    } else {
        stats_add(&d->dropped, count);
        packet_block_done(block);
    }
}

static void hand_on(struct dispatcher *d, const struct front_item *item, const struct pkt *pkt)
{
    const uint32_t bucket = front_bucket(d->front, &pkt->remote, &pkt->local);
    const uint32_t worker = front_bucket_worker(d->front, bucket);

    if (d->open[worker] != NULL && packet_block_add(d->open[worker], item, pkt)) {
        return;
    }
    if (d->open[worker] != NULL) {
        block_post(d, worker);
    }
    d->open[worker] = block_take(d, worker);
    if (d->open[worker] == NULL) {
        stats_add(&d->dropped, 1);
        return;
    }
    (void)packet_block_add(d->open[worker], item, pkt); /* it fits an empty one */
}

/* --- the thread ----------------------------------------------------------------------------------
 */

static void serve(struct dispatcher *d, struct source *source)
{
    struct pkt *pkt = NULL;

    if (udp_batch_room(d->batch) < ROOM_MIN) {
        udp_tx_flush(d->batch);
    }
    const uint32_t n = udp_rx(d->batch, &source->port, BUDGET, &pkt);
    for (uint32_t i = 0; i < n; i++) {
        if (pkt[i].len > 0) {
            hand_on(d, source->item, &pkt[i]);
        }
    }
    if (source->port.readable) {
        list_push(&d->ready, &source->port.ready);
    }
}

static void read_ready(struct dispatcher *d)
{
    struct list round;
    struct list *node;

    list_init(&round);
    while ((node = list_shift(&d->ready)) != NULL) {
        list_push(&round, node);
    }
    while ((node = list_shift(&round)) != NULL) {
        struct udp_port *port = CONTAINER_OF(node, struct udp_port, ready);
        serve(d, CONTAINER_OF(port, struct source, port));
    }
    udp_tx_flush(d->batch); /* frees the places */
}

/* Post what has been read: `all`, or only to workers that have caught up; the others get it when
 * they have, or when there is more of it. */
static void post_open(struct dispatcher *d, bool all)
{
    for (uint32_t i = 0; i < d->worker_max; i++) {
        if (d->open[i] != NULL && (all || block_count(d, i) <= BLOCKS_AHEAD + 1)) {
            block_post(d, i);
        }
    }
}

/* Has every worker room for all that one visit reads?  Else it stays in the kernel. */
static bool may_read(const struct dispatcher *d)
{
    for (uint32_t i = 0; i < d->worker_max; i++) {
        if (block_count(d, i) >= BLOCKS - 1) {
            return false;
        }
    }
    return true;
}

static bool holds_some(const struct dispatcher *d)
{
    for (uint32_t i = 0; i < d->worker_max; i++) {
        if (d->open[i] != NULL) {
            return true;
        }
    }
    return false;
}

static void serve_ready(struct dispatcher *d)
{
    const uint64_t now_ms = clock_now_ms();
    const bool may = may_read(d);

    if (may || (d->waiting_ms != 0 && now_ms - d->waiting_ms >= STUCK_MS)) {
        d->waiting_ms = may ? 0 : d->waiting_ms;
        read_ready(d);
    } else if (d->waiting_ms == 0) {
        d->waiting_ms = now_ms;
    }
    post_open(d, false);
    if (d->waiting_ms != 0 || holds_some(d)) {
        /* Asked for before looking once more: a block that is done with meanwhile is seen, or
         * wakes us. */
        atomic_store(&d->wake.wanted, true);
        post_open(d, false);
    }
}

static void serve_mail(struct dispatcher *d)
{
    struct mail mail;

    d->mail = false;
    mailbox_quiet(d->mailbox);
    while (mailbox_take(d->mailbox, &mail)) {
        d->stop = d->stop || mail.kind == MAIL_STOP;
        d->paused = mail.kind == MAIL_PAUSE;
        if (mail.kind == MAIL_PAUSE) { /* whoever wants it, wants that nothing is left here */
            post_open(d, true);
            (void)sem_post(mail.what);
        }
    }
}

/* How long the loop may sleep. */
static uint64_t wait_ms(const struct dispatcher *d)
{
    if (d->paused) {
        return UINT64_MAX;
    }
    if (d->waiting_ms != 0 || (list_empty(&d->ready) && holds_some(d))) {
        return WAIT_MS;
    }
    return list_empty(&d->ready) ? UINT64_MAX : 0;
}

static void *run(void *arg)
{
    struct dispatcher *d = arg;

    while (!d->stop) {
        (void)loop_turn(d->loop, 0, wait_ms(d));
        if (!d->paused) {
            serve_ready(d);
        }
        if (d->mail) {
            serve_mail(d);
        }
    }
    return NULL;
}

int dispatcher_start(struct dispatcher *d)
{
    sigset_t all;
    sigset_t before;

    (void)sigfillset(&all); /* signals are the control thread's */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int err = pthread_create(&d->thread, NULL, run, d);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err != 0) {
        return -err;
    }
    d->running = true;
    (void)pthread_setname_np(d->thread, "dispatcher");
    return 0;
}

/* Only the control thread writes here, and the dispatcher empties it in every turn. */
static void post(struct dispatcher *d, enum dispatcher_mail kind, sem_t *done)
{
    const struct mail mail = {.kind = kind, .what = done};

    while (mailbox_post(d->mailbox, &mail) < 0) {
        (void)sched_yield();
    }
}

void dispatcher_pause(struct dispatcher *d)
{
    sem_t done;

    (void)sem_init(&done, 0, 0);
    post(d, MAIL_PAUSE, &done);
    while (sem_wait(&done) < 0 && errno == EINTR) {
    }
    (void)sem_destroy(&done);
}

void dispatcher_resume(struct dispatcher *d)
{
    post(d, MAIL_RESUME, NULL);
}

void dispatcher_stop(struct dispatcher *d)
{
    if (d == NULL || !d->running) {
        return;
    }
    post(d, MAIL_STOP, NULL);
    (void)pthread_join(d->thread, NULL);
    d->running = false;
}

void dispatcher_free(struct dispatcher *d)
{
    if (d == NULL) {
        return;
    }
    dispatcher_stop(d);
    for (uint32_t i = 0; i < LISTENER_MAX; i++) {
        free(d->sources[i]); /* the sockets are the front's */
    }
    loop_free(d->loop);
    mailbox_free(d->mailbox);
    udp_batch_free(d->batch);
    free(d->blocks);
    free(d->open);
    free(d);
}

void dispatcher_read(const struct dispatcher *d, struct dispatcher_numbers *out)
{
    const struct udp_counters *udp = udp_batch_counters(d->batch);

    *out = (struct dispatcher_numbers){
        .packets = stats_read(&d->packets),
        .dropped = stats_read(&d->dropped),
        .overflow = stats_read(&udp->rx_overflow),
    };
}

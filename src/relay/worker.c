/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/worker.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
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
#include "log/log.h"
#include "relay/affinity.h"
#include "relay/control.h"
#include "relay/packet_block.h"
#include "relay/proxied.h"
#include "relay/settings.h"
#include "relay/stash.h"
#include "relay/worker_int.h"

enum {
    MAILBOX_MESSAGES = 1024, /* connections that come from other workers, for the most part */
    PROXIED_MAX = 65536,     /* clients behind balancers */
    HOLDOFF_MAX = 65536,
    DTLS_BUDGET = 256,
    TICK_BUDGET = 256,     /* allocations that expire in one turn */
    RECHECK_BUDGET = 64,   /* allocations that are judged anew in one turn */
    LETTER_BUDGET = 32,    /* letters of one turn: a dispatcher may never cease to write */
    RATE_MS = 250,         /* how often packets per second are counted */
    COLLECT_MS = 1000,     /* how often the kernel path is asked what it has relayed */
    COLLECT_BUDGET = 1024, /* channels that are asked for in one turn */
    COLLECT_MOST = 65536,  /* and in COLLECT_MS */
};

enum worker_mail {
    MAIL_STOP = 1,
    MAIL_CONFIGURE,
    MAIL_STREAM,    /* struct stream_parcel */
    MAIL_SESSIONS,  /* struct session_parcel, a chain */
    MAIL_STRAY,     /* struct stray */
    MAIL_ERRAND,    /* struct errand */
    MAIL_FORWARDS,  /* struct forward_list */
    MAIL_PACKETS,   /* struct packet_block */
    MAIL_HAND_OVER, /* struct worker_handover: let go */
    MAIL_TAKE_OVER, /* and take in */
    MAIL_REBUCKET,  /* sem_t */
    MAIL_CLOSE,     /* struct worker_closing */
};

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
        .instance = w->index,
        .instances = front_workers_max(w->env->front),
        .session_base = (uint64_t)w->index << 48,
        .now_ms = w->now_ms,
        .wall_s = w->wall_s,
    };

    crypto_random_fill(w->random, (uint8_t *)&options.hash_key, sizeof(options.hash_key));
    return turn_server_new(&options, &w->core);
}

static struct hash_key random_key(struct worker *w)
{
    struct hash_key key;

    crypto_random_fill(w->random, (uint8_t *)&key, sizeof(key));
    return key;
}

/* What carries clients that do not speak plain UDP. */
static int make_carriers(struct worker *w)
{
    const size_t client = sizeof(struct client_stream);
    const size_t peer = sizeof(struct peer_stream);
    const struct streams_options streams = {
        .loop = w->loop,
        .arg = w,
        .limits = w->settings->stream,
        .shared = w->env->conns,
        .max_streams = w->env->max_connections,
        .owner_bytes = client > peer ? client : peer,
        .now_ms = w->now_ms,
    };
    const struct holdoff_options holdoff = {
        .own_ms = w->settings->holdoff_ms,
        .shared_ms = w->settings->holdoff_shared_ms,
        .max_entries = HOLDOFF_MAX,
        .key = random_key(w),
    };

    w->streams = streams_new(&streams);
    w->holdoff = holdoff_new(&holdoff);
    w->tcp_relays = slab_new(sizeof(struct tcp_relay), w->env->max_allocations);
    w->proxied = proxied_new(PROXIED_MAX, random_key(w));
    if (w->streams == NULL || w->holdoff == NULL || w->tcp_relays == NULL || w->proxied == NULL) {
        return -ENOMEM;
    }
    const int err = client_dtls_new(w, random_key(w));
    if (err == 0) {
        client_dtls_configure(w);
    }
    return err;
}

static int make_parts(struct worker *w)
{
    w->batch = udp_batch_new(path_too_big, w);
    w->mailbox = mailbox_new(MAILBOX_MESSAGES);
    w->stash = stash_new();
    w->random = crypto_random_new();
    w->socks = slab_new(sizeof(struct relay_sock), 2 * w->env->max_allocations);
    w->client_socks = slab_new(sizeof(struct client_socket), w->env->max_allocations);
    if (w->batch == NULL || w->mailbox == NULL || w->stash == NULL || w->random == NULL ||
        w->socks == NULL || w->client_socks == NULL || place_new(w) < 0) {
        return -ENOMEM;
    }
    udp_batch_set_gso(w->batch, w->env->gso);
    if (w->env->single) {
        udp_batch_no_gro(w->batch);
    }
    w->loop = loop_new(w);
    if (w->loop == NULL) {
        return -errno;
    }
    w->mail_watch.fn = on_mail;
    int err = loop_add(w->loop, mailbox_fd(w->mailbox), false, &w->mail_watch);
    err = err == 0 ? make_carriers(w) : err;
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
    w->rules = effects_rules(w);
    list_init(&w->ready);
    list_init(&w->round_end);
    list_init(&w->closing);
    list_init(&w->waiting);
    list_init(&w->departures);
    const int err = make_parts(w);
    if (err < 0) {
        worker_free(w);
        return err;
    }
    *out = w;
    return 0;
}

int worker_listen(struct worker *w, const struct front_item *item, uint32_t socket)
{
    assert(!w->running);
    return worker_read(w, item, socket);
}

/* What is on its way to a worker that has ended. */
static void drop_mail(struct worker *w)
{
    struct mail mail;

    while (w->mailbox != NULL && mailbox_take(w->mailbox, &mail)) {
        switch ((enum worker_mail)mail.kind) {
        case MAIL_STREAM:
            stream_parcel_free(mail.what);
            break;
        case MAIL_SESSIONS:
            travel_drop(w, mail.what);
            break;
        case MAIL_STRAY:
            stray_drop(mail.what);
            break;
        case MAIL_ERRAND:
            elsewhere_drop(mail.what);
            break;
        case MAIL_FORWARDS:
            free(mail.what);
            break;
        case MAIL_STOP:
        case MAIL_CONFIGURE:
        case MAIL_PACKETS:
        case MAIL_HAND_OVER:
        case MAIL_TAKE_OVER:
        case MAIL_REBUCKET:
        case MAIL_CLOSE:
        default:
            break;
        }
    }
}

void worker_free(struct worker *w)
{
    if (w == NULL) {
        return;
    }
    worker_stop(w);
    drop_mail(w);
    client_dtls_free(w); /* it tells the core, and its clients, that it ends */
    if (w->batch != NULL && w->streams != NULL) {
        path_flush(w);
    }
    place_free(w);
    stray_forget(w);
    turn_server_free(w->core);
    w->core = NULL;
    effects_reap(w);
    worker_free_slots(w);
    streams_free(w->streams);
    proxied_free(w->proxied);
    holdoff_free(w->holdoff);
    slab_free(w->tcp_relays);
    auth_worker_free(w->auth);
    loop_free(w->loop);
    slab_free(w->socks);
    slab_free(w->client_socks);
    crypto_random_free(w->random);
    stash_free(w->stash);
    mailbox_free(w->mailbox);
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
    w->rules = effects_rules(w);
    turn_server_configure(w->core, &w->settings->config);
    streams_set_limits(w->streams, &w->settings->stream);
    holdoff_set_times(w->holdoff, w->settings->holdoff_ms, w->settings->holdoff_shared_ms);
    client_dtls_configure(w);
    w->rechecking = true;
    publish(w);
    (void)sem_post(message->done); /* the message is not ours any more */
}

/* Datagrams that a dispatcher has read. */
static void serve_packets(struct worker *w, struct packet_block *block)
{
    for (uint32_t i = 0; i < block->count; i++) {
        const struct packet_head *head = &block->head[i];
        struct worker_listener *slot = worker_slot(w, head->item, 0);
        struct pkt *pkt = slot != NULL ? path_place(w) : NULL;

        if (pkt == NULL) {
            continue;
        }
        memcpy(pkt->data, block->data + head->at, head->len);
        pkt->len = head->len;
        pkt->remote = head->remote;
        pkt->local = head->local;
        pkt->tos = head->tos;
        pkt->port = &slot->port;
        path_from_listener(w, slot, pkt);
        client_dtls_serve(w);
    }
    packet_block_done(block);
    path_flush(w);
    effects_reap(w); /* who has given a port up may have it again in this very turn */
}

static void close_item(struct worker *w, struct worker_closing *message)
{
    worker_close_item(w, message->item, message->closed);
    (void)sem_post(message->done); /* the message is not ours any more */
}

static void rebucket(struct worker *w, sem_t *done)
{
    travel_rebucket(w);
    (void)sem_post(done);
}

static void serve_letter(struct worker *w, const struct mail *mail)
{
    switch ((enum worker_mail)mail->kind) {
    case MAIL_CONFIGURE:
        configure(w, mail->what);
        break;
    case MAIL_STREAM:
        (void)client_stream_adopt(w, mail->what);
        break;
    case MAIL_SESSIONS:
        travel_unpack(w, mail->what);
        break;
    case MAIL_STRAY:
        stray_take(w, mail->what);
        break;
    case MAIL_ERRAND:
        elsewhere_take(w, mail->what);
        break;
    case MAIL_FORWARDS:
        stray_told(w, mail->what);
        break;
    case MAIL_PACKETS:
        serve_packets(w, mail->what);
        break;
    case MAIL_HAND_OVER:
        travel_hand_over(w, mail->what);
        break;
    case MAIL_TAKE_OVER:
        travel_take_over(w, mail->what);
        break;
    case MAIL_REBUCKET:
        rebucket(w, mail->what);
        break;
    case MAIL_CLOSE:
        close_item(w, mail->what);
        break;
    case MAIL_STOP:
    default:
        w->stop = true;
        break;
    }
}

static void serve_mail(struct worker *w)
{
    struct mail mail;

    w->mail = false;
    mailbox_quiet(w->mailbox);
    for (int i = 0; i < LETTER_BUDGET; i++) {
        if (!mailbox_take(w->mailbox, &mail)) {
            break;
        }
        serve_letter(w, &mail);
        w->mail = i == LETTER_BUDGET - 1; /* more may be there: other work comes first */
    }
    (void)auth_worker_collect(w->auth, w->now_ms);
    path_resubmit(w);
    client_stream_resume(w);
}

/* Tell what is to be done here: new sessions go where it is least. */
static void tell_load(struct worker *w)
{
    const uint64_t ms = w->now_ms - w->rate_ms;
    if (ms < RATE_MS) {
        return;
    }
    const uint64_t packets = stats_read(&udp_batch_counters(w->batch)->rx_packets);
    const uint64_t per_s = (packets - w->rate_packets) * 1000 / ms;
    atomic_store_explicit(&w->env->front->load[w->index].packets_per_s,
                          per_s < UINT32_MAX ? (uint32_t)per_s : UINT32_MAX, memory_order_relaxed);
    w->rate_ms = w->now_ms;
    w->rate_packets = packets;
    w->rate_told = per_s > 0;
}

/* Ask the kernel path, a few channels a turn.  Their traffic is told in time for the numbers, and
 * exactly when a session ends. */
static void collect(struct worker *w)
{
    if (w->to_collect == 0) {
        if (w->flows == 0 || w->now_ms - w->collect_ms < COLLECT_MS) {
            return;
        }
        w->collect_ms = w->now_ms;
        w->to_collect = w->flows < COLLECT_MOST ? w->flows : COLLECT_MOST;
    }
    const uint32_t budget = w->to_collect < COLLECT_BUDGET ? w->to_collect : COLLECT_BUDGET;
    const uint32_t asked = turn_server_collect(w->core, budget);
    w->to_collect = asked == budget ? w->to_collect - asked : 0;
}

/* When the loop must go on at the latest. */
static uint64_t next_turn(const struct worker *w)
{
    if (w->mail || !list_empty(&w->departures) || !list_empty(&w->ready) || w->rechecking ||
        w->behind || w->to_collect > 0 || w->streams_more || w->dtls_more) {
        return w->now_ms;
    }
    const uint64_t core_ms = turn_server_next_deadline(w->core);
    const uint64_t streams_ms = streams_next_deadline(w->streams);
    const uint64_t dtls_ms = dtls_next_deadline(w->dtls);
    const uint64_t rate_ms = w->rate_told ? w->rate_ms + RATE_MS : UINT64_MAX;
    const uint64_t collect_ms = w->flows > 0 ? w->collect_ms + COLLECT_MS : UINT64_MAX;
    uint64_t first_ms = core_ms < streams_ms ? core_ms : streams_ms;

    first_ms = first_ms < dtls_ms ? first_ms : dtls_ms;
    first_ms = first_ms < collect_ms ? first_ms : collect_ms;
    return first_ms < rate_ms ? first_ms : rate_ms;
}

static void turn(struct worker *w)
{
    stats_set(&w->count.busy_since_ms, 0);
    (void)loop_turn(w->loop, w->now_ms, next_turn(w));
    w->now_ms = clock_now_ms();
    stats_set(&w->count.busy_since_ms, w->now_ms);
    w->wall_s = clock_wall_s();
    turn_server_set_wall(w->core, w->wall_s);
    streams_set_now(w->streams, w->now_ms); /* packets for connections come first */
    path_run(w);
    w->streams_more = streams_run(w->streams, w->now_ms);
    if (w->mail) {
        serve_mail(w);
    }
    w->behind = turn_server_tick(w->core, w->now_ms, TICK_BUDGET) == TICK_BUDGET;
    if (w->rechecking) {
        w->rechecking = !turn_server_recheck(w->core, RECHECK_BUDGET, w->now_ms);
    }
    w->dtls_more = dtls_tick(w->dtls, w->now_ms, DTLS_BUDGET);
    path_flush(w);
    if (!list_empty(&w->departures)) {
        effects_reap(w); /* a client's last socket, before it gets another one */
        place_departures(w);
        path_flush(w);
    }
    if (w->forwards != NULL) {
        stray_tick(w);
    }
    effects_reap(w);
    collect(w);
    tell_load(w);
    publish(w);
}

static void pin(const struct worker *w)
{
    unsigned cpu = 0;
    const int err = affinity_pin(w->index, &cpu);

    if (err == 0) {
        log_event(LOG_INFO, "worker.pinned", LOG_U64("worker", w->index), LOG_U64("cpu", cpu),
                  LOG_END);
    } else {
        log_event(LOG_WARNING, "worker.not_pinned", LOG_U64("worker", w->index),
                  LOG_TEXT("why", strerror(-err)), LOG_END);
    }
}

static void *run(void *arg)
{
    struct worker *w = arg;

    if (w->env->pinned) {
        pin(w);
    }
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

/* Other workers may have filled the mailbox; its owner empties it in every turn. */
static void post_surely(struct worker *w, enum worker_mail kind, void *what)
{
    while (post(w, kind, what) < 0) {
        (void)sched_yield();
    }
}

void worker_stop(struct worker *w)
{
    if (w == NULL || !w->running) {
        return;
    }
    post_surely(w, MAIL_STOP, NULL);
    (void)pthread_join(w->thread, NULL);
    w->running = false;
}

void worker_reconfigure(struct worker *w, struct worker_configure *message)
{
    post_surely(w, MAIL_CONFIGURE, message);
}

void worker_hand_over(struct worker *w, struct worker_handover *message)
{
    post_surely(w, MAIL_HAND_OVER, message);
}

void worker_take_over(struct worker *w, struct worker_handover *message)
{
    post_surely(w, MAIL_TAKE_OVER, message);
}

void worker_rebucket(struct worker *w, sem_t *done)
{
    post_surely(w, MAIL_REBUCKET, done);
}

void worker_close(struct worker *w, struct worker_closing *message)
{
    post_surely(w, MAIL_CLOSE, message);
}

bool worker_give_packets(struct worker *w, struct packet_block *block)
{
    return post(w, MAIL_PACKETS, block) == 0;
}

/* --- from worker to worker -----------------------------------------------------------------------
 */

int worker_try_mail_session(struct worker *w, uint32_t to, struct session_parcel *parcel)
{
    return post(w->env->workers[to], MAIL_SESSIONS, parcel);
}

int worker_try_mail_stray(struct worker *w, uint32_t to, struct stray *stray)
{
    return post(w->env->workers[to], MAIL_STRAY, stray);
}

int worker_try_mail_errand(struct worker *w, uint32_t to, struct errand *errand)
{
    return post(w->env->workers[to], MAIL_ERRAND, errand);
}

int worker_try_mail_forwards(struct worker *w, uint32_t to, struct forward_list *list)
{
    return post(w->env->workers[to], MAIL_FORWARDS, list);
}

void worker_mail_sessions(struct worker *w, uint32_t to, struct session_parcel *chain)
{
    post_surely(w->env->workers[to], MAIL_SESSIONS, chain);
}

void worker_mail_handover(struct worker *w, struct worker_handover *message)
{
    post_surely(w->env->workers[message->to], MAIL_TAKE_OVER, message);
}

void worker_give_stream(struct worker *w, struct stream_parcel *parcel)
{
    if (post(w, MAIL_STREAM, parcel) < 0) {
        stream_parcel_free(parcel); /* its mail is full: the client may try again */
    }
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

static void add_carriers(const struct worker *w, struct relay_stats *sum)
{
    const struct stream_counters *streams = streams_counters(w->streams);
    const struct dtls_counters *dtls = dtls_counters(w->dtls);

#define X(name) sum->streams.name += stats_read(&streams->name);
    STREAM_COUNTERS(X)
#undef X
    for (size_t i = 0; i < STREAM_CLOSE_COUNT; i++) {
        sum->closed[i] += stats_read(&w->count.closed[i]);
    }
    sum->dtls_established += stats_read(&dtls->established);
    sum->dtls_refused += stats_read(&dtls->refused);
    sum->proxy_refused += stats_read(&w->count.proxy_refused);
    sum->http_hints += stats_read(&w->count.http_hints);
    sum->unsteered += stats_read(&w->count.unsteered);
    sum->moved_in += stats_read(&w->count.moved_in);
    sum->strays += stats_read(&w->count.strays);
    sum->held_off += stats_read(&w->count.held_off);
}

uint64_t worker_busy_since(const struct worker *w)
{
    return stats_read(&w->count.busy_since_ms);
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
    sum->relay_overflow += stats_read(&w->count.relay_overflow);
    sum->wait_dropped += stats_read(&w->count.wait_dropped);
    add_carriers(w, sum);
    sum->workers++;
}

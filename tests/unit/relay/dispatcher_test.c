/* SPDX-License-Identifier: Apache-2.0 */
/* The dispatcher's thread and real sockets; the workers are this file's. */
#include "relay/dispatcher.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/udp.h"
#include "open_fds.h"
#include "relay/front.h"
#include "relay/packet_block.h"
#include "relay/worker.h"
#include "relay_conf.h"

#define BASE "realm=example.org\nno-auth\nno-tls\nno-tcp\nlistening-port=20402\n"
#define ONE  BASE "listening-ip=127.0.7.1\n"
#define TWO  ONE "listening-ip=127.0.7.2\n"

enum { WORKERS = 2, CLIENTS = 12, EACH = 20, BLOCKS = 64, LIMIT_S = 30, SIZE = 12 };

/* --- workers that only listen --------------------------------------------------------------------
 */

/* A packet as a worker got it: client and number are what the test has written into it. */
struct got {
    const struct front_item *item;
    struct net_addr remote;
    struct net_addr local;
    uint32_t len;
    uint32_t client;
    uint32_t number;
};

struct worker {
    bool full;  /* its mail is */
    bool keeps; /* it gives no block back */
    uint32_t kept_count;
    struct packet_block *kept[BLOCKS];
    uint32_t count;
    struct got got[4096];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t change;
static struct worker stage_worker[WORKERS];
static struct worker *const workers[WORKERS] = {&stage_worker[0], &stage_worker[1]};

static void take(struct worker *w, const struct packet_block *block)
{
    for (uint32_t i = 0; i < block->count; i++) {
        const struct packet_head *head = &block->head[i];
        struct got *got = &w->got[w->count++ % COUNT_OF(w->got)];

        *got = (struct got){
            .item = head->item, .remote = head->remote, .local = head->local, .len = head->len};
        if (head->len >= 2 * sizeof(uint32_t)) {
            memcpy(&got->client, block->data + head->at, sizeof(uint32_t));
            memcpy(&got->number, block->data + head->at + sizeof(uint32_t), sizeof(uint32_t));
        }
    }
}

/* In place of worker.c, which is not linked here. */
bool worker_give_packets(struct worker *w, struct packet_block *block)
{
    (void)pthread_mutex_lock(&lock);
    const bool taken = !w->full;
    if (taken) {
        take(w, block);
        if (w->keeps) {
            assert_true(w->kept_count < BLOCKS);
            w->kept[w->kept_count++] = block;
        } else {
            packet_block_done(block);
        }
    }
    (void)pthread_cond_broadcast(&change);
    (void)pthread_mutex_unlock(&lock);
    return taken;
}

static uint32_t total(void)
{
    return stage_worker[0].count + stage_worker[1].count;
}

/* Until the workers have got `count` packets. */
static void wait_for(uint32_t count)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LIMIT_S;
    (void)pthread_mutex_lock(&lock);
    int err = 0;
    while (total() < count && err == 0) {
        err = pthread_cond_timedwait(&change, &lock, &until);
    }
    const uint32_t got = total();
    (void)pthread_mutex_unlock(&lock);
    assert_int_equal(got, count);
}

/* --- the stage -----------------------------------------------------------------------------------
 */

struct stage {
    int fds;
    struct front *front;
    struct dispatcher *dispatcher;
    int client[CLIENTS];
    uint32_t sent[CLIENTS];
};

static struct listener_plan plan;

static void open_items(struct stage *s, const char *text)
{
    struct conf *conf = relay_conf(text);
    uint32_t added;
    char why[300];

    assert_int_equal(listener_plan_read(conf, &plan, why, sizeof(why)), 0);
    if (front_open(s->front, &plan, &added, why, sizeof(why)) < 0) {
        fail_msg("%s", why);
    }
    conf_unref(conf);
    for (uint32_t i = s->front->item_count - added; i < s->front->item_count; i++) {
        assert_int_equal(dispatcher_listen(s->dispatcher, s->front->item[i]), 0);
    }
}

static int client_of(const char *server)
{
    struct sockaddr_storage ss;
    struct net_addr addr;
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(net_addr_parse(server, 0, &addr), 0);
    const socklen_t len = net_addr_to_sockaddr(&addr, &ss);
    assert_int_equal(connect(fd, (const struct sockaddr *)&ss, len), 0);
    return fd;
}

static void make(struct stage *s, const char *text)
{
    const struct dispatcher_options options = {.front = NULL, .workers = workers};
    struct dispatcher_options o = options;

    memset(stage_worker, 0, sizeof(stage_worker));
    *s = (struct stage){.fds = open_fds()};
    assert_int_equal(front_new(FRONT_DISPATCH, WORKERS, WORKERS, &s->front), 0);
    o.front = s->front;
    assert_int_equal(dispatcher_new(&o, &s->dispatcher), 0);
    open_items(s, text);
    for (int i = 0; i < CLIENTS; i++) {
        s->client[i] = client_of("127.0.7.1:20402");
    }
}

static void end(struct stage *s)
{
    dispatcher_stop(s->dispatcher);
    dispatcher_free(s->dispatcher);
    front_free(s->front);
    for (int i = 0; i < CLIENTS; i++) {
        (void)close(s->client[i]);
    }
    assert_int_equal(open_fds(), s->fds);
}

static void say(struct stage *s, uint32_t client)
{
    uint32_t words[SIZE / sizeof(uint32_t)] = {client, s->sent[client]++};

    assert_int_equal(send(s->client[client], words, sizeof(words), 0), sizeof(words));
}

/* All of every client, in turn. */
static void say_all(struct stage *s, uint32_t count)
{
    for (uint32_t n = 0; n < count; n++) {
        for (uint32_t i = 0; i < CLIENTS; i++) {
            say(s, i);
        }
    }
}

static struct dispatcher_numbers numbers(const struct stage *s)
{
    struct dispatcher_numbers out;

    dispatcher_read(s->dispatcher, &out);
    return out;
}

/* Each client's packets came to the worker of its bucket, in order, without a gap; with the thread
 * at an end. */
static void expect_in_order(const struct stage *s)
{
    uint32_t next[CLIENTS] = {0};

    for (uint32_t w = 0; w < WORKERS; w++) {
        for (uint32_t i = 0; i < stage_worker[w].count; i++) {
            const struct got *got = &stage_worker[w].got[i];
            const uint32_t bucket = front_bucket(s->front, &got->remote, &got->local);

            assert_int_equal(got->len, SIZE);
            assert_true(got->client < CLIENTS);
            assert_int_equal(got->number, next[got->client]++);
            assert_int_equal(front_bucket_worker(s->front, bucket), w);
            assert_true(net_addr_equal(&got->local, &got->item->spec.addr));
        }
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        assert_int_equal(next[i], s->sent[i]);
    }
}

/* --- tests ---------------------------------------------------------------------------------------
 */

static void dispatcher__brings_each_client_to_one_worker_in_order(void **state)
{
    struct stage s;

    (void)state;
    make(&s, ONE);
    assert_int_equal(dispatcher_start(s.dispatcher), 0);
    for (uint32_t n = 1; n <= EACH; n++) {
        say_all(&s, 4);
        wait_for(n * 4 * CLIENTS);
    }
    dispatcher_stop(s.dispatcher);
    expect_in_order(&s);
    assert_int_equal(numbers(&s).packets, EACH * 4 * CLIENTS);
    assert_int_equal(numbers(&s).dropped, 0);
    end(&s);
}

static void dispatcher__follows_the_buckets(void **state)
{
    struct stage s;

    (void)state;
    make(&s, ONE);
    for (uint32_t i = 0; i < FRONT_BUCKETS; i++) {
        atomic_store(&s.front->bucket[i], 1);
    }
    assert_int_equal(dispatcher_start(s.dispatcher), 0);
    say_all(&s, EACH);
    wait_for(EACH * CLIENTS);
    dispatcher_stop(s.dispatcher);
    assert_int_equal(stage_worker[0].count, 0);
    expect_in_order(&s);
    end(&s);
}

static void pause__leaves_what_comes_in_the_kernel(void **state)
{
    struct stage s;

    (void)state;
    make(&s, ONE);
    assert_int_equal(dispatcher_start(s.dispatcher), 0);
    for (uint32_t n = 0; n < EACH; n++) {
        say_all(&s, 1);
        dispatcher_pause(s.dispatcher);
        (void)pthread_mutex_lock(&lock);
        const uint32_t before = total();
        (void)pthread_mutex_unlock(&lock);
        say_all(&s, 1);
        assert_int_equal(numbers(&s).packets, before); /* what was read has been handed on */
        dispatcher_resume(s.dispatcher);
        wait_for((n + 1) * 2 * CLIENTS);
    }
    dispatcher_stop(s.dispatcher);
    expect_in_order(&s);
    end(&s);
}

static void listen__adds_an_address_in_a_pause(void **state)
{
    struct stage s;

    (void)state;
    make(&s, ONE);
    assert_int_equal(dispatcher_start(s.dispatcher), 0);
    dispatcher_pause(s.dispatcher);
    open_items(&s, TWO);
    dispatcher_resume(s.dispatcher);
    (void)close(s.client[0]);
    s.client[0] = client_of("127.0.7.2:20402");
    say_all(&s, EACH);
    wait_for(EACH * CLIENTS);
    dispatcher_stop(s.dispatcher);
    expect_in_order(&s);
    end(&s);
}

static void listen__refuses_what_is_no_socket(void **state)
{
    struct stage s;
    int fd = -1;
    const struct front_item item = {.id = 9, .sockets = 1, .fd = &fd};

    (void)state;
    make(&s, ONE);
    assert_int_equal(dispatcher_listen(s.dispatcher, &item), -EBADF);
    end(&s);
}

static void dispatcher__drops_for_a_worker_whose_mail_is_full(void **state)
{
    struct stage s;

    (void)state;
    make(&s, ONE);
    for (uint32_t i = 0; i < FRONT_BUCKETS; i++) {
        atomic_store(&s.front->bucket[i], 1);
    }
    stage_worker[1].full = true;
    assert_int_equal(dispatcher_start(s.dispatcher), 0);
    say_all(&s, EACH);
    dispatcher_pause(s.dispatcher);
    dispatcher_resume(s.dispatcher);
    while (numbers(&s).dropped < EACH * CLIENTS) {
        dispatcher_pause(s.dispatcher); /* a turn of its thread */
        dispatcher_resume(s.dispatcher);
    }
    (void)pthread_mutex_lock(&lock);
    stage_worker[1].full = false;
    (void)pthread_mutex_unlock(&lock);
    say_all(&s, 1);
    wait_for(CLIENTS);
    assert_int_equal(numbers(&s).dropped, EACH * CLIENTS);
    end(&s);
}

static void give_back(struct worker *w)
{
    (void)pthread_mutex_lock(&lock);
    w->keeps = false;
    while (w->kept_count > 0) {
        packet_block_done(w->kept[--w->kept_count]);
    }
    (void)pthread_mutex_unlock(&lock);
}

/* A worker that is stuck ends up with all blocks; when it goes on, so does everything else. */
static void dispatcher__works_with_the_blocks_that_it_has(void **state)
{
    struct stage s;
    uint32_t sent = 0;

    (void)state;
    make(&s, ONE);
    for (uint32_t i = 0; i < FRONT_BUCKETS; i++) {
        atomic_store(&s.front->bucket[i], 0);
    }
    stage_worker[0].keeps = true;
    assert_int_equal(dispatcher_start(s.dispatcher), 0);
    while (numbers(&s).dropped == 0) { /* at least a block each time */
        say(&s, 0);
        sent++;
        while (numbers(&s).packets + numbers(&s).dropped < sent) {
            dispatcher_pause(s.dispatcher);
            dispatcher_resume(s.dispatcher);
        }
        assert_true(sent <= BLOCKS);
    }
    give_back(&stage_worker[0]);
    say(&s, 0);
    wait_for(sent); /* all but the one that was dropped, and this one */
    assert_int_equal(numbers(&s).dropped, 1);
    end(&s);
}

static void dispatcher__ends_while_blocks_are_lent(void **state)
{
    struct stage s;

    (void)state;
    make(&s, ONE);
    stage_worker[0].keeps = true;
    stage_worker[1].keeps = true;
    assert_int_equal(dispatcher_start(s.dispatcher), 0);
    say(&s, 0);
    wait_for(1);
    dispatcher_stop(s.dispatcher);
    dispatcher_stop(s.dispatcher);
    give_back(&stage_worker[0]);
    give_back(&stage_worker[1]);
    end(&s);
    dispatcher_stop(NULL);
    dispatcher_free(NULL);
}

static void dispatcher__hands_on_sizes_as_they_are(void **state)
{
    static const uint32_t lens[] = {1, 0, 1200, 60000, 60000, 60000, 8};
    static uint8_t bytes[60000];
    struct stage s;

    (void)state;
    make(&s, ONE);
    for (uint32_t i = 0; i < FRONT_BUCKETS; i++) {
        atomic_store(&s.front->bucket[i], 0);
    }
    assert_int_equal(dispatcher_start(s.dispatcher), 0);
    uint32_t wanted = 0;
    for (size_t i = 0; i < COUNT_OF(lens); i++) {
        assert_int_equal(send(s.client[0], bytes, lens[i], 0), lens[i]);
        wanted += lens[i] > 0 ? 1 : 0; /* an empty one means nothing to anybody */
        wait_for(wanted);
    }
    dispatcher_stop(s.dispatcher);
    for (uint32_t i = 0, k = 0; i < COUNT_OF(lens); i++) {
        if (lens[i] > 0) {
            assert_int_equal(stage_worker[0].got[k++].len, lens[i]);
        }
    }
    end(&s);
}

static void dispatcher__is_not_made_without_memory(void **state)
{
    struct front *front = NULL;
    struct dispatcher *dispatcher = NULL;
    int err = -ENOMEM;
    long n = 0;

    (void)state;
    const int before = open_fds();
    assert_int_equal(front_new(FRONT_DISPATCH, WORKERS, WORKERS, &front), 0);
    const struct dispatcher_options options = {.front = front, .workers = workers};
    for (; err < 0 && n < 50; n++) {
        mem_fail_at(n);
        err = dispatcher_new(&options, &dispatcher);
        mem_fail_at(-1);
        assert_true(err == 0 || (err == -ENOMEM && dispatcher == NULL));
    }
    assert_int_equal(err, 0);
    dispatcher_free(dispatcher);
    front_free(front);
    assert_int_equal(open_fds(), before);
}

static int by_monotonic_time(void **state)
{
    pthread_condattr_t attr;

    (void)state;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    return pthread_cond_init(&change, &attr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dispatcher__brings_each_client_to_one_worker_in_order),
        cmocka_unit_test(dispatcher__follows_the_buckets),
        cmocka_unit_test(pause__leaves_what_comes_in_the_kernel),
        cmocka_unit_test(listen__adds_an_address_in_a_pause),
        cmocka_unit_test(listen__refuses_what_is_no_socket),
        cmocka_unit_test(dispatcher__drops_for_a_worker_whose_mail_is_full),
        cmocka_unit_test(dispatcher__works_with_the_blocks_that_it_has),
        cmocka_unit_test(dispatcher__ends_while_blocks_are_lent),
        cmocka_unit_test(dispatcher__hands_on_sizes_as_they_are),
        cmocka_unit_test(dispatcher__is_not_made_without_memory),
    };
    return cmocka_run_group_tests(tests, by_monotonic_time, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Many associations that go from one engine to another, and threads that exchange them. */
#include <pthread.h>
#include <stdio.h>

#include "dtls_travel.h"
#include "seeded.h"

/* --- all of them --------------------------------------------------------------------------------
 */

static void send_away(void *arg, struct dtls_client *client)
{
    (void)arg;
    assert_non_null(travel(client));
    walked++;
}

static void close_it(void *arg, struct dtls_client *client)
{
    (void)arg;
    dtls_close(there.dtls, client);
    walked++;
}

static void each__may_send_all_away(void **state)
{
    (void)state;

    enum { MANY = 12 };
    struct dtls_peer *peers[MANY];
    struct dtls_client *client;

    walked = 0;
    dtls_each(here.dtls, send_away, NULL); /* none */
    assert_int_equal(walked, 0);
    for (int i = 0; i < MANY; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "192.0.2.1:%d", 4000 + i);
        peers[i] = known_peer(text, &client);
    }
    struct dtls_peer *rivals[2]; /* of the first and of the last: neighbours in the walk */
    rivals[0] = dtls_peer_open(&here, "192.0.2.1:4000");
    (void)begin(rivals[0]);
    rivals[1] = dtls_peer_open(&here, "192.0.2.1:4011");
    (void)begin(rivals[1]);
    walked = 0;
    dtls_each(here.dtls, note, NULL);
    assert_int_equal(walked, MANY);
    walked = 0;
    dtls_each(here.dtls, send_away, NULL);
    assert_int_equal(walked, MANY);
    assert_int_equal(COUNT(here, established), 0);
    assert_int_equal(COUNT(there, established), MANY);
    for (int i = 0; i < MANY; i++) {
        steer(peers[i], &there);
        if (i > 0 && i < MANY - 1) {
            assert_talks(&there, peers[i]);
        }
    }
    walked = 0;
    dtls_each(there.dtls, close_it, NULL);
    assert_true(walked >= MANY && walked <= MANY + 2); /* a rival whose holder is gone is alone */
    assert_int_equal(COUNT(there, established), 0);
    walked = 0;
    dtls_each(there.dtls, close_it, NULL);
    assert_true(walked <= 2);
    assert_int_equal(dtls_next_deadline(there.dtls), UINT64_MAX);
    for (int i = 0; i < MANY; i++) {
        dtls_peer_step(peers[i]);
        assert_true(peers[i]->closed);
    }
}

/* Whoever goes where in whatever order, nothing is lost. */
static void associations__go_to_and_fro(void **state)
{
    (void)state;

    enum { MANY = 16, EVENTS = 3000 };
    struct dtls_peer *peers[MANY];
    struct dtls_client *clients[MANY];
    struct seeded seed = {7};

    for (int i = 0; i < MANY; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "[2001:db8::%d]:4000", i + 1);
        peers[i] = known_peer(text, &clients[i]);
    }
    for (int i = 0; i < EVENTS; i++) {
        const uint32_t n = seeded_below(&seed, MANY);
        if (seeded_below(&seed, 2) == 0) {
            assert_talks(peers[n]->stage, peers[n]);
            continue;
        }
        struct dtls_stage *from = peers[n]->stage;
        struct dtls_stage *to = from == &here ? &there : &here;
        struct dtls_parcel *parcel = dtls_detach(from->dtls, clients[n]);
        assert_non_null(parcel);
        clients[n] = dtls_attach(to->dtls, parcel, to, to->now_ms);
        assert_non_null(clients[n]);
        steer(peers[n], to);
        assert_int_equal(COUNT(here, established) + COUNT(there, established), MANY);
    }
}

/* --- threads ------------------------------------------------------------------------------------
 */

enum { TRAVELLERS = 4, TURNS = 50 };

struct traveller {
    struct dtls_peer *peer;
    struct dtls_parcel *parcel;
};

/* What waits for a thread. */
struct box {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    uint32_t count;
    struct traveller items[TRAVELLERS];
};

static struct box boxes[2] = {
    {.lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER},
    {.lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER},
};
static struct dtls_stage *const ends[2] = {&here, &there};

static void box_put(struct box *box, struct traveller t)
{
    (void)pthread_mutex_lock(&box->lock);
    box->items[box->count++] = t;
    (void)pthread_cond_signal(&box->filled);
    (void)pthread_mutex_unlock(&box->lock);
}

static struct traveller box_take(struct box *box)
{
    (void)pthread_mutex_lock(&box->lock);
    while (box->count == 0) {
        (void)pthread_cond_wait(&box->filled, &box->lock);
    }
    const struct traveller t = box->items[--box->count];
    (void)pthread_mutex_unlock(&box->lock);
    return t;
}

/* Take in whoever comes, hear it, and send it to the other thread. */
static void *serve_travellers(void *arg)
{
    struct dtls_stage *own = arg;
    const size_t index = own == ends[0] ? 0 : 1;

    for (int i = 0; i < TRAVELLERS * TURNS; i++) {
        struct traveller t = box_take(&boxes[index]);
        struct dtls_client *client = dtls_attach(own->dtls, t.parcel, own, own->now_ms);
        t.peer->stage = own;
        own->peers[0] = t.peer;
        (void)dtls_peer_write(t.peer, "ping", 4);
        dtls_stage_run(own);
        own->peers[0] = NULL;
        t.parcel = client == NULL ? NULL : dtls_detach(own->dtls, client);
        if (t.parcel == NULL) {
            return own; /* the other one would wait for ever: the test's time limit tells */
        }
        box_put(&boxes[1 - index], t);
    }
    return NULL;
}

static void threads__exchange_associations(void **state)
{
    (void)state;
    pthread_t threads[2];

    for (int i = 0; i < TRAVELLERS; i++) {
        char text[32];
        struct dtls_client *client = NULL;
        (void)snprintf(text, sizeof(text), "192.0.2.1:%d", 4000 + i);
        struct dtls_peer *peer = known_peer(text, &client);
        struct dtls_parcel *parcel = dtls_detach(here.dtls, client);
        assert_non_null(parcel);
        here.peers[0] = NULL;
        box_put(&boxes[i % 2], (struct traveller){peer, parcel});
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, serve_travellers, ends[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    uint32_t left = 0;
    for (int i = 0; i < 2; i++) {
        while (boxes[i].count > 0) {
            struct traveller t = box_take(&boxes[i]);
            assert_non_null(dtls_attach(ends[i]->dtls, t.parcel, ends[i], ends[i]->now_ms));
            t.peer->stage = ends[i];
            ends[i]->peers[left++] = t.peer;
            assert_true(t.peer->got_count > 1);
            assert_talks(ends[i], t.peer);
        }
    }
    assert_int_equal(left, TRAVELLERS);
    assert_int_equal(here.messages + there.messages, TRAVELLERS * 2 * (TURNS + 1));
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, stages_up, stages_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGED(each__may_send_all_away),
        STAGED(associations__go_to_and_fro),
        STAGED(threads__exchange_associations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

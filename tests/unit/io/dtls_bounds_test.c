/* SPDX-License-Identifier: Apache-2.0 */
/* What associations may cost, and that workers do not disturb each other. */
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "check.h"
#include "io/dtls.h"
#include "lib/dtls_stage.h"

static struct dtls_stage stage;

#define COUNT(name) stats_read(&dtls_counters(stage.dtls)->name)

static int stage_up(void **state)
{
    (void)state;
    dtls_stage_open(&stage, NULL, NULL);
    return 0;
}

static int stage_down(void **state)
{
    (void)state;
    dtls_stage_close(&stage);
    return 0;
}

static void change_limits(struct dtls_limits limits)
{
    dtls_set_limits(stage.dtls, &limits);
}

/* --- bounds -------------------------------------------------------------------------------------
 */

static void clients__are_no_more_than_allowed(void **state)
{
    (void)state;
    struct dtls_limits limits = dtls_stage_limits();

    limits.max_clients = 2;
    change_limits(limits);
    struct dtls_peer *first = dtls_peer_connected(&stage, "192.0.2.1:4000");
    (void)dtls_peer_connected(&stage, "192.0.2.1:4001");
    struct dtls_peer *third = dtls_peer_open(&stage, "192.0.2.1:4002");
    dtls_stage_run(&stage);
    assert_false(third->connected);
    assert_int_equal(COUNT(refused), 1);
    assert_int_equal(COUNT(handshakes), 2);
    dtls_peer_shutdown(first);
    dtls_stage_pass(&stage, 1500, true); /* the third asks again, and there is room */
    assert_true(third->connected);
}

/* Leave `text` with its cookie shown and nothing more. */
static struct dtls_peer *half_open_peer(const char *text)
{
    struct dtls_peer *peer = dtls_peer_open(&stage, text);
    const uint64_t before = COUNT(handshakes) + COUNT(refused);

    for (int i = 0; i < 2; i++) {
        dtls_peer_step(peer);
        struct dtls_datagram *d = dtls_line_take(&peer->out);
        dtls_stage_input(&stage, &peer->addr, d->data, d->len);
        free(d);
    }
    assert_int_equal(COUNT(handshakes) + COUNT(refused), before + 1);
    return peer;
}

static void half_open__are_no_more_than_allowed(void **state)
{
    (void)state;
    struct dtls_limits limits = dtls_stage_limits();

    limits.max_half_open = 1;
    change_limits(limits);
    struct dtls_peer *first = half_open_peer("192.0.2.1:4000");
    (void)half_open_peer("192.0.2.1:4001");
    assert_int_equal(COUNT(refused), 1);
    assert_int_equal(COUNT(established), 0);
    dtls_stage_run(&stage);
    assert_true(first->connected);
    assert_int_equal(COUNT(established), 1);
}

static void handshakes__are_no_more_a_second_than_allowed(void **state)
{
    (void)state;
    struct dtls_limits limits = dtls_stage_limits();

    limits.handshakes_per_s = 2;
    change_limits(limits);
    for (int i = 0; i < 4; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "192.0.2.1:%d", 4000 + i);
        (void)half_open_peer(text);
    }
    assert_int_equal(COUNT(handshakes), 2);
    assert_int_equal(COUNT(refused), 2);
    dtls_stage_pass(&stage, 500, false);
    (void)half_open_peer("192.0.2.2:4000");
    (void)half_open_peer("192.0.2.2:4001");
    assert_int_equal(COUNT(handshakes), 3);
    assert_int_equal(COUNT(refused), 3);
}

/* One source cannot keep the others from their handshakes. */
static void source__has_a_part_of_the_bounds(void **state)
{
    (void)state;
    struct dtls_limits limits = dtls_stage_limits();

    limits.source_half_open = 2;
    change_limits(limits);
    struct dtls_peer *first = half_open_peer("192.0.2.1:4000");
    (void)half_open_peer("192.0.2.1:4001");
    (void)half_open_peer("192.0.2.1:4002");
    assert_int_equal(COUNT(refused), 1);
    (void)half_open_peer("192.0.2.2:4000");
    (void)half_open_peer("[2001:db8::1]:4000");
    (void)half_open_peer("[2001:db8::1:0:0:2]:4000"); /* the same /64 */
    assert_int_equal(COUNT(refused), 1);
    (void)half_open_peer("[2001:db8::ffff]:4000");
    assert_int_equal(COUNT(refused), 2);
    dtls_stage_run(&stage); /* what is complete does not count */
    assert_true(first->connected);
    (void)half_open_peer("192.0.2.1:4003");
    (void)half_open_peer("192.0.2.1:4004");
    assert_int_equal(COUNT(refused), 2);
}

static void source__has_a_part_of_the_rate(void **state)
{
    (void)state;
    struct dtls_limits limits = dtls_stage_limits();

    limits.handshakes_per_s = 3;
    limits.source_handshakes_per_s = 1;
    change_limits(limits);
    for (int i = 0; i < 4; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "192.0.2.1:%d", 4000 + i);
        (void)half_open_peer(text);
    }
    assert_int_equal(COUNT(handshakes), 1);
    assert_int_equal(COUNT(refused), 3);
    (void)half_open_peer("192.0.2.2:4000");
    (void)half_open_peer("192.0.2.3:4000");
    (void)half_open_peer("192.0.2.4:4000");
    assert_int_equal(COUNT(handshakes), 3);
    assert_int_equal(COUNT(refused), 4);
}

/* --- memory -------------------------------------------------------------------------------------
 */

static _Atomic int64_t openssl_bytes;

static void *counted_realloc(void *p, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    int64_t *block = p == NULL ? NULL : (int64_t *)p - 2;

    atomic_fetch_add(&openssl_bytes, (int64_t)n - (block == NULL ? 0 : block[0]));
    block = realloc(block, n + 16);
    if (block == NULL) {
        abort();
    }
    block[0] = (int64_t)n;
    return block + 2;
}

static void *counted_malloc(size_t n, const char *file, int line)
{
    return n == 0 ? NULL : counted_realloc(NULL, n, file, line);
}

static void counted_free(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    if (p != NULL) {
        int64_t *block = (int64_t *)p - 2;
        atomic_fetch_sub(&openssl_bytes, block[0]);
        free(block);
    }
}

static void memory__of_an_association_is_bounded(void **state)
{
    (void)state;

    enum { MANY = 6 };
    struct dtls_peer *peers[MANY];
    struct dtls_datagram *hellos[MANY];
    struct dtls_peer *first =
        dtls_peer_connected(&stage, "192.0.2.9:4000"); /* what is made but once */

    for (int i = 0; i < MANY; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "192.0.2.1:%d", 4000 + i);
        peers[i] = dtls_peer_open(&stage, text);
        dtls_peer_step(peers[i]);
        struct dtls_datagram *d = dtls_line_take(&peers[i]->out);
        dtls_stage_input(&stage, &peers[i]->addr, d->data, d->len);
        free(d);
        dtls_peer_step(peers[i]);
        hellos[i] = dtls_line_take(&peers[i]->out);
    }
    const int64_t none = atomic_load(&openssl_bytes);
    for (int i = 0; i < MANY; i++) {
        dtls_stage_input(&stage, &peers[i]->addr, hellos[i]->data, hellos[i]->len);
        free(hellos[i]);
    }
    /* The last took the SSL that listens; another is made for the next to ask. */
    struct dtls_peer *asking = dtls_peer_open(&stage, "192.0.2.10:4000");
    dtls_peer_step(asking);
    dtls_stage_input(&stage, &asking->addr, asking->out.first->data, asking->out.first->len);
    dtls_peer_free(asking);
    const int64_t half = (atomic_load(&openssl_bytes) - none) / MANY;
    print_message("# half-open: %d bytes\n", (int)half);
    assert_true(half > 1000 && half < 44 * 1024); /* 37 of them nobody can take from OpenSSL */
    dtls_stage_pass(&stage, 1200, false);         /* nor after its flight was sent again */
    assert_true((atomic_load(&openssl_bytes) - none) / MANY < 44 * 1024);

    dtls_stage_run(&stage);
    assert_true(peers[MANY - 1]->connected);
    const int64_t before = atomic_load(&openssl_bytes);
    dtls_stage_pass(&stage, 25 * 1000, false);
    const int64_t given_back = (before - atomic_load(&openssl_bytes)) / (MANY + 1);
    print_message("# established: %d bytes given back in silence\n", (int)given_back);
    assert_true(given_back > 16 * 1024);
    for (int i = 0; i < MANY; i++) { /* in and out work as before */
        assert_true(dtls_peer_write(peers[i], "awake", 5));
        dtls_stage_run(&stage);
        assert_int_equal(peers[i]->got_count, 1);
    }
    dtls_stage_pass(&stage, 6 * 1000, false); /* the first has said nothing, and is told so */
    dtls_stage_run(&stage);
    assert_int_equal(stage.closed[DTLS_CLOSE_IDLE], 1);
    assert_true(first->closed);
}

static void memory__that_is_short_fails_one_client_only(void **state)
{
    (void)state;
    mem_fail_at(0);
    const bool injected = mem_fails();
    mem_fail_at(-1);
    if (!injected) {
        CHECK_SKIP("the build has no fault injection");
    }
    bool connected = false;
    for (long n = 0; !connected && n < 100; n++) {
        mem_fail_at(n);
        struct dtls_peer *peer = dtls_peer_open(&stage, "192.0.2.1:4000");
        dtls_stage_run(&stage);
        mem_fail_at(-1);
        connected = peer->connected;
        assert_int_equal(COUNT(established), connected ? 1 : 0);
        assert_int_equal(COUNT(refused), connected ? n : n + 1);
        dtls_peer_free(peer);
    }
    assert_true(connected);
    for (long n = 0; n < 3; n++) {
        const struct dtls_hooks hooks = {0};
        mem_fail_at(n);
        struct dtls *dtls = dtls_new(&stage.limits, &hooks, (struct hash_key){1, 2}, 0);
        mem_fail_at(-1);
        assert_int_equal(dtls != NULL, n == 2); /* itself, the slab, and nothing else of ours */
        dtls_free(dtls);
    }
}

/* --- workers ------------------------------------------------------------------------------------
 */

static struct dtls_stage stages[2];

static void *work(void *arg)
{
    struct dtls_stage *own = arg;

    for (int i = 0; i < 20; i++) {
        dtls_set_context(own->dtls, NULL);
        dtls_set_context(own->dtls, own->server);
        for (int k = 0; k < 2; k++) {
            dtls_peer_restart(own->peers[k]);
        }
        dtls_stage_run(own);
        for (int k = 0; k < 2; k++) {
            (void)dtls_peer_write(own->peers[k], "ping", 4);
        }
        dtls_stage_run(own);
    }
    return NULL;
}

static void workers__share_a_context(void **state)
{
    (void)state;
    pthread_t threads[2];

    for (int i = 0; i < 2; i++) {
        dtls_stage_open(&stages[i], NULL, i == 0 ? NULL : stages[0].server);
        (void)dtls_peer_open(&stages[i], "192.0.2.1:4000");
        (void)dtls_peer_open(&stages[i], "192.0.2.1:4001");
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, &stages[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(stats_read(&dtls_counters(stages[i].dtls)->completed), 40);
        assert_int_equal(stages[i].messages, 40);
        assert_int_equal(stages[i].closed[DTLS_CLOSE_REPLACED], 38);
    }
    dtls_stage_close(&stages[1]);
    dtls_stage_close(&stages[0]);
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, stage_up, stage_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGED(clients__are_no_more_than_allowed),
        STAGED(half_open__are_no_more_than_allowed),
        STAGED(handshakes__are_no_more_a_second_than_allowed),
        STAGED(source__has_a_part_of_the_bounds),
        STAGED(source__has_a_part_of_the_rate),
        STAGED(memory__of_an_association_is_bounded),
        STAGED(memory__that_is_short_fails_one_client_only),
        cmocka_unit_test(workers__share_a_context),
    };

    if (CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) != 1) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

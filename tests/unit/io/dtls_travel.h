/* SPDX-License-Identifier: Apache-2.0 */
/* Two engines, `here` and `there`, and clients whose datagrams come to one or the other. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "io/dtls.h"
#include "lib/dtls_stage.h"

static struct dtls_stage here;
static struct dtls_stage there;

#define COUNT(stage, name) stats_read(&dtls_counters((stage).dtls)->name)

static inline int stages_up(void **state)
{
    (void)state;
    dtls_stage_open(&here, NULL, NULL);
    dtls_stage_open(&there, NULL, here.server);
    return 0;
}

static inline int stages_down(void **state)
{
    (void)state;
    dtls_stage_close(&there);
    dtls_stage_close(&here);
    return 0;
}

/* From now on what `peer` sends comes to `to`. */
static inline void steer(struct dtls_peer *peer, struct dtls_stage *to)
{
    size_t from_place = 0;
    size_t to_place = 0;

    while (peer->stage->peers[from_place] != peer) {
        from_place++;
    }
    peer->stage->peers[from_place] = NULL;
    while (to->peers[to_place] != NULL) {
        to_place++;
        assert_true(to_place < DTLS_STAGE_PEERS);
    }
    to->peers[to_place] = peer;
    peer->stage = to;
}

static inline void both_pass(uint64_t ms)
{
    dtls_stage_pass(&here, ms, false);
    there.now_ms = here.now_ms - ms;
    dtls_stage_pass(&there, ms, false);
}

/* A client whose association the test holds. */
static inline struct dtls_peer *known_peer(const char *text, struct dtls_client **out)
{
    struct dtls_peer *peer = dtls_peer_connected(&here, text);

    assert_true(dtls_peer_write(peer, "hello", 5));
    dtls_stage_run(&here);
    *out = here.client_last;
    return peer;
}

static inline struct dtls_client *travel(struct dtls_client *client)
{
    struct dtls_parcel *parcel = dtls_detach(here.dtls, client);

    assert_non_null(parcel);
    return dtls_attach(there.dtls, parcel, &there, there.now_ms);
}

static inline void assert_talks(struct dtls_stage *stage, struct dtls_peer *peer)
{
    const uint32_t before = peer->got_count;

    assert_true(dtls_peer_write(peer, "ping", 4));
    dtls_stage_run(stage);
    assert_int_equal(peer->got_count, before + 1);
    assert_memory_equal(peer->got, "ping", 4);
}

static inline void assert_nothing_closed(const struct dtls_stage *stage)
{
    for (size_t i = 0; i < DTLS_STAGE_CLOSES; i++) {
        assert_int_equal(stage->closed[i], 0);
    }
}

static struct dtls_client *half_open; /* what the walk came to last */
static uint32_t walked;

static inline void note(void *arg, struct dtls_client *client)
{
    (void)arg;
    half_open = client;
    walked++;
}

/* `peer` has shown its cookie. */
static inline struct dtls_client *begin(struct dtls_peer *peer)
{
    struct dtls_datagram *hello = dtls_peer_second_hello(peer);

    dtls_stage_input(peer->stage, &peer->addr, hello->data, hello->len);
    free(hello);
    half_open = NULL;
    dtls_each(peer->stage->dtls, note, NULL);
    assert_non_null(half_open);
    return half_open;
}

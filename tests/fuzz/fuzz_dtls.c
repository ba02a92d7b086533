/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target of dtls_input(), dtls_tick() and dtls_output(): datagrams of strangers, and of real
 * clients, which are lost, changed, cut off, joined and repeated on their way.
 *
 * Input: a list of actions.  The two high bits of a byte say what happens and the two low ones to
 * which client; what else it needs follows. */
#include <assert.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "lib/dtls_stage.h"

enum { CLIENTS = 4, DATAGRAM_MAX = 4096 };

enum action { STRANGER = 0, FORWARD = 1, CHANGE = 2, OTHER = 3 };

enum other { PASS, WRITE, SHUTDOWN, RESTART, REPEAT, LOSE, CLOSE, JOIN, OTHERS };

struct script {
    const uint8_t *at;
    size_t left;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct dtls_stage stage;
static struct dtls_peer *clients[CLIENTS];

static uint8_t take(struct script *s)
{
    if (s->left == 0) {
        return 0;
    }
    s->left--;
    return *s->at++;
}

static void input(const struct dtls_peer *from, const void *data, uint32_t len)
{
    dtls_stage_input(&stage, &from->addr, data, len);
    /* Nobody is sent more than came in his name before he has shown a cookie. */
    assert(stats_read(&dtls_counters(stage.dtls)->handshakes) > 0 ||
           stage.sent_bytes <= stage.received_bytes);
}

static void stranger(struct script *s, const struct dtls_peer *as)
{
    size_t n = take(s);

    if (n > s->left) {
        n = s->left;
    }
    input(as, s->at, (uint32_t)n);
    s->at += n;
    s->left -= n;
}

/* The first datagram that waits, with a byte changed or its end cut off. */
static void change(struct script *s, struct dtls_peer *peer)
{
    const uint32_t place = (uint32_t)take(s) << 8 | take(s);
    const uint8_t with = take(s);
    struct dtls_datagram *d = dtls_peer_next(peer);

    if (d == NULL || d->len == 0) {
        free(d);
        return;
    }
    if (with == 0) {
        d->len = place % d->len;
    } else {
        d->data[place % d->len] ^= with;
    }
    input(peer, d->data, d->len);
    free(d);
}

static void forward(struct dtls_peer *peer, unsigned times)
{
    struct dtls_datagram *d = dtls_peer_next(peer);

    for (; d != NULL && times > 0; times--) {
        input(peer, d->data, d->len);
    }
    free(d);
}

/* All that waits, in one datagram. */
static void join(struct dtls_peer *peer)
{
    static uint8_t all[DATAGRAM_MAX];
    struct dtls_datagram *d;
    uint32_t n = 0;

    while ((d = dtls_peer_next(peer)) != NULL) {
        if (d->len <= sizeof(all) - n) {
            memcpy(all + n, d->data, d->len);
            n += d->len;
        }
        free(d);
    }
    input(peer, all, n);
}

static void other(struct script *s, struct dtls_peer *peer)
{
    switch ((enum other)(take(s) % OTHERS)) {
    case PASS:
        dtls_stage_pass(&stage, (uint64_t)take(s) * 100, (peer == clients[0]));
        break;
    case WRITE:
        (void)(peer->connected && dtls_peer_write(peer, "some text to be sent", 20));
        break;
    case SHUTDOWN:
        dtls_peer_shutdown(peer);
        break;
    case RESTART:
        dtls_peer_restart(peer);
        break;
    case REPEAT:
        forward(peer, 2);
        break;
    case LOSE:
        stage.lose = take(s) % 8;
        break;
    case CLOSE:
        stage.close_on_message = !stage.close_on_message;
        break;
    case JOIN:
        join(peer);
        break;
    case OTHERS:
        break;
    }
}

static void stage_up(void)
{
    static const char *const addrs[CLIENTS] = {"192.0.2.1:1", "192.0.2.1:2", "[2001:db8::1]:1",
                                               "192.0.2.1:1"}; /* the last is the first's rival */
    static SSL_CTX *server;
    struct dtls_limits limits = dtls_stage_limits();

    if (server == NULL) {
        server = dtls_stage_server_context();
    }
    limits.max_clients = 3;
    limits.max_half_open = 2;
    dtls_stage_open(&stage, &limits, server);
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = dtls_peer_open(&stage, addrs[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script s = {data, size};

    stage_up();
    for (int turns = 0; s.left > 0 && turns < 256; turns++) {
        const uint8_t byte = take(&s);
        struct dtls_peer *peer = clients[byte % CLIENTS];
        switch ((enum action)(byte >> 6)) {
        case STRANGER:
            stranger(&s, peer);
            break;
        case FORWARD:
            forward(peer, 1);
            break;
        case CHANGE:
            change(&s, peer);
            break;
        case OTHER:
            other(&s, peer);
            break;
        }
    }
    /* Whatever was said, everything ends in time. */
    dtls_stage_pass(&stage, 60 * 1000, false);
    assert(dtls_next_deadline(stage.dtls) == UINT64_MAX);
    assert(stats_read(&dtls_counters(stage.dtls)->established) == 0);
    dtls_stage_close(&stage);
    return 0;
}

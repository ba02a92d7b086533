/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target of turn_server_unpack(), and of turn_server_pack() and the data path on what it took
 * in.
 *
 * Input: a byte that says which relay sockets come with the parcel, then the parcel. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "lib/client.h"
#include "lib/world.h"
#include "turn/turn_int.h"
#include "wire/channel_data.h"

enum { ROOM = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct turn_config config;
static struct gate *gate;
static struct turn_server *server;
static uint32_t closed;
static uint64_t now_ms = 1000000;
static char ports[2][1];
static char listener[1];
static uint8_t buf[PKT_HEADROOM + 2048];

static void on_random(void *arg, uint8_t *out, size_t n)
{
    (void)arg;
    memset(out, 7, n);
}

static int on_key_find(void *arg, const struct credential_query *query, struct credential_keys *out)
{
    (void)arg;
    (void)query;
    (void)out;
    return -ENOENT;
}

static int on_relay_open(void *arg, const struct turn_relay_want *want,
                         struct turn_relay_grant *out)
{
    (void)arg;
    (void)want;
    (void)out;
    return -ENOSPC;
}

static void on_relay_close(void *arg, void *port)
{
    (void)arg;
    assert(port == ports[0] || port == ports[1]);
    (void)port;
    closed++;
}

static int on_quota_take(void *arg, uint32_t realm, struct bytes user)
{
    (void)realm;
    (void)arg;
    (void)user;
    return -ENOSPC;
}

static void on_quota_give(void *arg, uint32_t realm, struct bytes user)
{
    (void)realm;
    (void)arg;
    (void)user;
}

static uint64_t on_capacity(void *arg, int direction, uint32_t bytes, uint64_t at_ms)
{
    (void)arg;
    (void)direction;
    (void)at_ms;
    return bytes;
}

static void on_event(void *arg, const struct turn_event *event)
{
    (void)arg;
    (void)event;
}

static void open_server(void)
{
    const struct gate_options options = {.allow_private = true};
    const struct turn_server_options server_options = {
        .config = &config,
        .effects =
            {
                .random_fill = on_random,
                .key_find = on_key_find,
                .relay_open = on_relay_open,
                .relay_close = on_relay_close,
                .quota_take = on_quota_take,
                .quota_give = on_quota_give,
                .capacity_lease = on_capacity,
                .event = on_event,
            },
        .hash_key = {1, 2},
        .max_allocations = 64,
        .now_ms = now_ms,
        .wall_s = 1800000000,
    };

    gate = gate_new(&options);
    int err = gate == NULL ? -ENOMEM : gate_build(gate);
    config = (struct turn_config){
        .main.name = WORLD_REALM,
        .require_auth = true,
        .turn_enabled = true,
        .mobility = true,
        .main.max_bps = 1000,
        .default_lifetime_s = 600,
        .max_lifetime_s = 3600,
        .permission_s = 300,
        .channel_s = 600,
        .nonce_s = 3600,
        .max_permissions = 64,
        .max_channels = 32,
        .nonce_key_count = 1,
        .main.gate = gate,
    };
    err = err == 0 ? turn_server_new(&server_options, &server) : err;
    assert(err == 0);
    (void)err;
}

static void check_empty(void)
{
    const struct turn_tables *t = &server->tables;

    assert(t->coming.count == 0 && t->by_session.count == 0 && slab_count(t->mobile_slab) == 0);
    assert(t->by_tuple.count == 0 && slab_count(t->alloc_slab) == 0);
    assert(t->perms.count == 0 && slab_count(t->perm_slab) == 0);
    assert(t->by_number.count == 0 && t->by_peer.count == 0 && slab_count(t->chan_slab) == 0);
    assert(slab_count(t->name_slab) == 0 && slab_count(t->long_name_slab) == 0);
    assert(turn_server_next_deadline(server) == UINT64_MAX);
    (void)t;
}

static struct pkt packet_of(const void *data, size_t n)
{
    struct pkt pkt = {
        .data = buf + PKT_HEADROOM,
        .len = (uint32_t)n,
        .cap = sizeof(buf) - PKT_HEADROOM,
        .buf = buf,
        .port = listener,
    };

    memcpy(pkt.data, data, n);
    return pkt;
}

static void from_client_of(const struct turn_alloc *alloc, struct pkt *pkt)
{
    pkt->remote = alloc->tuple.client;
    pkt->local = alloc->tuple.server;
    pkt->transport = (uint8_t)alloc->tuple.protocol;
}

/* Data in both directions, and the Allocate that made the session. */
static void use(const struct turn_alloc *alloc, struct turn_relay *const relays[2])
{
    struct stun_out out;
    uint8_t message[64];

    LIST_EACH_SAFE (node, &alloc->chans) {
        const struct turn_chan *chan = CONTAINER_OF(node, struct turn_chan, node);
        uint8_t data[CHANNEL_HEAD + 4] = {0};
        channel_data_head(data, (uint16_t)chan->number.number, 4);
        struct pkt pkt = packet_of(data, sizeof(data));
        from_client_of(alloc, &pkt);
        (void)turn_server_client_packet(server, &pkt, now_ms);
        for (int i = 0; i < 2; i++) {
            if (relays[i] != NULL) {
                pkt = packet_of(data, sizeof(data));
                pkt.remote = chan->peer.addr;
                (void)turn_server_peer_packet(server, relays[i], &pkt, now_ms);
            }
        }
    }
    stun_out_begin(&out, message, sizeof(message), stun_type(STUN_ALLOCATE, STUN_REQUEST),
                   alloc->tid);
    const int n = stun_out_end(&out);
    assert(n > 0);
    struct pkt pkt = packet_of(message, (size_t)n);
    from_client_of(alloc, &pkt);
    config.require_auth = alloc->user->len != 0; /* the nameless one needs no credentials */
    (void)turn_server_client_packet(server, &pkt, now_ms);
    config.require_auth = true;
}

/* A parcel packed from what was taken in is taken in again, and says the same. */
static void pack_again(const struct five_tuple *tuple, void *const handles[2],
                       struct turn_relay *relays[2])
{
    static uint8_t first[ROOM];
    static uint8_t second[ROOM];
    struct writer w = writer_over(first, sizeof(first));
    struct writer again = writer_over(second, sizeof(second));

    if (turn_server_pack(server, tuple, now_ms, &w) < 0) {
        return; /* more than fits */
    }
    int err = turn_server_forget(server, tuple);
    assert(err == 0);
    check_empty();
    err =
        turn_server_unpack(server, (struct bytes){first, w.len}, listener, handles, relays, now_ms);
    assert(err == 0);
    err = turn_server_pack(server, tuple, now_ms, &again);
    assert(err == 0 && again.len <= w.len); /* what had expired is left out */
    (void)err;
}

/* Its client may be moving: a word from there, and that is where it is. */
static void arrive(const struct turn_alloc *alloc)
{
    const uint8_t data[CHANNEL_HEAD] = {0x40, 0, 0, 0};

    if (alloc->mobile == NULL || !alloc->mobile->moving) {
        return;
    }
    const struct five_tuple tuple = alloc->mobile->coming;
    struct pkt pkt = packet_of(data, sizeof(data));
    pkt.remote = tuple.client;
    pkt.local = tuple.server;
    pkt.transport = (uint8_t)tuple.protocol;
    assert(turn_server_session(server, &tuple) == alloc->session);
    (void)turn_server_client_packet(server, &pkt, now_ms);
    assert(memcmp(&alloc->tuple, &tuple, sizeof(tuple)) == 0 && server->tables.coming.count == 0);
}

static struct turn_alloc *only_session(void)
{
    return CONTAINER_OF(server->tables.allocs.next, struct turn_alloc, node);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct turn_relay *relays[2] = {NULL, NULL};

    if (size == 0) {
        return 0;
    }
    if (server == NULL) {
        open_server();
    }
    void *const handles[2] = {(data[0] & 1) != 0 ? ports[0] : NULL,
                              (data[0] & 2) != 0 ? ports[1] : NULL};
    const int err = turn_server_unpack(server, (struct bytes){data + 1, size - 1}, listener,
                                       handles, relays, now_ms);
    if (err < 0) {
        assert(err == -EBADMSG || err == -EINVAL || err == -ENOSPC || err == -EEXIST);
        check_empty();
        return 0;
    }
    const struct five_tuple tuple = only_session()->tuple;
    pack_again(&tuple, handles, relays);
    use(only_session(), relays);
    arrive(only_session());
    (void)turn_server_tick(server, now_ms, 8); /* it may have been over from the beginning */
    if (turn_server_allocation_count(server) > 0) {
        const int ended = turn_server_close_session(server, only_session()->session, now_ms);
        assert(ended == 0);
        (void)ended;
    }
    check_empty();
    return 0;
}

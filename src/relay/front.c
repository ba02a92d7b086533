/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/front.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "crypto/random.h"
#include "offload/steer.h"

enum {
    SESSION_PACKETS = 50, /* that a session is expected to bring each second: a call's audio */
};

const char *front_engine_name(enum front_engine engine)
{
    static const char *const names[] = {
        [FRONT_REUSEPORT] = "reuseport",
        [FRONT_CONNECTED] = "connected",
        [FRONT_PAIRED] = "paired",
        [FRONT_DISPATCH] = "dispatch",
    };

    return names[engine];
}

static uint32_t socket_count(uint32_t workers, uint32_t cpus)
{
    const uint32_t spare = cpus < FRONT_SPARE_SOCKETS ? cpus : FRONT_SPARE_SOCKETS;

    return workers > spare ? workers : spare;
}

static int make_key(struct front *front)
{
    struct crypto_random *random = crypto_random_new();

    if (random == NULL) {
        return -ENOMEM;
    }
    crypto_random_fill(random, (uint8_t *)&front->key, sizeof(front->key));
    crypto_random_free(random);
    return 0;
}

int front_new(enum front_engine engine, uint32_t workers, uint32_t cpus, struct front **out)
{
    struct front *front = mem_new(1, sizeof(*front));
    if (front == NULL) {
        return -ENOMEM;
    }
    front->engine = engine;
    front->sockets = socket_count(workers, cpus);
    front->load = mem_new(front->sockets, sizeof(*front->load));
    atomic_init(&front->workers, workers);
    atomic_init(&front->made, 0);
    for (uint32_t i = 0; i < FRONT_BUCKETS; i++) {
        atomic_init(&front->bucket[i], i % workers);
    }
    if (front->load == NULL || make_key(front) < 0) {
        front_free(front);
        return -ENOMEM;
    }
    *out = front;
    return 0;
}

void front_free(struct front *front)
{
    if (front == NULL) {
        return;
    }
    for (uint32_t i = 0; i < front->item_count; i++) {
        front_item_free(front->item[i]);
    }
    steer_free(front->steer);
    free(front->load);
    free(front);
}

uint32_t front_workers_max(const struct front *front)
{
    return front->sockets;
}

struct front_item *front_find(const struct front *front, const struct net_addr *addr, bool stream)
{
    for (uint32_t i = front->item_count; i-- > 0;) {
        struct front_item *item = front->item[i];

        if (item->spec.stream == stream && net_addr_equal(&item->spec.addr, addr)) {
            return item;
        }
    }
    return NULL;
}

uint32_t front_reader_of(const struct front *front, const struct front_item *item, uint32_t socket,
                         uint32_t workers)
{
    if (item->spec.stream) {
        return socket % workers;
    }
    switch (front->engine) {
    case FRONT_DISPATCH:
        return FRONT_DISPATCHER;
    case FRONT_PAIRED:
        return item->ordinal % workers;
    case FRONT_REUSEPORT:
    case FRONT_CONNECTED:
    default:
        return socket % workers;
    }
}

uint32_t front_sockets(const struct front *front)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < front->item_count; i++) {
        count += front->item[i]->sockets;
    }
    return count;
}

uint32_t front_bucket(const struct front *front, const struct net_addr *client,
                      const struct net_addr *server)
{
    const struct net_addr both[2] = {*client, *server};

    return (uint32_t)(hash_bytes(&front->key, both, sizeof(both)) % FRONT_BUCKETS);
}

/* Packets that the worker relays, and those that its newest sessions will bring. */
static uint64_t load_of(const struct front *front, uint32_t worker)
{
    const struct front_load *load = &front->load[worker];
    const uint64_t sessions = atomic_load_explicit(&load->sessions, memory_order_relaxed);

    return sessions * SESSION_PACKETS +
           atomic_load_explicit(&load->packets_per_s, memory_order_relaxed);
}

uint32_t front_least_loaded(const struct front *front, uint32_t self)
{
    const uint32_t workers = atomic_load_explicit(&front->workers, memory_order_acquire);
    uint32_t best = self < workers ? self : 0;
    uint64_t least = load_of(front, best);

    if (best == self && least >= SESSION_PACKETS) {
        least -= SESSION_PACKETS; /* the newcomer itself is counted there as yet */
    }

    for (uint32_t i = 0; i < workers; i++) {
        const uint64_t load = load_of(front, i);
        if (load < least) {
            least = load;
            best = i;
        }
    }
    return best;
}

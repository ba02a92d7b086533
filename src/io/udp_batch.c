/* SPDX-License-Identifier: Apache-2.0 */
#include "io/udp_batch.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "io/udp_batch_int.h"

enum {
    CACHE_LINE = 64,
    /* An odd number of lines more than a power of two: the packets begin in different sets. */
    STRIDE = PKT_HEADROOM + UDP_PKT_CAP + 4 * CACHE_LINE,
};

_Static_assert((STRIDE / CACHE_LINE) % 2 == 1, "buffers must not alias in the cache");

static void place_init(struct udp_batch *b, uint32_t i)
{
    struct pkt *pkt = &b->pkt[i];

    pkt->buf = b->memory + (size_t)i * STRIDE;
    pkt->cap = UDP_PKT_CAP;
    b->rx_vec[i] = (struct iovec){.iov_base = pkt->buf + PKT_HEADROOM, .iov_len = UDP_PKT_CAP};
    b->rx_head[i].msg_hdr = (struct msghdr){
        .msg_name = &b->rx_slot[i].addr,
        .msg_namelen = sizeof(b->rx_slot[i].addr),
        .msg_iov = &b->rx_vec[i],
        .msg_iovlen = 1,
        .msg_control = b->rx_slot[i].control,
        .msg_controllen = UDP_CONTROL,
    };
    b->tx_head[i].msg_hdr = (struct msghdr){
        .msg_name = &b->tx_slot[i].addr,
        .msg_iov = &b->tx_vec[i],
        .msg_iovlen = 1,
    };
}

struct udp_batch *udp_batch_new(udp_too_big_fn too_big, void *arg)
{
    struct udp_batch *b = mem_new(1, sizeof(*b));
    if (b == NULL) {
        return NULL;
    }
    b->memory_len = (size_t)UDP_BATCH * STRIDE;
    b->memory =
        mmap(NULL, b->memory_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b->memory == MAP_FAILED) {
        free(b);
        return NULL;
    }
    b->too_big = too_big;
    b->arg = arg;
    for (uint32_t i = 0; i < UDP_BATCH; i++) {
        place_init(b, i);
    }
    return b;
}

void udp_batch_free(struct udp_batch *b)
{
    if (b == NULL) {
        return;
    }
    (void)munmap(b->memory, b->memory_len);
    free(b);
}

uint32_t udp_batch_room(const struct udp_batch *b)
{
    return UDP_BATCH - b->used;
}

struct pkt *udp_batch_take(struct udp_batch *b)
{
    if (b->used == UDP_BATCH) {
        return NULL;
    }
    struct pkt *pkt = &b->pkt[b->used++];
    pkt->data = pkt->buf + PKT_HEADROOM;
    pkt->len = 0;
    pkt->tos = 0;
    pkt->df = false;
    pkt->transport = NET_UDP;
    return pkt;
}

struct udp_counters *udp_batch_counters(struct udp_batch *b)
{
    return &b->count;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "io/udp_batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "io/udp_batch_int.h"

enum {
    CACHE_LINE = 64,
    /* An odd number of lines more than a power of two: the packets begin in different sets. */
    STRIDE = PKT_HEADROOM + UDP_PKT_CAP + 4 * CACHE_LINE,
};

_Static_assert((STRIDE / CACHE_LINE) % 2 == 1, "buffers must not alias in the cache");

uint8_t *udp_batch_buffer(const struct udp_batch *b, uint32_t i)
{
    return b->memory + (size_t)i * STRIDE;
}

static void rx_init(struct udp_batch *b, uint32_t i)
{
    b->rx_vec[i] = (struct iovec){
        .iov_base = udp_batch_buffer(b, i) + PKT_HEADROOM,
        .iov_len = UDP_PKT_CAP,
    };
    b->rx_head[i].msg_hdr = (struct msghdr){
        .msg_name = &b->rx_slot[i].addr,
        .msg_namelen = sizeof(b->rx_slot[i].addr),
        .msg_iov = &b->rx_vec[i],
        .msg_iovlen = 1,
        .msg_control = b->rx_slot[i].control,
        .msg_controllen = UDP_CONTROL,
    };
}

struct udp_batch *udp_batch_new(udp_too_big_fn too_big, void *arg)
{
    struct udp_batch *b = mem_new(1, sizeof(*b));
    if (b == NULL) {
        return NULL;
    }
    b->memory_len = (size_t)(UDP_BATCH + UDP_SPARES) * STRIDE;
    b->memory = mem_fails() ? MAP_FAILED
                            : mmap(NULL, b->memory_len, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (b->memory == MAP_FAILED) {
        free(b);
        return NULL;
    }
    b->too_big = too_big;
    b->arg = arg;
    for (uint32_t i = 0; i < UDP_BATCH; i++) {
        rx_init(b, i);
    }
    return b;
}

void udp_batch_set_gso(struct udp_batch *b, bool on)
{
    b->gso = on;
    b->gro = on;
}

void udp_batch_no_gro(struct udp_batch *b)
{
    b->gro = false;
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
    const uint32_t buffers = UDP_BATCH - b->buffers;
    const uint32_t packets = (UDP_PACKETS - b->used) / (UDP_PACKETS / UDP_BATCH);

    return buffers < packets ? buffers : packets;
}

struct pkt *udp_batch_take(struct udp_batch *b)
{
    if (b->buffers == UDP_BATCH || b->used == UDP_PACKETS) {
        return NULL;
    }
    struct pkt *pkt = &b->pkt[b->used++];
    pkt->buf = udp_batch_buffer(b, b->buffers++);
    pkt->cap = UDP_PKT_CAP;
    pkt->data = pkt->buf + PKT_HEADROOM;
    pkt->len = 0;
    pkt->tos = 0;
    pkt->df = false;
    pkt->transport = NET_UDP;
    pkt->view = false;
    pkt->head_len = 0;
    pkt->tail_len = 0;
    return pkt;
}

int udp_batch_own(struct udp_batch *b, struct pkt *pkt)
{
    if (!pkt->view) {
        return 0;
    }
    if (b->spares == UDP_SPARES || pkt_size(pkt) > UDP_PKT_CAP) {
        return -ENOSPC;
    }
    uint8_t *buf = udp_batch_buffer(b, UDP_BATCH + b->spares++);
    uint8_t *at = buf + PKT_HEADROOM;
    memcpy(at, pkt_head(pkt), pkt->head_len);
    memcpy(at + pkt->head_len, pkt->data, pkt->len);
    memset(at + pkt->head_len + pkt->len, 0, pkt->tail_len);
    pkt->len = pkt_size(pkt);
    pkt->head_len = 0;
    pkt->tail_len = 0;
    pkt->buf = buf;
    pkt->cap = UDP_PKT_CAP;
    pkt->data = at;
    pkt->view = false;
    return 0;
}

struct udp_counters *udp_batch_counters(struct udp_batch *b)
{
    return &b->count;
}

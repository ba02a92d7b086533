/* SPDX-License-Identifier: Apache-2.0 */
/* An AF_XDP socket in copy mode that takes every frame of a one-queue interface: how the load
 * generator sends and receives for less than half of what a packet socket costs.
 *
 * Receiving is a look into memory: no system call.
 *
 * Owner   the struct's holder.  Thread  one.  The program leaves the interface with the process. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Few frames, so that they stay in the CPU's caches: more than any window, and a veth ring's 256.
 */
enum { XSK_FRAME = 2048, XSK_RX_FRAMES = 512, XSK_TX_FRAMES = 1024, XSK_BATCH = 64 };

struct xsk_ring {
    uint32_t *producer;
    uint32_t *consumer;
    void *entries;
    uint32_t mask;
};

struct xsk {
    int fd;
    uint8_t *area; /* XSK_RX_FRAMES, then XSK_TX_FRAMES frames */
    struct xsk_ring fill;
    struct xsk_ring completion;
    struct xsk_ring rx;
    struct xsk_ring tx;
    uint32_t free[XSK_TX_FRAMES]; /* numbers of frames that may be filled */
    uint32_t free_count;
};

/* Open a socket on `dev` of the namespace that the thread is in; then take all its frames, unless a
 * program of the caller's hands some of them over.  0, or a negative errno with `*failed` naming
 * the step. */
int xsk_open(struct xsk *x, const char *dev, const char **failed);
int xsk_take_all(const struct xsk *x, const char *dev, const char **failed);

/* A free frame to fill; NULL while the kernel has them all. */
uint8_t *xsk_slot(struct xsk *x);

/* Queue the frame that xsk_slot() gave with `n` bytes; xsk_kick() sends what is queued. */
void xsk_push(struct xsk *x, const uint8_t *slot, size_t n);
void xsk_kick(struct xsk *x);

/* Hand at most XSK_BATCH received frames to `each`, which must not keep them.  Returns how many. */
unsigned xsk_receive(struct xsk *x, void (*each)(void *arg, const uint8_t *frame, size_t n),
                     void *arg);

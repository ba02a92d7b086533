/* SPDX-License-Identifier: Apache-2.0 */
/* What udp_batch.c, udp_rx.c and udp_tx.c share. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "io/udp_batch.h"

enum {
    /* IPV6_PKTINFO (20 bytes); the TOS octet, a drop count or DF, the size of segments: ints.  Each
     * with its head. */
    UDP_CONTROL = 4 * 16 + 24 + 8 + 8 + 8,
    UDP_NONE = 0xffff,

    UDP_HEADS = 64,        /* messages that one call sends */
    UDP_RUN = 64,          /* packets of one segmented message: UDP_MAX_SEGMENTS of older kernels */
    UDP_RUN_BYTES = 65000, /* and its bytes: they must fit an IP packet with its heads */
    UDP_VECS = 1024,       /* UIO_MAXIOV: pieces of one message; here of all of one call */
    UDP_PKT_VECS = 3,      /* head, payload, tail */
};

/* What recvmmsg() fills, and what sendmmsg() reads, for one message. */
struct udp_slot {
    struct sockaddr_storage addr;
    _Alignas(struct cmsghdr) uint8_t control[UDP_CONTROL];
};

/* The packets of one message: tx_pkt[first] and those behind it. */
struct udp_run {
    uint16_t first;
    uint16_t count;
    uint32_t segment; /* bytes of each packet but the last */
};

struct udp_batch {
    uint32_t used;    /* packets */
    uint32_t buffers; /* that are in use */
    uint32_t spares;  /* of them beyond UDP_BATCH: see udp_batch_own() */
    bool gso;
    bool gro;

    /* Receiving: the headers point at the buffers once and for all. */
    struct mmsghdr rx_head[UDP_BATCH];
    struct iovec rx_vec[UDP_BATCH];
    struct udp_slot rx_slot[UDP_BATCH];

    /* Sending: one chain of packets a socket, linked by `next`; a chain may come up a second time
     * in one flush, when a packet that is too big is answered. */
    uint32_t tx_ports;
    uint32_t tx_heads; /* what is filled in for the next call */
    uint32_t tx_vecs;
    uint32_t tx_pkts;
    struct mmsghdr tx_head[UDP_HEADS + 1]; /* the last: for packets of a run, one by one */
    struct udp_run tx_run[UDP_HEADS + 1];
    struct udp_slot tx_slot[UDP_HEADS + 1];
    struct iovec tx_vec[UDP_VECS];
    struct pkt *tx_pkt[UDP_VECS + 1];

    udp_too_big_fn too_big;
    void *arg;
    struct udp_counters count;
    uint8_t *memory;
    size_t memory_len;

    /* Of these only the first ones are touched while no bursts come. */
    struct pkt pkt[UDP_PACKETS];
    uint16_t next[UDP_PACKETS];
    struct udp_port *tx_port[2 * UDP_PACKETS];
    uint8_t side[UDP_PACKETS][PKT_HEADROOM]; /* heads of views */
};

/* Buffer `i`: head room, then UDP_PKT_CAP bytes. */
uint8_t *udp_batch_buffer(const struct udp_batch *b, uint32_t i);

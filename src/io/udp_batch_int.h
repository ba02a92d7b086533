/* SPDX-License-Identifier: Apache-2.0 */
/* What udp_batch.c, udp_rx.c and udp_tx.c share. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "io/udp_batch.h"

enum {
    /* IPV6_PKTINFO (20 bytes), the TOS octet as an int, and a drop count or DF: each with its head.
     */
    UDP_CONTROL = 3 * 16 + 24 + 8 + 8,
    UDP_NONE = 0xff,
};

/* What recvmmsg() fills, and what sendmmsg() reads, for one place. */
struct udp_slot {
    struct sockaddr_storage addr;
    _Alignas(struct cmsghdr) uint8_t control[UDP_CONTROL];
};

struct udp_batch {
    struct pkt pkt[UDP_BATCH];
    uint32_t used;

    /* Receiving: the headers point at the places once and for all. */
    struct mmsghdr rx_head[UDP_BATCH];
    struct iovec rx_vec[UDP_BATCH];
    struct udp_slot rx_slot[UDP_BATCH];

    /* Sending: one chain of places a socket, linked by `next`; a chain may come up a second time in
     * one flush, when a packet that is too big is answered. */
    uint32_t tx_ports;
    struct udp_port *tx_port[2 * UDP_BATCH];
    uint8_t next[UDP_BATCH];
    struct mmsghdr tx_head[UDP_BATCH];
    struct iovec tx_vec[UDP_BATCH];
    struct udp_slot tx_slot[UDP_BATCH];
    struct pkt *tx_pkt[UDP_BATCH];

    udp_too_big_fn too_big;
    void *arg;
    struct udp_counters count;
    uint8_t *memory;
    size_t memory_len;
};

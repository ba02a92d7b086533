/* SPDX-License-Identifier: Apache-2.0 */
/* Bursts for the tests of io/udp: sent as one segmented message, received by a socket with UDP_GRO.
 */
#pragma once

#include <netinet/in.h>
#include <netinet/udp.h>

#include "io/udp_batch.h"
#include "io/udp_rx.h"
#include "udp_pair.h"

/* Let `port` receive bursts as one message. */
static inline void burst_ask(struct udp_port *port)
{
    const int on = 1;

    assert_int_equal(setsockopt(port->fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)), 0);
}

/* Send `n` bytes as datagrams of `segment` bytes, the last one shorter, in one message. */
static inline void burst_send(int fd, const struct net_addr *to, const void *p, size_t n,
                              uint16_t segment)
{
    const int size = segment;
    const int none = 0;

    assert_int_equal(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
    pair_send(fd, to, p, n);
    assert_int_equal(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &none, sizeof(none)), 0);
}

/* Receive `n` packets into `batch`, however many turns that takes; returns the first. */
static inline struct pkt *burst_expect(struct udp_batch *batch, struct udp_port *port, uint32_t n)
{
    struct pkt *first = NULL;
    struct pkt *pkt = NULL;

    for (uint32_t got = 0; got < n;) {
        pair_wait(port->fd, POLLIN);
        const uint32_t came = udp_rx(batch, port, UDP_BATCH, &pkt);
        first = first == NULL && came > 0 ? pkt : first;
        got += came;
        assert_true(got <= n);
    }
    return first;
}

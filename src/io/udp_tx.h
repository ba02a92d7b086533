/* SPDX-License-Identifier: Apache-2.0 */
/* Sending a batch (see udp_batch.h).
 *
 * A packet goes from pkt->local through pkt->port (a struct udp_port) to pkt->remote.  Its TOS
 * octet, the source address on a wildcard socket, and DF over IPv6 travel in control messages, and
 * only when they are needed.  Packets of equal length (the last may be shorter) that follow each
 * other to one destination leave as one segmented message (UDP_SEGMENT): if the kernel refuses it,
 * they leave one by one, and the port asks no more for segments of that length, or for none.
 * DF over IPv4 has no control message: the socket is switched to
 * IP_PMTUDISC_DO before a DF packet and back before the next other one, so a socket that sends DF
 * packets must belong to one allocation alone. */
#pragma once

#include "base/pkt.h"

struct udp_batch;

/* Queue `pkt`, which lies in `batch`, for the next flush.  Packets of one socket leave in the order
 * in which they were queued.  Hot path. */
void udp_tx_queue(struct udp_batch *batch, struct pkt *pkt);

/* Send all that is queued.  The packets stay where they are, and so do those that were not queued;
 * the buffers that udp_batch_own() has given out are free again. */
void udp_tx_send(struct udp_batch *batch);

/* Send all that is queued and free every place.  Never waits: what the kernel does not take is
 * dropped and counted.  Hot path: one system call a socket. */
void udp_tx_flush(struct udp_batch *batch);

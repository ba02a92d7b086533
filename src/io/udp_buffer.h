/* SPDX-License-Identifier: Apache-2.0 */
/* Receive buffers that are as large as their sockets turn out to need.
 *
 * A relay socket begins with what the system gives everybody; most never need more, and the kernel
 * lets all sockets together have only so much.  One whose packets had to be dropped gets twice the
 * room, again and again, up to a limit.
 *
 * Owner   nobody.  Thread  the worker of the socket. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct udp_port;

/* The kernel has dropped packets of `port` (port->overflow has risen): double its receive buffer,
 * to `max_bytes` at most.  Returns true when it has grown.  When it cannot grow any more,
 * port->buffer_full is set and nothing is asked of the kernel again.  Some system calls: not for
 * every packet. */
bool udp_buffer_grow(struct udp_port *port, uint32_t max_bytes);

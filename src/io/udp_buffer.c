/* SPDX-License-Identifier: Apache-2.0 */
#include "io/udp_buffer.h"

#include <limits.h>
#include <sys/socket.h>

#include "io/udp.h"

/* Beyond net.core.rmem_max only with CAP_NET_ADMIN, which the server may have given up. */
static void ask(int fd, uint32_t bytes)
{
    const int value = bytes < INT_MAX / 2 ? (int)bytes : INT_MAX / 2;

    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &value, sizeof(value)) < 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof(value));
    }
}

bool udp_buffer_grow(struct udp_port *port, uint32_t max_bytes)
{
    if (port->buffer_full) {
        return false;
    }
    const uint32_t before = udp_buffer_bytes(port);
    const uint32_t twice = before < max_bytes / 2 ? before * 2 : max_bytes;
    if (before == 0 || before >= max_bytes) {
        port->buffer_full = true;
        return false;
    }
    ask(port->fd, twice);
    const uint32_t after = udp_buffer_bytes(port);
    port->buffer_full = after >= max_bytes || after < twice;
    return after > before;
}

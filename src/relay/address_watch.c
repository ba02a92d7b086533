/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/address_watch.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

int address_watch_open(void)
{
    const struct sockaddr_nl nl = {
        .nl_family = AF_NETLINK,
        /* Links, too: an interface that comes up brings its addresses without a word of them. */
        .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
    };
    const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0) {
        return -1;
    }
    if (bind(fd, (const struct sockaddr *)&nl, sizeof(nl)) < 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

bool address_watch_changed(int fd)
{
    uint8_t buf[4096];
    bool changed = false;

    if (fd < 0) {
        return false;
    }
    for (;;) {
        const ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
        if (n < 0 && errno != ENOBUFS) { /* too many to be told: changed, too */
            return changed;
        }
        changed = true;
    }
}

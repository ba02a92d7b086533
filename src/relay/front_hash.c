/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <string.h>
#include <sys/socket.h>

#include "base/attr.h"
#include "log/log.h"
#include "relay/front.h"

enum {
    NET_HEADER = (int)SKF_NET_OFF,
    IPV4_SOURCE = 12,
    IPV4_PORT = 20, /* the source port, behind a header without options; others spread otherwise */
    IPV6_SOURCE_END = 20,
    IPV6_PORT = 40,
};

/* Which socket: (end of the source address + source port) * an odd number >> 16, modulo the
 * number of sockets.  A flow keeps its socket as long as that number does not change. */
void front_hash_listeners(int fd, uint32_t count)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IPV6, 4, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(NET_HEADER + IPV4_SOURCE)),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, (uint32_t)(NET_HEADER + IPV4_PORT)),
        BPF_STMT(BPF_JMP | BPF_JA, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(NET_HEADER + IPV6_SOURCE_END)),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, (uint32_t)(NET_HEADER + IPV6_PORT)),
        BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
        BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 0x9e3779b1),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 16),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, count),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    const struct sock_fprog program = {.len = ARRAY_SIZE(code), .filter = code};

    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) < 0) {
        log_event(LOG_WARNING, "ingress.not_hashed", LOG_ERRNO("why", errno), LOG_END);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The bare forwarder as a BPF program on two interfaces (bpf/bare.bpf.c). */
#include <arpa/inet.h>
#include <bare.skel.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "forwarder.h"

/* A table as large as sterna's is by default: where entries lie apart, looking costs more. */
enum {
    TCX_INGRESS = 46, /* newer than Debian 12's headers */
    TRIES = 50,
    WAIT_US = 100000,
    TABLE = 2 * 65536,
};

/* One side of the server: the interface, and the neighbour behind it. */
struct side {
    unsigned ifindex;
    uint8_t mac[6];
    uint8_t neighbour[6];
};

static void check(int result, const char *what)
{
    if (result < 0) {
        errno = -result;
        forwarder_die(what);
    }
}

static void parse_mac(const char *text, uint8_t out[6])
{
    unsigned b[6];

    if (sscanf(text, "%x:%x:%x:%x:%x:%x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]) != 6) {
        forwarder_die("an Ethernet address");
    }
    for (int i = 0; i < 6; i++) {
        out[i] = (uint8_t)b[i];
    }
}

/* "s0,02:00:00:00:01:01". */
static struct side parse_side(const char *text)
{
    struct ifreq ifr = {.ifr_name = ""};
    struct side side;
    const size_t n = strcspn(text, ",");
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%.*s", (int)n, text);
    side.ifindex = if_nametoindex(ifr.ifr_name);
    if (fd < 0 || side.ifindex == 0 || text[n] != ',' || ioctl(fd, SIOCGIFHWADDR, &ifr) < 0) {
        forwarder_die(text);
    }
    (void)close(fd);
    memcpy(side.mac, ifr.ifr_hwaddr.sa_data, sizeof(side.mac));
    parse_mac(text + n + 1, side.neighbour);
    return side;
}

static void put(int map, const struct sockaddr_in at[4], bool to_peer, const struct side *out)
{
    const struct bare_key key = {at[0].sin_addr.s_addr, at[1].sin_addr.s_addr, at[0].sin_port,
                                 at[1].sin_port};
    struct bare_flow flow = {
        .src = at[2].sin_addr.s_addr,
        .dst = at[3].sin_addr.s_addr,
        .src_port = at[2].sin_port,
        .dst_port = at[3].sin_port,
        .number = htons(FORWARDER_CHANNEL),
        .to_peer = to_peer,
        .ifindex = out->ifindex,
    };

    memcpy(flow.macs, out->neighbour, sizeof(out->neighbour));
    memcpy(flow.macs + sizeof(out->neighbour), out->mac, sizeof(out->mac));
    check(bpf_map_update_elem(map, &key, &flow, BPF_ANY), "map");
}

static void put_all(const struct forwarder *f, int map, const struct side side[2])
{
    for (uint32_t i = 0; i < f->flows; i++) {
        const struct sockaddr_in client = forwarder_address(&f->client, i);
        const struct sockaddr_in relay = forwarder_address(&f->relay, i);
        const struct sockaddr_in peer = forwarder_address(&f->peer, i);
        const struct sockaddr_in up[] = {client, f->listen, relay, peer};
        const struct sockaddr_in down[] = {peer, relay, f->listen, client};
        put(map, up, true, &side[1]);
        put(map, down, false, &side[0]);
    }
}

/* The link lasts as long as the process. */
static void attach(const struct bpf_program *program, const char *technique, unsigned ifindex)
{
    const bool tc = strcmp(technique, "tc") == 0;
    const bool generic = strcmp(technique, "xdp-generic") == 0;
    const struct bpf_link_create_opts options = {
        .sz = sizeof(options),
        .flags = tc ? 0 : (generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE),
    };
    int err = -EBUSY;

    for (int i = 0; i < TRIES && err == -EBUSY; i++) { /* the kernel ends the one before slowly */
        err = bpf_link_create(bpf_program__fd(program), (int)ifindex,
                              tc ? (enum bpf_attach_type)TCX_INGRESS : BPF_XDP, &options);
        if (err == -EBUSY) {
            (void)usleep(WAIT_US);
        }
    }
    check(err, "attach");
}

void forwarder_bpf_run(struct forwarder *f, const char *technique, const char *client_side,
                       const char *peer_side, void (*ready)(void))
{
    const struct side side[] = {parse_side(client_side), parse_side(peer_side)};
    struct bare_bpf *bpf = bare_bpf__open();

    if (bpf == NULL) {
        forwarder_die("bpf");
    }
    check(bpf_map__set_max_entries(bpf->maps.flows, TABLE), "size");
    check(bare_bpf__load(bpf), "load");
    put_all(f, bpf_map__fd(bpf->maps.flows), side);
    const struct bpf_program *program = strcmp(technique, "tc") == 0    ? bpf->progs.bare_tc
                                        : strcmp(technique, "xdp") == 0 ? bpf->progs.bare_xdp
                                                                        : bpf->progs.bare_xdpfib;
    attach(program, technique, side[0].ifindex);
    attach(program, technique, side[1].ifindex);
    ready();
    for (;;) {
        (void)pause();
    }
}

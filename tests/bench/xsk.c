/* SPDX-License-Identifier: Apache-2.0 */
#include "xsk.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    MAX_TX_BUDGET_OPTION = 9, /* newer than Debian 12's headers */
    KICKS = 10000,
    BIND_TRIES = 100,
    BIND_WAIT_US = 20000,
    SEND_BUFFER = 64 << 20,
};

#define INSN(code_, dst, src, off_, imm_)                                                          \
    {                                                                                              \
        .code = (code_), .dst_reg = (dst), .src_reg = (src), .off = (off_), .imm = (imm_)          \
    }

static int bpf(int command, union bpf_attr *attr)
{
    const long fd = syscall(SYS_bpf, command, attr, sizeof(*attr));

    return fd < 0 ? -errno : (int)fd;
}

static int new_map(void)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.map_type = BPF_MAP_TYPE_XSKMAP;
    attr.key_size = sizeof(uint32_t);
    attr.value_size = sizeof(uint32_t);
    attr.max_entries = 1;
    return bpf(BPF_MAP_CREATE, &attr);
}

/* return bpf_redirect_map(&map, 0, XDP_PASS); */
static int new_program(int map)
{
    const struct bpf_insn program[] = {
        INSN(BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map),
        INSN(0, 0, 0, 0, 0),
        INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, 0),
        INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, XDP_PASS),
        INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map),
        INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
    };
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.prog_type = BPF_PROG_TYPE_XDP;
    attr.insns = (uintptr_t)program;
    attr.insn_cnt = sizeof(program) / sizeof(program[0]);
    attr.license = (uintptr_t) "Apache-2.0";
    return bpf(BPF_PROG_LOAD, &attr);
}

static int attach(int program, unsigned ifindex)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.link_create.prog_fd = (uint32_t)program;
    attr.link_create.target_ifindex = ifindex;
    attr.link_create.attach_type = BPF_XDP;
    attr.link_create.flags = XDP_FLAGS_DRV_MODE;
    return bpf(BPF_LINK_CREATE, &attr);
}

static int put_in_map(int map, int fd)
{
    const uint32_t key = 0;
    const uint32_t value = (uint32_t)fd;
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.map_fd = (uint32_t)map;
    attr.key = (uintptr_t)&key;
    attr.value = (uintptr_t)&value;
    return bpf(BPF_MAP_UPDATE_ELEM, &attr);
}

static int map_ring(int fd, const struct xdp_ring_offset *at, uint32_t count, size_t entry,
                    off_t which, struct xsk_ring *ring)
{
    const size_t size = at->desc + count * entry;
    uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, which);

    if (p == MAP_FAILED) {
        return -errno;
    }
    ring->producer = (uint32_t *)(void *)(p + at->producer);
    ring->consumer = (uint32_t *)(void *)(p + at->consumer);
    ring->entries = p + at->desc;
    ring->mask = count - 1;
    return 0;
}

static int map_rings(struct xsk *x)
{
    struct xdp_mmap_offsets at;
    socklen_t len = sizeof(at);
    int err = getsockopt(x->fd, SOL_XDP, XDP_MMAP_OFFSETS, &at, &len) < 0 ? -errno : 0;

    if (err == 0) {
        err = map_ring(x->fd, &at.fr, XSK_RX_FRAMES, sizeof(uint64_t), XDP_UMEM_PGOFF_FILL_RING,
                       &x->fill);
    }
    if (err == 0) {
        err = map_ring(x->fd, &at.cr, XSK_TX_FRAMES, sizeof(uint64_t),
                       (off_t)XDP_UMEM_PGOFF_COMPLETION_RING, &x->completion);
    }
    if (err == 0) {
        err = map_ring(x->fd, &at.rx, XSK_RX_FRAMES, sizeof(struct xdp_desc), XDP_PGOFF_RX_RING,
                       &x->rx);
    }
    if (err == 0) {
        err = map_ring(x->fd, &at.tx, XSK_TX_FRAMES, sizeof(struct xdp_desc), XDP_PGOFF_TX_RING,
                       &x->tx);
    }
    return err;
}

static int set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* The area, and the sizes of the four rings. */
static int give_memory(struct xsk *x)
{
    const size_t size = (size_t)(XSK_RX_FRAMES + XSK_TX_FRAMES) * XSK_FRAME;
    struct xdp_umem_reg umem;
    int err;

    x->area =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (x->area == MAP_FAILED) {
        return -errno;
    }
    memset(&umem, 0, sizeof(umem));
    umem.addr = (uintptr_t)x->area;
    umem.len = size;
    umem.chunk_size = XSK_FRAME;
    if (setsockopt(x->fd, SOL_XDP, XDP_UMEM_REG, &umem, sizeof(umem)) < 0) {
        return -errno;
    }
    err = set(x->fd, SOL_XDP, XDP_UMEM_FILL_RING, XSK_RX_FRAMES);
    err = err < 0 ? err : set(x->fd, SOL_XDP, XDP_UMEM_COMPLETION_RING, XSK_TX_FRAMES);
    err = err < 0 ? err : set(x->fd, SOL_XDP, XDP_RX_RING, XSK_RX_FRAMES);
    err = err < 0 ? err : set(x->fd, SOL_XDP, XDP_TX_RING, XSK_TX_FRAMES);
    return err < 0 ? err : map_rings(x);
}

static void fill_rings(struct xsk *x)
{
    uint64_t *fill = x->fill.entries;

    for (uint32_t i = 0; i < XSK_RX_FRAMES; i++) {
        fill[i] = (uint64_t)i * XSK_FRAME;
    }
    __atomic_store_n(x->fill.producer, XSK_RX_FRAMES, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < XSK_TX_FRAMES; i++) {
        x->free[x->free_count++] = XSK_RX_FRAMES + i;
    }
}

/* What older kernels do without. */
static void set_tuning(int fd)
{
    (void)set(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER);
    (void)set(fd, SOL_XDP, MAX_TX_BUDGET_OPTION, XSK_TX_FRAMES);
}

int xsk_open(struct xsk *x, const char *dev, const char **failed)
{
    const unsigned ifindex = if_nametoindex(dev);
    const struct sockaddr_xdp at = {
        .sxdp_family = AF_XDP, .sxdp_flags = XDP_COPY, .sxdp_ifindex = ifindex};
    int err;

    memset(x, 0, sizeof(*x));
    *failed = "AF_XDP socket";
    x->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    err = x->fd < 0 ? -errno : give_memory(x);
    if (err < 0) {
        return err;
    }
    fill_rings(x);
    set_tuning(x->fd);
    *failed = dev;
    for (int i = 0; bind(x->fd, (const struct sockaddr *)&at, sizeof(at)) < 0; i++) {
        if (errno != EBUSY ||
            i == BIND_TRIES) { /* the kernel takes its time to end the one before */
            return -errno;
        }
        (void)usleep(BIND_WAIT_US);
    }
    return 0;
}

int xsk_take_all(const struct xsk *x, const char *dev, const char **failed)
{
    *failed = "XDP program";
    const int map = new_map();
    const int program = map < 0 ? map : new_program(map);
    const int err = program < 0 ? program : put_in_map(map, x->fd);
    const int link = err < 0 ? err : attach(program, if_nametoindex(dev));

    return link < 0 ? link : 0; /* it lasts as long as the process */
}

static void reap(struct xsk *x)
{
    const uint64_t *done = x->completion.entries;
    const uint32_t producer = __atomic_load_n(x->completion.producer, __ATOMIC_ACQUIRE);
    uint32_t consumer = *x->completion.consumer;

    while (consumer != producer) {
        x->free[x->free_count++] = (uint32_t)(done[consumer++ & x->completion.mask] / XSK_FRAME);
    }
    __atomic_store_n(x->completion.consumer, consumer, __ATOMIC_RELEASE);
}

uint8_t *xsk_slot(struct xsk *x)
{
    if (x->free_count == 0) {
        reap(x);
    }
    return x->free_count == 0 ? NULL : x->area + (size_t)x->free[--x->free_count] * XSK_FRAME;
}

void xsk_push(struct xsk *x, const uint8_t *slot, size_t n)
{
    struct xdp_desc *ring = x->tx.entries;
    const uint32_t producer = *x->tx.producer;

    ring[producer & x->tx.mask] =
        (struct xdp_desc){.addr = (uint64_t)(slot - x->area), .len = (uint32_t)n};
    __atomic_store_n(x->tx.producer, producer + 1, __ATOMIC_RELEASE);
}

void xsk_kick(struct xsk *x)
{
    for (int i = 0; i < KICKS; i++) { /* a call may take only some of them */
        if (sendto(x->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN &&
            errno != ENOBUFS && errno != EBUSY) {
            return;
        }
        if (__atomic_load_n(x->tx.consumer, __ATOMIC_ACQUIRE) == *x->tx.producer) {
            break;
        }
    }
    reap(x); /* the last used are the next */
}

static void refill(struct xsk *x, uint64_t address)
{
    uint64_t *fill = x->fill.entries;
    const uint32_t producer = *x->fill.producer;

    fill[producer & x->fill.mask] = address / XSK_FRAME * XSK_FRAME;
    __atomic_store_n(x->fill.producer, producer + 1, __ATOMIC_RELEASE);
}

unsigned xsk_receive(struct xsk *x, void (*each)(void *arg, const uint8_t *frame, size_t n),
                     void *arg)
{
    const struct xdp_desc *ring = x->rx.entries;
    uint32_t consumer = *x->rx.consumer;
    unsigned n = 0;
    const uint32_t producer = __atomic_load_n(x->rx.producer, __ATOMIC_ACQUIRE);
    for (; consumer != producer && n < XSK_BATCH; n++, consumer++) {
        const struct xdp_desc d = ring[consumer & x->rx.mask];
        each(arg, x->area + d.addr, d.len);
        refill(x, d.addr);
    }
    __atomic_store_n(x->rx.consumer, consumer, __ATOMIC_RELEASE);
    return n;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The tc program on frames as drivers deliver them: their bytes in pieces of which only the first
 * can be read at once, and bursts that are several datagrams.  They come through a tap. */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/bytes.h"
#include "check.h"
#include "diff/line.h"

enum {
    CHANNELS = 64,
    TCX_INGRESS = 46,
    ETHER_ALL = 3,
    WAIT_S = 10,
    GSO_UDP = 5, /* VIRTIO_NET_HDR_GSO_UDP_L4 */
};

static const uint8_t tap_mac[FRAME_MAC] = {2, 0, 0, 0, 0, 9};
static struct kernel kernel;
static struct paths paths;
static struct client client;
static int tap = -1;
static int tap_link = -1;
static int far[STAGE_INTERFACES]; /* what comes out at the other ends */

/* --- the tap ------------------------------------------------------------------------------------
 */

static const char *open_tap(void)
{
    struct ifreq wish = {
        .ifr_name = "tap0",
        .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_NAPI | IFF_NAPI_FRAGS | IFF_VNET_HDR),
    };
    unsigned offloads = TUN_F_CSUM;

    tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (tap < 0 || ioctl(tap, TUNSETIFF, &wish) < 0 || ioctl(tap, TUNSETOFFLOAD, offloads) < 0) {
        return "this kernel has no tap devices with NAPI";
    }
    return system("ip link set tap0 address 02:00:00:00:00:09 up") == 0 ? NULL
                                                                        : "ip(8) is not there";
}

/* The program serves the tap, too. */
static void serve_tap(void)
{
    const uint32_t index = if_nametoindex("tap0");
    const int map = kernel_map(&kernel, "interfaces");
    struct offload_if at = {.flags = OFFLOAD_IF_PARTIAL};

    memcpy(at.mac, tap_mac, sizeof(at.mac));
    assert_int_equal(bpf_map_update_elem(map, &index, &at, BPF_ANY), 0);
    (void)close(map);
    tap_link =
        bpf_link_create(kernel.fd[KERNEL_TC], (int)index, (enum bpf_attach_type)TCX_INGRESS, NULL);
    assert_true(tap_link >= 0);
}

static int watch(const char *name)
{
    const struct sockaddr_ll at = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETHER_ALL),
        .sll_ifindex = (int)if_nametoindex(name),
    };
    const struct timeval wait = {.tv_sec = WAIT_S};
    const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETHER_ALL));

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

/* Let the frame come in by the tap, its first `head` bytes in one piece, the rest in others. */
static void deliver(const struct virtio_net_hdr *about, const struct traffic *t, size_t head)
{
    const size_t middle = head + (t->n - head) / 2;
    uint8_t bytes[FRAME_MAX];
    struct iovec pieces[] = {
        {(void *)(uintptr_t)about, sizeof(*about)},
        {bytes, head},
        {bytes + head, middle - head},
        {bytes + middle, t->n - middle},
    };

    memcpy(bytes, t->bytes, t->n);
    memcpy(bytes, tap_mac, FRAME_MAC);
    assert_int_equal(writev(tap, pieces, COUNT_OF(pieces)), sizeof(*about) + t->n);
}

/* The next frame from one link address, to one host; the stacks have things to say, too. */
static size_t receive(int fd, const uint8_t from[FRAME_MAC], uint8_t out[FRAME_MAX])
{
    ssize_t n;

    do {
        n = recv(fd, out, FRAME_MAX, 0);
        assert_true(n > 0);
    } while (memcmp(out + FRAME_MAC, from, FRAME_MAC) != 0 || out[0] != 2);
    return (size_t)n;
}

static uint64_t count_of(enum offload_count what)
{
    uint64_t counts[OFFLOAD_COUNT_MAX];

    assert_int_equal(forward_counts(kernel.forward, counts), 0);
    return counts[what];
}

/* --- pieces -------------------------------------------------------------------------------------
 */

/* In pieces it leaves as it does in one; that this is right is what other tests say. */
static void check_pieces(const struct line *line, bool to_peer, size_t n, size_t head)
{
    static struct traffic t;
    static const struct virtio_net_hdr plain;
    const struct net_addr *to = to_peer ? &line->peer : &line->client;
    const enum stage_interface by = stage_way(to)->by;
    uint8_t data[FRAME_DATA_MAX];
    uint8_t whole[FRAME_MAX];
    uint8_t out[FRAME_MAX];
    size_t whole_n;

    memset(data, (int)head, n);
    line_make(&paths, line, to_peer, data, n, &t);
    assert_int_equal(kernel_run(&kernel, KERNEL_TC, STAGE_A, t.bytes, t.n, whole, &whole_n),
                     KERNEL_OUT);
    deliver(&plain, &t, head);
    const size_t out_n = receive(far[by], stage_mac(by), out);
    if (to->family == NET_V4) { /* the identification counts packets */
        memcpy(whole + FRAME_ETHER + 4, out + FRAME_ETHER + 4, 2);
        frame_ip_sum(whole + FRAME_ETHER, FRAME_IPV4 / 4);
    }
    assert_int_equal(out_n, whole_n);
    assert_memory_equal(out, whole, out_n);
    line_count(&paths, line, to_peer, n);
    line_count(&paths, line, to_peer, n);
}

static void check_line(uint8_t family, uint8_t peer_family)
{
    static const size_t heads[] = {14, 20, 34, 42, 46, 54, 62, 66, 67, 100};
    static const size_t sizes[] = {100, 101, 700, 1399};
    const struct paths_options options = {.seed = 7};

    line_begin(&paths, &kernel, &options, &client);
    const struct line line = line_bind(&client, family, peer_family, 0);
    for (size_t i = 0; i < COUNT_OF(heads); i++) {
        for (size_t j = 0; j < COUNT_OF(sizes); j++) {
            check_pieces(&line, true, sizes[j], heads[i]);
            check_pieces(&line, false, sizes[j], heads[i]);
        }
    }
    paths_stop(&paths);
}

static void kernel_path__forwards_what_lies_in_pieces(void **state)
{
    (void)state;
    for (uint8_t family = NET_V4; family <= NET_V6; family++) {
        check_line(family, NET_V4);
        check_line(family, NET_V6);
    }
}

/* Somebody looks at what comes in, as tcpdump(8) does: so the bytes are theirs as well, and they
 * see them as they were. */
static void kernel_path__does_not_write_to_what_others_read(void **state)
{
    enum { HEAD = 66 };

    static struct traffic t;
    const struct paths_options options = {.seed = 7};
    uint8_t data[FRAME_DATA_MAX];
    uint8_t out[FRAME_MAX];
    const int near = watch("tap0");

    (void)state;
    line_begin(&paths, &kernel, &options, &client);
    const struct line line = line_bind(&client, NET_V4, NET_V6, 0);
    for (size_t n = 100; n < 1400; n += 100) {
        check_pieces(&line, n % 200 == 0, n, HEAD);
        memset(data, HEAD, n);
        line_make(&paths, &line, n % 200 == 0, data, n, &t);
        memcpy(t.bytes, tap_mac, FRAME_MAC);
        assert_int_equal(receive(near, t.bytes + FRAME_MAC, out), t.n);
        assert_memory_equal(out, t.bytes, t.n);
    }
    (void)close(near);
    paths_stop(&paths);
}

/* --- bursts -------------------------------------------------------------------------------------
 */

/* Three datagrams to be cut out of one by whoever sends them on: they are user space's. */
static void kernel_path__leaves_bursts_alone(void **state)
{
    enum { EACH = 204, HEAD = FRAME_ETHER + FRAME_IPV4 + FRAME_UDP };

    static struct traffic t;
    const uint8_t data[3 * EACH - 4] = {0};
    const struct paths_options options = {.seed = 7};
    const struct virtio_net_hdr burst = {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .gso_type = GSO_UDP,
        .hdr_len = HEAD,
        .gso_size = EACH,
        .csum_start = FRAME_ETHER + FRAME_IPV4,
        .csum_offset = 6,
    };

    (void)state;
    line_begin(&paths, &kernel, &options, &client);
    const struct line line = line_bind(&client, NET_V4, NET_V4, 0);
    line_make(&paths, &line, true, data, sizeof(data), &t);
    const uint64_t before = count_of(OFFLOAD_burst);
    deliver(&burst, &t, 100);
    assert_int_equal(count_of(OFFLOAD_burst), before + 1);
    /* As one datagram it would have been forwarded. */
    check_pieces(&line, true, sizeof(data), 100);
    paths_stop(&paths);
}

static const char *begin(void)
{
    const char *why = stage_enter();

    why = why == NULL ? open_tap() : why;
    return why == NULL ? kernel_open(&kernel, CHANNELS) : why;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernel_path__forwards_what_lies_in_pieces),
        cmocka_unit_test(kernel_path__does_not_write_to_what_others_read),
        cmocka_unit_test(kernel_path__leaves_bursts_alone),
    };
    const char *why = begin();

    if (why != NULL) {
        (void)printf("1..0 # SKIP %s\n", why);
        return 0;
    }
    serve_tap();
    far[STAGE_A] = watch("far0");
    far[STAGE_B] = watch("far1");
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)close(tap_link);
    (void)close(tap);
    kernel_close(&kernel);
    return failed;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "io/udp_buffer.h"

#include <linux/capability.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "io/udp_batch.h"
#include "io/udp_rx.h"
#include "io/udp_tx.h"
#include "udp_pair.h"

enum { KIB = 1024 };

static struct udp_port open_small(uint32_t bytes)
{
    const struct udp_options options = {
        .local = pair_addr("127.0.0.1:0"),
        .buffer_bytes = bytes,
        .ask_drops = true,
    };
    struct udp_port port;

    pair_open(&port, &options);
    return port;
}

static void grow__doubles_up_to_the_limit(void **state)
{
    struct udp_port port = open_small(8 * KIB);

    (void)state;
    assert_int_equal(udp_buffer_bytes(&port), 8 * KIB);
    assert_true(udp_buffer_grow(&port, 50 * KIB));
    assert_int_equal(udp_buffer_bytes(&port), 16 * KIB);
    assert_false(port.buffer_full);
    assert_true(udp_buffer_grow(&port, 50 * KIB));
    assert_int_equal(udp_buffer_bytes(&port), 32 * KIB);
    assert_true(udp_buffer_grow(&port, 50 * KIB));
    assert_int_equal(udp_buffer_bytes(&port), 50 * KIB);
    assert_true(port.buffer_full);
    assert_false(udp_buffer_grow(&port, 50 * KIB));
    assert_false(udp_buffer_grow(&port, 100 * KIB)); /* it is not asked again */
    assert_int_equal(udp_buffer_bytes(&port), 50 * KIB);
    udp_close(&port);
}

static void grow__never_shrinks(void **state)
{
    struct udp_port port = open_small(64 * KIB);

    (void)state;
    assert_false(udp_buffer_grow(&port, 8 * KIB));
    assert_int_equal(udp_buffer_bytes(&port), 64 * KIB);
    assert_true(port.buffer_full);
    udp_close(&port);
}

static void grow__gives_up_on_a_socket_that_is_none(void **state)
{
    struct udp_port port = open_small(8 * KIB);

    (void)state;
    udp_close(&port);
    assert_false(udp_buffer_grow(&port, 50 * KIB));
    assert_true(port.buffer_full);
}

/* Without CAP_NET_ADMIN the system's limit is the end, and the kernel is not asked for ever. */
static void *grow_unprivileged(void *arg)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
    struct udp_port *port = arg;

    if (syscall(SYS_capget, &head, caps) == 0) {
        caps[0].effective &= ~(UINT32_C(1) << CAP_NET_ADMIN);
        caps[0].permitted &= ~(UINT32_C(1) << CAP_NET_ADMIN);
        if (syscall(SYS_capset, &head, caps) == 0) {
            for (int i = 0; i < 32 && !port->buffer_full; i++) {
                (void)udp_buffer_grow(port, 1024U * 1024 * KIB);
            }
        }
    }
    return NULL;
}

static void grow__ends_at_what_the_system_allows(void **state)
{
    struct udp_port port = open_small(8 * KIB);
    FILE *file = fopen("/proc/sys/net/core/rmem_max", "re");
    char text[32] = "";
    pthread_t thread;

    (void)state;
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    assert_int_equal(fclose(file), 0);
    assert_int_equal(pthread_create(&thread, NULL, grow_unprivileged, &port), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(port.buffer_full);
    assert_int_equal(udp_buffer_bytes(&port), strtoul(text, NULL, 10));
    udp_close(&port);
}

/* A burst that was too long for the socket fits after it has grown. */
static void grow__makes_room_for_the_next_burst(void **state)
{
    enum { BURST = 40 };

    static uint8_t data[1000];
    struct udp_batch *batch = udp_batch_new(NULL, NULL);
    struct udp_port port = open_small(8 * KIB);
    const int from = socket(AF_INET, SOCK_DGRAM, 0);
    uint32_t got = 0;
    uint32_t rounds = 0;

    (void)state;
    assert_non_null(batch);
    for (; got < BURST && rounds < 16; rounds++) {
        const uint32_t before = port.overflow;
        struct pkt *pkt = NULL;
        for (int i = 0; i < BURST; i++) {
            pair_send(from, &port.local, data, sizeof(data));
        }
        got = udp_rx(batch, &port, BURST, &pkt);
        udp_tx_flush(batch);
        pair_send(from, &port.local, data, 1); /* it brings the count */
        pair_wait(port.fd, POLLIN);
        assert_int_equal(udp_rx(batch, &port, BURST, &pkt), 1);
        udp_tx_flush(batch);
        assert_int_equal(port.overflow - before, BURST - got);
        if (port.overflow != before) {
            assert_true(udp_buffer_grow(&port, 1024 * KIB));
        }
    }
    assert_int_equal(got, BURST);
    assert_in_range(rounds, 2, 15);
    (void)close(from);
    udp_close(&port);
    udp_batch_free(batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grow__doubles_up_to_the_limit),
        cmocka_unit_test(grow__never_shrinks),
        cmocka_unit_test(grow__gives_up_on_a_socket_that_is_none),
        cmocka_unit_test(grow__ends_at_what_the_system_allows),
        cmocka_unit_test(grow__makes_room_for_the_next_burst),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

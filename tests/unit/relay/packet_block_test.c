/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/packet_block.h"

#include <poll.h>
#include <string.h>

#include "check.h"
#include "io/mailbox.h"

static struct packet_blocks blocks;
static struct packet_block block = {.blocks = &blocks};
static uint8_t bytes[65536];

static struct pkt packet(uint32_t len, uint8_t fill)
{
    struct pkt pkt = {.data = bytes, .len = len, .tos = fill};

    memset(bytes, fill, len);
    assert_int_equal(net_addr_parse("192.0.2.1:5000", 0, &pkt.remote), 0);
    assert_int_equal(net_addr_parse("[2001:db8::1]:3478", 0, &pkt.local), 0);
    pkt.remote.port = fill;
    return pkt;
}

/* No item is looked at: only its address is handed on. */
static const struct front_item *item(uint8_t i)
{
    return (const struct front_item *)(const void *)(bytes + i);
}

static bool add(uint32_t len, uint8_t fill)
{
    const struct pkt pkt = packet(len, fill);

    return packet_block_add(&block, item(fill), &pkt);
}

static int empty(void **state)
{
    (void)state;
    packet_block_done(&block);
    return 0;
}

static void block__keeps_copies_of_packets(void **state)
{
    static const uint32_t lens[] = {1, 172, 0, 1200};

    (void)state;
    for (uint8_t i = 0; i < COUNT_OF(lens); i++) {
        assert_true(add(lens[i], i));
    }
    memset(bytes, 0xee, sizeof(bytes)); /* the batch goes on to the next ones */
    assert_int_equal(block.count, COUNT_OF(lens));
    for (uint8_t i = 0; i < COUNT_OF(lens); i++) {
        const struct packet_head *head = &block.head[i];
        const struct pkt was = packet(lens[i], i);

        assert_ptr_equal(head->item, item(i));
        assert_true(net_addr_equal(&head->remote, &was.remote));
        assert_true(net_addr_equal(&head->local, &was.local));
        assert_int_equal(head->tos, i);
        assert_int_equal(head->len, lens[i]);
        assert_memory_equal(block.data + head->at, was.data, lens[i]);
    }
}

static void block__holds_so_many_packets(void **state)
{
    (void)state;
    for (int i = 0; i < PACKET_BLOCK_PACKETS; i++) {
        assert_true(add(20, (uint8_t)i));
    }
    assert_false(add(0, 1));
    assert_int_equal(block.count, PACKET_BLOCK_PACKETS);
    assert_int_equal(block.bytes, 20 * PACKET_BLOCK_PACKETS);
}

static void block__holds_so_many_bytes(void **state)
{
    enum { LONGEST = 65507, REST = PACKET_BLOCK_BYTES - 2 * LONGEST };

    (void)state;
    assert_true(add(LONGEST, 1));
    assert_true(add(LONGEST, 2));
    assert_false(add(REST + 1, 3));
    assert_int_equal(block.count, 2); /* as it was */
    assert_int_equal(block.bytes, 2 * LONGEST);
    assert_true(add(REST, 4));
    assert_int_equal(block.bytes, PACKET_BLOCK_BYTES);
    assert_false(add(1, 5));
    assert_true(add(0, 6));
    assert_int_equal(block.head[1].len, LONGEST);
    assert_int_equal(block.data[2 * LONGEST - 1], 2);
    assert_int_equal(block.data[PACKET_BLOCK_BYTES - 1], 4);
}

static void block__is_empty_when_it_is_done(void **state)
{
    (void)state;
    atomic_store(&block.lent, true);
    assert_true(add(100, 1));
    packet_block_done(&block);
    assert_false(atomic_load(&block.lent));
    assert_int_equal(block.count, 0);
    assert_true(add(PACKET_BLOCK_PACKETS, 2));
    assert_int_equal(block.head[0].at, 0);
}

/* The dispatcher that waits for a block is woken once. */
static void done__wakes_who_waits(void **state)
{
    struct pollfd p = {.events = POLLIN};

    (void)state;
    blocks.mailbox = mailbox_new(2);
    assert_non_null(blocks.mailbox);
    p.fd = mailbox_fd(blocks.mailbox);
    packet_block_done(&block);
    assert_int_equal(poll(&p, 1, 0), 0); /* nobody waits */
    atomic_store(&blocks.wanted, true);
    packet_block_done(&block);
    assert_int_equal(poll(&p, 1, 0), 1);
    assert_false(atomic_load(&blocks.wanted));
    mailbox_quiet(blocks.mailbox);
    packet_block_done(&block);
    assert_int_equal(poll(&p, 1, 0), 0);
    mailbox_free(blocks.mailbox);
    blocks.mailbox = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(block__keeps_copies_of_packets, empty),
        cmocka_unit_test_setup(block__holds_so_many_packets, empty),
        cmocka_unit_test_setup(block__holds_so_many_bytes, empty),
        cmocka_unit_test_setup(block__is_empty_when_it_is_done, empty),
        cmocka_unit_test(done__wakes_who_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

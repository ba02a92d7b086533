/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/packet_block.h"

#include <string.h>

#include "io/mailbox.h"

bool packet_block_add(struct packet_block *block, const struct front_item *item,
                      const struct pkt *pkt)
{
    if (block->count == PACKET_BLOCK_PACKETS || pkt->len > PACKET_BLOCK_BYTES - block->bytes) {
        return false;
    }
    block->head[block->count++] = (struct packet_head){
        .item = item,
        .remote = pkt->remote,
        .local = pkt->local,
        .at = block->bytes,
        .len = (uint16_t)pkt->len,
        .tos = pkt->tos,
    };
    memcpy(block->data + block->bytes, pkt->data, pkt->len);
    block->bytes += pkt->len;
    return true;
}

void packet_block_done(struct packet_block *block)
{
    struct packet_blocks *blocks = block->blocks;

    block->count = 0;
    block->bytes = 0;
    atomic_store(&block->lent, false); /* before the question below: see dispatcher.c */
    if (atomic_load(&blocks->wanted) && atomic_exchange(&blocks->wanted, false)) {
        mailbox_wake(blocks->mailbox);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The queue is D. Vyukov's bounded one: every slot carries the turn in which it may be written or
 * read next, so senders meet only where they take a place, and the receiver meets nobody. */
#include "io/mailbox.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"

struct mail_slot {
    _Atomic uint32_t turn;
    struct mail mail;
};

struct mailbox {
    struct mail_slot *slots;
    uint32_t mask;
    int fd;
    _Atomic uint32_t head; /* where the next sender writes */
    uint32_t tail;         /* where the receiver reads */
};

struct mailbox *mailbox_new(uint32_t capacity)
{
    assert(capacity > 0 && (capacity & (capacity - 1)) == 0);
    struct mailbox *box = mem_new(1, sizeof(*box));
    if (box == NULL) {
        return NULL;
    }
    box->slots = mem_new(capacity, sizeof(*box->slots));
    if (box->slots == NULL) {
        goto free_box;
    }
    box->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (box->fd < 0) {
        goto free_slots;
    }
    box->mask = capacity - 1;
    for (uint32_t i = 0; i < capacity; i++) {
        atomic_init(&box->slots[i].turn, i);
    }
    return box;

free_slots:
    free(box->slots);
free_box:
    free(box);
    return NULL;
}

void mailbox_free(struct mailbox *box)
{
    if (box == NULL) {
        return;
    }
    (void)close(box->fd);
    free(box->slots);
    free(box);
}

int mailbox_fd(const struct mailbox *box)
{
    return box->fd;
}

int mailbox_post(struct mailbox *box, const struct mail *mail)
{
    uint32_t place = atomic_load_explicit(&box->head, memory_order_relaxed);

    for (;;) {
        struct mail_slot *slot = &box->slots[place & box->mask];
        const uint32_t turn = atomic_load_explicit(&slot->turn, memory_order_acquire);
        if (turn == place) {
            if (atomic_compare_exchange_weak_explicit(&box->head, &place, place + 1,
                                                      memory_order_relaxed, memory_order_relaxed)) {
                slot->mail = *mail;
                atomic_store_explicit(&slot->turn, place + 1, memory_order_release);
                mailbox_wake(box);
                return 0;
            }
        } else if ((int32_t)(turn - place) < 0) {
            return -ENOSPC; /* the receiver has not read that slot yet */
        } else {
            place = atomic_load_explicit(&box->head, memory_order_relaxed);
        }
    }
}

void mailbox_wake(struct mailbox *box)
{
    const uint64_t one = 1;
    /* It can fail only when the counter is at its limit: then the receiver is awake anyway. */
    const ssize_t n = write(box->fd, &one, sizeof(one));
    (void)n;
}

void mailbox_quiet(struct mailbox *box)
{
    uint64_t count;
    const ssize_t n = read(box->fd, &count, sizeof(count)); /* EAGAIN: nobody had called */
    (void)n;
}

bool mailbox_take(struct mailbox *box, struct mail *out)
{
    struct mail_slot *slot = &box->slots[box->tail & box->mask];
    const uint32_t turn = atomic_load_explicit(&slot->turn, memory_order_acquire);

    if (turn != box->tail + 1) {
        return false;
    }
    *out = slot->mail;
    atomic_store_explicit(&slot->turn, box->tail + box->mask + 1, memory_order_release);
    box->tail++;
    return true;
}

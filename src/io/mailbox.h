/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded queue of whole messages to one thread, which its loop wakes for.
 *
 * Owner   the receiving thread's owner; it outlives all senders.
 * Thread  mailbox_post() and mailbox_wake(): any; mailbox_take(): the receiver alone. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

struct mailbox;

/* One message, passed by value; what `what` means and who owns it is a matter between the two. */
struct mail {
    uint32_t kind;
    void *what;
};

/* A mailbox for `capacity` messages (a power of two).  NULL without memory or descriptors. */
MUST_USE struct mailbox *mailbox_new(uint32_t capacity);
void mailbox_free(struct mailbox *box);

/* The descriptor that becomes readable when there is something to do. */
int mailbox_fd(const struct mailbox *box);

/* Leave a message.  Returns 0, or -ENOSPC when the mailbox is full.  Never blocks. */
MUST_USE int mailbox_post(struct mailbox *box, const struct mail *mail);

/* Wake the receiver without a message.  Never blocks. */
void mailbox_wake(struct mailbox *box);

/* Forget that the receiver was woken: before the last mailbox_take() of a turn. */
void mailbox_quiet(struct mailbox *box);

/* Take the oldest message; false when there is none. */
bool mailbox_take(struct mailbox *box, struct mail *out);

/* SPDX-License-Identifier: Apache-2.0 */
/* An intrusive doubly linked ring.  A node that is in no list points at itself. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

struct list {
    struct list *next;
    struct list *prev;
};

static inline void list_init(struct list *node)
{
    node->next = node;
    node->prev = node;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

/* Put `node` last.  It must be in no list. */
static inline void list_push(struct list *head, struct list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

/* Take `node` out of its list; harmless when it is in none. */
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* The first node, taken out; NULL when empty. */
static inline struct list *list_shift(struct list *head)
{
    if (list_empty(head)) {
        return NULL;
    }
    struct list *first = head->next;
    list_remove(first);
    return first;
}

/* `node` may not be removed in the body of LIST_EACH; in LIST_EACH_SAFE it may. */
#define LIST_EACH(node, head)                                                                      \
    for (struct list *node = (head)->next; node != (head); node = node->next)
#define LIST_EACH_SAFE(node, head)                                                                 \
    for (struct list *node = (head)->next, *node##_next = node->next; node != (head);              \
         node = node##_next, node##_next = node->next)

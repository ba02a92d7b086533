/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets of a front. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/udp.h"
#include "log/log.h"
#include "offload/steer.h"
#include "relay/front.h"

static uint32_t sockets_wanted(const struct front *front, bool stream)
{
    const bool one = front->engine == FRONT_PAIRED || front->engine == FRONT_DISPATCH;

    return one && !stream ? 1 : front->sockets;
}

static uint32_t ordinal_of(const struct front *front, bool stream)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < front->item_count; i++) {
        count += front->item[i]->spec.stream == stream ? 1 : 0;
    }
    return count;
}

static struct front_item *item_new(const struct front *front, const struct listener_spec *spec)
{
    const uint32_t sockets = sockets_wanted(front, spec->stream);
    struct front_item *item = mem_new(1, sizeof(*item));

    if (item == NULL) {
        return NULL;
    }
    item->spec = *spec;
    item->id = front->item_count;
    item->ordinal = ordinal_of(front, spec->stream);
    item->fd = mem_new(sockets, sizeof(*item->fd));
    item->reader = mem_new(sockets, sizeof(*item->reader));
    item->own_sockets = mem_new(1, sizeof(*item->own_sockets));
    if (item->fd == NULL || item->reader == NULL || item->own_sockets == NULL) {
        front_item_free(item);
        return NULL;
    }
    const uint32_t workers = atomic_load_explicit(&front->workers, memory_order_relaxed);
    for (uint32_t i = 0; i < sockets; i++) {
        atomic_init(&item->reader[i], front_reader_of(front, item, i, workers));
    }
    return item;
}

static int open_one(const struct listener_plan *plan, size_t i, int *out_fd, char *why, size_t cap)
{
    struct udp_port port;

    if (plan->item[i].stream) {
        return listener_open_stream(plan, i, out_fd, why, cap);
    }
    const int err = listener_open(plan, i, &port, why, cap);
    if (err == 0) {
        *out_fd = port.fd;
    }
    return err;
}

void front_close(struct front_item *item)
{
    for (uint32_t i = 0; item->fd != NULL && i < item->sockets; i++) {
        if (item->fd[i] >= 0) {
            (void)close(item->fd[i]);
            item->fd[i] = -1;
        }
    }
}

void front_item_free(struct front_item *item)
{
    front_close(item);
    free(item->own_sockets);
    free(item->fd);
    free(item->reader);
    free(item);
}

/* All of its sockets, or none. */
static int item_open(struct front *front, struct front_item *item, const struct listener_plan *plan,
                     size_t i, char *why, size_t cap)
{
    const uint32_t wanted = sockets_wanted(front, item->spec.stream);
    int err = 0;

    while (err == 0 && item->sockets < wanted) {
        err = open_one(plan, i, &item->fd[item->sockets], why, cap);
        item->sockets += err == 0 ? 1 : 0;
    }
    if (err < 0) {
        front_close(item);
        return err;
    }
    if (front->engine == FRONT_CONNECTED && front->steer == NULL && !item->spec.stream) {
        front_hash_listeners(item->fd[0], item->sockets);
    }
    if (front->steer != NULL && !item->spec.stream) {
        const int refused = steer_attach(front->steer, item->ordinal, item->fd, item->sockets);
        item->steered = refused == 0;
        if (refused < 0) { /* the kernel's hash serves it */
            log_event(LOG_WARNING, "ingress.not_steered", LOG_ADDR("listener", &item->spec.addr),
                      LOG_TEXT("why", strerror(-refused)), LOG_END);
        }
    }
    return 0;
}

static int add_item(struct front *front, const struct listener_plan *plan, size_t i, char *why,
                    size_t cap)
{
    if (front->item_count == LISTENER_MAX) {
        (void)snprintf(why, cap, "more than %d listeners since the start: restart the server",
                       LISTENER_MAX);
        return -ENOSPC;
    }
    struct front_item *item = item_new(front, &plan->item[i]);
    if (item == NULL) {
        (void)snprintf(why, cap, "memory is exhausted");
        return -ENOMEM;
    }
    const int err = item_open(front, item, plan, i, why, cap);
    if (err < 0) {
        front_item_free(item);
        return err;
    }
    front->item[front->item_count++] = item;
    return 0;
}

void front_drop(struct front *front, uint32_t count)
{
    for (; count > 0; count--) {
        struct front_item *item = front->item[--front->item_count];

        front_item_free(item);
    }
}

int front_open(struct front *front, const struct listener_plan *plan, uint32_t *out_added,
               char *why, size_t cap)
{
    uint32_t added = 0;

    for (size_t i = 0; i < plan->count; i++) {
        const struct front_item *old = front_find(front, &plan->item[i].addr, plan->item[i].stream);
        /* A closed TCP listener has no sockets any more: another item takes its place. */
        if (old != NULL && !(old->closed && old->spec.stream)) {
            continue;
        }
        const int err = add_item(front, plan, i, why, cap);
        if (err < 0) {
            front_drop(front, added);
            return err;
        }
        added++;
    }
    *out_added = added;
    return 0;
}

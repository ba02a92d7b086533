/* SPDX-License-Identifier: Apache-2.0 */
/* The listening sockets of a worker: those that it reads, and those by which it answers clients
 * that have come to it some other way. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/udp_batch.h"
#include "relay/listener.h"
#include "relay/worker_int.h"

static int grow(struct worker *w, size_t count)
{
    struct worker_listener **slots = mem_new(count, sizeof(struct worker_listener *));

    if (slots == NULL) {
        return -ENOMEM;
    }
    if (w->slot_count > 0) {
        memcpy(slots, w->slots, w->slot_count * sizeof(struct worker_listener *));
    }
    free(w->slots);
    w->slots = slots;
    w->slot_count = count;
    return 0;
}

static bool is_mixed(const struct listener_spec *spec)
{
    return spec->secure || spec->proxy || !spec->plain;
}

static struct worker_listener *slot_new(struct worker *w, const struct front_item *item,
                                        uint32_t socket)
{
    const struct listener_spec *spec = &item->spec;
    struct worker_listener *slot = mem_new(1, sizeof(*slot));

    if (slot == NULL) {
        return NULL;
    }
    slot->item = item;
    slot->spec = spec;
    slot->socket = socket;
    udp_adopt(&slot->port, spec->stream ? -1 : item->fd[socket], &spec->addr, false);
    slot->port.role = is_mixed(spec) ? WORKER_MIXED_LISTENER : WORKER_LISTENER;
    slot->port.watch.fn = path_ready;
    /* Records, and headers of balancers, want each packet by itself. */
    slot->port.gro_never = is_mixed(spec);
    slot->port.closing = true;
    slot->stream.handler = &client_stream_handler;
    slot->stream.owner = spec;
    slot->stream.balanced = spec->proxy;
    slot->stream.fd = -1;
    client_dtls_listen(w, slot);
    return slot;
}

struct worker_listener *worker_slot(struct worker *w, const struct front_item *item,
                                    uint32_t socket)
{
    const size_t sockets = w->env->front->sockets;
    const size_t i = item->id * sockets + socket;

    if (i >= w->slot_count && grow(w, (item->id + 1) * sockets) < 0) {
        return NULL;
    }
    if (w->slots[i] == NULL) {
        w->slots[i] = slot_new(w, item, socket);
    }
    return w->slots[i];
}

static int read_stream(struct worker *w, struct worker_listener *slot)
{
    slot->stream.fd = slot->item->fd[slot->socket];
    const int err = stream_listen(w->streams, &slot->stream);
    if (err < 0) {
        slot->stream.fd = -1;
    }
    return err;
}

static int read_udp(struct worker *w, struct worker_listener *slot)
{
    slot->port.readable = false;
    const int err = loop_add(w->loop, slot->port.fd, true, &slot->port.watch);
    slot->port.closing = err < 0;
    return err;
}

int worker_read(struct worker *w, const struct front_item *item, uint32_t socket)
{
    struct worker_listener *slot = worker_slot(w, item, socket);

    if (slot == NULL) {
        return -ENOMEM;
    }
    return item->spec.stream ? read_stream(w, slot) : read_udp(w, slot);
}

void worker_unread(struct worker *w, struct worker_listener *slot)
{
    if (slot->spec->stream) {
        if (slot->stream.fd >= 0) {
            loop_remove(w->loop, slot->stream.fd);
            list_remove(&slot->stream.ready);
            slot->stream.fd = -1;
        }
        return;
    }
    if (!slot->port.closing) {
        loop_remove(w->loop, slot->port.fd);
        list_remove(&slot->port.ready);
        slot->port.closing = true;
        slot->port.readable = false;
    }
}

void worker_close_item(struct worker *w, const struct front_item *item, bool closed)
{
    for (uint32_t i = 0; i < item->sockets; i++) {
        struct worker_listener *slot = worker_slot(w, item, i);

        if (slot == NULL) {
            continue;
        }
        slot->closed = closed;
        if (closed && item->spec.stream) {
            worker_unread(w, slot);
        }
    }
}

void worker_free_slots(struct worker *w)
{
    for (size_t i = 0; i < w->slot_count; i++) {
        if (w->slots[i] != NULL) {
            worker_unread(w, w->slots[i]);
            free(w->slots[i]);
        }
    }
    free(w->slots);
}

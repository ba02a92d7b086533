/* SPDX-License-Identifier: Apache-2.0 */
/* io_uring: one multishot receive a socket over one ring of provided buffers, sends in batches, one
 * enter a turn. */
#include "forwarder.h"

#ifdef HAVE_LIBURING

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum {
    ENTRIES = 4096,
    COMPLETIONS = 4 * ENTRIES,
    BUFFERS = 4096,
    SIZE = 2048,
    ROOM = 64, /* in front of what is received, for the head */
    GROUP = 0,
    PAGE = 4096,
};

/* What a completion is of. */
enum { OF_LISTENER = 1, OF_RELAY, OF_SEND };

struct uring {
    struct forwarder *f;
    struct io_uring ring;
    struct io_uring_buf_ring *buffers;
    uint8_t *area;
    struct msghdr shape; /* of what the listener receives */
    struct sockaddr_in *client;
    struct sockaddr_in *peer;
    int returned; /* buffers since the last advance */
};

static uint64_t tag(unsigned of, uint32_t value)
{
    return (uint64_t)of << 32 | value;
}

static uint8_t *buffer_at(const struct uring *u, uint32_t id)
{
    return u->area + (size_t)id * SIZE + ROOM;
}

static void give_back(struct uring *u, uint32_t id)
{
    io_uring_buf_ring_add(u->buffers, buffer_at(u, id), SIZE - ROOM, (unsigned short)id,
                          io_uring_buf_ring_mask(BUFFERS), u->returned++);
}

static struct io_uring_sqe *next_sqe(struct uring *u)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

    if (sqe == NULL) {
        (void)io_uring_submit(&u->ring);
        sqe = io_uring_get_sqe(&u->ring);
    }
    if (sqe == NULL) {
        forwarder_die("submission queue");
    }
    return sqe;
}

static void select_buffers(struct io_uring_sqe *sqe, uint64_t data)
{
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    io_uring_sqe_set_data64(sqe, data);
}

static void watch_listener(struct uring *u)
{
    struct io_uring_sqe *sqe = next_sqe(u);

    io_uring_prep_recvmsg_multishot(sqe, u->f->listener, &u->shape, 0);
    select_buffers(sqe, tag(OF_LISTENER, 0));
}

static void watch_relay(struct uring *u, uint32_t flow)
{
    struct io_uring_sqe *sqe = next_sqe(u);

    io_uring_prep_recv_multishot(sqe, u->f->relay_fd[flow], NULL, 0, 0);
    select_buffers(sqe, tag(OF_RELAY, flow));
}

static void send_to(struct uring *u, int fd, const struct sockaddr_in *to, const uint8_t *p,
                    uint32_t n, uint32_t buffer)
{
    struct io_uring_sqe *sqe = next_sqe(u);

    io_uring_prep_send(sqe, fd, p, n, MSG_DONTWAIT);
    io_uring_prep_send_set_addr(sqe, (const struct sockaddr *)to, sizeof(*to));
    io_uring_sqe_set_data64(sqe, tag(OF_SEND, buffer));
}

/* From a client: its address stands before the packet in the buffer. */
static void to_peer(struct uring *u, const struct io_uring_cqe *cqe, uint32_t id)
{
    struct io_uring_recvmsg_out *out =
        io_uring_recvmsg_validate(buffer_at(u, id), cqe->res, &u->shape);
    struct sockaddr_in from;

    if (out == NULL) {
        give_back(u, id);
        return;
    }
    memcpy(&from, io_uring_recvmsg_name(out), sizeof(from));
    const uint32_t flow = (uint32_t)ntohs(from.sin_port) - (uint32_t)ntohs(u->f->client.sin_port);
    const uint32_t n = io_uring_recvmsg_payload_length(out, cqe->res, &u->shape);
    const uint8_t *p = io_uring_recvmsg_payload(out, &u->shape);
    if (flow >= u->f->flows || n < FORWARDER_HEAD || be16(p) != FORWARDER_CHANNEL) {
        give_back(u, id);
        return;
    }
    send_to(u, u->f->relay_fd[flow], &u->peer[flow], p + FORWARDER_HEAD, n - FORWARDER_HEAD, id);
}

static void to_client(struct uring *u, uint32_t flow, uint32_t n, uint32_t id)
{
    uint8_t *head = buffer_at(u, id) - FORWARDER_HEAD;

    be16_put(head, FORWARDER_CHANNEL);
    be16_put(head + 2, (uint16_t)n);
    send_to(u, u->f->listener, &u->client[flow], head, n + FORWARDER_HEAD, id);
}

static void on_completion(struct uring *u, const struct io_uring_cqe *cqe)
{
    const uint32_t of = (uint32_t)(cqe->user_data >> 32);
    const uint32_t value = (uint32_t)cqe->user_data;
    const uint32_t id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;

    if (of == OF_SEND) {
        give_back(u, value);
        return;
    }
    if (cqe->res < 0 && cqe->res != -ENOBUFS) {
        errno = -cqe->res;
        forwarder_die("receive");
    }
    if (cqe->res >= 0 && of == OF_LISTENER) {
        to_peer(u, cqe, id);
    } else if (cqe->res >= 0) {
        to_client(u, value, (uint32_t)cqe->res, id);
    }
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        if (of == OF_LISTENER) {
            watch_listener(u);
        } else {
            watch_relay(u, value);
        }
    }
}

static void start(struct uring *u)
{
    struct io_uring_params params;
    struct io_uring_buf_reg provided;

    memset(&params, 0, sizeof(params));
    params.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    params.cq_entries = COMPLETIONS;
    if (io_uring_queue_init_params(ENTRIES, &u->ring, &params) < 0) {
        forwarder_die("io_uring");
    }
    u->buffers = aligned_alloc(PAGE, BUFFERS * sizeof(struct io_uring_buf));
    u->area = malloc((size_t)BUFFERS * SIZE);
    u->client = calloc(u->f->flows, sizeof(*u->client));
    u->peer = calloc(u->f->flows, sizeof(*u->peer));
    if (u->buffers == NULL || u->area == NULL || u->client == NULL || u->peer == NULL) {
        forwarder_die("memory");
    }
    memset(&provided, 0, sizeof(provided));
    provided.ring_addr = (uintptr_t)u->buffers;
    provided.ring_entries = BUFFERS;
    provided.bgid = GROUP;
    if (io_uring_register_buf_ring(&u->ring, &provided, 0) < 0) {
        forwarder_die("buffer ring");
    }
    io_uring_buf_ring_init(u->buffers);
    for (uint32_t i = 0; i < BUFFERS; i++) {
        give_back(u, i);
    }
    io_uring_buf_ring_advance(u->buffers, u->returned);
    u->returned = 0;
    u->shape.msg_namelen = sizeof(struct sockaddr_in);
    watch_listener(u);
    for (uint32_t i = 0; i < u->f->flows; i++) {
        u->client[i] = forwarder_address(&u->f->client, i);
        u->peer[i] = forwarder_address(&u->f->peer, i);
        watch_relay(u, i);
    }
}

void forwarder_uring_run(struct forwarder *f, void (*ready)(void))
{
    static struct uring u;

    u.f = f;
    start(&u);
    (void)io_uring_submit(&u.ring);
    ready();
    for (;;) {
        struct io_uring_cqe *cqe;
        unsigned head;
        unsigned seen = 0;

        (void)io_uring_submit_and_wait(&u.ring, 1);
        io_uring_for_each_cqe(&u.ring, head, cqe)
        {
            on_completion(&u, cqe);
            seen++;
        }
        io_uring_cq_advance(&u.ring, seen);
        io_uring_buf_ring_advance(u.buffers, u.returned);
        u.returned = 0;
    }
}

#else

#include <errno.h>

void forwarder_uring_run(struct forwarder *f, void (*ready)(void))
{
    (void)f;
    (void)ready;
    errno = ENOSYS;
    forwarder_die("built without liburing");
}

#endif

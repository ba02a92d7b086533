/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_tx.h"

#include <assert.h>
#include <errno.h>
#include <linux/udp.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/udp_control.h"

enum {
    VECS_A_PACKET = 3,
    VECS = 2 * BENCH_TX_SEGMENTS * VECS_A_PACKET, /* of a whole batch */
    ARENA = 128 * 1024,
    SMALL = 400,  /* packets up to this are written whole: that costs less than two pieces each */
    CONTROL = 64, /* IPV6_PKTINFO: 40, UDP_SEGMENT: 24 */
};

/* What belongs to one message besides its header. */
struct message {
    enum bench_way way;
    uint32_t size;       /* of a packet on the wire */
    uint32_t packets;    /* 0: a request */
    uint32_t source_len; /* bytes of control messages that tell where it comes from */
    uint64_t bytes;      /* on the wire */
    uint64_t payload;    /* of the application */
    uint32_t first_body; /* payload of the first packet: all have it but the last */
    _Alignas(struct cmsghdr) uint8_t control[CONTROL];
};

struct bench_tx {
    const uint8_t *body;
    bench_tx_fn fn;
    void *arg;
    struct bench_socket *socket; /* of the batch; NULL when nothing is queued */
    struct bench_tx_way way;     /* of the burst under way */
    uint32_t size;
    uint32_t count;
    uint32_t vec_count;
    uint32_t arena_len;
    struct mmsghdr head[BENCH_TX_BATCH];
    struct message message[BENCH_TX_BATCH];
    struct iovec vec[VECS];
    uint8_t arena[ARENA]; /* heads, and whole small packets */
    uint8_t request[BENCH_TX_BATCH][BENCH_TX_REQUEST];
};

static uint8_t zeros[4];

struct bench_tx *bench_tx_new(const uint8_t *body, bench_tx_fn fn, void *arg)
{
    struct bench_tx *tx = mem_new(1, sizeof(*tx));

    if (tx != NULL) {
        tx->body = body;
        tx->fn = fn;
        tx->arg = arg;
    }
    return tx;
}

void bench_tx_free(struct bench_tx *tx)
{
    free(tx);
}

/* Begin another message of the burst under way. */
static struct message *open_message(struct bench_tx *tx)
{
    const struct bench_tx_way *way = &tx->way;

    if (tx->socket != way->socket || tx->count == BENCH_TX_BATCH) {
        bench_tx_flush(tx);
    }
    struct message *m = &tx->message[tx->count];
    struct msghdr *head = &tx->head[tx->count].msg_hdr;
    tx->socket = way->socket;
    tx->count++;
    m->way = way->way;
    m->size = tx->size;
    m->packets = 0;
    m->bytes = 0;
    m->payload = 0;
    *head = (struct msghdr){
        .msg_iov = &tx->vec[tx->vec_count],
        .msg_control = m->control,
    };
    if (way->to != NULL) {
        union {
            const struct sockaddr *in;
            void *out;
        } name = {.in = &way->to->at.sa}; /* sendmsg() does not write there */

        head->msg_name = name.out;
        head->msg_namelen = way->to->len;
    }
    if (way->source != NULL) {
        udp_control_source(head, way->source, 0);
    }
    m->source_len = (uint32_t)head->msg_controllen;
    return m;
}

void bench_tx_begin(struct bench_tx *tx, const struct bench_tx_way *way, uint32_t size)
{
    tx->way = *way;
    tx->size = size;
    (void)open_message(tx);
}

/* The message that the next packet goes to: a burst may need several. */
static struct message *message_for(struct bench_tx *tx)
{
    struct message *m = tx->count == 0 ? NULL : &tx->message[tx->count - 1];

    if (tx->vec_count + VECS_A_PACKET > VECS || tx->arena_len + SMALL > ARENA) {
        bench_tx_flush(tx);
        return open_message(tx);
    }
    if (m == NULL || (m->packets > 0 && (!tx->way.socket->gso || m->packets == BENCH_TX_SEGMENTS ||
                                         m->bytes + m->size > BENCH_TX_BYTES))) {
        return open_message(tx);
    }
    return m;
}

static void add_vec(struct bench_tx *tx, const uint8_t *p, uint32_t n)
{
    union {
        const uint8_t *in;
        void *out;
    } base = {.in = p};

    tx->vec[tx->vec_count++] = (struct iovec){.iov_base = base.out, .iov_len = n};
    tx->head[tx->count - 1].msg_hdr.msg_iovlen++;
}

/* Append `n` bytes of the arena, behind those that the message ends with if they lie there. */
static uint8_t *add_arena(struct bench_tx *tx, uint32_t n)
{
    struct msghdr *head = &tx->head[tx->count - 1].msg_hdr;
    uint8_t *room = tx->arena + tx->arena_len;
    struct iovec *last = head->msg_iovlen == 0 ? NULL : &head->msg_iov[head->msg_iovlen - 1];

    if (last != NULL && (uint8_t *)last->iov_base + last->iov_len == room) {
        last->iov_len += n;
    } else {
        add_vec(tx, room, n);
    }
    tx->arena_len += n;
    return room;
}

uint8_t *bench_tx_packet(struct bench_tx *tx, uint32_t head, uint32_t body, uint32_t pad,
                         uint32_t payload)
{
    struct message *m = message_for(tx);
    const bool small = head + body + pad <= SMALL;

    assert(head <= BENCH_TX_HEAD && pad < 4);
    uint8_t *room = add_arena(tx, small ? head + body + pad : head);
    if (small) {
        memcpy(room + head, tx->body, body);
        memset(room + head + body, 0, pad);
    } else {
        add_vec(tx, tx->body, body);
    }
    if (!small && pad > 0) {
        add_vec(tx, zeros, pad);
    }
    if (m->packets == 0) {
        m->first_body = payload;
    }
    m->packets++;
    m->bytes += head + body + pad;
    m->payload += payload;
    return room;
}

void bench_tx_request(struct bench_tx *tx, const struct bench_tx_way *way, const uint8_t *request,
                      uint32_t n)
{
    tx->way = *way;
    tx->size = n;
    (void)open_message(tx);
    if (tx->vec_count == VECS) {
        bench_tx_flush(tx);
        (void)open_message(tx);
    }
    uint8_t *room = tx->request[tx->count - 1];
    assert(n <= sizeof(tx->request[0]));
    memcpy(room, request, n);
    add_vec(tx, room, n);
}

static void tell(struct bench_tx *tx, const struct message *m, bool sent, int err)
{
    if (m->packets == 0) {
        return;
    }
    tx->fn(tx->arg, &(const struct bench_tx_outcome){
                        .way = m->way,
                        .sent = sent ? m->packets : 0,
                        .unsent = sent ? 0 : m->packets,
                        .bytes = sent ? m->payload : 0,
                        .err = err,
                    });
}

/* One message; once more when the error was that of an earlier one (an ICMP message that came). */
static int send_one(struct bench_tx *tx, const struct msghdr *head)
{
    int err = 0;

    for (int tries = 0; tries < 2; tries++) {
        if (sendmsg(tx->socket->fd, head, MSG_DONTWAIT) >= 0) {
            return 0;
        }
        err = -errno;
        if (err != -ECONNREFUSED && err != -EINTR) {
            break;
        }
    }
    return err;
}

/* Take the first `n` bytes, at most, off the pieces at `*from`, which are `*count`, into `to`.
 * Returns how many pieces they are. */
static size_t cut(struct iovec **from, size_t *count, size_t n, struct iovec *to)
{
    size_t pieces = 0;

    while (*count > 0 && n > 0) {
        struct iovec *piece = *from;
        const size_t take = piece->iov_len < n ? piece->iov_len : n;
        to[pieces++] = (struct iovec){.iov_base = piece->iov_base, .iov_len = take};
        n -= take;
        piece->iov_base = (uint8_t *)piece->iov_base + take;
        piece->iov_len -= take;
        if (piece->iov_len == 0) {
            (*from)++;
            (*count)--;
        }
    }
    return pieces;
}

/* A burst that the kernel does not take as one: its packets, one by one. */
static void send_apart(struct bench_tx *tx, const struct message *m, const struct msghdr *burst)
{
    struct iovec *from = burst->msg_iov;
    size_t count = burst->msg_iovlen;
    struct iovec pieces[VECS_A_PACKET];
    struct msghdr head = *burst;

    head.msg_controllen = m->source_len;
    while (count > 0) {
        head.msg_iovlen = cut(&from, &count, m->size, pieces);
        head.msg_iov = pieces;
        const int err = send_one(tx, &head);
        tell(tx, &(const struct message){.way = m->way, .packets = 1, .payload = m->first_body},
             err == 0, err);
    }
}

static bool may_be_gso(int err)
{
    return err == -EIO || err == -EINVAL || err == -EMSGSIZE || err == -EOPNOTSUPP;
}

/* Message `i` was refused in a batch: try it alone, then in pieces. */
static void send_refused(struct bench_tx *tx, uint32_t i)
{
    const struct message *m = &tx->message[i];
    const int err = send_one(tx, &tx->head[i].msg_hdr);

    if (m->packets > 1 && may_be_gso(err)) {
        tx->socket->gso = false;
        send_apart(tx, m, &tx->head[i].msg_hdr);
        return;
    }
    tell(tx, m, err == 0, err);
}

/* Leave out empty messages, and say how long the segments of bursts are. */
static void seal(struct bench_tx *tx)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < tx->count; i++) {
        struct msghdr *head = &tx->head[i].msg_hdr;
        struct message *m = &tx->message[i];
        if (head->msg_iovlen == 0) {
            continue;
        }
        if (m->packets > 1) {
            const uint16_t size = (uint16_t)m->size;
            udp_control_add(head, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
        }
        if (head->msg_controllen == 0) {
            head->msg_control = NULL;
        }
        if (kept != i) {
            struct message copy = *m;
            tx->message[kept] = copy;
            tx->head[kept] = tx->head[i];
            if (head->msg_control != NULL) {
                tx->head[kept].msg_hdr.msg_control = tx->message[kept].control;
            }
        }
        kept++;
    }
    tx->count = kept;
}

static void send_all(struct bench_tx *tx)
{
    uint32_t i = 0;

    while (i < tx->count) {
        const int n =
            tx->count - i == 1
                ? (sendmsg(tx->socket->fd, &tx->head[i].msg_hdr, MSG_DONTWAIT) < 0 ? -1 : 1)
                : sendmmsg(tx->socket->fd, &tx->head[i], tx->count - i, MSG_DONTWAIT);
        if (n > 0) {
            for (int k = 0; k < n; k++) {
                tell(tx, &tx->message[i + (uint32_t)k], true, 0);
            }
            i += (uint32_t)n;
        } else {
            send_refused(tx, i++);
        }
    }
}

void bench_tx_flush(struct bench_tx *tx)
{
    if (tx->socket != NULL) {
        seal(tx);
        send_all(tx);
    }
    tx->socket = NULL;
    tx->count = 0;
    tx->vec_count = 0;
    tx->arena_len = 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Clients on connections, plain or under TLS: what their first bytes say they speak, and their
 * messages, one by one, to the core.
 *
 * ChannelData goes to the peer from where it was read; everything is sent before input() returns.
 */
#include <errno.h>
#include <string.h>

#include "base/prefix_set.h"
#include "io/tls.h"
#include "io/udp_batch.h"
#include "log/log.h"
#include "relay/listener.h"
#include "relay/settings.h"
#include "relay/worker_int.h"
#include "wire/demux.h"
#include "wire/http_hint.h"
#include "wire/proxy_header.h"
#include "wire/stream_frame.h"
#include "wire/stun_msg.h"

enum {
    MOVES_MAX = 4,
    HOPS_MAX = 8,
    BAD_MAX = 32, /* RFC 5766 section 4: a long run of nonsense closes the connection */
    TLS_HANDSHAKE = 22,
};

static struct five_tuple tuple_of(const struct stream *s)
{
    return (struct five_tuple){
        .client = *stream_remote(s),
        .server = *stream_local(s),
        .protocol = stream_ssl(s) != NULL ? NET_TLS : NET_TCP,
    };
}

static const struct listener_spec *spec_of(const struct stream *s)
{
    const struct stream_listener *listener = stream_listener_of(s);

    return listener != NULL ? listener->owner : NULL;
}

/* --- the first bytes ----------------------------------------------------------------------------
 */

/* What a step has done with the bytes it was given. */
enum step { STEP_ON, STEP_MORE, STEP_STOP, STEP_LEAVE };

/* The header of a balancer that is listed; anybody else's word about addresses is worth nothing. */
static enum step read_proxy_header(struct worker *w, struct stream *s, struct bytes in,
                                   size_t *out_done)
{
    struct client_stream *client = stream_owner(s);
    struct proxy_header header;

    if (prefix_set_find(w->settings->proxy_from, &stream_remote(s)->ip) == 0) {
        stats_add(&w->count.proxy_refused, 1);
        stream_fail(s);
        return STEP_STOP;
    }
    const int err = proxy_header_decode(in, &header);
    if (err == -EAGAIN) {
        return STEP_MORE;
    }
    if (err < 0 || header.datagram ||
        (!header.local && !stream_set_addresses(s, &header.source, &header.destination))) {
        stats_add(&w->count.proxy_refused, 1);
        stream_fail(s);
        return STEP_STOP;
    }
    *out_done += header.len;
    client->phase = CLIENT_FIRST;
    return STEP_ON;
}

static enum step begin_tls(struct worker *w, struct stream *s, const struct listener_spec *spec)
{
    SSL_CTX *context = w->settings->tls != NULL
                           ? tls_set_context(w->settings->tls, TLS_STREAM, spec->tls_name)
                           : NULL;

    if (context == NULL || stream_start_tls(s, context) == -ENOMEM) {
        stream_close(s, false);
    }
    return STEP_STOP;
}

static enum step read_first(struct worker *w, struct stream *s, struct bytes in)
{
    struct client_stream *client = stream_owner(s);
    const struct listener_spec *spec = spec_of(s);
    const bool secured = stream_ssl(s) != NULL;

    if (spec == NULL) { /* it has come from another worker, in the middle of things */
        client->phase = CLIENT_MESSAGES;
        return STEP_ON;
    }
    if (!secured && spec->secure && in.p[0] == TLS_HANDSHAKE) {
        return begin_tls(w, s, spec);
    }
    if (http_hint_is(in)) {
        client->phase = CLIENT_HTTP;
        return STEP_ON;
    }
    if (!secured && !spec->plain) {
        stream_fail(s);
        return STEP_STOP;
    }
    client->discovery = secured && tls_is_discovery(stream_ssl(s));
    client->phase = CLIENT_MESSAGES;
    return STEP_ON;
}

static enum step answer_http(struct worker *w, struct stream *s, struct bytes in)
{
    struct pkt *pkt = path_place(w);
    const int len =
        http_hint_answer(in, w->settings->acme_redirect, (char *)pkt->data, (size_t)pkt->cap);

    if (len == -EAGAIN) {
        return STEP_MORE;
    }
    if (len > 0) {
        (void)stream_send(s, STREAM_CONTROL, pkt->data, (uint32_t)len);
        streams_flush(w->streams);
    }
    stats_add(&w->count.http_hints, 1);
    stream_finish(s);
    return STEP_STOP;
}

/* --- messages -----------------------------------------------------------------------------------
 */

/* Only Binding passes where stun.nat-discovery was negotiated (RFC 7301 section 3.2). */
static bool is_allowed(const struct client_stream *client, const uint8_t *message)
{
    return !client->discovery || stun_is_binding(message);
}

/* A ConnectionBind is judged where the connection it names lives. */
static bool moves_away(struct worker *w, struct stream *s, const uint8_t *data, uint32_t len,
                       size_t rest)
{
    struct client_stream *client = stream_owner(s);
    uint32_t owner;

    if (data[0] != 0 || data[1] != STUN_CONNECTION_BIND || client->moves >= MOVES_MAX ||
        !turn_connection_owner((struct bytes){data, len}, front_workers_max(w->env->front),
                               &owner) ||
        owner == w->index || owner >= front_made(w->env->front)) {
        return false;
    }
    const struct five_tuple tuple = tuple_of(s);
    if (turn_server_has_allocation(w->core, &tuple)) {
        return false;
    }
    client->moves++;
    path_flush(w); /* the answers to what came before it */
    struct stream_parcel *parcel = stream_detach(s, data, rest);
    if (parcel == NULL) {
        return false; /* something is unsent: here its id is unknown, and it may come again */
    }
    worker_give_stream(w->env->workers[owner], parcel);
    return true;
}

/* The ticket's session (RFC 8016) is another worker's, and stays there: the connection goes to it,
 * with the message and all behind it.  False: it cannot. */
static bool leaves(struct worker *w, struct stream *s, const uint8_t *data, size_t rest)
{
    struct client_stream *client = stream_owner(s);
    const uint32_t owner = turn_server_elsewhere(w->core);

    if (client->hops >= HOPS_MAX || owner >= front_made(w->env->front)) {
        return false;
    }
    client->hops++;
    path_flush(w); /* the answers to what came before it */
    struct stream_parcel *parcel = stream_detach(s, data, rest);
    if (parcel == NULL) {
        return false; /* its client takes no answers */
    }
    worker_give_stream(w->env->workers[owner], parcel);
    return true;
}

static struct pkt *packet_of(struct worker *w, struct stream *s, uint8_t *data, uint32_t len)
{
    struct pkt *pkt = path_place(w);

    pkt->remote = *stream_remote(s);
    pkt->local = *stream_local(s);
    pkt->transport = stream_ssl(s) != NULL ? NET_TLS : NET_TCP;
    pkt->port = s;
    pkt->len = len;
    if (demux_first_byte(data[0]) == DEMUX_STUN) {
        memcpy(pkt->data, data, len); /* an answer takes its place, with room behind it */
    } else {
        pkt->data = data;
    }
    return pkt;
}

/* It has proven nothing yet, or waits: the request stays where it is, and comes again. */
static enum step wait_for_key(struct worker *w, struct stream *s)
{
    struct client_stream *client = stream_owner(s);

    stream_pause(s);
    list_push(&w->waiting, &client->waiting);
    return STEP_STOP;
}

/* Messages that no client has a reason to send. */
static bool is_nonsense(enum drop why)
{
    return why == DROP_BAD_MESSAGE || why == DROP_BAD_FINGERPRINT || why == DROP_UNKNOWN_METHOD ||
           why == DROP_BAD_CLASS || why == DROP_STRAY_RESPONSE || why == DROP_BAD_INDICATION;
}

static enum step judge_nonsense(struct stream *s, bool nonsense)
{
    struct client_stream *client = stream_owner(s);

    client->bad = nonsense ? client->bad + 1 : 0;
    if (client->bad < BAD_MAX) {
        return STEP_ON;
    }
    stream_fail(s);
    return STEP_STOP;
}

/* From here on the connection carries the peer's bytes: the response leaves first. */
static enum step relay_peer(struct worker *w, struct stream *s)
{
    struct client_stream *client = stream_owner(s);
    struct stream *peer = w->bind_peer;

    w->bind_peer = NULL;
    client->relayed = true;
    path_flush(w);
    stream_splice(s, peer, w->settings->splice_idle_ms);
    return STEP_STOP;
}

/* One whole message; STEP_STOP: no more of them now.  `*out_taken`: it is done with. */
static enum step serve_message(struct worker *w, struct stream *s, uint8_t *data, uint32_t len,
                               bool *out_taken)
{
    struct client_stream *client = stream_owner(s);
    struct pkt *pkt = packet_of(w, s, data, len);

    *out_taken = true;
    switch (turn_server_client_packet(w->core, pkt, w->now_ms)) {
    case TURN_TO_PEER:
        path_to_peer(w, pkt);
        break;
    case TURN_TO_CLIENT:
        path_to_client(w, pkt, STREAM_CONTROL);
        if (w->bind_peer != NULL) {
            return relay_peer(w, s);
        }
        break;
    case TURN_WAIT:
        *out_taken = false;
        return wait_for_key(w, s);
    case TURN_ELSEWHERE:
        *out_taken = false;
        return STEP_LEAVE;
    case TURN_DROP: /* the core has counted why */
        if (turn_server_last_drop(w->core) == DROP_ELSEWHERE && client->hops < HOPS_MAX) {
            client->hops++;
            *out_taken = false;
            return wait_for_key(w, s); /* for the letter that its session comes with */
        }
        return judge_nonsense(s, is_nonsense(turn_server_last_drop(w->core)));
    case TURN_LATER:
    default:
        break;
    }
    client->hops = 0;
    return judge_nonsense(s, false);
}

/* A STUN message is copied to a place of the batch; none that is of use is longer. */
static bool is_too_long(uint8_t first, uint32_t len)
{
    return demux_first_byte(first) == DEMUX_STUN && len > UDP_PKT_CAP;
}

/* All whole messages of `in`.  How many bytes are done with. */
static size_t read_messages(struct worker *w, struct stream *s, uint8_t *data, size_t len)
{
    const struct client_stream *client = stream_owner(s);
    size_t done = 0;

    while (done < len) {
        uint32_t message;
        uint32_t taken;
        bool finished = true;
        const int err =
            stream_frame_next((struct bytes){data + done, len - done}, &message, &taken);
        if (err == -EAGAIN) {
            break;
        }
        if (err < 0 || is_too_long(data[done], message)) {
            stream_fail(s);
            break;
        }
        stream_proven(s);
        if (!is_allowed(client, data + done)) {
            done += taken;
            continue;
        }
        if (moves_away(w, s, data + done, message, len - done)) {
            break;
        }
        const enum step step = serve_message(w, s, data + done, message, &finished);
        if (step == STEP_LEAVE) {
            if (!leaves(w, s, data + done, len - done)) {
                stream_fail(s); /* on a connection nobody asks again: let it come on a new one */
            }
            break;
        }
        done += finished ? taken : 0;
        if (step == STEP_STOP) {
            break;
        }
    }
    path_flush(w);
    return done;
}

static size_t on_input(void *arg, struct stream *s, uint8_t *data, size_t len)
{
    struct worker *w = arg;
    struct client_stream *client = stream_owner(s);
    enum step step = STEP_ON;
    size_t done = 0;

    while (step == STEP_ON && done < len) {
        const struct bytes in = {data + done, len - done};
        switch ((enum client_phase)client->phase) {
        case CLIENT_PROXY_HEADER:
            step = read_proxy_header(w, s, in, &done);
            break;
        case CLIENT_FIRST:
            step = read_first(w, s, in);
            break;
        case CLIENT_HTTP:
            step = answer_http(w, s, in);
            break;
        case CLIENT_MESSAGES:
        default:
            return done + read_messages(w, s, data + done, len - done);
        }
    }
    return done;
}

/* --- life ---------------------------------------------------------------------------------------
 */

static void on_opened(void *arg, struct stream *s)
{
    struct worker *w = arg;
    struct client_stream *client = stream_owner(s);
    const struct listener_spec *spec = spec_of(s);

    list_init(&client->waiting);
    client->phase = CLIENT_FIRST;
    if (spec != NULL && spec->proxy) {
        client->phase = CLIENT_PROXY_HEADER;
    }
    stream_set_idle(s, w->settings->client_idle_ms);
}

static bool on_idle(void *arg, struct stream *s)
{
    const struct worker *w = arg;
    const struct five_tuple tuple = tuple_of(s);

    return !turn_server_has_allocation(w->core, &tuple);
}

/* Clients come and go; what they, or somebody between, did wrong is worth a line with its source.
 */
static enum log_level close_level(enum stream_close why)
{
    return why == STREAM_CLOSE_EOF || why == STREAM_CLOSE_LOCAL || why == STREAM_CLOSE_RESET ||
                   why == STREAM_CLOSE_IDLE
               ? LOG_DEBUG
               : LOG_INFO;
}

static void on_closed(void *arg, struct stream *s, enum stream_close why)
{
    struct worker *w = arg;
    struct client_stream *client = stream_owner(s);
    const struct five_tuple tuple = tuple_of(s);

    stats_add(&w->count.closed[why], 1);
    if (log_enabled(close_level(why))) {
        log_event(close_level(why), "connection.closed", LOG_ADDR("client", stream_remote(s)),
                  LOG_TEXT("why", stream_close_text(why)),
                  LOG_TEXT("transport", tuple.protocol == NET_TLS ? "tls" : "tcp"),
                  LOG_ADDR("server", stream_local(s)), LOG_END);
    }
    list_remove(&client->waiting);
    if (!client->relayed) {
        turn_server_client_closed(w->core, &tuple, s, w->now_ms);
    }
}

/* Its bytes are the account of the peer's side, which is the core's. */
static uint32_t on_pace(void *arg, struct stream *s, struct stream *twin, size_t bytes)
{
    (void)s;
    return tcp_relay_pace(arg, twin, true, bytes);
}

const struct stream_handler client_stream_handler = {
    .pace = on_pace,
    .opened = on_opened,
    .input = on_input,
    .idle = on_idle,
    .closed = on_closed,
};

void client_stream_resume(struct worker *w)
{
    struct list waiting;
    struct list *node;

    list_init(&waiting);
    while ((node = list_shift(&w->waiting)) != NULL) {
        list_push(&waiting, node);
    }
    while ((node = list_shift(&waiting)) != NULL) {
        struct client_stream *client = CONTAINER_OF(node, struct client_stream, waiting);
        stream_resume(stream_of_owner(client));
    }
}

struct stream *client_stream_adopt(struct worker *w, struct stream_parcel *parcel)
{
    struct stream *s = stream_attach(w->streams, parcel, &client_stream_handler);

    if (s != NULL) {
        struct client_stream *client = stream_owner(s);
        list_init(&client->waiting);
        stream_set_idle(s, w->settings->client_idle_ms);
    }
    return s;
}

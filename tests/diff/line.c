/* SPDX-License-Identifier: Apache-2.0 */
#include "diff/line.h"

#include <string.h>

#include "check.h"

void line_begin(struct paths *paths, struct kernel *kernel, const struct paths_options *options,
                struct client *client)
{
    paths_start(paths, kernel, options);
    client_init(client, &paths->world, "192.0.2.99:1", "user", "password");
    client->auth = CLIENT_NO_AUTH;
}

struct line line_bind(struct client *client, uint8_t family, uint8_t peer_family, uint16_t nth)
{
    struct line line = {
        .client = world_addr(family == NET_V4 ? "198.51.100.7:1000" : "[2001:db8:1::107]:1000"),
        .peer = world_addr(peer_family == NET_V4 ? "203.0.113.9:2000" : "[2001:db8:2::109]:2000"),
    };

    line.client.port = (uint16_t)(line.client.port + nth);
    line.peer.port = (uint16_t)(line.peer.port + nth);
    client->addr = line.client;
    client_begin(client, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(client);
    stun_out_u32(&client->out, STUN_REQUESTED_ADDRESS_FAMILY, (uint32_t)peer_family << 24);
    client_sign(client);
    const struct reply r = client_submit(client);
    assert_int_equal(r.relayed_count, 1);
    line.relay = r.relayed[0];
    assert_int_equal(client_bind(client, LINE_NUMBER, &line.peer).code, 0);
    return line;
}

void line_make(const struct paths *paths, const struct line *line, bool to_peer,
               const uint8_t *data, size_t n, struct traffic *out)
{
    uint8_t message[FRAME_DATA_MAX] = {LINE_NUMBER >> 8, LINE_NUMBER & 0xff, (uint8_t)(n >> 8),
                                       (uint8_t)n};
    const size_t head = to_peer ? 4 : 0;
    struct frame f = {
        .src = to_peer ? line->client : line->peer,
        .dst =
            to_peer ? paths->world.server_addr[line->client.family == NET_V4 ? 0 : 1] : line->relay,
        .ttl = 64,
        .data = message,
        .n = head + n,
    };

    memcpy(f.to, stage_mac(STAGE_A), FRAME_MAC);
    memcpy(message + head, data, n);
    *out = (struct traffic){.at = STAGE_A};
    out->n = frame_write(&f, out->bytes);
}

void line_count(struct paths *paths, const struct line *line, bool to_peer, size_t n)
{
    const int way = to_peer ? OFFLOAD_TO_PEER : OFFLOAD_TO_CLIENT;
    struct paths_flow *flow = paths_of_peer(paths, &line->peer, &line->relay);

    assert_non_null(flow);
    flow->made.packets[way]++;
    flow->made.bytes[way] += n;
}

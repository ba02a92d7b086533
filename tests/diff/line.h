/* SPDX-License-Identifier: Apache-2.0 */
/* A client with one bound channel, and its peer: for tests that want to know exactly what is there.
 * The client is behind STAGE_A, an IPv4 peer behind STAGE_B.
 *
 * Owner   the test.  Thread  one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "diff/paths.h"
#include "diff/traffic.h"
#include "lib/client.h"

enum { LINE_NUMBER = 0x4001 };

struct line {
    struct net_addr client;
    struct net_addr relay;
    struct net_addr peer;
};

/* Start `paths`, and `client`, who needs no credentials. */
void line_begin(struct paths *paths, struct kernel *kernel, const struct paths_options *options,
                struct client *client);

/* A session of the `nth` client with a channel to a peer of the given families; `client` speaks for
 * it. */
struct line line_bind(struct client *client, uint8_t family, uint8_t peer_family, uint16_t nth);

/* A frame with `n` bytes of application data on their way to the peer, or to the client. */
void line_make(const struct paths *paths, const struct line *line, bool to_peer,
               const uint8_t *data, size_t n, struct traffic *out);

/* The kernel has forwarded `n` bytes of it. */
void line_count(struct paths *paths, const struct line *line, bool to_peer, size_t n);

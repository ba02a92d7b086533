/* SPDX-License-Identifier: Apache-2.0 */
/* What the referee's files share. */
#pragma once

#include "sim.h"

enum { TO_PEER = 0, TO_CLIENT = 1, CHANNEL_HEAD_LEN = 4 };

/* What the counters of a core say in all: every packet counts once, whatever becomes of it. */
struct tally {
    uint64_t drops;
    uint64_t answers;
    uint64_t to_peer;
    uint64_t to_client;
};

/* Without what the path below the cores has relayed. */
struct tally referee_tally(const struct sim *sim, const struct turn_server *server);

/* The counters have moved by `expected` and by nothing else. */
void referee_check_tally(struct sim *sim, const struct tally *before, const struct tally *after,
                         const struct tally *expected);

/* Make sim->pkt of `packet`, as it comes from the socket `port`. */
void referee_load(struct sim *sim, const struct net_packet *packet, void *port);

/* Take a verdict and the packet that goes with it into the trace. */
void referee_note(struct sim *sim, enum turn_verdict verdict);

/* A packet of `a` was relayed: a message of `bytes` on the client's side. */
void referee_passed(struct sim *sim, struct model_alloc *a, int direction, uint64_t bytes);

/* A word for the trace. */
const char *referee_word(enum turn_verdict verdict);

/* Give sim->pkt to the client side of a core. */
enum turn_verdict referee_submit(struct sim *sim, const struct model_input *at);

/* Put what a core gave out on the network; `nonce` is what a challenge in it holds, or NULL. */
void referee_send(struct sim *sim, const struct intent_nonce *nonce);

/* The TOS octet with which a packet must leave that came with `tos`. */
uint8_t referee_tos(const struct turn_config *config, uint8_t tos);

/* Packets from clients by what they mean.  The packet is the callee's. */
void referee_request(struct sim *sim, const struct model_input *at, struct net_packet *packet);
void referee_data(struct sim *sim, const struct model_input *at, struct net_packet *packet);
void referee_noise(struct sim *sim, const struct model_input *at, struct net_packet *packet);

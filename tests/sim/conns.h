/* SPDX-License-Identifier: Apache-2.0 */
/* Peer data connections (RFC 6062) of the simulation: what the cores ask of their effects, what
 * becomes of it, and what peers do by themselves.
 *
 * Owner   the simulation.  Thread  one. */
#pragma once

#include "sim.h"

/* The three effects; their handle is a struct model_conn. */
int conns_connect(void *arg, void *port, const struct net_addr *peer, struct turn_conn *conn,
                  void **out);
void conns_close(void *arg, void *handle);
void conns_bind(void *arg, void *handle, void *listener);

/* A Connect is under way: let it come to something later.  The packet is the callee's. */
void conns_begin(struct sim *sim, const struct expect *e, struct net_packet *packet);

/* It has come to something. */
void conns_connected(struct sim *sim, struct net_packet *packet);

/* A peer connects to some TCP relay. */
void conns_accept(struct sim *sim);

/* Some connection ends, as its peer or the client wants. */
void conns_end(struct sim *sim);

/* The core, when the bytes are a ConnectionBind for one; else `otherwise`. */
uint8_t conns_core(struct sim *sim, const struct net_packet *packet, uint8_t otherwise);

/* Compare the connections of an allocation, and of all, with the model. */
void conns_audit(struct sim *sim, const struct model_alloc *a);
void conns_audit_core(struct sim *sim, uint8_t core);

/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of TLS and DTLS over a connected socket, for one request.
 *
 * Owner   whoever made it.  Thread  one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"

struct probe_contact_tls;

/* Over the non-blocking socket `fd`, which stays the caller's; `host` is what the certificate must
 * name.  NULL without memory. */
MUST_USE struct probe_contact_tls *probe_contact_tls_new(int fd, bool datagrams, const char *host);

/* NULL is allowed. */
void probe_contact_tls_free(struct probe_contact_tls *tls);

/* Go on with the handshake.  0 when it is done; -EAGAIN when the socket must become ready for
 * `*out_events` (of poll); -EPROTO when it failed. */
MUST_USE int probe_contact_tls_handshake(struct probe_contact_tls *tls, short *out_events);

/* What is wrong with the certificate of the server, or NULL; a constant text. */
const char *probe_contact_tls_doubt(const struct probe_contact_tls *tls);

/* As send() and recv(): bytes, 0 at the end, -EAGAIN when there is nothing yet, -EPROTO. */
MUST_USE ssize_t probe_contact_tls_send(struct probe_contact_tls *tls, const uint8_t *p, size_t n);
MUST_USE ssize_t probe_contact_tls_receive(struct probe_contact_tls *tls, uint8_t *p, size_t n);

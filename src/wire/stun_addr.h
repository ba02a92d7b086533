/* SPDX-License-Identifier: Apache-2.0 */
/* Transport addresses in attributes, plain and XORed (RFC 8489 sections 14.1 and 14.2).
 * Pure; any thread. */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "base/net_addr.h"
#include "wire/stun_msg.h"

/* Decode a (XOR-)address value.  An IPv6 value that holds ::ffff:a.b.c.d keeps family NET_V6, so
 * that what the client wrote can be judged; its 128 bits are canonical all the same.
 * 0; -EBADMSG for an unknown family or a length that does not fit it. */
MUST_USE int stun_addr_decode(struct bytes value, struct net_addr *out);
MUST_USE int stun_addr_decode_xor(struct bytes value, const uint8_t tid[STUN_TID],
                                  struct net_addr *out);

/* Append an address attribute; the family written is addr->family. */
void stun_out_addr(struct stun_out *out, uint16_t type, const struct net_addr *addr);

/* The same XORed with cookie and the transaction ID of the message under construction. */
void stun_out_xor_addr(struct stun_out *out, uint16_t type, const struct net_addr *addr);

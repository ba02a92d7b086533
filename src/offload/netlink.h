/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the kernel by netlink(7), one at a time.
 * Thread  any. */
#pragma once

#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

enum { NETLINK_QUESTION = 64, NETLINK_ATTRS = 64 };

/* A question as it goes out: `body` is what its protocol wants, attributes included. */
struct netlink_question {
    struct nlmsghdr head; /* type and flags are the caller's */
    uint8_t body[NETLINK_QUESTION];
};

/* The attributes of a message by their type; NULL for what is not there, types that are higher are
 * left out.  They lie in the message. */
struct netlink_attrs {
    const struct nlattr *of[NETLINK_ATTRS];
};

/* Append an attribute to the body, which holds `*len` bytes; there has to be room. */
void netlink_put(struct netlink_question *question, size_t *len, uint16_t type, const void *value,
                 size_t value_len);

/* One message of the answer: what follows its head.  Other than 0 ends the reading. */
typedef int netlink_fn(const uint8_t *body, size_t len, void *context);

/* Ask, with `len` bytes of body, and hand each message of the answer to `each`.  0; what `each` has
 * returned; the negative errno of the kernel's refusal. */
MUST_USE int netlink_ask(int protocol, struct netlink_question *question, size_t len,
                         netlink_fn *each, void *context);

/* Find the attributes in `body`, from byte `from` on; what is malformed ends the search. */
void netlink_find(const uint8_t *body, size_t len, size_t from, struct netlink_attrs *out);

/* The attribute's value; 0 or "" when it is absent or too short.  netlink_text() writes an end. */
uint64_t netlink_number(const struct nlattr *attr);
void netlink_text(const struct nlattr *attr, char *out, size_t cap);
const uint8_t *netlink_value(const struct nlattr *attr, size_t *out_len);

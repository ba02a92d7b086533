/* SPDX-License-Identifier: Apache-2.0 */
/* The question to an application's HTTP hook, and its answer, as JSON (RFC 8259).
 *
 *     {"username": "alice", "realm": "example.org", "client": "192.0.2.1", "transport": "udp",
 *      "method": "allocate"}
 *     200 {"password": "...", "ttl": 60, "account": "..."}
 *     200 {"md5": "32 hex digits", "sha256": "64 hex digits"}
 *     403, 404: there is no such user
 *
 * Anything else is no answer, and no answer is never a yes.
 * An answer counts for that client address and transport alone, so a hook may judge by them.
 *
 * Owner   nobody; plain values.  Thread  any. */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "base/net_addr.h"
#include "crypto/credential.h"

enum {
    AUTH_HOOK_ANSWER_MAX = 64 * 1024,
    AUTH_HOOK_TTL_MAX_S = 86400,
    AUTH_HOOK_KEYS = 3, /* OpaqueString, SASLprep and the bytes as they are */
};

struct auth_hook_question {
    struct bytes name;
    struct bytes realm;
    const struct net_addr *client;
    uint8_t transport; /* enum net_transport */
};

struct auth_hook_answer {
    bool has_ttl;
    uint32_t ttl_s;
    uint16_t account_len; /* 0: the name */
    uint32_t key_count;
    uint8_t account[CREDENTIAL_ACCOUNT_MAX];
    struct credential_key key[AUTH_HOOK_KEYS];
};

/* The body of the request, to be released with free().  0; -EBADMSG when the name is no UTF-8;
 * -ENOMEM. */
MUST_USE int auth_hook_ask(const struct auth_hook_question *question, char **out_text);

/* Judge an answer to that question.  0 with `*out`; -ENOENT there is no such user; -EBADMSG no
 * answer, with `*out_why` saying what is wrong with it. */
MUST_USE int auth_hook_read(const struct auth_hook_question *question, long status,
                            struct bytes body, struct auth_hook_answer *out, const char **out_why);

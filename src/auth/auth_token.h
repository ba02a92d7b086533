/* SPDX-License-Identifier: Apache-2.0 */
/* Third-party authorization (RFC 7635): from the kid in USERNAME and the token in ACCESS-TOKEN to
 * the key that proves a request.
 *
 * Owner   nobody; plain values.  Thread  that of the box.  Clock  none: the time is passed in. */
#pragma once

#include <stdint.h>

#include "auth/auth_oauth.h"
#include "base/attr.h"
#include "base/bytes.h"
#include "crypto/credential.h"
#include "crypto/token.h"

enum { AUTH_TOKEN_DELTA_S = 5 }; /* between clocks (RFC 7635 section 7) */

struct auth_token_ask {
    const struct auth_oauth_key *key; /* of the kid */
    struct bytes server_name;
    struct bytes kid;
    struct bytes token; /* raw, or its base64 in either alphabet */
    uint64_t wall_s;    /* Unix time */
};

/* Write name (the kid), account, realm, longest lifetime and keys.  The keys to try are the whole
 * mac_key, and then its first 16 bytes: coturn, its clients included, keys MESSAGE-INTEGRITY with
 * no more.  Each token is an account of its own: quotas count "kid#" and 16 digits of a hash of its
 * mac_key.  0; -ENOENT: malformed, not for us, too old or too new.  Hot path. */
MUST_USE int auth_token_give(struct token_box *box, const struct auth_token_ask *ask,
                             struct credential_keys *out);

/* Seconds that a token may be used for at `wall_s`: lifetime + delta - abs(now - timestamp); 0 when
 * it may not (RFC 7635 sections 7 and 9). */
uint64_t auth_token_left(const struct token *token, uint64_t wall_s);

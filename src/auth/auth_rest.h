/* SPDX-License-Identifier: Apache-2.0 */
/* Time-limited user names (draft-uberti-behave-turn-rest-00): "time:user", coturn's "user:time",
 * or the bare "time", in seconds since 1970.
 *
 * Owner   nobody; plain values.  Thread  any.  Clock  none: the time is data here. */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"

struct auth_rest {
    uint64_t expiry_s;
    uint16_t
        user_from; /* the user's part of the name, which quotas count; of a bare time all of it */
    uint16_t user_len;
};

/* Take `name` apart at `separator`: the first one when digits stand before it, else the last one.
 * 0; -EBADMSG when no such place holds a time, or one beyond 2^63. */
MUST_USE int auth_rest_parse(struct bytes name, char separator, struct auth_rest *out);

/* SPDX-License-Identifier: Apache-2.0 */
/* Names that look like a JSON Web Token in its compact form (RFC 7515 section 3.1): base64url parts
 * with a dot between them, the first one a JSON object.  What they say is for auth_jwt.h.
 *
 * Owner   nobody; plain values.  Thread  any. */
#pragma once

#include <stdbool.h>

#include "base/bytes.h"

enum auth_jwt_shape {
    AUTH_JWT_NONE,  /* not such a name */
    AUTH_JWT_HALF,  /* header.payload: the signature stays with the client */
    AUTH_JWT_WHOLE, /* header.payload.signature: whoever reads it can use it */
};

/* Is `text` base64url without padding (RFC 4648 section 5), and not empty?  What is not must never
 * get to cjose, which ends the process over it. */
bool auth_jwt_is_base64url(struct bytes text);

/* Hot path: looks at each byte once at most. */
enum auth_jwt_shape auth_jwt_shape(struct bytes name);

/* `name` as it may be shown: a whole token without its signature, anything else as it is. */
struct bytes auth_jwt_shown(struct bytes name);

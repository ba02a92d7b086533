/* SPDX-License-Identifier: Apache-2.0 */
/* Where the key of an access token comes from: the command line, an [oauth "kid"] section of the
 * configuration, or the database's table oauth_key.
 *
 * Owner   the caller wipes what was found.  Thread  the only one. */
#pragma once

#include "auth/auth_oauth.h"
#include "base/attr.h"
#include "cmd/token_options.h"

enum { TOKEN_NAME_MAX = 255, TOKEN_REALM_MAX = 508 };

struct token_source {
    struct auth_oauth_key key;
    char server_name[TOKEN_NAME_MAX + 1];
    char realm[TOKEN_REALM_MAX + 1]; /* of the sessions; for the size of a request */
};

/* Find the key of `options->kid` (the only one there is, without) and the server's name.  CMD_OK
 * with `*out`; CMD_NOT_FOUND, CMD_USAGE, CMD_FAILED, told. */
MUST_USE int token_source_find(const struct token_options *options, struct token_source *out);

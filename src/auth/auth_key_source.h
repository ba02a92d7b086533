/* SPDX-License-Identifier: Apache-2.0 */
/* Where the keys of tokens come from: a file, read again when it has changed, or a URL, fetched
 * anew every now and then, and as soon as a key is missing.
 *
 * What cannot be had leaves the last good keys in place; it is logged once when that begins and
 * once when it ends.
 *
 * Owner   an auth_outside.  Thread  its own.  Clock  `now_ms`, monotonic, is passed in. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "auth/auth_http.h"
#include "auth/auth_jwks.h"
#include "auth/auth_outside_config.h"

struct auth_key_source {
    struct auth_http *http;             /* NULL without libcurl: files only */
    struct auth_outside_config *config; /* borrowed; NULL: nothing is wanted */
    struct auth_jwks *set;              /* NULL: none was seen yet */
    struct auth_http_call *call;
    bool tried;
    bool failing;
    bool ended; /* a fetch has, since this was cleared */
    uint64_t tried_ms;
    uint64_t due_ms;
    uint64_t stamp[4]; /* of the file: differs when it has changed */
};

/* Follow another configuration, which must live until the next call; NULL: none.  Keys of another
 * place are forgotten. */
void auth_key_source_turn(struct auth_key_source *source, struct auth_outside_config *config);

/* Read or fetch what is due.  Returns when to come again, in ms from now. */
int auth_key_source_poll(struct auth_key_source *source, uint64_t now_ms);

/* A key is missing.  True when a newer set is on its way: `ended` will tell. */
bool auth_key_source_hurry(struct auth_key_source *source, uint64_t now_ms);

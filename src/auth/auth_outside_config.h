/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration says of credentials from outside: JSON Web Tokens and the HTTP hook.
 *
 * Owner   counted; the last _unref wipes.  Thread  immutable once made: any may read. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/auth_facts.h"
#include "base/attr.h"

struct conf;

struct auth_outside_config {
    _Atomic unsigned refs;
    bool jwt;                     /* tokens count */
    bool jwt_plain;               /* whole ones do without TLS, too */
    struct auth_secrets *secrets; /* of tokens; NULL: none */
    char *jwks;                   /* a file or a URL; NULL: none */
    bool jwks_is_url;
    uint32_t jwks_refresh_ms;
    char *issuer; /* NULL: any */
    size_t audience_count;
    char **audiences;
    char *hook; /* a URL; NULL: none */
    size_t header_count;
    char **headers;
    char *ca_file; /* NULL: the system's */
    uint32_t hook_timeout_ms;
    uint32_t hook_absent_ms; /* how long a refusal is kept */
    uint32_t hook_pending_max;
};

/* Make it of `conf`; `*out` is NULL when there is nothing of the kind.  0; -ENOMEM, -EBADMSG with
 * `why` (cap bytes): a key set in a file must be one. */
MUST_USE int auth_outside_config_new(const struct conf *conf, struct auth_outside_config **out,
                                     char *why, size_t cap);
struct auth_outside_config *auth_outside_config_ref(struct auth_outside_config *config);
void auth_outside_config_unref(struct auth_outside_config *config); /* NULL is allowed */

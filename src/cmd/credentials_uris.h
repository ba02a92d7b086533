/* SPDX-License-Identifier: Apache-2.0 */
/* The URIs under which clients reach what a configuration serves (RFC 7065): turn: without TLS,
 * turns: with it.
 *
 * Owner   nobody: a plain value.  Thread  any. */
#pragma once

#include <stddef.h>

#include "base/attr.h"

struct conf;

enum { CREDENTIALS_URIS_MAX = 4, CREDENTIALS_HOST_MAX = 1024 };

struct credentials_uris {
    size_t count;
    char item[CREDENTIALS_URIS_MAX][CREDENTIALS_HOST_MAX + 64];
};

/* In the order in which a client should try: UDP, TCP, TLS.  DTLS, which no browser speaks with a
 * TURN server, is named when there is nothing else.  `host` has at most CREDENTIALS_HOST_MAX bytes.
 * 0; -ENOMEM, -EINVAL, -ENOSPC with `why`: the configuration serves nobody. */
MUST_USE int credentials_uris_make(const struct conf *conf, const char *host,
                                   struct credentials_uris *out, char *why, size_t cap);

/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP requests of one thread, many at a time, on libcurl.
 *
 * http and https only, certificates are checked, redirects are not followed, proxies of the
 * environment are not used, and an answer has a longest length and a latest time.
 *
 * Owner   whoever made it.  Thread  one, which alone calls everything but auth_http_wake(). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "base/net_addr.h"

struct auth_http;
struct auth_http_call;

enum { AUTH_HTTP_ERROR_LEN = 256 };

struct auth_http_answer {
    long status;       /* of HTTP; 0 when there was no answer, or a bad one */
    struct bytes body; /* borrowed until the call returns */
    const char *error; /* with status 0: why */
};

/* All borrowed during auth_http_start(). */
struct auth_http_request {
    const char *url;
    const char *ca_file;        /* NULL: the system's authorities */
    const char *const *headers; /* "Name: value" */
    size_t header_count;
    struct bytes json;   /* POSTed; p is NULL for a GET */
    bool connect_only;   /* ask nothing: see whether, and where, the server is */
    uint32_t timeout_ms; /* for the whole of it */
    size_t answer_max;   /* bytes; more are an error */
    void (*done)(void *arg, const struct auth_http_answer *answer);
    void *arg;
};

/* True when this build knows HTTP; else auth_http_new() fails with -ENOSYS. */
bool auth_http_built(void);

/* The server of a URL with an address in place of a host name.  0; -ENOENT: it has a name. */
MUST_USE int auth_http_address(const char *url, struct net_addr *out);

/* 0; -ENOMEM; -ENOSYS. */
MUST_USE int auth_http_new(struct auth_http **out);

/* Release it; no call may be under way.  NULL is allowed. */
void auth_http_free(struct auth_http *http);

/* Begin a request; auth_http_run() will call `done`, once, unless it is cancelled.  0 with `*out`,
 * valid until then; -ENOMEM. */
MUST_USE int auth_http_start(struct auth_http *http, const struct auth_http_request *request,
                             struct auth_http_call **out);

/* Give a request up: `done` is not called. */
void auth_http_cancel(struct auth_http_call *call);

/* Wait until something is to be done, auth_http_wake() is called, or `timeout_ms` have passed; do
 * it. */
void auth_http_run(struct auth_http *http, int timeout_ms);

/* Have auth_http_run() return soon.  Thread: any. */
void auth_http_wake(struct auth_http *http);

/* The servers that were connected to last, in no order: at most `max`, returns how many. */
enum { AUTH_HTTP_SERVERS = 16 };

size_t auth_http_servers(const struct auth_http *http, struct net_addr *out, size_t max);

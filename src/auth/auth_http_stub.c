/* SPDX-License-Identifier: Apache-2.0 */
/* In place of auth_http.c where libcurl is not there. */
#include <errno.h>
#include <stdlib.h>

#include "auth/auth_http.h"

bool auth_http_built(void)
{
    return false;
}

int auth_http_address(const char *url, struct net_addr *out)
{
    (void)url;
    (void)out;
    return -ENOENT;
}

int auth_http_new(struct auth_http **out)
{
    (void)out;
    return -ENOSYS;
}

void auth_http_free(struct auth_http *http)
{
    (void)http;
}

int auth_http_start(struct auth_http *http, const struct auth_http_request *request,
                    struct auth_http_call **out)
{
    (void)http;
    (void)request;
    (void)out;
    return -ENOSYS;
}

void auth_http_cancel(struct auth_http_call *call)
{
    (void)call;
    abort(); /* there is none */
}

void auth_http_run(struct auth_http *http, int timeout_ms)
{
    (void)http;
    (void)timeout_ms;
    abort(); /* there is none */
}

void auth_http_wake(struct auth_http *http)
{
    (void)http;
}

size_t auth_http_servers(const struct auth_http *http, struct net_addr *out, size_t max)
{
    (void)http;
    (void)out;
    (void)max;
    return 0;
}

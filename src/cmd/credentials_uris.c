/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/credentials_uris.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "relay/listener.h"

/* What a URI can say. */
struct way {
    const char *scheme;
    const char *transport;
    bool stream;
    bool secure;
};

static const struct way ways[] = {
    {"turn", "udp", false, false},
    {"turn", "tcp", true, false},
    {"turns", "tcp", true, true},
};
static const struct way dtls = {"turns", "udp", false, true};

/* How good a listener is to be named: the port that the options give to this way, then any other;
 * behind a balancer clients hardly use its very port. */
static int rank_of(const struct conf *conf, const struct way *way,
                   const struct listener_spec *listener)
{
    const uint32_t usual = way->secure ? conf->tls_listening_port : conf->listening_port;

    if (listener->stream != way->stream || !(way->secure ? listener->secure : listener->plain)) {
        return 0;
    }
    if (listener->proxy) {
        return 1;
    }
    return listener->addr.port == usual ? 3 : 2;
}

static void add(struct credentials_uris *out, const struct conf *conf, const char *host,
                const struct listener_plan *plan, const struct way *way)
{
    const bool v6 = strchr(host, ':') != NULL && host[0] != '[';
    const struct listener_spec *best = NULL;
    int best_rank = 0;

    for (size_t i = 0; i < plan->count; i++) {
        const int rank = rank_of(conf, way, &plan->item[i]);

        if (rank > best_rank) {
            best_rank = rank;
            best = &plan->item[i];
        }
    }
    if (best != NULL) {
        (void)snprintf(out->item[out->count++], sizeof(out->item[0]), "%s:%s%s%s:%u?transport=%s",
                       way->scheme, v6 ? "[" : "", host, v6 ? "]" : "", best->addr.port,
                       way->transport);
    }
}

int credentials_uris_make(const struct conf *conf, const char *host, struct credentials_uris *out,
                          char *why, size_t cap)
{
    struct listener_plan *plan = mem_new(1, sizeof(*plan));

    if (plan == NULL) {
        (void)snprintf(why, cap, "out of memory");
        return -ENOMEM;
    }
    const int err = listener_plan_read(conf, plan, why, cap);
    if (err == 0) {
        out->count = 0;
        for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
            add(out, conf, host, plan, &ways[i]);
        }
        if (out->count == 0) {
            add(out, conf, host, plan, &dtls);
        }
    }
    free(plan);
    return err;
}

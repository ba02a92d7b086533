/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of what carries clients: connections, DTLS associations, balancers before them. */
#include <errno.h>

#include "base/mem.h"
#include "base/prefix_set.h"
#include "conf/conf.h"
#include "conf/conf_value.h"
#include "io/tls.h"
#include "relay/plan.h"
#include "relay/settings_int.h"

enum {
    MS = 1000,
    DTLS_FLIGHT_BYTES = 1200,
    MEMORY_PART = 16, /* of the host's memory may wait for clients, within the bounds below */
    TRUSTED = 1,
    SOURCE_PART = 8, /* of a worker's DTLS handshakes may be one source's */
};

#define QUEUE_TOTAL_MIN (UINT64_C(64) << 20)
#define QUEUE_TOTAL_MAX (UINT64_C(1) << 30)

/* Where a balancer stands that nobody has named. */
static const char *const nearby[] = {"10.0.0.0/8",  "172.16.0.0/12", "192.168.0.0/16",
                                     "127.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16",
                                     "::1/128",     "fc00::/7",      "fe80::/10"};

uint32_t settings_share(uint32_t limit, uint32_t workers)
{
    return workers > 1 ? (uint32_t)(((uint64_t)limit + workers - 1) / workers) : limit;
}

static uint64_t queue_total(const struct settings_input *in)
{
    const uint64_t memory = in->memory_bytes != 0 ? in->memory_bytes : plan_memory_bytes();
    const uint64_t part = memory / MEMORY_PART;

    if (in->conf->tcp_queue_total != 0) {
        return in->conf->tcp_queue_total;
    }
    if (part < QUEUE_TOTAL_MIN) {
        return QUEUE_TOTAL_MIN;
    }
    return part < QUEUE_TOTAL_MAX ? part : QUEUE_TOTAL_MAX;
}

static void put_stream(const struct settings_input *in, struct stream_limits *out)
{
    const struct conf *conf = in->conf;

    *out = (struct stream_limits){
        .control_queue_bytes = conf->tcp_send_queue,
        .datagram_queue_bytes = conf->tcp_media_queue,
        .datagram_age_ms = conf->tcp_media_delay,
        .splice_high_bytes = conf->tcp_relay_queue,
        .splice_low_bytes = conf->tcp_relay_queue / 4,
        .total_bytes = queue_total(in) / (in->workers > 1 ? in->workers : 1),
        .send_timeout_ms = conf->tcp_send_timeout * MS,
        .send_min_bytes = conf->tcp_send_min_rate,
        .connect_timeout_ms = conf->tcp_connect_timeout * MS,
        .first_timeout_ms = conf->tcp_first_message_timeout * MS,
        .message_timeout_ms = conf->tcp_message_timeout * MS,
        .handshake_timeout_ms = conf->tls_handshake_timeout * MS,
        .handshakes_per_s = conf->tls_handshake_rate,
        .keepalive_idle_s = conf->tcp_keepalive_idle,
        .keepalive_interval_s = conf->tcp_keepalive_interval,
        .keepalive_count = conf->tcp_keepalive_count,
    };
}

static void put_limits(const struct settings_input *in, struct settings *settings)
{
    const struct conf *conf = in->conf;

    put_stream(in, &settings->stream);
    settings->conns = (struct conn_limits){
        .total = conf->max_connections,
        .tls = conf->max_tls_connections,
        .per_ipv4 = conf->max_connections_per_ip,
        .per_ipv6_net = conf->max_connections_per_net6,
    };
    settings->dtls = (struct dtls_limits){
        .max_clients = settings_share(conf->max_tls_connections, in->workers),
        .max_half_open = conf->dtls_max_half_open,
        .handshakes_per_s = conf->tls_handshake_rate,
        .source_half_open = settings_share(conf->dtls_max_half_open, SOURCE_PART),
        .source_handshakes_per_s = settings_share(conf->tls_handshake_rate, SOURCE_PART),
        .handshake_ms = conf->tls_handshake_timeout * MS,
        .mtu = DTLS_FLIGHT_BYTES,
    };
    settings->client_idle_ms = conf->tcp_idle_timeout * MS;
    settings->splice_idle_ms = conf->tcp_relay_idle_timeout * MS;
    settings->holdoff_ms = conf->tcp_holdoff * MS;
    settings->holdoff_shared_ms = conf->tcp_holdoff_shared * MS;
}

static int add_balancers(struct prefix_set *set, const struct conf_list *list)
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < list->count; i++) {
        struct conf_range range[2];
        const int n = conf_range_parse(list->items[i].text, range);

        err = n < 0 ? n : 0;
        for (int k = 0; err == 0 && k < n; k++) {
            err = prefix_set_add(set, &range[k].first, &range[k].last, TRUSTED);
        }
    }
    return err;
}

static int make_proxy_from(const struct conf *conf, struct prefix_set **out)
{
    const struct conf_list *list = &conf->proxy_protocol_from;
    struct prefix_set *set = prefix_set_new();
    int err = set == NULL ? -ENOMEM : add_balancers(set, list);

    for (size_t i = 0; err == 0 && list->count == 0 && i < ARRAY_SIZE(nearby); i++) {
        err = prefix_set_add_text(set, nearby[i], TRUSTED);
    }
    err = err == 0 ? prefix_set_build(set) : err;
    if (err < 0) {
        prefix_set_free(set);
        return err;
    }
    *out = set;
    return 0;
}

int settings_put_clients(const struct settings_input *in, struct settings *settings)
{
    const char *redirect = in->conf->acme_redirect;

    put_limits(in, settings);
    if (redirect != NULL) {
        settings->acme_redirect = mem_text(redirect);
        if (settings->acme_redirect == NULL) {
            return -ENOMEM;
        }
    }
    if (in->tls != NULL) {
        settings->tls = tls_set_ref(in->tls);
    }
    return make_proxy_from(in->conf, &settings->proxy_from);
}

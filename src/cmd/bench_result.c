/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_result.h"

#include <stdlib.h>

#include "base/attr.h"

const char *bench_transport_name(enum bench_transport transport)
{
    static const char *const names[] = {
        [BENCH_UDP] = "udp",
        [BENCH_TCP] = "tcp",
        [BENCH_TLS] = "tls",
    };

    return names[transport];
}

const char *bench_mix_name(enum bench_mix mix)
{
    static const char *const names[] = {
        [BENCH_AUDIO] = "audio",
        [BENCH_VIDEO] = "video",
        [BENCH_BULK] = "bulk",
        [BENCH_ALLOC] = "alloc",
    };

    return names[mix];
}

const char *bench_way_name(enum bench_way way)
{
    return way == BENCH_UP ? "up" : "down";
}

const char *bench_caveat_text(enum bench_caveat caveat)
{
    static const struct {
        enum bench_caveat caveat;
        const char *text;
    } texts[] = {
        {BENCH_CAVEAT_PACE,
         "The generator could not send as fast as planned: the figures are those "
         "of a lower rate. Give it more CPU, or ask for less."},
        {BENCH_CAVEAT_OWN_LOSS,
         "The generator's own receive buffers overflowed: part of the loss is not the server's. "
         "Raise net.core.rmem_max, give it more CPU, or ask for less."},
        {BENCH_CAVEAT_PARTIAL, "Not all clients took part from beginning to end."},
        {BENCH_CAVEAT_INTERRUPTED, "The run was ended before its time."},
        {BENCH_CAVEAT_LIMITED, "The generator used a whole CPU and the server did not: a faster "
                               "generator may find a higher throughput."},
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (texts[i].caveat == caveat) {
            return texts[i].text;
        }
    }
    return "";
}

double bench_loss_percent(const struct bench_flow_total *flow)
{
    return flow->sent == 0 ? 0 : 100.0 * (double)flow->lost / (double)flow->sent;
}

double bench_received_per_s(const struct bench_result *result, enum bench_way way)
{
    return result->load_s > 0 ? (double)result->way[way].received / result->load_s : 0;
}

double bench_received_mbit_s(const struct bench_result *result, enum bench_way way)
{
    return result->load_s > 0 ? (double)result->way[way].received_bytes * 8 / 1e6 / result->load_s
                              : 0;
}

void bench_result_fini(struct bench_result *result)
{
    free(result->series);
    result->series = NULL;
    result->series_count = 0;
}

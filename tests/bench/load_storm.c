/* SPDX-License-Identifier: Apache-2.0 */
/* Requests without media: cycles of Allocate and Refresh 0, allocations that do nothing, and
 * requests without credentials. */
#include <stdio.h>
#include <stdlib.h>

#include "load.h"
#include "wire/stun_msg.h"

enum { WARM_MS = 500, DRAIN_MS = 2000 };

static void turn(struct load *l)
{
    (void)load_receive(l);
    (void)load_flush(l);
}

static void storm_until(struct load *l, uint64_t end_ms)
{
    uint64_t checked_ms = meter_now_ms();

    for (uint64_t now = checked_ms; now < end_ms; now = meter_now_ms()) {
        turn(l);
        if (now - checked_ms >= LOAD_RETRY_MS / 2) {
            checked_ms = now;
            load_retry(l, 0, l->clients);
        }
    }
}

static void start_storm(struct load *l)
{
    l->running = true;
    for (uint32_t i = 0; i < l->clients; i++) {
        load_request(l, i);
    }
    storm_until(l, meter_now_ms() + WARM_MS);
}

void load_run_alloc(struct load *l)
{
    start_storm(l);
    const uint64_t cycles = l->cycles;
    meter_start(&l->meter);
    storm_until(l, meter_now_ms() + l->milliseconds);
    const struct meter_reading reading = meter_read(&l->meter);
    const double done = (double)(l->cycles - cycles);
    (void)printf("{\"cycles\": %.0f, \"per_s\": %.0f, \"cpu_us\": %.3f, \"per_cpu_s\": %.0f, "
                 "\"refused\": %llu, \"strangers\": %.3f}\n",
                 done, done / reading.seconds, meter_per(reading.cpu_s * 1e6, done),
                 meter_per(done, reading.cpu_s), (unsigned long long)l->refused, reading.strangers);
}

/* Cycles for a while; then all of the server's ports must be there to be allocated. */
void load_run_soak(struct load *l)
{
    start_storm(l);
    storm_until(l, meter_now_ms() + l->milliseconds);
    l->running = false;
    storm_until(l, meter_now_ms() + DRAIN_MS);
    (void)printf("{\"cycles\": %llu, \"refused\": %llu}\n", (unsigned long long)l->cycles,
                 (unsigned long long)l->refused);
    (void)fflush(stdout);
    l->mode = "idle";
    l->refused = 0;
    for (uint32_t i = 0; i < l->total; i++) {
        l->c[i].phase = CHALLENGE;
        l->c[i].turn++;
    }
    load_run_idle(l);
}

void load_run_idle(struct load *l)
{
    char line[16];

    load_allocate_all(l);
    (void)printf("{\"allocations\": %u}\n", l->ready);
    (void)fflush(stdout);
    if (fgets(line, sizeof(line), stdin) == NULL) {
        return; /* whoever measures has gone */
    }
}

/* Wait until few Binding requests are unanswered: the server's buffers must not overflow, for that
 * would prove nothing.  What is lost all the same is given up after a while. */
static void await_answers(struct load *l, uint64_t sent)
{
    const uint64_t start_ms = meter_now_ms();

    while (sent - l->bindings > l->window) {
        turn(l);
        if (meter_now_ms() - start_ms > LOAD_RETRY_MS) {
            l->bindings = sent;
        }
    }
}

/* Every request comes from another endpoint: 65,536 addresses of 10.64.0.0/16, ports by turns. */
void load_run_flood(struct load *l)
{
    uint8_t buf[64];
    uint8_t tid[STUN_TID];
    struct stun_out out;
    const uint64_t start_ns = meter_now_ns();

    for (uint64_t i = 0; i < l->count; i++) {
        const struct endpoint from = {0x0a400000U + (uint32_t)(i * 40503U & 0xffff),
                                      (uint16_t)(1024 + (i >> 16) % 60000)};
        load_make_tid((uint32_t)i, 0, tid);
        stun_out_begin(&out, buf, sizeof(buf),
                       stun_type(i % 2 == 0 ? STUN_ALLOCATE : STUN_BINDING, STUN_REQUEST), tid);
        if (i % 2 == 0) {
            stun_out_u32(&out, STUN_REQUESTED_TRANSPORT, UINT32_C(17) << 24);
        }
        end_send(&l->client_end, from, l->server, buf, (size_t)stun_out_end(&out));
        await_answers(l, i / 2);
    }
    end_flush(&l->client_end);
    for (uint64_t until = meter_now_ms() + 300; meter_now_ms() < until;) {
        turn(l);
    }
    (void)printf("{\"sent\": %llu, \"answered\": %llu, \"seconds\": %.1f}\n",
                 (unsigned long long)l->client_end.sent, (unsigned long long)l->answered,
                 (double)(meter_now_ns() - start_ns) / 1e9);
}

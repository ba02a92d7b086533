/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_shape.h"

#include <math.h>

enum {
    AUDIO_BYTES = 172,
    AUDIO_RATE = 50,
    VIDEO_FPS = 30,
    VIDEO_BITRATE = 1500000,
    BULK_BURST = 16
};

enum { PACKET_BYTES = 1200 };

static uint32_t or_default(uint32_t wish, uint32_t by_default)
{
    return wish != 0 ? wish : by_default;
}

/* Equal packets at a rate. */
static const char *settle_equal(const struct bench_wish *wish, double rate, uint32_t burst,
                                struct bench_setup *s)
{
    if (wish->rate > 0 && wish->bitrate > 0) {
        return "give --rate or --bitrate, not both";
    }
    if (wish->fps != 0) {
        return "--fps goes with --mix video";
    }
    if (wish->rate > 0) {
        rate = wish->rate;
    } else if (wish->bitrate > 0) {
        rate = wish->bitrate / 8 / s->packet_bytes;
    }
    s->burst = or_default(wish->burst, burst);
    s->tail_bytes = s->packet_bytes;
    s->tick_s = rate > 0 ? s->burst / rate : 0;
    return NULL;
}

/* Frames: packets of full size and a shorter one. */
static const char *settle_video(const struct bench_wish *wish, struct bench_setup *s)
{
    const uint32_t fps = or_default(wish->fps, VIDEO_FPS);
    const double bitrate = wish->bitrate > 0 ? wish->bitrate : VIDEO_BITRATE;
    const double frame = floor(bitrate / 8 / fps);
    const double full = floor(frame / s->packet_bytes);
    const double rest = frame - full * s->packet_bytes;

    if (wish->rate > 0 || wish->burst != 0) {
        return "--mix video takes --bitrate and --fps, not --rate or --burst";
    }
    if (full + 1 > BENCH_BURST_MAX) {
        return "a frame has more than 1024 packets: lower --bitrate, or raise --fps";
    }
    s->burst = (uint32_t)full + (rest > 0 || full < 1 ? 1 : 0);
    s->tail_bytes = rest > 0 || full < 1 ? (uint32_t)rest : s->packet_bytes;
    if (s->tail_bytes < BENCH_PAYLOAD_MIN) {
        s->tail_bytes = BENCH_PAYLOAD_MIN;
    }
    s->tick_s = 1.0 / fps;
    return NULL;
}

static const char *settle_mix(const struct bench_wish *wish, struct bench_setup *s)
{
    const bool paced = wish->rate > 0 || wish->bitrate > 0;

    switch (s->mix) {
    case BENCH_AUDIO:
        s->packet_bytes = or_default(wish->payload, AUDIO_BYTES);
        return settle_equal(wish, AUDIO_RATE, 1, s);
    case BENCH_VIDEO:
        s->packet_bytes = or_default(wish->payload, PACKET_BYTES);
        return settle_video(wish, s);
    case BENCH_BULK:
        s->packet_bytes = or_default(wish->payload, PACKET_BYTES);
        return settle_equal(wish, 0, paced ? 1 : BULK_BURST, s);
    case BENCH_ALLOC:
    default:
        s->burst = 1;
        return wish->any ? "--mix alloc sends no packets: leave out --rate, --bitrate, --fps, "
                           "--payload, --burst and --flat"
                         : NULL;
    }
}

const char *bench_shape_settle(const struct bench_wish *wish, struct bench_setup *setup)
{
    struct bench_setup s = *setup;
    const char *why = settle_mix(wish, &s);

    if (why != NULL) {
        return why;
    }
    if (wish->flat && (wish->rate > 0 || wish->bitrate > 0) && s.mix != BENCH_VIDEO) {
        return "--flat means as fast as it goes: leave out --rate and --bitrate";
    }
    s.flat = wish->flat || (s.mix == BENCH_BULK && s.tick_s <= 0);
    if (s.flat) {
        s.tick_s = 0;
    }
    s.rate_planned = s.tick_s > 0 ? s.burst / s.tick_s * s.clients : 0;
    *setup = s;
    return NULL;
}

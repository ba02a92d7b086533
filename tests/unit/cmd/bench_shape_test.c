/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_shape.h"

#include "check.h"

static bool is_near(double a, double b)
{
    return a - b < 1e-9 && b - a < 1e-9;
}

static struct bench_setup settled(enum bench_mix mix, struct bench_wish wish)
{
    struct bench_setup setup = {.mix = mix, .clients = 10};
    const char *why = bench_shape_settle(&wish, &setup);

    if (why != NULL) {
        fail_msg("refused: %s", why);
    }
    return setup;
}

static void refused(enum bench_mix mix, struct bench_wish wish)
{
    struct bench_setup setup = {.mix = mix, .clients = 10, .burst = 77};

    assert_non_null(bench_shape_settle(&wish, &setup));
    assert_int_equal(setup.burst, 77); /* as it was */
}

static void audio__is_172_bytes_every_20_ms(void **state)
{
    const struct bench_setup s = settled(BENCH_AUDIO, (struct bench_wish){.rate = 0});

    (void)state;
    assert_int_equal(s.packet_bytes, 172);
    assert_int_equal(s.burst, 1);
    assert_int_equal(s.tail_bytes, 172);
    assert_true(is_near(s.tick_s, 0.02));
    assert_true(is_near(s.rate_planned, 500));
    assert_false(s.flat);
}

static void audio__takes_rate_bitrate_payload_and_burst(void **state)
{
    struct bench_setup s = settled(BENCH_AUDIO, (struct bench_wish){.rate = 25, .payload = 200});

    (void)state;
    assert_int_equal(s.packet_bytes, 200);
    assert_true(is_near(s.tick_s, 0.04));
    s = settled(BENCH_AUDIO, (struct bench_wish){.bitrate = 16000, .payload = 200});
    assert_true(is_near(s.tick_s, 0.1));
    s = settled(BENCH_AUDIO, (struct bench_wish){.rate = 100, .burst = 4});
    assert_true(is_near(s.tick_s, 0.04));
    assert_true(is_near(s.rate_planned, 1000));
}

/* 1.5 Mbit/s are 6250 bytes a frame: five packets of 1200 and one of 250. */
static void video__frames_end_with_a_shorter_packet(void **state)
{
    const struct bench_setup s = settled(BENCH_VIDEO, (struct bench_wish){.rate = 0});

    (void)state;
    assert_int_equal(s.packet_bytes, 1200);
    assert_int_equal(s.burst, 6);
    assert_int_equal(s.tail_bytes, 250);
    assert_true(is_near(s.tick_s, 1.0 / 30));
    assert_int_equal(bench_shape_bytes(&s, 0), 1200);
    assert_int_equal(bench_shape_bytes(&s, 5), 250);
    assert_int_equal(bench_shape_bytes(&s, 6), 1200);
    assert_int_equal(bench_shape_bytes(&s, 11), 250);
}

static void video__frames_that_fit_have_no_tail(void **state)
{
    const struct bench_setup s =
        settled(BENCH_VIDEO, (struct bench_wish){.bitrate = 1200 * 8 * 3 * 10, .fps = 10});

    (void)state;
    assert_int_equal(s.burst, 3);
    assert_int_equal(s.tail_bytes, 1200);
}

static void video__a_tail_holds_the_stamp_at_least(void **state)
{
    struct bench_setup s =
        settled(BENCH_VIDEO, (struct bench_wish){.bitrate = (1200 + 5) * 8 * 10, .fps = 10});

    (void)state;
    assert_int_equal(s.burst, 2);
    assert_int_equal(s.tail_bytes, BENCH_PAYLOAD_MIN);
    s = settled(BENCH_VIDEO, (struct bench_wish){.bitrate = 100, .fps = 100}); /* 0 bytes a frame */
    assert_int_equal(s.burst, 1);
    assert_int_equal(s.tail_bytes, BENCH_PAYLOAD_MIN);
}

static void bulk__is_flat_unless_paced(void **state)
{
    struct bench_setup s = settled(BENCH_BULK, (struct bench_wish){.rate = 0});

    (void)state;
    assert_true(s.flat);
    assert_int_equal(s.burst, 16);
    assert_true(is_near(s.rate_planned, 0));
    s = settled(BENCH_BULK, (struct bench_wish){.rate = 1000});
    assert_false(s.flat);
    assert_int_equal(s.burst, 1);
    assert_true(is_near(s.tick_s, 0.001));
}

static void flat__overrules_the_pace_of_a_mix(void **state)
{
    struct bench_setup s = settled(BENCH_AUDIO, (struct bench_wish){.flat = true});

    (void)state;
    assert_true(s.flat);
    assert_true(is_near(s.tick_s, 0));
    assert_true(is_near(s.rate_planned, 0));
    s = settled(BENCH_VIDEO, (struct bench_wish){.flat = true, .bitrate = 3e6});
    assert_true(s.flat);
    assert_int_equal(s.burst, 11); /* 12,500 bytes */
}

static void wishes__that_contradict_are_refused(void **state)
{
    (void)state;
    refused(BENCH_AUDIO, (struct bench_wish){.rate = 10, .bitrate = 1000});
    refused(BENCH_AUDIO, (struct bench_wish){.rate = 10, .flat = true});
    refused(BENCH_AUDIO, (struct bench_wish){.fps = 10});
    refused(BENCH_BULK, (struct bench_wish){.bitrate = 10000, .flat = true});
    refused(BENCH_VIDEO, (struct bench_wish){.rate = 10});
    refused(BENCH_VIDEO, (struct bench_wish){.burst = 10});
    refused(BENCH_VIDEO, (struct bench_wish){.bitrate = 100e9});
    refused(BENCH_ALLOC, (struct bench_wish){.payload = 100, .any = true});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(audio__is_172_bytes_every_20_ms),
        cmocka_unit_test(audio__takes_rate_bitrate_payload_and_burst),
        cmocka_unit_test(video__frames_end_with_a_shorter_packet),
        cmocka_unit_test(video__frames_that_fit_have_no_tail),
        cmocka_unit_test(video__a_tail_holds_the_stamp_at_least),
        cmocka_unit_test(bulk__is_flat_unless_paced),
        cmocka_unit_test(flat__overrules_the_pace_of_a_mix),
        cmocka_unit_test(wishes__that_contradict_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/random.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"
#include "seeded.h"

enum { REFILL = 4096, KEY = 32, STREAM = 40000 };

/* The stream is ChaCha20's: traces of simulations rest on it, so it may not change.  A refill is
 * 4096 bytes of keystream under a zero nonce, whose first 32 are the next key and never come out.
 */
static void seeded__stream_is_chacha20_with_fast_key_erasure(void **state)
{
    static const uint8_t first[] = {0x7d, 0xa4, 0x92, 0x4a, 0xff, 0xf8, 0x88, 0xf1,
                                    0x6a, 0x63, 0xdf, 0x38, 0xfa, 0xfe, 0x0a, 0x33};
    static const uint8_t second[] = {0x4c, 0x87, 0xb0, 0x79, 0xc9, 0x98, 0x01, 0xe6,
                                     0x89, 0xe8, 0x10, 0x96, 0x18, 0x04, 0x62, 0xf1};
    struct crypto_random *random = crypto_random_new_seeded(1);
    uint8_t out[REFILL];

    (void)state;
    crypto_random_fill(random, out, REFILL - KEY);
    assert_memory_equal(out, first, sizeof(first));
    crypto_random_fill(random, out, REFILL - KEY);
    assert_memory_equal(out, second, sizeof(second));
    crypto_random_free(random);
}

static void seeded__stream_does_not_depend_on_how_it_is_read(void **state)
{
    static uint8_t whole[STREAM];
    static uint8_t pieces[STREAM];
    struct seeded seed = {5};

    (void)state;
    for (uint64_t round = 0; round < 20; round++) {
        struct crypto_random *a = crypto_random_new_seeded(round);
        struct crypto_random *b = crypto_random_new_seeded(round);
        crypto_random_fill(a, whole, STREAM);
        for (size_t at = 0; at < STREAM;) {
            size_t n = seeded_below(&seed, round < 10 ? 60 : 9000);
            n = n < STREAM - at ? n : STREAM - at;
            crypto_random_fill(b, pieces + at, n);
            at += n;
        }
        assert_memory_equal(whole, pieces, STREAM);
        crypto_random_free(a);
        crypto_random_free(b);
    }
}

static void seeded__streams_of_two_seeds_differ(void **state)
{
    struct crypto_random *a = crypto_random_new_seeded(1);
    struct crypto_random *b = crypto_random_new_seeded(UINT64_C(1) << 63 | 1);
    uint8_t from_a[16];
    uint8_t from_b[16];

    (void)state;
    crypto_random_fill(a, from_a, sizeof(from_a));
    crypto_random_fill(b, from_b, sizeof(from_b));
    assert_memory_not_equal(from_a, from_b, sizeof(from_a));
    crypto_random_free(a);
    crypto_random_free(b);
}

static int order_of_ids(const void *a, const void *b)
{
    return memcmp(a, b, 12);
}

/* As many transaction IDs as fit several refills: none comes twice, from one generator or two. */
static void new__never_repeats_an_identifier(void **state)
{
    enum { IDS = 4000, ID = 12 };

    static uint8_t ids[2 * IDS][ID];
    struct crypto_random *a = crypto_random_new();
    struct crypto_random *b = crypto_random_new();

    (void)state;
    assert_non_null(a);
    assert_non_null(b);
    for (size_t i = 0; i < IDS; i++) {
        crypto_random_fill(a, ids[2 * i], ID);
        crypto_random_fill(b, ids[2 * i + 1], ID);
    }
    qsort(ids, COUNT_OF(ids), ID, order_of_ids);
    for (size_t i = 1; i < COUNT_OF(ids); i++) {
        assert_memory_not_equal(ids[i - 1], ids[i], ID);
    }
    crypto_random_free(a);
    crypto_random_free(b);
}

static void fill__of_nothing_and_free_of_null_do_nothing(void **state)
{
    struct crypto_random *random = crypto_random_new_seeded(9);

    (void)state;
    crypto_random_fill(random, NULL, 0);
    crypto_random_free(random);
    crypto_random_free(NULL);
}

#ifdef STERNA_FAULT_INJECTION
static void new__answers_failing_memory_with_null(void **state)
{
    (void)state;
    mem_fail_at(0);
    assert_null(crypto_random_new());
    mem_fail_at(0);
    assert_null(crypto_random_new_seeded(1));
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeded__stream_is_chacha20_with_fast_key_erasure),
        cmocka_unit_test(seeded__stream_does_not_depend_on_how_it_is_read),
        cmocka_unit_test(seeded__streams_of_two_seeds_differ),
        cmocka_unit_test(new__never_repeats_an_identifier),
        cmocka_unit_test(fill__of_nothing_and_free_of_null_do_nothing),
#ifdef STERNA_FAULT_INJECTION
        cmocka_unit_test(new__answers_failing_memory_with_null),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

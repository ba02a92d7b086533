/* SPDX-License-Identifier: Apache-2.0 */
#include "base/slab.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"
#include "seeded.h"

static void get__stops_at_the_limit_and_goes_on_after_a_put(void **state)
{
    struct slab *slab = slab_new(24, 3);
    void *objects[3];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        objects[i] = slab_get(slab);
        assert_non_null(objects[i]);
    }
    assert_null(slab_get(slab));
    assert_int_equal(slab_count(slab), 3);
    slab_put(slab, objects[1]);
    assert_int_equal(slab_count(slab), 2);
    assert_ptr_equal(slab_get(slab), objects[1]);
    assert_null(slab_get(slab));
    slab_free(slab);
}

static void get__gives_zeroed_and_aligned_memory_also_when_reused(void **state)
{
    struct slab *slab = slab_new(37, 5000);
    static const uint8_t zeros[37];

    (void)state;
    for (int round = 0; round < 3; round++) {
        void *objects[64];
        for (size_t i = 0; i < COUNT_OF(objects); i++) {
            objects[i] = slab_get(slab);
            assert_int_equal((uintptr_t)objects[i] % _Alignof(max_align_t), 0);
            assert_memory_equal(objects[i], zeros, sizeof(zeros));
            memset(objects[i], 0xFF, sizeof(zeros));
        }
        for (size_t i = 0; i < COUNT_OF(objects); i++) {
            slab_put(slab, objects[i]);
        }
    }
    slab_free(slab);
}

static void get__serves_objects_larger_than_a_chunk(void **state)
{
    const size_t size = 100 * 1000;
    struct slab *slab = slab_new(size, 2);
    uint8_t *a = slab_get(slab);
    uint8_t *b = slab_get(slab);

    (void)state;
    memset(a, 1, size);
    memset(b, 2, size);
    assert_int_equal(a[size - 1], 1);
    assert_null(slab_get(slab));
    slab_put(slab, a);
    slab_put(slab, b);
    slab_free(slab);
}

static void get__takes_memory_as_it_is_needed(void **state)
{
    struct slab *slab = slab_new(1000, UINT32_MAX); /* four terabytes, if it were taken at once */

    (void)state;
    assert_non_null(slab_get(slab));
    assert_int_equal(slab_count(slab), 1);
    slab_free(slab);
}

static void put__and_free_take_null(void **state)
{
    struct slab *slab = slab_new(1, 1);

    (void)state;
    slab_put(slab, NULL);
    assert_int_equal(slab_count(slab), 0);
    slab_free(slab);
    slab_free(NULL);
}

/* Random gets and puts: objects that are out never overlap, and none is lost. */
static void slab__never_gives_the_same_memory_twice(void **state)
{
    enum { LIMIT = 700, SIZE = 100 };
    struct seeded seed = {1};
    struct slab *slab = slab_new(SIZE, LIMIT);
    uint8_t *out[LIMIT];
    uint8_t mark[LIMIT];
    uint32_t count = 0;

    (void)state;
    for (int step = 0; step < 40000; step++) {
        if (count == 0 || seeded_below(&seed, 100) < (step / 2000 % 2 == 0 ? 70U : 30U)) {
            uint8_t *object = slab_get(slab);
            assert_int_equal(object == NULL, count == LIMIT);
            if (object != NULL) {
                mark[count] = (uint8_t)step;
                memset(object, mark[count], SIZE);
                out[count++] = object;
            }
        } else {
            const uint32_t i = seeded_below(&seed, count);
            for (size_t at = 0; at < SIZE; at++) {
                assert_int_equal(out[i][at], mark[i]);
            }
            slab_put(slab, out[i]);
            out[i] = out[--count];
            mark[i] = mark[count];
        }
        assert_int_equal(slab_count(slab), count);
    }
    slab_free(slab);
}

#ifdef STERNA_FAULT_INJECTION
static void slab__answers_failing_memory_with_null(void **state)
{
    (void)state;
    mem_fail_at(0);
    assert_null(slab_new(8, 8));
    struct slab *slab = slab_new(8, 8);
    mem_fail_at(0);
    assert_null(slab_get(slab));
    assert_int_equal(slab_count(slab), 0);
    assert_non_null(slab_get(slab));
    slab_free(slab);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get__stops_at_the_limit_and_goes_on_after_a_put),
        cmocka_unit_test(get__gives_zeroed_and_aligned_memory_also_when_reused),
        cmocka_unit_test(get__serves_objects_larger_than_a_chunk),
        cmocka_unit_test(get__takes_memory_as_it_is_needed),
        cmocka_unit_test(put__and_free_take_null),
        cmocka_unit_test(slab__never_gives_the_same_memory_twice),
#ifdef STERNA_FAULT_INJECTION
        cmocka_unit_test(slab__answers_failing_memory_with_null),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

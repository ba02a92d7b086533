/* SPDX-License-Identifier: Apache-2.0 */
#include "base/table.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"
#include "seeded.h"

struct thing {
    uint32_t weight;
    uint8_t key[6];
    bool in; /* the model's opinion */
};

static const struct hash_key secret = {1, 2};

static struct table table_of_things(void)
{
    struct table t;

    table_init(&t, offsetof(struct thing, key), sizeof(((struct thing *)0)->key), secret);
    return t;
}

static struct thing thing_of(uint32_t number)
{
    struct thing thing = {.weight = number};

    memcpy(thing.key, &number, sizeof(number));
    return thing;
}

static void find__answers_null_on_an_empty_table(void **state)
{
    struct table t = table_of_things();
    const struct thing thing = thing_of(7);
    uint32_t at = 0;

    (void)state;
    assert_null(table_find(&t, thing.key));
    assert_null(table_remove(&t, thing.key));
    assert_null(table_next(&t, &at));
    table_fini(&t);
}

static void insert__refuses_a_key_that_is_there(void **state)
{
    struct table t = table_of_things();
    struct thing first = thing_of(7);
    struct thing second = thing_of(7);

    (void)state;
    assert_int_equal(table_insert(&t, &first), 0);
    assert_int_equal(table_insert(&t, &second), -EEXIST);
    assert_int_equal(t.count, 1);
    assert_ptr_equal(table_find(&t, second.key), &first);
    assert_ptr_equal(table_remove(&t, second.key), &first);
    assert_null(table_find(&t, second.key));
    assert_int_equal(table_insert(&t, &second), 0);
    table_fini(&t);
}

static void next__visits_each_object_once(void **state)
{
    struct table t = table_of_things();
    struct thing things[100];
    uint32_t at = 0;
    size_t seen = 0;

    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(things); i++) {
        things[i] = thing_of(i);
        assert_int_equal(table_insert(&t, &things[i]), 0);
    }
    for (struct thing *thing; (thing = table_next(&t, &at)) != NULL; seen++) {
        assert_false(thing->in);
        thing->in = true;
    }
    assert_int_equal(seen, COUNT_OF(things));
    table_fini(&t);
}

static void fini__empties_the_table_for_reuse(void **state)
{
    struct table t = table_of_things();
    struct thing thing = thing_of(1);

    (void)state;
    assert_int_equal(table_insert(&t, &thing), 0);
    table_fini(&t);
    assert_null(table_find(&t, thing.key));
    assert_int_equal(table_insert(&t, &thing), 0);
    table_fini(&t);
}

/* Every slot's distance is true, and no object stands farther from home than Robin Hood allows. */
static void assert_placement(const struct table *t)
{
    for (uint32_t at = 0; t->slots != NULL && at <= t->mask; at++) {
        const struct table_slot *slot = &t->slots[at];
        const struct table_slot *after = &t->slots[(at + 1) & t->mask];
        if (slot->distance != 0) {
            assert_int_equal((slot->hash + slot->distance - 1) & t->mask, at);
        }
        assert_true(after->distance <= slot->distance + 1);
    }
}

/* Random operations on few and on many keys against an array that remembers. */
static void table__agrees_with_a_naive_model(void **state)
{
    enum { KEYS = 5000 };
    static struct thing things[KEYS];
    struct seeded seed = {42};
    struct table t = table_of_things();
    uint32_t count = 0;

    (void)state;
    for (uint32_t i = 0; i < KEYS; i++) {
        things[i] = thing_of(i * 0x9E3779B1U);
    }
    for (uint32_t step = 0; step < 200000; step++) {
        const uint32_t range = step % 50000 < 25000 ? KEYS : 20;
        struct thing *thing = &things[seeded_below(&seed, range)];
        switch (seeded_below(&seed, 3)) {
        case 0:
            assert_int_equal(table_insert(&t, thing), thing->in ? -EEXIST : 0);
            count += !thing->in;
            thing->in = true;
            break;
        case 1:
            assert_ptr_equal(table_remove(&t, thing->key), thing->in ? thing : NULL);
            count -= thing->in;
            thing->in = false;
            break;
        default:
            assert_ptr_equal(table_find(&t, thing->key), thing->in ? thing : NULL);
            break;
        }
        assert_int_equal(t.count, count);
        if (step % 20000 == 0) {
            assert_placement(&t);
        }
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        assert_ptr_equal(table_find(&t, things[i].key), things[i].in ? &things[i] : NULL);
    }
    assert_placement(&t);
    table_fini(&t);
}

/* At three quarters full a look-up must stay short: a bound on its mean is a bound on the cost. */
static void table__keeps_runs_short(void **state)
{
    enum { THINGS = 49152 }; /* three quarters of 65536 */
    static struct thing things[THINGS];
    struct table t = table_of_things();
    uint64_t distances = 0;
    uint32_t longest = 0;

    (void)state;
    for (uint32_t i = 0; i < THINGS; i++) {
        things[i] = thing_of(i);
        assert_int_equal(table_insert(&t, &things[i]), 0);
        assert_true(t.count * UINT64_C(4) <= (t.mask + UINT64_C(1)) * 3);
    }
    for (uint32_t at = 0; at <= t.mask; at++) {
        distances += t.slots[at].distance;
        longest = t.slots[at].distance > longest ? t.slots[at].distance : longest;
    }
    assert_true(distances <= UINT64_C(3) * THINGS);
    assert_true(longest <= 32);
    table_fini(&t);
}

#ifdef STERNA_FAULT_INJECTION
static void insert__leaves_the_table_as_it_was_without_memory(void **state)
{
    struct table t = table_of_things();
    struct thing things[13];

    (void)state;
    things[0] = thing_of(0);
    mem_fail_at(0);
    assert_int_equal(table_insert(&t, &things[0]), -ENOMEM);
    for (uint32_t i = 0; i < 12; i++) {
        things[i] = thing_of(i);
        assert_int_equal(table_insert(&t, &things[i]), 0);
    }
    things[12] = thing_of(12);
    mem_fail_at(0);
    assert_int_equal(table_insert(&t, &things[12]), -ENOMEM);
    assert_int_equal(t.count, 12);
    for (uint32_t i = 0; i < 12; i++) {
        assert_ptr_equal(table_find(&t, things[i].key), &things[i]);
    }
    assert_null(table_find(&t, things[12].key));
    table_fini(&t);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(find__answers_null_on_an_empty_table),
        cmocka_unit_test(insert__refuses_a_key_that_is_there),
        cmocka_unit_test(next__visits_each_object_once),
        cmocka_unit_test(fini__empties_the_table_for_reuse),
        cmocka_unit_test(table__agrees_with_a_naive_model),
        cmocka_unit_test(table__keeps_runs_short),
#ifdef STERNA_FAULT_INJECTION
        cmocka_unit_test(insert__leaves_the_table_as_it_was_without_memory),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

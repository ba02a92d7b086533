/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_cache.h"

#include <errno.h>
#include <stdio.h>

#include "check.h"

enum { TTL = 1000 };

static struct auth_lookup lookup_of(const char *name, int result)
{
    struct auth_lookup lookup = {.result = result};

    lookup.asked.len = (uint16_t)strlen(name);
    memcpy(lookup.asked.bytes, name, strlen(name));
    lookup.name = lookup.asked;
    lookup.realm_len = 1;
    lookup.realm[0] = 'r';
    lookup.keys.has_md5 = true;
    lookup.keys.md5[0] = (uint8_t)name[0];
    return lookup;
}

static void put(struct auth_cache *cache, const char *name, int result, uint64_t now_ms)
{
    const struct auth_lookup lookup = lookup_of(name, result);
    auth_cache_put(cache, &lookup, TTL, now_ms);
}

static int find(struct auth_cache *cache, const char *name, uint64_t now_ms, struct auth_entry *out)
{
    const struct auth_who who = {false, bytes_of(name), bytes_of("r")};
    return auth_cache_find(cache, &who, now_ms, out);
}

static bool has(struct auth_cache *cache, const char *name)
{
    struct auth_entry entry;
    return find(cache, name, 0, &entry) == 0;
}

static void find__gives_what_was_put(void **state)
{
    struct auth_cache *cache = auth_cache_new(8);
    struct auth_entry entry;

    (void)state;
    assert_int_equal(find(cache, "alice", 0, &entry), -ENOENT);
    put(cache, "alice", 0, 0);
    put(cache, "bob", -ENOENT, 0);
    put(cache, "carol", -EIO, 0);
    assert_int_equal(find(cache, "alice", 0, &entry), 0);
    assert_int_equal(entry.answer, AUTH_FOUND);
    assert_true(entry.fresh);
    assert_true(entry.key->has_md5 && !entry.key->has_sha256);
    assert_int_equal(entry.key->md5[0], 'a');
    assert_int_equal(entry.name->len, 5);
    assert_int_equal(find(cache, "bob", 0, &entry), 0);
    assert_int_equal(entry.answer, AUTH_ABSENT);
    assert_int_equal(find(cache, "carol", 0, &entry), 0);
    assert_int_equal(entry.answer, AUTH_FAILED);
    auth_cache_free(cache);
}

static void find__tells_when_an_answer_is_old(void **state)
{
    struct auth_cache *cache = auth_cache_new(8);
    struct auth_entry entry;

    (void)state;
    put(cache, "alice", 0, 100);
    assert_int_equal(find(cache, "alice", 100 + TTL - 1, &entry), 0);
    assert_true(entry.fresh);
    assert_int_equal(find(cache, "alice", 100 + TTL, &entry), 0);
    assert_false(entry.fresh);
    put(cache, "alice", -ENOENT, 100 + TTL);
    assert_int_equal(find(cache, "alice", 100 + TTL, &entry), 0);
    assert_true(entry.fresh);
    assert_int_equal(entry.answer, AUTH_ABSENT);
    assert_int_equal(auth_cache_count(cache), 1);
    auth_cache_free(cache);
}

/* With the database gone, what is known goes on. */
static void failure__keeps_an_older_answer(void **state)
{
    struct auth_cache *cache = auth_cache_new(8);
    struct auth_entry entry;

    (void)state;
    put(cache, "alice", 0, 0);
    put(cache, "alice", -EIO, 5 * TTL);
    assert_int_equal(find(cache, "alice", 5 * TTL, &entry), 0);
    assert_int_equal(entry.answer, AUTH_FOUND);
    assert_true(entry.fresh);
    assert_int_equal(find(cache, "alice", 6 * TTL, &entry), 0);
    assert_false(entry.fresh);
    auth_cache_free(cache);
}

static void realm__is_part_of_who_it_is(void **state)
{
    struct auth_cache *cache = auth_cache_new(8);
    struct auth_lookup lookup = lookup_of("alice", 0);
    const struct auth_who here = {false, bytes_of("alice"), bytes_of("r")};
    const struct auth_who there = {false, bytes_of("alice"), bytes_of("q")};
    const struct auth_who moved = {false, bytes_of("lice"), bytes_of("ra")};
    struct auth_entry entry;

    (void)state;
    auth_cache_put(cache, &lookup, TTL, 0);
    assert_int_equal(auth_cache_find(cache, &here, 0, &entry), 0);
    assert_int_equal(auth_cache_find(cache, &there, 0, &entry), -ENOENT);
    assert_int_equal(auth_cache_find(cache, &moved, 0, &entry), -ENOENT);
    lookup.realm[0] = 'q';
    lookup.result = -ENOENT;
    auth_cache_put(cache, &lookup, TTL, 0);
    assert_int_equal(auth_cache_find(cache, &there, 0, &entry), 0);
    assert_int_equal(entry.answer, AUTH_ABSENT);
    assert_int_equal(auth_cache_find(cache, &here, 0, &entry), 0);
    assert_int_equal(entry.answer, AUTH_FOUND);
    auth_cache_free(cache);
}

static void hash__is_apart_from_names(void **state)
{
    struct auth_cache *cache = auth_cache_new(8);
    struct auth_lookup lookup = lookup_of("0123456789abcdef0123456789abcdef", 0);
    struct auth_who who = {true, {lookup.asked.bytes, 32}, bytes_of("r")};
    struct auth_entry entry;

    (void)state;
    lookup.by_hash = true;
    lookup.name.len = 3;
    memcpy(lookup.name.bytes, "bob", 3);
    auth_cache_put(cache, &lookup, TTL, 0);
    assert_int_equal(auth_cache_find(cache, &who, 0, &entry), 0);
    assert_int_equal(entry.name->len, 3);
    assert_memory_equal(entry.name->bytes, "bob", 3);
    who.by_hash = false;
    assert_int_equal(auth_cache_find(cache, &who, 0, &entry), -ENOENT);
    assert_false(has(cache, "bob"));
    auth_cache_free(cache);
}

static void bound__lets_the_least_used_go(void **state)
{
    struct auth_cache *cache = auth_cache_new(3);

    (void)state;
    put(cache, "a", 0, 0);
    put(cache, "b", 0, 0);
    put(cache, "c", 0, 0);
    assert_true(has(cache, "a")); /* used: now b is the oldest */
    put(cache, "d", 0, 0);
    assert_int_equal(auth_cache_count(cache), 3);
    assert_false(has(cache, "b"));
    assert_true(has(cache, "a") && has(cache, "c") && has(cache, "d"));
    auth_cache_free(cache);
}

/* Names that strangers make up cannot push users out. */
static void bound__holds_for_made_up_names(void **state)
{
    struct auth_cache *cache = auth_cache_new(16);
    char name[16];

    (void)state;
    for (unsigned i = 0; i < 12; i++) {
        (void)snprintf(name, sizeof(name), "user%u", i);
        put(cache, name, 0, 0);
    }
    for (unsigned i = 0; i < 100000; i++) {
        (void)snprintf(name, sizeof(name), "%u", i);
        put(cache, name, i % 2 == 0 ? -ENOENT : -EIO, 0);
        assert_true(auth_cache_count(cache) <= 16);
        assert_true(auth_cache_count_absent(cache) <= 4);
    }
    for (unsigned i = 0; i < 12; i++) {
        (void)snprintf(name, sizeof(name), "user%u", i);
        assert_true(has(cache, name));
    }
    for (unsigned i = 0; i < 4; i++) { /* real users take the places of made-up ones */
        (void)snprintf(name, sizeof(name), "more%u", i);
        put(cache, name, 0, 0);
    }
    assert_int_equal(auth_cache_count(cache), 16);
    assert_int_equal(auth_cache_count_absent(cache), 0);
    assert_true(has(cache, "user0"));
    auth_cache_free(cache);
}

static void bound__of_one_works(void **state)
{
    struct auth_cache *cache = auth_cache_new(1);

    (void)state;
    put(cache, "a", 0, 0);
    put(cache, "b", -ENOENT, 0);
    assert_int_equal(auth_cache_count(cache), 1);
    assert_true(has(cache, "b"));
    put(cache, "c", 0, 0);
    assert_int_equal(auth_cache_count(cache), 1);
    assert_true(has(cache, "c"));
    auth_cache_clear(cache);
    assert_int_equal(auth_cache_count(cache), 0);
    assert_false(has(cache, "c"));
    auth_cache_free(cache);
    auth_cache_free(NULL);
}

static void put_outside(struct auth_cache *cache, const char *name, int result, bool guessed)
{
    struct auth_lookup lookup = lookup_of(name, result);

    lookup.extra.outside = true;
    lookup.extra.guessed = guessed;
    lookup.extra.key_count = 1;
    auth_cache_put(cache, &lookup, TTL, 0);
}

/* Whoever was let in from outside must not stay because nobody can be asked. */
static void outside__is_never_kept_beyond_its_time(void **state)
{
    struct auth_cache *cache = auth_cache_new(8);
    struct auth_entry entry;

    (void)state;
    put_outside(cache, "alice", 0, false);
    assert_int_equal(find(cache, "alice", 0, &entry), 0);
    assert_true(entry.answer == AUTH_FOUND && entry.extra != NULL && entry.extra->key_count == 1);
    put(cache, "alice", -EIO, TTL); /* the database failed */
    assert_int_equal(find(cache, "alice", TTL, &entry), 0);
    assert_int_equal(entry.answer, AUTH_FAILED);
    put(cache, "bob", 0, 0);
    assert_int_equal(find(cache, "bob", 0, &entry), 0);
    assert_null(entry.extra);
    put_outside(cache, "bob", -EIO, false); /* the database knows him no more, the hook failed */
    assert_int_equal(find(cache, "bob", 0, &entry), 0);
    assert_int_equal(entry.answer, AUTH_FAILED);
    auth_cache_free(cache);
}

static void outside__guessed_names_have_a_quarter(void **state)
{
    struct auth_cache *cache = auth_cache_new(8);
    char name[16];

    (void)state;
    put(cache, "alice", 0, 0);
    put_outside(cache, "bob", 0, false);
    for (int i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof(name), "made up %d", i);
        put_outside(cache, name, 0, true);
        assert_true(has(cache, name)); /* for the request that asked */
    }
    assert_true(has(cache, "alice") && has(cache, "bob"));
    assert_int_equal(auth_cache_count_absent(cache), 2);
    assert_int_equal(auth_cache_count(cache), 4);
    put_outside(cache, name, 0, false); /* proven now */
    assert_int_equal(auth_cache_count_absent(cache), 1);
    auth_cache_clear(cache);
    assert_int_equal(auth_cache_count(cache), 0);
    auth_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(find__gives_what_was_put),
        cmocka_unit_test(find__tells_when_an_answer_is_old),
        cmocka_unit_test(failure__keeps_an_older_answer),
        cmocka_unit_test(realm__is_part_of_who_it_is),
        cmocka_unit_test(hash__is_apart_from_names),
        cmocka_unit_test(bound__lets_the_least_used_go),
        cmocka_unit_test(bound__holds_for_made_up_names),
        cmocka_unit_test(bound__of_one_works),
        cmocka_unit_test(outside__is_never_kept_beyond_its_time),
        cmocka_unit_test(outside__guessed_names_have_a_quarter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

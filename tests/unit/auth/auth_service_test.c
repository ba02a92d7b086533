/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>

#include "base/mem.h"
#include "desk.h"

static int make(void **state)
{
    *state = desk_make();
    return 0;
}

static int remove_all(void **state)
{
    desk_remove(*state);
    return 0;
}

static struct auth_status status_of(const struct desk *desk)
{
    struct auth_status status;

    auth_service_status(desk->service, &status);
    return status;
}

static int reload(struct desk *desk, const char *lines)
{
    struct conf *conf = desk_conf(desk, lines);
    char why[400];
    const int err = auth_service_reload(desk->service, conf, why, sizeof(why));

    conf_unref(conf);
    return err;
}

static void new__says_why_it_cannot(void **state)
{
    struct desk *desk = *state;
    char why[400] = "";
    struct auth_service *service = NULL;

    desk->conf = settings("realm=r\nlt-cred-mech\nuserdb=/nonexistent/db\n");
    assert_int_equal(auth_service_new(desk->conf, &service, why, sizeof(why)), -ENOENT);
    assert_non_null(strstr(why, "/nonexistent/db: cannot be made"));
    assert_null(service);
}

static void new__needs_no_database(void **state)
{
    struct desk *desk = *state;
    struct credential_keys keys;
    char why[400];

    desk->conf = settings("realm=r\nuser=bob:builder\n");
    assert_int_equal(auth_service_new(desk->conf, &desk->service, why, sizeof(why)), 0);
    assert_int_equal(auth_worker_new(desk->service, desk_wake, desk, &desk->worker), 0);
    assert_int_equal(desk_find(desk, "bob", &keys), 0);
    assert_int_equal(desk_find(desk, "dave", &keys), -ENOENT);
    assert_int_equal(auth_service_poll(desk->service), 0);
    struct conf *other = settings("realm=r\nuser=carol:x\n");
    assert_int_equal(auth_service_reload(desk->service, other, why, sizeof(why)), 0);
    conf_unref(other);
    assert_int_equal(desk_find(desk, "bob", &keys), -ENOENT);
    assert_int_equal(desk_find(desk, "carol", &keys), 0);
}

static void reload__changes_users_and_forgets_answers(void **state)
{
    struct desk *desk = *state;
    struct credential_keys keys;

    desk_add_user(desk, "dave", "pass");
    desk_start(desk, "user=bob:old\nlt-cred-mech");
    assert_int_equal(desk_find(desk, "dave", &keys), 0);
    assert_int_equal(desk_find(desk, "bob", &keys), 0);
    desk_expect_key(&keys.key[0], "bob", "old");
    desk_sql(desk, "DELETE FROM turnusers_lt");
    assert_int_equal(desk_find(desk, "dave", &keys), 0);
    assert_int_equal(reload(desk, "user=bob:new\nlt-cred-mech"), 0);
    assert_int_equal(desk_find(desk, "bob", &keys), 0);
    desk_expect_key(&keys.key[0], "bob", "new");
    assert_int_equal(desk_find(desk, "dave", &keys), -ENOENT);
}

static void reload__changes_secrets(void **state)
{
    struct desk *desk = *state;
    struct credential_keys keys;

    desk_start(desk, "static-auth-secret=one\nstatic-auth-secret=two");
    assert_int_equal(desk_find(desk, "2000:x", &keys), 0);
    assert_int_equal(keys.count, 2);
    assert_int_equal(status_of(desk).secrets, 2);
    assert_int_equal(reload(desk, "static-auth-secret=two"), 0);
    assert_int_equal(desk_find(desk, "2000:x", &keys), 0);
    assert_int_equal(keys.count, 1);
    assert_int_equal(status_of(desk).secrets, 1);
}

/* An answer that was asked for under one realm must not be taken under another. */
static void reload__voids_answers_under_way(void **state)
{
    struct desk *desk = *state;
    const struct credential_query query = {.username = bytes_of("dave"), .proven = true};
    struct credential_keys keys;
    char why[400];
    char lines[200];

    desk_add_user(desk, "dave", "pass");
    desk_start(desk, "lt-cred-mech");
    assert_int_equal(desk_ask(desk, &query, &keys), -EAGAIN);
    assert_int_equal(pthread_mutex_lock(&desk->lock), 0);
    while (desk->wakes == 0) { /* it is answered, but not collected */
        assert_int_equal(pthread_cond_wait(&desk->woken, &desk->lock), 0);
    }
    assert_int_equal(pthread_mutex_unlock(&desk->lock), 0);
    (void)snprintf(lines, sizeof(lines), "realm=q\nlt-cred-mech\nuserdb=%s\n", desk->path);
    struct conf *conf = settings(lines);
    assert_int_equal(auth_service_reload(desk->service, conf, why, sizeof(why)), 0);
    conf_unref(conf);
    assert_int_equal(desk_collect(desk), 1);
    assert_int_equal(desk_find(desk, "dave", &keys), -ENOENT);
}

static void poll__sees_new_secrets_and_users(void **state)
{
    struct desk *desk = *state;
    struct credential_keys keys;

    desk_start(desk, "use-auth-secret\nlt-cred-mech");
    assert_int_equal(desk_find(desk, "2000:x", &keys), -ENOENT);
    assert_true(auth_service_abilities(desk->service).sha256);
    struct store *store = desk_store(desk);
    assert_int_equal(store_secret_add(store, bytes_of("r"), bytes_of("s")), 0);
    store_close(store);
    desk_sql(desk, "INSERT INTO turnusers_lt VALUES ('r', 'x', "
                   "'72f86f2053703faa0f521ce71cfe6f59')");
    assert_int_equal(auth_service_poll(desk->service), 0);
    assert_int_equal(desk_find(desk, "2000:x", &keys), 0);
    assert_false(auth_service_abilities(desk->service).sha256);
    assert_false(auth_service_abilities(desk->service).md5_only); /* secrets give SHA-256 keys */
}

static void poll__tells_of_secrets_that_do_not_fit(void **state)
{
    struct desk *desk = *state;

    desk_start(desk, "use-auth-secret");
    struct store *store = desk_store(desk);
    for (unsigned i = 0; i < CREDENTIAL_MAX_KEYS + 2; i++) {
        char value[16];
        (void)snprintf(value, sizeof(value), "secret%u", i);
        assert_int_equal(store_secret_add(store, bytes_of("r"), bytes_of(value)), 0);
    }
    store_close(store);
    assert_int_equal(auth_service_poll(desk->service), 0);
    assert_int_equal(status_of(desk).secrets, CREDENTIAL_MAX_KEYS);
    assert_int_equal(status_of(desk).secrets_ignored, 2);
}

/* Losing the database never loses a call: what is known goes on, the rest is told to come again. */
static void gone__database_leaves_what_is_known(void **state)
{
    struct desk *desk = *state;
    struct credential_keys keys;
    char old[64];

    (void)snprintf(old, sizeof(old), "%s.old", desk->path);
    desk_add_user(desk, "dave", "pass");
    desk_add_user(desk, "erin", "pass");
    desk_start(desk, "lt-cred-mech\nuser=bob:builder\nstatic-auth-secret=north\n"
                     "user-cache-ttl=60");
    assert_int_equal(desk_find(desk, "dave", &keys), 0);
    assert_int_equal(rename(desk->path, old), 0);
    assert_int_equal(auth_service_poll(desk->service), -EIO);
    assert_true(status_of(desk).failing);
    assert_true(status_of(desk).since_s > 0);
    assert_non_null(strstr(status_of(desk).error, "No such file"));
    assert_int_equal(desk_find(desk, "bob", &keys), 0);
    assert_int_equal(desk_find(desk, "2000:x", &keys), 0); /* its secret is enough */
    assert_int_equal(desk_find(desk, "erin", &keys), -EBUSY);
    assert_int_equal(desk_find(desk, "dave", &keys), 0);
    desk->now_ms = 60000; /* too old, but nobody can tell better */
    assert_int_equal(desk_find(desk, "dave", &keys), 0);
    assert_int_equal(rename(old, desk->path), 0);
    assert_int_equal(auth_service_poll(desk->service), 0);
    assert_false(status_of(desk).failing);
    desk->now_ms = 120000;
    assert_int_equal(desk_find(desk, "erin", &keys), 0);
    assert_int_equal(desk_find(desk, "dave", &keys), 0);
    assert_true(status_of(desk).failures > 0);
}

static void locked__database_is_told(void **state)
{
    struct desk *desk = *state;
    struct credential_keys keys;
    sqlite3 *other;

    desk_add_user(desk, "dave", "pass");
    desk_start(desk, "lt-cred-mech");
    assert_int_equal(sqlite3_open(desk->path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(desk_find(desk, "dave", &keys), -EBUSY);
    assert_true(status_of(desk).failing);
    assert_non_null(strstr(status_of(desk).error, "locked by another program"));
    assert_int_equal(reload(desk, "lt-cred-mech\nuser=bob:x"), 0); /* works all the same */
    assert_int_equal(desk_find(desk, "bob", &keys), 0);
    assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_int_equal(auth_service_poll(desk->service), 0);
    desk->now_ms = 10000;
    assert_int_equal(desk_find(desk, "dave", &keys), 0);
}

static void free__takes_questions_along(void **state)
{
    struct desk *desk = *state;
    struct credential_keys keys;
    char name[16];

    desk_start(desk, "lt-cred-mech");
    for (unsigned i = 0; i < 64; i++) {
        (void)snprintf(name, sizeof(name), "user%u", i);
        const struct credential_query query = {.username = bytes_of(name), .proven = true};
        assert_int_equal(desk_ask(desk, &query, &keys), -EAGAIN);
    }
    auth_worker_free(desk->worker); /* with answers and questions under way */
    desk->worker = NULL;
}

/* With the build option fault_injection each allocation fails in its turn; without it, the first
 * attempt is the last. */
static void new__gives_everything_back_without_memory(void **state)
{
    struct desk *desk = *state;
    char why[400];
    int err = -ENOMEM;

    desk->conf = desk_conf(desk, "lt-cred-mech\nuser=a:x\nuser=b:y\nstatic-auth-secret=s");
    for (long n = 0; err < 0; n++) {
        mem_fail_at(n);
        err = auth_service_new(desk->conf, &desk->service, why, sizeof(why));
        mem_fail_at(-1);
        assert_true(err == 0 || err == -ENOMEM);
    }
    err = -ENOMEM;
    for (long n = 0; err < 0; n++) {
        mem_fail_at(n);
        err = auth_worker_new(desk->service, desk_wake, desk, &desk->worker);
        mem_fail_at(-1);
        assert_true(err == 0 || err == -ENOMEM);
    }
    err = -ENOMEM;
    for (long n = 0; err < 0; n++) {
        mem_fail_at(n);
        err = auth_service_reload(desk->service, desk->conf, why, sizeof(why));
        mem_fail_at(-1);
        assert_true(err == 0 || err == -ENOMEM);
    }
}

enum { WORKERS = 4, ROUNDS = 400 };

struct hand {
    pthread_t thread;
    struct auth_service *service;
    _Atomic unsigned answers;
    unsigned found;
};

static void hand_wake(void *arg)
{
    struct hand *hand = arg;
    atomic_fetch_add(&hand->answers, 1);
}

/* A worker as the server has it: it asks, collects when woken, and asks again. */
static void *hand_run(void *arg)
{
    struct hand *hand = arg;
    struct auth_worker *worker;
    struct credential_keys *keys = calloc(1, sizeof(*keys));
    char name[16];

    assert_non_null(keys);
    assert_int_equal(auth_worker_new(hand->service, hand_wake, hand, &worker), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        (void)snprintf(name, sizeof(name), i % 3 == 0 ? "bob" : "2000:%u", i % 7);
        if (i % 3 == 1) {
            (void)snprintf(name, sizeof(name), "user%u", i % 50);
        }
        const struct credential_query query = {.username = bytes_of(name), .proven = true};
        const int err = auth_worker_find(worker, &query, 1000, i * 100, keys);
        hand->found += err == 0 ? 1 : 0;
        if (atomic_exchange(&hand->answers, 0) > 0) {
            (void)auth_worker_collect(worker, i * 100);
        }
    }
    auth_worker_free(worker);
    free(keys);
    return NULL;
}

static void threads__share_one_service(void **state)
{
    struct desk *desk = *state;
    struct hand hands[WORKERS];

    desk_add_user(desk, "user1", "pass");
    desk_start(desk, "lt-cred-mech\nuser=bob:builder\nstatic-auth-secret=north");
    memset(hands, 0, sizeof(hands));
    for (size_t i = 0; i < WORKERS; i++) {
        hands[i].service = desk->service;
        assert_int_equal(pthread_create(&hands[i].thread, NULL, hand_run, &hands[i]), 0);
    }
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(reload(desk, i % 2 == 0 ? "lt-cred-mech\nuser=bob:other"
                                                 : "lt-cred-mech\nuser=bob:builder"),
                         0);
        assert_int_equal(auth_service_poll(desk->service), 0);
        (void)auth_service_abilities(desk->service);
        (void)status_of(desk);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_join(hands[i].thread, NULL), 0);
        assert_true(hands[i].found >= ROUNDS / 3); /* bob was always there */
    }
}

int main(void)
{
#define EACH(name) cmocka_unit_test_setup_teardown(name, make, remove_all)
    const struct CMUnitTest tests[] = {
        EACH(new__says_why_it_cannot),
        EACH(new__needs_no_database),
        EACH(reload__changes_users_and_forgets_answers),
        EACH(reload__changes_secrets),
        EACH(reload__voids_answers_under_way),
        EACH(poll__sees_new_secrets_and_users),
        EACH(poll__tells_of_secrets_that_do_not_fit),
        EACH(gone__database_leaves_what_is_known),
        EACH(locked__database_is_told),
        EACH(free__takes_questions_along),
        EACH(new__gives_everything_back_without_memory),
        EACH(threads__share_one_service),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

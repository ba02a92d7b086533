/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens and the hook as a worker sees them.  What a hook answers over HTTP is in
 * tests/system/test_auth_hook.py. */
#include "auth/auth_outside.h"

#include <sys/socket.h>
#include <time.h>

#include "base/mem.h"
#include "desk.h"
#include "jwt_maker.h"

#define TOKENS "jwt-secret=" JWT_SECRET

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

/* A service without a database. */
static void start(struct desk *desk, const char *lines)
{
    char text[1024];
    char why[400] = "";

    (void)snprintf(text, sizeof(text), "realm=r\n%s\n", lines);
    desk->conf = settings(text);
    assert_int_equal(auth_service_new(desk->conf, &desk->service, why, sizeof(why)), 0);
    assert_int_equal(auth_worker_new(desk->service, desk_wake, desk, &desk->worker), 0);
}

static int reload(struct desk *desk, const char *lines)
{
    char text[1024];
    char why[400];

    (void)snprintf(text, sizeof(text), "realm=r\n%s\n", lines);
    struct conf *conf = settings(text);
    const int err = auth_service_reload(desk->service, conf, why, sizeof(why));
    conf_unref(conf);
    return err;
}

static int ask(struct desk *desk, const struct credential_query *query, uint64_t wall_s,
               struct credential_keys *out)
{
    int err = auth_worker_find(desk->worker, query, wall_s, desk->now_ms, out);

    while (err == -EAGAIN) {
        (void)desk_collect(desk);
        err = auth_worker_find(desk->worker, query, wall_s, desk->now_ms, out);
    }
    return err;
}

/* header.payload of a token that ends in ten minutes, for `sub`. */
static struct jwt_text half_of(const char *sub)
{
    char claims[200];

    (void)snprintf(claims, sizeof(claims), "{\"sub\":\"%s\",\"exp\":%lld}", sub,
                   (long long)time(NULL) + 600);
    return jwt_half("{\"alg\":\"HS256\"}", claims);
}

static void token__gives_keys_and_an_account(void **state)
{
    struct desk *desk = *state;
    const struct jwt_text half = half_of("alice");
    struct credential_keys keys;

    start(desk, TOKENS);
    assert_int_equal(desk_find(desk, half.text, &keys), 0);
    assert_int_equal(keys.count, 1);
    desk_expect_key(&keys.key[0], half.text, jwt_hs256(half, JWT_SECRET, strlen(JWT_SECRET)).text);
    assert_int_equal(keys.name_len, strlen(half.text));
    assert_int_equal(keys.quota_from, keys.name_len);
    assert_true(bytes_equal((struct bytes){keys.name + keys.quota_from, keys.quota_len},
                            bytes_of("alice")));
    assert_false(auth_service_abilities(desk->service).userhash);
    assert_true(auth_service_abilities(desk->service).sha256);
}

/* Proves T-7519-4.1.4-01 */
static void token__age_counts_for_allocate_only(void **state)
{
    struct desk *desk = *state;
    const struct jwt_text half = half_of("alice");
    struct credential_query query = {
        .username = bytes_of(half.text), .allocate = true, .proven = true};
    struct credential_keys keys;
    const uint64_t end_s = (uint64_t)time(NULL) + 600;

    start(desk, TOKENS);
    assert_int_equal(ask(desk, &query, end_s + 20, &keys), 0);
    assert_int_equal(ask(desk, &query, end_s + 100, &keys), -ENOENT);
    query.allocate = false;
    assert_int_equal(ask(desk, &query, end_s + 100, &keys), 0);
}

static void token__needs_a_proven_address(void **state)
{
    struct desk *desk = *state;
    const struct jwt_text half = half_of("alice");
    const struct credential_query query = {.username = bytes_of(half.text)};
    struct credential_keys keys;

    start(desk, TOKENS);
    assert_int_equal(desk_ask(desk, &query, &keys), -EBUSY);
    assert_int_equal(desk_find(desk, "alice", &keys), -ENOENT); /* nobody to ask about her */
    assert_int_equal(desk->wakes, 0);
}

/* Proves T-JWT-1-02 */
static void token__as_a_whole_needs_tls(void **state)
{
    static const struct {
        enum net_transport transport;
        int plain;
        int result;
    } samples[] = {
        {NET_UDP, 0, -ENOENT}, {NET_TCP, 0, -ENOENT}, {NET_PROXIED, 0, -ENOENT}, {NET_TLS, 0, 0},
        {NET_DTLS, 0, 0},      {NET_UDP, 0, -ENOENT}, /* cached by now, but not for him */
        {NET_UDP, 1, 0},       {NET_TCP, 1, 0},
    };
    struct desk *desk = *state;
    const struct jwt_text whole = jwt_hs256(half_of("alice"), JWT_SECRET, strlen(JWT_SECRET));
    struct credential_keys keys;

    start(desk, TOKENS);
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        const struct credential_query query = {.username = bytes_of(whole.text),
                                               .transport = (uint8_t)samples[i].transport,
                                               .allocate = true,
                                               .proven = true};
        if (samples[i].plain != 0) {
            assert_int_equal(reload(desk, TOKENS "\njwt-plain"), 0);
        }
        assert_int_equal(ask(desk, &query, 1000, &keys), samples[i].result);
    }
    desk_expect_key(&keys.key[0], whole.text, whole.text);
}

static void token__comes_behind_the_database(void **state)
{
    struct desk *desk = *state;
    const struct jwt_text half = half_of("alice");
    const struct jwt_text other = half_of("bob");
    struct credential_keys keys;

    desk_add_user(desk, half.text, "of the database");
    desk_start(desk, "lt-cred-mech\n" TOKENS);
    assert_int_equal(desk_find(desk, half.text, &keys), 0);
    desk_expect_key(&keys.key[0], half.text, "of the database");
    assert_int_equal(desk_find(desk, other.text, &keys), 0);
    desk_expect_key(&keys.key[0], other.text,
                    jwt_hs256(other, JWT_SECRET, strlen(JWT_SECRET)).text);
    assert_int_equal(desk_find(desk, "carol", &keys), -ENOENT);
}

/* A database for secrets alone is not asked for users. */
static void token__works_beside_secrets_of_a_database(void **state)
{
    struct desk *desk = *state;
    const struct jwt_text half = half_of("alice");
    struct credential_keys keys;

    desk_add_user(desk, "dave", "pass");
    desk_start(desk, "use-auth-secret\n" TOKENS);
    assert_int_equal(desk_find(desk, half.text, &keys), 0);
    assert_int_equal(desk_find(desk, "dave", &keys), -ENOENT);
}

static void reload__changes_tokens(void **state)
{
    struct desk *desk = *state;
    const struct jwt_text half = half_of("alice");
    struct credential_keys keys;

    start(desk, "user=bob:builder");
    assert_int_equal(desk_find(desk, half.text, &keys), -ENOENT);
    assert_int_equal(reload(desk, TOKENS), 0);
    assert_int_equal(desk_find(desk, half.text, &keys), 0);
    assert_int_equal(reload(desk, "jwt-secret=" JWT_SECRET2), 0);
    assert_int_equal(desk_find(desk, half.text, &keys), 0);
    desk_expect_key(&keys.key[0], half.text,
                    jwt_hs256(half, JWT_SECRET2, strlen(JWT_SECRET2)).text);
    assert_int_equal(reload(desk, "user=bob:builder"), 0);
    assert_int_equal(desk_find(desk, half.text, &keys), -ENOENT);
}

/* Any of the secrets that the configuration may have can have signed it. */
static void token__may_be_of_every_secret(void **state)
{
    struct desk *desk = *state;
    const struct jwt_text half = half_of("alice");
    struct credential_keys keys;
    char lines[1000] = "";

    for (int i = 0; i < CREDENTIAL_MAX_KEYS; i++) {
        const size_t n = strlen(lines);
        (void)snprintf(lines + n, sizeof(lines) - n, "jwt-secret=%d %s\n", i, JWT_SECRET);
    }
    start(desk, lines);
    assert_int_equal(desk_find(desk, half.text, &keys), 0);
    assert_int_equal(keys.count, CREDENTIAL_MAX_KEYS);
    for (int i = 0; i < CREDENTIAL_MAX_KEYS; i++) {
        char secret[64];
        const int n = snprintf(secret, sizeof(secret), "%d %s", i, JWT_SECRET);
        desk_expect_key(&keys.key[i], half.text, jwt_hs256(half, secret, (size_t)n).text);
    }
}

/* Whatever the thread is at: what is asked after a reload is judged by what was reloaded. */
static void reload__counts_for_the_next_question(void **state)
{
    struct desk *desk = *state;
    const struct jwt_text half = half_of("alice");
    const char *const secrets[] = {JWT_SECRET, JWT_SECRET2};
    struct credential_keys keys;
    char lines[200];

    start(desk, TOKENS);
    for (int i = 0; i < 300; i++) {
        const char *secret = secrets[i % 2];
        (void)snprintf(lines, sizeof(lines), "jwt-secret=%s", secret);
        assert_int_equal(reload(desk, lines), 0);
        assert_int_equal(desk_find(desk, half.text, &keys), 0);
        desk_expect_key(&keys.key[0], half.text, jwt_hs256(half, secret, strlen(secret)).text);
    }
}

/* Nobody listens there: bound, so that nobody else does, and not listening. */
static int closed_port(uint16_t *out_port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(addr);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    *out_port = ntohs(addr.sin_port);
    return fd;
}

static void hook__that_is_dead_lets_nobody_in(void **state)
{
    struct desk *desk = *state;
    struct credential_keys keys;
    struct net_addr backends[AUTH_BACKENDS];
    uint16_t port;
    char lines[200];
    const int fd = closed_port(&port);

    (void)snprintf(lines, sizeof(lines), "auth-hook=http://127.0.0.1:%u/\n" TOKENS, port);
    start(desk, lines);
    assert_int_equal(desk_find(desk, "alice", &keys), -EBUSY);
    assert_int_equal(desk_find(desk, half_of("alice").text, &keys), 0);
    assert_true(auth_service_backends(desk->service, backends, AUTH_BACKENDS) >= 1);
    assert_int_equal(backends[0].port, port);
    assert_int_equal(desk_find(desk, "\xff", &keys), -ENOENT); /* no text that could be asked */
    assert_int_equal(close(fd), 0);
}

/* Connections are taken by the kernel, and nobody ever answers. */
static void hook_hangs(struct desk *desk, const char *option, uint32_t under_way)
{
    struct credential_keys keys;
    uint16_t port;
    char lines[200];
    const int fd = closed_port(&port);
    char name[16];

    assert_int_equal(listen(fd, 200), 0);
    (void)snprintf(lines, sizeof(lines),
                   "auth-hook-timeout=9000\n%s\nauth-hook=http://127.0.0.1:%u/", option, port);
    start(desk, lines);
    for (int i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof(name), "user%d", i);
        const struct credential_query query = {.username = bytes_of(name), .proven = true};
        assert_int_equal(desk_ask(desk, &query, &keys), -EAGAIN);
    }
    for (uint32_t done = 0; done < 100 - under_way;) { /* the others are not asked about */
        done += desk_collect(desk);
    }
    auth_worker_free(desk->worker);
    desk->worker = NULL;
    assert_int_equal(close(fd), 0);
}

static void hook__that_hangs_can_be_left(void **state)
{
    hook_hangs(*state, "", 64); /* of one worker */
}

static void hook__that_hangs_has_a_bound(void **state)
{
    hook_hangs(*state, "auth-hook-max-pending=10", 10);
}

static void new__survives_without_memory(void **state)
{
    struct desk *desk = *state;
    char why[400];
    int err = -ENOMEM;
    int n = 0;

    desk->conf = settings("realm=r\njwt-audience=a\nauth-hook-header=A: b\njwt-issuer=i\n"
                          "auth-hook=http://127.0.0.1:9/\n" TOKENS "\n");
    for (; err == -ENOMEM; n++) {
        mem_fail_at(n);
        err = auth_service_new(desk->conf, &desk->service, why, sizeof(why));
        mem_fail_at(-1);
        assert_true(err == 0 || strstr(why, "memory") != NULL);
    }
    assert_int_equal(err, 0);
#ifdef STERNA_FAULT_INJECTION
    assert_true(n > 10);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(token__gives_keys_and_an_account, make, remove_all),
        cmocka_unit_test_setup_teardown(token__age_counts_for_allocate_only, make, remove_all),
        cmocka_unit_test_setup_teardown(token__needs_a_proven_address, make, remove_all),
        cmocka_unit_test_setup_teardown(token__as_a_whole_needs_tls, make, remove_all),
        cmocka_unit_test_setup_teardown(token__comes_behind_the_database, make, remove_all),
        cmocka_unit_test_setup_teardown(token__works_beside_secrets_of_a_database, make,
                                        remove_all),
        cmocka_unit_test_setup_teardown(reload__changes_tokens, make, remove_all),
        cmocka_unit_test_setup_teardown(token__may_be_of_every_secret, make, remove_all),
        cmocka_unit_test_setup_teardown(reload__counts_for_the_next_question, make, remove_all),
        cmocka_unit_test_setup_teardown(hook__that_is_dead_lets_nobody_in, make, remove_all),
        cmocka_unit_test_setup_teardown(hook__that_hangs_can_be_left, make, remove_all),
        cmocka_unit_test_setup_teardown(hook__that_hangs_has_a_bound, make, remove_all),
        cmocka_unit_test_setup_teardown(new__survives_without_memory, make, remove_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "io/tls_int.h"
#include "tls_call.h"

static struct pki leaf;
static struct pki other;
static char file[128];

static int make(void **state)
{
    (void)state;
    if (pki_begin() < 0) {
        return -1;
    }
    leaf = pki_make((struct pki_want){.name = "leaf", .until_s = 5 * PKI_DAY});
    other = pki_make((struct pki_want){.name = "other", .until_s = 9 * PKI_DAY});
    (void)snprintf(file, sizeof(file), "%s", pki_both_file("leaf.pem", &leaf));
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    pki_free(&leaf);
    pki_free(&other);
    return pki_end();
}

static void set__goes_with_its_last_connection(void **state) /* Proves K36 */
{
    const struct tls_section sections[] = {{.certificate = file},
                                           {.certificate = file, .name = "a"},
                                           {.certificate = file, .name = "b"}};
    struct tls_set *set = call_set(sections, 3, NULL);
    struct call done = {.to = tls_set_context(set, TLS_STREAM, NULL), .sni = "b"};
    struct call halfway = {
        .to = tls_set_context(set, TLS_DATAGRAM, "a"), .kind = TLS_DATAGRAM, .sni = "b"};

    (void)state;
    assert_int_equal(tls_set_live_count(), 1);
    assert_ptr_equal(tls_set_ref(set), set);
    assert_true(call_make(&done));
    call_begin(&halfway);
    tls_set_unref(set);
    assert_int_equal(tls_set_live_count(), 1);
    tls_set_unref(set); /* the last one: only connections are left */
    assert_int_equal(tls_set_live_count(), 1);
    assert_true(call_talks(&done));
    call_run(&halfway);
    assert_true(halfway.done);
    assert_true(call_talks(&halfway));
    call_end(&done);
    assert_int_equal(tls_set_live_count(), 1);
    call_end(&halfway);
    assert_int_equal(tls_set_live_count(), 0);
    tls_set_unref(NULL);
}

static void set__is_gone_at_once_when_unused(void **state)
{
    const struct tls_section sections[] = {{.certificate = file},
                                           {.certificate = file, .name = "a"}};
    struct tls_set *one = call_set(sections, 1, NULL);
    struct tls_set *two = call_set(sections, 2, NULL);

    (void)state;
    assert_int_equal(tls_set_live_count(), 2);
    tls_set_unref(one);
    assert_int_equal(tls_set_live_count(), 1);
    tls_set_unref(two);
    assert_int_equal(tls_set_live_count(), 0);
}

static void context__is_found_by_name(void **state)
{
    const struct tls_section sections[] = {{.certificate = file, .name = "One.Example"},
                                           {.certificate = file, .name = "*.two"},
                                           {.certificate = file}};
    struct tls_set *set = call_set(sections, 3, NULL);
    struct tls_set *nameless = call_set(sections, 2, NULL);
    char far[TLS_NAME_MAX + 2];

    (void)state;
    SSL_CTX *one = tls_set_context(set, TLS_STREAM, "one.example");
    assert_non_null(one);
    assert_ptr_equal(tls_set_context(set, TLS_STREAM, "ONE.example"), one);
    assert_ptr_not_equal(tls_set_context(set, TLS_DATAGRAM, "one.example"), one);
    assert_ptr_not_equal(tls_set_context(set, TLS_STREAM, NULL), one);
    assert_ptr_equal(tls_set_context(set, TLS_STREAM, ""), tls_set_context(set, TLS_STREAM, NULL));
    assert_non_null(tls_set_context(set, TLS_STREAM, "*.two"));
    assert_null(tls_set_context(set, TLS_STREAM, "a.two"));
    memset(far, 'a', sizeof(far));
    far[sizeof(far) - 1] = 0;
    assert_null(tls_set_context(set, TLS_STREAM, far));
    assert_ptr_equal(tls_set_context(nameless, TLS_STREAM, NULL),
                     tls_set_context(nameless, TLS_STREAM, "one.example"));
    tls_set_unref(set);
    tls_set_unref(nameless);
}

static char why[300];

static int judge(const struct tls_section *sections, size_t count)
{
    const struct tls_options options = {.count = count, .sections = sections};
    struct tls_set *set = NULL;
    const int err = tls_set_new(&options, &set, why, sizeof(why));

    assert_null(set);
    assert_int_equal(tls_set_live_count(), 0);
    return err;
}

static void names__are_judged(void **state)
{
    struct tls_section sections[] = {{.certificate = file, .where = "turn.conf:1"},
                                     {.certificate = file, .where = "turn.conf:2", .name = ""},
                                     {.certificate = file, .where = "turn.conf:3", .name = "a"}};
    static const char *const bad[] = {"*", "*.", "a*.b", "*.*.a", "a b", "a/b", "caf\xc3\xa9.fr"};

    (void)state;
    assert_int_equal(judge(sections, 0), -EINVAL);
    assert_string_equal(why, "there is no TLS section");
    assert_int_equal(judge(sections, 3), -EINVAL);
    assert_non_null(strstr(why, "there are two default sections"));
    sections[1].name = "A";
    assert_int_equal(judge(sections, 3), -EINVAL);
    assert_non_null(strstr(why, "there are two sections \"a\""));
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        sections[1].name = bad[i];
        assert_int_equal(judge(sections, 3), -EINVAL);
        assert_non_null(strstr(why, "turn.conf:2: '"));
        assert_non_null(strstr(why, "is not a host name"));
    }
}

static void expiry__is_that_of_the_first(void **state)
{
    const struct tls_section sections[] = {
        {.certificate = pki_both_file("other.pem", &other)},
        {.certificate = file, .name = "a"},
    };
    struct tls_set *set = call_set(sections, 2, NULL);
    const int64_t now_s = (int64_t)time(NULL);

    (void)state;
    assert_in_range(tls_set_expires_in(set, now_s), 5 * PKI_DAY - 300, 5 * PKI_DAY);
    assert_in_range(-tls_set_expires_in(set, now_s + 6 * PKI_DAY), PKI_DAY, PKI_DAY + 300);
    tls_set_unref(set);
}

static void files__are_recognised(void **state)
{
    const struct tls_section section = {.certificate = pki_cert_file("c.pem", &leaf, NULL),
                                        .private_key = pki_key_file("k.pem", &leaf, NULL)};
    struct tls_set *set = call_set(&section, 1, NULL);
    unsigned tries = 0;

    (void)state;
    assert_false(tls_set_files_changed(set));
    assert_int_equal(rename(pki_path("k.pem"), pki_path("away.pem")), 0);
    assert_false(tls_set_files_changed(set)); /* half of a renewal */
    (void)pki_key_file("k.pem", &leaf, NULL);
    assert_true(tls_set_files_changed(set)); /* another inode */
    tls_set_unref(set);

    set = call_set(&section, 1, NULL);
    assert_false(tls_set_files_changed(set));
    (void)pki_text("c.pem", "another size");
    assert_true(tls_set_files_changed(set));
    (void)pki_cert_file("c.pem", &leaf, NULL);
    tls_set_unref(set);

    /* Written in place, with the same size: told by the time alone, which moves in steps. */
    set = call_set(&section, 1, NULL);
    do {
        (void)pki_cert_file("c.pem", &leaf, NULL);
        assert_true(tries++ < 1000000);
    } while (!tls_set_files_changed(set));
    tls_set_unref(set);
}

/* A key that only somebody else can open. */
struct opener {
    const char *path;
    unsigned asked;
    int result; /* 0: what open() says */
};

static int open_for(void *arg, const char *path)
{
    struct opener *opener = arg;

    opener->asked++;
    if (opener->result < 0) {
        return opener->result;
    }
    assert_string_equal(path, opener->path);
    return open(pki_path("behind.pem"), O_RDONLY | O_CLOEXEC);
}

/* Root may read everything, so the test becomes nobody for a while. */
static void key__that_may_not_be_read_is_opened_by_the_opener(void **state)
{
    const char *locked = pki_text("locked.pem", "");
    const struct tls_section section = {.certificate = file, .private_key = locked};
    struct opener opener = {.path = locked};
    struct tls_options options = {.count = 1, .sections = &section};
    struct tls_set *set = NULL;

    (void)state;
    (void)pki_key_file("behind.pem", &leaf, NULL);
    assert_int_equal(chmod(locked, 0), 0);
    assert_int_equal(chmod(pki_dir, 0755), 0);
    assert_int_equal(chmod(file, 0644), 0);
    assert_int_equal(chmod(pki_path("behind.pem"), 0644), 0);
    const bool is_root = geteuid() == 0;
    assert_int_equal(is_root ? seteuid(65534) : 0, 0);

    assert_int_equal(tls_set_new(&options, &set, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "locked.pem: the server's user may not read it"));
    options.open_file = open_for;
    options.open_arg = &opener;
    assert_int_equal(tls_set_new(&options, &set, why, sizeof(why)), 0);
    assert_int_equal(opener.asked, 1);
    tls_set_unref(set);
    opener.result = -EPERM;
    assert_int_equal(tls_set_new(&options, &set, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "locked.pem: cannot be read"));
    assert_int_equal(is_root ? seteuid(0) : 0, 0);
    assert_int_equal(chmod(pki_dir, 0700), 0);
}

/* Every allocation of ours fails once: told as such, and nothing stays behind. */
static void set__without_memory_is_none(void **state)
{
    (void)state;
#ifdef STERNA_FAULT_INJECTION
    const struct tls_section sections[] = {
        {.certificate = file, .ca_file = file, .dh_file = NULL, .ciphers = "ECDHE+AESGCM"},
        {.certificate = file, .name = "a", .ocsp_file = pki_ocsp_file("o.der", &leaf, &leaf, 999)}};
    const struct tls_options options = {.count = 2, .sections = sections};
    struct tls_set *set = NULL;
    int err = -ENOMEM;
    long n = 0;

    while (err < 0) {
        mem_fail_at(n++);
        err = tls_set_new(&options, &set, why, sizeof(why));
        mem_fail_at(-1);
        assert_true(err == 0 || err == -ENOMEM);
        assert_int_equal(tls_set_live_count(), err == 0 ? 1 : 0);
    }
    assert_true(n > 15);
    tls_set_unref(set);
    assert_int_equal(tls_set_live_count(), 0);
#else
    CHECK_SKIP("built without fault injection");
#endif
}

/* Workers shake hands while the control thread brings set after set. */
static pthread_mutex_t current_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tls_set *current;
static _Atomic bool enough;

static void *call_on(void *arg)
{
    _Atomic unsigned *made = arg;

    while (!enough) {
        (void)pthread_mutex_lock(&current_lock);
        struct tls_set *set = tls_set_ref(current);
        (void)pthread_mutex_unlock(&current_lock);
        struct call call = {.to = tls_set_context(set, TLS_STREAM, NULL), .sni = "a"};

        call_begin(&call);
        tls_set_unref(set);
        call_run(&call);
        *made += call.done ? 1 : 0;
        call_end(&call);
    }
    return NULL;
}

static void set__is_replaced_under_load(void **state) /* Proves K36 */
{
    enum { WORKERS = 2, SETS = 10, CALLS = 3 };
    const struct tls_section sections[] = {{.certificate = file},
                                           {.certificate = file, .name = "a"}};
    struct tls_tickets *tickets = tls_tickets_new(1);
    pthread_t worker[WORKERS];
    _Atomic unsigned made[WORKERS] = {0};

    (void)state;
    enough = false;
    current = call_set(sections, 2, tickets);
    for (int i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_create(&worker[i], NULL, call_on, &made[i]), 0);
    }
    for (int i = 0; i < SETS || made[0] < CALLS || made[1] < CALLS; i++) {
        struct tls_set *next = call_set(sections, 2, tickets);

        (void)pthread_mutex_lock(&current_lock);
        struct tls_set *before = current;
        current = next;
        (void)pthread_mutex_unlock(&current_lock);
        tls_set_unref(before);
        tls_tickets_tick(tickets, (uint64_t)i);
    }
    enough = true;
    for (int i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_join(worker[i], NULL), 0);
    }
    tls_set_unref(current);
    tls_tickets_free(tickets);
    assert_int_equal(tls_set_live_count(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set__goes_with_its_last_connection),
        cmocka_unit_test(set__is_gone_at_once_when_unused),
        cmocka_unit_test(context__is_found_by_name),
        cmocka_unit_test(names__are_judged),
        cmocka_unit_test(expiry__is_that_of_the_first),
        cmocka_unit_test(files__are_recognised),
        cmocka_unit_test(key__that_may_not_be_read_is_opened_by_the_opener),
        cmocka_unit_test(set__without_memory_is_none),
        cmocka_unit_test(set__is_replaced_under_load),
    };

    return cmocka_run_group_tests(tests, make, unmake);
}

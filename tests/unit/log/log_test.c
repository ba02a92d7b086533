/* SPDX-License-Identifier: Apache-2.0 */
/* The log as a whole: threads, writer, files. */
#include "log/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/net_addr.h"
#include "check.h"

#define FLUSH_MS 20000U /* far beyond what is needed: only a hang reaches it */
#define THREADS  4U
#define EVENTS   5000U

static char dir[] = "/tmp/sterna-log-XXXXXX";
static char path[64], rotated[64];
static char text[4 * 1024 * 1024];

static int make_dir(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof(path), "%s/log", dir);
    (void)snprintf(rotated, sizeof(rotated), "%s/log.1", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    return rmdir(dir);
}

static int clean(void **state)
{
    struct log_options options = log_defaults();

    (void)state;
    log_stop();
    (void)unlink(path);
    (void)unlink(rotated);
    return log_configure(&options);
}

static struct log_options to_file(void)
{
    struct log_options options = log_defaults();

    options.to_stderr = false;
    options.timestamps = false;
    options.level = LOG_INFO;
    options.file = path;
    return options;
}

static void start(const struct log_options *options)
{
    assert_int_equal(log_configure(options), 0);
    assert_int_equal(log_start(), 0);
}

static const char *content(const char *name)
{
    FILE *file = fopen(name, "r");

    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    (void)fclose(file);
    return text;
}

static unsigned count_of(const char *where, const char *what)
{
    unsigned n = 0;

    for (const char *p = where; (p = strstr(p, what)) != NULL; p++) {
        n++;
    }
    return n;
}

static void event__reaches_the_file(void **state)
{
    const struct log_options options = to_file();
    struct net_addr addr;

    (void)state;
    assert_int_equal(net_addr_parse("192.0.2.7:1234", 0, &addr), 0);
    start(&options);
    assert_int_equal(log_start(), -EALREADY);
    log_event(LOG_NOTICE, "request.refused", LOG_ADDR("client", &addr), LOG_U64("code", 401),
              LOG_TEXT("reason", "Unauthorized"), LOG_USER("user", bytes_of("bob")), LOG_END);
    assert_int_equal(log_flush(FLUSH_MS), 0);
    assert_string_equal(content(path), "notice request.refused client=192.0.2.7:1234 code=401 "
                                       "reason=\"Unauthorized\" user=\"bob\"\n");
}

static void level__keeps_the_lesser_ones_out(void **state)
{
    struct log_options options = to_file();
    unsigned evaluated = 0;

    (void)state;
    options.level = LOG_WARNING;
    start(&options);
    assert_true(log_enabled(LOG_ERROR));
    assert_true(log_enabled(LOG_WARNING));
    assert_false(log_enabled(LOG_NOTICE));
    log_event(LOG_ERROR, "a", LOG_U64("n", ++evaluated), LOG_END);
    log_event(LOG_NOTICE, "b", LOG_U64("n", ++evaluated), LOG_END);
    log_stop();
    assert_string_equal(content(path), "error a n=1\n");
    assert_int_equal(evaluated, 1);
}

static void stop__writes_all_and_may_start_again(void **state)
{
    const struct log_options options = to_file();

    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        start(&options);
        for (unsigned i = 0; i < 500; i++) {
            log_event(LOG_INFO, "e", LOG_U64("i", i), LOG_END);
        }
        log_stop();
        log_stop();
    }
    assert_int_equal(count_of(content(path), "\n"), 1500);
}

/* What the process writes to stderr while `say` runs. */
static const char *stderr_of(void (*say)(void))
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    const int kept = dup(STDERR_FILENO);
    assert_true(kept >= 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    say();
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    assert_int_equal(close(kept), 0);
    assert_int_equal(close(ends[1]), 0);
    size_t n = 0;
    ssize_t some;
    while ((some = read(ends[0], text + n, sizeof(text) - 1 - n)) > 0) {
        n += (size_t)some;
    }
    assert_int_equal(close(ends[0]), 0);
    text[n] = '\0';
    return text;
}

static void say_something(void)
{
    log_event(LOG_ERROR, "conf.bad", LOG_TEXT("file", "a\nb"), LOG_END);
    log_event(LOG_DEBUG, "conf.detail", LOG_END);
}

static void before_start__events_go_to_stderr_at_once(void **state)
{
    const struct log_options options = to_file();

    (void)state;
    assert_int_equal(log_configure(&options), 0);
    assert_string_equal(stderr_of(say_something), "error conf.bad file=\"a\\x0ab\"\n");
    assert_int_equal(log_start(), 0);
    log_stop();
    assert_string_equal(stderr_of(say_something), "error conf.bad file=\"a\\x0ab\"\n");
    assert_string_equal(content(path), "");
}

static void configure__fails_with_nothing_changed(void **state)
{
    struct log_options options = to_file();

    (void)state;
    start(&options);
    options.level = LOG_ERROR;
    options.file = "/nonexistent/dir/log";
    assert_int_equal(log_configure(&options), -ENOENT);
    options.file = NULL;
    options.to_syslog = true;
    options.facility = "nothing";
    assert_int_equal(log_configure(&options), -EINVAL);
    log_event(LOG_INFO, "still", LOG_END);
    assert_int_equal(log_flush(FLUSH_MS), 0);
    assert_string_equal(content(path), "info still\n");
}

/* With each allocation failing in turn. */
static void configure__survives_lack_of_memory(void **state)
{
    struct log_options options = to_file();
    int error;
    long n = 0;

    (void)state;
    options.to_syslog = true;
    options.syslog_socket = "/nonexistent/socket";
    do {
        mem_fail_at(n++);
        error = log_configure(&options);
        mem_fail_at(-1);
        assert_true(error == 0 || error == -ENOMEM);
    } while (error != 0);
    assert_int_equal(log_start(), 0);
    log_event(LOG_INFO, "a", LOG_END);
    log_stop(); /* syslog can't be reached: within its time, nevertheless */
    assert_string_equal(content(path), "info a\n");
}

static void reopen__goes_on_in_a_new_file(void **state)
{
    const struct log_options options = to_file();

    (void)state;
    start(&options);
    log_event(LOG_INFO, "before", LOG_END);
    assert_int_equal(log_flush(FLUSH_MS), 0);
    assert_int_equal(rename(path, rotated), 0);
    log_reopen();
    assert_int_equal(log_flush(FLUSH_MS), 0);
    log_event(LOG_INFO, "after", LOG_END);
    assert_int_equal(log_flush(FLUSH_MS), 0);
    assert_string_equal(content(rotated), "info before\n");
    assert_string_equal(content(path), "info after\n");
}

static void reopen__that_fails_is_told_in_the_old_file(void **state)
{
    const struct log_options options = to_file();

    (void)state;
    start(&options);
    assert_int_equal(rename(path, rotated), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    log_reopen();
    assert_int_equal(log_flush(FLUSH_MS), 0);
    log_event(LOG_INFO, "after", LOG_END);
    assert_int_equal(log_flush(FLUSH_MS), 0);
    assert_int_equal(rmdir(path), 0);
    assert_non_null(strstr(content(rotated), "error log.reopen_failed file=\""));
    assert_non_null(strstr(text, "why=\"Is a directory\"\ninfo after\n"));
}

static void *log_many(void *arg)
{
    const unsigned thread = *(const unsigned *)arg;

    for (unsigned i = 0; i < EVENTS; i++) {
        log_event(LOG_INFO, "e", LOG_U64("thread", thread), LOG_U64("i", i), LOG_END);
        if (i % 500 == 499) {
            (void)!log_flush(FLUSH_MS); /* so that no ring fills up */
        }
    }
    return NULL;
}

static void run_threads(void (*meanwhile)(void))
{
    static unsigned args[THREADS];
    pthread_t thread[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        args[i] = i;
        assert_int_equal(pthread_create(&thread[i], NULL, log_many, &args[i]), 0);
    }
    if (meanwhile != NULL) {
        meanwhile();
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
}

/* Each line once, and those of a thread in their order. */
static void assert_all_in_order(const char *p)
{
    unsigned next[THREADS] = {0};
    unsigned thread, i;
    int n;

    while (sscanf(p, "info e thread=%u i=%u\n%n", &thread, &i, &n) == 2) {
        assert_true(thread < THREADS);
        assert_int_equal(i, next[thread]);
        next[thread]++;
        p += n;
    }
    assert_int_equal(*p, '\0');
    for (thread = 0; thread < THREADS; thread++) {
        assert_int_equal(next[thread], EVENTS);
    }
}

static void threads__lose_nothing_and_keep_their_order(void **state)
{
    const struct log_options options = to_file();

    (void)state;
    start(&options);
    for (unsigned round = 0; round < 2; round++) { /* the second in rings that were given back */
        run_threads(NULL);
        assert_int_equal(log_flush(FLUSH_MS), 0);
        assert_all_in_order(content(path));
        assert_int_equal(truncate(path, 0), 0);
    }
}

static void reconfigure_often(void)
{
    for (unsigned i = 0; i < 50; i++) {
        struct log_options options = to_file();
        options.privacy = (i & 1) != 0;
        assert_int_equal(log_configure(&options), 0);
        log_reopen();
        (void)!log_flush(FLUSH_MS);
    }
}

static void configure__is_safe_while_others_log(void **state)
{
    const struct log_options options = to_file();

    (void)state;
    start(&options);
    run_threads(reconfigure_often);
    log_stop();
    assert_all_in_order(content(path));
}

static void format__changes_at_run_time(void **state)
{
    struct log_options options = to_file();

    (void)state;
    start(&options);
    log_event(LOG_INFO, "a", LOG_USER("user", bytes_of("bob")), LOG_END);
    assert_int_equal(log_flush(FLUSH_MS), 0);
    options.format = LOG_FORMAT_JSON;
    assert_int_equal(log_configure(&options), 0);
    assert_int_equal(log_flush(FLUSH_MS), 0);
    log_event(LOG_INFO, "b", LOG_USER("user", bytes_of("bob")), LOG_END);
    assert_int_equal(log_flush(FLUSH_MS), 0);
    assert_string_equal(content(path), "info a user=\"bob\"\n"
                                       "{\"level\":\"info\",\"event\":\"b\",\"user\":\"bob\"}\n");
}

/* Nobody reads stdout: the file still gets its lines, and the end is not held up. */
static void stuck_stdout__holds_up_nothing(void **state)
{
    struct log_options options = to_file();
    int ends[2];
    static char filler[700];

    (void)state;
    memset(filler, 'x', sizeof(filler) - 1);
    options.to_stdout = true;
    (void)fflush(stdout);
    assert_int_equal(pipe(ends), 0);
    const int kept = dup(STDOUT_FILENO);
    assert_true(dup2(ends[1], STDOUT_FILENO) >= 0);
    assert_int_equal(close(ends[1]), 0);
    const uint64_t before = log_dropped();
    const int error = log_configure(&options) + log_start();
    for (unsigned i = 0; i < 1000; i++) { /* 700 KB; pipe and buffer take 128 KiB */
        log_event(LOG_INFO, "e", LOG_TEXT("filler", filler), LOG_END);
        while (i % 100 == 99 && count_of(content(path), "\n") < i + 1) {
            (void)!log_flush(10); /* can't succeed, but lets the file catch up */
        }
    }
    log_stop();
    const uint64_t lost = log_dropped() - before;
    assert_true(dup2(kept, STDOUT_FILENO) >= 0);
    assert_int_equal(close(kept), 0);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(error, 0);
    assert_int_equal(count_of(content(path), "info e "), 1000);
    assert_true(lost > 500 && lost < 1000);
}

/* Formatting JSON takes longer than logging, so the ring of a thread that never pauses fills up;
 * how many events it then dropped must be told exactly. */
static void burst__drops_are_told_once(void **state)
{
    struct log_options options = to_file();
    unsigned told = 0;

    (void)state;
    options.format = LOG_FORMAT_JSON;
    start(&options);
    const uint64_t before = log_dropped();
    for (unsigned i = 0; i < 30000; i++) {
        log_event(LOG_INFO, "e", LOG_U64("i", i), LOG_U64("a", 1), LOG_U64("b", 2), LOG_END);
    }
    assert_int_equal(log_flush(FLUSH_MS), 0);
    log_stop();
    const unsigned dropped = (unsigned)(log_dropped() - before);
    content(path);
    for (const char *p = text; (p = strstr(p, "\"log.dropped\"")) != NULL; p++) {
        unsigned count = 0;
        assert_int_equal(sscanf(p, "\"log.dropped\",\"count\":%u}", &count), 1);
        told += count;
    }
    assert_int_equal(told, dropped);
    assert_int_equal(count_of(text, "\"event\":\"e\""), 30000 - dropped);
    if (dropped == 0) {
        CHECK_SKIP("the writer was never slower than this thread");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(event__reaches_the_file, clean),
        cmocka_unit_test_teardown(level__keeps_the_lesser_ones_out, clean),
        cmocka_unit_test_teardown(stop__writes_all_and_may_start_again, clean),
        cmocka_unit_test_teardown(before_start__events_go_to_stderr_at_once, clean),
        cmocka_unit_test_teardown(configure__fails_with_nothing_changed, clean),
        cmocka_unit_test_teardown(configure__survives_lack_of_memory, clean),
        cmocka_unit_test_teardown(reopen__goes_on_in_a_new_file, clean),
        cmocka_unit_test_teardown(reopen__that_fails_is_told_in_the_old_file, clean),
        cmocka_unit_test_teardown(threads__lose_nothing_and_keep_their_order, clean),
        cmocka_unit_test_teardown(configure__is_safe_while_others_log, clean),
        cmocka_unit_test_teardown(format__changes_at_run_time, clean),
        cmocka_unit_test_teardown(stuck_stdout__holds_up_nothing, clean),
        cmocka_unit_test_teardown(burst__drops_are_told_once, clean),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

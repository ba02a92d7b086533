/* SPDX-License-Identifier: Apache-2.0 */
#include "log/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"
#include "log/line.h"
#include "log/log.h"
#include "log/syslog.h"

static struct sink *sink;
static struct line line;
static char dir[] = "/tmp/sterna-sink-XXXXXX";
static char path[64];

static int make_dir(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN); /* the writer thread has it blocked */
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof(path), "%s/it", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    return rmdir(dir);
}

static int clean(void **state)
{
    (void)state;
    sink_free(sink);
    sink = NULL;
    (void)unlink(path);
    return 0;
}

static void put(const char *text)
{
    line.level = LOG_NOTICE;
    line.time_ms = 1709251199007;
    line.body = 0;
    line.n = strlen(text);
    memcpy(line.text, text, line.n);
    sink_put(sink, &line, 0);
}

static void assert_file(const char *expected)
{
    char text[512];
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    (void)fclose(file);
    assert_string_equal(text, expected);
}

static void file__is_appended_to(void **state)
{
    (void)state;
    assert_int_equal(sink_new(SINK_FILE, path, 0, &sink), 0);
    put("one\n");
    assert_true(sink_pending(sink));
    sink_flush(sink, 0);
    assert_false(sink_pending(sink));
    sink_free(sink);
    assert_int_equal(sink_new(SINK_FILE, path, 0, &sink), 0);
    put("two\n");
    put("three\n");
    sink_flush(sink, 0);
    assert_file("one\ntwo\nthree\n");

    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0137, 0); /* nobody else writes, no stranger reads */
}

static void file__tells_why_it_cannot_be_opened(void **state)
{
    (void)state;
    assert_int_equal(sink_new(SINK_FILE, "/nonexistent/dir/log", 0, &sink), -ENOENT);
    assert_null(sink);
}

static void reopen__follows_a_rotation(void **state)
{
    char old[80];

    (void)state;
    (void)snprintf(old, sizeof(old), "%s.1", path);
    assert_int_equal(sink_new(SINK_FILE, path, 0, &sink), 0);
    put("before\n");
    sink_flush(sink, 0);
    assert_int_equal(rename(path, old), 0);
    assert_int_equal(sink_reopen(sink), 0);
    put("after\n");
    sink_flush(sink, 0);
    assert_file("after\n");
    assert_int_equal(unlink(old), 0);
}

static void reopen__keeps_the_old_file_when_it_fails(void **state)
{
    (void)state;
    assert_int_equal(sink_new(SINK_FILE, path, 0, &sink), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(sink_reopen(sink), -EISDIR);
    assert_true(sink->fd >= 0);
    put("kept\n");
    sink_flush(sink, 0);
    assert_int_equal(sink->lost, 0);
    assert_int_equal(rmdir(path), 0);
}

static void disk_full__loses_and_counts(void **state)
{
    const uint64_t before = sink_lost_total();

    (void)state;
    assert_int_equal(sink_new(SINK_FILE, "/dev/full", 0, &sink), 0);
    put("one\n");
    put("two\n");
    sink_flush(sink, 0);
    assert_false(sink_pending(sink));
    assert_int_equal(sink->lost, 2);
    assert_int_equal(sink->error, ENOSPC);
    assert_int_equal(sink_lost_total() - before, 2);
}

/* A burst larger than the buffer loses nothing where the sink is quick. */
static void buffer__is_flushed_to_make_room(void **state)
{
    static char text[1001];
    struct stat st;

    (void)state;
    memset(text, 'x', 999);
    text[999] = '\n';
    assert_int_equal(sink_new(SINK_FILE, path, 0, &sink), 0);
    for (unsigned i = 0; i < 500; i++) {
        put(text);
    }
    assert_int_equal(sink->lost, 0);
    sink_flush(sink, 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 500 * 1000);
}

static void fifo__that_is_full_loses_whole_lines(void **state)
{
    static char text[101], got[4 * SINK_BYTES];
    unsigned lines = 0;

    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(sink_new(SINK_FILE, path, 0, &sink), -ENXIO); /* nobody reads: no hanging */
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(sink_new(SINK_FILE, path, 0, &sink), 0);
    memset(text, 'x', 99);
    text[99] = '\n';
    while (sink->lost < 10) {
        put(text);
        lines++;
        sink_flush(sink, 0);
    }
    size_t n = 0;
    ssize_t some;
    while ((some = read(fd, got + n, sizeof(got) - n)) > 0) {
        n += (size_t)some;
        sink_flush(sink, 0);
    }
    assert_int_equal(n, (lines - 10) * 100);
    for (size_t i = 0; i < n; i += 100) {
        assert_memory_equal(got + i, text, 100);
    }
    assert_int_equal(close(fd), 0);
}

/* After a line was cut by a failure the next one begins on a line of its own. */
static void torn_line__is_ended(void **state)
{
    (void)state;
    assert_int_equal(sink_new(SINK_FILE, path, 0, &sink), 0);
    sink->mid_line = true;
    put("next\n");
    put("more\n");
    sink_flush(sink, 0);
    assert_file("\nnext\nmore\n");
}

static void stream__without_a_reader_is_given_up(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(sink_new(SINK_STDOUT, NULL, 0, &sink), 0);
    sink->fd = ends[1];
    assert_int_equal(close(ends[0]), 0);
    put("one\n");
    sink_flush(sink, 0);
    assert_int_equal(sink->error, EPIPE);
    assert_int_equal(sink->fd, -1);
    put("two\n");
    assert_false(sink_pending(sink));
    assert_int_equal(sink->lost, 2);
    assert_int_equal(close(ends[1]), 0);
}

/* A daemon at `path`. */
static int daemon_start(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_true(fd >= 0);
    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static void assert_received(int fd, const char *expected)
{
    char got[256] = "";

    const ssize_t n = recv(fd, got, sizeof(got) - 1, 0);
    assert_true(n > 0);
    assert_memory_equal(got, "<157>", 5); /* local3 = 19, notice = 5 */
    assert_string_equal(strchr(got, ']'), expected);
}

static void syslog__sends_a_datagram_a_line(void **state)
{
    (void)state;
    const int fd = daemon_start();
    assert_int_equal(sink_new(SINK_SYSLOG, path, 19, &sink), 0);
    put("one\n");
    put("TIME two\n");
    sink_flush(sink, 0);
    line.body = 5;
    sink_put(sink, &line, 0);
    sink_flush(sink, 0);
    assert_received(fd, "]: one");
    assert_received(fd, "]: TIME two");
    assert_received(fd, "]: two");
    assert_int_equal(close(fd), 0);
}

static void syslog__waits_for_a_daemon_that_restarts(void **state)
{
    (void)state;
    assert_int_equal(sink_new(SINK_SYSLOG, path, 19, &sink), 0);
    put("early\n");
    sink_flush(sink, 5000); /* not there yet */
    assert_true(sink_pending(sink));
    int fd = daemon_start();
    sink_flush(sink, 5500); /* not tried again within a second */
    assert_true(sink_pending(sink));
    sink_flush(sink, 6000);
    assert_false(sink_pending(sink));
    assert_received(fd, "]: early");

    assert_int_equal(close(fd), 0);
    assert_int_equal(unlink(path), 0);
    put("between\n");
    sink_flush(sink, 7000);
    assert_true(sink_pending(sink));
    fd = daemon_start();
    sink_flush(sink, 8000);
    assert_received(fd, "]: between");
    assert_int_equal(sink->lost, 0);
    assert_int_equal(close(fd), 0);
}

static void syslog__never_waits_for_a_stuck_daemon(void **state)
{
    (void)state;
    const int fd = daemon_start();
    assert_int_equal(sink_new(SINK_SYSLOG, path, 19, &sink), 0);
    while (sink->lost == 0) {
        put("line\n");
        sink_flush(sink, 0);
    }
    assert_true(sink_pending(sink));
    assert_received(fd, "]: line");
    sink_flush(sink, 0);
    put("line\n");
    assert_int_equal(sink->lost, 1); /* there was room again */
    assert_int_equal(close(fd), 0);
}

static void facility__is_known_by_either_name(void **state)
{
    (void)state;
    assert_int_equal(log_facility("daemon"), 3);
    assert_int_equal(log_facility("LOG_LOCAL7"), 23);
    assert_int_equal(log_facility("Local0"), 16);
    assert_int_equal(log_facility("nothing"), -EINVAL);
}

static void path__that_is_too_long_is_refused(void **state)
{
    char name[200];

    (void)state;
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(syslog_connect(name), -ENAMETOOLONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(file__is_appended_to, clean),
        cmocka_unit_test_teardown(file__tells_why_it_cannot_be_opened, clean),
        cmocka_unit_test_teardown(reopen__follows_a_rotation, clean),
        cmocka_unit_test_teardown(reopen__keeps_the_old_file_when_it_fails, clean),
        cmocka_unit_test_teardown(disk_full__loses_and_counts, clean),
        cmocka_unit_test_teardown(buffer__is_flushed_to_make_room, clean),
        cmocka_unit_test_teardown(fifo__that_is_full_loses_whole_lines, clean),
        cmocka_unit_test_teardown(torn_line__is_ended, clean),
        cmocka_unit_test_teardown(stream__without_a_reader_is_given_up, clean),
        cmocka_unit_test_teardown(syslog__sends_a_datagram_a_line, clean),
        cmocka_unit_test_teardown(syslog__waits_for_a_daemon_that_restarts, clean),
        cmocka_unit_test_teardown(syslog__never_waits_for_a_stuck_daemon, clean),
        cmocka_unit_test(facility__is_known_by_either_name),
        cmocka_unit_test(path__that_is_too_long_is_refused),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "io/file_keeper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "check.h"

static char dir[] = "/tmp/sterna-keeper-XXXXXX";
static char key[64];
static char other[64];
static char missing[64];
static char fifo[64];
static const char *const paths[] = {key, missing, dir, fifo};

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0), 0);
}

static int make(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    (void)snprintf(key, sizeof(key), "%s/key", dir);
    (void)snprintf(other, sizeof(other), "%s/other", dir);
    (void)snprintf(missing, sizeof(missing), "%s/missing", dir);
    (void)snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
    put(key, "secret");
    put(other, "other");
    return mkfifo(fifo, 0600);
}

static int unmake(void **state)
{
    (void)state;
    (void)unlink(key);
    (void)unlink(other);
    (void)unlink(missing);
    (void)unlink(fifo);
    return rmdir(dir);
}

static struct file_keeper *start(void)
{
    struct file_keeper *keeper = NULL;

    assert_int_equal(file_keeper_start(paths, COUNT_OF(paths), &keeper), 0);
    return keeper;
}

static void has(int fd, const char *text)
{
    char got[20] = "";

    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    assert_int_equal(read(fd, got, sizeof(got)), (ssize_t)strlen(text));
    assert_string_equal(got, text);
    (void)close(fd);
}

static void key__is_opened_after_privileges_are_gone(void **state)
{
    struct file_keeper *keeper;

    (void)state;
    if (geteuid() != 0) {
        CHECK_SKIP("needs root, to give it up");
    }
    keeper = start();
    assert_int_equal(seteuid(65534), 0);
    assert_int_equal(open(key, O_RDONLY | O_CLOEXEC), -1);
    assert_int_equal(errno, EACCES);
    has(file_keeper_open(keeper, key), "secret");
    has(file_keeper_open(keeper, key), "secret");
    assert_int_equal(seteuid(0), 0);
    file_keeper_stop(keeper);
}

static void renewed_file__is_the_one_opened(void **state)
{
    struct file_keeper *keeper = start();

    (void)state;
    assert_int_equal(file_keeper_open(keeper, missing), -ENOENT);
    put(missing, "new");
    assert_int_equal(chmod(missing, 0600), 0);
    has(file_keeper_open(keeper, missing), "new");
    assert_int_equal(unlink(missing), 0);
    file_keeper_stop(keeper);
}

static void path__that_was_not_given_is_refused(void **state)
{
    struct file_keeper *keeper = start();
    char far[5000];
    char same[80];

    (void)state;
    assert_int_equal(file_keeper_open(keeper, other), -EACCES);
    assert_int_equal(file_keeper_open(keeper, ""), -EACCES);
    (void)snprintf(same, sizeof(same), "%s/./key", dir); /* the same file in other letters */
    assert_int_equal(file_keeper_open(keeper, same), -EACCES);
    memset(far, 'a', sizeof(far));
    for (size_t n = 4090; n < 4100; n++) {
        far[n] = 0;
        assert_int_equal(file_keeper_open(keeper, far), -EACCES);
        far[n] = 'a';
    }
    file_keeper_stop(keeper);
}

static void path__that_is_no_file_is_refused(void **state)
{
    struct file_keeper *keeper = start();

    (void)state;
    assert_int_equal(file_keeper_open(keeper, dir), -EISDIR);
    assert_int_equal(file_keeper_open(keeper, fifo), -EISDIR);
    file_keeper_stop(keeper);
}

/* The only child of this process. */
static pid_t child_of_ours(void)
{
    char path[80];
    char text[40] = "";

    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    (void)fclose(file);
    return (pid_t)strtol(text, NULL, 10);
}

static void child__outlives_signals_meant_for_the_server(void **state)
{
    struct file_keeper *keeper = start();
    const pid_t child = child_of_ours();
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};

    (void)state;
    assert_int_equal(file_keeper_open(keeper, missing), -ENOENT); /* it is up */
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        assert_int_equal(kill(child, numbers[i]), 0);
    }
    assert_int_equal(file_keeper_open(keeper, missing), -ENOENT);
    file_keeper_stop(keeper);
    assert_int_equal(waitpid(child, NULL, 0), -1); /* it was waited for */
    assert_int_equal(errno, ECHILD);
}

static void child__that_is_gone_is_told(void **state)
{
    struct file_keeper *keeper = start();

    (void)state;
    assert_int_equal(kill(child_of_ours(), SIGKILL), 0);
    assert_int_equal(file_keeper_open(keeper, key), -EPIPE);
    assert_int_equal(file_keeper_open(keeper, key), -EPIPE);
    file_keeper_stop(keeper);
    file_keeper_stop(NULL);
}

static void child__keeps_nothing_else_open(void **state)
{
    const int extra = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct file_keeper *keeper = start();
    const struct dirent *entry;
    char path[80];
    int count = 0;

    (void)state;
    assert_int_equal(file_keeper_open(keeper, missing), -ENOENT);
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)child_of_ours());
    DIR *fds = opendir(path);
    if (fds != NULL) { /* root only: it is not dumpable */
        while ((entry = readdir(fds)) != NULL) {
            count += entry->d_name[0] != '.';
        }
        (void)closedir(fds);
        assert_int_equal(count, 4);
    }
    file_keeper_stop(keeper);
    (void)close(extra);
}

static void start__fails_cleanly(void **state)
{
    struct file_keeper *keeper = NULL;
    char far[4097];
    const char *const bad[] = {far};

    (void)state;
    memset(far, 'a', sizeof(far) - 1);
    far[sizeof(far) - 1] = 0;
    assert_int_equal(file_keeper_start(bad, 1, &keeper), -EINVAL);
#ifdef STERNA_FAULT_INJECTION
    mem_fail_at(0);
    assert_int_equal(file_keeper_start(paths, 1, &keeper), -ENOMEM);
    mem_fail_at(-1);
#endif
    assert_null(keeper);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key__is_opened_after_privileges_are_gone),
        cmocka_unit_test(renewed_file__is_the_one_opened),
        cmocka_unit_test(path__that_was_not_given_is_refused),
        cmocka_unit_test(path__that_is_no_file_is_refused),
        cmocka_unit_test(child__outlives_signals_meant_for_the_server),
        cmocka_unit_test(child__that_is_gone_is_told),
        cmocka_unit_test(child__keeps_nothing_else_open),
        cmocka_unit_test(start__fails_cleanly),
    };

    return cmocka_run_group_tests(tests, make, unmake);
}

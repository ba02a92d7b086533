/* SPDX-License-Identifier: Apache-2.0 */
#include "log/syslog.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "log/line.h"
#include "log/log.h"

/* RFC 5424 section 6.2.1; the place is the number. */
static const char *const facilities[] = {
    "kern",   "user",   "mail",     "daemon", "auth",   "syslog",   "lpr",     "news",
    "uucp",   "cron",   "authpriv", "ftp",    "ntp",    "security", "console", "solaris-cron",
    "local0", "local1", "local2",   "local3", "local4", "local5",   "local6",  "local7",
};

int log_facility(const char *name)
{
    /* coturn takes the names of the C constants, too: LOG_DAEMON. */
    if (strncasecmp(name, "LOG_", 4) == 0) {
        name += 4;
    }
    for (size_t i = 0; i < ARRAY_SIZE(facilities); i++) {
        if (strcasecmp(name, facilities[i]) == 0) {
            return (int)i;
        }
    }
    return -EINVAL;
}

int syslog_connect(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(to.sun_path)) {
        return -ENAMETOOLONG;
    }
    memcpy(to.sun_path, path, strlen(path));
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0) {
        const int error = errno;
        (void)close(fd);
        return -error;
    }
    return fd;
}

size_t syslog_head(char out[SYSLOG_HEAD], int facility, const struct line *line)
{
    /* Month names of the C locale, whatever LC_TIME says: daemons parse them. */
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const time_t seconds = (time_t)(line->time_ms / 1000);
    struct tm tm;

    (void)localtime_r(&seconds, &tm);
    const int n = snprintf(out, SYSLOG_HEAD, "<%u>%s %2d %02d:%02d:%02d sterna[%ld]: ",
                           (unsigned)facility << 3 | (unsigned)line->level, months[tm.tm_mon],
                           tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (long)getpid());
    return n < SYSLOG_HEAD ? (size_t)n : SYSLOG_HEAD - 1;
}

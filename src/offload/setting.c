/* SPDX-License-Identifier: Apache-2.0 */
#include "offload/setting.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ipv6_route.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LEARNT_MAX = 32,
    ACCEPT_ALWAYS = 2, /* also as a router */
    PATH_SIZE = 64 + IF_NAMESIZE,
};

/* An interface with a default route that a router has told. */
struct learnt {
    char accept_ra[PATH_SIZE]; /* the path of its setting */
    int was;
};

struct learnt_list {
    struct learnt of[LEARNT_MAX];
    size_t count;
};

int setting_read(const char *path)
{
    char digit = '0';
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    const ssize_t n = read(fd, &digit, 1);
    const int value = n == 1 && digit >= '0' && digit <= '9' ? digit - '0' : -EIO;
    (void)close(fd);
    return value;
}

int setting_write(const char *path, int value)
{
    const char digit = (char)('0' + value);
    const int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    const int err = write(fd, &digit, 1) == 1 ? 0 : -errno;
    (void)close(fd);
    return err;
}

static const char *skip_fields(const char *line, int count)
{
    for (int i = 0; i < count; i++) {
        line += strcspn(line, " ");
        line += strspn(line, " ");
    }
    return line;
}

/* The interface of a line of /proc/net/ipv6_route, if it is such a route; else "".
 * destination length source length gateway metric references use flags interface */
static void read_line(const char *line, char name[IF_NAMESIZE])
{
    static const char everywhere[] = "00000000000000000000000000000000 00 ";
    const unsigned long flags = strtoul(skip_fields(line, 8), NULL, 16);
    const char *at = skip_fields(line, 9);
    const size_t len = strcspn(at, " \n");

    name[0] = '\0';
    if (strncmp(line, everywhere, sizeof(everywhere) - 1) == 0 &&
        (flags & (RTF_DEFAULT | RTF_ADDRCONF)) != 0 && len < IF_NAMESIZE) {
        memcpy(name, at, len);
        name[len] = '\0';
    }
}

static bool is_listed(const struct learnt_list *list, const char *path)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->of[i].accept_ra, path) == 0) {
            return true;
        }
    }
    return false;
}

/* Set accept_ra of the interface, and remember what it was. */
static int save(struct learnt_list *list, const char *name)
{
    struct learnt *next = &list->of[list->count];
    char path[PATH_SIZE];

    (void)snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/accept_ra", name);
    const int was = setting_read(path);
    if (was == ACCEPT_ALWAYS || was == -ENOENT || is_listed(list, path)) {
        return 0;
    }
    if (was < 0 || list->count == LEARNT_MAX) {
        return was < 0 ? was : -ENOSPC;
    }
    memcpy(next->accept_ra, path, sizeof(path));
    next->was = was;
    const int err = setting_write(path, ACCEPT_ALWAYS);
    list->count += err == 0;
    return err;
}

static int save_all(struct learnt_list *list)
{
    char line[256];
    char name[IF_NAMESIZE];
    int err = 0;
    FILE *routes = fopen("/proc/net/ipv6_route", "re");

    if (routes == NULL) {
        return -errno;
    }
    while (err == 0 && fgets(line, sizeof(line), routes) != NULL) {
        read_line(line, name);
        err = name[0] != '\0' ? save(list, name) : 0;
    }
    (void)fclose(routes);
    return err;
}

int setting_write_router(const char *path)
{
    struct learnt_list list = {.count = 0};
    int err = save_all(&list);

    err = err < 0 ? err : setting_write(path, 1);
    for (size_t i = 0; i < list.count; i++) {
        (void)setting_write(list.of[i].accept_ra, list.of[i].was);
    }
    return err;
}

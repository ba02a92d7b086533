/* SPDX-License-Identifier: Apache-2.0 */
/* Files of certificates and keys: read whole, once, and recognised later. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/secret.h"
#include "io/tls_int.h"

/* Lists of revoked certificates may be large; anything beyond is not meant for us. */
enum { FILE_MAX = 64 * 1024 * 1024 };

static struct tls_stamp stamp_of(const struct stat *st)
{
    return (struct tls_stamp){
        .device = st->st_dev, .inode = st->st_ino, .size = st->st_size, .changed = st->st_ctim};
}

static bool same_stamp(const struct tls_stamp *a, const struct tls_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

/* Not blocking: a FIFO must not hold the server up. */
static int open_it(const struct tls_files *files, const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd >= 0) {
        return fd;
    }
    if (errno == EACCES && files->open_file != NULL) {
        return files->open_file(files->open_arg, path);
    }
    return -errno;
}

static int stat_it(const struct tls_files *files, const char *path, struct stat *st)
{
    if (stat(path, st) == 0) {
        return 0;
    }
    if (errno != EACCES || files->open_file == NULL) {
        return -errno;
    }
    const int fd = files->open_file(files->open_arg, path);
    if (fd < 0) {
        return fd;
    }
    const int err = fstat(fd, st) == 0 ? 0 : -errno;
    (void)close(fd);
    return err;
}

int tls_files_init(struct tls_files *files, size_t cap)
{
    files->items = mem_new(cap, sizeof(*files->items));
    files->cap = files->items != NULL ? cap : 0;
    files->count = 0;
    return files->items != NULL ? 0 : -ENOMEM;
}

void tls_files_forget(struct tls_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        struct tls_file *file = &files->items[i];

        if (file->text != NULL) {
            secret_wipe(file->text, file->len);
            free(file->text);
            file->text = NULL;
        }
    }
}

void tls_files_fini(struct tls_files *files)
{
    tls_files_forget(files);
    for (size_t i = 0; i < files->count; i++) {
        free(files->items[i].path);
    }
    free(files->items);
    *files = (struct tls_files){0};
}

/* All `len` bytes, or what there is: it may have become shorter. */
static int read_all(int fd, uint8_t *text, size_t *len)
{
    size_t have = 0;

    while (have < *len) {
        const ssize_t n = read(fd, text + have, *len - have);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            break;
        }
        have += (size_t)n;
    }
    *len = have;
    return 0;
}

static int read_fd(int fd, struct tls_file *file)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    if (!S_ISREG(st.st_mode)) {
        return -EISDIR;
    }
    if (st.st_size > FILE_MAX) {
        return -EFBIG;
    }
    file->stamp = stamp_of(&st);
    file->len = (size_t)st.st_size;
    file->text = mem_new(1, file->len + 1);
    return file->text != NULL ? read_all(fd, file->text, &file->len) : -ENOMEM;
}

static void file_drop(struct tls_file *file)
{
    if (file->text != NULL) {
        secret_wipe(file->text, file->len);
    }
    free(file->text);
    free(file->path);
    *file = (struct tls_file){0};
}

static int file_load(const struct tls_files *files, struct tls_file *file, const char *path)
{
    const int fd = open_it(files, path);

    if (fd < 0) {
        return fd;
    }
    int err = read_fd(fd, file);
    (void)close(fd);
    file->path = err == 0 ? mem_text(path) : NULL;
    if (err == 0 && file->path == NULL) {
        err = -ENOMEM;
    }
    if (err < 0) {
        file_drop(file);
    }
    return err;
}

int tls_files_read(struct tls_files *files, const char *path, struct bytes *out)
{
    for (size_t i = 0; i < files->count; i++) {
        const struct tls_file *file = &files->items[i];

        if (strcmp(file->path, path) == 0 && file->text != NULL) {
            *out = (struct bytes){file->text, file->len};
            return 0;
        }
    }
    if (files->count == files->cap) {
        return -ENOMEM;
    }
    struct tls_file *file = &files->items[files->count];
    const int err = file_load(files, file, path);
    if (err < 0) {
        return err;
    }
    files->count++;
    *out = (struct bytes){file->text, file->len};
    return 0;
}

bool tls_files_changed(const struct tls_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        const struct tls_file *file = &files->items[i];
        struct stat st;

        if (stat_it(files, file->path, &st) < 0) {
            continue;
        }
        const struct tls_stamp now = stamp_of(&st);
        if (!same_stamp(&file->stamp, &now)) {
            return true;
        }
    }
    return false;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds a fuzz target with its corpus, without libFuzzer: every file whole and cut off at every
 * length, each time in a heap block of exactly that size, so that the sanitizers see a read past
 * the end.  Prints TAP, one test a file.
 *
 *     replay_<target> CORPUS-FOLDER */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Above this size not every length is tried, but this many of them. */
enum { CUTS_MAX = 2048 };

static void feed(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size);

    if (copy == NULL && size > 0) {
        abort();
    }
    if (size > 0) {
        memcpy(copy, data, size);
    }
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void feed_all_cuts(const uint8_t *data, size_t size)
{
    const size_t step = 1 + size / CUTS_MAX;

    for (size_t n = 0; n < size; n += step) {
        feed(data, n);
    }
    feed(data, size);
}

/* Read the whole file into a heap block.  0 with both outputs, or -errno. */
static int read_file(const char *path, uint8_t **out_data, size_t *out_size)
{
    int status = -EIO;
    struct stat info;
    FILE *file = fopen(path, "rb");

    if (file == NULL) {
        return -errno;
    }
    if (fstat(fileno(file), &info) == 0 && S_ISREG(info.st_mode)) {
        const size_t size = (size_t)info.st_size;
        uint8_t *data = malloc(size + 1);
        if (data != NULL && fread(data, 1, size, file) == size) {
            *out_data = data;
            *out_size = size;
            status = 0;
        } else {
            free(data);
        }
    }
    (void)fclose(file);
    return status;
}

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Replay one file.  True when it could be read; a finding ends the program. */
static bool replay(const char *folder, const char *name, int number)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t size = 0;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    const int status = read_file(path, &data, &size);
    if (status < 0) {
        printf("not ok %d - %s: %s\n", number, name, strerror(-status));
        return false;
    }
    feed_all_cuts(data, size);
    free(data);
    printf("ok %d - %s\n", number, name);
    (void)fflush(stdout);
    return true;
}

int main(int argc, char **argv)
{
    struct dirent **entries = NULL;
    bool all_well = true;

    if (LLVMFuzzerInitialize != NULL) {
        (void)LLVMFuzzerInitialize(&argc, &argv);
    }
    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
        return 2;
    }
    const int count = scandir(argv[1], &entries, is_input, alphasort);
    if (count <= 0) {
        printf("Bail out! %s holds no inputs\n", argv[1]);
        return 1;
    }
    printf("1..%d\n", count);
    for (int i = 0; i < count; i++) {
        all_well = replay(argv[1], entries[i]->d_name, i + 1) && all_well;
        free(entries[i]);
    }
    free(entries);
    return all_well ? 0 : 1;
}

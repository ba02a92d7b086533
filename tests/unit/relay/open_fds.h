/* SPDX-License-Identifier: Apache-2.0 */
/* How many descriptors this process has: what was opened must be closed. */
#pragma once

#include <dirent.h>

#include "check.h"

static inline int open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = -3; /* ".", "..", and the directory's own */

    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        count++;
    }
    (void)closedir(dir);
    return count;
}

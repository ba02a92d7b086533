/* SPDX-License-Identifier: Apache-2.0 */
/* Opens a few files after the process has given up the right to: a child that was forked before
 * keeps it, and hands over descriptors.
 *
 *     file_keeper_start()    still privileged, before any thread and before TLS is used
 *     give up privileges
 *     file_keeper_open()     a certificate was renewed: read its key
 *
 * The child serves the paths it was started with, letter by letter, and no other; it opens for
 * reading, regular files only, and has no other capability left than reading files.  It ends with
 * the last process that holds the keeper's socket.  Nobody but the privileged user should be able
 * to write to a folder on the way to these files: who can, chooses what the path leads to.
 *
 * Owner   cmd/serve.c.  Thread  any, one at a time (a lock inside); may wait for the disk. */
#pragma once

#include <stddef.h>

#include "base/attr.h"

struct file_keeper;

/* Copies `paths`.  0 with `*out`; -ENOMEM, -EINVAL (a path is too long), or what fork() says. */
MUST_USE int file_keeper_start(const char *const *paths, size_t count, struct file_keeper **out);

/* A descriptor to read `path` from, owned by the caller.  -EACCES when it is not one of the paths;
 * -EISDIR when it is no regular file; -EPIPE when the child is gone; -ETIMEDOUT when it does not
 * answer within five seconds; else what open() says. */
MUST_USE int file_keeper_open(struct file_keeper *keeper, const char *path);

/* Ends the child and waits for that.  NULL is allowed. */
void file_keeper_stop(struct file_keeper *keeper);

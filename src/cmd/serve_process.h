/* SPDX-License-Identifier: Apache-2.0 */
/* What a server does to its process: background, limits, privileges, pid file, the service manager.
 *
 * Owner   cmd/serve.c.  Thread  control, before there are others. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/attr.h"

/* Go into the background.  In the child: 0, with `*out_fd` to be told the outcome.  In the parent
 * it does not return: it ends with the exit code that the child tells.  Negative errno. */
MUST_USE int serve_process_background(int *out_fd);

/* Tell the waiting parent `code` and let go of the terminal.  Harmless when `fd` is -1. */
void serve_process_detach(int fd, int code);

/* Raise the limit of open descriptors as far as it goes. */
void serve_process_raise_limits(void);

/* The id of `user`, a name or number.  0; -ENOENT. */
MUST_USE int serve_process_user(const char *user, uid_t *out);

/* Become `user` and `group` (each may be NULL) and give up all capabilities.  0; negative errno
 * with `why`. */
MUST_USE int serve_process_drop(const char *user, const char *group, const char *log_file,
                                char *why, size_t cap);

/* While the user stays root: give up every capability but that to bind ports below 1024 and that to
 * open files whoever they belong to.  Those of other users are gone by then.  0; negative errno
 * with `why`. */
MUST_USE int serve_process_confine(char *why, size_t cap);

/* Write our number to `path`.  0 or negative errno. */
MUST_USE int serve_process_pidfile(const char *path);

/* Tell the service manager `state` ("READY=1"), if there is one (sd_notify(3)). */
void serve_process_notify(const char *state);

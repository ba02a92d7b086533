/* SPDX-License-Identifier: Apache-2.0 */
/* The local syslog socket.  Not syslog(3), which waits when the daemon does.
 *
 * Owner   nobody.
 * Thread  any. */
#pragma once

#include <stddef.h>

#include "base/attr.h"

#define SYSLOG_HEAD 64 /* "<191>Dec 31 23:59:59 sterna[4194304]: " and its end */

struct line;

/* Connect a datagram socket, that never blocks, to `path`.  Returns it or a negative errno. */
MUST_USE int syslog_connect(const char *path);

/* Write what stands before the body of `line` in a datagram (RFC 3164 section 4.1, as the C library
 * writes it: local time, no host name).  Returns its length. */
size_t syslog_head(char out[SYSLOG_HEAD], int facility, const struct line *line);

/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of the kernel below /proc/sys that are small numbers.
 * Thread  any; that of this process's network namespace. */
#pragma once

#include "base/attr.h"

/* 0 to 9; negative errno. */
MUST_USE int setting_read(const char *path);
int setting_write(const char *path, int value);

/* Write 1 to a `forwarding` of IPv6.  The kernel takes that for a sign that this host becomes a
 * router, and forgets the default routes that routers have told it (RFC 4861), of whatever
 * interface: but where accept_ra is 2, which it therefore is for that moment.  0; negative errno:
 * nothing has changed. */
MUST_USE int setting_write_router(const char *path);

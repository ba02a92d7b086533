/* SPDX-License-Identifier: Apache-2.0 */
/* Tells that the addresses of this host, or the links that carry them, may have changed.
 *
 * Owner   the relay server.  Thread  control. */
#pragma once

#include <stdbool.h>

/* A descriptor that becomes readable then; -1 when the system does not offer it. */
int address_watch_open(void);

/* Forget what `fd` has told; true when there was something. */
bool address_watch_changed(int fd);

/* SPDX-License-Identifier: Apache-2.0 */
/* Handling of secret bytes. */
#pragma once

#include <stddef.h>

/* Overwrite `n` bytes at `p` in a way that the compiler cannot drop. */
void secret_wipe(void *p, size_t n);

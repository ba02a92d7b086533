/* SPDX-License-Identifier: Apache-2.0 */
/* Heap memory for start-up, reload and administration; never on the packet path.
 *
 * With the build option `fault_injection`, the n-th call of a process fails when the environment
 * says STERNA_FAIL_AT=n (counted from 0): tests walk n up until a run passes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

/* `count` zeroed objects of `size` bytes; NULL when memory is exhausted or the product overflows.
 * Released with free(). */
MUST_USE void *mem_new(size_t count, size_t size);

/* A copy of `text` on the heap, or NULL. */
MUST_USE char *mem_text(const char *text);

/* True when this allocation is the one that a test wants to see fail.  Slabs ask, too. */
bool mem_fails(void);

/* Fault injection from inside a test program: the `n`-th allocation from now fails, counted
 * from 0; a negative `n` stops it.  Without the build option nothing ever fails. */
void mem_fail_at(long n);

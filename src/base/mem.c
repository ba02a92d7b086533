/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#ifdef STERNA_FAULT_INJECTION
#include <stdatomic.h>

static _Atomic long calls_left = -2; /* -2: the environment was not asked yet; -1: never fail */

void mem_fail_at(long n)
{
    atomic_store(&calls_left, n < 0 ? -1 : n);
}

bool mem_fails(void)
{
    long left = atomic_load(&calls_left);

    if (left == -2) {
        const char *text = getenv("STERNA_FAIL_AT");
        left = text == NULL ? -1 : strtol(text, NULL, 10);
        atomic_store(&calls_left, left);
    }
    if (left < 0) {
        return false;
    }
    return atomic_fetch_sub(&calls_left, 1) == 0;
}
#else
void mem_fail_at(long n)
{
    (void)n;
}

bool mem_fails(void)
{
    return false;
}
#endif

void *mem_new(size_t count, size_t size)
{
    size_t total;

    if (mem_fails() || __builtin_mul_overflow(count, size, &total)) {
        return NULL;
    }
    return calloc(1, total);
}

char *mem_text(const char *text)
{
    const size_t n = strlen(text) + 1;
    char *copy = mem_new(1, n);

    if (copy != NULL) {
        memcpy(copy, text, n);
    }
    return copy;
}

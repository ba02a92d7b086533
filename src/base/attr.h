/* SPDX-License-Identifier: Apache-2.0 */
/* Compiler attributes and the few macros that every folder uses. */
#pragma once

#define MUST_USE      __attribute__((warn_unused_result))
#define PRINTF(f, a)  __attribute__((format(printf, f, a)))
#define NOINLINE      __attribute__((noinline)) /* its frame is not its caller's, too */
#define likely(x)     __builtin_expect(!!(x), 1)
#define unlikely(x)   __builtin_expect(!!(x), 0)
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* The object of `type` whose `member` lies at `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

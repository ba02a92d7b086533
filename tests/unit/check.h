/* SPDX-License-Identifier: Apache-2.0 */
/* What every cmocka test includes: cmocka.h needs these four headers before it, in this order. */
#pragma once

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* Leave a test that cannot be run here, and say why.  cmocka's own skip() prints "not ok # SKIP",
 * which readers of TAP take for a failure. */
#define CHECK_SKIP(why)                                                                            \
    do {                                                                                           \
        print_message("# not run here: %s\n", (why));                                              \
        return;                                                                                    \
    } while (0)

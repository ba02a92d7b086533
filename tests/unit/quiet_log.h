/* SPDX-License-Identifier: Apache-2.0 */
/* A group's set-up: what the code under test logs below an error is not shown. */
#pragma once

#include "log/log.h"

static inline int quiet_log(void **state)
{
    struct log_options options = log_defaults();

    (void)state;
    options.level = LOG_ERROR;
    return log_configure(&options);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Where the server would listen and with which certificates, in words, for check-config. */
#pragma once

#include <stddef.h>
#include <stdio.h>

#include "base/attr.h"

struct conf;

/* What was wrong besides the findings of the configuration itself. */
struct check_faults {
    size_t errors;
    size_t warnings;
};

/* Write to `out` what `conf` (checked, without errors) asks for, and what is wrong with it, as
 * findings are written.  Reads certificates and keys; opens no sockets.  0 with `*faults`;
 * -ENOMEM. */
MUST_USE int check_listen_write(const struct conf *conf, FILE *out, struct check_faults *faults);

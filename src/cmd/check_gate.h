/* SPDX-License-Identifier: Apache-2.0 */
/* What the peer gate will do with a configuration, in plain words. */
#pragma once

#include <stdio.h>

struct conf;

/* Write which networks clients may reach through the relay.  `conf` has been checked. */
void check_gate_write(const struct conf *conf, FILE *out);

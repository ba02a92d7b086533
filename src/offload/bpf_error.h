/* SPDX-License-Identifier: Apache-2.0 */
/* What an error of bpf(2) means, for whoever has to tell it.
 * Thread  any. */
#pragma once

#include "base/attr.h"

/* The same negative errno, or -ENOTSUP for what kernels say that lack the call, the type of program
 * or a helper. */
MUST_USE int bpf_error_plain(int err);

/* What would help against a negative errno that no capability helps against. */
const char *bpf_error_advice(int err);

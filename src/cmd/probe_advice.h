/* SPDX-License-Identifier: Apache-2.0 */
/* What to do about what a probe ran into, in plain words.  Any thread; constant texts. */
#pragma once

/* What is usually wrong when a transaction ends in `err` (negative errno). */
const char *probe_advice_errno(int err);

/* What is usually wrong when a request that the step meant to succeed was answered with `code`. */
const char *probe_advice_code(int code);

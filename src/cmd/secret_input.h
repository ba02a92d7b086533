/* SPDX-License-Identifier: Apache-2.0 */
/* How a password or secret comes in: asked for on the terminal, from standard input, made at
 * random, or, when somebody insists, from the command line.
 *
 * Owner   the caller wipes what was read.  Thread  the only one. */
#pragma once

#include <stddef.h>

#include "base/attr.h"

enum secret_input {
    SECRET_ASK,
    SECRET_STDIN,
    SECRET_ARGUMENT,
    SECRET_GENERATE,
};

enum { SECRET_INPUT_MAX = 1024 };

/* Ask twice on the terminal for `what` ("password"), without echo.  All four write the text into
 * `out`, NUL-terminated, and return NULL; on failure what to tell the user. */
MUST_USE const char *secret_input_ask(const char *what, char out[SECRET_INPUT_MAX + 1]);

/* The first line of standard input. */
MUST_USE const char *secret_input_stdin(char out[SECRET_INPUT_MAX + 1]);

/* Take `argument` and blot it out where the process list shows it. */
MUST_USE const char *secret_input_argument(char *argument, char out[SECRET_INPUT_MAX + 1]);

/* 32 letters and digits: 190 bits. */
MUST_USE const char *secret_input_generate(char out[SECRET_INPUT_MAX + 1]);

/* SPDX-License-Identifier: Apache-2.0 */
/* The manual page sterna(1) and docs/reference/exit-codes.md, made of the tables of the commands.
 */
#pragma once

#include <stdio.h>

/* sterna(1), in the man macros.  The help of each command is what its --help prints. */
void manual_write(FILE *out);

/* The exit codes, in Markdown. */
void manual_write_exit_codes(FILE *out);

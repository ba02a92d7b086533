/* SPDX-License-Identifier: Apache-2.0 */
/* `sterna help`: the list of commands, the help of one, and the generated documents. */
#pragma once

#include <stdio.h>

/* The command; returns an enum cmd_exit. */
int cmd_help(int argc, char **argv);

/* The list of commands and exit codes. */
void help_write(FILE *out);

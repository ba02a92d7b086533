/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of sterna.
 *
 * Owner   nobody: a constant table.  Thread  any. */
#pragma once

#include <stddef.h>

/* A command runs with argv[0] = its name and returns an enum cmd_exit. */
struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
    const char *synopsis; /* what follows the name */
};

extern const struct command command_table[];
extern const size_t command_count;

/* The command of that name, or NULL. */
const struct command *command_find(const char *name);

/* The command that `name` was most likely meant to be, or NULL. */
const struct command *command_nearest(const char *name);

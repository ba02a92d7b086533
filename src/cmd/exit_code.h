/* SPDX-License-Identifier: Apache-2.0 */
/* The exit codes of every command: the only place they are declared.  `sterna help`, the manual and
 * docs/reference/exit-codes.md are made of this table. */
#pragma once

/* CMD_EXIT(name, number, meaning) */
#define CMD_EXITS                                                                                  \
    CMD_EXIT(CMD_OK, 0, "Done; for check-config: no error; for probe: no step failed.")            \
    CMD_EXIT(                                                                                      \
        CMD_FAILED, 1,                                                                             \
        "The work failed: a file, a database, a socket or memory; for bench: clients failed, "     \
        "or a limit was exceeded.")                                                                \
    CMD_EXIT(CMD_USAGE, 2, "The command line or the configuration is wrong; nothing was done.")    \
    CMD_EXIT(CMD_NOT_FOUND, 3, "What was asked for does not exist; for probe: a step failed.")

enum cmd_exit {

#define CMD_EXIT(name, number, meaning) name = (number),
    CMD_EXITS
#undef CMD_EXIT
};

/* SPDX-License-Identifier: Apache-2.0 */
/* `sterna check-config`: load a configuration as serve does, and say what is wrong with it and whom
 * clients may reach. */
#pragma once

/* The command; returns an enum cmd_exit. */
int cmd_check_config(int argc, char **argv);

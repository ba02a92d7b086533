/* SPDX-License-Identifier: Apache-2.0 */
/* `sterna version`: what this binary is and what it was built with. */
#pragma once

/* The command; returns an enum cmd_exit. */
int cmd_version(int argc, char **argv);

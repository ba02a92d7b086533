/* SPDX-License-Identifier: Apache-2.0 */
/* coturn's `turnadmin`: its flags, on its databases. */
#pragma once

/* The command, also run as `turnadmin`; returns an enum cmd_exit. */
int cmd_turnadmin(int argc, char **argv);

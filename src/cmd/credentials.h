/* SPDX-License-Identifier: Apache-2.0 */
/* `sterna credentials`: a user name, a password and the entry for a browser. */
#pragma once

/* The command; returns an enum cmd_exit. */
int cmd_credentials(int argc, char **argv);

/* SPDX-License-Identifier: Apache-2.0 */
/* `sterna secret`: the shared secrets of the database. */
#pragma once

/* The command; returns an enum cmd_exit. */
int cmd_secret(int argc, char **argv);

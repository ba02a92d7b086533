/* SPDX-License-Identifier: Apache-2.0 */
/* `sterna user`: the users of the database. */
#pragma once

/* The command; returns an enum cmd_exit. */
int cmd_user(int argc, char **argv);

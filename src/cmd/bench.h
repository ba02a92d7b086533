/* SPDX-License-Identifier: Apache-2.0 */
/* `sterna bench`: a load generator. */
#pragma once

/* The command; returns an enum cmd_exit. */
int cmd_bench(int argc, char **argv);

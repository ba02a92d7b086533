/* SPDX-License-Identifier: Apache-2.0 */
/* `sterna probe`: try a STUN/TURN server out as a client would, and say what is wrong. */
#pragma once

/* The command; returns an enum cmd_exit.  argv[0] is its name. */
int cmd_probe(int argc, char **argv);

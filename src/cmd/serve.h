/* SPDX-License-Identifier: Apache-2.0 */
/* sterna serve: the server, in the foreground unless the configuration says otherwise.
 *
 * Owner   main.  Thread  the one that calls becomes the control thread. */
#pragma once

int cmd_serve(int argc, char **argv);

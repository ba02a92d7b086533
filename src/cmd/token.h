/* SPDX-License-Identifier: Apache-2.0 */
/* `sterna token`: access tokens of third-party authorization (RFC 7635), made and explained. */
#pragma once

/* The command; returns an enum cmd_exit. */
int cmd_token(int argc, char **argv);

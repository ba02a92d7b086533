/* SPDX-License-Identifier: Apache-2.0 */
/* The credentials of a command that is a client: the options that give them, standard input, and
 * passwords made from a shared secret.
 *
 * Owner   the command's options; it holds a password, so the command wipes it at its end.
 * Thread  one. */
#pragma once

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

enum {
    PROBE_LOGIN_USER_MAX = 508, /* octets of a USERNAME (RFC 8489 section 14.3) */
    PROBE_LOGIN_SECRET_MAX = 1024,
};

/* What getopt_long() returns for them; the command's own numbers begin at PROBE_LOGIN_NEXT. */
enum {
    PROBE_LOGIN_PASSWORD_STDIN = 256,
    PROBE_LOGIN_SECRET_STDIN,
    PROBE_LOGIN_SEPARATOR,
    PROBE_LOGIN_NEXT,
};

/* clang-format off */
#define PROBE_LOGIN_SHORTS "u:w:"
#define PROBE_LOGIN_LONGS                                                                          \
    {"user", required_argument, NULL, 'u'},                                                        \
    {"password", required_argument, NULL, 'w'},                                                    \
    {"password-stdin", no_argument, NULL, PROBE_LOGIN_PASSWORD_STDIN},                             \
    {"secret-stdin", no_argument, NULL, PROBE_LOGIN_SECRET_STDIN},                                 \
    {"separator", required_argument, NULL, PROBE_LOGIN_SEPARATOR}

#define PROBE_LOGIN_HELP                                                                           \
    "  -u, --user USER       user name; with --secret-stdin, the name behind the time\n"           \
    "      --password-stdin  read the password, one line, from standard input\n"                   \
    "      --secret-stdin    read a shared secret (static-auth-secret) from standard\n"            \
    "                        input, and make credentials for one hour with it\n"                   \
    "  -w, --password PASS   the password, for all users of this host to see\n"                    \
    "      --separator CHAR  between time and name, the server's rest-api-separator\n"             \
    "                        (default :)\n"

/* clang-format on */

struct probe_login {
    const char *command; /* for messages: "probe" */
    char user[PROBE_LOGIN_USER_MAX + 1];
    char password[PROBE_LOGIN_SECRET_MAX + 1];
    bool has_user;
    bool has_password;
    bool password_stdin;
    bool secret_stdin;
    char separator;
};

/* Without credentials, for the command of that name. */
void probe_login_init(struct probe_login *login, const char *command);

/* True when `c`, as getopt_long() returned it, is an option of ours. */
bool probe_login_owns(int c);

/* Take such an option with its argument `arg`, in which a secret is blotted out.  CMD_OK or
 * CMD_USAGE, which has been told on standard error. */
MUST_USE int probe_login_take(struct probe_login *login, int c, char *arg);

/* Do the options go together?  CMD_OK or CMD_USAGE, told. */
MUST_USE int probe_login_check(const struct probe_login *login);

/* Read what standard input has to give, and make a time-limited name and password for `ttl_s`
 * seconds from now if a secret was given.  CMD_OK; CMD_USAGE or CMD_FAILED, told. */
MUST_USE int probe_login_complete(struct probe_login *login, uint32_t ttl_s);

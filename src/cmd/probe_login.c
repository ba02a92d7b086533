/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_login.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/secret.h"
#include "cmd/exit_code.h"
#include "crypto/mac.h"
#include "crypto/rest.h"

static int usage(const struct probe_login *login, const char *what)
{
    fprintf(stderr, "sterna %s: %s; try sterna %s --help\n", login->command, what, login->command);
    return CMD_USAGE;
}

void probe_login_init(struct probe_login *login, const char *command)
{
    *login = (struct probe_login){.command = command, .separator = ':'};
}

bool probe_login_owns(int c)
{
    return c == 'u' || c == 'w' || (c >= PROBE_LOGIN_PASSWORD_STDIN && c < PROBE_LOGIN_NEXT);
}

/* Copy an option's value and blot it out where the process list shows it. */
static bool take_text(char *arg, char *to, size_t cap, bool secret)
{
    const size_t n = strlen(arg);

    if (n >= cap) {
        return false;
    }
    memcpy(to, arg, n + 1);
    if (secret) {
        secret_wipe(arg, n);
    }
    return true;
}

static int take_password(struct probe_login *login, char *arg)
{
    login->has_password = true;
    fprintf(stderr,
            "sterna %s: warning: a password on the command line is visible to all users of this "
            "host; use --password-stdin\n",
            login->command);
    return take_text(arg, login->password, sizeof(login->password), true)
               ? CMD_OK
               : usage(login, "the password is longer than 1024 bytes");
}

int probe_login_take(struct probe_login *login, int c, char *arg)
{
    switch (c) {
    case 'u':
        login->has_user = true;
        return take_text(arg, login->user, sizeof(login->user), false)
                   ? CMD_OK
                   : usage(login, "the user name is longer than 508 bytes");
    case 'w':
        return take_password(login, arg);
    case PROBE_LOGIN_PASSWORD_STDIN:
        login->password_stdin = true;
        return CMD_OK;
    case PROBE_LOGIN_SECRET_STDIN:
        login->secret_stdin = true;
        return CMD_OK;
    default:
        login->separator = arg[0];
        return strlen(arg) == 1 ? CMD_OK : usage(login, "--separator takes one character");
    }
}

int probe_login_check(const struct probe_login *login)
{
    if (login->has_password + login->password_stdin + login->secret_stdin > 1) {
        return usage(login, "give one of -w, --password-stdin and --secret-stdin");
    }
    if ((login->has_password || login->password_stdin) && !login->has_user) {
        return usage(login, "a password belongs to a user: add -u USER");
    }
    if (login->has_user && !login->has_password && !login->password_stdin && !login->secret_stdin) {
        return usage(login, "the password of the user is missing: add --password-stdin or "
                            "--secret-stdin");
    }
    return CMD_OK;
}

/* One line of standard input. */
static int read_line(struct probe_login *login)
{
    char *to = login->password;

    if (fgets(to, (int)sizeof(login->password), stdin) == NULL) {
        return usage(login, "standard input is empty: write the password or secret to it");
    }
    const size_t n = strcspn(to, "\r\n");
    if (n == 0 || (to[n] == '\0' && n + 1 == sizeof(login->password))) {
        return usage(login, n == 0 ? "the first line of standard input is empty"
                                   : "the first line of standard input is longer than 1023 bytes");
    }
    to[n] = '\0';
    return CMD_OK;
}

/* Make a time-limited name and its password from the secret in login->password. */
static int make_rest(struct probe_login *login, uint32_t ttl_s)
{
    char name[PROBE_LOGIN_USER_MAX + 32];
    char separator[2] = {login->has_user ? login->separator : '\0', '\0'};
    struct crypto_mac *mac = crypto_mac_new();
    char password[CRYPTO_REST_LEN + 1];

    const int n = snprintf(name, sizeof(name), "%lld%s%s", (long long)time(NULL) + ttl_s, separator,
                           login->user);
    if (n > PROBE_LOGIN_USER_MAX) {
        crypto_mac_free(mac);
        return usage(login, "the user name is too long");
    }
    const int err = mac == NULL ? -ENOMEM
                                : crypto_rest_password(mac, bytes_of(login->password),
                                                       bytes_of(name), password);
    crypto_mac_free(mac);
    if (err < 0) {
        fprintf(stderr, "sterna %s: cannot make credentials: %s\n", login->command, strerror(-err));
        return CMD_FAILED;
    }
    memcpy(login->user, name, (size_t)n + 1);
    memcpy(login->password, password, sizeof(password));
    secret_wipe(password, sizeof(password));
    login->has_user = true;
    return CMD_OK;
}

int probe_login_complete(struct probe_login *login, uint32_t ttl_s)
{
    int code = CMD_OK;

    if (login->password_stdin || login->secret_stdin) {
        code = read_line(login);
    }
    if (code == CMD_OK && login->secret_stdin) {
        code = make_rest(login, ttl_s);
    }
    return code;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/command.h"

#include <string.h>

#include "base/attr.h"
#include "cmd/bench.h"
#include "cmd/check_config.h"
#include "cmd/credentials.h"
#include "cmd/help.h"
#include "cmd/probe.h"
#include "cmd/secret.h"
#include "cmd/serve.h"
#include "cmd/token.h"
#include "cmd/turnadmin.h"
#include "cmd/user.h"
#include "cmd/version.h"

const struct command command_table[] = {
    {"serve", cmd_serve, "run the server in the foreground", "[OPTION]..."},
    {"check-config", cmd_check_config, "say what is wrong with a configuration", "[OPTION]..."},
    {"user", cmd_user, "add, delete and list the users of the database", "add|del|list|passwd ..."},
    {"secret", cmd_secret, "add, delete and list shared secrets", "add|del|list ..."},
    {"turnadmin", cmd_turnadmin, "administer a user database with coturn's flags", "[OPTION]..."},
    {"credentials", cmd_credentials, "make credentials and the entry for a browser", "[OPTION]..."},
    {"token", cmd_token, "make and explain access tokens of third parties", "make|show|key ..."},
    {"probe", cmd_probe, "try a server out and say what is wrong", "[OPTION]... turn:HOST[:PORT]"},
    {"bench", cmd_bench, "load a server and measure it", "[OPTION]... HOST[:PORT]"},
    {"version", cmd_version, "print the version and what it was built with", "[--json]"},
    {"help", cmd_help, "explain a command", "[COMMAND]"},
};

const size_t command_count = ARRAY_SIZE(command_table);

enum { NAME_MAX_LEN = 16, FAR = 3 };

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(command_table[i].name, name) == 0) {
            return &command_table[i];
        }
    }
    return NULL;
}

static size_t least(size_t a, size_t b, size_t c)
{
    const size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Letters to change, insert or leave out to make `b` of `a` (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_LEN + 1];
    const size_t n = strlen(b);

    for (size_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            const size_t above = row[j + 1];
            row[j + 1] = least(row[j] + 1, above + 1, diagonal + (a[i] != b[j]));
            diagonal = above;
        }
    }
    return row[n];
}

const struct command *command_nearest(const char *name)
{
    const struct command *nearest = NULL;
    size_t best = FAR;

    if (strlen(name) > NAME_MAX_LEN) {
        return NULL;
    }
    for (size_t i = 0; i < command_count; i++) {
        const size_t far = distance(name, command_table[i].name);
        if (far < best) {
            best = far;
            nearest = &command_table[i];
        }
    }
    return nearest;
}

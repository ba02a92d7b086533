/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of `sterna token`.
 *
 * Owner   the command, for its run; texts are borrowed from argv.  Thread  the only one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "cmd/admin.h"

enum token_key_from {
    TOKEN_KEY_KNOWN, /* of the configuration or the database */
    TOKEN_KEY_STDIN,
    TOKEN_KEY_FILE,
    TOKEN_KEY_ARGUMENT,
};

struct token_options {
    const struct admin_syntax *syntax;
    const char *config;
    const char *userdb;
    bool from_db; /* look into the database alone */
    const char *kid;
    enum token_key_from key_from;
    char *key; /* base64, or the name of a file */
    const char *algorithm;
    const char *server_name;
    const char *realm;
    uint32_t lifetime_s;
    uint32_t mac_len;
    bool json;
    bool help;
    const char *token; /* the operand; NULL: it is on standard input */
};

/* Read the command line of an action; argv[0] is skipped.  CMD_OK with `*out`, or CMD_USAGE, told.
 */
MUST_USE int token_options_parse(const struct admin_syntax *syntax, int argc, char **argv,
                                 struct token_options *out);

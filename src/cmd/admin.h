/* SPDX-License-Identifier: Apache-2.0 */
/* What `user`, `secret` and `credentials` share: their options, the configuration, the database.
 *
 * Owner   the command, for its run.  Thread  the only one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "cmd/secret_input.h"
#include "store/store.h"

struct conf;

/* A command and what it takes: letters of the option table in admin.c. */
struct admin_syntax {
    const char *name;    /* "user add" */
    const char *options; /* which options it takes */
    int operands_least;
    int operands_most;
};

struct admin_request {
    const struct admin_syntax *syntax;
    const char *config;
    const char *userdb;
    const char *realm;
    enum secret_input input;
    char *argument; /* of --password or --secret */
    const char *host;
    const char *user;
    const char *fixed;
    const char *ttl;
    bool text;
    bool help;
    char *const *operands; /* `operand_count` of them */
    int operand_count;
};

/* Print "sterna NAME: WHAT" and how to get help, and return CMD_USAGE. */
int admin_usage(const struct admin_syntax *syntax, const char *format, ...) PRINTF(2, 3);

/* Print "sterna NAME: WHAT" and return CMD_FAILED. */
int admin_failed(const struct admin_syntax *syntax, const char *format, ...) PRINTF(2, 3);

/* Which of `words` (NULL ends them) stands behind the command `name`: its number; or -1 when `help`
 * was asked for, or a complaint was printed, with the exit code. */
int admin_word(const char *name, const char *help, const char *const *words, int argc, char **argv,
               int *out_code);

/* Read the command line; argv[0] is skipped.  CMD_OK with `*out`, or CMD_USAGE, told. */
MUST_USE int admin_parse(const struct admin_syntax *syntax, int argc, char **argv,
                         struct admin_request *out);

/* Load the configuration as serve does, without asking that a server could start with it.  CMD_OK
 * with `*out_conf`, to be given to conf_unref(); else told. */
MUST_USE int admin_conf(const struct admin_request *request, struct conf **out_conf);

/* Configuration and database of one run.  `realm` is the request's, or the configuration's; NULL is
 * possible with STORE_LOOK only. */
struct admin_db {
    struct conf *conf;
    struct store *store;
    const char *where;
    const char *realm;
    bool realm_given; /* by the request or the configuration, not by the name of this host */
};

/* Open the database to `mode`.  CMD_OK with `*out`, to be given to admin_db_close(); else told. */
MUST_USE int admin_db_open(const struct admin_request *request, enum store_mode mode,
                           struct admin_db *out);
void admin_db_close(struct admin_db *db);

/* Say why a call on the database failed with `err`.  CMD_FAILED. */
int admin_db_failed(const struct admin_request *request, const struct admin_db *db, int err);

/* `text` in quotes, harmless for a terminal, into `out` (cap bytes). */
const char *admin_quote(struct bytes text, char *out, size_t cap);

/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of turnadmin share.
 *
 * Owner   the command, for its run; it wipes the secrets.  Thread  the only one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "cmd/secret_input.h"
#include "store/store.h"

/* The options of a realm that turnadmin knows. */
enum turnadmin_limit { TURNADMIN_MAX_BPS, TURNADMIN_USER_QUOTA, TURNADMIN_TOTAL_QUOTA };

enum { TURNADMIN_LIMITS = 3 };

/* The command line.  Borrows from it, all but the secrets, which it blots out there. */
struct turnadmin {
    int command; /* coturn's letter, or TURNADMIN_ALL_SECRETS; 0: none */
    const char *userdb;
    const char *user;
    const char *realm;
    const char *origin;
    const char *key_path; /* to read (-f) or, with -x, to write */
    const char *sealed;   /* of -v */
    char password[SECRET_INPUT_MAX + 1];
    char secret[SECRET_INPUT_MAX + 1];
    bool has_limit[TURNADMIN_LIMITS];
    uint64_t limits[TURNADMIN_LIMITS];
};

enum { TURNADMIN_ALL_SECRETS = 256, TURNADMIN_HELP = 'h' };

/* Read the command line.  CMD_OK with `*out`; else told. */
MUST_USE int turnadmin_parse(int argc, char **argv, struct turnadmin *out);

void turnadmin_help(void);

/* Print "turnadmin: WHAT" and return CMD_USAGE or CMD_FAILED.  No secret may be among the
 * arguments. */
int turnadmin_usage(const char *format, ...) PRINTF(1, 2);
int turnadmin_failed(const char *format, ...) PRINTF(1, 2);

/* The name of an option of a realm. */
const char *turnadmin_limit_name(enum turnadmin_limit limit);

/* A command on the open database.  An enum cmd_exit; failures are told. */
typedef int (*turnadmin_rows_fn)(const struct turnadmin *a, struct store *store);

/* What the command does with the database, which it needs opened to `*out_mode`; NULL when it needs
 * none. */
turnadmin_rows_fn turnadmin_rows(int command, enum store_mode *out_mode);

/* -k: print the key of a user. */
int turnadmin_key(const struct turnadmin *a);

/* -P: print a password as coturn keeps those of administrators: "$5$", 8 random bytes and the
 * SHA-256 of these and the password, both in hexadecimal digits.  Writes it to `out`; CMD_OK, or
 * told. */
enum { TURNADMIN_DIGEST_LEN = 3 + 16 + 1 + 64 };

MUST_USE int turnadmin_digest(const char *password, char out[TURNADMIN_DIGEST_LEN + 1]);

int turnadmin_print_digest(const struct turnadmin *a);

/* -E, -v: seal a password with the key of a file, or open one, and print it.  -x: make such a key.
 * AES-128 in counter mode from 0 on, in base64: coturn's way, by which its server reads the
 * password of a MySQL server.  Whoever sees two texts of one key sees their difference. */
int turnadmin_seal(const struct turnadmin *a);
int turnadmin_unseal(const struct turnadmin *a);
int turnadmin_make_key(const struct turnadmin *a);

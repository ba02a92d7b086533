/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/turnadmin.h"

#include <stdio.h>
#include <string.h>

#include "base/secret.h"
#include "cmd/admin.h"
#include "cmd/exit_code.h"
#include "cmd/turnadmin_int.h"
#include "conf/conf.h"

enum { BUSY_MS = 5000 };

/* What a command cannot do without: letters of the options, 'n' for one of the limits. */
static const struct {
    int command;
    const char *needs;
} needs_of[] = {
    {'a', "urp"}, {'d', "ur"},
    {'k', "up"},  {'A', "up"},
    {'D', "u"},   {'s', "r"},
    {'X', "r"},   {'O', "or"},
    {'R', "o"},   {'g', "rn"},
    {'P', "p"},   {'E', "pf"},
    {'v', "f"},   {TURNADMIN_ALL_SECRETS, "r"},
};

/* What is missing, in words; NULL when `need` is there.  coturn takes empty texts for absent. */
static const char *missing(const struct turnadmin *a, char need)
{
    switch (need) {
    case 'u':
        return a->user == NULL || a->user[0] == '\0' ? "the user must be set (-u)" : NULL;
    case 'r':
        return a->realm == NULL || a->realm[0] == '\0' ? "the realm must be set (-r)" : NULL;
    case 'o':
        return a->origin == NULL || a->origin[0] == '\0' ? "the origin must be set (-o)" : NULL;
    case 'p':
        return a->password[0] == '\0' ? "the password must be set (-p)" : NULL;
    case 'f':
        return a->key_path == NULL ? "the file of the key must be set (-f)" : NULL;
    case 'n':
    default:
        return a->has_limit[0] || a->has_limit[1] || a->has_limit[2]
                   ? NULL
                   : "a realm option must be set (--max-bps, --user-quota or --total-quota)";
    }
}

static int needs_check(const struct turnadmin *a)
{
    for (size_t i = 0; i < ARRAY_SIZE(needs_of); i++) {
        for (const char *need = needs_of[i].needs;
             needs_of[i].command == a->command && *need != '\0'; need++) {
            const char *what = missing(a, *need);
            if (what != NULL) {
                return turnadmin_usage("the operation cannot be completed: %s", what);
            }
        }
    }
    return CMD_OK;
}

static int rows_run(const struct turnadmin *a, const char *where)
{
    char why[STORE_ERROR_LEN + 64];
    struct store_target target = {where, STORE_LOOK, BUSY_MS};
    const turnadmin_rows_fn rows = turnadmin_rows(a->command, &target.mode);
    struct store *store;

    if (store_open(&store_sqlite, &target, &store, why, sizeof(why)) < 0) {
        return turnadmin_failed("%s", why);
    }
    const int code = rows(a, store);
    store_close(store);
    return code;
}

/* The database of -b; else the server's own; else coturn's. */
static int rows_find_and_run(const struct turnadmin *a)
{
    static const struct admin_syntax syntax = {"turnadmin", "", 0, 0};
    const struct admin_request request = {.syntax = &syntax};
    struct conf *conf = NULL;

    if (a->userdb != NULL) {
        return rows_run(a, a->userdb);
    }
    int code = admin_conf(&request, &conf);
    if (code == CMD_OK && conf != NULL) {
        code = rows_run(a, conf->userdb != NULL ? conf->userdb : conf_usual_userdb());
        conf_unref(conf);
    }
    return code;
}

static int run(const struct turnadmin *a)
{
    enum store_mode mode;

    switch (a->command) {
    case 'k':
        return turnadmin_key(a);
    case 'P':
        return turnadmin_print_digest(a);
    case 'E':
        return turnadmin_seal(a);
    case 'v':
        return turnadmin_unseal(a);
    case 'x':
        return turnadmin_make_key(a);
    default:
        return turnadmin_rows(a->command, &mode) == NULL ? turnadmin_usage("there is no command")
                                                         : rows_find_and_run(a);
    }
}

int cmd_turnadmin(int argc, char **argv)
{
    struct turnadmin a;
    int code = turnadmin_parse(argc, argv, &a);

    if (code == CMD_OK && a.command == TURNADMIN_HELP) {
        turnadmin_help();
    } else if (code == CMD_OK) {
        code = needs_check(&a);
        code = code == CMD_OK ? run(&a) : code;
    }
    secret_wipe(&a, sizeof(a));
    if (code == CMD_OK && (fflush(stdout) != 0 || ferror(stdout) != 0)) {
        return turnadmin_failed("standard output takes nothing more");
    }
    return code;
}

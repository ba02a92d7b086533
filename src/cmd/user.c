/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/user.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/secret.h"
#include "cmd/admin.h"
#include "cmd/exit_code.h"
#include "cmd/user_keys.h"
#include "crypto/precis.h"
#include "log/escape.h"

static const char help[] =
    "Usage: sterna user add [OPTION]... NAME\n"
    "       sterna user passwd [OPTION]... NAME\n"
    "       sterna user del [OPTION]... NAME\n"
    "       sterna user list [OPTION]...\n"
    "\n"
    "Add a user to the database, give a user another password, delete one, or list\n"
    "them. Keys are stored, never passwords: the MD5 key where coturn keeps it, and a\n"
    "SHA-256 key in a table of sterna's own. A running server sees a new user within\n"
    "seconds, and a changed or deleted one when what it remembers is too old\n"
    "(user-cache-ttl).\n"
    "\n"
    "Options:\n"
    "  -c, --config FILE     the configuration, for userdb and realm\n"
    "  -b, --userdb FILE     the SQLite database; add makes it where there is none\n"
    "  -r, --realm REALM     the realm; list without it lists all realms\n"
    "      --password-stdin  read the password, one line, from standard input\n"
    "      --generate        make a password and print it, this once\n"
    "      --password PASS   the password, for all users of this host to see\n"
    "  -h, --help            this text\n"
    "\n"
    "Without one of these three the password is asked for on the terminal. list prints\n"
    "realm, name and the kinds of keys, separated by tabs.\n"
    "\n"
    "Ends with 0; 1 when the work failed, as when the user to add is there already; 2\n"
    "when the command line is wrong; 3 when there is no such user.\n";

enum { QUOTE_MAX = ESCAPE_MAX(STORE_NAME_MAX) + 3 };

/* What OpaqueString makes of names and passwords is what clients send or hash. */
static int prepare(const struct admin_request *request, const char *what, const char *in, char *out,
                   size_t cap)
{
    const int n = precis_opaque_string(bytes_of(in), out, cap);

    if (n == -ENOBUFS) {
        return admin_usage(request->syntax, "the %s is longer than %zu bytes", what, cap - 1);
    }
    if (n < 0) {
        return admin_usage(request->syntax,
                           "the %s is empty, no UTF-8, or holds a character that RFC 8265 does not "
                           "allow, as control characters",
                           what);
    }
    return CMD_OK;
}

static const char *password_read(const struct admin_request *request,
                                 char out[SECRET_INPUT_MAX + 1])
{
    switch (request->input) {
    case SECRET_STDIN:
        return secret_input_stdin(out);
    case SECRET_ARGUMENT:
        return secret_input_argument(request->argument, out);
    case SECRET_GENERATE:
        return secret_input_generate(out);
    case SECRET_ASK:
    default:
        return secret_input_ask("password", out);
    }
}

/* Read the password and make the keys of `name` of it.  `raw` is the password as it was given. */
static int keys_ask(const struct admin_request *request, const char *name, const char *realm,
                    struct store_keys *out, char raw[SECRET_INPUT_MAX + 1])
{
    char password[SECRET_INPUT_MAX + 1];
    const char *error = password_read(request, raw);

    if (error != NULL) {
        return admin_usage(request->syntax, "no password: %s", error);
    }
    int code = prepare(request, "password", raw, password, sizeof(password));
    if (code == CMD_OK &&
        user_keys_make(bytes_of(name), bytes_of(realm), bytes_of(password), out) < 0) {
        code = admin_failed(request->syntax,
                            "libcrypto refuses to make a key: is MD5 or SHA-256 switched off?");
    }
    secret_wipe(password, sizeof(password));
    return code;
}

static int tell(const struct admin_request *request, const struct admin_db *db, const char *name,
                const char *what)
{
    char user[QUOTE_MAX];
    char realm[QUOTE_MAX];

    fprintf(stderr, "sterna %s: user %s of realm %s %s (%s)\n", request->syntax->name,
            admin_quote(bytes_of(name), user, sizeof(user)),
            admin_quote(bytes_of(db->realm), realm, sizeof(realm)), what, db->where);
    return CMD_OK;
}

static int result_of(const struct admin_request *request, const struct admin_db *db,
                     const char *name, int err)
{
    switch (err) {
    case -ENOENT:
        (void)tell(request, db, name, "is not in the database");
        return CMD_NOT_FOUND;
    case -EEXIST:
        (void)tell(request, db, name, "is in the database already: use sterna user passwd");
        return CMD_FAILED;
    case -EINVAL:
        return admin_usage(request->syntax, "the realm is longer than %d bytes", STORE_REALM_MAX);
    default:
        return admin_db_failed(request, db, err);
    }
}

static int user_write(const struct admin_request *request, struct admin_db *db, bool add)
{
    const struct bytes realm = bytes_of(db->realm);
    struct store_keys keys = {.has_md5 = false};
    char name[STORE_NAME_MAX + 1];
    char raw[SECRET_INPUT_MAX + 1] = "";
    int code = prepare(request, "user name", request->operands[0], name, sizeof(name));

    if (code == CMD_OK) {
        code = keys_ask(request, name, db->realm, &keys, raw);
    }

    if (code == CMD_OK) {
        const int err = add ? store_user_add(db->store, realm, bytes_of(name), &keys)
                            : store_user_change(db->store, realm, bytes_of(name), &keys);
        code = err < 0 ? result_of(request, db, name, err)
                       : tell(request, db, name, add ? "added" : "has another password now");
    }
    if (code == CMD_OK && request->input == SECRET_GENERATE) {
        puts(raw);
    }
    secret_wipe(raw, sizeof(raw));
    secret_wipe(&keys, sizeof(keys));
    return code;
}

/* A name that coturn's tools stored may be one that OpaqueString refuses or changes. */
static int user_del(const struct admin_request *request, struct admin_db *db)
{
    const char *raw = request->operands[0];
    const struct bytes realm = bytes_of(db->realm);
    char name[STORE_NAME_MAX + 1];
    int err = -ENOENT;

    if (precis_opaque_string(bytes_of(raw), name, sizeof(name)) >= 0) {
        err = store_user_remove(db->store, realm, bytes_of(name));
    }
    if (err == -ENOENT) {
        err = store_user_remove(db->store, realm, bytes_of(raw));
    }
    return err < 0 ? result_of(request, db, raw, err) : tell(request, db, raw, "deleted");
}

static int print_user(void *arg, const struct store_user *user)
{
    static char realm[QUOTE_MAX];
    static char name[QUOTE_MAX];
    struct writer r = writer_over((uint8_t *)realm, sizeof(realm) - 1);
    struct writer n = writer_over((uint8_t *)name, sizeof(name) - 1);
    const char *keys = user->keys->has_md5 ? "md5" : "none";

    (void)arg;
    escape_text(&r, user->realm);
    escape_text(&n, user->name);
    realm[r.len] = '\0';
    name[n.len] = '\0';
    printf("%s\t%s\t%s\n", realm, name, user->keys->has_sha256 ? "md5,sha256" : keys);
    return 0;
}

static int user_list(const struct admin_request *request, struct admin_db *db)
{
    const struct bytes realm =
        request->realm == NULL ? (struct bytes){NULL, 0} : bytes_of(request->realm);
    const int err = store_user_list(db->store, realm, print_user, NULL);

    return err < 0 ? admin_db_failed(request, db, err) : CMD_OK;
}

static int user_add(const struct admin_request *request, struct admin_db *db)
{
    return user_write(request, db, true);
}

static int user_passwd(const struct admin_request *request, struct admin_db *db)
{
    return user_write(request, db, false);
}

struct action {
    struct admin_syntax syntax;
    enum store_mode mode;
    int (*run)(const struct admin_request *request, struct admin_db *db);
};

static const char *const words[] = {"add", "passwd", "del", "list", NULL};

/* In the order of the words. */
static const struct action actions[] = {
    {{"user add", "cbrpPg", 1, 1}, STORE_CREATE, user_add},
    {{"user passwd", "cbrpPg", 1, 1}, STORE_CHANGE, user_passwd},
    {{"user del", "cbr", 1, 1}, STORE_CHANGE, user_del},
    {{"user list", "cbr", 0, 0}, STORE_LOOK, user_list},
};

static int action_run(const struct action *action, int argc, char **argv)
{
    struct admin_request request;
    struct admin_db db;
    int code = admin_parse(&action->syntax, argc, argv, &request);

    if (code == CMD_OK && request.help) {
        fputs(help, stdout);
        return CMD_OK;
    }
    if (code == CMD_OK) {
        code = admin_db_open(&request, action->mode, &db);
    }
    if (code != CMD_OK) {
        return code;
    }
    code = action->run(&request, &db);
    admin_db_close(&db);
    return code;
}

int cmd_user(int argc, char **argv)
{
    int code = CMD_OK;
    const int word = admin_word("user", help, words, argc, argv, &code);

    return word < 0 ? code : action_run(&actions[word], argc - 1, argv + 1);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/secret.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/secret.h"
#include "cmd/admin.h"
#include "cmd/exit_code.h"
#include "crypto/mac.h"
#include "log/escape.h"
#include "store/store_hex.h"

static const char help[] =
    "Usage: sterna secret add [OPTION]...\n"
    "       sterna secret del [OPTION]... [ID]\n"
    "       sterna secret list [OPTION]...\n"
    "\n"
    "Add a shared secret for time-limited credentials to the database, delete one, or\n"
    "list them. Several may be valid at once, so that one can follow another without a\n"
    "break: add the new one, teach it to whoever makes credentials, delete the old one.\n"
    "A running server with use-auth-secret sees the change within five seconds.\n"
    "\n"
    "Secrets are never printed; list prints realm and ID, separated by a tab. The ID is\n"
    "made of the secret and is the same wherever the secret is.\n"
    "\n"
    "Options:\n"
    "  -c, --config FILE    the configuration, for userdb and realm\n"
    "  -b, --userdb FILE    the SQLite database; add makes it where there is none\n"
    "  -r, --realm REALM    the realm; list without it lists all realms\n"
    "      --secret-stdin   read the secret, one line, from standard input\n"
    "      --generate       add only: make a secret and print it, this once\n"
    "      --secret SECRET  the secret, for all users of this host to see\n"
    "  -h, --help           this text\n"
    "\n"
    "Without one of these three, and without an ID, the secret is asked for on the\n"
    "terminal.\n"
    "\n"
    "Ends with 0; 1 when the work failed, as when the secret to add is there already; 2\n"
    "when the command line is wrong; 3 when there is no such secret.\n";

enum { ID_BYTES = 4, ID_LEN = 2 * ID_BYTES };

/* The first 32 bits of the secret's SHA-256: enough to tell secrets apart, far too little to find
 * a random one. */
static int id_of(struct bytes value, char out[ID_LEN + 1])
{
    uint8_t digest[CRYPTO_SHA256_LEN];
    const int err = crypto_sha256(&value, 1, digest);

    if (err == 0) {
        store_hex_encode(digest, ID_BYTES, out);
    }
    return err;
}

static const char *secret_read(const struct admin_request *request, char out[SECRET_INPUT_MAX + 1])
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
        return secret_input_ask("secret", out);
    }
}

static int tell(const struct admin_request *request, const struct admin_db *db, const char *id,
                const char *what)
{
    char realm[ESCAPE_MAX(STORE_REALM_MAX) + 3];

    fprintf(stderr, "sterna %s: secret %s of realm %s %s (%s)\n", request->syntax->name, id,
            admin_quote(bytes_of(db->realm), realm, sizeof(realm)), what, db->where);
    return CMD_OK;
}

static int result_of(const struct admin_request *request, const struct admin_db *db, const char *id,
                     int err)
{
    switch (err) {
    case -ENOENT:
        (void)tell(request, db, id, "is not in the database");
        return CMD_NOT_FOUND;
    case -EEXIST:
        (void)tell(request, db, id, "is in the database already");
        return CMD_FAILED;
    case -EINVAL:
        return admin_usage(request->syntax, "the realm is longer than %d bytes", STORE_REALM_MAX);
    default:
        return admin_db_failed(request, db, err);
    }
}

static int secret_add(const struct admin_request *request, struct admin_db *db)
{
    char value[SECRET_INPUT_MAX + 1];
    char id[ID_LEN + 1] = "";
    const char *error = secret_read(request, value);

    if (error != NULL) {
        return admin_usage(request->syntax, "no secret: %s", error);
    }
    int err = id_of(bytes_of(value), id);
    if (err == 0) {
        err = store_secret_add(db->store, bytes_of(db->realm), bytes_of(value));
    }
    if (err == 0 && request->input == SECRET_GENERATE) {
        puts(value);
    }
    secret_wipe(value, sizeof(value));
    return err < 0 ? result_of(request, db, id, err) : tell(request, db, id, "added");
}

/* The secret of an ID. */
struct search {
    const char *id;
    uint32_t found;
    size_t len;
    uint8_t value[STORE_SECRET_MAX];
};

static int search_look(void *arg, const struct store_secret *secret)
{
    struct search *search = arg;
    char id[ID_LEN + 1];
    const int err = id_of(secret->value, id);

    if (err == 0 && strcmp(id, search->id) == 0 && secret->value.n <= sizeof(search->value)) {
        search->found++;
        search->len = secret->value.n;
        memcpy(search->value, secret->value.p, secret->value.n);
    }
    return err;
}

static int del_by_id(const struct admin_request *request, struct admin_db *db, const char *id)
{
    struct search search = {.id = id};
    int err = store_secret_list(db->store, bytes_of(db->realm), search_look, &search);

    if (err == 0 && search.found == 0) {
        err = -ENOENT;
    }
    if (err == 0 && search.found > 1) {
        return admin_usage(request->syntax,
                           "more than one secret has the ID %s: use --secret-stdin", id);
    }
    if (err == 0) {
        err = store_secret_remove(db->store, bytes_of(db->realm),
                                  (struct bytes){search.value, search.len});
    }
    secret_wipe(&search, sizeof(search));
    return err < 0 ? result_of(request, db, id, err) : tell(request, db, id, "deleted");
}

static int secret_del(const struct admin_request *request, struct admin_db *db)
{
    char value[SECRET_INPUT_MAX + 1];
    char id[ID_LEN + 1] = "";

    if (request->operand_count > 0) {
        if (request->input != SECRET_ASK) {
            return admin_usage(request->syntax, "give an ID or a secret, not both");
        }
        return del_by_id(request, db, request->operands[0]);
    }
    const char *error = secret_read(request, value);
    if (error != NULL) {
        return admin_usage(request->syntax, "no secret: %s", error);
    }
    int err = id_of(bytes_of(value), id);
    if (err == 0) {
        err = store_secret_remove(db->store, bytes_of(db->realm), bytes_of(value));
    }
    secret_wipe(value, sizeof(value));
    return err < 0 ? result_of(request, db, id, err) : tell(request, db, id, "deleted");
}

static int print_secret(void *arg, const struct store_secret *secret)
{
    char realm[ESCAPE_MAX(STORE_REALM_MAX) + 1];
    struct writer w = writer_over((uint8_t *)realm, sizeof(realm) - 1);
    char id[ID_LEN + 1];
    const int err = id_of(secret->value, id);

    (void)arg;
    escape_text(&w, secret->realm);
    realm[w.len] = '\0';
    if (err == 0) {
        printf("%s\t%s\n", realm, id);
    }
    return err;
}

static int secret_list(const struct admin_request *request, struct admin_db *db)
{
    const struct bytes realm =
        request->realm == NULL ? (struct bytes){NULL, 0} : bytes_of(request->realm);
    const int err = store_secret_list(db->store, realm, print_secret, NULL);

    return err < 0 ? admin_db_failed(request, db, err) : CMD_OK;
}

struct action {
    struct admin_syntax syntax;
    enum store_mode mode;
    int (*run)(const struct admin_request *request, struct admin_db *db);
};

static const char *const words[] = {"add", "del", "list", NULL};

/* In the order of the words. */
static const struct action actions[] = {
    {{"secret add", "cbrsSg", 0, 0}, STORE_CREATE, secret_add},
    {{"secret del", "cbrsS", 0, 1}, STORE_CHANGE, secret_del},
    {{"secret list", "cbr", 0, 0}, STORE_LOOK, secret_list},
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

int cmd_secret(int argc, char **argv)
{
    int code = CMD_OK;
    const int word = admin_word("secret", help, words, argc, argv, &code);

    return word < 0 ? code : action_run(&actions[word], argc - 1, argv + 1);
}

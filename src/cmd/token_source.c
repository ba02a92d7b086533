/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/token_source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/secret.h"
#include "cmd/exit_code.h"
#include "conf/conf.h"
#include "store/store_realm.h"

static const char *file_read(const char *path, char out[SECRET_INPUT_MAX + 1])
{
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        return strerror(errno);
    }
    (void)setvbuf(file, NULL, _IONBF, 0); /* no copy of it stays in a buffer */
    const size_t n = fread(out, 1, SECRET_INPUT_MAX, file);
    const bool whole = n < SECRET_INPUT_MAX && ferror(file) == 0;
    (void)fclose(file);
    out[whole ? n : 0] = '\0';
    out[strcspn(out, "\r\n")] = '\0';
    return whole ? NULL : "it cannot be read, or is longer than a key";
}

/* The key on the command line, in a file or on standard input. */
static int given_take(const struct token_options *options, struct auth_oauth_keys *keys)
{
    char text[SECRET_INPUT_MAX + 1] = "";
    const char *error = NULL;

    if (options->kid == NULL) {
        return admin_usage(options->syntax, "a key that is given needs its name: --kid KID");
    }
    if (options->key_from == TOKEN_KEY_STDIN) {
        error = secret_input_stdin(text);
    } else if (options->key_from == TOKEN_KEY_FILE) {
        error = file_read(options->key, text);
    } else {
        error = secret_input_argument(options->key, text);
    }
    if (error != NULL) {
        return admin_usage(options->syntax, "no key: %s", error);
    }
    const struct store_oauth_key row = {
        .kid = bytes_of(options->kid),
        .ikm_key = bytes_of(text),
        .as_rs_alg = bytes_of(options->algorithm == NULL ? "" : options->algorithm),
        .realm = bytes_of(options->realm == NULL ? "" : options->realm),
    };
    const int err = auth_oauth_add(keys, &row);
    if (keys->count > 0 && strlen(text) * 3 / 4 < token_key_len(keys->keys[0].key.algorithm)) {
        fprintf(stderr, "sterna %s: warning: the key is too short; zeros are put behind it\n",
                options->syntax->name);
    }
    secret_wipe(text, sizeof(text));
    if (err < 0) {
        return admin_failed(options->syntax, "out of memory");
    }
    return keys->count > 0
               ? CMD_OK
               : admin_usage(options->syntax,
                             "this is no key: it is base64, the kid has at most %d bytes, and the "
                             "algorithm is A256GCM or A128GCM",
                             AUTH_KID_MAX);
}

static int row_take(void *arg, const struct store_oauth_key *row)
{
    return auth_oauth_add(arg, row);
}

static int database_take(const struct token_options *options, const struct conf *conf,
                         struct auth_oauth_keys *keys)
{
    const char *where = options->userdb != NULL ? options->userdb : conf->userdb;
    const struct store_target target = {where, STORE_LOOK, 5000};
    char why[STORE_ERROR_LEN + 64];
    struct store *store;

    if (where == NULL) {
        return options->from_db ? admin_usage(options->syntax, "no database is named: give "
                                                               "--userdb FILE")
                                : CMD_OK;
    }
    int err = store_open(&store_sqlite, &target, &store, why, sizeof(why));
    if (err < 0) {
        return admin_failed(options->syntax, "%s", why);
    }
    err = store_oauth_list(store, row_take, keys);
    const int code = err < 0 ? admin_failed(options->syntax, "%s", store_error(store)) : CMD_OK;
    store_close(store);
    return code;
}

/* All keys that there are; those of the configuration hide those of the database. */
static int keys_read(const struct token_options *options, const struct conf *conf,
                     struct auth_oauth_keys *keys)
{
    char why[400];

    if (options->key_from != TOKEN_KEY_KNOWN) {
        return given_take(options, keys);
    }
    if (!options->from_db && options->userdb == NULL &&
        auth_oauth_read(keys, conf, why, sizeof(why)) < 0) {
        return admin_failed(options->syntax, "%s", why);
    }
    return keys->count > 0 && options->kid == NULL ? CMD_OK : database_take(options, conf, keys);
}

static int key_choose(const struct token_options *options, const struct auth_oauth_keys *keys,
                      struct auth_oauth_key *out)
{
    const struct bytes kid = bytes_of(options->kid == NULL ? "" : options->kid);

    if (options->kid == NULL && keys->count > 1) {
        return admin_usage(options->syntax, "there are several keys: choose one with --kid KID");
    }
    for (uint32_t i = 0; i < keys->count; i++) {
        const struct auth_oauth_key *key = &keys->keys[i];
        if (options->kid == NULL || bytes_equal(kid, (struct bytes){key->kid, key->kid_len})) {
            *out = *key;
            return CMD_OK;
        }
    }
    (void)admin_failed(options->syntax, "%s",
                       keys->ignored > 0 ? "there is no usable key of that kid"
                                         : "there is no such key: give one with --key-stdin, or "
                                           "name the configuration with -c or a database with -b");
    return CMD_NOT_FOUND;
}

/* Copy a name that must fit.  False when it does not. */
static bool text_put(char *out, size_t cap, const char *text)
{
    const int n = snprintf(out, cap, "%s", text);

    return n >= 0 && (size_t)n < cap;
}

/* The name of the server and the realm of the session, as serve would have them. */
static int names_fill(const struct token_options *options, const struct conf *conf,
                      struct token_source *out)
{
    const char *realm = options->realm != NULL ? options->realm : conf->realm;
    const char *name = options->server_name;

    if (name == NULL && conf->server_name != NULL) {
        name = conf->server_name;
    } else if (name == NULL && conf->is_set[CONF_OPT_realm]) {
        name = conf->realm;
    }
    if (name == NULL || name[0] == '\0') {
        return admin_usage(options->syntax,
                           "for which server is the token? give --server-name NAME, its "
                           "server-name, which is its realm when that is not given");
    }
    return text_put(out->server_name, sizeof(out->server_name), name) &&
                   text_put(out->realm, sizeof(out->realm), realm == NULL ? name : realm)
               ? CMD_OK
               : admin_usage(options->syntax, "the name of the server or the realm is too long");
}

int token_source_find(const struct token_options *options, struct token_source *out)
{
    const struct admin_request request = {.syntax = options->syntax, .config = options->config};
    struct auth_oauth_keys keys = {0};
    struct conf *conf = NULL;
    int code = admin_conf(&request, &conf);

    if (code == CMD_OK) {
        code = names_fill(options, conf, out);
    }
    if (code == CMD_OK) {
        code = keys_read(options, conf, &keys);
    }
    if (code == CMD_OK) {
        code = key_choose(options, &keys, &out->key);
    }
    auth_oauth_fini(&keys);
    conf_unref(conf);
    return code;
}

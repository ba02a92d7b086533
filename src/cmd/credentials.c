/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/credentials.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/net_addr.h"
#include "base/secret.h"
#include "cmd/admin.h"
#include "cmd/credentials_uris.h"
#include "cmd/exit_code.h"
#include "conf/conf.h"
#include "conf/conf_value.h"
#include "crypto/credential.h"
#include "crypto/rest.h"

static const char help[] =
    "Usage: sterna credentials [OPTION]...\n"
    "\n"
    "Print the ICE server entry for a browser (RTCPeerConnection) with a user name and\n"
    "password that the server of this configuration takes, and the URIs (turn: and\n"
    "turns:) of what it serves.\n"
    "\n"
    "With a shared secret they are time-limited: the secret is read from standard\n"
    "input, else it is the first static-auth-secret of the configuration, else the\n"
    "first one of the database. Without one they are those of a user line.\n"
    "\n"
    "Options:\n"
    "  -c, --config FILE   the configuration\n"
    "  -b, --userdb FILE   the SQLite database\n"
    "  -r, --realm REALM   the realm whose secret the database is asked for\n"
    "      --secret-stdin  read the secret, one line, from standard input\n"
    "      --secret SECRET the secret, for all users of this host to see\n"
    "      --ttl SECONDS   how long they are valid, 1 to 315360000 (default 86400)\n"
    "      --user NAME     the name behind the time, which quotas count\n"
    "      --fixed NAME    the user line of this name, whatever secrets there are\n"
    "      --host HOST     name or address of the server in the entry; default: the\n"
    "                      realm, else external-ip or listening-ip\n"
    "      --text          print username=... and password=... in place of JSON\n"
    "  -h, --help          this text\n"
    "\n"
    "Ends with 0; 1 when the work failed; 2 when the command line or configuration is\n"
    "wrong; 3 when there is no secret and no such user.\n";

enum { TTL_S = 86400, TTL_MAX_S = 315360000 };

static const struct admin_syntax syntax = {"credentials", "cbrsSHuftx", 0, 0};

struct credentials {
    char name[CREDENTIAL_NAME_MAX + 1];
    char password[SECRET_INPUT_MAX + 1];
    time_t expiry; /* 0 when they do not expire */
};

static int ttl_parse(const struct admin_request *request, time_t *out)
{
    char *end;

    if (request->ttl == NULL) {
        return CMD_OK; /* the caller's default */
    }
    errno = 0;
    const long value = strtol(request->ttl, &end, 10);
    if (request->ttl[0] < '0' || request->ttl[0] > '9' || *end != '\0' || errno != 0 || value < 1 ||
        value > TTL_MAX_S) {
        return admin_usage(&syntax, "--ttl takes a number of seconds from 1 to %d, not \"%s\"",
                           TTL_MAX_S, request->ttl);
    }
    *out = (time_t)value;
    return CMD_OK;
}

static int copy_first(void *arg, const struct store_secret *secret)
{
    char *out = arg;

    if (out[0] == '\0' && secret->value.n <= SECRET_INPUT_MAX) {
        memcpy(out, secret->value.p, secret->value.n);
        out[secret->value.n] = '\0';
    }
    return 0;
}

/* The first secret of the database, if there is a database; else "". */
static int secret_from_database(const struct admin_request *request, const struct conf *conf,
                                char out[SECRET_INPUT_MAX + 1])
{
    const char *where = request->userdb != NULL ? request->userdb : conf->userdb;
    const char *realm = request->realm != NULL ? request->realm : conf->realm;
    char why[STORE_ERROR_LEN + 64];
    struct store *store;

    if (where == NULL || realm == NULL) {
        return CMD_OK;
    }
    const struct store_target target = {where, STORE_LOOK, 5000};
    int err = store_open(&store_sqlite, &target, &store, why, sizeof(why));
    if (err < 0) {
        return admin_failed(&syntax, "%s", why);
    }
    err = store_secret_list(store, bytes_of(realm), copy_first, out);
    const int code = err < 0 ? admin_failed(&syntax, "%s", store_error(store)) : CMD_OK;
    store_close(store);
    return code;
}

/* Find the secret to use; "" when there is none. */
static int secret_find(const struct admin_request *request, const struct conf *conf,
                       char out[SECRET_INPUT_MAX + 1])
{
    const char *error = NULL;

    out[0] = '\0';
    if (request->input == SECRET_STDIN) {
        error = secret_input_stdin(out);
    } else if (request->input == SECRET_ARGUMENT) {
        error = secret_input_argument(request->argument, out);
    } else if (conf->static_auth_secret.count > 0) {
        (void)snprintf(out, SECRET_INPUT_MAX + 1, "%s", conf->static_auth_secret.items[0].text);
    } else if (conf->use_auth_secret || request->userdb != NULL) {
        return secret_from_database(request, conf, out);
    }
    return error == NULL ? CMD_OK : admin_usage(&syntax, "no secret: %s", error);
}

static int limited_make(const struct admin_request *request, const struct conf *conf,
                        const char *secret, struct credentials *out)
{
    const char separator[] = {conf->rest_api_separator[0], '\0'};
    const bool named = request->user != NULL;
    char password[CRYPTO_REST_LEN + 1];
    time_t ttl = TTL_S;
    const int code = ttl_parse(request, &ttl);

    if (code != CMD_OK) {
        return code;
    }
    out->expiry = time(NULL) + ttl;
    const int n = snprintf(out->name, sizeof(out->name), "%lld%s%s", (long long)out->expiry,
                           named ? separator : "", named ? request->user : "");
    if (n < 0 || (size_t)n >= sizeof(out->name)) {
        return admin_usage(&syntax, "the user name is too long");
    }
    struct crypto_mac *mac = crypto_mac_new();
    const int err =
        mac == NULL ? -ENOMEM
                    : crypto_rest_password(mac, bytes_of(secret), bytes_of(out->name), password);
    crypto_mac_free(mac);
    if (err < 0) {
        return admin_failed(&syntax, "cannot make a password: %s", strerror(-err));
    }
    memcpy(out->password, password, sizeof(password));
    return CMD_OK;
}

/* Take name and password of a user line: of the one called `name`, or the first with a password. */
static int fixed_take(const struct conf *conf, const char *name, struct credentials *out)
{
    bool has_key_only = false;

    for (size_t i = 0; i < conf->user.count; i++) {
        struct conf_user user;
        if (conf_user_parse(conf->user.items[i].text, &user) < 0 ||
            (name != NULL && !bytes_equal(user.name, bytes_of(name)))) {
            continue;
        }
        const bool has_password = user.key_len == 0 && user.name.n < sizeof(out->name) &&
                                  user.password.n < sizeof(out->password);
        secret_wipe(user.key, sizeof(user.key));
        if (!has_password) {
            has_key_only = true;
            continue;
        }
        memcpy(out->name, user.name.p, user.name.n);
        out->name[user.name.n] = '\0';
        memcpy(out->password, user.password.p, user.password.n);
        out->password[user.password.n] = '\0';
        return CMD_OK;
    }
    if (has_key_only) {
        (void)admin_failed(&syntax, "the configuration holds a key of the user and no password, "
                                    "which a browser needs");
        return CMD_NOT_FOUND;
    }
    (void)admin_failed(&syntax, "%s",
                       name != NULL
                           ? "the configuration has no user line of that name"
                           : "there is no static-auth-secret, no secret in a database and no user "
                             "line: add one, or name the configuration with -c");
    return CMD_NOT_FOUND;
}

static int credentials_make(const struct admin_request *request, const struct conf *conf,
                            struct credentials *out)
{
    char secret[SECRET_INPUT_MAX + 1];
    int code;

    if (request->fixed != NULL) {
        return fixed_take(conf, request->fixed, out);
    }
    code = secret_find(request, conf, secret);
    if (code == CMD_OK) {
        code = secret[0] == '\0' ? fixed_take(conf, request->user, out)
                                 : limited_make(request, conf, secret, out);
    }
    secret_wipe(secret, sizeof(secret));
    return code;
}

/* The name or address that clients should use. */
static const char *host_of(const struct admin_request *request, const struct conf *conf,
                           char public_ip[NET_ADDR_TEXT])
{
    struct conf_external external;

    if (request->host != NULL) {
        return request->host;
    }
    const char *realm = request->realm;
    if (realm == NULL && conf->is_set[CONF_OPT_realm]) {
        realm = conf->realm;
    }
    if (realm != NULL && strchr(realm, '.') != NULL) {
        return realm;
    }
    if (conf->external_ip.count > 0 &&
        conf_external_parse(conf->external_ip.items[0].text, &external) == 0) {
        return net_ip_text(&external.public_ip, public_ip);
    }
    for (size_t i = 0; i < conf->listening_ip.count; i++) {
        const char *text = conf->listening_ip.items[i].text;
        if (strcmp(text, "0.0.0.0") != 0 && strcmp(text, "::") != 0) {
            return text;
        }
    }
    return conf->realm != NULL ? conf->realm : "localhost";
}

static json_t *uris_json(const struct credentials_uris *uris)
{
    json_t *list = json_array();

    for (size_t i = 0; i < uris->count; i++) {
        if (json_array_append_new(list, json_string(uris->item[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static int json_print(const struct conf *conf, const struct credentials *credentials,
                      const char *host)
{
    struct credentials_uris uris;
    char why[512] = "";

    if (credentials_uris_make(conf, host, &uris, why, sizeof(why)) < 0) {
        (void)admin_failed(&syntax, "no client can be served: %s", why);
        return CMD_USAGE;
    }
    json_t *entry = json_pack("{s:[{s:o,s:s,s:s}]}", "iceServers", "urls", uris_json(&uris),
                              "username", credentials->name, "credential", credentials->password);
    if (entry == NULL) {
        return admin_usage(&syntax, "host, user name and password must be UTF-8 to stand in JSON; "
                                    "use --text");
    }
    const int err = json_dumpf(entry, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(entry);
    putchar('\n');
    return err != 0 ? admin_failed(&syntax, "cannot write to standard output") : CMD_OK;
}

static int print(const struct admin_request *request, const struct conf *conf,
                 const struct credentials *credentials)
{
    char public_ip[NET_ADDR_TEXT];
    const char *host = host_of(request, conf, public_ip);

    if (strlen(host) > CREDENTIALS_HOST_MAX) {
        return admin_usage(&syntax, "the host is longer than %d bytes", CREDENTIALS_HOST_MAX);
    }
    if (credentials->expiry != 0) {
        struct tm utc;
        char when[32] = "";
        if (gmtime_r(&credentials->expiry, &utc) != NULL) {
            (void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &utc);
        }
        fprintf(stderr, "sterna credentials: valid until %s\n", when);
    }
    if (request->text) {
        printf("username=%s\npassword=%s\n", credentials->name, credentials->password);
        return CMD_OK;
    }
    return json_print(conf, credentials, host);
}

int cmd_credentials(int argc, char **argv)
{
    struct admin_request request;
    struct credentials credentials = {.expiry = 0};
    struct conf *conf = NULL;
    int code = admin_parse(&syntax, argc, argv, &request);

    if (code == CMD_OK && request.help) {
        fputs(help, stdout);
        return CMD_OK;
    }
    if (code == CMD_OK) {
        code = admin_conf(&request, &conf);
    }
    if (code != CMD_OK) {
        return code;
    }
    code = credentials_make(&request, conf, &credentials);
    if (code == CMD_OK) {
        code = print(&request, conf, &credentials);
    }
    secret_wipe(&credentials, sizeof(credentials));
    conf_unref(conf);
    return code;
}

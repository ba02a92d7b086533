/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/admin.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cmd/exit_code.h"
#include "conf/conf.h"
#include "log/escape.h"

enum { BUSY_MS = 5000 };

/* The letters of struct admin_syntax. */
static const struct option option_table[] = {
    {"config", required_argument, NULL, 'c'},
    {"userdb", required_argument, NULL, 'b'},
    {"realm", required_argument, NULL, 'r'},
    {"password-stdin", no_argument, NULL, 'p'},
    {"password", required_argument, NULL, 'P'},
    {"secret-stdin", no_argument, NULL, 's'},
    {"secret", required_argument, NULL, 'S'},
    {"generate", no_argument, NULL, 'g'},
    {"host", required_argument, NULL, 'H'},
    {"user", required_argument, NULL, 'u'},
    {"fixed", required_argument, NULL, 'f'},
    {"ttl", required_argument, NULL, 't'},
    {"text", no_argument, NULL, 'x'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

PRINTF(2, 0)

static void complain(const struct admin_syntax *syntax, const char *format, va_list args)
{
    fprintf(stderr, "sterna %s: ", syntax->name);
    (void)vfprintf(stderr, format, args);
}

int admin_usage(const struct admin_syntax *syntax, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    complain(syntax, format, args);
    va_end(args);
    fprintf(stderr, "; try sterna %.*s --help\n", (int)strcspn(syntax->name, " "), syntax->name);
    return CMD_USAGE;
}

int admin_failed(const struct admin_syntax *syntax, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    complain(syntax, format, args);
    va_end(args);
    fputc('\n', stderr);
    return CMD_FAILED;
}

/* "say add, del or list" */
static void words_put(const char *const *words, char *out, size_t cap)
{
    size_t used = (size_t)snprintf(out, cap, "say %s", words[0]);

    for (size_t i = 1; words[i] != NULL && used < cap; i++) {
        used += (size_t)snprintf(out + used, cap - used, "%s%s",
                                 words[i + 1] == NULL ? " or " : ", ", words[i]);
    }
}

int admin_word(const char *name, const char *help, const char *const *words, int argc, char **argv,
               int *out_code)
{
    enum { SAY_MAX = 128 };

    const struct admin_syntax syntax = {name, "", 0, 0};
    char say[SAY_MAX];

    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(help, stdout);
        *out_code = CMD_OK;
        return -1;
    }
    for (int i = 0; argc > 1 && words[i] != NULL; i++) {
        if (strcmp(argv[1], words[i]) == 0) {
            return i;
        }
    }
    words_put(words, say, sizeof(say));
    *out_code = admin_usage(&syntax, "%s", say);
    return -1;
}

static int input_set(struct admin_request *out, enum secret_input input, char *argument)
{
    if (out->input != SECRET_ASK) {
        return admin_usage(out->syntax, "there are two places to take the secret from: name one");
    }
    out->input = input;
    out->argument = argument;
    return CMD_OK;
}

static int option_take(struct admin_request *out, int c)
{
    switch (c) {
    case 'c':
        out->config = optarg;
        return CMD_OK;
    case 'b':
        out->userdb = optarg;
        return CMD_OK;
    case 'r':
        out->realm = optarg;
        return CMD_OK;
    case 'p':
    case 's':
        return input_set(out, SECRET_STDIN, NULL);
    case 'P':
    case 'S':
        fprintf(stderr,
                "sterna %s: warning: a secret on the command line is visible to all users of this "
                "host and stays in the shell's history; use --%s-stdin\n",
                out->syntax->name, c == 'P' ? "password" : "secret");
        return input_set(out, SECRET_ARGUMENT, optarg);
    case 'g':
        return input_set(out, SECRET_GENERATE, NULL);
    case 'H':
        out->host = optarg;
        return CMD_OK;
    case 'u':
        out->user = optarg;
        return CMD_OK;
    case 'f':
        out->fixed = optarg;
        return CMD_OK;
    case 't':
        out->ttl = optarg;
        return CMD_OK;
    case 'x':
        out->text = true;
        return CMD_OK;
    default:
        out->help = true;
        return CMD_OK;
    }
}

/* How the option that getopt_long() stopped at was written. */
static const char *option_name(char *const *argv, int c)
{
    static char letter[] = "-x";

    if (c == '?' && optopt > 0 && optopt < 128) {
        letter[1] = (char)optopt;
        return letter;
    }
    return argv[optind - 1];
}

int admin_parse(const struct admin_syntax *syntax, int argc, char **argv, struct admin_request *out)
{
    int c;

    *out = (struct admin_request){.syntax = syntax};
    opterr = 0;
    optind = 0; /* start anew, whatever ran before */
    while ((c = getopt_long(argc, argv, ":c:b:r:h", option_table, NULL)) != -1) {
        if (c == ':') {
            return admin_usage(syntax, "a value is missing after %s", argv[optind - 1]);
        }
        if (c == '?' || (c != 'h' && strchr(syntax->options, c) == NULL)) {
            return admin_usage(syntax, "there is no option %s here", option_name(argv, c));
        }
        const int code = option_take(out, c);
        if (code != CMD_OK) {
            return code;
        }
    }
    out->operands = argv + optind;
    out->operand_count = argc - optind;
    if (out->help) {
        return CMD_OK;
    }
    if (out->operand_count < syntax->operands_least) {
        return admin_usage(syntax, "a name is missing");
    }
    if (out->operand_count > syntax->operands_most) {
        return admin_usage(syntax, "there is too much on the command line, from \"%s\" on",
                           out->operands[syntax->operands_most]);
    }
    return CMD_OK;
}

int admin_conf(const struct admin_request *request, struct conf **out_conf)
{
    char name[] = "sterna";
    char flag[] = "-c";
    char path[4096];
    char *argv[] = {name, NULL, NULL, NULL};
    struct conf *conf;
    int argc = 1;

    if (request->config != NULL) {
        const int n = snprintf(path, sizeof(path), "%s", request->config);
        if (n < 0 || (size_t)n >= sizeof(path)) {
            return admin_usage(request->syntax, "the name of the configuration file is too long");
        }
        argv[argc++] = flag;
        argv[argc++] = path;
    }
    if (conf_new(&conf) < 0) {
        return admin_failed(request->syntax, "out of memory");
    }
    const int loaded = conf_load(conf, argc, argv);
    if (loaded < 0) {
        conf_findings_write(conf, stderr, CONF_ERROR);
        conf_unref(conf);
        return loaded == -ENOMEM ? admin_failed(request->syntax, "out of memory") : CMD_USAGE;
    }
    /* What follows from other options is wanted; that no server could start like this is not our
     * concern. */
    if (conf_check(conf) == -ENOMEM) {
        conf_unref(conf);
        return admin_failed(request->syntax, "out of memory");
    }
    *out_conf = conf;
    return CMD_OK;
}

int admin_db_open(const struct admin_request *request, enum store_mode mode, struct admin_db *out)
{
    struct admin_db db = {.conf = NULL};
    char why[STORE_ERROR_LEN + 64];
    const int code = admin_conf(request, &db.conf);

    if (code != CMD_OK || db.conf == NULL) {
        return code;
    }
    db.where = request->userdb != NULL ? request->userdb : db.conf->userdb;
    db.realm = request->realm != NULL ? request->realm : db.conf->realm;
    db.realm_given = request->realm != NULL || db.conf->is_set[CONF_OPT_realm];
    const bool no_db = db.where == NULL || db.where[0] == '\0';
    if (no_db || (db.realm == NULL && mode != STORE_LOOK)) { /* a look may be at all realms */
        conf_unref(db.conf);
        return admin_usage(request->syntax,
                           no_db ? "no database is named: give --userdb FILE, or userdb=FILE in "
                                   "the configuration"
                                 : "no realm is named: give --realm REALM, or realm=REALM in the "
                                   "configuration");
    }
    const struct store_target target = {db.where, mode, BUSY_MS};
    const int err = store_open(&store_sqlite, &target, &db.store, why, sizeof(why));
    if (err < 0) {
        conf_unref(db.conf);
        return admin_failed(request->syntax, "%s", why);
    }
    if (!db.realm_given && mode != STORE_LOOK) {
        fprintf(
            stderr,
            "sterna %s: warning: no realm is given; \"%s\" is taken from the name of this host\n",
            request->syntax->name, db.realm);
    }
    *out = db;
    return CMD_OK;
}

void admin_db_close(struct admin_db *db)
{
    store_close(db->store);
    conf_unref(db->conf);
    *db = (struct admin_db){.conf = NULL};
}

int admin_db_failed(const struct admin_request *request, const struct admin_db *db, int err)
{
    const char *error = store_error(db->store);

    return admin_failed(request->syntax, "%s", error[0] == '\0' ? strerror(-err) : error);
}

const char *admin_quote(struct bytes text, char *out, size_t cap)
{
    struct writer w = writer_over((uint8_t *)out, cap - 1);

    writer_u8(&w, '"');
    escape_text(&w, text);
    writer_u8(&w, '"');
    out[w.len] = '\0';
    return out;
}

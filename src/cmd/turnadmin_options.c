/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of turnadmin: coturn's letters and names.  Unlike coturn's it may be in any
 * order: -p before -P, -f after -E. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/exit_code.h"
#include "cmd/turnadmin_int.h"

static const char help[] =
    "Usage: turnadmin COMMAND [OPTION]...\n"
    "\n"
    "Administer a user database with the flags of coturn's turnadmin. Databases are\n"
    "coturn's, in SQLite; users also get a SHA-256 key, in a table of sterna's own.\n"
    "\n"
    "Commands:\n"
    "  -a, --add                     add a user or give it another password (-u -r -p)\n"
    "  -d, --delete                  delete a user (-u -r)\n"
    "  -l, --list                    list users, of one realm with -r\n"
    "  -k, --key                     print the key of a user (-u -r -p); no database\n"
    "  -s, --set-secret=SECRET       add a shared secret for time-limited users (-r)\n"
    "  -S, --show-secret             list shared secrets, of one realm with -r\n"
    "  -X, --delete-secret=SECRET    delete a shared secret (-r)\n"
    "      --delete-all-secrets      delete all shared secrets of a realm (-r)\n"
    "  -O, --add-origin              let an origin stand for a realm (-o -r)\n"
    "  -R, --del-origin              forget an origin (-o)\n"
    "  -I, --list-origins            list origins, of one realm with -r\n"
    "  -g, --set-realm-option        set options of a realm (-r, and one of the limits)\n"
    "  -G, --list-realm-options      list options of realms, of one with -r\n"
    "  -A, --add-admin               add an administrator of coturn's web pages, or change\n"
    "                                one (-u -p; with -r of this realm alone)\n"
    "  -D, --delete-admin            delete an administrator (-u)\n"
    "  -L, --list-admin              list administrators\n"
    "  -P, --generate-encrypted-password\n"
    "                                print a password as kept of administrators (-p)\n"
    "  -x, --key-path=FILE           make a key of 128 bits\n"
    "  -E, --generate-encrypted-password-aes\n"
    "                                print a password, sealed with AES-128 (-p -f)\n"
    "  -v, --verify=TEXT             print what -E has sealed (-f)\n"
    "  -h, --help                    this text\n"
    "\n"
    "Options:\n"
    "  -b, --db, --userdb=FILE       the SQLite database; else the one of the\n"
    "                                configuration, else the first of /var/db/turndb,\n"
    "                                /usr/local/var/db/turndb, /var/lib/turn/turndb\n"
    "  -u, --user=NAME  -r, --realm=REALM  -o, --origin=ORIGIN\n"
    "  -p, --password=PASS           for all users of this host to see; sterna user reads\n"
    "                                passwords from the terminal or standard input\n"
    "  -f, --file-key-path=FILE      the key of -x\n"
    "      --max-bps=N  --total-quota=N  --user-quota=N\n"
    "                                limits of a realm; 0 takes the limit away\n"
    "\n"
    "Ends with 0, also when what is to be deleted is not there; 1 when the work failed;\n"
    "2 when the command line is wrong (coturn: 255).\n";

enum {
    LONG_MAX_BPS = 300,
    LONG_USER_QUOTA,
    LONG_TOTAL_QUOTA,
};

static const char letters[] = ":PEgGORIlLkaADSdb:e:M:J:N:u:r:p:s:X:o:hx:v:f:";

static const struct option names[] = {
    {"generate-encrypted-password", no_argument, NULL, 'P'},
    {"generate-encrypted-password-aes", no_argument, NULL, 'E'},
    {"key", no_argument, NULL, 'k'},
    {"add", no_argument, NULL, 'a'},
    {"delete", no_argument, NULL, 'd'},
    {"list", no_argument, NULL, 'l'},
    {"list-admin", no_argument, NULL, 'L'},
    {"set-secret", required_argument, NULL, 's'},
    {"show-secret", no_argument, NULL, 'S'},
    {"delete-secret", required_argument, NULL, 'X'},
    {"delete-all-secrets", no_argument, NULL, TURNADMIN_ALL_SECRETS},
    {"delete-all_secrets", no_argument, NULL, TURNADMIN_ALL_SECRETS}, /* in coturn's manual */
    {"add-admin", no_argument, NULL, 'A'},
    {"delete-admin", no_argument, NULL, 'D'},
    {"userdb", required_argument, NULL, 'b'},
    {"db", required_argument, NULL, 'b'},
    {"psql-userdb", required_argument, NULL, 'e'},
    {"sql-userdb", required_argument, NULL, 'e'},
    {"mysql-userdb", required_argument, NULL, 'M'},
    {"mongo-userdb", required_argument, NULL, 'J'},
    {"redis-userdb", required_argument, NULL, 'N'},
    {"user", required_argument, NULL, 'u'},
    {"realm", required_argument, NULL, 'r'},
    {"password", required_argument, NULL, 'p'},
    {"file-key-path", required_argument, NULL, 'f'},
    {"verify", required_argument, NULL, 'v'},
    {"key-path", required_argument, NULL, 'x'},
    {"add-origin", no_argument, NULL, 'O'},
    {"del-origin", no_argument, NULL, 'R'},
    {"list-origins", no_argument, NULL, 'I'},
    {"origin", required_argument, NULL, 'o'},
    {"set-realm-option", no_argument, NULL, 'g'},
    {"list-realm-options", no_argument, NULL, 'G'},
    {"list-realm-option", no_argument, NULL, 'G'}, /* as coturn takes it */
    {"user-quota", required_argument, NULL, LONG_USER_QUOTA},
    {"total-quota", required_argument, NULL, LONG_TOTAL_QUOTA},
    {"max-bps", required_argument, NULL, LONG_MAX_BPS},
    {"help", no_argument, NULL, 'h'},
    {NULL, no_argument, NULL, 0},
};

int turnadmin_usage(const char *format, ...)
{
    va_list args;

    fputs("turnadmin: ", stderr);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    fputs("; try turnadmin --help\n", stderr);
    return CMD_USAGE;
}

int turnadmin_failed(const char *format, ...)
{
    va_list args;

    fputs("turnadmin: ", stderr);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return CMD_FAILED;
}

void turnadmin_help(void)
{
    fputs(help, stdout);
}

const char *turnadmin_limit_name(enum turnadmin_limit limit)
{
    static const char *const limit_names[TURNADMIN_LIMITS] = {
        [TURNADMIN_MAX_BPS] = "max-bps",
        [TURNADMIN_USER_QUOTA] = "user-quota",
        [TURNADMIN_TOTAL_QUOTA] = "total-quota",
    };
    return limit_names[limit];
}

/* The last command would win in coturn: who says -d -a by mistake deserves a word. */
static int command_take(struct turnadmin *a, int command)
{
    if (a->command != 0 && a->command != command) {
        return turnadmin_usage("there are two commands on the command line: give one");
    }
    a->command = command;
    return CMD_OK;
}

static int limit_take(struct turnadmin *a, enum turnadmin_limit limit, const char *text)
{
    const size_t n = strspn(text, "0123456789");

    errno = 0;
    a->limits[limit] = strtoull(text, NULL, 10);
    if (n == 0 || text[n] != '\0' || errno != 0) {
        return turnadmin_usage("the %s is no number from 0 on", turnadmin_limit_name(limit));
    }
    a->has_limit[limit] = true;
    return CMD_OK;
}

static int secret_take(const char *what, char *argument, char out[SECRET_INPUT_MAX + 1])
{
    const char *error = secret_input_argument(argument, out);

    return error == NULL ? CMD_OK : turnadmin_usage("the %s cannot be taken: %s", what, error);
}

/* One of the options that every command may have. */
static int value_take(struct turnadmin *a, int c)
{
    switch (c) {
    case 'b':
        a->userdb = optarg;
        return CMD_OK;
    case 'u':
        a->user = optarg;
        return CMD_OK;
    case 'r':
        a->realm = optarg;
        return CMD_OK;
    case 'o':
        a->origin = optarg;
        return CMD_OK;
    case 'f':
        a->key_path = optarg;
        return CMD_OK;
    case 'p':
        return secret_take("password", optarg, a->password);
    case LONG_MAX_BPS:
        return limit_take(a, TURNADMIN_MAX_BPS, optarg);
    case LONG_USER_QUOTA:
        return limit_take(a, TURNADMIN_USER_QUOTA, optarg);
    case LONG_TOTAL_QUOTA:
        return limit_take(a, TURNADMIN_TOTAL_QUOTA, optarg);
    default:
        return turnadmin_usage("databases other than SQLite (-e, -M, -J, -N) are not in this "
                               "version: give --userdb FILE");
    }
}

static int option_take(struct turnadmin *a, int c)
{
    int code;

    switch (c) {
    case 's':
    case 'X':
        code = command_take(a, c);
        return code == CMD_OK ? secret_take("secret", optarg, a->secret) : code;
    case 'x':
        a->key_path = optarg;
        return command_take(a, c);
    case 'v':
        a->sealed = optarg;
        return command_take(a, c);
    default:
        return c == TURNADMIN_ALL_SECRETS || strchr("PEgGORIlLkaADSdh", c) != NULL
                   ? command_take(a, c)
                   : value_take(a, c);
    }
}

int turnadmin_parse(int argc, char **argv, struct turnadmin *out)
{
    int c;

    *out = (struct turnadmin){.command = 0};
    opterr = 0;
    optind = 0; /* start anew, whatever ran before */
    while ((c = getopt_long(argc, argv, letters, names, NULL)) != -1) {
        if (c == ':') {
            return turnadmin_usage("a value is missing after %s", argv[optind - 1]);
        }
        if (c == '?' && optopt > 0 && optopt < 128) {
            return turnadmin_usage("there is no option -%c", optopt);
        }
        if (c == '?') { /* not shown: a mistyped --password=... would be */
            return turnadmin_usage("there is an option that is none, or not clear enough");
        }
        const int code = option_take(out, c);
        if (code != CMD_OK) {
            return code;
        }
    }
    if (optind < argc) {
        return turnadmin_usage("there is something on the command line that belongs to no option");
    }
    return CMD_OK;
}

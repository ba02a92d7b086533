/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/token_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/exit_code.h"
#include "crypto/token.h"

enum { LIFETIME_S = 3600, MAC_LEN = 20, DECIMAL = 10 };

/* Each letter stands for an option in struct admin_syntax; `show` and `key` take not all. */
static const struct option table[] = {
    {"config", required_argument, NULL, 'c'},
    {"userdb", required_argument, NULL, 'b'},
    {"from-db", no_argument, NULL, 'd'},
    {"kid", required_argument, NULL, 'k'},
    {"key-stdin", no_argument, NULL, 'i'},
    {"key-file", required_argument, NULL, 'f'},
    {"key", required_argument, NULL, 'K'},
    {"algorithm", required_argument, NULL, 'a'},
    {"server-name", required_argument, NULL, 's'},
    {"realm", required_argument, NULL, 'r'},
    {"lifetime", required_argument, NULL, 'l'},
    {"mac-key-length", required_argument, NULL, 'm'},
    {"json", no_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int number_take(const struct admin_syntax *syntax, const char *name, uint32_t least,
                       uint32_t most, uint32_t *out)
{
    char *end;

    errno = 0;
    const unsigned long long value = strtoull(optarg, &end, DECIMAL);
    if (optarg[0] < '0' || optarg[0] > '9' || *end != '\0' || errno != 0 || value < least ||
        value > most) {
        return admin_usage(syntax, "--%s takes a number from %u to %u", name, least, most);
    }
    *out = (uint32_t)value;
    return CMD_OK;
}

static int key_take(struct token_options *out, enum token_key_from from)
{
    if (out->key_from != TOKEN_KEY_KNOWN) {
        return admin_usage(out->syntax, "give one of --key-stdin, --key-file and --key");
    }
    out->key_from = from;
    out->key = optarg;
    return CMD_OK;
}

static int option_take(struct token_options *out, int letter)
{
    switch (letter) {
    case 'c':
        out->config = optarg;
        return CMD_OK;
    case 'b':
        out->userdb = optarg;
        return CMD_OK;
    case 'd':
        out->from_db = true;
        return CMD_OK;
    case 'k':
        out->kid = optarg;
        return CMD_OK;
    case 'i':
        return key_take(out, TOKEN_KEY_STDIN);
    case 'f':
        return key_take(out, TOKEN_KEY_FILE);
    case 'K':
        return key_take(out, TOKEN_KEY_ARGUMENT);
    case 'a':
        out->algorithm = optarg;
        return CMD_OK;
    case 's':
        out->server_name = optarg;
        return CMD_OK;
    case 'r':
        out->realm = optarg;
        return CMD_OK;
    case 'l':
        return number_take(out->syntax, "lifetime", 1, UINT32_MAX, &out->lifetime_s);
    case 'm':
        return number_take(out->syntax, "mac-key-length", TOKEN_MAC_LEAST, TOKEN_MAC_MAX,
                           &out->mac_len);
    case 'j':
        out->json = true;
        return CMD_OK;
    case 'h':
        out->help = true;
        return CMD_OK;
    default:
        return admin_usage(out->syntax, "the option is not known, or lacks its value");
    }
}

int token_options_parse(const struct admin_syntax *syntax, int argc, char **argv,
                        struct token_options *out)
{
    struct token_options options = {.syntax = syntax, .lifetime_s = LIFETIME_S, .mac_len = MAC_LEN};
    int letter;

    optind = 1;
    opterr = 0;
    while ((letter = getopt_long(argc, argv, "c:b:h", table, NULL)) != -1) {
        if (letter != 'h' && letter != '?' && strchr(syntax->options, letter) == NULL) {
            return admin_usage(syntax, "%s has no such option", syntax->name);
        }
        const int code = option_take(&options, letter);
        if (code != CMD_OK) {
            return code;
        }
    }
    const int operands = argc - optind;
    if (!options.help && (operands < syntax->operands_least || operands > syntax->operands_most)) {
        return admin_usage(syntax, "there are %d words too many", operands - syntax->operands_most);
    }
    if (options.from_db && options.key_from != TOKEN_KEY_KNOWN) {
        return admin_usage(syntax, "--from-db has no effect with a key that is given");
    }
    options.token = operands > 0 ? argv[optind] : NULL;
    *out = options;
    return CMD_OK;
}

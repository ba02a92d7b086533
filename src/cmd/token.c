/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/token.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "auth/auth_token.h"
#include "base/secret.h"
#include "cmd/exit_code.h"
#include "cmd/token_options.h"
#include "cmd/token_source.h"
#include "crypto/base64.h"
#include "crypto/random.h"
#include "crypto/token.h"

static const char help[] =
    "Usage: sterna token make [OPTION]...\n"
    "       sterna token show [OPTION]... [TOKEN]\n"
    "       sterna token key [OPTION]...\n"
    "\n"
    "Access tokens of third-party authorization (RFC 7635): what an authorization\n"
    "server does with the key that it shares with this server.\n"
    "\n"
    "make prints a new token: kid (the user name), token (base64 of the ACCESS-TOKEN)\n"
    "and mac_key (base64 of what keys MESSAGE-INTEGRITY: keep it secret).\n"
    "show opens a token, of the command line or standard input, and explains it.\n"
    "key prints the key as JSON for an authorization server, with k, exp, kid and enc\n"
    "(RFC 7635 section 4.1.1).\n"
    "\n"
    "The key is one of the configuration's [oauth] sections, else of the database's\n"
    "table oauth_key, unless it is given.\n"
    "\n"
    "Options:\n"
    "  -c, --config FILE       the configuration\n"
    "  -b, --userdb FILE       the SQLite database, and not the configuration's keys\n"
    "      --from-db           the database of the configuration likewise\n"
    "      --kid KID           which key; needed when there are several\n"
    "      --key-stdin         read the key, one line of base64, from standard input\n"
    "      --key-file FILE     read it from a file\n"
    "      --key BASE64        the key, for all users of this host to see\n"
    "      --algorithm NAME    of a key that is given: A256GCM (default) or A128GCM\n"
    "      --server-name NAME  the server that the token is for; default: server-name of\n"
    "                          the configuration, else its realm\n"
    "      --realm REALM       make only: the realm, to tell how large requests become\n"
    "      --lifetime SECONDS  make only: how long it is valid (default 3600)\n"
    "      --mac-key-length N  make only: bytes of mac_key, 16 to 64 (default 20; for\n"
    "                          MESSAGE-INTEGRITY-SHA256 32)\n"
    "      --json              make only: print an answer as in RFC 6749 section 5.1\n"
    "  -h, --help              this text\n"
    "\n"
    "Ends with 0; 1 when the work failed, or the token is not valid now; 2 when the\n"
    "command line or configuration is wrong; 3 when there is no such key.\n";

enum {
    DATAGRAM_MAX = 548, /* RFC 7635 section 6.2 */
    ATTR = 4,           /* bytes of an attribute's header */
    NONCE = 41,         /* bytes of our NONCE */
    SOFTWARE = 32,      /* of a client that tells who it is */
    TEXT_MAX = 256,
};

struct run {
    const struct token_options *options;
    struct token_source source;
    struct token_box *box;
};

static size_t attr_len(size_t value)
{
    return ATTR + (value + 3) / 4 * 4;
}

/* How long an Allocate with such a token is: with transport, lifetime, family, password algorithms,
 * both integrity attributes and fingerprint. */
static size_t allocate_len(const struct run *run, size_t token_len)
{
    return 20 + attr_len(run->source.key.kid_len) + attr_len(strlen(run->source.realm)) +
           attr_len(NONCE) + attr_len(token_len) + attr_len(SOFTWARE) + 3 * attr_len(4) +
           attr_len(8) + attr_len(4) + attr_len(20) + attr_len(32) + attr_len(4);
}

/* "2026-01-31T12:00:00Z" */
static const char *when(uint64_t seconds, char out[TEXT_MAX])
{
    const time_t t = (time_t)seconds;
    struct tm utc;

    if (seconds > INT64_MAX || gmtime_r(&t, &utc) == NULL ||
        strftime(out, TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) {
        (void)snprintf(out, TEXT_MAX, "%llu s after 1970", (unsigned long long)seconds);
    }
    return out;
}

static int text_print(const struct run *run, const char *token, const char *mac_key)
{
    printf("kid=%.*s\ntoken=%s\nmac_key=%s\n", (int)run->source.key.kid_len,
           (const char *)run->source.key.kid, token, mac_key);
    return CMD_OK;
}

/* Print `value` and release it. */
static int json_print(const struct run *run, json_t *value)
{
    if (value == NULL) {
        return admin_failed(run->options->syntax, "the kid is no UTF-8, or memory is exhausted");
    }
    const int err = json_dumpf(value, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(value);
    putchar('\n');
    return err != 0 ? admin_failed(run->options->syntax, "cannot write to standard output")
                    : CMD_OK;
}

static int made_print(const struct run *run, const struct token *token, struct bytes sealed)
{
    const struct auth_oauth_key *key = &run->source.key;
    char text[TOKEN_LEN_MAX * 2];
    char mac_key[TOKEN_MAC_MAX * 2];

    if (crypto_base64_write(sealed, text, sizeof(text)) < 0 ||
        crypto_base64_write((struct bytes){token->mac, token->mac_len}, mac_key, sizeof(mac_key)) <
            0) {
        return admin_failed(run->options->syntax, "the token is too long");
    }
    const int code =
        run->options->json
            ? json_print(
                  run,
                  json_pack("{s:s,s:s,s:I,s:s%,s:s,s:s}", "access_token", text, "token_type", "pop",
                            "expires_in", (json_int_t)token->lifetime_s, "kid",
                            (const char *)key->kid, (size_t)key->kid_len, "key", mac_key, "alg",
                            token->mac_len == CRYPTO_SHA256_LEN ? "HMAC-SHA-256" : "HMAC-SHA-1"))
            : text_print(run, text, mac_key);
    secret_wipe(mac_key, sizeof(mac_key));
    return code;
}

static void warn_of(const struct run *run, size_t token_len, uint64_t now_s)
{
    const struct auth_oauth_key *key = &run->source.key;
    const size_t len = allocate_len(run, token_len);

    if (len >= DATAGRAM_MAX) {
        fprintf(stderr,
                "sterna token make: warning: an Allocate with this token has up to %zu bytes; over "
                "UDP and IPv4 it should have less than %d (RFC 7635 section 6.2): take a shorter "
                "kid or realm\n",
                len, DATAGRAM_MAX);
    }
    if (now_s < key->from_s || (key->till_s != 0 && now_s >= key->till_s)) {
        fprintf(stderr,
                "sterna token make: warning: the key is not in force now: no server takes it\n");
    }
}

static int token_make(struct run *run)
{
    struct crypto_random *random = crypto_random_new();
    const uint64_t now_s = (uint64_t)time(NULL);
    struct token token = {.mac_len = (uint16_t)run->options->mac_len,
                          .timestamp = token_timestamp(now_s),
                          .lifetime_s = run->options->lifetime_s};
    uint8_t nonce[TOKEN_NONCE_LEN];
    uint8_t out[TOKEN_LEN_MAX];
    char text[TEXT_MAX];

    if (random == NULL) {
        return admin_failed(run->options->syntax, "the system gives no random numbers");
    }
    crypto_random_fill(random, token.mac, token.mac_len);
    crypto_random_fill(random, nonce, sizeof(nonce));
    crypto_random_free(random);
    const struct token_seal in = {&run->source.key.key, bytes_of(run->source.server_name), &token,
                                  nonce};
    const int n = token_seal(run->box, &in, out);
    int code = n < 0 ? admin_failed(run->options->syntax, "cannot seal the token: %s", strerror(-n))
                     : CMD_OK;
    if (code == CMD_OK) {
        fprintf(stderr, "sterna token make: for %s, valid until %s\n", run->source.server_name,
                when(now_s + token.lifetime_s, text));
        warn_of(run, (size_t)n, now_s);
        code = made_print(run, &token, (struct bytes){out, (size_t)n});
    }
    secret_wipe(&token, sizeof(token));
    return code;
}

/* --- show --- */

/* "2 h 5 min", "90 s" */
static const char *span(uint64_t s, char out[TEXT_MAX])
{
    const unsigned long long t = s;

    if (t >= 2 * 86400ULL) {
        (void)snprintf(out, TEXT_MAX, "%llu days %llu h", t / 86400, t % 86400 / 3600);
    } else if (t >= 2 * 3600ULL) {
        (void)snprintf(out, TEXT_MAX, "%llu h %llu min", t / 3600, t % 3600 / 60);
    } else if (t >= 120) {
        (void)snprintf(out, TEXT_MAX, "%llu min %llu s", t / 60, t % 60);
    } else {
        (void)snprintf(out, TEXT_MAX, "%llu s", t);
    }
    return out;
}

static int explain(const struct run *run, const struct token *token)
{
    const uint64_t now_s = (uint64_t)time(NULL);
    const uint64_t made_s = token_seconds(token->timestamp);
    const uint64_t left_s = auth_token_left(token, now_s);
    char text[TEXT_MAX];
    char spelled[TEXT_MAX];

    printf("kid:         %.*s\n", (int)run->source.key.kid_len, (const char *)run->source.key.kid);
    printf("algorithm:   %s\n", token_algorithm_name(run->source.key.key.algorithm));
    printf("server name: %s\n", run->source.server_name);
    printf("mac_key:     %u bytes%s\n", token->mac_len,
           token->mac_len == CRYPTO_SHA1_LEN ? "" : ", where RFC 7635 says 20");
    printf("made:        %s, %s %s\n", when(made_s, text),
           span(now_s >= made_s ? now_s - made_s : made_s - now_s, spelled),
           now_s >= made_s ? "ago" : "from now");
    printf("lifetime:    %s, until %s\n", span(token->lifetime_s, spelled),
           when(made_s + token->lifetime_s, text));
    if (left_s > 0) {
        printf("now:         valid, for %s yet (with %d s between clocks)\n", span(left_s, spelled),
               AUTH_TOKEN_DELTA_S);
        return CMD_OK;
    }
    printf("now:         not valid: %s\n",
           now_s >= made_s ? "it is too old" : "it is from the future; compare the clocks");
    return CMD_FAILED;
}

/* The token in `text`, whose base64 it is.  Its length, or negative. */
static int token_read(const struct token_options *options, uint8_t out[TOKEN_LEN_MAX])
{
    char line[SECRET_INPUT_MAX + 1];
    const char *text = options->token;

    if (text == NULL) {
        if (options->key_from == TOKEN_KEY_STDIN || secret_input_stdin(line) != NULL) {
            return -ENOENT;
        }
        text = line;
    }
    return crypto_base64_read(bytes_of(text), out, TOKEN_LEN_MAX);
}

static int token_show(struct run *run)
{
    const struct admin_syntax *syntax = run->options->syntax;
    uint8_t sealed[TOKEN_LEN_MAX];
    struct token token;
    const int n = token_read(run->options, sealed);

    if (n == -ENOENT) {
        return admin_usage(syntax, "no token: give it as an operand, or on standard input");
    }
    if (n < 2 + TOKEN_NONCE_LEN + TOKEN_TAG_LEN || be16(sealed) != TOKEN_NONCE_LEN) {
        return admin_failed(syntax,
                            "this is no token: it is base64 of at most %d bytes that begin with "
                            "the length of a nonce, 12 (RFC 7635 section 6.2)",
                            TOKEN_LEN_MAX);
    }
    const int err = token_open(run->box, &run->source.key.key, bytes_of(run->source.server_name),
                               (struct bytes){sealed, (size_t)n}, &token);
    if (err < 0) {
        return admin_failed(syntax,
                            "the token does not open: it was made with another key or algorithm, "
                            "for another server than \"%s\", or was changed",
                            run->source.server_name);
    }
    const int code = explain(run, &token);
    secret_wipe(&token, sizeof(token));
    return code;
}

/* --- key --- */

/* RFC 7635 section 4.1.1; `k` as in RFC 7518 section 6.4.1: base64url without padding. */
static int token_key(struct run *run)
{
    const struct auth_oauth_key *key = &run->source.key;
    const size_t len = token_key_len(key->key.algorithm);
    char text[TOKEN_KEY_MAX * 2];

    if (crypto_base64_write((struct bytes){key->key.bytes, len}, text, sizeof(text)) < 0) {
        return admin_failed(run->options->syntax, "the key is too long");
    }
    for (char *c = text; *c != '\0'; c++) {
        *c = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c == '=' ? '\0' : *c);
    }
    json_t *jwk = json_pack("{s:s,s:s%,s:s}", "k", text, "kid", (const char *)key->kid,
                            (size_t)key->kid_len, "enc", token_algorithm_name(key->key.algorithm));
    if (jwk != NULL && key->till_s != 0) {
        (void)json_object_set_new(jwk, "exp", json_integer((json_int_t)key->till_s));
    }
    secret_wipe(text, sizeof(text));
    return json_print(run, jwk);
}

struct action {
    struct admin_syntax syntax;
    int (*run)(struct run *run);
};

static const char *const words[] = {"make", "show", "key", NULL};

/* In the order of the words. */
static const struct action actions[] = {
    {{"token make", "cbdkifKasrlmj", 0, 0}, token_make},
    {{"token show", "cbdkifKas", 0, 1}, token_show},
    {{"token key", "cbdkifKas", 0, 0}, token_key},
};

static int action_run(const struct action *action, int argc, char **argv)
{
    struct token_options options;
    struct run run = {.options = &options};
    int code = token_options_parse(&action->syntax, argc, argv, &options);

    if (code == CMD_OK && options.help) {
        fputs(help, stdout);
        return CMD_OK;
    }
    if (code == CMD_OK) {
        code = token_source_find(&options, &run.source);
    }
    if (code == CMD_OK) {
        run.box = token_box_new();
        code = run.box == NULL ? admin_failed(&action->syntax, "libcrypto has no AES-GCM")
                               : action->run(&run);
    }
    token_box_free(run.box);
    secret_wipe(&run.source, sizeof(run.source));
    return code;
}

int cmd_token(int argc, char **argv)
{
    int code = CMD_OK;
    const int word = admin_word("token", help, words, argc, argv, &code);

    return word < 0 ? code : action_run(&actions[word], argc - 1, argv + 1);
}

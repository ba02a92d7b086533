/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/secret_input.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/secret.h"
#include "crypto/random.h"

enum { GENERATED_LEN = 32 };

/* Read one line of `file` without its end. */
static const char *read_line(FILE *file, char out[SECRET_INPUT_MAX + 1])
{
    size_t n = 0;
    int c;

    while ((c = getc(file)) != EOF && c != '\n') {
        if (c == '\0') {
            return "what was read holds a NUL, which no password may hold";
        }
        if (n == SECRET_INPUT_MAX) {
            return "what was read is longer than 1024 bytes";
        }
        out[n++] = (char)c;
    }
    if (n > 0 && out[n - 1] == '\r') {
        n--;
    }
    out[n] = '\0';
    if (ferror(file) != 0) {
        return "it cannot be read";
    }
    return n == 0 ? "it is empty" : NULL;
}

const char *secret_input_stdin(char out[SECRET_INPUT_MAX + 1])
{
    (void)setvbuf(stdin, NULL, _IONBF, 0); /* no copy of it stays in a buffer */
    return read_line(stdin, out);
}

static const char *ask_once(FILE *terminal, const char *prompt, const char *what,
                            char out[SECRET_INPUT_MAX + 1])
{
    fprintf(terminal, "%s%s: ", prompt, what);
    (void)fflush(terminal);
    const char *error = read_line(terminal, out);
    fputc('\n', terminal);
    return error;
}

static const char *ask_twice(FILE *terminal, const char *what, char out[SECRET_INPUT_MAX + 1])
{
    char again[SECRET_INPUT_MAX + 1];
    const char *error = ask_once(terminal, "", what, out);

    if (error == NULL) {
        error = ask_once(terminal, "again, ", what, again);
    }
    if (error == NULL && strcmp(out, again) != 0) {
        error = "the two are not the same";
    }
    secret_wipe(again, sizeof(again));
    return error;
}

const char *secret_input_ask(const char *what, char out[SECRET_INPUT_MAX + 1])
{
    struct termios before;
    FILE *terminal = fopen("/dev/tty", "r+");

    if (terminal == NULL) {
        return "there is no terminal to ask for it: give it on standard input";
    }
    (void)setvbuf(terminal, NULL, _IONBF, 0);
    const bool quiet = tcgetattr(fileno(terminal), &before) == 0;
    if (quiet) {
        struct termios silent = before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        (void)tcsetattr(fileno(terminal), TCSAFLUSH, &silent);
    }
    const char *error = ask_twice(terminal, what, out);
    if (quiet) {
        (void)tcsetattr(fileno(terminal), TCSAFLUSH, &before);
    }
    (void)fclose(terminal);
    return error;
}

const char *secret_input_argument(char *argument, char out[SECRET_INPUT_MAX + 1])
{
    const size_t n = strlen(argument);

    if (n == 0 || n > SECRET_INPUT_MAX) {
        return n == 0 ? "it is empty" : "it is longer than 1024 bytes";
    }
    memcpy(out, argument, n + 1);
    secret_wipe(argument, n);
    return NULL;
}

const char *secret_input_generate(char out[SECRET_INPUT_MAX + 1])
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    struct crypto_random *random = crypto_random_new();
    size_t n = 0;

    if (random == NULL) {
        return "the system gives no random numbers";
    }
    while (n < GENERATED_LEN) {
        uint8_t byte;
        crypto_random_fill(random, &byte, 1);
        byte &= 63;
        if (byte < sizeof(letters) - 1) { /* two of 64 values are drawn again: no bias */
            out[n++] = letters[byte];
        }
    }
    out[n] = '\0';
    crypto_random_free(random);
    return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Messages about sections and their files. */
#include <errno.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>

#include "io/tls_int.h"

/* Write "WHERE: FILE: "; returns where the text is to go on, at most the end of the buffer. */
static size_t begin(const struct tls_say *say, const char *file)
{
    const char *where = say->where != NULL ? say->where : "";
    const char *name = file != NULL ? file : "";
    const int n = snprintf(say->why, say->cap, "%s%s%s%s", where, *where != 0 ? ": " : "", name,
                           *name != 0 ? ": " : "");

    return n >= 0 && (size_t)n < say->cap ? (size_t)n : say->cap;
}

int tls_say(struct tls_say *say, const char *file, const char *format, ...)
{
    const size_t at = begin(say, file);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(say->why + at, say->cap - at, format, args);
    va_end(args);
    return -EINVAL;
}

int tls_say_openssl(struct tls_say *say, const char *file, const char *text)
{
    const unsigned long code = ERR_peek_error();
    const char *reason = ERR_reason_error_string(code);

    ERR_clear_error();
    (void)tls_say(say, file, "%s: %s", text, reason != NULL ? reason : "OpenSSL does not say why");
    return ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE ? -ENOMEM : -EINVAL;
}

void tls_say_warning(struct tls_say *say, const char *file, const char *format, ...)
{
    va_list args;

    if (say->warned) {
        return;
    }
    say->warned = true;
    const size_t at = begin(say, file);
    va_start(args, format);
    (void)vsnprintf(say->why + at, say->cap - at, format, args);
    va_end(args);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/origin.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* scheme "://" [ userinfo "@" ] host [ ":" port ] and whatever follows (RFC 3986 section 3). */
struct parts {
    struct bytes scheme;
    struct bytes host;
    uint32_t port; /* 0: none is said */
};

static uint32_t port_of_scheme(const char *scheme, size_t len)
{
    static const struct {
        const char *scheme;
        uint16_t port;
    } known[] = {
        {"http", 80},   {"https", 443},  {"turn", 3478}, {"turns", 5349},
        {"stun", 3478}, {"stuns", 5349}, {"sip", 5060},  {"sips", 5061},
        {"ftp", 21},    {"ldap", 389},   {"ssh", 22},    {"telnet", 23},
        {"svn", 3690},  {"svn+ssh", 22}, {"ldaps", 636}, {"radius", 1645},
    };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (strlen(known[i].scheme) == len && memcmp(known[i].scheme, scheme, len) == 0) {
            return known[i].port;
        }
    }
    return 0;
}

static bool scheme_take(struct bytes *rest, struct bytes *out)
{
    size_t n = 0;

    while (n < rest->n && (isalnum(rest->p[n]) || strchr("+-.", rest->p[n]) != NULL)) {
        n++;
    }
    if (n == 0 || !isalpha(rest->p[0]) || rest->n - n < 3 || memcmp(rest->p + n, "://", 3) != 0) {
        return false;
    }
    *out = (struct bytes){rest->p, n};
    *rest = (struct bytes){rest->p + n + 3, rest->n - n - 3};
    return true;
}

/* What stands before the path, without "user@". */
static struct bytes authority_of(struct bytes rest)
{
    size_t from = 0;
    size_t n = 0;

    while (n < rest.n && strchr("/?#", rest.p[n]) == NULL) {
        n++;
        from = rest.p[n - 1] == '@' ? n : from;
    }
    return (struct bytes){rest.p + from, n - from};
}

static bool port_read(struct bytes text, uint32_t *out)
{
    uint32_t port = 0;

    for (size_t i = 0; i < text.n; i++) {
        if (!isdigit(text.p[i]) || port > UINT16_MAX) {
            return false;
        }
        port = port * 10 + (uint32_t)(text.p[i] - '0');
    }
    *out = port;
    return port <= UINT16_MAX;
}

/* Colons are for IPv6 addresses in brackets alone. */
static bool host_is_good(struct bytes host)
{
    const bool literal = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';

    for (size_t i = 0; i < host.n; i++) {
        if (!isgraph(host.p[i]) || (host.p[i] == ':' && !literal)) {
            return false;
        }
    }
    return host.n > 0;
}

static bool split(struct bytes text, struct parts *out)
{
    struct bytes rest = text;

    if (!scheme_take(&rest, &out->scheme)) {
        return false;
    }
    const struct bytes authority = authority_of(rest);
    size_t n = authority.n;

    while (n > 0 && authority.p[n - 1] != ':' && authority.p[n - 1] != ']') {
        n--; /* to the last colon, unless it lies in the brackets of an IPv6 address */
    }
    const bool has_port = n > 0 && authority.p[n - 1] == ':';
    out->host = (struct bytes){authority.p, has_port ? n - 1 : authority.n};
    out->port = 0;
    return host_is_good(out->host) &&
           (!has_port || port_read((struct bytes){authority.p + n, authority.n - n}, &out->port));
}

static size_t put_small(char *out, size_t at, struct bytes text)
{
    for (size_t i = 0; i < text.n; i++) {
        out[at + i] = (char)tolower(text.p[i]);
    }
    return at + text.n;
}

static int keep(struct bytes text, char *out, size_t cap)
{
    if (text.n >= cap) {
        return -ENOBUFS;
    }
    memcpy(out, text.p, text.n);
    out[text.n] = '\0';
    return (int)text.n;
}

int origin_spell(struct bytes text, char *out, size_t cap)
{
    static const size_t separator = sizeof("://") - 1;
    struct parts parts;

    if (text.n == 0 || text.n > UINT16_MAX || memchr(text.p, 0, text.n) != NULL) {
        return -EBADMSG;
    }
    if (!split(text, &parts)) {
        return keep(text, out, cap);
    }
    if (parts.scheme.n + separator + parts.host.n >= cap) {
        return -ENOBUFS;
    }
    size_t n = put_small(out, 0, parts.scheme);
    const uint32_t port = parts.port != 0 ? parts.port : port_of_scheme(out, n);
    n = put_small(out, n, bytes_of("://"));
    n = put_small(out, n, parts.host);
    out[n] = '\0';
    if (port != 0) {
        const int more = snprintf(out + n, cap - n, ":%u", port);
        if (more < 0 || (size_t)more >= cap - n) {
            return -ENOBUFS;
        }
        n += (size_t)more;
    }
    return (int)n;
}

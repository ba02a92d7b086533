/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_target.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { DEFAULT_PORT = 3478 }; /* RFC 8656 section 5 */

static const char *after(const char *text, const char *scheme)
{
    const size_t n = strlen(scheme);

    return strncasecmp(text, scheme, n) == 0 ? text + n : NULL;
}

/* The port in `text`, or -1. */
static int port_of(const char *text)
{
    int port = 0;

    for (const char *c = text; *c != '\0'; c++) {
        if (*c < '0' || *c > '9' || c - text >= 5) {
            return -1;
        }
        port = port * 10 + (*c - '0');
    }
    return port >= 1 && port <= 65535 ? port : -1;
}

/* Split "HOST", "HOST:PORT", "[V6]", "[V6]:PORT" or a bare IPv6 address. */
static const char *split(char *text, uint16_t default_port, struct probe_target *out)
{
    const char *host = text;
    const char *port = NULL;
    char *colon = strchr(text, ':');

    if (text[0] == '[') {
        char *end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':')) {
            return "an IPv6 address stands in brackets: turn:[2001:db8::1]:3478";
        }
        host = text + 1;
        port = end[1] == ':' ? end + 2 : NULL;
        *end = '\0';
    } else if (colon != NULL && strchr(colon + 1, ':') == NULL) {
        *colon = '\0';
        port = colon + 1;
    }
    if (host[0] == '\0' || strlen(host) >= sizeof(out->host)) {
        return "the host name is missing or too long: turn:turn.example.org";
    }
    const int number = port == NULL ? default_port : port_of(port);
    if (number < 0) {
        return "the port is no number from 1 to 65535";
    }
    snprintf(out->host, sizeof(out->host), "%s", host);
    out->port = (uint16_t)number;
    return NULL;
}

int probe_target_host(const char *text, size_t n, uint16_t default_port, struct probe_target *out,
                      const char **out_why)
{
    struct probe_target target = *out;
    char copy[320];

    if (n >= sizeof(copy)) {
        *out_why = "the host name is too long";
        return -EBADMSG;
    }
    memcpy(copy, text, n);
    copy[n] = '\0';
    *out_why = split(copy, default_port, &target);
    if (*out_why != NULL) {
        return -EBADMSG;
    }
    *out = target;
    return 0;
}

int probe_target_parse(const char *text, struct probe_target *out, const char **out_why)
{
    struct probe_target target = {.port = DEFAULT_PORT};
    const char *rest = text;
    const char *query;

    *out_why = NULL;
    if (after(text, "turns:") != NULL || after(text, "stuns:") != NULL) {
        *out_why = "TLS cannot be probed yet: use turn: with the server's UDP port";
        return -EBADMSG;
    }
    if ((query = after(text, "turn:")) != NULL) {
        rest = query;
    } else if ((query = after(text, "stun:")) != NULL) {
        rest = query;
        target.stun_only = true;
    }
    if (strncmp(rest, "//", 2) == 0) { /* no URI of RFC 7065, but often written */
        rest += 2;
    }
    query = strchr(rest, '?');
    if (query != NULL && strcasecmp(query, "?transport=udp") != 0) {
        *out_why = "only UDP can be probed yet: leave out everything from ? on, "
                   "or write ?transport=udp";
        return -EBADMSG;
    }
    const size_t n = query == NULL ? strlen(rest) : (size_t)(query - rest);
    const int err = probe_target_host(rest, n, DEFAULT_PORT, &target, out_why);
    if (err == 0) {
        *out = target;
    }
    return err;
}

int probe_target_resolve(const struct probe_target *target, uint8_t family, struct net_addr *out,
                         char *why, size_t cap)
{
    const struct addrinfo hints = {
        .ai_family = family == NET_V4   ? AF_INET
                     : family == NET_V6 ? AF_INET6
                                        : AF_UNSPEC,
        .ai_socktype = SOCK_DGRAM,
        .ai_flags = AI_NUMERICSERV,
    };
    struct addrinfo *list = NULL;
    struct sockaddr_storage ss = {0};
    char port[8];

    snprintf(port, sizeof(port), "%u", target->port);
    const int failed = getaddrinfo(target->host, port, &hints, &list);
    if (failed != 0) {
        snprintf(why, cap, "%s: %s", target->host,
                 failed == EAI_SYSTEM ? strerror(errno) : gai_strerror(failed));
        return -ENOENT;
    }
    memcpy(&ss, list->ai_addr, list->ai_addrlen);
    freeaddrinfo(list);
    if (net_addr_from_sockaddr(&ss, out) < 0) {
        snprintf(why, cap, "%s: an address that is neither IPv4 nor IPv6", target->host);
        return -ENOENT;
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/net_addr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(struct net_addr) == 24, "net_addr is hashed as it lies");

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct net_ip net_ip_v4(const uint8_t v4[4])
{
    struct net_ip ip;

    memcpy(ip.b, mapped_prefix, sizeof(mapped_prefix));
    memcpy(ip.b + 12, v4, 4);
    return ip;
}

bool net_ip_is_v4(const struct net_ip *ip)
{
    return memcmp(ip->b, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

bool net_ip_equal(const struct net_ip *a, const struct net_ip *b)
{
    return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

int net_ip_compare(const struct net_ip *a, const struct net_ip *b)
{
    const int order = memcmp(a->b, b->b, sizeof(a->b));
    return (order > 0) - (order < 0);
}

int net_ip_parse(const char *text, struct net_ip *out)
{
    uint8_t raw[16];

    if (inet_pton(AF_INET, text, raw) == 1) {
        *out = net_ip_v4(raw);
        return 0;
    }
    if (inet_pton(AF_INET6, text, raw) == 1) {
        memcpy(out->b, raw, sizeof(out->b));
        return 0;
    }
    return -EBADMSG;
}

struct net_addr net_addr_make(const struct net_ip *ip, uint16_t port)
{
    return (struct net_addr){
        .ip = *ip,
        .port = port,
        .family = net_ip_is_v4(ip) ? NET_V4 : NET_V6,
    };
}

bool net_addr_equal(const struct net_addr *a, const struct net_addr *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* A decimal number of at most `max`, the whole of `text`. */
static int number_parse(const char *text, unsigned long max, unsigned long *out)
{
    unsigned long value = 0;

    if (*text == '\0') {
        return -EBADMSG;
    }
    for (const char *c = text; *c != '\0'; c++) {
        if (*c < '0' || *c > '9') {
            return -EBADMSG;
        }
        value = value * 10 + (unsigned long)(*c - '0');
        if (value > max) {
            return -EBADMSG;
        }
    }
    *out = value;
    return 0;
}

int net_addr_parse(const char *text, uint16_t default_port, struct net_addr *out)
{
    char host[NET_ADDR_TEXT];
    const char *port_text = NULL;
    const char *host_text = text;
    size_t host_len = strlen(text);
    unsigned long port = default_port;
    unsigned long scope = 0;
    struct net_ip ip;

    if (text[0] == '[') {
        const char *end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':')) {
            return -EBADMSG;
        }
        host_text = text + 1;
        host_len = (size_t)(end - host_text);
        port_text = end[1] == ':' ? end + 2 : NULL;
    } else {
        const char *colon = strchr(text, ':');
        if (colon != NULL && strchr(colon + 1, ':') == NULL) { /* one colon: IPv4 and port */
            host_len = (size_t)(colon - text);
            port_text = colon + 1;
        }
    }
    if (host_len >= sizeof(host)) {
        return -EBADMSG;
    }
    memcpy(host, host_text, host_len);
    host[host_len] = '\0';

    char *zone = strchr(host, '%');
    if (zone != NULL) {
        *zone = '\0';
        if (number_parse(zone + 1, UINT32_MAX, &scope) < 0) {
            return -EBADMSG;
        }
    }
    if (net_ip_parse(host, &ip) < 0 || (zone != NULL && net_ip_is_v4(&ip)) ||
        (port_text != NULL && number_parse(port_text, UINT16_MAX, &port) < 0)) {
        return -EBADMSG;
    }
    *out = net_addr_make(&ip, (uint16_t)port);
    out->scope = (uint32_t)scope;
    return 0;
}

const char *net_ip_text(const struct net_ip *ip, char out[NET_ADDR_TEXT])
{
    const bool v4 = net_ip_is_v4(ip);
    const void *raw = v4 ? (const void *)net_ip_v4_bytes(ip) : (const void *)ip->b;
    const char *text = inet_ntop(v4 ? AF_INET : AF_INET6, raw, out, NET_ADDR_TEXT);

    assert(text != NULL); /* the buffer holds the longest form */
    return text;
}

const char *net_addr_text(const struct net_addr *addr, char out[NET_ADDR_TEXT])
{
    char ip[NET_ADDR_TEXT];
    char zone[12] = "";

    net_ip_text(&addr->ip, ip);
    if (addr->scope != 0) {
        (void)snprintf(zone, sizeof(zone), "%%%u", addr->scope);
    }
    const bool plain = net_ip_is_v4(&addr->ip);
    (void)snprintf(out, NET_ADDR_TEXT, plain ? "%.48s%s:%u" : "[%.48s%s]:%u", ip, zone, addr->port);
    return out;
}

int net_addr_from_sockaddr(const struct sockaddr_storage *ss, struct net_addr *out)
{
    if (ss->ss_family == AF_INET) {
        struct sockaddr_in in;
        uint8_t raw[4];

        memcpy(&in, ss, sizeof(in));
        memcpy(raw, &in.sin_addr, sizeof(raw));
        const struct net_ip ip = net_ip_v4(raw);
        *out = net_addr_make(&ip, ntohs(in.sin_port));
        return 0;
    }
    if (ss->ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        struct net_ip ip;

        memcpy(&in6, ss, sizeof(in6));
        memcpy(ip.b, &in6.sin6_addr, sizeof(ip.b));
        *out = net_addr_make(&ip, ntohs(in6.sin6_port));
        out->scope = out->family == NET_V6 ? in6.sin6_scope_id : 0;
        return 0;
    }
    return -EBADMSG;
}

socklen_t net_addr_to_sockaddr(const struct net_addr *addr, struct sockaddr_storage *out)
{
    if (addr->family == NET_V4) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(addr->port)};

        memcpy(&in.sin_addr, net_ip_v4_bytes(&addr->ip), 4);
        memcpy(out, &in, sizeof(in));
        return sizeof(in);
    }
    struct sockaddr_in6 in6 = {
        .sin6_family = AF_INET6,
        .sin6_port = htons(addr->port),
        .sin6_scope_id = addr->scope,
    };

    memcpy(&in6.sin6_addr, addr->ip.b, sizeof(addr->ip.b));
    memcpy(out, &in6, sizeof(in6));
    return sizeof(in6);
}

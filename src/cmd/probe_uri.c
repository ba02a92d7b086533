/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_uri.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/net_addr.h"
#include "cmd/probe_target.h"

enum { LABEL_MAX = 63, NAME_MAX_LEN = 253 };

static const struct {
    const char *text;
    bool stun;
    bool secure;
} schemes[] = {
    {"turn:", false, false},
    {"turns:", false, true},
    {"stun:", true, false},
    {"stuns:", true, true},
};

/* Is `name` one that the DNS may be asked for (RFC 1035 section 2.3.4)?  NULL, or what is wrong. */
static const char *judge(const char *name)
{
    size_t label = 0;

    if (strlen(name) > NAME_MAX_LEN) {
        return "a domain name has at most 253 characters";
    }
    for (const char *c = name;; c++) {
        if (*c == '.' || *c == '\0') {
            if (label == 0 || label > LABEL_MAX) {
                return "between the dots of a domain name stand 1 to 63 characters";
            }
            label = 0;
            if (*c == '\0') {
                return NULL;
            }
            continue;
        }
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_') {
            return "a domain name has letters, digits, - and dots alone; other characters are "
                   "written as the DNS has them (xn--...)";
        }
        label++;
    }
}

static const char *take_query(const char *query, struct probe_uri *out)
{
    static const char key[] = "?transport=";

    if (query == NULL) {
        return NULL;
    }
    if (out->stun) {
        return "a stun: or stuns: URI has nothing behind the port (RFC 7064): leave out all from ? "
               "on";
    }
    if (strncasecmp(query, key, sizeof(key) - 1) != 0 || query[sizeof(key) - 1] == '\0' ||
        strlen(query + sizeof(key) - 1) >= sizeof(out->transport)) {
        return "behind the ? stands transport=udp or transport=tcp";
    }
    snprintf(out->transport, sizeof(out->transport), "%s", query + sizeof(key) - 1);
    return NULL;
}

static const char *take_host(const char *text, size_t n, struct probe_uri *out)
{
    struct probe_target target = {.port = 0};
    struct net_ip ip;
    const char *why;

    if (probe_target_host(text, n, 0, &target, &why) < 0) {
        return why;
    }
    const size_t len = strlen(target.host);
    if (target.host[len - 1] == '.') {
        target.host[len - 1] = '\0';
    }
    why = net_ip_parse(target.host, &ip) == 0 ? NULL : judge(target.host);
    if (why == NULL) {
        memcpy(out->host, target.host, sizeof(out->host));
        out->port = target.port;
    }
    return why;
}

int probe_uri_parse(const char *text, struct probe_uri *out, const char **out_why)
{
    struct probe_uri uri = {.bare = true};

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        const size_t n = strlen(schemes[i].text);
        if (strncasecmp(text, schemes[i].text, n) == 0) {
            uri = (struct probe_uri){.stun = schemes[i].stun, .secure = schemes[i].secure};
            text += n;
            break;
        }
    }
    if (strncmp(text, "//", 2) == 0) { /* no URI of RFC 7065, but often written */
        text += 2;
    }
    const char *query = strchr(text, '?');
    *out_why = take_query(query, &uri);
    if (*out_why == NULL) {
        *out_why = take_host(text, query == NULL ? strlen(text) : (size_t)(query - text), &uri);
    }
    if (*out_why != NULL) {
        return -EBADMSG;
    }
    *out = uri;
    return 0;
}

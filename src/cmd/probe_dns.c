/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_dns.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/mem.h"
#include "cmd/probe_dns_int.h"

struct probe_dns {
    struct probe_dns_ares *ares;
    struct probe_dns_answer *answers[PROBE_DNS_QUESTIONS];
    size_t count;
    bool is_new;
};

#ifndef STERNA_DISCOVER

int probe_dns_ares_new(const struct net_addr *server, uint32_t timeout_ms,
                       struct probe_dns_ares **out)
{
    (void)server;
    (void)timeout_ms;
    (void)out;
    return -ENOTSUP;
}

void probe_dns_ares_free(struct probe_dns_ares *ares)
{
    (void)ares;
}

void probe_dns_ares_ask(struct probe_dns_ares *ares, struct probe_dns_answer *answer)
{
    (void)ares;
    answer->status = PROBE_DNS_FAILED;
    answer->why = "built without c-ares";
}

#endif

int probe_dns_new(const struct net_addr *server, uint32_t timeout_ms, struct probe_dns **out)
{
    struct probe_dns *dns = mem_new(1, sizeof(*dns));
    const int err = dns == NULL ? -ENOMEM : probe_dns_ares_new(server, timeout_ms, &dns->ares);

    if (err < 0) {
        free(dns);
        return err;
    }
    *out = dns;
    return 0;
}

void probe_dns_free(struct probe_dns *dns)
{
    if (dns == NULL) {
        return;
    }
    for (size_t i = 0; i < dns->count; i++) {
        free(dns->answers[i]);
    }
    probe_dns_ares_free(dns->ares);
    free(dns);
}

const struct probe_dns_answer *probe_dns_ask(void *arg, enum probe_dns_type type, const char *name)
{
    struct probe_dns *dns = arg;

    dns->is_new = false;
    for (size_t i = 0; i < dns->count; i++) {
        if (dns->answers[i]->type == type && strcasecmp(dns->answers[i]->name, name) == 0) {
            return dns->answers[i];
        }
    }
    if (dns->count == PROBE_DNS_QUESTIONS) {
        return NULL;
    }
    struct probe_dns_answer *answer = mem_new(1, sizeof(*answer));
    if (answer == NULL) {
        return NULL;
    }
    answer->type = type;
    snprintf(answer->name, sizeof(answer->name), "%s", name);
    probe_dns_ares_ask(dns->ares, answer);
    dns->answers[dns->count++] = answer;
    dns->is_new = true;
    return answer;
}

bool probe_dns_is_new(const struct probe_dns *dns)
{
    return dns->is_new;
}

const char *probe_dns_type_text(enum probe_dns_type type)
{
    switch (type) {
    case PROBE_DNS_A:
        return "A";
    case PROBE_DNS_AAAA:
        return "AAAA";
    case PROBE_DNS_SRV:
        return "SRV";
    case PROBE_DNS_NAPTR:
    default:
        return "NAPTR";
    }
}

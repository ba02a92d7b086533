/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the DNS through c-ares, one at a time. */
#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cmd/probe_dns_int.h"

enum {
    CLASS_IN = 1,
    TRIES = 2,
    ENDED = -1, /* c-ares has nothing more to wait for */
};

struct probe_dns_ares {
    ares_channel channel;
    bool open;
};

struct question {
    struct probe_dns_answer *answer;
    bool done;
};

static int set_server(struct probe_dns_ares *ares, const struct net_addr *server)
{
    char text[NET_ADDR_TEXT];
    const int status = ares_set_servers_ports_csv(ares->channel, net_addr_text(server, text));

    return status == ARES_SUCCESS ? 0 : status == ARES_ENOMEM ? -ENOMEM : -EIO;
}

int probe_dns_ares_new(const struct net_addr *server, uint32_t timeout_ms,
                       struct probe_dns_ares **out)
{
    struct probe_dns_ares *ares = mem_new(1, sizeof(*ares));
    /* With one server alone, what it refuses is the answer; else the next one is asked. */
    struct ares_options options = {
        .flags = server != NULL ? ARES_FLAG_NOCHECKRESP : 0,
        .timeout = (int)timeout_ms,
        .tries = TRIES,
    };

    if (ares == NULL) {
        return -ENOMEM;
    }
    int status = ares_library_init(ARES_LIB_INIT_ALL);
    if (status != ARES_SUCCESS) {
        free(ares);
        return -ENOMEM;
    }
    status = ares_init_options(&ares->channel, &options,
                               ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES);
    ares->open = status == ARES_SUCCESS;
    int err = ares->open ? 0 : status == ARES_ENOMEM ? -ENOMEM : -EIO;
    if (err == 0 && server != NULL) {
        err = set_server(ares, server);
    }
    if (err < 0) {
        probe_dns_ares_free(ares);
        return err;
    }
    *out = ares;
    return 0;
}

void probe_dns_ares_free(struct probe_dns_ares *ares)
{
    if (ares == NULL) {
        return;
    }
    if (ares->open) {
        ares_destroy(ares->channel);
    }
    ares_library_cleanup();
    free(ares);
}

/* Copy a text that must fit: half a name would be another name. */
static bool copy(char *to, size_t cap, const char *from)
{
    return from != NULL && snprintf(to, cap, "%s", from) < (int)cap;
}

/* The place for another record, or NULL when there is none left. */
static void *room(struct probe_dns_answer *answer)
{
    if (answer->count == PROBE_DNS_RECORDS) {
        answer->cut = true;
        return NULL;
    }
    return &answer->record[answer->count];
}

static void take_addresses(struct probe_dns_answer *answer, const unsigned char *message, int len,
                           int *status)
{
    struct hostent *host = NULL;

    *status = answer->type == PROBE_DNS_A ? ares_parse_a_reply(message, len, &host, NULL, NULL)
                                          : ares_parse_aaaa_reply(message, len, &host, NULL, NULL);
    if (*status != ARES_SUCCESS) {
        return;
    }
    answer->alias = host->h_aliases != NULL && host->h_aliases[0] != NULL;
    for (char **p = host->h_addr_list; *p != NULL; p++) {
        struct net_ip *ip = room(answer);
        if (ip == NULL) {
            break;
        }
        if (host->h_length == 4) {
            *ip = net_ip_v4((const uint8_t *)*p);
        } else {
            memcpy(ip->b, *p, sizeof(ip->b));
        }
        answer->count++;
    }
    ares_free_hostent(host);
}

static void take_srv(struct probe_dns_answer *answer, const unsigned char *message, int len,
                     int *status)
{
    struct ares_srv_reply *list = NULL;

    *status = ares_parse_srv_reply(message, len, &list);
    for (const struct ares_srv_reply *r = list; r != NULL; r = r->next) {
        struct probe_dns_srv *srv = room(answer);
        if (srv == NULL) {
            break;
        }
        srv->priority = r->priority;
        srv->weight = r->weight;
        srv->port = r->port;
        answer->count += copy(srv->target, sizeof(srv->target), r->host);
    }
    ares_free_data(list);
}

static void take_naptr(struct probe_dns_answer *answer, const unsigned char *message, int len,
                       int *status)
{
    struct ares_naptr_reply *list = NULL;

    *status = ares_parse_naptr_reply(message, len, &list);
    for (const struct ares_naptr_reply *r = list; r != NULL; r = r->next) {
        struct probe_dns_naptr *naptr = room(answer);
        if (naptr == NULL) {
            break;
        }
        naptr->order = r->order;
        naptr->preference = r->preference;
        naptr->regexp = r->regexp != NULL && r->regexp[0] != '\0';
        answer->count += copy(naptr->flags, sizeof(naptr->flags), (const char *)r->flags) &&
                         copy(naptr->service, sizeof(naptr->service), (const char *)r->service) &&
                         copy(naptr->replacement, sizeof(naptr->replacement), r->replacement);
    }
    ares_free_data(list);
}

static enum probe_dns_status status_of(int status, struct probe_dns_answer *answer)
{
    switch (status) {
    case ARES_SUCCESS:
        return answer->count > 0 ? PROBE_DNS_FOUND : PROBE_DNS_EMPTY;
    case ARES_ENODATA:
        return PROBE_DNS_EMPTY;
    case ARES_ENOTFOUND:
        return PROBE_DNS_NO_NAME;
    default:
        answer->why = ares_strerror(status);
        return PROBE_DNS_FAILED;
    }
}

static void answered(void *arg, int status, int timeouts, unsigned char *message, int len)
{
    struct question *q = arg;
    struct probe_dns_answer *answer = q->answer;

    (void)timeouts;
    q->done = true;
    if (status == ARES_SUCCESS && answer->type == PROBE_DNS_SRV) {
        take_srv(answer, message, len, &status);
    } else if (status == ARES_SUCCESS && answer->type == PROBE_DNS_NAPTR) {
        take_naptr(answer, message, len, &status);
    } else if (status == ARES_SUCCESS) {
        take_addresses(answer, message, len, &status);
    }
    answer->status = status_of(status, answer);
}

/* Wait for what c-ares waits for, and let it go on.  0 or ENDED.  Its macros for the mask shift
 * into the sign, so the bits are read here. */
static int step(ares_channel channel)
{
    ares_socket_t sockets[ARES_GETSOCK_MAXNUM];
    struct pollfd fds[ARES_GETSOCK_MAXNUM];
    struct timeval time;
    const unsigned mask = (unsigned)ares_getsock(channel, sockets, ARES_GETSOCK_MAXNUM);
    nfds_t count = 0;

    for (int i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
        const short events = (short)(((mask >> i & 1) != 0 ? POLLIN : 0) |
                                     ((mask >> (i + ARES_GETSOCK_MAXNUM) & 1) != 0 ? POLLOUT : 0));
        if (events != 0) {
            fds[count++] = (struct pollfd){.fd = sockets[i], .events = events};
        }
    }
    const struct timeval *wait = ares_timeout(channel, NULL, &time);
    if (count == 0 && wait == NULL) {
        return ENDED;
    }
    const int ms = wait == NULL ? -1 : (int)(wait->tv_sec * 1000 + (wait->tv_usec + 999) / 1000);
    if (poll(fds, count, ms) <= 0) {
        ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        return 0;
    }
    for (nfds_t i = 0; i < count; i++) {
        ares_process_fd(channel, (fds[i].revents & ~POLLOUT) != 0 ? fds[i].fd : ARES_SOCKET_BAD,
                        (fds[i].revents & POLLOUT) != 0 ? fds[i].fd : ARES_SOCKET_BAD);
    }
    return 0;
}

void probe_dns_ares_ask(struct probe_dns_ares *ares, struct probe_dns_answer *answer)
{
    struct question q = {.answer = answer};

    answer->status = PROBE_DNS_FAILED;
    answer->why = "the resolver ended without an answer";
    ares_query(ares->channel, answer->name, CLASS_IN, (int)answer->type, answered, &q);
    while (!q.done && step(ares->channel) != ENDED) {
    }
    if (!q.done) {
        ares_cancel(ares->channel); /* calls answered() while `q` lives */
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_discover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cmd/probe_advice.h"
#include "cmd/probe_client.h"
#include "cmd/probe_contact.h"
#include "cmd/probe_discover_int.h"
#include "crypto/random.h"

void probe_discover_say(const struct discover *d, const char *step, enum probe_mark mark,
                        const char *advice, const char *text)
{
    struct probe_note note;

    probe_note_init(&note);
    probe_note_say(&note, mark, advice, "%s", text);
    probe_report_add(d->report, step, &note);
    probe_note_fini(&note);
}

static const struct probe_dns_answer *ask(void *arg, enum probe_dns_type type, const char *name)
{
    struct discover *d = arg;
    struct probe_note note;
    const uint64_t start = probe_client_now_us();
    const struct probe_dns_answer *answer = probe_dns_ask(d->plan->dns, type, name);

    if (answer != NULL && probe_dns_is_new(d->plan->dns)) {
        probe_note_init(&note);
        probe_discover_tell(&note, answer);
        note.took_us = probe_client_now_us() - start;
        if (answer->status == PROBE_DNS_FAILED) {
            note.advice = d->dns_failed ? NULL : note.advice; /* once is enough */
            d->dns_failed = true;
        }
        probe_report_add(d->report, probe_dns_type_text(type), &note);
        probe_note_fini(&note);
    }
    return answer;
}

/* FNV-1a: to know a remark again. */
static uint32_t hash_of(const char *text)
{
    uint32_t hash = 2166136261U;

    for (; *text != '\0'; text++) {
        hash = (hash ^ (uint8_t)*text) * 16777619U;
    }
    return hash;
}

static void remark(void *arg, enum probe_mark mark, const char *text, const char *advice)
{
    struct discover *d = arg;
    const uint32_t hash = hash_of(text);

    for (size_t i = 0; i < d->remark_count; i++) {
        if (d->remarks[i] == hash) {
            return;
        }
    }
    if (d->remark_count < DISCOVER_REMARKS) {
        d->remarks[d->remark_count++] = hash;
        probe_discover_say(d, "zone", mark, advice, text);
    }
}

static uint32_t draw(void *arg, uint32_t last)
{
    const struct discover *d = arg;
    uint8_t random[8];

    crypto_random_fill(d->random, random, sizeof(random));
    return (uint32_t)(be64(random) % ((uint64_t)last + 1));
}

struct probe_resolve_io probe_discover_io(struct discover *d)
{
    return (struct probe_resolve_io){.arg = d, .ask = ask, .remark = remark, .random = draw};
}

static void tell_answer(struct probe_note *note, const char *before,
                        const struct probe_contact *contact)
{
    char text[NET_ADDR_TEXT];

    probe_note_addr(note, "mapped", &contact->mapped);
    net_addr_text(&contact->mapped, text);
    if (contact->doubt[0] == '\0') {
        probe_note_say(note, PROBE_OK, NULL, "%.500s answers, and sees us as %s", before, text);
        return;
    }
    probe_note_text(note, "certificate", bytes_of(contact->doubt));
    probe_note_say(note, PROBE_WARNING,
                   "Clients refuse it: the certificate must name the host of the URI, not the name "
                   "that the DNS leads to (RFC 5928 section 5), and come from an authority that "
                   "they trust.",
                   "%.400s answers, and sees us as %s, but its certificate is no good: %.200s",
                   before, text, contact->doubt);
}

static void tell_contact(struct probe_note *note, int err, enum net_transport transport,
                         const struct probe_contact *contact)
{
    char before[PROBE_NOTE_TEXT];

    snprintf(before, sizeof(before), "%s", note->text);
    if (err == 0) {
        tell_answer(note, before, contact);
    } else if (err == -EPROTO) {
        probe_note_say(note, PROBE_FAILED,
                       "Another service is at this port, or the record is wrong.",
                       "%.500s does not answer as a STUN or TURN server does", before);
    } else {
        probe_note_say(note, PROBE_FAILED,
                       transport == NET_UDP || transport == NET_DTLS
                           ? probe_advice_errno(err)
                           : "The record leads to a port where no server can be reached over TCP: "
                             "start it, open the port for TCP, or correct the record.",
                       "%.500s: %s", before, strerror(-err));
    }
}

static void tell_server(const struct discover *d, const char *what, size_t i)
{
    const struct probe_resolve_server *server = &d->list.server[i];
    const char *transport = probe_resolve_transport(server->transport);
    const uint64_t start = probe_client_now_us();
    struct probe_note note;
    struct probe_contact contact;
    char text[NET_ADDR_TEXT];
    char step[32];

    probe_note_init(&note);
    probe_note_text(&note, "transport", bytes_of(transport));
    probe_note_addr(&note, "address", &server->addr);
    probe_note_text(&note, "host", bytes_of(server->name));
    probe_note_say(&note, PROBE_OK, NULL, "%s %s (%s)", transport,
                   net_addr_text(&server->addr, text), server->name);
    if (d->plan->contact) {
        const int err = probe_contact(&server->addr, server->transport, d->plan->uri.host,
                                      d->plan->timeout_ms, &contact);
        tell_contact(&note, err, server->transport, &contact);
        note.took_us = probe_client_now_us() - start;
    }
    snprintf(step, sizeof(step), "%s %zu", what, i + 1);
    probe_report_add(d->report, step, &note);
    probe_note_fini(&note);
}

/* The transports that clients of such a URI try.  Where NAPTR or SRV records may say so, those with
 * TLS are taken also when it is not asked for (RFC 5928 section 4.1). */
static void choose(struct probe_resolve_wish *wish, const struct probe_uri *uri)
{
    static const enum net_transport all[] = {NET_UDP, NET_TCP, NET_TLS, NET_DTLS};
    struct net_ip ip;
    const bool open = !uri->secure && uri->port == 0 && net_ip_parse(uri->host, &ip) < 0 &&
                      wish->service == PROBE_RESOLVE_TURN;

    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        const bool secure = all[i] == NET_TLS || all[i] == NET_DTLS;
        if (open || secure == uri->secure) {
            wish->supported[wish->supported_count++] = all[i];
        }
    }
}

static int resolve(struct discover *d, enum probe_resolve_service service, const char **out_why)
{
    const struct probe_uri *uri = &d->plan->uri;
    struct probe_resolve_wish wish = {
        .service = service,
        .secure = uri->secure,
        .host = uri->host,
        .port = uri->port,
        .transport = uri->transport,
    };
    const struct probe_resolve_io io = probe_discover_io(d);

    choose(&wish, uri);
    return probe_resolve_run(&wish, &io, &d->list, out_why);
}

/* RFC 5780 section 5.1. */
static void discover_behaviour(struct discover *d)
{
    const char *why;

    if (resolve(d, PROBE_RESOLVE_BEHAVIOUR, &why) < 0) {
        probe_discover_say(d, "behaviour", PROBE_OK, NULL,
                           "no server for the discovery of NAT behaviour (RFC 5780) is announced");
    }
    for (size_t i = 0; i < d->list.count; i++) {
        tell_server(d, "behaviour", i);
    }
}

static void tell_none(const struct discover *d)
{
    probe_discover_say(d, "servers", PROBE_FAILED,
                       "Correct the name, or add the records to its zone; look above for what was "
                       "asked.",
                       d->plan->uri.stun ? "no STUN server was found" : "no TURN server was found");
}

static int discover(struct discover *d, const char **out_why)
{
    const struct probe_uri *uri = &d->plan->uri;
    struct net_ip ip;
    const bool by_name =
        uri->port == 0 && uri->transport[0] == '\0' && net_ip_parse(uri->host, &ip) < 0;
    const int err = resolve(d, uri->stun ? PROBE_RESOLVE_STUN : PROBE_RESOLVE_TURN, out_why);

    if (err == -EINVAL) {
        return err;
    }
    for (size_t i = 0; i < d->list.count; i++) {
        tell_server(d, "server", i);
    }
    if (d->list.count == 0) {
        tell_none(d);
    }
    if (by_name && !uri->stun) {
        probe_discover_zone(d);
    } else if (by_name) {
        discover_behaviour(d);
    }
    if (!uri->stun) {
        probe_discover_anycast(d);
    }
    return 0;
}

int probe_discover_run(const struct probe_discover_plan *plan, struct probe_report *report,
                       const char **out_why)
{
    struct discover *d = mem_new(1, sizeof(*d));
    int err = -ENOMEM;

    if (d == NULL) {
        return err;
    }
    d->plan = plan;
    d->report = report;
    d->random = crypto_random_new();
    if (d->random != NULL) {
        err = discover(d, out_why);
    }
    crypto_random_free(d->random);
    free(d);
    return err;
}

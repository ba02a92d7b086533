/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of the DNS as text: what a zone file would say. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cmd/probe_discover_int.h"

enum {
    RECORD_TEXT = 1024,
    RECORDS_TEXT =
        PROBE_NOTE_TEXT - PROBE_DNS_NAME - 64, /* with the name before, and a word behind */
};

static void write_naptr(const struct probe_dns_naptr *naptr, char out[RECORD_TEXT])
{
    const struct probe_shown flags = probe_shown_of(bytes_of(naptr->flags));
    const struct probe_shown service = probe_shown_of(bytes_of(naptr->service));
    const struct probe_shown next = probe_shown_of(bytes_of(naptr->replacement));

    snprintf(out, RECORD_TEXT, "%u %u \"%.16s\" \"%.300s\" \"%s\" %.500s.", naptr->order,
             naptr->preference, flags.text, service.text, naptr->regexp ? "..." : "",
             strcmp(next.text, ".") == 0 ? "" : next.text);
}

static void write_record(const struct probe_dns_answer *answer, size_t i, char out[RECORD_TEXT])
{
    const struct probe_dns_srv *srv = &answer->record[i].srv;
    char ip[NET_ADDR_TEXT];

    switch (answer->type) {
    case PROBE_DNS_SRV:
        snprintf(out, RECORD_TEXT, "%u %u %u %.500s.", srv->priority, srv->weight, srv->port,
                 strcmp(srv->target, ".") == 0 ? "" : probe_shown_of(bytes_of(srv->target)).text);
        break;
    case PROBE_DNS_NAPTR:
        write_naptr(&answer->record[i].naptr, out);
        break;
    case PROBE_DNS_A:
    case PROBE_DNS_AAAA:
    default:
        snprintf(out, RECORD_TEXT, "%s", net_ip_text(&answer->record[i].ip, ip));
        break;
    }
}

static void tell_records(struct probe_note *note, const struct probe_dns_answer *answer)
{
    char text[RECORDS_TEXT];
    char record[RECORD_TEXT];
    json_t *records = json_array();
    struct writer w = writer_over((uint8_t *)text, sizeof(text) - 1);

    for (size_t i = 0; i < answer->count; i++) {
        write_record(answer, i, record);
        (void)json_array_append_new(records, json_string(record));
        writer_bytes(&w, bytes_of(i == 0 ? "" : " | "));
        writer_bytes(&w, bytes_of(record));
    }
    text[w.len] = '\0';
    (void)json_object_set_new(note->values, "records", records);
    probe_note_say(note, PROBE_OK, NULL, "%s: %s%s%s", answer->name, text,
                   answer->alias ? " (by an alias)" : "", answer->cut || w.full ? " and more" : "");
}

void probe_discover_tell(struct probe_note *note, const struct probe_dns_answer *answer)
{
    probe_note_text(note, "name", bytes_of(answer->name));
    switch (answer->status) {
    case PROBE_DNS_FOUND:
        tell_records(note, answer);
        break;
    case PROBE_DNS_EMPTY:
        probe_note_say(note, PROBE_OK, NULL, "%s: none", answer->name);
        break;
    case PROBE_DNS_NO_NAME:
        probe_note_say(note, PROBE_OK, NULL, "%s: no such name", answer->name);
        break;
    case PROBE_DNS_FAILED:
    default:
        probe_note_say(note, PROBE_FAILED,
                       "The DNS server does not answer, or not for this domain: look at this "
                       "host's resolv.conf and at the servers of the domain, or ask another one "
                       "with --dns ADDRESS.",
                       "%s: %s", answer->name, answer->why);
        break;
    }
}

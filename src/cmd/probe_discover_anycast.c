/* SPDX-License-Identifier: Apache-2.0 */
/* The last resort of RFC 8155: an Allocate request to an anycast address, which the server nearest
 * to us answers with 300 and its own address. */
#include <errno.h>
#include <string.h>

#include "cmd/probe_advice.h"
#include "cmd/probe_client.h"
#include "cmd/probe_discover_int.h"
#include "wire/stun_code.h"

enum { ANYCAST_PORT = 3478 };

/* RFC 8155 section 8. */
static const char *const addresses[] = {"192.0.0.10", "2001:1::2"};

static void judge(struct probe_note *note, const char *address, const struct probe_reply *reply)
{
    char text[NET_ADDR_TEXT];

    probe_note_count(note, "code", (uint64_t)reply->code);
    if (reply->code == STUN_TRY_ALTERNATE && reply->alternate.family != NET_NONE) {
        probe_note_addr(note, "alternate", &reply->alternate);
        probe_note_say(note, PROBE_OK, NULL, "%s: the TURN server of this network is %s", address,
                       net_addr_text(&reply->alternate, text));
    } else if (reply->code == STUN_UNAUTHENTICATED) { /* RFC 8656 section 7.2, check 1 */
        probe_note_say(note, PROBE_OK, NULL,
                       "%s: there is a TURN server in this network; it tells its address to those "
                       "who have credentials for it (-u USER)",
                       address);
    } else {
        probe_note_say(note, PROBE_WARNING,
                       "RFC 8155 section 6 has an anycast server answer 300 with its own address: "
                       "the next packet may get to another one.",
                       "%s: there is a server, but it answers %d in place of 300", address,
                       reply->code);
    }
}

static void try_one(struct discover *d, const char *address)
{
    const struct probe_request request = {.method = STUN_ALLOCATE, .sign = true, .transport = true};
    const struct probe_request release = {
        .method = STUN_REFRESH, .sign = true, .has_lifetime = true};
    struct probe_client *client = NULL;
    struct probe_result result = {.sent_count = 0};
    struct probe_note note;
    struct net_ip ip;

    probe_note_init(&note);
    probe_note_text(&note, "address", bytes_of(address));
    int err = net_ip_parse(address, &ip);
    if (err == 0) {
        const struct net_addr server = net_addr_make(&ip, ANYCAST_PORT);
        err = probe_client_new(&server, d->plan->user, d->plan->password, d->plan->timeout_ms,
                               &client);
    }
    if (err == 0) {
        err = probe_client_call(client, &request, &result);
    }
    note.took_us = result.rtt_us;
    if (err < 0) {
        probe_note_say(&note, PROBE_OK, NULL, "%s: no server in this network (%s)", address,
                       strerror(-err));
    } else {
        judge(&note, address, &result.reply);
        if (result.reply.code == 0 && probe_client_call(client, &release, &result) < 0) {
            probe_note_flag(&note, "released", false); /* it ends by itself */
        }
    }
    probe_report_add(d->report, "anycast", &note);
    probe_note_fini(&note);
    probe_client_free(client);
}

void probe_discover_anycast(struct discover *d)
{
    if (!d->plan->anycast) {
        probe_discover_say(d, "anycast", PROBE_SKIPPED, NULL,
                           "192.0.0.10 and 2001:1::2, the last resort of RFC 8155, are tried with "
                           "--anycast alone");
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
        try_one(d, addresses[i]);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_nat.h"

#include <errno.h>
#include <string.h>

#include "cmd/probe_advice.h"
#include "cmd/probe_client.h"
#include "cmd/probe_nat_int.h"
#include "cmd/probe_report.h"
#include "wire/stun_code.h"

typedef void (*nat_step_fn)(struct nat *n, struct probe_note *note);

static int ask(const struct nat *n, enum probe_nat_socket socket, enum probe_nat_change change,
               const struct net_addr *to, struct probe_nat_answer *out)
{
    const struct probe_nat_ask what = {.socket = socket, .change = change, .to = *to};

    *out = (struct probe_nat_answer){.code = 0};
    return n->net->ask(n->net->arg, &what, out);
}

static void tell_error(struct probe_note *note, int err)
{
    probe_note_say(note, PROBE_FAILED, probe_advice_errno(err), "%s", strerror(-err));
}

/* RFC 5780 section 4.2. */
static void step_udp(struct nat *n, struct probe_note *note)
{
    struct probe_nat_answer answer;
    const struct net_addr *local = &n->net->local[PROBE_NAT_MAPPING];
    char text[2][NET_ADDR_TEXT];
    const int err = ask(n, PROBE_NAT_MAPPING, PROBE_NAT_SAME, &n->server, &answer);

    if (err == -ETIMEDOUT) {
        probe_note_say(note, PROBE_FAILED,
                       "Either the server is not running there, or this network blocks UDP. If "
                       "other servers do not answer either, calls from here need TURN over TCP or "
                       "TLS (turn:HOST?transport=tcp, or turns:HOST:443).",
                       "no answer over UDP");
        return;
    }
    if (err < 0) {
        tell_error(note, err);
        return;
    }
    if (answer.code != 0 || answer.mapped.family == NET_NONE) {
        probe_note_say(note, PROBE_FAILED,
                       "This server does not answer plain Binding requests (no-stun or "
                       "secure-stun): probe another one.",
                       "UDP gets through, but the response (%d) does not tell our address",
                       answer.code);
        return;
    }
    n->first = answer;
    n->done |= NAT_UDP;
    n->translated = !net_addr_equal(&answer.mapped, local);
    probe_note_addr(note, "mapped", &answer.mapped);
    probe_note_addr(note, "local", local);
    probe_note_flag(note, "nat", n->translated);
    probe_note_flag(note, "port_kept", answer.mapped.port == local->port);
    if (n->translated) {
        probe_note_say(note, PROBE_OK, NULL,
                       "UDP gets through; the server sees us as %s: a NAT changes our %s",
                       net_addr_text(&answer.mapped, text[0]), net_addr_text(local, text[1]));
    } else {
        probe_note_say(note, PROBE_OK, NULL, "UDP gets through; no NAT changes our %s",
                       net_addr_text(local, text[1]));
    }
}

/* RFC 5780 section 7.4: a server with two addresses tells the other one. */
static void step_support(struct nat *n, struct probe_note *note)
{
    const struct net_addr *other = &n->first.other;
    const struct net_addr *origin = &n->first.origin;
    char text[2][NET_ADDR_TEXT];

    probe_note_flag(note, "supported", other->family != NET_NONE);
    if (other->family == NET_NONE) {
        probe_note_say(note, PROBE_FAILED,
                       "Probe a server that has it: with sterna, set rfc5780 and two listening-ip "
                       "addresses of a family.",
                       "the server has no OTHER-ADDRESS, so no behaviour discovery (RFC 5780): "
                       "what stands above is all that can be told");
        return;
    }
    probe_note_addr(note, "other", other);
    if (other->family != n->server.family || other->port == 0 ||
        net_ip_equal(&other->ip, &n->server.ip) || other->port == n->server.port) {
        probe_note_say(note, PROBE_FAILED,
                       "RFC 5780 section 7.4 has it differ from the server's own in both address "
                       "and port; with a server behind a NAT, set external-ip for each address.",
                       "OTHER-ADDRESS %s is of no use with the server's own %s",
                       net_addr_text(other, text[0]), net_addr_text(&n->server, text[1]));
        return;
    }
    n->done |= NAT_SUPPORTED;
    if (origin->family != NET_NONE && !net_addr_equal(origin, &n->first.from)) {
        probe_note_addr(note, "origin", origin);
        probe_note_say(note, PROBE_WARNING,
                       "The server stands behind a NAT itself, which may make the findings below "
                       "wrong: set external-ip, or give it public addresses.",
                       "the server thinks that it answers from %s, but its answer came from %s",
                       net_addr_text(origin, text[0]), net_addr_text(&n->first.from, text[1]));
        return;
    }
    probe_note_say(note, PROBE_OK, NULL, "the server has a second address, %s",
                   net_addr_text(other, text[0]));
}

static const char *text_of(enum probe_nat_behaviour behaviour)
{
    static const char *const texts[] = {
        [PROBE_NAT_UNKNOWN] = "unknown",
        [PROBE_NAT_INDEPENDENT] = "endpoint-independent",
        [PROBE_NAT_ADDRESS] = "address-dependent",
        [PROBE_NAT_ADDRESS_AND_PORT] = "address-and-port-dependent",
    };

    return texts[behaviour];
}

/* The mapped address that a server at `to` sees.  False when it cannot be had, which is told. */
static bool mapped_at(const struct nat *n, const struct net_addr *to, struct net_addr *out,
                      struct probe_note *note)
{
    struct probe_nat_answer answer;
    char text[NET_ADDR_TEXT];
    const int err = ask(n, PROBE_NAT_MAPPING, PROBE_NAT_SAME, to, &answer);

    if (err == 0 && answer.code == 0 && answer.mapped.family != NET_NONE) {
        *out = answer.mapped;
        return true;
    }
    if (err < 0 && err != -ETIMEDOUT) {
        tell_error(note, err);
        return false;
    }
    probe_note_say(note, PROBE_FAILED,
                   "The server says that this address is its own, but does not serve there: it "
                   "does not listen on it, or a firewall before it drops UDP to this port.",
                   "mapping unknown: no answer from %s", net_addr_text(to, text));
    return false;
}

/* RFC 5780 section 4.3, tests II and III. */
static enum probe_nat_behaviour find_mapping(const struct nat *n, struct probe_note *note)
{
    struct net_addr to = n->first.other;
    struct net_addr second;
    struct net_addr third;

    to.port = n->server.port;
    if (!mapped_at(n, &to, &second, note)) {
        return PROBE_NAT_UNKNOWN;
    }
    probe_note_addr(note, "second", &second);
    if (net_addr_equal(&second, &n->first.mapped)) {
        return PROBE_NAT_INDEPENDENT;
    }
    if (!mapped_at(n, &n->first.other, &third, note)) {
        return PROBE_NAT_UNKNOWN;
    }
    probe_note_addr(note, "third", &third);
    return net_addr_equal(&third, &second) ? PROBE_NAT_ADDRESS : PROBE_NAT_ADDRESS_AND_PORT;
}

static void step_mapping(struct nat *n, struct probe_note *note)
{
    static const char *const meanings[] = {
        [PROBE_NAT_INDEPENDENT] = "one public address, whoever we speak to",
        [PROBE_NAT_ADDRESS] = "another public address for each host that we speak to",
        [PROBE_NAT_ADDRESS_AND_PORT] = "another public address for each port that we speak to",
    };

    n->mapping = find_mapping(n, note);
    if (n->mapping == PROBE_NAT_UNKNOWN) {
        return;
    }
    probe_note_text(note, "mapping", bytes_of(text_of(n->mapping)));
    probe_note_say(note, PROBE_OK, NULL, "%s: %s", text_of(n->mapping),
                   n->translated ? meanings[n->mapping] : "our own address, unchanged");
}

/* What has come of a request to be answered from elsewhere. */
enum outcome { CAME, SILENCE, REFUSED };

/* Ask on `socket` to be answered from elsewhere.  REFUSED is told. */
static enum outcome elsewhere(const struct nat *n, enum probe_nat_socket socket,
                              enum probe_nat_change change, struct probe_note *note)
{
    struct probe_nat_answer answer;
    char text[NET_ADDR_TEXT];
    const int err = ask(n, socket, change, &n->server, &answer);

    if (err == -ETIMEDOUT) {
        return SILENCE;
    }
    if (err < 0) {
        tell_error(note, err);
        return REFUSED;
    }
    if (answer.code != 0) {
        probe_note_say(note, PROBE_FAILED,
                       "The server tells an OTHER-ADDRESS, but does not take CHANGE-REQUEST.",
                       "filtering unknown: the server refuses to answer from elsewhere (%d)",
                       answer.code);
        return REFUSED;
    }
    const bool other_ip = !net_ip_equal(&answer.from.ip, &n->server.ip);
    const bool other_port = answer.from.port != n->server.port;
    if (!other_port || other_ip != (change == PROBE_NAT_IP_AND_PORT)) {
        probe_note_say(note, PROBE_FAILED,
                       "The server ignores CHANGE-REQUEST, or a NAT before it hides from where it "
                       "answers.",
                       "filtering unknown: asked to answer from elsewhere, the server answers "
                       "from %s",
                       net_addr_text(&answer.from, text));
        return REFUSED;
    }
    return CAME;
}

/* RFC 5780 section 4.4. */
static enum probe_nat_behaviour find_filtering(const struct nat *n, struct probe_note *note)
{
    struct probe_nat_answer answer;
    const int err = ask(n, PROBE_NAT_FILTERING, PROBE_NAT_SAME, &n->server, &answer);

    if (err < 0) {
        tell_error(note, err);
        return PROBE_NAT_UNKNOWN;
    }
    enum outcome outcome = elsewhere(n, PROBE_NAT_FILTERING, PROBE_NAT_IP_AND_PORT, note);
    if (outcome != SILENCE) {
        return outcome == CAME ? PROBE_NAT_INDEPENDENT : PROBE_NAT_UNKNOWN;
    }
    outcome = elsewhere(n, PROBE_NAT_FILTERING, PROBE_NAT_PORT, note);
    if (outcome == REFUSED) {
        return PROBE_NAT_UNKNOWN;
    }
    return outcome == CAME ? PROBE_NAT_ADDRESS : PROBE_NAT_ADDRESS_AND_PORT;
}

static void step_filtering(struct nat *n, struct probe_note *note)
{
    static const char *const meanings[] = {
        [PROBE_NAT_INDEPENDENT] = "whoever knows our public address gets in",
        [PROBE_NAT_ADDRESS] = "only hosts that we have sent to get in",
        [PROBE_NAT_ADDRESS_AND_PORT] = "only ports of hosts that we have sent to get in",
    };

    n->filtering = find_filtering(n, note);
    if (n->filtering == PROBE_NAT_UNKNOWN) {
        return;
    }
    probe_note_text(note, "filtering", bytes_of(text_of(n->filtering)));
    probe_note_say(note, PROBE_OK, NULL, "%s: %s", text_of(n->filtering), meanings[n->filtering]);
}

/* Was it the NAT that kept the answers away, and not the server?  Where the NAT maps all to one
 * address, to have sent to the server's other address must let them in; where it does not, nothing
 * can be said. */
static void step_check(struct nat *n, struct probe_note *note)
{
    struct probe_nat_answer answer;

    if (n->mapping != PROBE_NAT_INDEPENDENT || n->filtering <= PROBE_NAT_INDEPENDENT) {
        probe_note_say(note, PROBE_SKIPPED, NULL, "not needed");
        return;
    }
    const int err = ask(n, PROBE_NAT_CHECKING, PROBE_NAT_SAME, &n->first.other, &answer);
    if (err == 0 && elsewhere(n, PROBE_NAT_CHECKING, PROBE_NAT_IP_AND_PORT, note) == CAME) {
        probe_note_say(note, PROBE_OK, NULL,
                       "answers from elsewhere come in once our side has opened the way");
        return;
    }
    n->filtering = PROBE_NAT_UNKNOWN;
    probe_note_say(note, PROBE_FAILED,
                   "The server does not send answers from its other address, or a firewall before "
                   "it drops them: what stands above of filtering does not count.",
                   "no answer from elsewhere, although our side is open for it");
}

static void step_hairpin(struct nat *n, struct probe_note *note)
{
    struct net_addr mapped[PROBE_NAT_PAIR] = {n->first.mapped};
    struct probe_nat_answer answer;
    int passes = ask(n, PROBE_NAT_FILTERING, PROBE_NAT_SAME, &n->server, &answer);

    if (passes == 0) {
        mapped[PROBE_NAT_FILTERING] = answer.mapped;
        passes = n->net->hairpin(n->net->arg, mapped);
    }
    if (passes < 0) {
        probe_note_say(note, PROBE_WARNING, NULL, "cannot be told: %s", strerror(-passes));
        return;
    }
    probe_note_flag(note, "hairpin", passes > 0);
    probe_note_say(note, PROBE_OK, NULL, "%s",
                   passes > 0 ? "hosts behind this NAT reach each other by their public addresses"
                              : "hosts behind this NAT do not reach each other by their public "
                                "addresses, only by those inside or through TURN");
}

static void step_lifetime(struct nat *n, struct probe_note *note)
{
    (void)n;
    probe_note_say(note, PROBE_SKIPPED, NULL,
                   "not measured, it would take many minutes (RFC 5780 section 4.6); something "
                   "sent every 15 seconds keeps most NATs open");
}

static const struct {
    const char *name;
    unsigned needs;
    bool nat_only; /* pointless where there is no NAT */
    nat_step_fn run;
} steps[] = {
    {"udp", 0, false, step_udp},
    {"rfc 5780", NAT_UDP, false, step_support},
    {"filtering", NAT_UDP | NAT_SUPPORTED, false, step_filtering}, /* before all that opens it */
    {"mapping", NAT_UDP | NAT_SUPPORTED, false, step_mapping},
    {"cross-check", NAT_UDP | NAT_SUPPORTED, false, step_check},
    {"hairpin", NAT_UDP, true, step_hairpin},
    {"binding lifetime", NAT_UDP, true, step_lifetime},
    {"verdict", NAT_UDP, false, probe_nat_verdict},
};

int probe_nat_run(const struct probe_nat_net *net, const struct net_addr *server,
                  struct probe_report *report)
{
    struct nat n = {.net = net, .server = *server};

    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        struct probe_note note;
        const unsigned missing = steps[i].needs & ~n.done;
        probe_note_init(&note);
        if (missing != 0) {
            probe_note_say(&note, PROBE_SKIPPED, NULL, "%s",
                           (missing & NAT_UDP) != 0 ? "the server did not answer"
                                                    : "the server has no behaviour discovery");
        } else if (steps[i].nat_only && !n.translated) {
            probe_note_say(&note, PROBE_SKIPPED, NULL, "no NAT");
        } else {
            const uint64_t start = probe_client_now_us();
            steps[i].run(&n, &note);
            note.took_us = probe_client_now_us() - start;
        }
        probe_report_add(report, steps[i].name, &note);
        probe_note_fini(&note);
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What mapping and filtering mean for calls that ICE sets up (RFC 5780 section 4.5, RFC 4787). */
#include "cmd/probe_nat_int.h"
#include "cmd/probe_report.h"

/* The names of RFC 3489, by which many know NATs. */
static const char *old_name(const struct nat *n)
{
    if (n->mapping == PROBE_NAT_UNKNOWN) {
        return n->translated ? "NAT of unknown kind" : "no NAT";
    }
    if (n->mapping != PROBE_NAT_INDEPENDENT) {
        return "symmetric NAT";
    }
    switch (n->filtering) {
    case PROBE_NAT_INDEPENDENT:
        return n->translated ? "full cone NAT" : "no NAT";
    case PROBE_NAT_ADDRESS:
        return n->translated ? "restricted cone NAT" : "no NAT, but a firewall";
    case PROBE_NAT_ADDRESS_AND_PORT:
        return n->translated ? "port restricted cone NAT" : "no NAT, but a firewall";
    case PROBE_NAT_UNKNOWN:
    default:
        return n->translated ? "cone NAT" : "no NAT";
    }
}

static void say(struct nat *n, struct probe_note *note, const char *calls, const char *text)
{
    probe_note_text(note, "kind", bytes_of(old_name(n)));
    probe_note_text(note, "direct_calls", bytes_of(calls));
    probe_note_say(note, PROBE_OK, NULL, "%s: %s", old_name(n), text);
}

/* Every packet leaves under the same public address. */
static void say_independent(struct nat *n, struct probe_note *note)
{
    switch (n->filtering) {
    case PROBE_NAT_INDEPENDENT:
        say(n, note, "yes",
            "direct calls work, whatever NAT the other side has; no TURN needed on this side");
        break;
    case PROBE_NAT_ADDRESS:
        say(n, note, "likely",
            "direct calls (WebRTC, SIP with ICE) are likely with all kinds of NAT on the other "
            "side; keep TURN for networks without UDP");
        break;
    case PROBE_NAT_ADDRESS_AND_PORT:
    case PROBE_NAT_UNKNOWN:
    default:
        say(n, note, "likely",
            "direct calls (WebRTC, SIP with ICE) are likely, but not with others behind a "
            "symmetric NAT: those need TURN");
        break;
    }
}

void probe_nat_verdict(struct nat *n, struct probe_note *note)
{
    switch (n->mapping) {
    case PROBE_NAT_INDEPENDENT:
        say_independent(n, note);
        break;
    case PROBE_NAT_ADDRESS:
    case PROBE_NAT_ADDRESS_AND_PORT:
        say(n, note, "unlikely",
            "direct calls (WebRTC, SIP with ICE) only work with others that are openly reachable; "
            "calls between here and most other networks need TURN");
        break;
    case PROBE_NAT_UNKNOWN:
    default:
        say(n, note, "unknown",
            n->translated ? "whether direct calls work cannot be told without behaviour discovery; "
                            "TURN is needed in any case where others have a symmetric NAT"
                          : "our address is public or the server is near; a firewall may still "
                            "keep others out, which cannot be told without behaviour discovery");
        break;
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a probe that ask the server for something. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd/probe_advice.h"
#include "cmd/probe_int.h"
#include "turn/gate.h"
#include "wire/stun_code.h"

void probe_steps_tell(struct probe_note *note, int err, const struct probe_result *result)
{
    const struct probe_reply *reply = &result->reply;

    switch (-err) {
    case 0:
        probe_note_count(note, "code", (uint64_t)reply->code);
        probe_note_say(note, PROBE_FAILED, probe_advice_code(reply->code), "%d %s", reply->code,
                       probe_shown_of(reply->reason).text);
        break;
    case ETIMEDOUT:
        probe_note_say(note, PROBE_FAILED, probe_advice_errno(err), "no answer to %u requests",
                       result->sent_count);
        break;
    case EPERM: /* RFC 8489 section 9.2.5: discarded, as if it had never come */
        probe_note_say(note, PROBE_FAILED, probe_advice_errno(err),
                       "no answer that is signed with our password; the last one said %d %s",
                       reply->code, probe_shown_of(reply->reason).text);
        break;
    default:
        probe_note_say(note, PROBE_FAILED, probe_advice_errno(err), "%s", strerror(-err));
        break;
    }
}

/* True when `err` and `result` are those of a success; tells of all else. */
static bool succeeded(struct probe_note *note, int err, const struct probe_result *result)
{
    if (err == 0 && result->reply.code == 0) {
        return true;
    }
    probe_steps_tell(note, err, result);
    return false;
}

uint32_t probe_steps_binding(struct probe *p, struct probe_note *note)
{
    const struct net_addr *local = probe_client_local(p->side[SIDE_A]);
    const struct probe_request request = {.method = STUN_BINDING};
    struct probe_result result;
    char text[2][NET_ADDR_TEXT];
    const int err = probe_client_call(p->side[SIDE_A], &request, &result);

    if (err == 0 && result.reply.code != 0) { /* secure-stun, no-stun: TURN may work all the same */
        probe_steps_tell(note, err, &result);
        note->mark = p->plan->stun_only ? PROBE_FAILED : PROBE_WARNING;
        return FACT_ANSWER;
    }
    if (!succeeded(note, err, &result)) {
        return 0;
    }
    const struct net_addr *mapped = &result.reply.mapped;
    if (mapped->family == NET_NONE) {
        probe_note_say(note, PROBE_FAILED, "This is no STUN server of RFC 5389 or later.",
                       "the response has no XOR-MAPPED-ADDRESS");
        return FACT_ANSWER;
    }
    const bool nat = !net_addr_equal(mapped, local);
    probe_note_addr(note, "mapped", mapped);
    probe_note_addr(note, "local", local);
    probe_note_flag(note, "nat", nat);
    if (nat) {
        probe_note_say(note, PROBE_OK, NULL, "the server sees us as %s: a NAT changes our %s",
                       net_addr_text(mapped, text[0]), net_addr_text(local, text[1]));
    } else {
        probe_note_say(note, PROBE_OK, NULL, "the server sees us as %s: no NAT in between",
                       net_addr_text(mapped, text[0]));
    }
    if (result.sent_count > 1) {
        probe_note_say(note, PROBE_WARNING, "Packets get lost on the way.",
                       "the server sees us as %s, but only request number %u was answered",
                       net_addr_text(mapped, text[0]), result.sent_count);
    }
    return FACT_ANSWER;
}

static const char *algorithm_text(const struct probe_auth *auth)
{
    switch (auth->algorithm) {
    case PROBE_SHA256:
        return auth->userhash ? "SHA-256, hashed user names" : "SHA-256";
    case PROBE_MD5:
        return auth->userhash ? "MD5 (RFC 8489), hashed user names" : "MD5 (RFC 8489)";
    case PROBE_RFC5389:
    default:
        return "MD5 (RFC 5389)";
    }
}

/* The server gave a stranger an allocation. */
static uint32_t open_relay(struct probe *p, struct probe_note *note)
{
    const struct probe_request release = {.method = STUN_REFRESH, .has_lifetime = true};
    struct probe_result result;
    const int err = probe_client_call(p->stranger, &release, &result);

    probe_note_flag(note, "open", true);
    probe_note_say(note, PROBE_WARNING,
                   "Unless this is meant (no-auth), configure users or secrets: lt-cred-mech with "
                   "user lines or userdb, or static-auth-secret.",
                   "the server relays for anybody, without credentials");
    if (err < 0 || result.reply.code != 0) {
        probe_steps_tell(note, err, &result);
        return 0;
    }
    return FACT_ADMITTED;
}

static void tell_challenge(const struct probe *p, struct probe_note *note,
                           const struct probe_result *result)
{
    static const double high = 10;
    const struct probe_auth *auth = probe_client_auth(p->stranger);
    const double ratio = (double)result->received_bytes / (double)result->sent_bytes;
    const struct probe_shown realm = probe_shown_of(result->reply.realm);

    probe_note_text(note, "realm", result->reply.realm);
    probe_note_text(note, "algorithm", bytes_of(algorithm_text(auth)));
    probe_note_flag(note, "nonce_cookie", probe_auth_features(result->reply.nonce).cookie);
    probe_note_count(note, "bytes_out", result->sent_bytes);
    probe_note_count(note, "bytes_in", result->received_bytes);
    if (result->reply.software.p != NULL) {
        probe_note_text(note, "software", result->reply.software);
    }
    probe_note_say(
        note, ratio > high ? PROBE_WARNING : PROBE_OK,
        ratio > high ? "Who forges source addresses can use such large responses as a "
                       "weapon: shorten the realm, take software-attribute out."
                     : NULL,
        "401 as it should be: realm \"%s\", %s; the response is %.1f times as large as the "
        "request",
        realm.text, algorithm_text(auth), ratio);
}

uint32_t probe_steps_challenge(struct probe *p, struct probe_note *note)
{
    const struct probe_request request = {.method = STUN_ALLOCATE, .transport = true};
    struct probe_result result;
    int err = probe_client_call(p->stranger, &request, &result);

    if (err == 0 && result.reply.code == 0) {
        return open_relay(p, note);
    }
    if (err < 0 || result.reply.code != STUN_UNAUTHENTICATED) {
        probe_steps_tell(note, err, &result);
        return 0;
    }
    err = probe_client_learn(p->stranger, &result.reply);
    if (err < 0) {
        probe_steps_tell(note, err, &result);
        return 0;
    }
    tell_challenge(p, note, &result);
    if (p->plan->user == NULL) {
        note->advice = "To go on, give a user with -u USER --password-stdin, or --secret-stdin.";
        return 0;
    }
    return FACT_ADMITTED;
}

/* Allocate on one side.  Over IPv6 an IPv6 relay is asked for: without the attribute the server
 * would give an IPv4 one (RFC 8656 section 7.2). */
static bool allocate(struct probe *p, int side, struct probe_note *note)
{
    const struct probe_request request = {
        .method = STUN_ALLOCATE,
        .sign = true,
        .transport = true,
        .family = p->plan->server.family == NET_V6 ? NET_V6 : NET_NONE,
        .has_ticket = p->plan->kind == PROBE_MOBILITY && side == SIDE_A,
    };
    struct probe_result result;
    char text[NET_ADDR_TEXT];
    const int err = probe_client_call(p->side[side], &request, &result);

    if (err == 0 && result.reply.code == STUN_TRY_ALTERNATE &&
        result.reply.alternate.family != NET_NONE) {
        probe_note_addr(note, "alternate", &result.reply.alternate);
        probe_note_say(note, PROBE_FAILED, probe_advice_code(STUN_TRY_ALTERNATE),
                       "300 Try Alternate: %s", net_addr_text(&result.reply.alternate, text));
        return false;
    }
    if (!succeeded(note, err, &result)) {
        return false;
    }
    if (result.reply.relayed.family == NET_NONE) {
        probe_note_say(note, PROBE_FAILED, "This is no TURN server of RFC 5766 or later.",
                       "the response has no XOR-RELAYED-ADDRESS");
        return false;
    }
    p->relay[side] = result.reply.relayed;
    if (side == SIDE_A) {
        probe_mobility_keep(p, &result.reply);
    }
    probe_note_addr(note, "relayed", &result.reply.relayed);
    probe_note_count(note, "lifetime_s", result.reply.lifetime_s);
    probe_note_say(note, PROBE_OK, NULL, "relayed address %s for %u s",
                   net_addr_text(&result.reply.relayed, text), result.reply.lifetime_s);
    return true;
}

uint32_t probe_steps_allocate_a(struct probe *p, struct probe_note *note)
{
    return allocate(p, SIDE_A, note) ? FACT_RELAY_A : 0;
}

uint32_t probe_steps_allocate_b(struct probe *p, struct probe_note *note)
{
    return allocate(p, SIDE_B, note) ? FACT_RELAY_B : 0;
}

/* A relayed address that peers cannot reach, although clients reach the server at a public one. */
uint32_t probe_steps_address(struct probe *p, struct probe_note *note)
{
    const struct net_ip *relay = &p->relay[SIDE_A].ip;
    const struct net_ip *server = &p->plan->server.ip;
    const enum gate_verdict of_relay = gate_check_ip(p->gate, relay);
    const enum gate_verdict of_server = gate_check_ip(p->gate, server);
    char text[2][NET_ADDR_TEXT];

    probe_note_flag(note, "public", of_relay == GATE_OPEN);
    if (of_relay == GATE_UNSPECIFIED || (of_relay != GATE_OPEN && of_server == GATE_OPEN)) {
        probe_note_say(note, PROBE_FAILED,
                       "The server stands behind a NAT and does not know its public address: set "
                       "external-ip to it (external-ip=PUBLIC/PRIVATE), so that peers are told an "
                       "address that they can reach.",
                       "%s is no public address, but the server's %s is",
                       net_ip_text(relay, text[0]), net_ip_text(server, text[1]));
    } else if (of_relay != GATE_OPEN) {
        probe_note_say(note, PROBE_OK, NULL, "%s is no public address, as the server's own is not",
                       net_ip_text(relay, text[0]));
    } else {
        probe_note_say(note, PROBE_OK, NULL, "%s is a public address", net_ip_text(relay, text[0]));
    }
    return 0;
}

uint32_t probe_steps_permission(struct probe *p, struct probe_note *note)
{
    for (int i = 0; i < SIDES; i++) {
        const struct probe_request request = {
            .method = STUN_CREATE_PERMISSION,
            .sign = true,
            .peer = p->relay[SIDES - 1 - i],
        };
        struct probe_result result;
        const int err = probe_client_call(p->side[i], &request, &result);
        if (!succeeded(note, err, &result)) {
            if (err == 0 && result.reply.code == STUN_FORBIDDEN) {
                note->advice =
                    "The server forbids its own relayed address as a peer, so that two of "
                    "its clients could not reach each other. When that address is private "
                    "on purpose, set allow-private-peers or an allowed-peer-ip line; on "
                    "loopback, allow-loopback-peers.";
            }
            return 0;
        }
    }
    probe_note_say(note, PROBE_OK, NULL, "each relay may reach the other");
    return FACT_PERMITTED;
}

uint32_t probe_steps_channel(struct probe *p, struct probe_note *note)
{
    for (int i = 0; i < SIDES; i++) {
        const struct probe_request request = {
            .method = STUN_CHANNEL_BIND,
            .sign = true,
            .channel = (uint16_t)(PROBE_CHANNEL + i),
            .peer = p->relay[SIDES - 1 - i],
        };
        struct probe_result result;
        const int err = probe_client_call(p->side[i], &request, &result);
        if (!succeeded(note, err, &result)) {
            return 0;
        }
    }
    probe_note_say(note, PROBE_OK, NULL, "a channel bound on each side");
    return FACT_CHANNELS;
}

static const struct {
    uint8_t family;
    bool loopback;
    const char *ip;
    const char *what;
} forbidden[] = {
    {NET_V4, true, "127.0.0.1", "its own loopback address"},
    {NET_V4, false, "169.254.169.254", "the metadata service of a cloud"},
    {NET_V6, true, "::1", "its own loopback address"},
    {NET_V6, false, "fe80::1", "link-local addresses"},
    {NET_V6, false, "::ffff:169.254.169.254", "the metadata service of a cloud, written as IPv6"},
};

/* What a relay must not open, whoever asks (RFC 8656 section 21.2).  No data is sent there. */
uint32_t probe_steps_forbidden(struct probe *p, struct probe_note *note)
{
    const bool local = gate_check_ip(p->gate, &p->plan->server.ip) == GATE_LOOPBACK ||
                       gate_check_ip(p->gate, &p->relay[SIDE_A].ip) == GATE_LOOPBACK;
    char refused[128] = "";

    for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++) {
        struct probe_request request = {.method = STUN_CREATE_PERMISSION, .sign = true};
        struct probe_result result;
        struct net_ip ip;
        if (forbidden[i].family != p->relay[SIDE_A].family || (forbidden[i].loopback && local) ||
            net_ip_parse(forbidden[i].ip, &ip) < 0) {
            continue;
        }
        request.peer = net_addr_make(&ip, 80);
        request.peer.family = forbidden[i].family; /* also the mapped one, in sixteen bytes */
        const int err = probe_client_call(p->side[SIDE_A], &request, &result);
        if (err < 0) {
            probe_steps_tell(note, err, &result);
            return 0;
        }
        if (result.reply.code == 0) {
            probe_note_text(note, "open", bytes_of(forbidden[i].ip));
            probe_note_say(
                note, PROBE_FAILED,
                "Whoever has credentials can reach services that are meant for that host "
                "alone. Deny this network with denied-peer-ip, and take out the line that "
                "allows it (allowed-peer-ip, allow-loopback-peers).",
                "the server opens a way to %s (%s)", forbidden[i].ip, forbidden[i].what);
            return 0;
        }
        const size_t n = strlen(refused);
        snprintf(refused + n, sizeof(refused) - n, "%s%s", n == 0 ? "" : ", ", forbidden[i].ip);
    }
    probe_note_text(note, "refused", bytes_of(refused));
    probe_note_say(note, PROBE_OK, NULL, "refused as they should be: %s%s", refused,
                   local ? " (loopback not asked for: the server itself is there)" : "");
    return 0;
}

uint32_t probe_steps_refresh(struct probe *p, struct probe_note *note)
{
    const struct probe_request release = {
        .method = STUN_REFRESH, .sign = true, .has_lifetime = true};
    const struct probe_request after = {
        .method = STUN_CREATE_PERMISSION, .sign = true, .peer = p->relay[SIDE_A]};
    struct probe_result result;

    for (int i = 0; i < SIDES; i++) {
        if (p->relay[i].family == NET_NONE) {
            continue;
        }
        const int err = probe_client_call(p->side[i], &release, &result);
        if (!succeeded(note, err, &result)) {
            return 0;
        }
    }
    const int err = probe_client_call(p->side[SIDE_A], &after, &result);
    if (err < 0 || result.reply.code != STUN_ALLOCATION_MISMATCH) {
        probe_note_say(note, PROBE_WARNING,
                       "RFC 8656 section 8.2 has an allocation deleted with its lifetime set to 0; "
                       "this server does it later.",
                       "the server still takes requests for an allocation that was deleted");
        return 0;
    }
    probe_note_say(note, PROBE_OK, NULL, "the allocations are deleted");
    return 0;
}

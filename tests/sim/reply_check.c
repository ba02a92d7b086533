/* SPDX-License-Identifier: Apache-2.0 */
/* Conformance section 6: which response carries what. */
#include <string.h>

#include "sim.h"
#include "wire/stun_code.h"

static struct bytes offered(enum turn_algorithms algorithms)
{
    static const uint8_t both[] = {0, 2, 0, 0, 0, 1, 0, 0};

    switch (algorithms) {
    case TURN_ALG_MD5:
        return (struct bytes){both + 4, 4};
    case TURN_ALG_SHA256:
        return (struct bytes){both, 4};
    case TURN_ALG_SHA256_MD5:
    default:
        return (struct bytes){both, sizeof(both)};
    }
}

/* T-8489-9.2-01, -02, T-8489-9.2.4-02, -05, -06, -17, -22, -25 */
static bool challenge_right(const struct turn_config *config, const struct expect *e,
                            const struct reply *r)
{
    const char *cookie = config->main.username_anonymity ? "obMatJos2wAAA" : "obMatJos2gAAA";

    return bytes_equal(r->realm, bytes_of(e->realm)) && r->nonce.n > 13 && r->nonce.n < 128 &&
           memcmp(r->nonce.p, cookie, 13) == 0 &&
           bytes_equal(r->algorithms, offered(config->main.algorithms));
}

static bool no_challenge(const struct reply *r)
{
    return r->realm.p == NULL && r->nonce.p == NULL && r->algorithms.p == NULL;
}

static bool integrity_right(const struct expect *e, const struct reply *r)
{
    switch (e->integrity) {
    case MODEL_MI:
        return r->has_mi && !r->has_mi256 && r->integrity_ok;
    case MODEL_MI256:
        return r->has_mi256 && !r->has_mi && r->integrity_ok;
    case MODEL_UNSIGNED:
    default:
        return !r->has_mi && !r->has_mi256;
    }
}

/* T-8489-10-03, -04: the first alternate server's name, for TLS and DTLS and under SHA-256. */
static bool domain_due(const struct sim *sim, const struct intent *in, const struct reply *r)
{
    const uint8_t transport = actor_transport(sim, &sim->pkt.remote);
    const struct turn_alternates *list = &sim->model.config->alternates[TURN_ALTERNATE_TLS];

    if (r->code != STUN_TRY_ALTERNATE || (transport != NET_TLS && transport != NET_DTLS) ||
        in->auth == CLIENT_LEGACY) {
        return false;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (net_addr_equal(&list->items[i].addr, &r->alternate[0])) {
            return list->items[i].domain[0] != '\0';
        }
    }
    return false;
}

static void check_refusal(struct sim *sim, const struct intent *in, const struct expect *e,
                          const struct reply *r)
{
    const bool challenge = r->code == STUN_UNAUTHENTICATED || r->code == STUN_STALE_NONCE;
    uint8_t unknown[2];

    be16_put(unknown, e->unknown);
    if (!bytes_equal(r->reason, bytes_of(stun_code_phrase((enum stun_code)r->code)))) {
        sim_fail(sim, "%d with another reason phrase", r->code);
    }
    if (challenge ? !challenge_right(sim->model.config, e, r) : !no_challenge(r)) {
        sim_fail(sim, "%d with a wrong challenge", r->code);
    }
    if (r->code == STUN_UNKNOWN_ATTRIBUTE
            ? !bytes_equal(r->unknown, (struct bytes){unknown, sizeof(unknown)})
            : r->unknown.p != NULL) {
        sim_fail(sim, "%d with wrong UNKNOWN-ATTRIBUTES", r->code);
    }
    if ((r->code == STUN_TRY_ALTERNATE) != (r->alternate_count > 0)) {
        sim_fail(sim, "%d with %u alternate servers", r->code, r->alternate_count);
    }
    const bool told = domain_due(sim, in, r);
    if (told ? !bytes_equal(r->domain, bytes_of(SIM_DOMAIN)) : r->domain.p != NULL) {
        sim_fail(sim, "%d with%s ALTERNATE-DOMAIN", r->code, told ? "out" : "");
    }
    sim->seen.domain_told += told;
    if (r->relayed_count > 0 || r->has_lifetime || r->has_token || r->ticket.p != NULL) {
        sim_fail(sim, "%d with what belongs to a success", r->code);
    }
}

/* T-8656-7.2-31 to -33, -41 */
static void check_allocated(struct sim *sim, const struct intent *in, const struct expect *e,
                            const struct reply *r)
{
    const bool partial =
        e->dual && !e->retransmission && (e->family[0] == NET_NONE || e->family[1] == NET_NONE);

    if (r->relayed_count == 0 || !r->has_lifetime ||
        !net_addr_equal(&r->mapped, &sim->pkt.remote)) {
        sim_fail(sim, "a success without relay, lifetime or the mapped address");
    }
    if (!e->retransmission && (r->has_token != (in->even == EVEN_RESERVE) ||
                               r->token != sim->site.new_token || r->lifetime_s != e->lifetime_s)) {
        sim_fail(sim, "granted %u s instead of %u s, or another token", r->lifetime_s,
                 e->lifetime_s);
    }
    if (!e->retransmission && !sim->options.faults && partial != (r->address_error.p != NULL)) {
        sim_fail(sim, "ADDRESS-ERROR-CODE %s", partial ? "is missing" : "without a reason");
    }
}

static bool ticket_due(const struct intent *in, const struct expect *e)
{
    if (in->kind == INTENT_ALLOCATE) {
        return e->retransmission ? e->alloc->mobile : in->ticket_use == TICKET_ASK;
    }
    return e->ticket != MODEL_NO_TICKET && (e->lifetime_s > 0 || e->survives);
}

static void check_success(struct sim *sim, const struct intent *in, const struct expect *e,
                          const struct reply *r)
{
    if (!no_challenge(r) || r->unknown.p != NULL || r->alternate_count > 0) {
        sim_fail(sim, "a success with what belongs to a refusal");
    }
    if ((r->ticket.p != NULL) != ticket_due(in, e)) { /* T-8016-3.1.2-04, -05, T-8016-3.2.2-07 */
        sim_fail(sim, "a ticket %s", r->ticket.p == NULL ? "is missing" : "too many");
    }
    if (in->kind == INTENT_ALLOCATE) {
        check_allocated(sim, in, e, r);
        return;
    }
    if (r->relayed_count > 0 || r->has_token || r->has_lifetime != (in->kind == INTENT_REFRESH) ||
        (r->connection_id != 0) != (in->kind == INTENT_CONNECT)) {
        sim_fail(sim, "a success with foreign attributes");
    }
    if (in->kind == INTENT_BINDING && (!net_addr_equal(&r->mapped, &sim->pkt.remote) ||
                                       r->has_mapped_plain != sim->model.config->mapped_address)) {
        sim_fail(sim, "Binding told %u as the client's port", r->mapped.port);
    }
}

void reply_check(struct sim *sim, const struct intent *in, const struct expect *e,
                 const struct reply *r, size_t len)
{
    static const uint16_t methods[] = {
        [INTENT_BINDING] = STUN_BINDING,           [INTENT_ALLOCATE] = STUN_ALLOCATE,
        [INTENT_REFRESH] = STUN_REFRESH,           [INTENT_PERMIT] = STUN_CREATE_PERMISSION,
        [INTENT_BIND] = STUN_CHANNEL_BIND,         [INTENT_CONNECT] = STUN_CONNECT,
        [INTENT_CONN_BIND] = STUN_CONNECTION_BIND,
    };
    const struct turn_config *config = sim->model.config;
    const bool is_signed = e->integrity != MODEL_UNSIGNED;

    if (r->msg.tid == NULL || r->msg.whole.n != len || r->msg.method != methods[in->kind] ||
        memcmp(r->msg.tid, in->tid, STUN_TID) != 0) {
        sim_fail(sim, "the answer is not one to the request");
        return;
    }
    if (r->msg.class == STUN_ERROR) {
        check_refusal(sim, in, e, r);
    } else {
        check_success(sim, in, e, r);
    }
    if (!integrity_right(e, r)) {
        sim_fail(sim, "%d with the wrong integrity", r->code);
    }
    /* Strangers are told nothing about us. */
    const bool named = config->software[0] != '\0' && (is_signed || !config->require_auth);
    if (r->has_username || (r->software.p != NULL) != named) {
        sim_fail(sim, "%d with USERNAME, or SOFTWARE wrong", r->code);
    }
    const bool fingerprint = in->fingerprint || config->always_fingerprint;
    if (r->has_fingerprint != fingerprint || r->fingerprint_last != fingerprint) {
        sim_fail(sim, "%d: FINGERPRINT is %d, not %d", r->code, r->has_fingerprint, fingerprint);
    }
    if (r->has_counter != in->counter ||
        (in->counter && r->counter != (uint32_t)in->count << 8)) { /* T-7982-3.3-02 */
        sim_fail(sim, "TRANSACTION-TRANSMIT-COUNTER %08x", r->counter);
    }
}

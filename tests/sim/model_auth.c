/* SPDX-License-Identifier: Apache-2.0 */
/* The long-term credential mechanism as conformance section 4, step 4 and section 3.5 put it. */
#include <errno.h>
#include <string.h>

#include "model.h"
#include "wire/stun_code.h"

enum nonce_state { NONCE_VALID, NONCE_STALE, NONCE_UNKNOWN };

enum { NONCE_GENERATIONS = 2, NONCE_REMEMBERED_S = 3600 };

struct net_addr model_nonce_owner(const struct net_addr *client, uint8_t transport)
{
    struct net_addr owner = *client;

    owner.port = transport == NET_TCP || transport == NET_TLS ? 0 : client->port;
    return owner;
}

static enum nonce_state nonce_state(const struct model *m, const struct model_input *at)
{
    const struct intent_nonce *nonce = &at->in->nonce;
    const struct net_addr owner = model_nonce_owner(at->from, at->transport);
    const uint64_t wall_s = at->wall_s;

    if (nonce->forged || !net_addr_equal(&nonce->issued_to, &owner) ||
        nonce->generation + NONCE_GENERATIONS <= m->nonce_generation) {
        return NONCE_UNKNOWN;
    }
    const uint64_t age_s = wall_s - nonce->issued_s;
    if (age_s > (uint64_t)m->config->nonce_s + NONCE_REMEMBERED_S) {
        return NONCE_UNKNOWN; /* so old that it proves nothing any more */
    }
    return age_s < m->config->nonce_s ? NONCE_VALID : NONCE_STALE;
}

static bool offers(enum turn_algorithms algorithms, enum client_auth auth)
{
    return auth == CLIENT_SHA256 ? algorithms != TURN_ALG_MD5 : algorithms != TURN_ALG_SHA256;
}

/* T-8489-9.2.4-12 to -16: the list sent must be the list offered with that NONCE, the choice one of
 * it.  With a NONCE that is not ours nobody can know which list that was: both answers are right.
 */
static bool algorithms_consistent(const struct intent *in, struct expect *e)
{
    if (in->auth == CLIENT_LEGACY) {
        return true;
    }
    if (!offers(in->nonce.offered, in->auth)) {
        expect_code(e, STUN_BAD_REQUEST);
        return false;
    }
    return true;
}

/* The user and the password are right as far as the server can tell now. */
static bool user_proven(struct model *m, const struct intent *in, enum nonce_state nonce,
                        struct expect *e)
{
    const bool known = in->user < MODEL_USERS && !m->user_removed[in->user];
    const struct model_alloc *own = e->conn != NULL ? e->conn->alloc : e->alloc;

    if (own != NULL && own->user == in->user && !in->wrong_password) {
        return true; /* the key that made the allocation: nobody needs to be asked */
    }
    if (m->key_answer == -EAGAIN) {
        e->wait = true;
        return false;
    }
    if (m->key_answer == -EBUSY) {
        if (nonce == NONCE_STALE) {
            expect_code(e, STUN_STALE_NONCE);
        } else {
            e->drop = true;
        }
        return false;
    }
    if (!known || in->wrong_password) {
        expect_code(e, STUN_UNAUTHENTICATED);
        return false;
    }
    return true;
}

/* That of the session; else the one that is named, if there is such a one. */
static const char *realm_of(const struct intent *in, const struct expect *e)
{
    const struct model_alloc *own = e->conn != NULL ? e->conn->alloc : e->alloc;
    const bool named =
        in->auth != CLIENT_NO_AUTH && in->missing != MISSING_REALM && !in->wrong_realm;

    if (own != NULL) {
        return users_realm(own->user);
    }
    return named ? users_realm(in->user) : SIM_REALM;
}

bool model_authenticate(struct model *m, const struct model_input *at, struct expect *e)
{
    const struct intent *in = at->in;

    e->realm = realm_of(in, e);

    if (in->auth == CLIENT_NO_AUTH) {
        expect_code(e, STUN_UNAUTHENTICATED);
        return false;
    }
    if (in->missing != MISSING_NOTHING) {
        expect_code(e, STUN_BAD_REQUEST);
        return false;
    }
    const enum nonce_state nonce = nonce_state(m, at);
    /* T-8489-9.2.4-28: not ours, or another address's: whatever the rest says. */
    if (nonce == NONCE_UNKNOWN) {
        expect_code(e, STUN_STALE_NONCE);
        return false;
    }
    if (!algorithms_consistent(in, e)) {
        return false;
    }
    /* T-8489-9.2.4-35, T-8489-18.5.1-02, T-8489-9.2.4-36 */
    if (in->wrong_realm || strcmp(users_realm(in->user), e->realm) != 0 ||
        (in->auth != CLIENT_SHA256 && m->config->main.algorithms == TURN_ALG_SHA256) ||
        (in->userhash && !m->config->main.username_anonymity)) {
        expect_code(e, STUN_UNAUTHENTICATED);
        return false;
    }
    if (!user_proven(m, in, nonce, e)) {
        return false;
    }
    /* T-8489-9.2.4-24: last of all; T-8656-7.2-35: but a retransmission is answered as before. */
    if (nonce == NONCE_STALE && !e->retransmission) {
        expect_code(e, STUN_STALE_NONCE);
        return false;
    }
    e->integrity = in->auth == CLIENT_LEGACY ? MODEL_MI : MODEL_MI256;
    return true;
}

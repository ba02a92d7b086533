/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target of turn_nonce_check() and turn_nonce_offers_algorithms(), through
 * turn_server_client_packet(): a signed Allocate whose NONCE is the input.
 *
 * Input: a byte that says how the request is signed and where the NONCE comes from; then the NONCE
 * itself, or what a NONCE that was just issued is changed by (exclusive or). */
#include <assert.h>
#include <string.h>

#include "lib/client.h"
#include "lib/world.h"
#include "wire/stun_code.h"

enum { FROM_ISSUED = 0x80, WITH_FINGERPRINT = 0x40, NONCE_MOST = 1000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct world world;
static struct client client;

static void open_world(void)
{
    world_init(&world, 1);
    world.pool_options.port_max = world.pool_options.port_min + 15;
    const int err = world_start(&world);
    assert(err == 0);
    (void)err;
    (void)world_add_user(&world, "user", "pass");
    client_init(&client, &world, "203.0.113.5:4000", "user", "pass");
    const bool challenged = client_challenge(&client);
    assert(challenged);
    (void)challenged;
}

/* The NONCE to be shown, in `out`; its length. */
static size_t make_nonce(uint8_t how, struct bytes rest, uint8_t out[NONCE_MOST])
{
    size_t n = strlen(client.nonce);

    if ((how & FROM_ISSUED) == 0) {
        n = rest.n < NONCE_MOST ? rest.n : NONCE_MOST;
        memset(out, 0, NONCE_MOST);
        if (n > 0) {
            memcpy(out, rest.p, n);
        }
        return n;
    }
    memcpy(out, client.nonce, n);
    for (size_t i = 0; i < rest.n && i < n; i++) {
        out[i] = (uint8_t)(out[i] ^ rest.p[i]);
    }
    return n;
}

/* client_sign(), but for a NONCE of any bytes. */
static void sign_with(const uint8_t *nonce, size_t n)
{
    static uint8_t rest[CLIENT_BUF];

    /* A NONCE without NUL bytes goes in as text; others are put in by hand, unsigned ones. */
    if (n < sizeof(client.nonce) && memchr(nonce, '\0', n) == NULL && n > 0) {
        memcpy(client.nonce, nonce, n);
        client.nonce[n] = '\0';
        client_sign(&client);
        return;
    }
    stun_out_attr(&client.out, STUN_USERNAME, bytes_of("user"));
    stun_out_attr(&client.out, STUN_REALM, bytes_of(WORLD_REALM));
    stun_out_attr(&client.out, STUN_NONCE, (struct bytes){nonce, n});
    stun_out_attr(&client.out, STUN_MESSAGE_INTEGRITY, (struct bytes){rest, 20});
    client_end(&client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t nonce[NONCE_MOST];
    char issued[sizeof(client.nonce)];

    if (size == 0) {
        return 0;
    }
    open_world();
    const uint8_t how = data[0];
    const size_t n = make_nonce(how, (struct bytes){data + 1, size - 1}, nonce);
    memcpy(issued, client.nonce, sizeof(issued));
    const bool same = n == strlen(issued) && memcmp(nonce, issued, n) == 0;

    client.auth = (enum client_auth)(1 + how % 3);
    client.fingerprint = (how & WITH_FINGERPRINT) != 0;
    client_begin(&client, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&client);
    sign_with(nonce, n);
    const struct reply r = client_submit(&client);
    /* Only what was issued, to the last bit, is taken; whatever else comes gets a refusal. */
    assert(r.verdict == TURN_TO_CLIENT);
    assert(same ? r.code == 0
                : r.code == STUN_STALE_NONCE || r.code == STUN_UNAUTHENTICATED ||
                      r.code == STUN_BAD_REQUEST);
    assert(turn_server_allocation_count(world.server) == (same ? 1 : 0));
    (void)same;
    world_stop(&world);
    return 0;
}

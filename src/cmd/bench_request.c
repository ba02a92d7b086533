/* SPDX-License-Identifier: Apache-2.0 */
/* The requests of a client, as they look. */
#include <string.h>

#include "cmd/bench_int.h"
#include "wire/stun_addr.h"
#include "wire/stun_msg.h"

enum { UDP = 17, CHANNEL_SHIFT = 16 };

uint16_t bench_request_method(const struct bench_engine *e, const struct bench_client *c)
{
    switch (c->step) {
    case BENCH_ALLOCATE:
        return STUN_ALLOCATE;
    case BENCH_BIND:
    case BENCH_REBIND:
        return e->setup->indications ? STUN_CREATE_PERMISSION : STUN_CHANNEL_BIND;
    default:
        return STUN_REFRESH;
    }
}

const char *bench_request_name(const struct bench_engine *e, const struct bench_client *c)
{
    switch (c->step) {
    case BENCH_CONNECT:
        return "connecting";
    case BENCH_ALLOCATE:
        return "Allocate";
    case BENCH_BIND:
    case BENCH_REBIND:
        return e->setup->indications ? "CreatePermission" : "ChannelBind";
    default:
        return "Refresh";
    }
}

static void put_bind(struct bench_engine *e, uint32_t i, struct stun_out *out)
{
    const struct net_addr peer = bench_place_peer_address(e, i);

    if (!e->setup->indications) {
        stun_out_u32(out, STUN_CHANNEL_NUMBER, (uint32_t)BENCH_CHANNEL << CHANNEL_SHIFT);
    }
    stun_out_xor_addr(out, STUN_XOR_PEER_ADDRESS, &peer);
}

static void put_allocate(const struct bench_engine *e, struct stun_out *out)
{
    static const uint8_t v6[4] = {NET_V6};

    stun_out_u32(out, STUN_REQUESTED_TRANSPORT, (uint32_t)UDP << 24);
    if (e->peers[0].local.family == NET_V6) {
        stun_out_attr(out, STUN_REQUESTED_ADDRESS_FAMILY, (struct bytes){v6, sizeof(v6)});
    }
}

void bench_request_tid(const struct bench_engine *e, uint32_t i, uint8_t *out)
{
    be32_put(out, e->run);
    be32_put(out + 4, i);
    be32_put(out + 8, e->clients[i].turn);
}

bool bench_request_signed(const struct bench_engine *e, const struct bench_client *c)
{
    return e->auth.has_credentials && e->auth.learned && c->nonce_len > 0;
}

int bench_request_encode(struct bench_engine *e, uint32_t i, uint8_t *buf, size_t cap)
{
    const struct bench_client *c = &e->clients[i];
    uint8_t tid[STUN_TID];
    struct stun_out out;
    int err = 0;

    bench_request_tid(e, i, tid);
    stun_out_begin(&out, buf, cap, stun_type(bench_request_method(e, c), STUN_REQUEST), tid);
    switch (c->step) {
    case BENCH_ALLOCATE:
        put_allocate(e, &out);
        break;
    case BENCH_BIND:
    case BENCH_REBIND:
        put_bind(e, i, &out);
        break;
    case BENCH_DELETE:
        stun_out_u32(&out, STUN_LIFETIME, 0);
        break;
    default:
        break;
    }
    if (bench_request_signed(e,
                             c)) { /* all clients are one user; only the nonce is a client's own */
        memcpy(e->auth.nonce, c->nonce, c->nonce_len);
        e->auth.nonce_len = c->nonce_len;
        err = probe_auth_sign(&e->auth, e->mac, &out);
    }
    return err < 0 ? err : stun_out_end(&out);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A started world with the user "user" / "pass" and a client at 203.0.113.5:4000, for the tests of
 * turn/. */
#pragma once

#include <stdlib.h>

#include "check.h"
#include "lib/client.h"
#include "lib/world.h"
#include "wire/channel_data.h"
#include "wire/stun_addr.h"
#include "wire/stun_code.h"

struct stage {
    struct world w;
    struct client c;
};

static inline int stage_open(void **state)
{
    struct stage *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        return -1;
    }
    world_init(&s->w, 42);
    if (world_start(&s->w) < 0) {
        return -1;
    }
    (void)world_add_user(&s->w, "user", "pass");
    client_init(&s->c, &s->w, "203.0.113.5:4000", "user", "pass");
    *state = s;
    return 0;
}

static inline int stage_close(void **state)
{
    struct stage *s = *state;

    world_stop(&s->w);
    const uint32_t left = s->w.open_sockets;
    free(s);
    return left == 0 ? 0 : -1; /* whatever happened: no relay socket outlives the server... */
}

/* ...but for those that only keep a reserved port; tests that make some say so. */
static inline int stage_close_reserved(void **state)
{
    struct stage *s = *state;

    world_stop(&s->w);
    free(s);
    return 0;
}

/* An allocation for `c`, as it is. */
static inline struct net_addr stage_allocate(struct client *c)
{
    const struct reply r = client_allocate(c);

    assert_int_equal(r.verdict, TURN_TO_CLIENT);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.relayed_count, 1);
    return r.relayed[0];
}

#define STAGE_TEST(f) cmocka_unit_test_setup_teardown(f, stage_open, stage_close)

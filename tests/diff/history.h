/* SPDX-License-Identifier: Apache-2.0 */
/* Random lives of random sessions: they allocate, bind, refresh, move, expire, and are taken away.
 *
 * What the history knows of a session may be out of date, as with a real client: packets of
 * sessions that are over are part of the test.
 *
 * Owner   the test.  Thread  one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dice.h"
#include "diff/paths.h"
#include "lib/client.h"

/* With a limit, fewer: so that they get there. */
enum { HISTORY_PARTIES = 192, HISTORY_FEW = 3, PARTY_CHANNELS = 6 };

struct party {
    bool used;
    struct net_addr addr;
    struct net_addr was;      /* before it moved */
    struct net_addr relay[2]; /* IPv4, IPv6; family NET_NONE: none */
    uint64_t session;
    uint32_t channels;
    uint16_t number[PARTY_CHANNELS];
    struct net_addr peer[PARTY_CHANNELS];
    uint8_t ticket[64];
    size_t ticket_len;
};

struct history {
    struct paths *paths;
    struct dice dice;
    bool auth;
    bool wide;            /* channel numbers up to 0x7fff, at times */
    uint64_t max_bps;     /* at times */
    bool halted;          /* between the end of the old rules and the beginning of the new ones */
    struct client client; /* plays them all */
    uint32_t party_count;
    struct party parties[HISTORY_PARTIES];
    uint64_t sessions; /* that were made */
    uint64_t requests;
};

void history_start(struct history *h, struct paths *paths, const struct paths_options *options);

/* One event of some session, or of the server; or time passes. */
void history_step(struct history *h);

/* A party that has, or had, a session; NULL: there is none. */
struct party *history_any(struct history *h);

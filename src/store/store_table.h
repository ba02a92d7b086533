/* SPDX-License-Identifier: Apache-2.0 */
/* The small tables of the user database, as drivers see them: rows of texts.
 *
 * The functions of store_realm.h give rows their meaning; a driver only keeps them.
 *
 * Owner   nobody: constants.  Thread  any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum { STORE_CELLS_MAX = 6 };

/* In brackets the cells of a row, in order; those before the semicolon tell rows apart. */
enum store_table {
    STORE_TABLE_OAUTH,   /* kid; ikm_key, timestamp, lifetime, as_rs_alg, realm */
    STORE_TABLE_ORIGIN,  /* origin; realm */
    STORE_TABLE_OPTION,  /* realm, opt; value */
    STORE_TABLE_ALLOWED, /* realm, ip_range; */
    STORE_TABLE_DENIED,  /* realm, ip_range; */
    STORE_TABLE_ADMIN,   /* name; realm, password */
    STORE_TABLES,
};

/* One column: the most bytes of a text, and whether it may be empty. */
struct store_cell {
    uint16_t max;
    bool may_be_empty;
};

struct store_shape {
    uint8_t keys;  /* how many of the cells tell rows apart */
    uint8_t cells; /* how many there are */
    struct store_cell cell[STORE_CELLS_MAX];
};

extern const struct store_shape store_shapes[STORE_TABLES];

/* Called for each row with its cells.  A negative return ends the walk, which returns it. */
typedef int (*store_row_fn)(void *arg, const struct bytes *cells);

/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_realm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "store/store_ops.h"

enum { NUMBER_LEN = 21 };

#define FILLED(max)                                                                                \
    {                                                                                              \
        (max), false                                                                               \
    }
#define ANY(max)                                                                                   \
    {                                                                                              \
        (max), true                                                                                \
    }
#define REALM ANY(STORE_ROW_REALM_MAX)

const struct store_shape store_shapes[STORE_TABLES] = {
    [STORE_TABLE_OAUTH] = {1,
                           6,
                           {FILLED(STORE_KID_MAX), FILLED(STORE_IKM_MAX), FILLED(NUMBER_LEN),
                            FILLED(NUMBER_LEN), ANY(STORE_ALG_MAX), REALM}},
    [STORE_TABLE_ORIGIN] = {1, 2, {FILLED(STORE_ORIGIN_MAX), FILLED(STORE_ROW_REALM_MAX)}},
    [STORE_TABLE_OPTION] = {2,
                            3,
                            {REALM, FILLED(STORE_OPTION_MAX), FILLED(STORE_OPTION_VALUE_MAX)}},
    [STORE_TABLE_ALLOWED] = {2, 2, {REALM, FILLED(STORE_RANGE_MAX)}},
    [STORE_TABLE_DENIED] = {2, 2, {REALM, FILLED(STORE_RANGE_MAX)}},
    [STORE_TABLE_ADMIN] = {1,
                           3,
                           {FILLED(STORE_ADMIN_MAX), REALM, FILLED(STORE_ADMIN_PASSWORD_MAX)}},
};

static bool fits(const struct store_cell *shape, struct bytes text)
{
    return text.n <= shape->max &&
           (text.n == 0 ? shape->may_be_empty : memchr(text.p, 0, text.n) == NULL);
}

static bool all_fit(enum store_table table, const struct bytes *cells, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!fits(&store_shapes[table].cell[i], cells[i])) {
            return false;
        }
    }
    return true;
}

static int put(struct store *store, enum store_table table, enum store_write how,
               const struct bytes *cells)
{
    return all_fit(table, cells, store_shapes[table].cells)
               ? store->ops->row_put(store, table, how, cells)
               : -EINVAL;
}

static int take_away(struct store *store, enum store_table table, const struct bytes *keys)
{
    return all_fit(table, keys, store_shapes[table].keys)
               ? store->ops->row_remove(store, table, keys)
               : -ENOENT;
}

/* Digits alone, and a number that fits. */
static bool number_of(struct bytes text, uint64_t *out)
{
    uint64_t value = 0;

    for (size_t i = 0; i < text.n; i++) {
        const unsigned digit = (unsigned)text.p[i] - '0';
        if (digit > 9 || value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return text.n > 0;
}

static struct bytes number_text(uint64_t value, char out[NUMBER_LEN])
{
    (void)snprintf(out, NUMBER_LEN, "%" PRIu64, value);
    return bytes_of(out);
}

/* --- oauth_key --- */

struct oauth_walk {
    store_oauth_fn each;
    void *arg;
};

static int oauth_row(void *arg, const struct bytes *cells)
{
    const struct oauth_walk *walk = arg;
    struct store_oauth_key key = {
        .kid = cells[0], .ikm_key = cells[1], .as_rs_alg = cells[4], .realm = cells[5]};

    /* An absent number is 0, as in coturn's columns. */
    key.damaged = (cells[2].n > 0 && !number_of(cells[2], &key.timestamp)) ||
                  (cells[3].n > 0 && !number_of(cells[3], &key.lifetime));
    return walk->each(walk->arg, &key);
}

int store_oauth_list(struct store *store, store_oauth_fn each, void *arg)
{
    struct oauth_walk walk = {each, arg};
    return store->ops->row_list(store, STORE_TABLE_OAUTH, (struct bytes){NULL, 0}, oauth_row,
                                &walk);
}

int store_oauth_put(struct store *store, const struct store_oauth_key *key)
{
    char timestamp[NUMBER_LEN];
    char lifetime[NUMBER_LEN];

    /* SQL knows signed numbers only: bigint and int. */
    if (key->timestamp > INT64_MAX || key->lifetime > INT32_MAX) {
        return -EINVAL;
    }
    const struct bytes cells[] = {key->kid,
                                  key->ikm_key,
                                  number_text(key->timestamp, timestamp),
                                  number_text(key->lifetime, lifetime),
                                  key->as_rs_alg,
                                  key->realm};
    return put(store, STORE_TABLE_OAUTH, STORE_WRITE_PUT, cells);
}

int store_oauth_remove(struct store *store, struct bytes kid)
{
    return take_away(store, STORE_TABLE_OAUTH, &kid);
}

/* --- turn_origin_to_realm --- */

struct origin_walk {
    store_origin_fn each;
    void *arg;
};

static int origin_row(void *arg, const struct bytes *cells)
{
    const struct origin_walk *walk = arg;
    return walk->each(walk->arg, &(struct store_origin){cells[0], cells[1]});
}

int store_origin_list(struct store *store, store_origin_fn each, void *arg)
{
    struct origin_walk walk = {each, arg};
    return store->ops->row_list(store, STORE_TABLE_ORIGIN, (struct bytes){NULL, 0}, origin_row,
                                &walk);
}

int store_origin_put(struct store *store, struct bytes origin, struct bytes realm)
{
    return put(store, STORE_TABLE_ORIGIN, STORE_WRITE_PUT, (const struct bytes[]){origin, realm});
}

int store_origin_remove(struct store *store, struct bytes origin)
{
    return take_away(store, STORE_TABLE_ORIGIN, &origin);
}

/* --- turn_realm_option --- */

struct option_walk {
    store_option_fn each;
    void *arg;
};

static int option_row(void *arg, const struct bytes *cells)
{
    const struct option_walk *walk = arg;
    struct store_option option = {.realm = cells[0], .name = cells[1], .value = cells[2]};

    option.is_number = number_of(option.value, &option.number);
    return walk->each(walk->arg, &option);
}

int store_option_list(struct store *store, struct bytes realm, store_option_fn each, void *arg)
{
    struct option_walk walk = {each, arg};
    return store->ops->row_list(store, STORE_TABLE_OPTION, realm, option_row, &walk);
}

int store_option_put(struct store *store, struct bytes realm, struct bytes name, uint64_t value)
{
    char number[NUMBER_LEN];
    const struct bytes cells[] = {realm, name, number_text(value, number)};

    return put(store, STORE_TABLE_OPTION, STORE_WRITE_PUT, cells);
}

int store_option_remove(struct store *store, struct bytes realm, struct bytes name)
{
    return take_away(store, STORE_TABLE_OPTION, (const struct bytes[]){realm, name});
}

/* --- allowed_peer_ip, denied_peer_ip --- */

struct range_walk {
    store_range_fn each;
    void *arg;
};

static enum store_table range_table(bool allowed)
{
    return allowed ? STORE_TABLE_ALLOWED : STORE_TABLE_DENIED;
}

static int range_row(void *arg, const struct bytes *cells)
{
    const struct range_walk *walk = arg;
    return walk->each(walk->arg, &(struct store_range){cells[0], cells[1]});
}

int store_range_list(struct store *store, bool allowed, struct bytes realm, store_range_fn each,
                     void *arg)
{
    struct range_walk walk = {each, arg};
    return store->ops->row_list(store, range_table(allowed), realm, range_row, &walk);
}

int store_range_add(struct store *store, bool allowed, struct bytes realm, struct bytes range)
{
    return put(store, range_table(allowed), STORE_WRITE_ADD, (const struct bytes[]){realm, range});
}

int store_range_remove(struct store *store, bool allowed, struct bytes realm, struct bytes range)
{
    return take_away(store, range_table(allowed), (const struct bytes[]){realm, range});
}

/* --- admin_user --- */

struct admin_walk {
    store_admin_fn each;
    void *arg;
};

static int admin_row(void *arg, const struct bytes *cells)
{
    const struct admin_walk *walk = arg;
    return walk->each(walk->arg, &(struct store_admin){cells[0], cells[1], cells[2]});
}

int store_admin_list(struct store *store, store_admin_fn each, void *arg)
{
    struct admin_walk walk = {each, arg};
    return store->ops->row_list(store, STORE_TABLE_ADMIN, (struct bytes){NULL, 0}, admin_row,
                                &walk);
}

int store_admin_put(struct store *store, const struct store_admin *admin)
{
    return put(store, STORE_TABLE_ADMIN, STORE_WRITE_PUT,
               (const struct bytes[]){admin->name, admin->realm, admin->password});
}

int store_admin_remove(struct store *store, struct bytes name)
{
    return take_away(store, STORE_TABLE_ADMIN, &name);
}

int store_realm_list(struct store *store, store_realm_fn each, void *arg)
{
    return store->ops->realm_list(store, each, arg);
}

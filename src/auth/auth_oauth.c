/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_oauth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/secret.h"
#include "conf/conf.h"
#include "crypto/base64.h"
#include "store/store_realm.h"

enum { IKM_MAX = STORE_IKM_MAX, NUMBER_BASE = 10 };

/* Fill `out`.  False when it is no usable key. */
static bool key_fill(const struct store_oauth_key *row, struct auth_oauth_key *out)
{
    uint8_t ikm[IKM_MAX];
    enum token_algorithm algorithm;

    if (row->damaged || row->kid.n == 0 || row->kid.n > sizeof(out->kid) ||
        row->realm.n > sizeof(out->realm) ||
        token_algorithm_parse(row->as_rs_alg, &algorithm) < 0 ||
        row->lifetime > UINT64_MAX - row->timestamp) {
        return false;
    }
    const int n = crypto_base64_read(row->ikm_key, ikm, sizeof(ikm));
    const bool ok =
        n > 0 && token_key_make((struct bytes){ikm, (size_t)n}, algorithm, &out->key) == 0;
    secret_wipe(ikm, sizeof(ikm));
    if (!ok) {
        return false;
    }
    out->kid_len = (uint16_t)row->kid.n;
    memcpy(out->kid, row->kid.p, row->kid.n);
    out->realm_len = (uint16_t)row->realm.n;
    if (row->realm.n > 0) {
        memcpy(out->realm, row->realm.p, row->realm.n);
    }
    out->from_s = row->timestamp;
    out->till_s = row->lifetime == 0 ? 0 : row->timestamp + row->lifetime;
    return true;
}

/* Move the keys to a bigger place, leaving nothing behind.  False without memory. */
static bool grow(struct auth_oauth_keys *keys)
{
    const uint32_t count = keys->count;

    if (count > 0 && (count & (count - 1)) != 0) {
        return true;
    }
    struct auth_oauth_key *fresh = mem_new(count == 0 ? 1 : (size_t)count * 2, sizeof(*fresh));
    if (fresh == NULL) {
        return false;
    }
    if (count > 0) {
        memcpy(fresh, keys->keys, count * sizeof(*fresh));
        secret_wipe(keys->keys, count * sizeof(*fresh));
    }
    free(keys->keys);
    keys->keys = fresh;
    return true;
}

int auth_oauth_add(struct auth_oauth_keys *keys, const struct store_oauth_key *row)
{
    struct auth_oauth_key key = {0};

    if (keys->count == AUTH_OAUTH_MAX || !key_fill(row, &key)) {
        keys->ignored++;
        return 0;
    }
    const bool ok = grow(keys);
    if (ok) {
        keys->keys[keys->count++] = key;
    }
    secret_wipe(&key, sizeof(key));
    return ok ? 0 : -ENOMEM;
}

static uint64_t number_of(const struct conf_section *section, const char *name)
{
    const char *text = conf_section_value(section, name);

    return text == NULL ? 0 : strtoull(text, NULL, NUMBER_BASE); /* conf/ has judged it */
}

static struct bytes text_of(const struct conf_section *section, const char *name)
{
    const char *text = conf_section_value(section, name);

    return bytes_of(text == NULL ? "" : text);
}

int auth_oauth_read(struct auth_oauth_keys *keys, const struct conf *conf, char *why, size_t cap)
{
    for (size_t i = 0; i < conf->section_count; i++) {
        const struct conf_section *section = &conf->sections[i];
        if (strcmp(section->kind, "oauth") != 0) {
            continue;
        }
        const struct store_oauth_key row = {
            .kid = bytes_of(section->name),
            .ikm_key = text_of(section, "key"),
            .timestamp = number_of(section, "not-before"),
            .lifetime = number_of(section, "lifetime"),
            .as_rs_alg = text_of(section, "algorithm"),
            .realm = text_of(section, "realm"),
        };
        const uint32_t ignored = keys->ignored;
        const int err = auth_oauth_add(keys, &row);
        if (err < 0) {
            (void)snprintf(why, cap, "memory is exhausted");
            return err;
        }
        if (keys->ignored != ignored) {
            (void)snprintf(why, cap,
                           "%s:%u: [oauth] needs a kid of at most %d bytes as its name and a key "
                           "in base64; there may be %d of them",
                           section->file, section->line, AUTH_KID_MAX, AUTH_OAUTH_MAX);
            return -EBADMSG;
        }
    }
    return 0;
}

static int kid_order(struct bytes a, struct bytes b)
{
    const size_t common = a.n < b.n ? a.n : b.n;
    const int order = common == 0 ? 0 : memcmp(a.p, b.p, common);

    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

static struct bytes kid_of(const struct auth_oauth_key *key)
{
    return (struct bytes){key->kid, key->kid_len};
}

static int key_order(const void *a, const void *b)
{
    return kid_order(kid_of(a), kid_of(b));
}

void auth_oauth_sort(struct auth_oauth_keys *keys)
{
    if (keys->count > 1) {
        qsort(keys->keys, keys->count, sizeof(*keys->keys), key_order);
    }
}

void auth_oauth_fini(struct auth_oauth_keys *keys)
{
    if (keys->keys != NULL) {
        secret_wipe(keys->keys, keys->count * sizeof(*keys->keys));
        free(keys->keys);
    }
    *keys = (struct auth_oauth_keys){0};
}

const struct auth_oauth_key *auth_oauth_find(const struct auth_oauth_keys *keys, struct bytes kid,
                                             uint64_t wall_s)
{
    uint32_t low = 0;
    uint32_t high = keys->count;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const struct auth_oauth_key *key = &keys->keys[middle];
        const int order = kid_order(kid_of(key), kid);
        if (order == 0) {
            return wall_s >= key->from_s && (key->till_s == 0 || wall_s < key->till_s) ? key : NULL;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

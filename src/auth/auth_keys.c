/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_keys.h"

#include <errno.h>

#include "base/secret.h"
#include "crypto/longterm.h"
#include "crypto/precis.h"

void auth_keys_prepare(struct bytes in, struct auth_text *out)
{
    const int n = precis_opaque_string(in, out->buffer, sizeof(out->buffer));

    out->text = n < 0 ? in : (struct bytes){(const uint8_t *)out->buffer, (size_t)n};
}

int auth_keys_make(struct bytes name, struct bytes realm, struct bytes password,
                   struct credential_key *out)
{
    *out = (struct credential_key){0};
    /* A FIPS provider refuses MD5: such a server offers SHA-256 only. */
    out->has_md5 = crypto_longterm_md5(name, realm, password, out->md5) == 0;
    out->has_sha256 = crypto_longterm_sha256(name, realm, password, out->sha256) == 0;
    return out->has_md5 || out->has_sha256 ? 0 : -EIO;
}

struct variants {
    struct bytes name;
    struct bytes realm;
    struct credential_key *keys;
    uint32_t *count;
    uint32_t max;
};

/* Add the keys of `password`, which one client or another makes of what it was given, unless they
 * are there already. */
static int variant_add(const struct variants *v, struct bytes password)
{
    struct credential_key key;

    if (*v->count == v->max) {
        return 0;
    }
    const int err = auth_keys_make(v->name, v->realm, password, &key);
    bool known = err < 0;
    for (uint32_t i = 0; i < *v->count && !known; i++) {
        known = crypto_equal(&v->keys[i], &key, sizeof(key));
    }
    if (!known) {
        v->keys[(*v->count)++] = key;
    }
    secret_wipe(&key, sizeof(key));
    return err;
}

int auth_keys_variants(struct bytes name, struct bytes realm, struct bytes password,
                       struct credential_key *out, uint32_t max)
{
    char text[AUTH_TEXT_MAX];
    uint32_t count = 0;
    const struct variants v = {name, realm, out, &count, max};
    int err = 0;

    int n = precis_opaque_string(password, text, sizeof(text));
    if (n >= 0) {
        err = variant_add(&v, (struct bytes){(const uint8_t *)text, (size_t)n});
    }
    n = precis_saslprep(password, text, sizeof(text));
    if (err == 0 && n >= 0) {
        err = variant_add(&v, (struct bytes){(const uint8_t *)text, (size_t)n});
    }
    if (err == 0) {
        err = variant_add(&v, password);
    }
    secret_wipe(text, sizeof(text));
    return err < 0 ? err : (int)count;
}

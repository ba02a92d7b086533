/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/user_keys.h"

#include "crypto/longterm.h"

int user_keys_make(struct bytes name, struct bytes realm, struct bytes password,
                   struct store_keys *out)
{
    int err = crypto_longterm_md5(name, realm, password, out->md5);

    if (err == 0) {
        err = crypto_longterm_sha256(name, realm, password, out->sha256);
    }
    if (err == 0) {
        err = crypto_longterm_userhash(name, realm, out->userhash);
    }
    out->has_md5 = out->has_sha256 = out->has_userhash = err == 0;
    return err;
}

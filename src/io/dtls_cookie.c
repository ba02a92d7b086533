/* SPDX-License-Identifier: Apache-2.0 */
#include "io/dtls_cookie.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>

enum { SECRET_BYTES = 32 };

static pthread_once_t secret_once = PTHREAD_ONCE_INIT;
static uint8_t secret[SECRET_BYTES];
static bool secret_is_made;

static void secret_make(void)
{
    secret_is_made = RAND_bytes(secret, sizeof(secret)) == 1;
}

EVP_MAC_CTX *dtls_cookie_new(void)
{
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    if (pthread_once(&secret_once, secret_make) != 0 || !secret_is_made) {
        return NULL;
    }
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac);
    EVP_MAC_free(hmac); /* the context holds it */
    if (mac != NULL && EVP_MAC_init(mac, secret, sizeof(secret), params) != 1) {
        EVP_MAC_CTX_free(mac);
        mac = NULL;
    }
    return mac;
}

/* The period stands in front of the address instead of in the secret: what was given out in an
 * older one is worth nothing, and no two threads need to agree when a secret changes. */
static bool cookie_of_period(EVP_MAC_CTX *mac, const void *who, size_t n, uint64_t period,
                             uint8_t out[DTLS_COOKIE_BYTES])
{
    size_t len = 0;

    return EVP_MAC_init(mac, NULL, 0, NULL) == 1 && /* the same key again */
           EVP_MAC_update(mac, (const uint8_t *)&period, sizeof(period)) == 1 &&
           EVP_MAC_update(mac, who, n) == 1 &&
           EVP_MAC_final(mac, out, &len, DTLS_COOKIE_BYTES) == 1 && len == DTLS_COOKIE_BYTES;
}

bool dtls_cookie_make(EVP_MAC_CTX *mac, const void *who, size_t n, uint64_t now_ms,
                      uint8_t out[DTLS_COOKIE_BYTES])
{
    return cookie_of_period(mac, who, n, now_ms / DTLS_COOKIE_PERIOD_MS, out);
}

bool dtls_cookie_check(EVP_MAC_CTX *mac, const void *who, size_t n, uint64_t now_ms,
                       const uint8_t *cookie, size_t cookie_len)
{
    const uint64_t period = now_ms / DTLS_COOKIE_PERIOD_MS;
    uint8_t right[DTLS_COOKIE_BYTES];

    if (cookie_len != DTLS_COOKIE_BYTES) {
        return false;
    }
    for (uint64_t age = 0; age < 2 && age <= period; age++) {
        if (cookie_of_period(mac, who, n, period - age, right) &&
            CRYPTO_memcmp(right, cookie, sizeof(right)) == 0) {
            return true;
        }
    }
    return false;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* ChaCha20 keystream with fast key erasure: each refill's first bytes become the next key at once,
 * and neither they nor the key they came from stay.  So what was handed out cannot be computed from
 * what is in memory now. */
#include "crypto/random.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/secret.h"

enum { KEY_LEN = 32, IV_LEN = 16, BUFFER_LEN = 4096 };

struct crypto_random {
    EVP_CIPHER_CTX *cipher; /* keyed for the next refill */
    size_t at;              /* first byte of the buffer that was not handed out yet */
    uint8_t buffer[BUFFER_LEN];
};

/* Fill the buffer.  The buffer must be used up, that is, all zeros. */
static void refill(struct crypto_random *random)
{
    static const uint8_t iv[IV_LEN];
    int len = 0;

    /* The cipher turns zeros into keystream; taking the next key overwrites the one just used. */
    const bool ok =
        EVP_EncryptUpdate(random->cipher, random->buffer, &len, random->buffer, BUFFER_LEN) == 1 &&
        EVP_EncryptInit_ex(random->cipher, NULL, NULL, random->buffer, iv) == 1;
    assert(ok && len == BUFFER_LEN); /* without randomness nothing may go on */
    secret_wipe(random->buffer, KEY_LEN);
    random->at = KEY_LEN;
}

static struct crypto_random *random_new(const uint8_t key[KEY_LEN])
{
    static const uint8_t iv[IV_LEN];
    struct crypto_random *random = mem_new(1, sizeof(*random));

    if (random == NULL) {
        return NULL;
    }
    random->cipher = EVP_CIPHER_CTX_new();
    random->at = BUFFER_LEN;
    if (random->cipher == NULL ||
        EVP_EncryptInit_ex(random->cipher, EVP_chacha20(), NULL, key, iv) != 1) {
        crypto_random_free(random);
        return NULL;
    }
    return random;
}

struct crypto_random *crypto_random_new(void)
{
    uint8_t key[KEY_LEN];

    if (RAND_priv_bytes(key, sizeof(key)) != 1) {
        return NULL;
    }
    struct crypto_random *random = random_new(key);
    secret_wipe(key, sizeof(key));
    return random;
}

struct crypto_random *crypto_random_new_seeded(uint64_t seed)
{
    uint8_t key[KEY_LEN] = {0};

    be64_put(key, seed);
    return random_new(key);
}

void crypto_random_free(struct crypto_random *random)
{
    if (random == NULL) {
        return;
    }
    EVP_CIPHER_CTX_free(random->cipher);
    secret_wipe(random, sizeof(*random));
    free(random);
}

void crypto_random_fill(void *generator, uint8_t *out, size_t n)
{
    struct crypto_random *random = generator;

    while (n > 0) {
        if (random->at == BUFFER_LEN) {
            refill(random);
        }
        const size_t left = BUFFER_LEN - random->at;
        const size_t part = n < left ? n : left;
        memcpy(out, random->buffer + random->at, part);
        memset(random->buffer + random->at, 0, part);
        random->at += part;
        out += part;
        n -= part;
    }
}

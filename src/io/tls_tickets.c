/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of session tickets (RFC 5077 section 4): AES-256-CBC and HMAC-SHA-256. */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/secret.h"
#include "io/tls_int.h"

struct key {
    unsigned char name[16];
    unsigned char cipher[32];
    unsigned char mac[32];
};

struct tls_tickets {
    pthread_mutex_t lock;
    _Atomic unsigned refs;
    uint32_t rotate_s;

    /* Under the lock. */
    bool started; /* rotated_s is the clock's */
    bool has_old;
    uint64_t rotated_s;
    struct key newest;
    struct key old;
};

static bool key_draw(struct key *key)
{
    return RAND_bytes(key->name, sizeof(key->name)) == 1 &&
           RAND_priv_bytes(key->cipher, sizeof(key->cipher)) == 1 &&
           RAND_priv_bytes(key->mac, sizeof(key->mac)) == 1;
}

struct tls_tickets *tls_tickets_new(uint32_t rotate_s)
{
    struct tls_tickets *tickets = mem_new(1, sizeof(*tickets));

    if (tickets == NULL) {
        return NULL;
    }
    if (!key_draw(&tickets->newest) || pthread_mutex_init(&tickets->lock, NULL) != 0) {
        secret_wipe(tickets, sizeof(*tickets));
        free(tickets);
        return NULL;
    }
    atomic_init(&tickets->refs, 1);
    tickets->rotate_s = rotate_s;
    return tickets;
}

struct tls_tickets *tls_tickets_ref(struct tls_tickets *tickets)
{
    atomic_fetch_add_explicit(&tickets->refs, 1, memory_order_relaxed);
    return tickets;
}

void tls_tickets_free(struct tls_tickets *tickets)
{
    if (tickets == NULL || atomic_fetch_sub(&tickets->refs, 1) != 1) {
        return;
    }
    (void)pthread_mutex_destroy(&tickets->lock);
    secret_wipe(tickets, sizeof(*tickets));
    free(tickets);
}

/* Without randomness the keys stay as they are until the next tick. */
static void rotate(struct tls_tickets *tickets, uint64_t now_s, uint64_t age_s)
{
    struct key fresh;

    if (!key_draw(&fresh)) {
        return;
    }
    tickets->old = tickets->newest;
    tickets->newest = fresh;
    tickets->has_old = age_s < (uint64_t)tickets->rotate_s * 2;
    tickets->rotated_s = now_s;
    secret_wipe(&fresh, sizeof(fresh));
    if (!tickets->has_old) {
        secret_wipe(&tickets->old, sizeof(tickets->old));
    }
}

void tls_tickets_tick(struct tls_tickets *tickets, uint64_t now_s)
{
    (void)pthread_mutex_lock(&tickets->lock);
    if (!tickets->started) {
        tickets->started = true;
        tickets->rotated_s = now_s;
    }
    if (tickets->rotate_s != 0 && now_s >= tickets->rotated_s + tickets->rotate_s) {
        rotate(tickets, now_s, now_s - tickets->rotated_s);
    }
    (void)pthread_mutex_unlock(&tickets->lock);
}

/* The key called `name`: 1 the newest one, 2 the one before, 0 none. */
static int key_find(struct tls_tickets *tickets, const unsigned char name[16], struct key *out)
{
    int found = 0;

    (void)pthread_mutex_lock(&tickets->lock);
    if (memcmp(name, tickets->newest.name, sizeof(tickets->newest.name)) == 0) {
        *out = tickets->newest;
        found = 1;
    } else if (tickets->has_old &&
               memcmp(name, tickets->old.name, sizeof(tickets->old.name)) == 0) {
        *out = tickets->old;
        found = 2;
    }
    (void)pthread_mutex_unlock(&tickets->lock);
    return found;
}

static void key_newest(struct tls_tickets *tickets, struct key *out)
{
    (void)pthread_mutex_lock(&tickets->lock);
    *out = tickets->newest;
    (void)pthread_mutex_unlock(&tickets->lock);
}

static bool key_use(struct key *key, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
                    EVP_MAC_CTX *mac, bool seal)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof(key->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, seal ? 1 : 0) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
}

int tls_tickets_key(struct tls_tickets *tickets, unsigned char name[16], unsigned char *iv,
                    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, bool seal)
{
    struct key key;
    int result = 1;

    if (seal) {
        key_newest(tickets, &key);
        memcpy(name, key.name, sizeof(key.name));
        result = RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1 ? 1 : -1;
    } else {
        result = key_find(tickets, name, &key);
        if (result == 0) {
            return 0; /* RFC 5077 section 3.1: a full handshake */
        }
    }
    if (result > 0 && !key_use(&key, iv, cipher, mac, seal)) {
        result = -1;
    }
    secret_wipe(&key, sizeof(key));
    return result;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords in the forms that coturn keeps them in, and its key file. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/secret.h"
#include "cmd/exit_code.h"
#include "cmd/turnadmin_int.h"
#include "crypto/mac.h"
#include "crypto/precis.h"
#include "crypto/random.h"
#include "store/store_hex.h"

enum {
    SALT_LEN = 8,
    AES_KEY_LEN = 16,
    SEALED_MAX = (SECRET_INPUT_MAX + 2) / 3 * 4,
};

/* Coturn prepares passwords, so the same one must come of the same argument. */
static int prepare(const char *password, char out[SECRET_INPUT_MAX + 1])
{
    if (precis_opaque_string(bytes_of(password), out, SECRET_INPUT_MAX + 1) < 0) {
        return turnadmin_usage("the password is no UTF-8, too long, or holds a character that RFC "
                               "8265 does not allow");
    }
    return CMD_OK;
}

static int random_fill(uint8_t *out, size_t n)
{
    struct crypto_random *random = crypto_random_new();

    if (random == NULL) {
        return turnadmin_failed("the system gives no random numbers");
    }
    crypto_random_fill(random, out, n);
    crypto_random_free(random);
    return CMD_OK;
}

int turnadmin_digest(const char *password, char out[TURNADMIN_DIGEST_LEN + 1])
{
    char text[SECRET_INPUT_MAX + 1];
    uint8_t salted[SALT_LEN + SECRET_INPUT_MAX];
    uint8_t digest[CRYPTO_SHA256_LEN];
    char salt_hex[2 * SALT_LEN + 1];
    char digest_hex[2 * CRYPTO_SHA256_LEN + 1];
    int code = prepare(password, text);

    code = code == CMD_OK ? random_fill(salted, SALT_LEN) : code;
    if (code != CMD_OK) {
        return code;
    }
    const struct bytes prepared = bytes_of(text);
    memcpy(salted + SALT_LEN, prepared.p, prepared.n);
    if (EVP_Digest(salted, SALT_LEN + prepared.n, digest, NULL, EVP_sha256(), NULL) != 1) {
        code = turnadmin_failed("libcrypto refuses to make a digest");
    } else {
        store_hex_encode(salted, SALT_LEN, salt_hex);
        store_hex_encode(digest, sizeof(digest), digest_hex);
        (void)snprintf(out, TURNADMIN_DIGEST_LEN + 1, "$5$%s$%s", salt_hex, digest_hex);
    }
    secret_wipe(salted, sizeof(salted));
    secret_wipe(text, sizeof(text));
    return code;
}

int turnadmin_print_digest(const struct turnadmin *a)
{
    char digest[TURNADMIN_DIGEST_LEN + 1];
    const int code = turnadmin_digest(a->password, digest);

    if (code == CMD_OK) {
        puts(digest);
    }
    return code;
}

static int key_read(const char *path, uint8_t key[AES_KEY_LEN])
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return turnadmin_failed("%s: %s", path, strerror(errno));
    }
    const ssize_t n = read(fd, key, AES_KEY_LEN);
    (void)close(fd);
    /* coturn would go on with what is in the memory. */
    return n == AES_KEY_LEN ? CMD_OK
                            : turnadmin_failed("%s: holds no key of 128 bits; -x makes one", path);
}

/* AES-128 in counter mode, which is its own reverse.  `out` has room for `n` bytes. */
static int aes_apply(const uint8_t key[AES_KEY_LEN], const uint8_t *in, size_t n, uint8_t *out)
{
    static const uint8_t zero[16];
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len = 0;
    const bool done = ctx != NULL &&
                      EVP_EncryptInit_ex(ctx, EVP_aes_128_ctr(), NULL, key, zero) == 1 &&
                      EVP_EncryptUpdate(ctx, out, &len, in, (int)n) == 1;

    EVP_CIPHER_CTX_free(ctx);
    return done ? CMD_OK : turnadmin_failed("libcrypto refuses AES-128-CTR");
}

int turnadmin_seal(const struct turnadmin *a)
{
    uint8_t key[AES_KEY_LEN];
    char text[SECRET_INPUT_MAX + 1];
    uint8_t sealed[SECRET_INPUT_MAX];
    char base64[SEALED_MAX + 1];
    int code = prepare(a->password, text);

    code = code == CMD_OK ? key_read(a->key_path, key) : code;
    if (code == CMD_OK) {
        code = aes_apply(key, (const uint8_t *)text, strlen(text), sealed);
    }
    if (code == CMD_OK) {
        (void)EVP_EncodeBlock((unsigned char *)base64, sealed, (int)strlen(text));
        puts(base64);
    }
    secret_wipe(key, sizeof(key));
    secret_wipe(text, sizeof(text));
    return code;
}

/* The bytes of base64 with its padding; negative when it is none. */
static int decode(const char *text, uint8_t out[SEALED_MAX])
{
    const size_t n = strlen(text);
    const size_t filled = strcspn(text, "=");

    if (n == 0 || n % 4 != 0 || n > SEALED_MAX || n - filled > 2 ||
        strspn(text + filled, "=") != n - filled) {
        return -EBADMSG;
    }
    const int len = EVP_DecodeBlock(out, (const unsigned char *)text, (int)n);
    return len < 0 ? -EBADMSG : len - (int)(n - filled);
}

int turnadmin_unseal(const struct turnadmin *a)
{
    uint8_t key[AES_KEY_LEN];
    uint8_t sealed[SEALED_MAX];
    uint8_t text[SEALED_MAX];
    const int n = decode(a->sealed, sealed);

    if (n < 0) {
        return turnadmin_usage("what is to be opened is no base64");
    }
    int code = key_read(a->key_path, key);
    code = code == CMD_OK ? aes_apply(key, sealed, (size_t)n, text) : code;
    if (code == CMD_OK) {
        printf("%.*s\n", n, (const char *)text);
    }
    secret_wipe(key, sizeof(key));
    secret_wipe(text, sizeof(text));
    return code;
}

int turnadmin_make_key(const struct turnadmin *a)
{
    uint8_t key[AES_KEY_LEN];
    int code = random_fill(key, sizeof(key));
    if (code != CMD_OK) {
        return code;
    }
    const int fd = open(a->key_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || fchmod(fd, 0600) < 0) { /* one that was there may have been anybody's */
        code = turnadmin_failed("%s: %s", a->key_path, strerror(errno));
        if (fd >= 0) {
            (void)close(fd);
        }
    } else {
        const ssize_t n = write(fd, key, sizeof(key));
        if (close(fd) != 0 || n != (ssize_t)sizeof(key)) {
            code = turnadmin_failed("%s: cannot be written", a->key_path);
        }
    }
    secret_wipe(key, sizeof(key));
    return code;
}

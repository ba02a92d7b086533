/* SPDX-License-Identifier: Apache-2.0 */
/* Objects from PEM text in memory. */
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#include "io/tls_int.h"

struct password {
    const char *text; /* NULL: there is none */
    bool asked;
};

/* In place of OpenSSL's own, which would ask at the terminal. */
static int on_password(char *out, int cap, int writing, void *arg)
{
    struct password *password = arg;
    const size_t len = password->text != NULL ? strlen(password->text) : 0;

    (void)writing;
    password->asked = true;
    if (password->text == NULL || cap < 0 || len > (size_t)cap) {
        return -1;
    }
    memcpy(out, password->text, len);
    return (int)len;
}

static BIO *bio_of(struct bytes text)
{
    return text.n <= INT_MAX ? BIO_new_mem_buf(text.p, (int)text.n) : NULL;
}

/* True when reading stopped because nothing more is there; OpenSSL reports that as an error. */
static bool at_end(void)
{
    const unsigned long code = ERR_peek_last_error();

    if (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE) {
        ERR_clear_error();
        return true;
    }
    return false;
}

int tls_pem_certificates(struct bytes text, STACK_OF(X509) * out)
{
    struct password none = {NULL, false};
    BIO *bio = bio_of(text);
    int count = 0;
    X509 *it;

    if (bio == NULL) {
        return -ENOMEM;
    }
    while ((it = PEM_read_bio_X509(bio, NULL, on_password, &none)) != NULL) {
        if (sk_X509_push(out, it) <= 0) {
            X509_free(it);
            break;
        }
        count++;
    }
    BIO_free(bio);
    return it == NULL && at_end() ? count : -EINVAL;
}

int tls_pem_crls(struct bytes text, X509_STORE *store, int64_t *out_until_s)
{
    struct password none = {NULL, false};
    BIO *bio = bio_of(text);
    int64_t until = INT64_MAX;
    int count = 0;
    X509_CRL *it;

    if (bio == NULL) {
        return -ENOMEM;
    }
    while ((it = PEM_read_bio_X509_CRL(bio, NULL, on_password, &none)) != NULL) {
        const int64_t next = tls_pem_time(X509_CRL_get0_nextUpdate(it));
        const bool added = X509_STORE_add_crl(store, it) == 1;

        until = next < until ? next : until;
        X509_CRL_free(it);
        if (!added) {
            break;
        }
        count++;
    }
    BIO_free(bio);
    if (it != NULL || !at_end()) {
        return -EINVAL;
    }
    *out_until_s = until;
    return count;
}

EVP_PKEY *tls_pem_key(struct bytes text, const char *password, bool *out_asked)
{
    struct password secret = {password, false};
    BIO *bio = bio_of(text);
    EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, on_password, &secret) : NULL;

    BIO_free(bio);
    *out_asked = secret.asked;
    return key;
}

int64_t tls_pem_time(const ASN1_TIME *time)
{
    struct tm tm;

    return time != NULL && ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : INT64_MAX;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates, keys, lists and answers made on the spot, in a folder that goes when the test ends.
 */
#pragma once

#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define PKI_DAY 86400L

struct pki {
    X509 *cert;
    EVP_PKEY *key;
};

struct pki_want {
    const char *name;         /* common name */
    const struct pki *issuer; /* NULL: self-signed */
    bool ca;
    bool rsa;     /* else EC on P-256 */
    long from_s;  /* relative to now */
    long until_s; /* 0: 30 days */
    long serial;
};

static char pki_dir[] = "/tmp/sterna-tls-XXXXXX";

static inline void pki_extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;

    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static inline struct pki pki_make(struct pki_want want)
{
    struct pki out = {X509_new(), want.rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256")};
    const struct pki *issuer = want.issuer != NULL ? want.issuer : &out;

    assert_non_null(out.cert);
    assert_non_null(out.key);
    assert_int_equal(X509_set_version(out.cert, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(out.cert), want.serial + 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(out.cert), want.from_s));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(out.cert),
                                    want.until_s != 0 ? want.until_s : 30 * PKI_DAY));
    assert_int_equal(X509_set_pubkey(out.cert, out.key), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(out.cert), "CN", MBSTRING_ASC,
                                                (const unsigned char *)want.name, -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(out.cert, X509_get_subject_name(issuer->cert)), 1);
    pki_extend(out.cert, issuer->cert, NID_basic_constraints,
               want.ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    assert_true(X509_sign(out.cert, issuer->key, EVP_sha256()) > 0);
    return out;
}

static inline void pki_free(struct pki *it)
{
    X509_free(it->cert);
    EVP_PKEY_free(it->key);
    *it = (struct pki){NULL, NULL};
}

/* The path of `name` in the folder; one of a few buffers in turn. */
static inline const char *pki_path(const char *name)
{
    static char path[16][128];
    static unsigned turn;
    char *out = path[turn++ % COUNT_OF(path)];

    (void)snprintf(out, sizeof(path[0]), "%s/%s", pki_dir, name);
    return out;
}

static inline FILE *pki_open(const char *name)
{
    FILE *file = fopen(pki_path(name), "we");

    assert_non_null(file);
    return file;
}

static inline const char *pki_write(const char *name, const void *data, size_t len)
{
    FILE *file = pki_open(name);

    assert_int_equal(fwrite(data, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    return pki_path(name);
}

static inline const char *pki_text(const char *name, const char *text)
{
    return pki_write(name, text, strlen(text));
}

static inline const char *pki_cert_file(const char *name, const struct pki *it,
                                        const struct pki *more)
{
    FILE *file = pki_open(name);

    assert_int_equal(PEM_write_X509(file, it->cert), 1);
    if (more != NULL) {
        assert_int_equal(PEM_write_X509(file, more->cert), 1);
    }
    assert_int_equal(fclose(file), 0);
    return pki_path(name);
}

static inline const char *pki_key_file(const char *name, const struct pki *it, const char *password)
{
    FILE *file = pki_open(name);
    const int n = password != NULL ? (int)strlen(password) : 0;

    assert_int_equal(PEM_write_PKCS8PrivateKey(file, it->key,
                                               password != NULL ? EVP_aes_128_cbc() : NULL,
                                               password, n, NULL, NULL),
                     1);
    assert_int_equal(fclose(file), 0);
    return pki_path(name);
}

/* Certificate and key in one file. */
static inline const char *pki_both_file(const char *name, const struct pki *it)
{
    FILE *file = pki_open(name);

    assert_int_equal(PEM_write_X509(file, it->cert), 1);
    assert_int_equal(PEM_write_PrivateKey(file, it->key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(file), 0);
    return pki_path(name);
}

/* `issuer` revokes `revoked` (NULL: nothing) until `until_s` from now. */
static inline const char *pki_crl_file(const char *name, const struct pki *issuer,
                                       const struct pki *revoked, long until_s)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *then = X509_gmtime_adj(NULL, -PKI_DAY);
    ASN1_TIME *next = X509_gmtime_adj(NULL, until_s);

    assert_int_equal(X509_CRL_set_version(crl, X509_CRL_VERSION_2), 1);
    assert_int_equal(X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->cert)), 1);
    assert_int_equal(X509_CRL_set1_lastUpdate(crl, then), 1);
    assert_int_equal(X509_CRL_set1_nextUpdate(crl, next), 1);
    if (revoked != NULL) {
        X509_REVOKED *entry = X509_REVOKED_new();

        assert_int_equal(X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked->cert)),
                         1);
        assert_int_equal(X509_REVOKED_set_revocationDate(entry, then), 1);
        assert_int_equal(X509_CRL_add0_revoked(crl, entry), 1);
    }
    assert_true(X509_CRL_sign(crl, issuer->key, EVP_sha256()) > 0);
    FILE *file = pki_open(name);
    assert_int_equal(PEM_write_X509_CRL(file, crl), 1);
    assert_int_equal(fclose(file), 0);
    X509_CRL_free(crl);
    ASN1_TIME_free(then);
    ASN1_TIME_free(next);
    return pki_path(name);
}

/* "good", says `issuer` of `it`, until `until_s` from now. */
static inline const char *pki_ocsp_file(const char *name, const struct pki *issuer,
                                        const struct pki *it, long until_s)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), it->cert, issuer->cert);
    ASN1_TIME *then = X509_gmtime_adj(NULL, -2 * PKI_DAY);
    ASN1_TIME *next = X509_gmtime_adj(NULL, until_s);
    unsigned char *der = NULL;

    assert_non_null(OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL, then, next));
    assert_int_equal(OCSP_basic_sign(basic, issuer->cert, issuer->key, EVP_sha256(), NULL, 0), 1);
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    const int n = i2d_OCSP_RESPONSE(response, &der);
    assert_true(n > 0);
    const char *path = pki_write(name, der, (size_t)n);
    OPENSSL_free(der);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(then);
    ASN1_TIME_free(next);
    return path;
}

static inline int pki_begin(void)
{
    return mkdtemp(pki_dir) != NULL ? 0 : -1;
}

static inline int pki_end(void)
{
    DIR *dir = opendir(pki_dir);
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return rmdir(pki_dir);
}

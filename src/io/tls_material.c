/* SPDX-License-Identifier: Apache-2.0 */
/* From a section's files to keys, certificates and lists, each checked as far as it can be. */
#include <errno.h>
#include <inttypes.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/tls_int.h"

/* What reading one section needs at every step. */
struct reader {
    struct tls_material *out;
    const struct tls_section *section;
    struct tls_files *files;
    struct tls_say *say;
    int64_t now_s;
};

static int file_read(const struct reader *r, const char *path, struct bytes *text)
{
    const int err = tls_files_read(r->files, path, text);

    switch (err) {
    case 0:
    case -ENOMEM:
        return err;
    case -ENOENT:
        return tls_say(r->say, path, "there is no such file");
    case -EACCES:
        return tls_say(r->say, path,
                       "the server's user may not read it, or not enter a folder above it: change "
                       "owner, group or mode");
    case -EISDIR:
        return tls_say(r->say, path, "this is no regular file");
    case -EFBIG:
        return tls_say(r->say, path, "the file is too large to be meant");
    default:
        return tls_say(r->say, path, "cannot be read: %s", strerror(-err));
    }
}

/* Expired ones are used, as the old ones would be without a restart; but somebody is told. */
static void dates_judge(const struct reader *r, const char *path, const X509 *cert,
                        const char *what)
{
    const int64_t from = tls_pem_time(X509_get0_notBefore(cert));
    const int64_t until = tls_pem_time(X509_get0_notAfter(cert));

    if (until < r->now_s) {
        tls_say_warning(r->say, path, "%s expired %" PRId64 " days ago: renew it", what,
                        (r->now_s - until) / 86400);
    } else if (from > r->now_s && from != INT64_MAX) {
        tls_say_warning(r->say, path,
                        "%s is valid only from %" PRId64 " hours on: is the clock right?", what,
                        (from - r->now_s) / 3600 + 1);
    }
}

static void expiry_note(const struct reader *r, const char *path, const X509 *cert,
                        const char *what)
{
    const int64_t until = tls_pem_time(X509_get0_notAfter(cert));

    r->out->expires_s = until < r->out->expires_s ? until : r->out->expires_s;
    dates_judge(r, path, cert, what);
}

static int certificates_add(const struct reader *r, const char *path)
{
    struct bytes text;
    int err = file_read(r, path, &text);

    if (err < 0) {
        return err;
    }
    err = tls_pem_certificates(text, r->out->chain);
    if (err < 0) {
        return tls_say_openssl(r->say, path, "a certificate in it cannot be read");
    }
    if (err == 0) {
        return tls_say(r->say, path,
                       "holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)");
    }
    return 0;
}

static int chain_read(const struct reader *r)
{
    const struct tls_section *section = r->section;

    if (section->certificate == NULL) {
        return tls_say(r->say, NULL, "no certificate is given: write certificate=FILE");
    }
    r->out->chain = sk_X509_new_null();
    if (r->out->chain == NULL) {
        return -ENOMEM;
    }
    int err = certificates_add(r, section->certificate);
    if (err == 0) {
        r->out->leaf = sk_X509_shift(r->out->chain);
        expiry_note(r, section->certificate, r->out->leaf, "the certificate");
    }
    if (err == 0 && section->chain != NULL) {
        err = certificates_add(r, section->chain);
    }
    for (int i = 0; err == 0 && i < sk_X509_num(r->out->chain); i++) {
        expiry_note(r, section->chain != NULL ? section->chain : section->certificate,
                    sk_X509_value(r->out->chain, i), "a certificate of the chain");
    }
    return err;
}

/* Why there is no key: the most helpful of many reasons. */
static int key_tell(const struct reader *r, const char *path, struct bytes text, bool asked)
{
    static const char mark[] = "PRIVATE KEY-----";

    if (asked && r->section->key_password == NULL) {
        ERR_clear_error();
        return tls_say(r->say, path,
                       "the private key is encrypted, and no password is given: write key-password "
                       "(pkey-pwd outside of sections), or store the key without one");
    }
    if (asked) {
        return tls_say_openssl(r->say, path, "the password of the private key is wrong");
    }
    if (memmem(text.p, text.n, mark, sizeof(mark) - 1) == NULL) {
        ERR_clear_error();
        return tls_say(r->say, path,
                       "holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)%s",
                       r->section->private_key == NULL ? ": write private-key=FILE" : "");
    }
    return tls_say_openssl(r->say, path, "the private key cannot be read");
}

static int key_read(const struct reader *r)
{
    const char *path =
        r->section->private_key != NULL ? r->section->private_key : r->section->certificate;
    struct bytes text;
    bool asked;
    const int err = file_read(r, path, &text);

    if (err < 0) {
        return err;
    }
    r->out->key = tls_pem_key(text, r->section->key_password, &asked);
    if (r->out->key == NULL) {
        return key_tell(r, path, text, asked);
    }
    ERR_clear_error();
    if (X509_check_private_key(r->out->leaf, r->out->key) != 1) {
        ERR_clear_error();
        return tls_say(r->say, path, "the private key does not belong to the certificate in %s",
                       r->section->certificate);
    }
    return 0;
}

static int dh_read(const struct reader *r)
{
    struct bytes text;
    int err = 0;

    if (r->section->dh_file == NULL) {
        return 0;
    }
    err = file_read(r, r->section->dh_file, &text);
    if (err < 0) {
        return err;
    }
    BIO *bio = BIO_new_mem_buf(text.p, (int)text.n);
    r->out->dh = bio != NULL ? PEM_read_bio_Parameters(bio, NULL) : NULL;
    BIO_free(bio);
    /* DHX: "X9.42 DH PARAMETERS", which 'openssl dhparam -dsaparam' writes. */
    if (r->out->dh == NULL ||
        (EVP_PKEY_is_a(r->out->dh, "DH") != 1 && EVP_PKEY_is_a(r->out->dh, "DHX") != 1)) {
        ERR_clear_error();
        return tls_say(r->say, r->section->dh_file,
                       "holds no Diffie-Hellman parameters: make them with 'openssl dhparam 2048', "
                       "or leave this out");
    }
    return 0;
}

static int authorities_use(const struct reader *r, STACK_OF(X509) * certs)
{
    for (int i = 0; i < sk_X509_num(certs); i++) {
        X509 *cert = sk_X509_value(certs, i);
        X509_NAME *name = X509_NAME_dup(X509_get_subject_name(cert));

        if (name == NULL || sk_X509_NAME_push(r->out->authorities, name) <= 0) {
            X509_NAME_free(name);
            return -ENOMEM;
        }
        if (X509_STORE_add_cert(r->out->store, cert) != 1) {
            return tls_say_openssl(r->say, r->section->ca_file, "an authority cannot be used");
        }
        dates_judge(r, r->section->ca_file, cert, "an authority");
    }
    return 0;
}

static int authorities_parse(const struct reader *r, struct bytes text)
{
    STACK_OF(X509) *certs = sk_X509_new_null();

    if (certs == NULL) {
        return -ENOMEM;
    }
    int err = tls_pem_certificates(text, certs);
    if (err < 0) {
        err = tls_say_openssl(r->say, r->section->ca_file, "a certificate in it cannot be read");
    } else if (err == 0) {
        err = tls_say(r->say, r->section->ca_file,
                      "holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)");
    } else {
        err = authorities_use(r, certs);
    }
    sk_X509_pop_free(certs, X509_free);
    return err;
}

static int crl_parse(const struct reader *r, struct bytes text)
{
    int64_t until;
    const int count = tls_pem_crls(text, r->out->store, &until);

    if (count < 0) {
        return tls_say_openssl(r->say, r->section->crl_file, "a list in it cannot be read");
    }
    if (count == 0) {
        return tls_say(r->say, r->section->crl_file,
                       "holds no revocation list in PEM form (-----BEGIN X509 CRL-----)");
    }
    if (until < r->now_s) {
        tls_say_warning(r->say, r->section->crl_file,
                        "a revocation list has expired: clients are refused until it is renewed");
    }
    if (X509_STORE_set_flags(r->out->store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) !=
        1) {
        return -ENOMEM;
    }
    return 0;
}

/* The authorities of clients, and what of theirs is void; `ca` and `crl` stay when there is none.
 */
static int store_read(const struct reader *r, struct bytes *ca, struct bytes *crl)
{
    const struct tls_section *section = r->section;

    if (section->ca_file == NULL) {
        if (section->verify != TLS_VERIFY_OFF || section->crl_file != NULL) {
            return tls_say(r->say, NULL,
                           "certificates of clients cannot be checked without their authorities: "
                           "write ca-file=FILE");
        }
        return 0;
    }
    r->out->store = X509_STORE_new();
    r->out->authorities = sk_X509_NAME_new_null();
    if (r->out->store == NULL || r->out->authorities == NULL) {
        return -ENOMEM;
    }
    int err = file_read(r, section->ca_file, ca);
    err = err == 0 ? authorities_parse(r, *ca) : err;
    if (err == 0 && section->crl_file != NULL) {
        err = file_read(r, section->crl_file, crl);
        err = err == 0 ? crl_parse(r, *crl) : err;
    }
    return err;
}

/* When the answer that is to be stapled ends to be one; negative errno-like when it never was. */
static int ocsp_judge(const uint8_t *der, size_t len, int64_t *out_until_s)
{
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &der, (long)len);
    OCSP_BASICRESP *basic = NULL;
    int err = -EINVAL;

    if (response != NULL && OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL) {
        basic = OCSP_response_get1_basic(response);
    }
    OCSP_SINGLERESP *single = basic != NULL ? OCSP_resp_get0(basic, 0) : NULL;
    if (single != NULL) {
        ASN1_GENERALIZEDTIME *next = NULL;

        (void)OCSP_single_get0_status(single, NULL, NULL, NULL, &next);
        *out_until_s = tls_pem_time(next);
        err = 0;
    }
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    return err;
}

static int ocsp_read(const struct reader *r)
{
    const char *path = r->section->ocsp_file;
    struct bytes text;

    if (path == NULL) {
        return 0;
    }
    const int err = file_read(r, path, &text);
    if (err < 0) {
        return err;
    }
    if (ocsp_judge(text.p, text.n, &r->out->ocsp_until_s) < 0) {
        return tls_say(
            r->say, path,
            "holds no good OCSP response in DER form: 'openssl ocsp -respout' writes one");
    }
    if (r->out->ocsp_until_s < r->now_s) {
        tls_say_warning(r->say, path, "the OCSP response has expired: it is not stapled");
    }
    r->out->ocsp = mem_new(1, text.n);
    if (r->out->ocsp == NULL) {
        return -ENOMEM;
    }
    memcpy(r->out->ocsp, text.p, text.n);
    r->out->ocsp_len = text.n;
    return 0;
}

static bool digest_part(EVP_MD_CTX *md, const void *p, size_t n)
{
    const uint64_t len = n;

    return EVP_DigestUpdate(md, &len, sizeof(len)) == 1 && EVP_DigestUpdate(md, p, n) == 1;
}

/* RFC 8446 section 4.6.1, RFC 5077: a ticket carries what was verified when it was made.  It must
 * not open another section, nor this one under other rules. */
static int session_id_make(const struct reader *r, struct bytes ca, struct bytes crl)
{
    const char *name = r->section->name != NULL ? r->section->name : "";
    const unsigned rules[] = {(unsigned)r->section->verify, r->section->verify_depth};
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    const bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
                    digest_part(md, name, strlen(name)) && digest_part(md, rules, sizeof(rules)) &&
                    digest_part(md, ca.p, ca.n) && digest_part(md, crl.p, crl.n) &&
                    EVP_DigestFinal_ex(md, r->out->session_id, NULL) == 1;

    EVP_MD_CTX_free(md);
    return ok ? 0 : -ENOMEM;
}

int tls_material_read(struct tls_material *material, const struct tls_section *section,
                      struct tls_files *files, struct tls_say *say)
{
    const struct reader r = {material, section, files, say, (int64_t)time(NULL)};
    struct bytes ca = {NULL, 0};
    struct bytes crl = {NULL, 0};

    ERR_clear_error();
    material->expires_s = INT64_MAX;
    int err = chain_read(&r);
    err = err == 0 ? key_read(&r) : err;
    err = err == 0 ? dh_read(&r) : err;
    err = err == 0 ? store_read(&r, &ca, &crl) : err;
    err = err == 0 ? ocsp_read(&r) : err;
    return err == 0 ? session_id_make(&r, ca, crl) : err;
}

void tls_material_fini(struct tls_material *material)
{
    X509_free(material->leaf);
    sk_X509_pop_free(material->chain, X509_free);
    EVP_PKEY_free(material->key);
    EVP_PKEY_free(material->dh);
    X509_STORE_free(material->store);
    sk_X509_NAME_pop_free(material->authorities, X509_NAME_free);
    free(material->ocsp);
    *material = (struct tls_material){0};
}

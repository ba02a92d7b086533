/* SPDX-License-Identifier: Apache-2.0 */
/* Bad files, each told so that somebody can mend it. */
#include <errno.h>
#include <sys/stat.h>

#include "tls_call.h"

static struct pki authority;
static struct pki leaf;
static struct pki other;
static struct tls_section good;
static char cert[128];
static char key[128];

static int make(void **state)
{
    (void)state;
    if (pki_begin() < 0) {
        return -1;
    }
    authority = pki_make((struct pki_want){.name = "authority", .ca = true});
    leaf = pki_make((struct pki_want){.name = "leaf", .issuer = &authority, .serial = 1});
    other = pki_make((struct pki_want){.name = "other", .issuer = &authority, .serial = 2});
    (void)snprintf(cert, sizeof(cert), "%s", pki_cert_file("cert.pem", &leaf, NULL));
    (void)snprintf(key, sizeof(key), "%s", pki_key_file("key.pem", &leaf, NULL));
    good = (struct tls_section){.certificate = cert, .private_key = key, .where = "turn.conf:3"};
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    pki_free(&leaf);
    pki_free(&other);
    pki_free(&authority);
    return pki_end();
}

static char why[400];

/* What tls_set_new() says to `section`; the set is gone at once. */
static int judge(struct tls_section section)
{
    const struct tls_options options = {.count = 1, .sections = &section};
    struct tls_set *set = NULL;

    why[0] = 0;
    const int result = tls_set_new(&options, &set, why, sizeof(why));
    assert_true((result >= 0) == (set != NULL));
    tls_set_unref(set);
    assert_int_equal(ERR_peek_error(), 0);
    assert_int_equal(tls_set_live_count(), 0);
    return result;
}

/* It is refused, and the message begins with the section, then `file`, then `text`. */
static void refused(struct tls_section section, const char *file, const char *text)
{
    char begin[400];

    (void)snprintf(begin, sizeof(begin), "turn.conf:3: %s%s%s", file, *file != 0 ? ": " : "", text);
    assert_int_equal(judge(section), -EINVAL);
    if (strncmp(why, begin, strlen(begin)) != 0) {
        fail_msg("\"%s\" does not begin with \"%s\"", why, begin);
    }
}

static void set__is_made_of_good_files(void **state)
{
    struct tls_section section = good;

    (void)state;
    assert_int_equal(judge(section), 0);
    assert_string_equal(why, "");
    section.chain = pki_cert_file("chain.pem", &authority, NULL);
    assert_int_equal(judge(section), 0);
    section.certificate = pki_both_file("both.pem", &leaf);
    section.private_key = NULL;
    assert_int_equal(judge(section), 0);
}

static void certificate__is_judged(void **state)
{
    struct tls_section section = good;

    (void)state;
    section.certificate = NULL;
    refused(section, "", "no certificate is given: write certificate=FILE");
    section.certificate = pki_path("none.pem");
    refused(section, section.certificate, "there is no such file");
    section.certificate = pki_dir;
    refused(section, pki_dir, "this is no regular file");
    section.certificate = pki_text("text.pem", "Hello\n");
    refused(section, section.certificate, "holds no certificate in PEM form");
    section.certificate = pki_text("empty.pem", "");
    refused(section, section.certificate, "holds no certificate in PEM form");
    section.certificate = key;
    refused(section, key, "holds no certificate in PEM form");
    section.certificate = pki_text("bad.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n"
                                              "-----END CERTIFICATE-----\n");
    refused(section, section.certificate, "a certificate in it cannot be read");
    section = good;
    section.chain = pki_text("text.pem", "Hello\n");
    refused(section, section.chain, "holds no certificate in PEM form");
}

static void fifo__does_not_hold_anybody_up(void **state)
{
    struct tls_section section = good;

    (void)state;
    section.certificate = pki_path("fifo");
    assert_int_equal(mkfifo(section.certificate, 0600), 0);
    refused(section, section.certificate, "this is no regular file");
}

static void certificate__every_truncation_is_refused(void **state)
{
    struct tls_section section = good;
    char text[4000];
    FILE *file = fopen(cert, "re");
    const size_t n = fread(text, 1, sizeof(text), file);
    const char *end = "-----END CERTIFICATE-----";
    const size_t whole = (size_t)(strstr(text, end) - text) + strlen(end);

    (void)state;
    (void)fclose(file);
    assert_true(n > 400 && n < sizeof(text));
    for (size_t i = 0; i < whole; i += i < 30 ? 1 : 7) {
        section.certificate = pki_write("cut.pem", text, i);
        refused(section, section.certificate, "");
    }
    section.certificate = pki_write("cut.pem", text, whole);
    assert_int_equal(judge(section), 0);
}

static void key__is_judged(void **state)
{
    struct tls_section section = good;

    (void)state;
    section.private_key = NULL;
    refused(section, cert,
            "holds no private key in PEM form (-----BEGIN PRIVATE KEY-----): write "
            "private-key=FILE");
    section.private_key = pki_path("none.pem");
    refused(section, section.private_key, "there is no such file");
    section.private_key = pki_text("bad.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n"
                                              "-----END PRIVATE KEY-----\n");
    refused(section, section.private_key, "the private key cannot be read: ");
    section.private_key = pki_key_file("other.pem", &other, NULL);
    refused(section, section.private_key, "the private key does not belong to the certificate in ");
    assert_non_null(strstr(why, cert));
}

/* Standard input is a terminal in daily life; OpenSSL would ask there, and wait. */
static void key__with_a_password_asks_nobody(void **state)
{
    struct tls_section section = good;

    (void)state;
    section.private_key = pki_key_file("locked.pem", &leaf, "sesame");
    refused(section, section.private_key,
            "the private key is encrypted, and no password is given: write key-password");
    section.key_password = "wrong";
    refused(section, section.private_key, "the password of the private key is wrong: ");
    section.key_password = "";
    refused(section, section.private_key, "the password of the private key is wrong: ");
    section.key_password = "sesame";
    assert_int_equal(judge(section), 0);
}

static void dh_file__is_judged(void **state)
{
    struct tls_section section = good;

    (void)state;
    section.dh_file = cert;
    refused(section, cert, "holds no Diffie-Hellman parameters");
    section.dh_file =
        pki_text("dh512.pem", "-----BEGIN DH PARAMETERS-----\n"
                              "MEYCQQD6XDkGTLl7tCyhjVu4jbl3TUOFLcSHZc3ftsVGEqMG3n/L62fEPznTX1W2\n"
                              "hFWIpH4REItNjy6VFsX8kv9F3A8LAgEC\n"
                              "-----END DH PARAMETERS-----\n");
    assert_int_equal(judge(section), -EINVAL);
    assert_non_null(strstr(why, "dh512.pem"));
    section.dh_file = pki_path("none.pem");
    refused(section, section.dh_file, "there is no such file");
}

static void authorities__are_judged(void **state)
{
    struct tls_section section = good;

    (void)state;
    section.verify = TLS_VERIFY_REQUIRED;
    refused(section, "", "certificates of clients cannot be checked without their authorities");
    section.verify = TLS_VERIFY_OPTIONAL;
    refused(section, "", "certificates of clients cannot be checked without their authorities");
    section.ca_file = pki_text("text.pem", "Hello\n");
    refused(section, section.ca_file, "holds no certificate in PEM form");
    section.ca_file = pki_path("none.pem");
    refused(section, section.ca_file, "there is no such file");
    section.ca_file = pki_cert_file("ca.pem", &authority, &authority); /* twice does no harm */
    assert_int_equal(judge(section), 0);
    section.crl_file = cert;
    refused(section, cert, "holds no revocation list in PEM form");
    section.crl_file = pki_text("bad.pem", "-----BEGIN X509 CRL-----\nAAAA\n"
                                           "-----END X509 CRL-----\n");
    refused(section, section.crl_file, "a list in it cannot be read");
    section.crl_file = pki_crl_file("crl.pem", &authority, NULL, PKI_DAY);
    assert_int_equal(judge(section), 0);
    section.ca_file = NULL;
    section.verify = TLS_VERIFY_OFF;
    refused(section, "", "certificates of clients cannot be checked without their authorities");
}

static void ocsp_file__is_judged(void **state)
{
    struct tls_section section = good;
    char der[6000];

    (void)state;
    section.ocsp_file = cert;
    refused(section, cert, "holds no good OCSP response in DER form");
    section.ocsp_file = pki_text("empty.der", "");
    refused(section, section.ocsp_file, "holds no good OCSP response in DER form");
    section.ocsp_file = pki_ocsp_file("good.der", &authority, &leaf, PKI_DAY);
    assert_int_equal(judge(section), 0);
    FILE *file = fopen(section.ocsp_file, "re");
    const size_t n = fread(der, 1, sizeof(der), file);
    (void)fclose(file);
    for (size_t i = 0; i < n; i += 11) {
        section.ocsp_file = pki_write("cut.der", der, i);
        refused(section, section.ocsp_file, "holds no good OCSP response in DER form");
    }
}

static void dates__are_warned_of(void **state)
{
    struct pki old = pki_make(
        (struct pki_want){.name = "old", .from_s = -20 * PKI_DAY, .until_s = -3 * PKI_DAY - 100});
    struct pki early = pki_make((struct pki_want){.name = "early", .from_s = PKI_DAY / 2 - 100});
    struct tls_section section = good;

    (void)state;
    section.private_key = NULL;
    section.certificate = pki_both_file("old.pem", &old);
    assert_int_equal(judge(section), 1);
    assert_non_null(strstr(why, "turn.conf:3: "));
    assert_non_null(strstr(why, "/old.pem: the certificate expired 3 days ago: renew it"));
    section.certificate = pki_both_file("early.pem", &early);
    assert_int_equal(judge(section), 1);
    assert_non_null(strstr(why, "the certificate is valid only from 12 hours on"));
    section = good;
    section.chain = pki_cert_file("chain.pem", &old, NULL);
    assert_int_equal(judge(section), 1);
    assert_non_null(strstr(why, "chain.pem: a certificate of the chain expired 3 days ago"));
    section = good;
    section.ca_file = pki_cert_file("ca.pem", &old, NULL);
    assert_int_equal(judge(section), 1);
    assert_non_null(strstr(why, "ca.pem: an authority expired 3 days ago"));
    section.ca_file = pki_cert_file("ca.pem", &authority, NULL);
    section.crl_file = pki_crl_file("crl.pem", &authority, NULL, -100);
    assert_int_equal(judge(section), 1);
    assert_non_null(strstr(why, "crl.pem: a revocation list has expired"));
    pki_free(&old);
    pki_free(&early);
}

static void message__fits_its_buffer(void **state)
{
    struct tls_section section = good;
    const struct tls_options options = {.count = 1, .sections = &section};
    struct tls_set *set = NULL;
    char small[16];

    (void)state;
    section.certificate = pki_path("none.pem");
    for (size_t cap = 1; cap <= sizeof(small); cap++) {
        memset(small, 'x', sizeof(small));
        assert_int_equal(tls_set_new(&options, &set, small, cap), -EINVAL);
        assert_int_equal(strlen(small), cap - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set__is_made_of_good_files),
        cmocka_unit_test(certificate__is_judged),
        cmocka_unit_test(fifo__does_not_hold_anybody_up),
        cmocka_unit_test(certificate__every_truncation_is_refused),
        cmocka_unit_test(key__is_judged),
        cmocka_unit_test(key__with_a_password_asks_nobody),
        cmocka_unit_test(dh_file__is_judged),
        cmocka_unit_test(authorities__are_judged),
        cmocka_unit_test(ocsp_file__is_judged),
        cmocka_unit_test(dates__are_warned_of),
        cmocka_unit_test(message__fits_its_buffer),
    };

    return cmocka_run_group_tests(tests, make, unmake);
}

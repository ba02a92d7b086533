/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "io/tls_int.h"
#include "tls_call.h"

static struct pki rsa;
static struct pki ec;
static char rsa_file[128];
static char ec_file[128];

static int make(void **state)
{
    (void)state;
    if (pki_begin() < 0) {
        return -1;
    }
    rsa = pki_make((struct pki_want){.name = "rsa", .rsa = true});
    ec = pki_make((struct pki_want){.name = "ec"});
    (void)snprintf(rsa_file, sizeof(rsa_file), "%s", pki_both_file("rsa.pem", &rsa));
    (void)snprintf(ec_file, sizeof(ec_file), "%s", pki_both_file("ec.pem", &ec));
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    pki_free(&rsa);
    pki_free(&ec);
    return pki_end();
}

static struct tls_section with_rsa(void)
{
    return (struct tls_section){.certificate = rsa_file};
}

/* Call the server that `section` makes: true when it comes to an understanding. */
static bool reaches(const struct tls_section *section, struct call *call)
{
    struct tls_set *set = call_set(section, 1, NULL);

    call->to = tls_set_context(set, call->kind, NULL);
    const bool ok = call_make(call);
    if (ok) {
        assert_true(call_talks(call));
    }
    tls_set_unref(set);
    return ok;
}

/* The suite that both have chosen; NULL when they have not. */
static const char *suite_of(struct tls_section section, struct call call)
{
    static char name[100];
    const bool ok = reaches(&section, &call);

    if (ok) {
        (void)snprintf(name, sizeof(name), "%s", SSL_get_cipher_name(call.client));
    } else {
        assert_int_equal(call.alert, SSL_AD_HANDSHAKE_FAILURE);
    }
    call_end(&call);
    return ok ? name : NULL;
}

/* Proves T-8489-6.2.3-01, T-8489-6.2.3-03 */
static void suite__that_must_be_is_there(void **state)
{
    (void)state;
    assert_string_equal(
        suite_of(with_rsa(),
                 (struct call){.max = TLS1_2_VERSION, .ciphers = "ECDHE-RSA-AES128-GCM-SHA256"}),
        "ECDHE-RSA-AES128-GCM-SHA256");
    assert_string_equal(
        suite_of(with_rsa(),
                 (struct call){.kind = TLS_DATAGRAM, .ciphers = "ECDHE-RSA-AES128-GCM-SHA256"}),
        "ECDHE-RSA-AES128-GCM-SHA256");
    assert_string_equal(suite_of(with_rsa(), (struct call){.min = TLS1_3_VERSION,
                                                           .suites = "TLS_AES_128_GCM_SHA256"}),
                        "TLS_AES_128_GCM_SHA256");
}

static void every_suite__works_alone(void **state)
{
    static const struct {
        const char *name;
        bool is_ec;
    } suites[] = {
        {"ECDHE-ECDSA-AES128-GCM-SHA256", true}, {"ECDHE-RSA-AES128-GCM-SHA256", false},
        {"ECDHE-ECDSA-AES256-GCM-SHA384", true}, {"ECDHE-RSA-AES256-GCM-SHA384", false},
        {"ECDHE-ECDSA-CHACHA20-POLY1305", true}, {"ECDHE-RSA-CHACHA20-POLY1305", false},
    };

    static const char *const suites13[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                           "TLS_CHACHA20_POLY1305_SHA256"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(suites); i++) {
        const struct tls_section section = {.certificate = suites[i].is_ec ? ec_file : rsa_file};
        const struct call call = {.max = TLS1_2_VERSION, .ciphers = suites[i].name};
        const struct call datagram = {.kind = TLS_DATAGRAM, .ciphers = suites[i].name};

        assert_string_equal(suite_of(section, call), suites[i].name);
        assert_string_equal(suite_of(section, datagram), suites[i].name);
    }
    for (size_t i = 0; i < COUNT_OF(suites13); i++) {
        const struct call call = {.min = TLS1_3_VERSION, .suites = suites13[i]};

        assert_string_equal(suite_of(with_rsa(), call), suites13[i]);
    }
}

/* Proves T-8489-6.2.3-02 */
static void finite_field__is_there_for_those_who_want_it(void **state)
{
    static const char suite[] = "DHE-RSA-AES128-GCM-SHA256";
    const struct call call = {.max = TLS1_2_VERSION, .ciphers = suite};
    const struct call datagram = {.kind = TLS_DATAGRAM, .ciphers = suite};
    struct tls_section section = with_rsa();

    (void)state;
    assert_null(suite_of(section, call));
    section.ciphers = "ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256";
    assert_string_equal(suite_of(section, call), suite);
    assert_string_equal(suite_of(section, datagram), suite);
    section.ciphers = NULL;
    section.dh_file =
        pki_text("dh.pem", "-----BEGIN DH PARAMETERS-----\n"
                           "MIIBCAKCAQEA///////////JD9qiIWjCNMTGYouA3BzRKQJOCIpnzHQCC76mOxOb\n"
                           "IlFKCHmONATd75UZs806QxswKwpt8l8UN0/hNW1tUcJF5IW1dmJefsb0TELppjft\n"
                           "awv/XLb0Brft7jhr+1qJn6WunyQRfEsf5kkoZlHs5Fs9wgB8uKFjvwWY2kg2HFXT\n"
                           "mmkWP6j9JM9fg2VdI9yjrZYcYvNWIIVSu57VKQdwlpZtZww1Tkq8mATxdGwIyhgh\n"
                           "fDKQXkYuNs474553LBgOhgObJ4Oi7Aeij7XFXfBvTFLJ3ivL9pVYFxg5lUl86pVq\n"
                           "5RXSJhiY+gUQFXKOWoqsqmj//////////wIBAg==\n"
                           "-----END DH PARAMETERS-----\n");
    assert_string_equal(suite_of(section, call), suite);
    assert_string_equal(suite_of(section, (struct call){.max = TLS1_2_VERSION,
                                                        .ciphers = "DHE-RSA-AES128-GCM-SHA256:"
                                                                   "ECDHE-RSA-AES128-GCM-SHA256"}),
                        "ECDHE-RSA-AES128-GCM-SHA256");
    /* What 'openssl dhparam -dsaparam' writes. */
    section.dh_file =
        pki_text("dhx.pem", "-----BEGIN X9.42 DH PARAMETERS-----\n"
                            "MIICLAKCAQEAh6jmHbS2Zjz/u9GcZRlZmYzu9ghmDdDyXSzu1ENeOwDgDfjx1hlX\n"
                            "1Pr330VhsqowFsPZETQJb6o79Cltgw6afCCeDGSXUXq9WoqdMGvPZ+2R+eZyW0dY\n"
                            "wCLgse9Cdb97bFv8EdRfkIi5QfVOseWbuLw5oL8SMH9cT9twxYGyP3a2Osrhyqa3\n"
                            "kC1SUmc1SIoO8TxtmlG/pKs62DR3llJNjvahZ7WkGCXZZ+FE5RQFZCUcysuD5rSG\n"
                            "9rPKP3lxUGAmwLhX9omWKFbe1AEKvQvmIcOjlgpU5xDDdfJjddcBQQOktUMwwZiv\n"
                            "EmEW0iduEXFfaTh3+tfvCcrbCUrpHhoVlwKCAQA/syybcxNNCy53UGZg7b1ITKex\n"
                            "jyHvIFQH9Hk6GguhJRDbwVB3vkY//0/tSqwLtVW+OmwbDGtHsbw3c79+jG9ikBIo\n"
                            "+MKMuxilWuMTQQAKZQGW+THHelfy3fRj5ensFEt3feYqqrioYorDdtKC1u04ZOZ5\n"
                            "gkKOvIMdFDSPby+Rk7UEWvJ2cWTh38lnwfs/LlWkvRv/6DucgNBSuYXRguoK2yo7\n"
                            "cxPT/hTISEseBSWIubfSu9LfAWGZ7NBuFVfNCRWzNTu7ZODsN3/QKDcN+StSx4kU\n"
                            "KM3GfrYYS1I9HbJGwy9jB4SQ8A741kfRSNR5VFFeIyfP75jFgmZLTA9sxBZZAiEA\n"
                            "jPg2QqcJoJe0R5l2QBKdopmxpH0es3ULowiw/mT1+9M=\n"
                            "-----END X9.42 DH PARAMETERS-----\n");
    assert_string_equal(suite_of(section, call), suite);
}

/* Proves T-8489-6.2.3-04 */
static void forward_secrecy__is_preferred(void **state)
{
    const struct call call = {.max = TLS1_2_VERSION,
                              .ciphers = "AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"};
    struct tls_section section = with_rsa();

    (void)state;
    assert_string_equal(suite_of(section, call), "ECDHE-RSA-AES128-GCM-SHA256");
    section.ciphers = "AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"; /* an operator's folly */
    assert_string_equal(suite_of(section, call), "ECDHE-RSA-AES128-GCM-SHA256");
    assert_string_equal(
        suite_of(section, (struct call){.max = TLS1_2_VERSION, .ciphers = "AES128-GCM-SHA256"}),
        "AES128-GCM-SHA256");
}

/* Proves T-8489-6.2.3-05 */
static void weak_suite__is_never_taken(void **state)
{
    static const char *const never[] = {"NULL-SHA256", "ECDHE-RSA-NULL-SHA", "AECDH-AES128-SHA",
                                        "ADH-AES128-GCM-SHA256"};
    static const char *const unasked[] = {"AES128-GCM-SHA256", "AES128-SHA", "ECDHE-RSA-AES128-SHA",
                                          "ECDHE-RSA-AES128-SHA256"};
    struct tls_section section = with_rsa();
    char list[100];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(never); i++) {
        (void)snprintf(list, sizeof(list), "%s:@SECLEVEL=0", never[i]);
        const struct call call = {.max = TLS1_2_VERSION, .ciphers = list};
        section.ciphers = NULL;
        assert_null(suite_of(section, call));
        section.ciphers = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"; /* whatever the operator says */
        assert_null(suite_of(section, call));
    }
    for (size_t i = 0; i < COUNT_OF(unasked); i++) {
        const struct call call = {.max = TLS1_2_VERSION, .ciphers = unasked[i]};
        section.ciphers = NULL;
        assert_null(suite_of(section, call));
        section.ciphers = "ALL";
        assert_string_equal(suite_of(section, call), unasked[i]);
    }
}

static void suites__none_left_is_an_error(void **state)
{
    struct tls_section section = with_rsa();
    const struct tls_options options = {.count = 1, .sections = &section};
    struct tls_set *set = NULL;
    char why[300];

    (void)state;
    section.where = "turn.conf:7";
    section.ciphers = "NULL-SHA256";
    assert_int_equal(tls_set_new(&options, &set, why, sizeof(why)), -EINVAL);
    assert_string_equal(why, "turn.conf:7: NULL-SHA256: no cipher suite that may be used is left "
                             "of this list: no cipher match");
    section.ciphers = NULL;
    section.ciphersuites = "TLS_NOTHING";
    assert_int_equal(tls_set_new(&options, &set, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "turn.conf:7: TLS_NOTHING: not a list of TLS 1.3 cipher suites"));
    section.ciphersuites = NULL;
    section.groups = "curve-of-mine";
    assert_int_equal(tls_set_new(&options, &set, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "turn.conf:7: curve-of-mine: not a list of key exchange groups"));
    section.groups = NULL;
    section.version_min = TLS_1_3;
    section.version_max = TLS_1_2;
    assert_int_equal(tls_set_new(&options, &set, why, sizeof(why)), -EINVAL);
    assert_string_equal(why, "turn.conf:7: the minimum TLS version is above the maximum");
    assert_null(set);
}

/* The version that both have chosen; 0 when they have not. */
static int version_of(enum tls_kind kind, enum tls_version least, enum tls_version most, int offer)
{
    struct tls_section section = with_rsa();
    struct call call = {.kind = kind, .min = offer, .max = offer, .ciphers = "ALL:@SECLEVEL=0"};

    section.version_min = least;
    section.version_max = most;
    const bool ok = reaches(&section, &call);
    const int version = ok ? SSL_version(call.server) : 0;
    if (!ok) {
        assert_int_equal(call.alert, SSL_AD_PROTOCOL_VERSION);
    }
    call_end(&call);
    return version;
}

/* Proves T-8489-6.2.3-07 */
static void version__old_ones_are_refused(void **state)
{
    const enum tls_version unset = (enum tls_version)0;

    (void)state;
    assert_int_equal(version_of(TLS_STREAM, unset, unset, TLS1_VERSION), 0);
    assert_int_equal(version_of(TLS_STREAM, unset, unset, TLS1_1_VERSION), 0);
    assert_int_equal(version_of(TLS_STREAM, unset, unset, TLS1_2_VERSION), TLS1_2_VERSION);
    assert_int_equal(version_of(TLS_STREAM, unset, unset, TLS1_3_VERSION), TLS1_3_VERSION);
    assert_int_equal(version_of(TLS_DATAGRAM, unset, unset, DTLS1_VERSION), 0);
    assert_int_equal(version_of(TLS_DATAGRAM, unset, unset, DTLS1_2_VERSION), DTLS1_2_VERSION);
}

static void version__is_what_the_section_says(void **state)
{
    (void)state;
    assert_int_equal(version_of(TLS_STREAM, TLS_1_0, TLS_1_3, TLS1_VERSION), TLS1_VERSION);
    assert_int_equal(version_of(TLS_STREAM, TLS_1_1, TLS_1_3, TLS1_1_VERSION), TLS1_1_VERSION);
    assert_int_equal(version_of(TLS_STREAM, TLS_1_1, TLS_1_3, TLS1_VERSION), 0);
    assert_int_equal(version_of(TLS_STREAM, TLS_1_3, TLS_1_3, TLS1_2_VERSION), 0);
    assert_int_equal(version_of(TLS_STREAM, TLS_1_2, TLS_1_2, TLS1_3_VERSION), 0);
    assert_int_equal(version_of(TLS_DATAGRAM, TLS_1_0, TLS_1_1, DTLS1_2_VERSION), DTLS1_2_VERSION);
    assert_int_equal(version_of(TLS_DATAGRAM, TLS_1_0, TLS_1_3, DTLS1_VERSION), 0);
}

/* What an SSL takes from its first context follows the name, too. */
static void settings__follow_the_name(void **state)
{
    const struct tls_section sections[] = {
        {.certificate = rsa_file, .version_max = TLS_1_2, .groups = "P-256"},
        {.certificate = ec_file,
         .name = "new",
         .version_min = TLS_1_3,
         .groups = "P-384",
         .ciphersuites = "TLS_AES_256_GCM_SHA384"},
    };
    struct tls_set *set = call_set(sections, 2, NULL);
    struct call to_new = {.to = tls_set_context(set, TLS_STREAM, NULL), .sni = "new"};
    struct call to_old = {.to = tls_set_context(set, TLS_STREAM, "new"), .sni = "old"};
    struct call back = {.to = tls_set_context(set, TLS_STREAM, NULL), .sni = "old"};

    (void)state;
    assert_true(call_make(&to_new));
    assert_int_equal(SSL_version(to_new.client), TLS1_3_VERSION);
    assert_string_equal(SSL_get_cipher_name(to_new.client), "TLS_AES_256_GCM_SHA384");
    assert_int_equal(SSL_get_negotiated_group(to_new.server), NID_secp384r1);
    assert_true(call_make(&to_old)); /* unknown: stays with "new" */
    assert_int_equal(SSL_version(to_old.client), TLS1_3_VERSION);
    assert_true(call_make(&back));
    assert_int_equal(SSL_version(back.client), TLS1_2_VERSION);
    call_end(&to_new);
    call_end(&to_old);
    call_end(&back);
    tls_set_unref(set);
}

/* A group that the client did not guess costs a second ClientHello, which leads the same way. */
static void second_hello__keeps_its_section(void **state)
{
    const struct tls_section sections[] = {
        {.certificate = rsa_file},
        {.certificate = ec_file, .name = "other", .groups = "P-384"},
    };
    struct tls_set *set = call_set(sections, 2, NULL);
    struct call call = {
        .to = tls_set_context(set, TLS_STREAM, NULL), .sni = "other", .groups = "X25519:P-384"};

    (void)state;
    assert_true(call_make(&call));
    assert_string_equal(call_peer(&call), "ec");
    assert_int_equal(SSL_get_negotiated_group(call.server), NID_secp384r1);
    call_end(&call);
    tls_set_unref(set);
}

/* The ClientHello of `call` with DEFLATE offered before null; returns its length. */
static size_t hello_with_deflate(struct call *call, uint8_t *out, size_t cap)
{
    enum { RECORD = 5, HEAD = 4, VERSION = 2, RANDOM = 32 };

    const int n = BIO_read(SSL_get_wbio(call->server), out, (int)cap - 1);

    assert_true(n > RECORD + HEAD);
    size_t at = RECORD + HEAD + VERSION + RANDOM;
    at += 1U + out[at];                              /* session */
    at += 2U + (size_t)(out[at] << 8 | out[at + 1]); /* suites */
    assert_int_equal(out[at], 1);                    /* one method: null */
    memmove(out + at + 2, out + at + 1, (size_t)n - at - 1);
    out[at] = 2;
    out[at + 1] = 1; /* RFC 3749 section 2: DEFLATE */
    be16_put(out + 3, (uint16_t)(n + 1 - RECORD));
    be16_put(out + RECORD + 2, (uint16_t)(n + 1 - RECORD - HEAD));
    return (size_t)n + 1;
}

/* Proves T-8489-6.2.3-06 */
static void compression__is_never_chosen(void **state)
{
    const struct tls_section section = with_rsa();
    struct tls_set *set = call_set(&section, 1, NULL);
    struct call call = {.to = tls_set_context(set, TLS_STREAM, NULL), .max = TLS1_2_VERSION};
    uint8_t bytes[2000];

    (void)state;
    call_begin(&call);
    (void)SSL_do_handshake(call.client);
    const size_t n = hello_with_deflate(&call, bytes, sizeof(bytes));
    BIO *in = BIO_new_mem_buf(bytes, (int)n);
    BIO *out = BIO_new(BIO_s_mem());
    SSL_set_bio(call.server, in, out);
    (void)SSL_do_handshake(call.server);
    assert_true(BIO_read(out, bytes, sizeof(bytes)) > 100);
    assert_int_equal(bytes[0], SSL3_RT_HANDSHAKE);
    assert_int_equal(bytes[5], SSL3_MT_SERVER_HELLO);
    const size_t session = bytes[5 + 4 + 2 + 32];
    assert_int_equal(bytes[5 + 4 + 2 + 32 + 1 + session + 2], 0);
    call_end(&call);
    tls_set_unref(set);
    ERR_clear_error();
}

static void renegotiation__is_refused(void **state) /* Proves K34 */
{
    const struct tls_section section = with_rsa();
    struct tls_set *set = call_set(&section, 1, NULL);
    struct call call = {.to = tls_set_context(set, TLS_STREAM, NULL), .max = TLS1_2_VERSION};
    char byte;

    (void)state;
    assert_true(call_make(&call));
    assert_int_equal(SSL_renegotiate(call.client), 1);
    (void)SSL_do_handshake(call.client);
    const int n = SSL_read(call.server, &byte, 1);
    assert_int_equal(SSL_get_error(call.server, n), SSL_ERROR_WANT_READ);
    (void)SSL_do_handshake(call.client);
    assert_int_equal(call.alert, SSL_AD_NO_RENEGOTIATION);
    assert_int_equal(SSL_num_renegotiations(call.server), 0);
    call_end(&call);
    tls_set_unref(set);
    ERR_clear_error();
}

static void manners__are_those_of_a_server_that_never_waits(void **state) /* Proves K33 */
{
    const struct tls_section section = with_rsa();
    struct tls_set *set = call_set(&section, 1, NULL);
    const long modes = SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                       SSL_MODE_RELEASE_BUFFERS;
    const uint64_t options = SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                             SSL_OP_NO_COMPRESSION | SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION;

    (void)state;
    for (int kind = 0; kind < TLS_KINDS; kind++) {
        SSL *ssl = SSL_new(tls_set_context(set, (enum tls_kind)kind, NULL));

        assert_int_equal(SSL_get_mode(ssl) & modes, modes);
        assert_int_equal(SSL_get_options(ssl) & options, options);
        assert_int_equal(SSL_get_options(ssl) & SSL_OP_PRIORITIZE_CHACHA, 0);
        assert_int_equal(SSL_get_read_ahead(ssl), 0);
        SSL_free(ssl);
    }
    tls_set_unref(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(suite__that_must_be_is_there),
        cmocka_unit_test(every_suite__works_alone),
        cmocka_unit_test(finite_field__is_there_for_those_who_want_it),
        cmocka_unit_test(forward_secrecy__is_preferred),
        cmocka_unit_test(weak_suite__is_never_taken),
        cmocka_unit_test(suites__none_left_is_an_error),
        cmocka_unit_test(version__old_ones_are_refused),
        cmocka_unit_test(version__is_what_the_section_says),
        cmocka_unit_test(settings__follow_the_name),
        cmocka_unit_test(second_hello__keeps_its_section),
        cmocka_unit_test(compression__is_never_chosen),
        cmocka_unit_test(renegotiation__is_refused),
        cmocka_unit_test(manners__are_those_of_a_server_that_never_waits),
    };

    return cmocka_run_group_tests(tests, make, unmake);
}

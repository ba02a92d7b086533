/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/tls_conf.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "io/file_keeper.h"
#include "io/tls_call.h"
#include "relay_conf.h"

#define BASE "realm=example.org\nlt-cred-mech\nuser=a:b\n"

static struct pki authority;
static struct pki leaf;
static struct pki other;
static struct pki client;

static int make(void **state)
{
    (void)state;
    if (pki_begin() < 0) {
        return -1;
    }
    authority = pki_make((struct pki_want){.name = "authority", .ca = true});
    leaf = pki_make((struct pki_want){.name = "leaf"});
    other = pki_make((struct pki_want){.name = "other"});
    client = pki_make((struct pki_want){.name = "client", .issuer = &authority, .serial = 5});
    (void)pki_cert_file("cert.pem", &leaf, NULL);
    (void)pki_key_file("key.pem", &leaf, NULL);
    (void)pki_key_file("locked.pem", &leaf, "sesame");
    (void)pki_both_file("other.pem", &other);
    (void)pki_cert_file("ca.pem", &authority, NULL);
    (void)pki_crl_file("crl.pem", &authority, &client, PKI_DAY);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    pki_free(&authority);
    pki_free(&leaf);
    pki_free(&other);
    pki_free(&client);
    return pki_end();
}

/* A configuration in whose text every '@' stands for the folder of the files. */
static struct conf *conf_at(const char *text)
{
    char whole[4000];
    size_t n = (size_t)snprintf(whole, sizeof(whole), "%s", BASE);

    for (; *text != 0; text++) {
        const char one[] = {*text, 0};

        n += (size_t)snprintf(whole + n, sizeof(whole) - n, "%s", *text == '@' ? pki_dir : one);
        assert_true(n < sizeof(whole));
    }
    return relay_conf(whole);
}

static char why[300];

static int result_of(const char *text, struct tls_set **out)
{
    struct conf *conf = conf_at(text);

    why[0] = 0;
    const int result = tls_conf_make(conf, NULL, out, why, sizeof(why));
    assert_int_equal(tls_conf_check(conf, why, sizeof(why)), result);
    conf_unref(conf);
    return result;
}

static struct tls_set *set_of(const char *text)
{
    struct tls_set *set = NULL;

    if (result_of(text, &set) != 0) {
        fail_msg("%s", why);
    }
    return set;
}

/* Whether `set` and a client of `max`, `ciphers`, `identity` come together. */
static bool meets(struct tls_set *set, struct call call)
{
    call.to = tls_set_context(set, call.kind, NULL);
    const bool ok = call_make(&call);
    call_end(&call);
    return ok;
}

static void nothing__is_made_without_a_certificate(void **state)
{
    struct tls_set *set = NULL;

    (void)state;
    assert_int_equal(result_of("", &set), 0);
    assert_null(set);
    assert_int_equal(result_of("CA-file=/none\ncipher-list=NONE\n", &set), 0);
    assert_null(set);
}

static void options__are_the_default_section(void **state)
{
    struct tls_set *set = set_of("cert=@/cert.pem\npkey=@/key.pem\n");

    (void)state;
    assert_true(meets(set, (struct call){.max = TLS1_2_VERSION}));
    assert_true(meets(set, (struct call){.max = TLS1_3_VERSION}));
    assert_true(meets(set, (struct call){.kind = TLS_DATAGRAM}));
    assert_false(meets(set, (struct call){.max = TLS1_1_VERSION, .ciphers = "ALL:@SECLEVEL=0"}));
    tls_set_unref(set);
    set = set_of("cert=@/cert.pem\npkey=@/locked.pem\npkey-pwd=sesame\n");
    tls_set_unref(set);
    set = set_of("cert=@/other.pem\n");
    tls_set_unref(set);
}

static void options__choose_versions(void **state)
{
    static const struct {
        const char *options;
        bool takes[4]; /* TLS 1.0 to 1.3 */
    } cases[] = {
        {"", {false, false, true, true}},
        {"tlsv1\n", {true, true, true, true}},
        {"tlsv1_1\n", {false, true, true, true}},
        {"no-tlsv1_2\n", {false, false, false, true}},
        {"no-tlsv1_2\ntlsv1\n", {false, false, false, true}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[200];

        (void)snprintf(text, sizeof(text), "cert=@/other.pem\n%s", cases[i].options);
        struct tls_set *set = set_of(text);
        for (int v = 0; v < 4; v++) {
            const struct call call = {
                .min = TLS1_VERSION + v, .max = TLS1_VERSION + v, .ciphers = "ALL:@SECLEVEL=0"};
            assert_int_equal(meets(set, call), cases[i].takes[v]);
        }
        tls_set_unref(set);
    }
}

static void options__choose_suites_and_groups(void **state)
{
    struct tls_set *set = set_of("cert=@/other.pem\ncipher-list=ECDHE-ECDSA-AES256-GCM-SHA384\n"
                                 "ec-curve-name=secp384r1\n");

    (void)state;
    assert_true(meets(
        set, (struct call){.max = TLS1_2_VERSION, .ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384"}));
    assert_false(meets(
        set, (struct call){.max = TLS1_2_VERSION, .ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256"}));
    assert_true(meets(set, (struct call){.groups = "P-384"}));
    assert_false(meets(set, (struct call){.groups = "P-256:X25519"}));
    tls_set_unref(set);
}

/* As coturn. */
static void options__authorities_demand_certificates(void **state)
{
    struct tls_set *set = set_of("cert=@/other.pem\nCA-file=@/ca.pem\n");

    (void)state;
    assert_true(meets(set, (struct call){.identity = &client}));
    assert_false(meets(set, (struct call){.max = TLS1_3_VERSION}));
    assert_false(meets(set, (struct call){.kind = TLS_DATAGRAM}));
    tls_set_unref(set);
}

static void section__has_every_key(void **state)
{
    struct tls_set *set = set_of("[tls]\ncert = @/cert.pem\nchain = @/ca.pem\n"
                                 "pkey = @/locked.pem\npkey-pwd = sesame\nmin-version = 1.3\n"
                                 "max-version = 1.3\nciphersuites = TLS_AES_256_GCM_SHA384\n"
                                 "groups = P-384\n"
                                 "[tls \"b\"]\ncertificate = @/other.pem\n");
    struct call call = {.to = tls_set_context(set, TLS_STREAM, NULL), .groups = "P-384"};

    (void)state;
    assert_true(call_make(&call));
    assert_string_equal(call_peer(&call), "leaf");
    assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(call.client)), 2);
    assert_string_equal(SSL_get_cipher_name(call.client), "TLS_AES_256_GCM_SHA384");
    call_end(&call);
    assert_false(meets(set, (struct call){.max = TLS1_2_VERSION}));
    assert_non_null(tls_set_context(set, TLS_STREAM, "b"));
    assert_null(tls_set_context(set, TLS_STREAM, "c"));
    tls_set_unref(set);
}

static void section__stands_beside_the_options(void **state)
{
    struct tls_set *set = set_of("cert=@/cert.pem\npkey=@/key.pem\n"
                                 "[tls \"*.example.org\"]\ncertificate=@/other.pem\n");
    struct call plain = {.to = tls_set_context(set, TLS_STREAM, NULL)};
    struct call named = {.to = tls_set_context(set, TLS_STREAM, NULL), .sni = "a.example.org"};

    (void)state;
    assert_true(call_make(&plain));
    assert_string_equal(call_peer(&plain), "leaf");
    assert_true(call_make(&named));
    assert_string_equal(call_peer(&named), "other");
    call_end(&plain);
    call_end(&named);
    tls_set_unref(set);
}

static void section__says_how_clients_are_verified(void **state)
{
    static const struct {
        const char *lines;
        bool without; /* a certificate */
        bool with;
    } cases[] = {
        {"", true, true},
        {"ca-file=@/ca.pem\n", false, true},
        {"ca-file=@/ca.pem\nverify-client=required\nverify-depth=1\n", false, true},
        {"ca-file=@/ca.pem\nverify-client=optional\n", true, true},
        {"ca-file=@/ca.pem\nverify-client=off\n", true, true},
        {"ca-file=@/ca.pem\ncrl-file=@/crl.pem\n", false, false},
        {"ca-file=@/ca.pem\ncrl-file=@/crl.pem\nverify-client=optional\n", true, false},
        {"crl-file=@/crl.pem\n", true, true}, /* without effect: a warning of the loader's */
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[300];

        (void)snprintf(text, sizeof(text), "[tls]\ncertificate=@/other.pem\n%s", cases[i].lines);
        struct tls_set *set = set_of(text);
        assert_int_equal(meets(set, (struct call){.max = TLS1_3_VERSION}), cases[i].without);
        assert_int_equal(meets(set, (struct call){.identity = &client}), cases[i].with);
        tls_set_unref(set);
    }
}

static void refused(const char *text, const char *part)
{
    struct tls_set *set = NULL;

    assert_int_equal(result_of(text, &set), -EINVAL);
    assert_null(set);
    if (strstr(why, part) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", why, part);
    }
}

static void message__says_where(void **state)
{
    (void)state;
    refused("cert=@/none.pem\n", "option cert: /tmp/");
    refused("cert=@/cert.pem\n", "/cert.pem: holds no private key in PEM form");
    refused("cert=@/cert.pem\npkey=@/other.pem\n", "does not belong to the certificate in /tmp/");
    refused("cert=@/cert.pem\npkey=@/key.pem\n\n[tls \"b\"]\ncertificate=@/none.pem\n",
            "test.conf:7: /tmp/");
    refused("cert=@/cert.pem\npkey=@/locked.pem\n", "the private key is encrypted");
    refused("[tls \"b c\"]\ncertificate=@/other.pem\n", "test.conf:4: 'b c' is not a host name");
}

static void warning__is_handed_on(void **state)
{
    struct pki old = pki_make(
        (struct pki_want){.name = "old", .from_s = -20 * PKI_DAY, .until_s = -3 * PKI_DAY - 100});
    struct tls_set *set = NULL;

    (void)state;
    (void)pki_both_file("old.pem", &old);
    assert_int_equal(result_of("cert=@/old.pem\n", &set), 1);
    assert_non_null(set);
    assert_non_null(strstr(why, "old.pem: the certificate expired 3 days ago"));
    tls_set_unref(set);
    pki_free(&old);
}

static void paths__are_those_of_all_files(void **state)
{
    struct conf *conf = conf_at("cert=@/a\npkey=@/b\nCA-file=@/c\ndh-file=@/d\n"
                                "[tls \"x\"]\ncertificate=@/e\nchain=@/f\nprivate-key=@/g\n"
                                "ca-file=@/h\ncrl-file=@/i\ndh-file=@/j\nocsp-file=@/k\n");
    const char *out[11] = {NULL};

    (void)state;
    assert_int_equal(tls_conf_paths(conf, NULL, 0), 11);
    assert_int_equal(tls_conf_paths(conf, out, 3), 11);
    assert_null(out[3]);
    assert_int_equal(tls_conf_paths(conf, out, COUNT_OF(out)), 11);
    for (size_t i = 0; i < COUNT_OF(out); i++) {
        assert_int_equal(out[i][strlen(out[i]) - 1], 'a' + (int)i);
    }
    conf_unref(conf);
}

/* A server that has become nobody renews its certificate. */
static void keeper__opens_what_only_root_may_read(void **state)
{
    struct conf *conf = conf_at("cert=@/cert.pem\npkey=@/key.pem\n");
    const char *paths[4];
    struct file_keeper *keeper = NULL;
    struct tls_set *set = NULL;

    (void)state;
    if (geteuid() != 0) {
        conf_unref(conf);
        CHECK_SKIP("needs root, to give it up");
    }
    const size_t count = tls_conf_paths(conf, paths, COUNT_OF(paths));
    assert_int_equal(file_keeper_start(paths, count, &keeper), 0);
    assert_int_equal(chmod(pki_path("key.pem"), 0600), 0);
    assert_int_equal(chmod(pki_dir, 0700), 0); /* as Let's Encrypt's folders: closed altogether */
    assert_int_equal(seteuid(65534), 0);
    assert_int_equal(tls_conf_make(conf, NULL, &set, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "cert.pem: the server's user may not read it"));
    assert_int_equal(tls_conf_make_kept(conf, NULL, keeper, &set, why, sizeof(why)), 0);
    assert_false(tls_set_files_changed(set));
    assert_int_equal(seteuid(0), 0);
    (void)pki_text("key.pem", "another");
    assert_int_equal(seteuid(65534), 0);
    assert_true(tls_set_files_changed(set));
    assert_int_equal(seteuid(0), 0);
    (void)pki_key_file("key.pem", &leaf, NULL);
    tls_set_unref(set);
    file_keeper_stop(keeper);
    conf_unref(conf);
}

static void set__without_memory_is_none(void **state)
{
    (void)state;
#ifdef STERNA_FAULT_INJECTION
    struct conf *conf = conf_at("cert=@/other.pem\n[tls \"b\"]\ncertificate=@/other.pem\n");
    struct tls_set *set = NULL;
    int err = -ENOMEM;

    for (long n = 0; err < 0; n++) {
        mem_fail_at(n);
        err = tls_conf_make(conf, NULL, &set, why, sizeof(why));
        mem_fail_at(-1);
        assert_true(err == 0 || err == -ENOMEM);
    }
    tls_set_unref(set);
    conf_unref(conf);
    assert_int_equal(tls_set_live_count(), 0);
#else
    CHECK_SKIP("built without fault injection");
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing__is_made_without_a_certificate),
        cmocka_unit_test(options__are_the_default_section),
        cmocka_unit_test(options__choose_versions),
        cmocka_unit_test(options__choose_suites_and_groups),
        cmocka_unit_test(options__authorities_demand_certificates),
        cmocka_unit_test(section__has_every_key),
        cmocka_unit_test(section__stands_beside_the_options),
        cmocka_unit_test(section__says_how_clients_are_verified),
        cmocka_unit_test(message__says_where),
        cmocka_unit_test(warning__is_handed_on),
        cmocka_unit_test(paths__are_those_of_all_files),
        cmocka_unit_test(keeper__opens_what_only_root_may_read),
        cmocka_unit_test(set__without_memory_is_none),
    };

    return cmocka_run_group_tests(tests, make, unmake);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Which clients are taken where, and what is told about it. */
#include "conf/conf_listener.h"

#include "conf_tests.h"

#define USER "realm=x\nuser=a:b\n"
#define CERT USER "cert=/c\npkey=/k\n"

/* "pP sS" in the order UDP plain, UDP secure, TCP plain, TCP secure, proxy: '1' where taken. */
static void expect_takes(const struct conf_listener *l, const char *wanted)
{
    const char got[] = {l->takes[CONF_UDP].plain ? '1' : '0',
                        l->takes[CONF_UDP].secure ? '1' : '0',
                        l->takes[CONF_TCP].plain ? '1' : '0',
                        l->takes[CONF_TCP].secure ? '1' : '0',
                        l->proxy ? '1' : '0',
                        0};

    assert_string_equal(got, wanted);
}

static void options__say_who_is_taken(void **state)
{
    static const char *const cases[][2] = {
        {USER, "10100"},
        {USER "dtls\n", "10100"}, /* no certificate */
        {CERT, "10110"},
        {CERT "dtls\n", "11110"},
        {CERT "no-dtls=false\n", "11110"},
        {CERT "dtls\nno-udp\nno-tcp\n", "01010"},
        {CERT "no-tls\nno-tcp\n", "10000"},
        {USER "[tls]\ncert=/c\n", "10110"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct conf *conf = conf_checked_of(cases[i][0]);
        const struct conf_listener l = conf_listener_default(conf);

        expect_takes(&l, cases[i][1]);
        assert_string_equal(l.tls_name, "");
        conf_unref(conf);
    }
}

static void section__says_who_is_taken(void **state)
{
    static const char *const cases[][2] = {
        {CERT "[listener]\n", "10110"},
        {CERT "dtls\n[listener]\n", "11110"},
        {CERT "no-udp\nno-tcp\nno-tls\n[listener]\n", "10110"}, /* those are about the options */
        {CERT "[listener]\ntransport=udp\n", "10000"},
        {CERT "[listener]\ntransport=tcp,udp\n", "10110"},
        {CERT "[listener]\nencryption=tls\n", "00010"},
        {CERT "[listener]\nencryption=tls\ntransport=udp,tcp\n", "01010"},
        {CERT "[listener]\nencryption=plain\n", "10100"},
        {CERT "[listener]\nproxy-protocol\n", "00111"},
        {USER "[listener]\n", "10100"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct conf *conf = conf_of(cases[i][0]);
        const struct conf_listener l =
            conf_listener_read(conf, conf_section_find(conf, "listener", ""));

        expect_takes(&l, cases[i][1]);
        conf_unref(conf);
    }
}

static void service__must_be_left(void **state)
{
    (void)state;
    conf_expect(USER "no-udp\nno-tcp\n", CONF_ERROR, "TLS and DTLS need a certificate");
    conf_expect(CERT "no-udp\nno-tcp\nno-tls\n", CONF_ERROR, "nothing is left to serve");
    conf_expect(CERT "no-udp\nno-tcp\ntls-listening-port=0\n", CONF_ERROR,
                "tls-listening-port is 0");
    conf_expect_good(USER "no-udp\n");
    conf_expect_good(CERT "no-udp\nno-tcp\n");
    conf_expect_good(CERT "no-udp\nno-tcp\nno-tls\ndtls\n");
    conf_expect_good(USER "no-udp\nno-tcp\n[listener]\naddress=192.0.2.1:80\n");
    conf_expect_good(CERT "no-udp\nno-tcp\ntls-listening-port=0\ntcp-proxy-port=81\n"
                          "proxy-protocol-from=192.0.2.1\n");
}

static void relay__must_be_left(void **state)
{
    (void)state;
    conf_expect(USER "no-udp-relay\nno-tcp-relay\n", CONF_WARNING, "every allocation is refused");
    conf_expect(USER "no-udp-relay\nno-tcp\n", CONF_WARNING, "which are not served");
    conf_expect_good(USER "no-udp-relay\n");
    conf_expect_good(CERT "no-udp-relay\nno-tcp\n");
    conf_expect_good(USER "stun-only\nno-udp-relay\nno-tcp-relay\n");
}

static void certificate__is_missed_where_it_is_needed(void **state)
{
    (void)state;
    conf_expect(USER, CONF_NOTE, "TLS and DTLS clients are not served");
    conf_expect(USER "dtls\n", CONF_WARNING, "'dtls' has no effect without a certificate");
    conf_expect(USER "pkey=/k\n", CONF_WARNING, "'pkey' has no effect without a certificate");
    conf_expect(USER "tls-listening-port=443\n", CONF_WARNING,
                "'tls-listening-port' has no effect");
    conf_expect(USER "[listener]\naddress=192.0.2.1\nencryption=tls\n", CONF_ERROR,
                "encryption=tls needs a certificate");
    conf_expect_good(USER "dtls=off\nno-tls\n");
    conf_expect_good(CERT "dtls\ntls-listening-port=443\n");
    conf_expect_good(USER "cert=/both\n");
    struct conf *conf = conf_checked_of(USER "no-tls\n");
    assert_null(conf_finding_with(conf, "certificate"));
    conf_unref(conf);
}

static void versions__that_are_old_are_told(void **state)
{
    (void)state;
    conf_expect(CERT "tlsv1\n", CONF_WARNING, "'tlsv1' allows a version of TLS that is not safe");
    conf_expect(CERT "tlsv1_1\nno-tlsv1_2\n", CONF_WARNING,
                "with no-tlsv1_2, 'tlsv1_1' has no effect");
    conf_expect(USER "[tls]\ncert=/c\nmin-version=1.1\n", CONF_WARNING, "min-version=1.1 allows");
    conf_expect(USER "[tls]\ncert=/c\nmax-version=1.1\n", CONF_ERROR,
                "is below min-version (1.2 by");
    conf_expect(USER "[tls]\ncert=/c\nmin-version=1.3\nmax-version=1.2\n", CONF_ERROR,
                "is below min-version (1.3)");
    conf_expect_good(CERT "no-tlsv1_2\n");
    conf_expect_good(USER "[tls]\ncert=/c\nmin-version=1.3\nmax-version=1.3\n");
}

/* Proves T-8155-9-01 */
static void open_server__has_to_offer_tls(void **state)
{
    struct conf *conf = conf_checked_of("no-auth\ncert=/c\n");

    (void)state;
    assert_null(conf_finding_with(conf, "RFC 8155"));
    conf_unref(conf);
    conf_expect("no-auth\n", CONF_WARNING, "has to offer TLS or DTLS (RFC 8155 section 9)");
    conf_expect("no-auth\ncert=/c\nno-tls\n", CONF_WARNING, "RFC 8155 section 9");
    conf_expect_good("no-auth\nstun-only\n");
}

static void proxy__is_told_whom_to_believe(void **state)
{
    (void)state;
    conf_expect(USER "tcp-proxy-port=81\n", CONF_WARNING, "from private, loopback and link-local");
    conf_expect(USER "[listener]\naddress=192.0.2.1:81\nproxy-protocol\n", CONF_WARNING,
                "from private, loopback and link-local");
    conf_expect(USER "proxy-protocol-from=192.0.2.0/24\n", CONF_WARNING, "has no effect without");
    conf_expect(USER "proxy-protocol-from=192.0.2.1/24\n", CONF_ERROR, "the first address");
    conf_expect(USER "tcp-proxy-port=3478\n", CONF_ERROR,
                "a port of its own: 3478 is listening-port");
    conf_expect(USER "tcp-proxy-port=5349\n", CONF_ERROR, "5349 is tls-listening-port");
    conf_expect(USER "[listener]\naddress=192.0.2.1:81\nproxy-protocol\ntransport=udp,tcp\n",
                CONF_ERROR, "over UDP the PROXY protocol is believed from listed balancers only");
    conf_expect_good("proxy-protocol-from=192.0.2.9\n" USER
                     "[listener]\naddress=192.0.2.1:81\nproxy-protocol\ntransport=udp\n");
    conf_expect_good(USER "tcp-proxy-port=81\nproxy-protocol-from=192.0.2.0/24\n"
                          "proxy-protocol-from=2001:db8::1\n");
}

static void redirect__is_a_plain_url(void **state)
{
    (void)state;
    conf_expect(USER "acme-redirect=ftp://x\n", CONF_ERROR, "acme-redirect wants a URL");
    conf_expect(USER "acme-redirect=http://x y\n", CONF_ERROR, "acme-redirect wants a URL");
    conf_expect(USER "acme-redirect=http://\xc3\xa4\n", CONF_ERROR, "acme-redirect wants a URL");
    conf_expect(USER "acme-redirect=http://x\x01\n", CONF_ERROR, "acme-redirect wants a URL");
    conf_expect_good(USER "acme-redirect=http://acme.example.org\n");
    conf_expect_good(USER "acme-redirect=https://acme.example.org:8443/a?b\n");
}

static void tls_section__makes_sense(void **state)
{
    char text[400] = USER "[tls \"";

    (void)state;
    conf_expect(USER "[tls]\npkey=/k\n", CONF_ERROR, "[tls] needs 'certificate = path'");
    conf_expect(USER "[tls]\ncert=/c\nverify-client=required\n", CONF_ERROR,
                "needs 'ca-file = path'");
    conf_expect(USER "[tls]\ncert=/c\ncrl-file=/r\n", CONF_WARNING, "crl-file has no effect");
    conf_expect(USER "[tls]\ncert=/c\nca-file=/a\nverify-client=off\ncrl-file=/r\n", CONF_WARNING,
                "crl-file has no effect");
    conf_expect(CERT "[tls]\ncert=/c\n", CONF_ERROR, "'cert' is given, too");
    conf_expect(USER "[tls \"a\"]\ncert=/c\n[tls \"A\"]\ncert=/c\n", CONF_ERROR,
                "there is such a section in line 3 already");
    memset(text + strlen(text), 'x', 256);
    (void)strcat(text, "\"]\ncert=/c\n");
    conf_expect(text, CONF_ERROR, "255 bytes at most");
    conf_expect_good(USER "[tls]\ncert=/c\nca-file=/a\ncrl-file=/r\n[tls \"a\"]\ncert=/c\n");
    conf_expect_good(CERT "[tls \"a\"]\ncert=/c\nca-file=/a\nverify-client=optional\n");
}

static void listener_section__makes_sense(void **state)
{
    (void)state;
    conf_expect(USER "[listener]\ntransport=udp\n", CONF_ERROR, "[listener] needs 'address");
    conf_expect(CERT "[listener]\naddress=192.0.2.1\ntls-name=y\n", CONF_ERROR,
                "there is no section [tls \"y\"]");
    conf_expect(USER "[tls \"y\"]\ncert=/c\n[listener]\naddress=192.0.2.1\ntls-name=y\n"
                     "encryption=plain\n",
                CONF_WARNING, "tls-name has no effect");
    conf_expect(USER "[listener]\naddress=192.0.2.1\n[listener]\naddress=192.0.2.2\n", CONF_ERROR,
                "there is such a section");
    conf_expect_good(USER
                     "[tls \"y\"]\ncert=/c\n[listener \"a\"]\naddress=192.0.2.1:443\ntls-name=y\n"
                     "encryption=tls\n[listener \"b\"]\naddress=192.0.2.1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options__say_who_is_taken),
        cmocka_unit_test(section__says_who_is_taken),
        cmocka_unit_test(service__must_be_left),
        cmocka_unit_test(relay__must_be_left),
        cmocka_unit_test(certificate__is_missed_where_it_is_needed),
        cmocka_unit_test(versions__that_are_old_are_told),
        cmocka_unit_test(open_server__has_to_offer_tls),
        cmocka_unit_test(proxy__is_told_whom_to_believe),
        cmocka_unit_test(redirect__is_a_plain_url),
        cmocka_unit_test(tls_section__makes_sense),
        cmocka_unit_test(listener_section__makes_sense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

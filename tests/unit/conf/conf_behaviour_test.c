/* SPDX-License-Identifier: Apache-2.0 */
/* Where NAT behaviour discovery is served (RFC 5780 section 6), and what is said about it. */
#include "conf/conf_behaviour.h"

#include "conf_tests.h"

#define BASE "realm=example.org\nstun-only\nrfc5780\n"
#define TWO  "listening-ip=192.0.2.1\nlistening-ip=192.0.2.2\n"
#define TWO6 "listening-ip=2001:db8::1\nlistening-ip=2001:db8::2\n"

static struct conf_behaviour read_of(const char *text)
{
    struct conf *conf = conf_checked_of(text);
    const struct conf_behaviour behaviour = conf_behaviour_read(conf);

    conf_unref(conf);
    return behaviour;
}

static struct net_ip ip_of(const char *text)
{
    struct net_ip ip;

    assert_int_equal(net_ip_parse(text, &ip), 0);
    return ip;
}

/* Proves T-5780-6-01 */
static void pair__is_the_first_two_of_a_family(void **state)
{
    const struct conf_behaviour b = read_of(
        BASE "listening-ip=2001:db8::1\n" TWO
             "listening-ip=192.0.2.3\nlistening-ip=2001:db8::1\nlistening-ip=2001:db8::2\n");
    const struct net_ip third = ip_of("192.0.2.3");

    (void)state;
    assert_true(conf_behaviour_any(&b));
    for (int family = 0; family < 2; family++) {
        assert_int_equal(b.pair[family], CONF_PAIR_FOUND);
        for (int i = 0; i < 2; i++) {
            static const char *const wanted[2][2] = {{"192.0.2.1", "192.0.2.2"},
                                                     {"2001:db8::1", "2001:db8::2"}};
            const struct net_ip ip = ip_of(wanted[family][i]);
            assert_true(net_ip_equal(&b.ip[family][i], &ip));
            assert_true(conf_behaviour_has(&b, &ip));
        }
    }
    assert_false(conf_behaviour_has(&b, &third));
}

static void ports__are_the_next_ones_unless_given(void **state)
{
    struct conf_behaviour b = read_of(BASE TWO);

    (void)state;
    assert_int_equal(b.port[0], 3478);
    assert_int_equal(b.port[1], 3479);
    assert_int_equal(b.tls_port[0], 5349);
    assert_int_equal(b.tls_port[1], 5350);
    b = read_of(BASE TWO "listening-port=1\nalt-listening-port=7\ntls-listening-port=9\n"
                         "alt-tls-listening-port=11\n");
    assert_int_equal(b.port[1], 7);
    assert_int_equal(b.tls_port[1], 11);
    b = read_of(BASE TWO "tls-listening-port=0\n");
    assert_int_equal(b.tls_port[0], 0);
    assert_int_equal(b.tls_port[1], 0);
}

/* Proves T-5780-6-02 */
static void pair__is_missing_without_two_addresses(void **state)
{
    static const char *const texts[] = {
        BASE,
        BASE "listening-ip=192.0.2.1\n",
        BASE "listening-ip=192.0.2.1\nlistening-ip=192.0.2.1\n",
        BASE "listening-ip=192.0.2.1\nlistening-ip=2001:db8::1\n",
        BASE "listening-ip=0.0.0.0\nlistening-ip=192.0.2.1\n",
        ("realm=example.org\nstun-only\n" TWO),
    };
    const struct net_ip ip = ip_of("192.0.2.1");

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        const struct conf_behaviour b = read_of(texts[i]);
        assert_false(conf_behaviour_any(&b));
        assert_false(conf_behaviour_has(&b, &ip));
    }
    conf_expect(BASE "listening-ip=192.0.2.1\n", CONF_WARNING,
                "rfc5780 has no effect: it needs two addresses");
}

static void external_ip__must_tell_the_two_apart(void **state)
{
    static const struct {
        const char *text;
        enum conf_behaviour_pair pair[2];
    } cases[] = {
        {BASE TWO TWO6 "external-ip=203.0.113.1\n", {CONF_PAIR_ONE_FACE, CONF_PAIR_FOUND}},
        {BASE TWO TWO6 "external-ip=2001:db8:1::1\n", {CONF_PAIR_FOUND, CONF_PAIR_ONE_FACE}},
        {BASE TWO "external-ip=203.0.113.1\nexternal-ip=203.0.113.2/192.0.2.2\n",
         {CONF_PAIR_ONE_FACE, CONF_PAIR_MISSING}},
        {BASE TWO "external-ip=203.0.113.1/192.0.2.1\nexternal-ip=203.0.113.2/192.0.2.2\n"
                  "external-ip=203.0.113.3\n",
         {CONF_PAIR_FOUND, CONF_PAIR_MISSING}},
        {BASE TWO "external-ip=203.0.113.1/192.0.2.1\n", {CONF_PAIR_FOUND, CONF_PAIR_MISSING}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct conf_behaviour b = read_of(cases[i].text);
        assert_int_equal(b.pair[0], cases[i].pair[0]);
        assert_int_equal(b.pair[1], cases[i].pair[1]);
    }
    conf_expect(cases[0].text, CONF_WARNING, "rfc5780 is not served over IPv4");
    conf_expect(cases[1].text, CONF_WARNING, "rfc5780 is not served over IPv6");
}

/* Proves T-5780-6-01: "TCP and TLS MUST use different ports". */
static void ports__must_differ(void **state)
{
    (void)state;
    conf_expect(BASE TWO "alt-listening-port=3478\n", CONF_ERROR, "needs a port of its own");
    conf_expect(BASE TWO "listening-port=65535\n", CONF_ERROR, "needs a port beside");
    conf_expect(BASE TWO "cert=/c\npkey=/k\nalt-listening-port=5349\n", CONF_ERROR,
                "cannot be tls-listening-port");
    conf_expect(BASE TWO "cert=/c\npkey=/k\ntls-listening-port=3478\n", CONF_ERROR,
                "cannot be tls-listening-port");
    conf_expect(BASE TWO "cert=/c\npkey=/k\nalt-tls-listening-port=5349\n", CONF_ERROR,
                "needs a port of its own");
    struct conf *conf = conf_checked_of(BASE TWO "tls-listening-port=3478\n"); /* no certificate */
    assert_int_equal(conf->severity_count[CONF_ERROR], 0);
    conf_unref(conf);
}

static void options__say_when_they_are_idle(void **state)
{
    (void)state;
    conf_expect("realm=a\nstun-only\nrfc5780-padding\n", CONF_WARNING,
                "'rfc5780-padding' has no effect without rfc5780");
    conf_expect("realm=a\nstun-only\nalt-listening-port=9\n", CONF_WARNING,
                "'alt-listening-port' has no effect without rfc5780");
    conf_expect("realm=a\nno-auth\nrfc5780\nno-stun\n" TWO, CONF_WARNING,
                "with no-stun, rfc5780 has no effect");
    conf_expect("realm=a\nno-auth\nrfc3489-compatibility\nno-stun\n", CONF_WARNING,
                "with no-stun, rfc3489-compatibility has no effect");
    conf_expect("realm=a\nuser=a:b\nlt-cred-mech\nrfc3489-compatibility\nsecure-stun\n",
                CONF_WARNING, "with secure-stun, rfc3489-compatibility has no effect");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pair__is_the_first_two_of_a_family),
        cmocka_unit_test(ports__are_the_next_ones_unless_given),
        cmocka_unit_test(pair__is_missing_without_two_addresses),
        cmocka_unit_test(external_ip__must_tell_the_two_apart),
        cmocka_unit_test(ports__must_differ),
        cmocka_unit_test(options__say_when_they_are_idle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

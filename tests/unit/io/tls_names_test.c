/* SPDX-License-Identifier: Apache-2.0 */
#include "io/tls_int.h"
#include "tls_call.h"

static struct pki authority;
static struct pki leaf[4]; /* of the default, a.example.org, *.example.org, b.example.net */
static struct tls_section sections[4];
static struct tls_set *set;

static const enum tls_kind kinds[] = {TLS_STREAM, TLS_DATAGRAM};

static int make(void **state)
{
    static const char *const names[] = {"default", "a.example.org", "*.example.org",
                                        "b.example.net"};

    (void)state;
    if (pki_begin() < 0) {
        return -1;
    }
    authority = pki_make((struct pki_want){.name = "authority", .ca = true});
    for (int i = 0; i < 4; i++) {
        char file[20];

        leaf[i] = pki_make((struct pki_want){.name = names[i], .issuer = &authority, .serial = i});
        (void)snprintf(file, sizeof(file), "%d.pem", i);
        sections[i] = (struct tls_section){.name = i == 0 ? NULL : names[i],
                                           .certificate = pki_both_file(file, &leaf[i])};
    }
    sections[0].ocsp_file = pki_ocsp_file("0.der", &authority, &leaf[0], PKI_DAY);
    sections[1].ocsp_file = pki_ocsp_file("1.der", &authority, &leaf[1], PKI_DAY);
    sections[3].name = "B.Example.Net";
    set = call_set(sections, 4, NULL);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    tls_set_unref(set);
    for (int i = 0; i < 4; i++) {
        pki_free(&leaf[i]);
    }
    pki_free(&authority);
    return pki_end();
}

/* The certificate that a client that asks for `sni` sees. */
static const char *seen(enum tls_kind kind, const char *entry, const char *sni)
{
    static char name[100];
    struct call call = {.to = tls_set_context(set, kind, entry), .kind = kind, .sni = sni};

    assert_true(call_make(&call));
    assert_true(call_talks(&call));
    (void)snprintf(name, sizeof(name), "%s", call_peer(&call));
    call_end(&call);
    return name;
}

static void name__leads_to_its_section(void **state) /* Proves K35 */
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        assert_string_equal(seen(kinds[i], NULL, "a.example.org"), "a.example.org");
        assert_string_equal(seen(kinds[i], NULL, "A.EXAMPLE.org"), "a.example.org");
        assert_string_equal(seen(kinds[i], NULL, "b.example.net"), "b.example.net");
    }
}

static void wildcard__stands_for_one_label(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        assert_string_equal(seen(kinds[i], NULL, "c.example.org"), "*.example.org");
        assert_string_equal(seen(kinds[i], NULL, "d.c.example.org"), "default");
        assert_string_equal(seen(kinds[i], NULL, "example.org"), "default");
    }
}

static void unknown_name__stays_where_it_began(void **state) /* Proves K35 */
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        assert_string_equal(seen(kinds[i], NULL, "example.com"), "default");
        assert_string_equal(seen(kinds[i], NULL, NULL), "default");
        assert_string_equal(seen(kinds[i], "b.example.net", "example.com"), "b.example.net");
        assert_string_equal(seen(kinds[i], "b.example.net", "a.example.org"), "a.example.org");
    }
}

static void find__takes_any_bytes(void **state)
{
    struct tls_names *names = tls_names_new(1, NULL);
    uint8_t text[TLS_NAME_MAX + 1];
    const struct tls_host *twice;

    (void)state;
    assert_non_null(names);
    names->hosts[0].name = strdup("*.x");
    assert_true(tls_names_sort(names, &twice));
    memset(text, 'a', sizeof(text));
    assert_null(tls_names_find(names, (struct bytes){text, sizeof(text)}));
    assert_null(tls_names_find(names, (struct bytes){text, 0}));
    assert_null(tls_names_find(names, bytes_of(".x")));
    assert_null(tls_names_find(names, bytes_of("a.")));
    assert_null(tls_names_find(names, (struct bytes){(const uint8_t *)"a.x\0", 4}));
    assert_ptr_equal(tls_names_find(names, bytes_of("*.x")), &names->hosts[0]);
    text[TLS_NAME_MAX - 2] = '.';
    text[TLS_NAME_MAX - 1] = 'X';
    assert_ptr_equal(tls_names_find(names, (struct bytes){text, TLS_NAME_MAX}), &names->hosts[0]);
    tls_names_unref(names);
}

/* What the server chose of `offer`; "" when it chose nothing, NULL when it refused. */
static const char *chosen(enum tls_kind kind, int version, const char *offer, bool *discovery)
{
    static char name[100];
    struct call call = {.to = tls_set_context(set, kind, NULL),
                        .kind = kind,
                        .alpn = offer,
                        .sni = "a.example.org",
                        .max = version};
    const unsigned char *p = NULL;
    unsigned n = 0;
    const bool ok = call_make(&call);

    if (ok) {
        SSL_get0_alpn_selected(call.client, &p, &n);
        (void)snprintf(name, sizeof(name), "%.*s", (int)n, (const char *)p);
        *discovery = tls_is_discovery(call.server);
    } else {
        assert_int_equal(call.alert, SSL_AD_NO_APPLICATION_PROTOCOL);
    }
    call_end(&call);
    return ok ? name : NULL;
}

/* Proves T-7443-2-01, T-7301-3.1-01, T-7301-3.2-01, T-7301-3.2-02 */
static void protocol__is_chosen_by_our_preference(void **state)
{
    static const struct {
        enum tls_kind kind;
        int version;
    } ways[] = {{TLS_STREAM, TLS1_2_VERSION},
                {TLS_STREAM, TLS1_3_VERSION},
                {TLS_DATAGRAM, DTLS1_2_VERSION}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        const enum tls_kind kind = ways[i].kind;
        const int version = ways[i].version;
        bool is = true;

        assert_string_equal(chosen(kind, version, "\x09stun.turn", &is), "stun.turn");
        assert_false(is);
        assert_string_equal(chosen(kind, version, "\x12stun.nat-discovery", &is),
                            "stun.nat-discovery");
        assert_true(is);
        assert_string_equal(chosen(kind, version, "\x02h2\x12stun.nat-discovery\x09stun.turn", &is),
                            "stun.turn");
        assert_false(is);
        assert_string_equal(chosen(kind, version, NULL, &is), "");
        assert_false(is);
        assert_null(chosen(kind, version, "\x02h2", &is));
        assert_null(chosen(kind, version, "\x08stun.tur\x0astun.turn2", &is));
    }
}

static bool stapled(enum tls_kind kind, const char *sni, bool wants, int version)
{
    struct call call = {.to = tls_set_context(set, kind, NULL),
                        .kind = kind,
                        .sni = sni,
                        .max = version,
                        .wants_status = wants};
    const unsigned char *der = NULL;

    assert_true(call_make(&call));
    const long n = SSL_get_tlsext_status_ocsp_resp(call.client, &der);
    call_end(&call);
    return n > 0;
}

static void answer__is_stapled_when_asked_for(void **state)
{
    (void)state;
    assert_true(stapled(TLS_STREAM, NULL, true, TLS1_3_VERSION));
    assert_true(stapled(TLS_STREAM, NULL, true, TLS1_2_VERSION));
    assert_true(stapled(TLS_DATAGRAM, NULL, true, DTLS1_2_VERSION));
    assert_true(stapled(TLS_STREAM, "a.example.org", true, TLS1_3_VERSION));
    assert_true(stapled(TLS_DATAGRAM, "a.example.org", true, DTLS1_2_VERSION));
    assert_false(stapled(TLS_STREAM, NULL, false, TLS1_3_VERSION));
    assert_false(stapled(TLS_STREAM, "b.example.net", true, TLS1_3_VERSION));
}

static void answer__that_has_expired_is_not_stapled(void **state)
{
    const struct tls_section section = {
        .certificate = sections[0].certificate,
        .ocsp_file = pki_ocsp_file("old.der", &authority, &leaf[0], -PKI_DAY)};
    const struct tls_options options = {.count = 1, .sections = &section};
    struct tls_set *before = set;
    char why[300];

    (void)state;
    assert_int_equal(tls_set_new(&options, &set, why, sizeof(why)), 1);
    assert_non_null(strstr(why, "old.der: the OCSP response has expired"));
    assert_false(stapled(TLS_STREAM, NULL, true, TLS1_3_VERSION));
    tls_set_unref(set);
    set = before;
}

/* The callback for cookies stays the one of the context that was handed out. */
static unsigned cookies_checked;
static const unsigned char cookie_said[6] = {'c', 'o', 'o', 'k', 'i', 'e'};

static int make_cookie(SSL *ssl, unsigned char *cookie, unsigned *len)
{
    (void)ssl;
    memcpy(cookie, cookie_said, sizeof(cookie_said));
    *len = sizeof(cookie_said);
    return 1;
}

static int check_cookie(SSL *ssl, const unsigned char *cookie, unsigned len)
{
    (void)ssl;
    cookies_checked++;
    return len == sizeof(cookie_said) && memcmp(cookie, cookie_said, len) == 0;
}

static void cookie__is_checked_before_the_name_leads_away(void **state)
{
    SSL_CTX *context = tls_set_context(set, TLS_DATAGRAM, NULL);
    struct call call = {.to = context, .kind = TLS_DATAGRAM, .sni = "a.example.org"};

    (void)state;
    cookies_checked = 0;
    SSL_CTX_set_cookie_generate_cb(context, make_cookie);
    SSL_CTX_set_cookie_verify_cb(context, check_cookie);
    call_begin(&call);
    (void)SSL_set_options(call.server, SSL_OP_COOKIE_EXCHANGE);
    call_run(&call);
    assert_true(call.done);
    assert_int_equal(cookies_checked, 1);
    assert_string_equal(call_peer(&call), "a.example.org");
    call_end(&call);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name__leads_to_its_section),
        cmocka_unit_test(wildcard__stands_for_one_label),
        cmocka_unit_test(unknown_name__stays_where_it_began),
        cmocka_unit_test(find__takes_any_bytes),
        cmocka_unit_test(protocol__is_chosen_by_our_preference),
        cmocka_unit_test(answer__is_stapled_when_asked_for),
        cmocka_unit_test(answer__that_has_expired_is_not_stapled),
        cmocka_unit_test(cookie__is_checked_before_the_name_leads_away),
    };

    return cmocka_run_group_tests(tests, make, unmake);
}

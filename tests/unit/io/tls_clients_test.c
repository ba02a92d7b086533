/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates of clients, and what a session carries over. */
#include "io/tls_int.h"
#include "tls_call.h"

static struct pki authority;
static struct pki stranger; /* another authority */
static struct pki leaf;
static struct pki client;
static struct pki revoked;
static struct pki foreign; /* of the stranger */
static char leaf_file[128];
static char ca_file[128];

static int make(void **state)
{
    (void)state;
    if (pki_begin() < 0) {
        return -1;
    }
    authority = pki_make((struct pki_want){.name = "authority", .ca = true});
    stranger = pki_make((struct pki_want){.name = "stranger", .ca = true});
    leaf = pki_make((struct pki_want){.name = "leaf", .issuer = &authority, .serial = 1});
    client = pki_make((struct pki_want){.name = "client", .issuer = &authority, .serial = 2});
    revoked = pki_make((struct pki_want){.name = "revoked", .issuer = &authority, .serial = 3});
    foreign = pki_make((struct pki_want){.name = "foreign", .issuer = &stranger, .serial = 4});
    (void)snprintf(leaf_file, sizeof(leaf_file), "%s", pki_both_file("leaf.pem", &leaf));
    (void)snprintf(ca_file, sizeof(ca_file), "%s", pki_cert_file("ca.pem", &authority, NULL));
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    pki_free(&authority);
    pki_free(&stranger);
    pki_free(&leaf);
    pki_free(&client);
    pki_free(&revoked);
    pki_free(&foreign);
    return pki_end();
}

static const struct {
    enum tls_kind kind;
    int version;
} ways[] = {
    {TLS_STREAM, TLS1_3_VERSION}, {TLS_STREAM, TLS1_2_VERSION}, {TLS_DATAGRAM, DTLS1_2_VERSION}};

static struct tls_section asking(enum tls_verify verify)
{
    return (struct tls_section){.certificate = leaf_file, .ca_file = ca_file, .verify = verify};
}

/* The alert that the client got; -1 when it was let in. */
static int let_in(struct tls_set *set, size_t way, const char *sni, const struct pki *identity)
{
    struct call call = {.to = tls_set_context(set, ways[way].kind, NULL),
                        .kind = ways[way].kind,
                        .max = ways[way].version,
                        .sni = sni,
                        .identity = identity};
    const bool ok = call_make(&call);
    const int alert = call.alert;

    assert_true(ok == (alert < 0));
    call_end(&call);
    return alert;
}

static void certificate__may_be_required(void **state) /* Proves K35 */
{
    const struct tls_section section = asking(TLS_VERIFY_REQUIRED);
    struct tls_set *set = call_set(&section, 1, NULL);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        const bool is13 = ways[i].version == TLS1_3_VERSION;

        assert_int_equal(let_in(set, i, NULL, &client), -1);
        assert_int_equal(let_in(set, i, NULL, NULL),
                         is13 ? SSL_AD_CERTIFICATE_REQUIRED : SSL_AD_HANDSHAKE_FAILURE);
        assert_int_equal(let_in(set, i, NULL, &foreign), SSL_AD_UNKNOWN_CA);
    }
    tls_set_unref(set);
}

static void certificate__may_be_optional(void **state)
{
    const struct tls_section section = asking(TLS_VERIFY_OPTIONAL);
    struct tls_set *set = call_set(&section, 1, NULL);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        assert_int_equal(let_in(set, i, NULL, &client), -1);
        assert_int_equal(let_in(set, i, NULL, NULL), -1);
        assert_int_equal(let_in(set, i, NULL, &foreign), SSL_AD_UNKNOWN_CA);
    }
    tls_set_unref(set);
}

static void certificate__that_is_revoked_is_refused(void **state) /* Proves K35 */
{
    struct tls_section section = asking(TLS_VERIFY_REQUIRED);

    (void)state;
    section.crl_file = pki_crl_file("crl.pem", &authority, &revoked, PKI_DAY);
    struct tls_set *set = call_set(&section, 1, NULL);
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        assert_int_equal(let_in(set, i, NULL, &client), -1);
        assert_int_equal(let_in(set, i, NULL, &revoked), SSL_AD_CERTIFICATE_REVOKED);
    }
    tls_set_unref(set);
}

/* Rules follow the name, whichever way it leads. */
static void certificate__is_asked_for_by_the_section_of_the_name(void **state)
{
    struct tls_section sections[] = {
        {.certificate = leaf_file}, asking(TLS_VERIFY_REQUIRED), {.certificate = leaf_file}};

    (void)state;
    sections[1].name = "strict";
    sections[2].name = "open";
    struct tls_set *open_first = call_set(sections, 3, NULL);
    sections[1].name = NULL;
    sections[0].name = "free";
    struct tls_set *strict_first = call_set(sections, 3, NULL);
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        assert_int_equal(let_in(open_first, i, NULL, NULL), -1);
        assert_int_equal(let_in(open_first, i, "open", NULL), -1);
        assert_true(let_in(open_first, i, "strict", NULL) > 0);
        assert_int_equal(let_in(open_first, i, "strict", &foreign), SSL_AD_UNKNOWN_CA);
        assert_int_equal(let_in(open_first, i, "strict", &client), -1);
        assert_true(let_in(strict_first, i, NULL, NULL) > 0);
        assert_true(let_in(strict_first, i, "unknown", NULL) > 0);
        assert_int_equal(let_in(strict_first, i, "free", NULL), -1);
    }
    tls_set_unref(open_first);
    tls_set_unref(strict_first);
}

/* Call once; the session that it left, to be freed. */
static SSL_SESSION *session_from(struct tls_set *set, size_t way, const char *sni,
                                 const struct pki *identity, const char *alpn)
{
    struct call call = {.to = tls_set_context(set, ways[way].kind, NULL),
                        .kind = ways[way].kind,
                        .max = ways[way].version,
                        .sni = sni,
                        .alpn = alpn,
                        .identity = identity};

    assert_true(call_make(&call));
    assert_true(call_talks(&call));
    SSL_SESSION *session = call.session;
    call.session = NULL;
    call_end(&call);
    return session;
}

enum outcome { REFUSED, ANEW, RESUMED };

/* With a copy, as OpenSSL's clients use a session of TLS 1.3 only once. */
static enum outcome again(struct tls_set *set, size_t way, const SSL_SESSION *session,
                          const char *sni, const struct pki *identity, const char *alpn)
{
    SSL_SESSION *copy = SSL_SESSION_dup(session);
    struct call call = {.to = tls_set_context(set, ways[way].kind, NULL),
                        .kind = ways[way].kind,
                        .max = ways[way].version,
                        .sni = sni,
                        .alpn = alpn,
                        .resume = copy,
                        .identity = identity};
    enum outcome outcome = REFUSED;

    if (call_make(&call)) {
        outcome = SSL_session_reused(call.client) ? RESUMED : ANEW;
        if (alpn != NULL) {
            assert_true(tls_is_discovery(call.server) ==
                        (strcmp(alpn, "\x12stun.nat-discovery") == 0));
        }
    }
    call_end(&call);
    SSL_SESSION_free(copy);
    return outcome;
}

/* Proves T-8016-1-01: keys outlive the set. */
static void session__is_resumed_after_a_reload(void **state)
{
    const struct tls_section section = {.certificate = leaf_file};
    struct tls_tickets *tickets = tls_tickets_new(3600);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        struct tls_set *before = call_set(&section, 1, tickets);
        SSL_SESSION *session = session_from(before, i, NULL, NULL, NULL);

        assert_non_null(session);
        assert_int_equal(again(before, i, session, NULL, NULL, NULL), RESUMED);
        tls_set_unref(before);
        struct tls_set *after = call_set(&section, 1, tickets);
        assert_int_equal(again(after, i, session, NULL, NULL, NULL), RESUMED);
        tls_set_unref(after);
        SSL_SESSION_free(session);
    }
    tls_tickets_free(tickets);
}

/* A ticket of TLS 1.3 is used once: each resumption leaves the next one, however often. */
static void session__leads_to_the_next(void **state)
{
    const struct tls_section section = {.certificate = leaf_file};
    struct tls_tickets *tickets = tls_tickets_new(3600);
    struct tls_set *set = call_set(&section, 1, tickets);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        SSL_SESSION *session = session_from(set, i, NULL, NULL, NULL);
        if (SSL_SESSION_get_protocol_version(session) == TLS1_3_VERSION) {
            for (int n = 0; n < 3; n++) {
                struct call call = {.to = tls_set_context(set, ways[i].kind, NULL),
                                    .kind = ways[i].kind,
                                    .max = ways[i].version,
                                    .resume = session};
                assert_true(call_make(&call));
                assert_true(call_talks(&call));
                assert_true(SSL_session_reused(call.client));
                SSL_SESSION *next = call.session;
                call.session = NULL;
                call_end(&call);
                SSL_SESSION_free(session);
                session = next;
                assert_non_null(session);
            }
        }
        SSL_SESSION_free(session);
    }
    tls_set_unref(set);
    tls_tickets_free(tickets);
}

static void session__lasts_for_one_rotation(void **state)
{
    const struct tls_section section = {.certificate = leaf_file};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        struct tls_tickets *tickets = tls_tickets_new(100);
        struct tls_set *set = call_set(&section, 1, tickets);

        tls_tickets_tick(tickets, 5000);
        SSL_SESSION *session = session_from(set, i, NULL, NULL, NULL);
        tls_tickets_tick(tickets, 5099);
        assert_int_equal(again(set, i, session, NULL, NULL, NULL), RESUMED);
        tls_tickets_tick(tickets, 5100);
        assert_int_equal(again(set, i, session, NULL, NULL, NULL), RESUMED);
        tls_tickets_tick(tickets, 5200);
        assert_int_equal(again(set, i, session, NULL, NULL, NULL), ANEW);
        tls_set_unref(set);
        tls_tickets_free(tickets);
        SSL_SESSION_free(session);
    }
}

static void session__is_not_given_out_without_tickets(void **state)
{
    const struct tls_section section = {.certificate = leaf_file};
    struct tls_set *set = call_set(&section, 1, NULL);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        SSL_SESSION *session = session_from(set, i, NULL, NULL, NULL);

        if (session != NULL) {
            assert_false(SSL_SESSION_has_ticket(session));
            assert_int_equal(again(set, i, session, NULL, NULL, NULL), ANEW);
        }
        SSL_SESSION_free(session);
    }
    tls_set_unref(set);
}

/* Proves T-7301-3.1-02 */
static void session__chooses_its_protocol_anew(void **state)
{
    const struct tls_section section = {.certificate = leaf_file};
    struct tls_tickets *tickets = tls_tickets_new(3600);
    struct tls_set *set = call_set(&section, 1, tickets);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        SSL_SESSION *session = session_from(set, i, NULL, NULL, "\x09stun.turn");

        assert_int_equal(again(set, i, session, NULL, NULL, "\x12stun.nat-discovery"), RESUMED);
        assert_int_equal(again(set, i, session, NULL, NULL, "\x09stun.turn"), RESUMED);
        assert_int_equal(again(set, i, session, NULL, NULL, "\x02h2"), REFUSED);
        SSL_SESSION_free(session);
    }
    tls_set_unref(set);
    tls_tickets_free(tickets);
}

/* A ticket says who was verified, by which authorities: it is worth nothing under others. */
static void session__does_not_get_around_new_authorities(void **state)
{
    const struct tls_section section = asking(TLS_VERIFY_REQUIRED);
    struct tls_section changed = section;
    struct tls_section listed = section;
    struct tls_tickets *tickets = tls_tickets_new(3600);

    (void)state;
    changed.ca_file = pki_cert_file("other.pem", &stranger, NULL);
    listed.crl_file = pki_crl_file("crl.pem", &authority, &client, PKI_DAY);
    struct tls_set *set = call_set(&section, 1, tickets);
    struct tls_set *moved = call_set(&changed, 1, tickets);
    struct tls_set *struck = call_set(&listed, 1, tickets);
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        SSL_SESSION *session = session_from(set, i, NULL, &client, NULL);

        assert_int_equal(again(set, i, session, NULL, &client, NULL), RESUMED);
        assert_int_equal(again(moved, i, session, NULL, &client, NULL), REFUSED);
        assert_int_equal(again(moved, i, session, NULL, NULL, NULL), REFUSED);
        assert_int_equal(again(struck, i, session, NULL, &client, NULL), REFUSED);
        SSL_SESSION_free(session);
    }
    tls_set_unref(set);
    tls_set_unref(moved);
    tls_set_unref(struck);
    tls_tickets_free(tickets);
}

/* Nor does one from a section that asks for nothing open a section that does. */
static void session__does_not_cross_sections(void **state)
{
    struct tls_section sections[] = {{.certificate = leaf_file}, asking(TLS_VERIFY_REQUIRED)};
    struct tls_tickets *tickets = tls_tickets_new(3600);

    (void)state;
    sections[1].name = "strict";
    struct tls_set *set = call_set(sections, 2, tickets);
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        SSL_SESSION *open = session_from(set, i, NULL, NULL, NULL);
        SSL_SESSION *strict = session_from(set, i, "strict", &client, NULL);

        assert_int_equal(again(set, i, open, NULL, NULL, NULL), RESUMED);
        assert_int_equal(again(set, i, strict, "strict", &client, NULL), RESUMED);
        assert_int_not_equal(again(set, i, open, "strict", NULL, NULL), RESUMED);
        assert_int_not_equal(again(set, i, strict, NULL, &client, NULL), RESUMED);
        SSL_SESSION_free(open);
        SSL_SESSION_free(strict);
    }
    tls_set_unref(set);
    tls_tickets_free(tickets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificate__may_be_required),
        cmocka_unit_test(certificate__may_be_optional),
        cmocka_unit_test(certificate__that_is_revoked_is_refused),
        cmocka_unit_test(certificate__is_asked_for_by_the_section_of_the_name),
        cmocka_unit_test(session__is_resumed_after_a_reload),
        cmocka_unit_test(session__leads_to_the_next),
        cmocka_unit_test(session__lasts_for_one_rotation),
        cmocka_unit_test(session__is_not_given_out_without_tickets),
        cmocka_unit_test(session__chooses_its_protocol_anew),
        cmocka_unit_test(session__does_not_get_around_new_authorities),
        cmocka_unit_test(session__does_not_cross_sections),
    };

    return cmocka_run_group_tests(tests, make, unmake);
}

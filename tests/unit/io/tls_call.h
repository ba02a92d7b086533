/* SPDX-License-Identifier: Apache-2.0 */
/* One handshake in memory: a client as it is asked for, and a server from a context under test. */
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "check.h"
#include "io/tls.h"
#include "tls_pki.h"

struct call {
    /* What the client is. */
    SSL_CTX *to;
    enum tls_kind kind;
    const char *sni;
    const char *alpn; /* as it is on the wire */
    int min;
    int max;
    const char *ciphers;
    const char *suites;
    const char *groups; /* "" for none of its own */
    const struct pki *identity;
    SSL_SESSION *resume;
    bool wants_status;

    /* What came of it. */
    SSL_CTX *context;
    SSL *client;
    SSL *server;
    bool done;
    int alert;            /* the last one the client was sent; -1: none */
    SSL_SESSION *session; /* the last one it was given */
};

static inline void call_told(const SSL *ssl, int where, int value)
{
    struct call *call = SSL_get_ex_data(ssl, 0);

    if (where == SSL_CB_READ_ALERT) {
        call->alert = value & 0xff;
    }
}

static inline int call_given(SSL *ssl, SSL_SESSION *session)
{
    struct call *call = SSL_get_ex_data(ssl, 0);

    SSL_SESSION_free(call->session);
    call->session = session;
    return 1;
}

/* The client, before it says anything. */
static inline void call_client(struct call *call)
{
    const bool stream = call->kind == TLS_STREAM;

    call->context = SSL_CTX_new(stream ? TLS_client_method() : DTLS_client_method());
    assert_non_null(call->context);
    SSL_CTX_set_security_level(call->context, 0);
    (void)SSL_CTX_set_session_cache_mode(call->context,
                                         SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(call->context, call_given);
    SSL_CTX_set_info_callback(call->context, call_told);
    assert_int_equal(SSL_CTX_set_min_proto_version(call->context, call->min), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(call->context, call->max), 1);
    if (call->ciphers != NULL) {
        assert_int_equal(SSL_CTX_set_cipher_list(call->context, call->ciphers), 1);
    }
    if (call->suites != NULL) {
        assert_int_equal(SSL_CTX_set_ciphersuites(call->context, call->suites), 1);
    }
    if (call->identity != NULL) {
        assert_int_equal(SSL_CTX_use_certificate(call->context, call->identity->cert), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(call->context, call->identity->key), 1);
    }
}

static inline void call_wishes(struct call *call)
{
    if (call->sni != NULL) {
        char name[260]; /* OpenSSL's macros want no constants */

        (void)snprintf(name, sizeof(name), "%s", call->sni);
        assert_int_equal(SSL_set_tlsext_host_name(call->client, name), 1);
    }
    if (call->alpn != NULL) {
        assert_int_equal(SSL_set_alpn_protos(call->client, (const unsigned char *)call->alpn,
                                             (unsigned)strlen(call->alpn)),
                         0);
    }
    if (call->groups != NULL) {
        char groups[100];

        (void)snprintf(groups, sizeof(groups), "%s", call->groups);
        assert_int_equal(SSL_set1_groups_list(call->client, groups), 1);
    }
    if (call->wants_status) {
        assert_int_equal(SSL_set_tlsext_status_type(call->client, TLSEXT_STATUSTYPE_ocsp), 1);
    }
    if (call->resume != NULL) {
        assert_int_equal(SSL_set_session(call->client, call->resume), 1);
    }
}

/* Both ends, joined. */
static inline void call_begin(struct call *call)
{
    enum { ROOM = 256 * 1024, MTU = 1400 };

    BIO *one;
    BIO *other;

    call->alert = -1;
    call_client(call);
    call->client = SSL_new(call->context);
    call->server = SSL_new(call->to);
    assert_non_null(call->client);
    assert_non_null(call->server);
    assert_int_equal(SSL_set_ex_data(call->client, 0, call), 1);
    call_wishes(call);
    assert_int_equal(BIO_new_bio_pair(&one, ROOM, &other, ROOM), 1);
    SSL_set_bio(call->client, one, one);
    SSL_set_bio(call->server, other, other);
    SSL_set_connect_state(call->client);
    SSL_set_accept_state(call->server);
    if (call->kind == TLS_DATAGRAM) {
        (void)SSL_set_options(call->client, SSL_OP_NO_QUERY_MTU);
        (void)SSL_set_options(call->server, SSL_OP_NO_QUERY_MTU);
        assert_true(SSL_set_mtu(call->client, MTU) > 0);
        assert_true(SSL_set_mtu(call->server, MTU) > 0);
    }
}

/* Let both take turns until nothing moves; what comes besides the handshake is read, too. */
static inline void call_run(struct call *call)
{
    char byte;

    for (int i = 0; i < 20; i++) {
        (void)SSL_do_handshake(call->client);
        (void)SSL_do_handshake(call->server);
    }
    (void)SSL_read(call->client, &byte, 1);
    (void)SSL_read(call->server, &byte, 1);
    (void)SSL_read(call->client, &byte, 1);
    call->done = SSL_is_init_finished(call->client) && SSL_is_init_finished(call->server);
    ERR_clear_error();
}

static inline void call_end(struct call *call)
{
    /* Else OpenSSL takes it for cut off, and its session for not fit to be resumed. */
    SSL_set_shutdown(call->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(call->client);
    SSL_free(call->server);
    SSL_CTX_free(call->context);
    SSL_SESSION_free(call->session);
    call->client = call->server = NULL;
    call->context = NULL;
    call->session = NULL;
}

/* The whole handshake: true when both ends say that it is complete. */
static inline bool call_make(struct call *call)
{
    call_begin(call);
    call_run(call);
    return call->done && call->alert < 0;
}

/* True when a byte goes through from the server to the client. */
static inline bool call_talks(struct call *call)
{
    char byte = 0;

    return SSL_write(call->server, "x", 1) == 1 && SSL_read(call->client, &byte, 1) == 1 &&
           byte == 'x';
}

/* The common name of the certificate that the client has seen. */
static inline const char *call_peer(const struct call *call)
{
    static char name[100];
    X509 *cert = SSL_get0_peer_certificate(call->client);

    assert_non_null(cert);
    assert_true(X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name,
                                          sizeof(name)) > 0);
    return name;
}

/* A set of these sections, without a word. */
static inline struct tls_set *call_set(const struct tls_section *sections, size_t count,
                                       struct tls_tickets *tickets)
{
    const struct tls_options options = {.count = count, .sections = sections, .tickets = tickets};
    struct tls_set *set = NULL;
    char why[300] = "";

    if (tls_set_new(&options, &set, why, sizeof(why)) != 0) {
        fail_msg("%s", why);
    }
    return set;
}

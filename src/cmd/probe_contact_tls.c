/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_contact_tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/net_addr.h"

enum { HOST_MAX = 256 };

struct probe_contact_tls {
    SSL_CTX *ctx;
    SSL *ssl;
    bool datagrams;
};

/* The name for the certificate and, unless it is an address, for the server to choose by. */
static bool set_host(SSL *ssl, const char *host)
{
    struct net_ip ip;
    char name[HOST_MAX]; /* OpenSSL's macro casts a const away */

    if (net_ip_parse(host, &ip) == 0) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    }
    return snprintf(name, sizeof(name), "%s", host) < (int)sizeof(name) &&
           SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

static bool attach(struct probe_contact_tls *tls, int fd, const char *host)
{
    tls->ctx = SSL_CTX_new(tls->datagrams ? DTLS_client_method() : TLS_client_method());
    if (tls->ctx == NULL || SSL_CTX_set_default_verify_paths(tls->ctx) != 1) {
        return false;
    }
    tls->ssl = SSL_new(tls->ctx);
    if (tls->ssl == NULL) {
        return false;
    }
    /* A bad certificate is a finding, not the end: the server is asked all the same. */
    SSL_set_verify(tls->ssl, SSL_VERIFY_NONE, NULL);
    BIO *bio = tls->datagrams ? BIO_new_dgram(fd, BIO_NOCLOSE) : BIO_new_socket(fd, BIO_NOCLOSE);
    if (bio == NULL) {
        return false;
    }
    if (tls->datagrams) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof(peer);
        if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0) {
            BIO_ctrl(bio, BIO_CTRL_DGRAM_SET_CONNECTED, 0, &peer);
        }
    }
    SSL_set_bio(tls->ssl, bio, bio);
    return set_host(tls->ssl, host);
}

struct probe_contact_tls *probe_contact_tls_new(int fd, bool datagrams, const char *host)
{
    struct probe_contact_tls *tls = mem_new(1, sizeof(*tls));

    if (tls == NULL) {
        return NULL;
    }
    tls->datagrams = datagrams;
    if (!attach(tls, fd, host)) {
        probe_contact_tls_free(tls);
        return NULL;
    }
    return tls;
}

void probe_contact_tls_free(struct probe_contact_tls *tls)
{
    if (tls == NULL) {
        return;
    }
    SSL_free(tls->ssl);
    SSL_CTX_free(tls->ctx);
    ERR_clear_error();
    free(tls);
}

static int judge(const struct probe_contact_tls *tls, int ret, short *out_events)
{
    switch (SSL_get_error(tls->ssl, ret)) {
    case SSL_ERROR_WANT_READ:
        *out_events = POLLIN;
        return -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        *out_events = POLLOUT;
        return -EAGAIN;
    default:
        return -EPROTO;
    }
}

int probe_contact_tls_handshake(struct probe_contact_tls *tls, short *out_events)
{
    ERR_clear_error();
    if (tls->datagrams && DTLSv1_handle_timeout(tls->ssl) < 0) {
        return -EPROTO;
    }
    const int ret = SSL_connect(tls->ssl);
    return ret == 1 ? 0 : judge(tls, ret, out_events);
}

const char *probe_contact_tls_doubt(const struct probe_contact_tls *tls)
{
    const long result = SSL_get_verify_result(tls->ssl);

    return result == X509_V_OK ? NULL : X509_verify_cert_error_string(result);
}

ssize_t probe_contact_tls_send(struct probe_contact_tls *tls, const uint8_t *p, size_t n)
{
    short events;

    ERR_clear_error();
    const int ret = SSL_write(tls->ssl, p, (int)n);
    return ret > 0 ? ret : judge(tls, ret, &events);
}

ssize_t probe_contact_tls_receive(struct probe_contact_tls *tls, uint8_t *p, size_t n)
{
    short events;

    ERR_clear_error();
    const int ret = SSL_read(tls->ssl, p, (int)n);
    if (ret <= 0 && SSL_get_error(tls->ssl, ret) == SSL_ERROR_ZERO_RETURN) {
        return 0;
    }
    return ret > 0 ? ret : judge(tls, ret, &events);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/dtls_stage.h"

#include <assert.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

/* --- the clock ----------------------------------------------------------------------------------
 */

static _Atomic uint64_t wall_ms;

/* In place of libc's: libssl asks this one. */
__attribute__((visibility("default"))) int gettimeofday(struct timeval *restrict tv,
                                                        void *restrict zone)
{
    const uint64_t now = atomic_load(&wall_ms) + UINT64_C(1700000000000);

    (void)zone;
    tv->tv_sec = (time_t)(now / 1000);
    tv->tv_usec = (suseconds_t)(now % 1000 * 1000);
    return 0;
}

/* --- datagrams ----------------------------------------------------------------------------------
 */

static void line_put(struct dtls_line *line, const void *data, uint32_t len)
{
    struct dtls_datagram *d = malloc(sizeof(*d) + len);
    struct dtls_datagram **end = &line->first;

    assert(d != NULL);
    d->next = NULL;
    d->len = len;
    memcpy(d->data, data, len);
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = d;
    line->count++;
}

struct dtls_datagram *dtls_line_take(struct dtls_line *line)
{
    struct dtls_datagram *d = line->first;

    if (d != NULL) {
        line->first = d->next;
        line->count--;
    }
    return d;
}

void dtls_line_clear(struct dtls_line *line)
{
    struct dtls_datagram *d;

    while ((d = dtls_line_take(line)) != NULL) {
        free(d);
    }
}

/* --- clients ------------------------------------------------------------------------------------
 */

static int peer_bio_read(BIO *bio, char *out, int cap)
{
    struct dtls_peer *peer = BIO_get_data(bio);
    struct dtls_datagram *d = dtls_line_take(&peer->in);

    BIO_clear_retry_flags(bio);
    if (d == NULL) {
        BIO_set_retry_read(bio);
        return -1;
    }
    const uint32_t n = d->len < (uint32_t)cap ? d->len : (uint32_t)cap;
    memcpy(out, d->data, n);
    free(d);
    return (int)n;
}

static int peer_bio_write(BIO *bio, const char *data, int n)
{
    struct dtls_peer *peer = BIO_get_data(bio);

    line_put(&peer->out, data, (uint32_t)n);
    return n;
}

static long peer_bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *peer_method(void)
{
    static BIO_METHOD *method;

    if (method == NULL) {
        method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "peer");
        assert(method != NULL);
        (void)BIO_meth_set_read(method, peer_bio_read);
        (void)BIO_meth_set_write(method, peer_bio_write);
        (void)BIO_meth_set_ctrl(method, peer_bio_ctrl);
    }
    return method;
}

static void peer_begin(struct dtls_peer *peer)
{
    BIO *bio = BIO_new(peer_method());

    peer->ssl = SSL_new(peer->stage->client);
    assert(bio != NULL && peer->ssl != NULL);
    BIO_set_data(bio, peer);
    BIO_set_init(bio, 1);
    SSL_set_bio(peer->ssl, bio, bio);
    SSL_set_connect_state(peer->ssl);
    (void)SSL_set_options(peer->ssl, SSL_OP_NO_QUERY_MTU);
    (void)SSL_set_mtu(peer->ssl, 1200);
    peer->connected = false;
    peer->closed = false;
    peer->failed = false;
}

struct dtls_peer *dtls_peer_open(struct dtls_stage *stage, const char *text)
{
    struct dtls_peer *peer = calloc(1, sizeof(*peer));
    size_t place = 0;

    assert(peer != NULL);
    while (stage->peers[place] != NULL) {
        place++;
        assert(place < DTLS_STAGE_PEERS);
    }
    stage->peers[place] = peer;
    peer->stage = stage;
    const int err = net_addr_parse(text, 0, &peer->addr);
    assert(err == 0);
    (void)err;
    peer_begin(peer);
    return peer;
}

void dtls_peer_free(struct dtls_peer *peer)
{
    for (size_t i = 0; i < DTLS_STAGE_PEERS; i++) {
        if (peer->stage->peers[i] == peer) {
            peer->stage->peers[i] = NULL;
        }
    }
    dtls_line_clear(&peer->in);
    dtls_line_clear(&peer->out);
    SSL_free(peer->ssl);
    free(peer);
}

void dtls_peer_restart(struct dtls_peer *peer)
{
    SSL_free(peer->ssl);
    dtls_line_clear(&peer->in);
    dtls_line_clear(&peer->out);
    peer_begin(peer);
}

struct dtls_datagram *dtls_peer_next(struct dtls_peer *peer)
{
    dtls_peer_step(peer);
    return dtls_line_take(&peer->out);
}

struct dtls_peer *dtls_peer_connected(struct dtls_stage *stage, const char *text)
{
    struct dtls_peer *peer = dtls_peer_open(stage, text);

    dtls_stage_run(stage);
    assert(peer->connected);
    return peer;
}

struct dtls_datagram *dtls_peer_second_hello(struct dtls_peer *peer)
{
    struct dtls_datagram *first = dtls_peer_next(peer);

    assert(first != NULL);
    dtls_stage_input(peer->stage, &peer->addr, first->data, first->len);
    free(first);
    struct dtls_datagram *second = dtls_peer_next(peer);
    assert(second != NULL);
    return second;
}

static void peer_note(struct dtls_peer *peer, int returned)
{
    const int error = SSL_get_error(peer->ssl, returned);

    peer->closed = peer->closed || error == SSL_ERROR_ZERO_RETURN;
    peer->failed = peer->failed || error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL;
    ERR_clear_error();
}

void dtls_peer_step(struct dtls_peer *peer)
{
    int returned;
    size_t n = 0;

    ERR_clear_error();
    if (peer->failed) {
        dtls_line_clear(&peer->in);
        return;
    }
    if (!peer->connected) {
        returned = SSL_do_handshake(peer->ssl);
        if (returned != 1) {
            peer_note(peer, returned);
            return;
        }
        peer->connected = true;
    }
    while ((returned = SSL_read_ex(peer->ssl, peer->got, sizeof(peer->got), &n)) == 1) {
        peer->got_count++;
        peer->got_len = (uint32_t)n;
    }
    peer_note(peer, returned);
}

bool dtls_peer_write(struct dtls_peer *peer, const void *data, uint32_t len)
{
    size_t taken = 0;
    const bool ok = SSL_write_ex(peer->ssl, data, len, &taken) == 1;

    ERR_clear_error();
    return ok;
}

void dtls_peer_shutdown(struct dtls_peer *peer)
{
    (void)SSL_shutdown(peer->ssl);
    ERR_clear_error();
}

/* --- the server's hooks -------------------------------------------------------------------------
 */

static void on_send(void *arg, void *port, const struct net_addr *local,
                    const struct net_addr *remote, const uint8_t *data, uint32_t len)
{
    struct dtls_stage *stage = arg;

    assert(port == stage && net_addr_equal(local, &stage->local));
    (void)port;
    (void)local;
    stage->sent++;
    stage->sent_bytes += len;
    stage->sent_last = len;
    if (stage->lose > 0) {
        stage->lose--;
        return;
    }
    for (size_t i = 0; i < DTLS_STAGE_PEERS; i++) {
        struct dtls_peer *peer = stage->peers[i];
        if (peer != NULL && net_addr_equal(&peer->addr, remote)) {
            line_put(&peer->in, data, len);
        }
    }
}

static void log_message(struct dtls_stage *stage, struct dtls_client *client, const struct pkt *pkt)
{
    struct dtls_stage_message *m = &stage->log[stage->messages % DTLS_STAGE_LOG];
    const uint32_t n = pkt->len < DTLS_STAGE_TEXT - 1 ? pkt->len : DTLS_STAGE_TEXT - 1;

    *m = (struct dtls_stage_message){.len = pkt->len, .client = client};
    memcpy(m->text, pkt->data, n);
    stage->messages++;
    stage->client_last = client;
}

static void on_message(void *arg, struct dtls_client *client, struct pkt *pkt)
{
    struct dtls_stage *stage = arg;

    assert(pkt->transport == NET_DTLS && pkt->port == client);
    assert(net_addr_equal(&pkt->remote, dtls_remote(client)));
    assert(net_addr_equal(&pkt->local, dtls_local(client)));
    assert(pkt->data >= pkt->buf + PKT_HEADROOM);
    assert(pkt->data + pkt->len <= pkt->buf + PKT_HEADROOM + pkt->cap);
    log_message(stage, client, pkt);
    if (stage->detach_on_message) {
        stage->detached = dtls_detach(stage->dtls, client);
        return;
    }
    if (stage->close_on_message) {
        dtls_close(stage->dtls, client);
        return;
    }
    if (stage->echo && dtls_output(stage->dtls, client, pkt, stage->now_ms)) {
        on_send(stage, pkt->port, &pkt->local, &pkt->remote, pkt->data, pkt->len);
    }
    /* All of it is the hook's to write on. */
    memset(pkt->buf, 0xee, PKT_HEADROOM + pkt->cap);
}

static void on_closed(void *arg, struct dtls_client *client, enum dtls_close why)
{
    struct dtls_stage *stage = arg;

    stage->closed[why]++;
    stage->closed_last = client;
}

/* --- contexts -----------------------------------------------------------------------------------
 */

static X509 *certificate_of(EVP_PKEY *key)
{
    X509 *x = X509_new();

    assert(x != NULL);
    (void)X509_set_version(x, X509_VERSION_3);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(x), -86400);
    (void)X509_gmtime_adj(X509_getm_notAfter(x), 86400L * 3650);
    (void)X509_set_pubkey(x, key);
    X509_NAME *name = X509_get_subject_name(x);
    (void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"stage", -1,
                                     -1, 0);
    (void)X509_set_issuer_name(x, name);
    const int signature_len = X509_sign(x, key, EVP_sha256());
    assert(signature_len > 0);
    (void)signature_len;
    return x;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned int in_len, void *arg)
{
    static const unsigned char ours[] = "\x09stun.turn\x12stun.nat-discovery";
    unsigned char *chosen = NULL;

    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours) - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

SSL_CTX *dtls_stage_server_context(void)
{
    SSL_CTX *context = SSL_CTX_new(DTLS_server_method());
    EVP_PKEY *key = EVP_EC_gen("P-256");

    assert(context != NULL && key != NULL);
    X509 *x = certificate_of(key);
    const bool ok = SSL_CTX_use_certificate(context, x) == 1 &&
                    SSL_CTX_use_PrivateKey(context, key) == 1 &&
                    SSL_CTX_set_min_proto_version(context, DTLS1_2_VERSION) == 1;
    assert(ok);
    (void)ok;
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(context, on_alpn, NULL);
    X509_free(x);
    EVP_PKEY_free(key);
    return context;
}

SSL_CTX *dtls_stage_client_context(void)
{
    SSL_CTX *context = SSL_CTX_new(DTLS_client_method());

    assert(context != NULL);
    (void)SSL_CTX_set_min_proto_version(context, DTLS1_2_VERSION);
    return context;
}

/* --- the stage ----------------------------------------------------------------------------------
 */

struct dtls_limits dtls_stage_limits(void)
{
    return (struct dtls_limits){
        .max_clients = 1000,
        .max_half_open = 100,
        .handshakes_per_s = 0,
        .handshake_ms = 10 * 1000,
        .mtu = 1200,
    };
}

void dtls_stage_open(struct dtls_stage *stage, const struct dtls_limits *limits, SSL_CTX *server)
{
    *stage = (struct dtls_stage){.now_ms = 1000000, .echo = true};
    stage->limits = limits == NULL ? dtls_stage_limits() : *limits;
    atomic_store(&wall_ms, stage->now_ms);
    const int err = net_addr_parse("198.51.100.1:5349", 0, &stage->local);
    assert(err == 0);
    (void)err;
    stage->server = server != NULL ? server : dtls_stage_server_context();
    stage->client = dtls_stage_client_context();
    if (server != NULL) {
        (void)SSL_CTX_up_ref(server);
    }
    dtls_stage_restart(stage);
}

void dtls_stage_restart(struct dtls_stage *stage)
{
    const struct dtls_hooks hooks = {stage, on_send, on_message, on_closed};
    static uint64_t engines;
    const struct hash_key key = {++engines, 2}; /* each has its own, as workers do */

    stage->dtls = dtls_new(&stage->limits, &hooks, key, stage->now_ms);
    assert(stage->dtls != NULL);
    dtls_set_context(stage->dtls, stage->server);
}

void dtls_stage_close(struct dtls_stage *stage)
{
    dtls_free(stage->dtls);
    stage->dtls = NULL;
    for (size_t i = 0; i < DTLS_STAGE_PEERS; i++) {
        if (stage->peers[i] != NULL) {
            dtls_peer_free(stage->peers[i]);
        }
    }
    SSL_CTX_free(stage->server);
    SSL_CTX_free(stage->client);
}

void dtls_stage_input(struct dtls_stage *stage, const struct net_addr *from, const void *data,
                      uint32_t len)
{
    uint8_t *buf = malloc(PKT_HEADROOM + (size_t)len);

    assert(buf != NULL);
    if (len > 0) {
        memcpy(buf + PKT_HEADROOM, data, len);
    }
    struct pkt pkt = {
        .data = buf + PKT_HEADROOM,
        .len = len,
        .cap = len,
        .buf = buf,
        .remote = *from,
        .local = stage->local,
        .port = stage,
        .transport = NET_UDP,
    };
    stage->received_bytes += len;
    dtls_input(stage->dtls, &pkt, stage->now_ms);
    free(buf);
}

void dtls_stage_run(struct dtls_stage *stage)
{
    bool more = true;

    while (more) {
        more = false;
        for (size_t i = 0; i < DTLS_STAGE_PEERS; i++) {
            struct dtls_peer *peer = stage->peers[i];
            struct dtls_datagram *d;
            if (peer == NULL) {
                continue;
            }
            dtls_peer_step(peer);
            while ((d = dtls_line_take(&peer->out)) != NULL) {
                dtls_stage_input(stage, &peer->addr, d->data, d->len);
                free(d);
                more = true;
            }
        }
    }
}

static void peers_tick(struct dtls_stage *stage)
{
    for (size_t i = 0; i < DTLS_STAGE_PEERS; i++) {
        if (stage->peers[i] != NULL) {
            (void)DTLSv1_handle_timeout(stage->peers[i]->ssl);
            ERR_clear_error();
        }
    }
}

void dtls_stage_pass(struct dtls_stage *stage, uint64_t ms, bool peers_too)
{
    const uint64_t end = stage->now_ms + ms;

    while (stage->now_ms < end) {
        stage->now_ms += end - stage->now_ms < 100 ? end - stage->now_ms : 100;
        atomic_store(&wall_ms, stage->now_ms);
        while (dtls_tick(stage->dtls, stage->now_ms, 4)) {
        }
        if (peers_too) {
            peers_tick(stage);
            dtls_stage_run(stage);
        }
    }
}

bool dtls_stage_send(struct dtls_stage *stage, struct dtls_client *client, const void *data,
                     uint32_t len)
{
    const uint32_t cap = len + 128;
    uint8_t *buf = calloc(1, PKT_HEADROOM + (size_t)cap);

    assert(buf != NULL);
    struct pkt pkt = {.data = buf + PKT_HEADROOM, .len = len, .cap = cap, .buf = buf};
    memcpy(pkt.data, data, len);
    const bool ok = dtls_output(stage->dtls, client, &pkt, stage->now_ms);
    if (ok) {
        on_send(stage, pkt.port, &pkt.local, &pkt.remote, pkt.data, pkt.len);
    }
    free(buf);
    return ok;
}

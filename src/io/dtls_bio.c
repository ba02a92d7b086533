/* SPDX-License-Identifier: Apache-2.0 */
#include "io/dtls_bio.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <string.h>

#include "io/dtls_int.h"

static pthread_once_t method_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *method; /* of the process, never released */

static int wire_read(BIO *bio, char *out, int cap)
{
    struct dtls_wire *wire = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (wire->in == NULL || cap <= 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    const uint32_t n = wire->in_len < (uint32_t)cap ? wire->in_len : (uint32_t)cap;
    memcpy(out, wire->in, n);
    wire->in = NULL;
    return (int)n;
}

/* Put a record into the packet that it was made from, leaving the head room free if possible. */
static void wire_capture(struct dtls_wire *wire, const uint8_t *data, uint32_t n)
{
    struct pkt *pkt = wire->capture;

    if (n > PKT_HEADROOM + pkt->cap) {
        return;
    }
    pkt->data = n <= pkt->cap ? pkt->buf + PKT_HEADROOM : pkt->buf;
    pkt->len = n;
    memcpy(pkt->data, data, n);
    wire->captured = true;
}

/* Datagrams are sent or lost, but never refused. */
static int wire_write(BIO *bio, const char *data, int n)
{
    struct dtls_wire *wire = BIO_get_data(bio);
    const struct dtls_hooks *hooks = &wire->dtls->hooks;
    const uint8_t *bytes = (const uint8_t *)data;

    BIO_clear_retry_flags(bio);
    if (n <= 0 || (wire->reply_max != 0 && (uint32_t)n > wire->reply_max)) {
        return n;
    }
    if (wire->capture != NULL && bytes[0] == DTLS_APPLICATION) {
        wire_capture(wire, bytes, (uint32_t)n);
        return n;
    }
    wire->sent = true;
    hooks->send(hooks->arg, wire->port, &wire->key->local, &wire->key->remote, bytes, (uint32_t)n);
    return n;
}

static long wire_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static void method_make(void)
{
    const int index = BIO_get_new_index();
    BIO_METHOD *made =
        index < 0 ? NULL : BIO_meth_new(index | BIO_TYPE_SOURCE_SINK, "datagrams in memory");

    if (made != NULL &&
        (BIO_meth_set_read(made, wire_read) != 1 || BIO_meth_set_write(made, wire_write) != 1 ||
         BIO_meth_set_ctrl(made, wire_ctrl) != 1)) {
        BIO_meth_free(made);
        made = NULL;
    }
    method = made;
}

BIO *dtls_bio_new(struct dtls_wire *wire)
{
    if (pthread_once(&method_once, method_make) != 0 || method == NULL) {
        return NULL;
    }
    BIO *bio = BIO_new(method);
    if (bio != NULL) {
        BIO_set_data(bio, wire);
        BIO_set_init(bio, 1);
    }
    return bio;
}

struct dtls_wire *dtls_bio_wire(const SSL *ssl)
{
    return BIO_get_data(SSL_get_rbio(ssl));
}

void dtls_bio_move(SSL *ssl, struct dtls_wire *wire)
{
    BIO_set_data(SSL_get_rbio(ssl), wire);
}

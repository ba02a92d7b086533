/* SPDX-License-Identifier: Apache-2.0 */
/* What happens inside a handshake: from the name a client asks for to the section's settings. */
#include <assert.h>
#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/tls1.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/tls_int.h"

/* By our own preference (RFC 7301 section 3.2): RFC 7443 section 2. */
static const unsigned char protocols[] = "\x09stun.turn\x12stun.nat-discovery";
static const char discovery[] = "stun.nat-discovery";

static _Atomic unsigned live;

/* Places in every SSL_CTX of ours: its host, borrowed; of an entry, a reference of the names. */
static pthread_once_t places_once = PTHREAD_ONCE_INIT;
static int host_place = -1;
static int names_place = -1;

static void on_context_free(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long argl,
                            void *argp)
{
    (void)parent;
    (void)data;
    (void)index;
    (void)argl;
    (void)argp;
    tls_names_unref(ptr);
}

static void places_make(void)
{
    host_place = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    names_place = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_context_free);
}

static struct tls_host *host_of(const SSL *ssl)
{
    return SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), host_place);
}

/* --- the names ----------------------------------------------------------------------------------
 */

struct tls_names *tls_names_new(size_t count, struct tls_tickets *tickets)
{
    struct tls_names *names = mem_new(1, sizeof(*names));

    if (names == NULL) {
        return NULL;
    }
    atomic_init(&names->refs, 1);
    atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    names->tickets = tickets != NULL ? tls_tickets_ref(tickets) : NULL;
    names->hosts = mem_new(count, sizeof(*names->hosts));
    names->sorted = mem_new(count, sizeof(struct tls_host *));
    if (names->hosts == NULL || names->sorted == NULL) {
        tls_names_unref(names);
        return NULL;
    }
    names->count = count;
    for (size_t i = 0; i < count; i++) {
        names->hosts[i].names = names;
        names->sorted[i] = &names->hosts[i];
    }
    return names;
}

void tls_names_unref(struct tls_names *names)
{
    if (names == NULL || atomic_fetch_sub(&names->refs, 1) != 1) {
        return;
    }
    for (size_t i = 0; i < names->count; i++) {
        struct tls_host *host = &names->hosts[i];

        SSL_CTX_free(host->target[TLS_STREAM]);
        SSL_CTX_free(host->target[TLS_DATAGRAM]);
        free(host->name);
        free(host->groups);
        free(host->ocsp);
    }
    free(names->hosts);
    free(names->sorted);
    tls_tickets_free(names->tickets);
    free(names);
    atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
}

unsigned tls_names_live(void)
{
    return atomic_load_explicit(&live, memory_order_relaxed);
}

static int by_name(const void *a, const void *b)
{
    const struct tls_host *const *x = a;
    const struct tls_host *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

bool tls_names_sort(struct tls_names *names, const struct tls_host **out_twice)
{
    qsort(names->sorted, names->count, sizeof(struct tls_host *), by_name);
    for (size_t i = 1; i < names->count; i++) {
        if (strcmp(names->sorted[i - 1]->name, names->sorted[i]->name) == 0) {
            *out_twice = names->sorted[i];
            return false;
        }
    }
    return true;
}

static int to_name(const void *key, const void *item)
{
    const struct tls_host *const *host = item;

    return strcmp(key, (*host)->name);
}

struct tls_host *tls_names_get(const struct tls_names *names, const char *name)
{
    struct tls_host *const *found =
        bsearch(name, names->sorted, names->count, sizeof(struct tls_host *), to_name);

    return found != NULL ? *found : NULL;
}

const struct tls_host *tls_names_find(const struct tls_names *names, struct bytes name)
{
    char text[TLS_NAME_MAX + 1] = {0};

    if (name.n == 0 || name.n > TLS_NAME_MAX || memchr(name.p, 0, name.n) != NULL) {
        return NULL;
    }
    for (size_t i = 0; i < name.n; i++) {
        text[i] = (char)tolower(name.p[i]);
    }
    const struct tls_host *host = tls_names_get(names, text);
    char *dot = strchr(text, '.');
    if (host == NULL && dot != NULL && dot != text) {
        dot[-1] = '*'; /* one label, as in certificates (RFC 6125 section 6.4.3) */
        host = tls_names_get(names, dot - 1);
    }
    return host;
}

/* --- the callbacks -------------------------------------------------------------------------------
 */

/* RFC 6066 section 3: the host name, or nothing.  What is malformed OpenSSL refuses later on. */
static struct bytes asked_name(SSL *ssl)
{
    enum { LIST = 2, TYPE = 1, LENGTH = 2, HEAD = LIST + TYPE + LENGTH };
    const struct bytes none = {NULL, 0};
    const unsigned char *p;
    size_t n;

    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n) != 1 || n < HEAD ||
        p[LIST] != TLSEXT_NAMETYPE_host_name) {
        return none;
    }
    const size_t len = be16(p + LIST + TYPE);
    return len <= n - HEAD ? (struct bytes){p + HEAD, len} : none;
}

/* SSL_set_SSL_CTX() brings certificates, ciphers, authorities and callbacks; the rest an SSL has
 * taken from the entry when it was made. */
static bool move_settings(SSL *ssl, const struct tls_host *host)
{
    SSL_set_verify(ssl, host->verify_mode, NULL);
    SSL_set_verify_depth(ssl, host->verify_depth);
    return SSL_set_session_id_context(ssl, host->session_id, sizeof(host->session_id)) == 1 &&
           SSL_set1_groups_list(ssl, host->groups) == 1;
}

static bool move_stream(SSL *ssl, const struct tls_host *host)
{
    return SSL_set_min_proto_version(ssl, host->version_min) == 1 &&
           SSL_set_max_proto_version(ssl, host->version_max) == 1 &&
           SSL_set_SSL_CTX(ssl, host->target[TLS_STREAM]) != NULL;
}

/* Before the version is chosen and a session looked for: both depend on the section. */
static int on_hello(SSL *ssl, int *alert, void *arg)
{
    const struct tls_host *own = arg;
    const struct tls_host *host = tls_names_find(own->names, asked_name(ssl));

    if (host == NULL || host == own) {
        return SSL_CLIENT_HELLO_SUCCESS;
    }
    if (move_settings(ssl, host) && (SSL_is_dtls(ssl) || move_stream(ssl, host))) {
        return SSL_CLIENT_HELLO_SUCCESS;
    }
    *alert = SSL_AD_INTERNAL_ERROR;
    return SSL_CLIENT_HELLO_ERROR;
}

/* After a session was looked for.  DTLS moves only here: between the two OpenSSL asks for the
 * cookie, and that callback is the entry's. */
static int on_name(SSL *ssl, int *alert, void *arg)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const struct tls_host *own = host_of(ssl);
    const struct tls_host *host = name != NULL ? tls_names_find(own->names, bytes_of(name)) : NULL;

    (void)arg;
    if (host == NULL) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    if (SSL_is_dtls(ssl) && host != own &&
        SSL_set_SSL_CTX(ssl, host->target[TLS_DATAGRAM]) == NULL) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    return SSL_TLSEXT_ERR_OK;
}

static int on_protocols(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                        const unsigned char *in, unsigned in_len, void *arg)
{
    unsigned char *chosen = NULL;

    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&chosen, out_len, protocols, sizeof(protocols) - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 section 3.2: no_application_protocol */
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int on_status(SSL *ssl, void *arg)
{
    const struct tls_host *host = host_of(ssl);

    (void)arg;
    if (host->ocsp == NULL || host->ocsp_until_s < (int64_t)time(NULL)) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    unsigned char *copy = OPENSSL_memdup(host->ocsp, host->ocsp_len);
    if (copy == NULL) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    (void)SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)host->ocsp_len);
    return SSL_TLSEXT_ERR_OK;
}

enum { TICKET_RENEW = 2 };

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int seal)
{
    const int found =
        tls_tickets_key(host_of(ssl)->names->tickets, name, iv, cipher, mac, seal != 0);

    /* In TLS 1.3 a ticket is good for one resumption: whoever comes with one gets the next. */
    return seal == 0 && found == 1 && SSL_version(ssl) == TLS1_3_VERSION ? TICKET_RENEW : found;
}

static bool tickets_set(SSL_CTX *context, const struct tls_host *host)
{
    if (host->names->tickets == NULL) {
        (void)SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
        return SSL_CTX_set_num_tickets(context, 0) == 1;
    }
    return SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket) == 1 &&
           SSL_CTX_set_num_tickets(context, 1) == 1;
}

bool tls_names_attach(SSL_CTX *context, struct tls_host *host, bool entry)
{
    (void)pthread_once(&places_once, places_make);
    if (host_place < 0 || names_place < 0 || SSL_CTX_set_ex_data(context, host_place, host) != 1 ||
        !tickets_set(context, host)) {
        return false;
    }
    (void)SSL_CTX_set_tlsext_servername_callback(context, on_name);
    SSL_CTX_set_alpn_select_cb(context, on_protocols, NULL);
    (void)SSL_CTX_set_tlsext_status_cb(context, on_status);
    if (entry) {
        SSL_CTX_set_client_hello_cb(context, on_hello, host);
        if (SSL_CTX_set_ex_data(context, names_place, host->names) != 1) {
            return false;
        }
        atomic_fetch_add(&host->names->refs, 1);
    }
    return true;
}

bool tls_is_discovery(const SSL *ssl)
{
    const unsigned char *name = NULL;
    unsigned len = 0;

    SSL_get0_alpn_selected(ssl, &name, &len);
    return len == sizeof(discovery) - 1 && memcmp(name, discovery, len) == 0;
}

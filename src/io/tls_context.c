/* SPDX-License-Identifier: Apache-2.0 */
/* One SSL_CTX of a section. */
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/tls_int.h"

enum { VERIFY_DEPTH = 9 };

/* RFC 8489 section 6.2.3, RFC 9325 section 4.2: forward secrecy and AEAD only, cheap ones first. */
#define CIPHERS                                                                                    \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

/* Only for those who give parameters: a finite-field exchange costs the server many times what it
 * costs whoever asks for it (RFC 9325 section 4.1 discourages it, too). */
#define CIPHERS_DH ":DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384"

/* TLS 1.0 and 1.1 have nothing better. */
#define CIPHERS_OLD                                                                                \
    ":ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA"

/* Behind a list of the operator's: nothing known to be weak, and forward secrecy first. */
#define CIPHERS_NEVER ":!aNULL:!eNULL:!EXPORT:!LOW:!RC4:!DES:!3DES:!IDEA:!SEED:!MD5:!PSK:!SRP:+kRSA"

#define CIPHERSUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

/* Without the slow ones, which would be a lever against the server. */
#define GROUPS "X25519:P-256:P-384"

int tls_context_verify_mode(enum tls_verify verify)
{
    switch (verify) {
    case TLS_VERIFY_OPTIONAL:
        return SSL_VERIFY_PEER;
    case TLS_VERIFY_REQUIRED:
        return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    case TLS_VERIFY_OFF:
    default:
        return SSL_VERIFY_NONE;
    }
}

int tls_context_verify_depth(const struct tls_section *section)
{
    return section->verify_depth != 0 ? (int)section->verify_depth : VERIFY_DEPTH;
}

int tls_context_version(enum tls_version version, enum tls_version by_default)
{
    switch ((unsigned)version != 0 ? version : by_default) {
    case TLS_1_0:
        return TLS1_VERSION;
    case TLS_1_1:
        return TLS1_1_VERSION;
    case TLS_1_2:
        return TLS1_2_VERSION;
    case TLS_1_3:
    default:
        return TLS1_3_VERSION;
    }
}

char *tls_context_groups(const struct tls_section *section)
{
    return mem_text(section->groups != NULL ? section->groups : GROUPS);
}

static bool wants_old(const struct tls_section *section)
{
    return tls_context_version(section->version_min, TLS_1_2) < TLS1_2_VERSION;
}

static void manners_set(SSL_CTX *context)
{
    (void)SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                        SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    (void)SSL_CTX_clear_options(context, SSL_OP_PRIORITIZE_CHACHA |
                                             SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION |
                                             SSL_OP_LEGACY_SERVER_CONNECT);
    (void)SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                           SSL_OP_NO_COMPRESSION |
                                           SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION);
    SSL_CTX_set_read_ahead(context, 0);
    /* Sessions live in tickets, or not at all: nothing is kept for a client that went. */
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

static int versions_set(SSL_CTX *context, enum tls_kind kind, const struct tls_section *section,
                        struct tls_say *say)
{
    const int min =
        kind == TLS_DATAGRAM ? DTLS1_2_VERSION : tls_context_version(section->version_min, TLS_1_2);
    const int max =
        kind == TLS_DATAGRAM ? DTLS1_2_VERSION : tls_context_version(section->version_max, TLS_1_3);

    if (kind == TLS_STREAM && min > max) {
        return tls_say(say, NULL, "the minimum TLS version is above the maximum");
    }
    if (SSL_CTX_set_min_proto_version(context, min) != 1 ||
        SSL_CTX_set_max_proto_version(context, max) != 1) {
        return tls_say_openssl(say, NULL, "this version of TLS cannot be had");
    }
    return 0;
}

static char *cipher_list(const struct tls_section *section)
{
    const size_t cap = (section->ciphers != NULL ? strlen(section->ciphers) : 0) + 512;
    char *list = mem_new(1, cap);

    if (list != NULL && section->ciphers != NULL) {
        (void)snprintf(list, cap, "%s" CIPHERS_NEVER, section->ciphers);
    } else if (list != NULL) {
        (void)snprintf(list, cap, CIPHERS "%s%s", section->dh_file != NULL ? CIPHERS_DH : "",
                       wants_old(section) ? CIPHERS_OLD : "");
    }
    return list;
}

static int groups_set(SSL_CTX *context, const struct tls_section *section, struct tls_say *say)
{
    char *groups = tls_context_groups(section);

    if (groups == NULL) {
        return -ENOMEM;
    }
    const bool ok = SSL_CTX_set1_groups_list(context, groups) == 1;
    free(groups);
    return ok ? 0
              : tls_say_openssl(say, section->groups,
                                "not a list of key exchange groups, such as X25519:P-256");
}

static int ciphers_set(SSL_CTX *context, const struct tls_section *section, struct tls_say *say)
{
    const char *suites = section->ciphersuites != NULL ? section->ciphersuites : CIPHERSUITES;
    char *list = cipher_list(section);

    if (list == NULL) {
        return -ENOMEM;
    }
    const bool ok = SSL_CTX_set_cipher_list(context, list) == 1;
    free(list);
    if (!ok) {
        return tls_say_openssl(say, section->ciphers,
                               "no cipher suite that may be used is left of this list");
    }
    if (SSL_CTX_set_ciphersuites(context, suites) != 1) {
        return tls_say_openssl(say, section->ciphersuites, "not a list of TLS 1.3 cipher suites");
    }
    return groups_set(context, section, say);
}

static int identity_set(SSL_CTX *context, const struct tls_section *section,
                        const struct tls_material *material, struct tls_say *say)
{
    if (SSL_CTX_use_certificate(context, material->leaf) != 1) {
        return tls_say_openssl(say, section->certificate, "the certificate cannot be used");
    }
    if (SSL_CTX_set1_chain(context, material->chain) != 1) {
        return tls_say_openssl(say, section->chain != NULL ? section->chain : section->certificate,
                               "the chain of the certificate cannot be used");
    }
    if (SSL_CTX_use_PrivateKey(context, material->key) != 1) {
        return tls_say_openssl(
            say, section->private_key != NULL ? section->private_key : section->certificate,
            "the private key cannot be used");
    }
    return 0;
}

static int dh_set(SSL_CTX *context, const struct tls_section *section,
                  const struct tls_material *material, struct tls_say *say)
{
    if (material->dh == NULL) {
        return SSL_CTX_set_dh_auto(context, 1) == 1 ? 0 : -ENOMEM;
    }
    if (EVP_PKEY_up_ref(material->dh) != 1) {
        return -ENOMEM;
    }
    if (SSL_CTX_set0_tmp_dh_pkey(context, material->dh) != 1) {
        EVP_PKEY_free(material->dh);
        return tls_say_openssl(say, section->dh_file,
                               "the Diffie-Hellman parameters cannot be used");
    }
    return 0;
}

static int clients_set(SSL_CTX *context, const struct tls_section *section,
                       const struct tls_material *material)
{
    SSL_CTX_set_verify(context, tls_context_verify_mode(section->verify), NULL);
    SSL_CTX_set_verify_depth(context, tls_context_verify_depth(section));
    if (material->store != NULL) {
        STACK_OF(X509_NAME) *names = SSL_dup_CA_list(material->authorities);

        if (names == NULL) {
            return -ENOMEM;
        }
        SSL_CTX_set_client_CA_list(context, names);
        SSL_CTX_set1_cert_store(context, material->store);
    }
    return SSL_CTX_set_session_id_context(context, material->session_id,
                                          sizeof(material->session_id)) == 1
               ? 0
               : -ENOMEM;
}

SSL_CTX *tls_context_new(enum tls_kind kind, const struct tls_section *section,
                         const struct tls_material *material, struct tls_say *say, int *err)
{
    SSL_CTX *context =
        SSL_CTX_new(kind == TLS_DATAGRAM ? DTLS_server_method() : TLS_server_method());

    if (context == NULL) {
        ERR_clear_error();
        *err = -ENOMEM;
        return NULL;
    }
    manners_set(context);
    *err = versions_set(context, kind, section, say);
    *err = *err == 0 ? ciphers_set(context, section, say) : *err;
    *err = *err == 0 ? identity_set(context, section, material, say) : *err;
    *err = *err == 0 ? dh_set(context, section, material, say) : *err;
    *err = *err == 0 ? clients_set(context, section, material) : *err;
    if (*err < 0) {
        SSL_CTX_free(context);
        return NULL;
    }
    if (wants_old(section) && kind == TLS_STREAM) {
        /* Their signatures are made with SHA-1, which OpenSSL has at no higher level.  After the
         * keys were judged by the usual one. */
        SSL_CTX_set_security_level(context, 0);
    }
    return context;
}

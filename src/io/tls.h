/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates and TLS settings: which SSL_CTX a handshake begins with, and which one its SNI name
 * leads to.  Replaced whole at run time: connections that have begun keep what they began with.
 *
 *     [tls]                 the default section: what no other name fits
 *     [tls "example.org"]   chosen by SNI, or by name for one listener
 *
 * Owner   counted; a set is immutable once made.  Thread  any. */
#pragma once

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct tls_set;
struct tls_tickets;

enum tls_verify { TLS_VERIFY_OFF, TLS_VERIFY_OPTIONAL, TLS_VERIFY_REQUIRED };

/* In order: a minimum and a maximum are compared. */
enum tls_version { TLS_1_0 = 10, TLS_1_1 = 11, TLS_1_2 = 12, TLS_1_3 = 13 };

/* Stream: TLS over TCP, `tls_version` as given.  Datagram: DTLS 1.2, whatever the versions say. */
enum tls_kind { TLS_STREAM, TLS_DATAGRAM };

/* One section.  Texts are borrowed during tls_set_new() only; NULL: not given. */
struct tls_section {
    const char *name;        /* SNI host name, "*.example.org" too; NULL or "": the default one */
    const char *certificate; /* PEM file: leaf first, then its chain */
    const char *chain;       /* PEM file with more of the chain */
    const char *private_key; /* PEM file; NULL: in the certificate's file */
    const char *key_password;
    const char *ca_file;      /* PEM file: authorities of client certificates */
    const char *crl_file;     /* PEM file: every certificate of the chain is checked */
    const char *ciphers;      /* of TLS 1.2 and DTLS, in OpenSSL's words; weak ones are left out */
    const char *ciphersuites; /* of TLS 1.3 */
    const char *groups;       /* key exchange groups, "X25519:P-256" */
    const char *dh_file;      /* PEM parameters; NULL: OpenSSL's own, by the key's strength */
    const char *ocsp_file;    /* DER response to be stapled */
    enum tls_verify verify;
    unsigned verify_depth;        /* 0: 9 */
    enum tls_version version_min; /* 0: TLS 1.2 */
    enum tls_version version_max; /* 0: TLS 1.3 */
    const char *where;            /* "turn.conf:12", for messages */
};

struct tls_options {
    size_t count;
    const struct tls_section *sections;
    struct tls_tickets *tickets; /* session tickets; NULL: none are given out.  Referenced */

    /* Opens a file that open() refused with EACCES: the descriptor, or negative errno.  NULL:
     * nobody can.  Must live as long as the set: tls_set_files_changed() asks it, too. */
    int (*open_file)(void *arg, const char *path);
    void *open_arg;
};

/* Build and check every section: key and certificate match, nothing has expired (a warning in
 * `why` with return 1), names are unique.  0 or 1 with `*out`; -EINVAL (`why` names file, line of
 * the section and reason); -ENOMEM.  On failure nothing changes.  Each file is read once, at the
 * beginning of all use of it: one set never mixes two states of a file. */
MUST_USE int tls_set_new(const struct tls_options *options, struct tls_set **out, char *why,
                         size_t cap);
struct tls_set *tls_set_ref(struct tls_set *set);
void tls_set_unref(struct tls_set *set); /* NULL is allowed */

/* What a handshake begins with: the section called `name` (NULL, "": the default one; when there is
 * none, the first).  NULL when `name` is unknown.  Borrowed from `set`: SSL_new() takes a reference
 * of its own, and that keeps alive all that the SNI callback needs.
 *
 * Callbacks for DTLS cookies that are set on it are the ones asked, whatever name the client sends;
 * all other settings of a connection are its section's after the ClientHello. */
SSL_CTX *tls_set_context(const struct tls_set *set, enum tls_kind kind, const char *name);

/* The files that the set was made of: true when one of them is another now (inode, size, or time of
 * change), so that it should be made anew.  One that cannot be found or looked at is no other one:
 * the set would not come up without it.  System calls: control thread. */
bool tls_set_files_changed(const struct tls_set *set);

/* Seconds until the first certificate expires (negative: it has), for logs and metrics. */
int64_t tls_set_expires_in(const struct tls_set *set, int64_t now_s);

/* How many sets are alive in this process, for tests and metrics: contexts of old sets live until
 * the last connection that uses them has ended. */
unsigned tls_set_live_count(void);

/* True when the ALPN protocol that was negotiated is "stun.nat-discovery": only Binding may pass
 * (RFC 7443, RFC 7301 section 3.2). */
bool tls_is_discovery(const SSL *ssl);

/* --- session tickets ----------------------------------------------------------------------------
 *
 * Keys that rotate: tickets are sealed with the newest and opened with the newest and the one
 * before.  One object for all sets, so that resumption survives a reload.
 *
 * Thread  any (a lock inside, taken during handshakes only). */

/* `rotate_s` 0: the keys stay.  NULL without memory or randomness. */
MUST_USE struct tls_tickets *tls_tickets_new(uint32_t rotate_s);

/* Sets that were made with it keep it as long as they live.  NULL is allowed. */
void tls_tickets_free(struct tls_tickets *tickets);

/* The clock, monotonic seconds: rotates when it is time.  Control thread, now and then. */
void tls_tickets_tick(struct tls_tickets *tickets, uint64_t now_s);

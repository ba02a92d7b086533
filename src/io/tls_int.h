/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of tls.h share: from files to parsed material to contexts, and the names that lead
 * to them.
 *
 *     set ──> entry contexts ──> names ──> target contexts
 *      └────────────────────────^
 *
 * A handshake begins with an entry context and, when SNI says so, moves to a target.  An SSL keeps
 * its entry for life, the entry keeps the names, they keep all targets: nothing points back, so all
 * is gone with the last of set and connections. */
#pragma once

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "io/tls.h"

/* --- tls_say.c: messages ------------------------------------------------------------------------
 */

struct tls_say {
    const char *where; /* of the section; NULL: not known */
    char *why;
    size_t cap;
    bool warned; /* `why` holds a warning */
};

/* Write "WHERE: FILE: text"; `file` may be NULL.  Returns -EINVAL. */
int tls_say(struct tls_say *say, const char *file, const char *format, ...) PRINTF(3, 4);

/* The same with OpenSSL's reason behind "text: "; its queue of errors is emptied.  -EINVAL, or
 * -ENOMEM when that was the reason. */
int tls_say_openssl(struct tls_say *say, const char *file, const char *text);

/* A message that does not stop anything: the first one is kept. */
void tls_say_warning(struct tls_say *say, const char *file, const char *format, ...) PRINTF(3, 4);

/* --- tls_files.c: files read whole, once ---------------------------------------------------------
 */

struct tls_stamp {
    uint64_t device;
    uint64_t inode;
    int64_t size;
    struct timespec changed; /* ctime: it moves with the content, and cannot be set back */
};

struct tls_file {
    char *path;
    uint8_t *text; /* NULL after tls_files_forget() */
    size_t len;
    struct tls_stamp stamp;
};

struct tls_files {
    size_t count;
    size_t cap;
    struct tls_file *items;
    int (*open_file)(void *arg, const char *path);
    void *open_arg;
};

/* Room for `cap` files.  0 or -ENOMEM. */
MUST_USE int tls_files_init(struct tls_files *files, size_t cap);
void tls_files_fini(struct tls_files *files);

/* The content of `path`, from memory when it was read before; borrowed until tls_files_forget().
 * 0; -ENOENT, -EACCES, -EFBIG, -EISDIR (or anything else that is no regular file), -ENOMEM, or
 * another error of the system. */
MUST_USE int tls_files_read(struct tls_files *files, const char *path, struct bytes *out);

/* Wipe the contents; the stamps are kept. */
void tls_files_forget(struct tls_files *files);
bool tls_files_changed(const struct tls_files *files);

/* --- tls_material.c: files parsed
 * ----------------------------------------------------------------- */

/* What a section's files hold; shared by its contexts. */
struct tls_material {
    X509 *leaf;
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
    EVP_PKEY *dh;                      /* NULL: OpenSSL's own */
    X509_STORE *store;                 /* NULL: no ca_file */
    STACK_OF(X509_NAME) * authorities; /* told to clients */
    uint8_t *ocsp;                     /* NULL: no ocsp_file */
    size_t ocsp_len;
    int64_t ocsp_until_s;   /* INT64_MAX: it does not say */
    int64_t expires_s;      /* of leaf and chain, the first one */
    uint8_t session_id[32]; /* sessions of other sections, authorities, rules are not
                               resumed */
};

/* `material` must be zeroed; tls_material_fini() after success and failure.  0; -EINVAL, -ENOMEM.
 */
MUST_USE int tls_material_read(struct tls_material *material, const struct tls_section *section,
                               struct tls_files *files, struct tls_say *say);
void tls_material_fini(struct tls_material *material);

/* --- tls_pem.c: one PEM text
 * ---------------------------------------------------------------------- */

/* All certificates of `text`, appended.  The number; negative when OpenSSL has a complaint. */
MUST_USE int tls_pem_certificates(struct bytes text, STACK_OF(X509) * out);

/* All lists of `text` into `store`; the earliest end of validity.  As above. */
MUST_USE int tls_pem_crls(struct bytes text, X509_STORE *store, int64_t *out_until_s);

/* The first private key; never asks anybody.  NULL: `*out_asked` tells that a password was needed.
 */
MUST_USE EVP_PKEY *tls_pem_key(struct bytes text, const char *password, bool *out_asked);

/* Seconds since 1970; INT64_MAX when it cannot be understood. */
int64_t tls_pem_time(const ASN1_TIME *time);

/* --- tls_context.c: one SSL_CTX
 * ------------------------------------------------------------------- */

/* NULL: `*err` is -EINVAL (told) or -ENOMEM. */
MUST_USE SSL_CTX *tls_context_new(enum tls_kind kind, const struct tls_section *section,
                                  const struct tls_material *material, struct tls_say *say,
                                  int *err);
int tls_context_verify_mode(enum tls_verify verify);
int tls_context_verify_depth(const struct tls_section *section);
int tls_context_version(enum tls_version version, enum tls_version by_default);

/* On the heap, as OpenSSL's macros want no constant; NULL without memory. */
MUST_USE char *tls_context_groups(const struct tls_section *section);

/* --- tls_names.c: which name leads where
 * ---------------------------------------------------------- */

enum { TLS_NAME_MAX = 255, TLS_KINDS = TLS_DATAGRAM + 1 };

/* A section at run time. */
struct tls_host {
    struct tls_names *names;    /* that it is one of */
    char *name;                 /* lower-case; "": the default one */
    SSL_CTX *target[TLS_KINDS]; /* NULL when there is no other section to come from */

    /* What a connection that moves here does not get from the context. */
    int verify_mode;
    int verify_depth;
    int version_min;
    int version_max;
    char *groups;
    uint8_t session_id[32];

    uint8_t *ocsp;
    size_t ocsp_len;
    int64_t ocsp_until_s;
};

struct tls_names {
    _Atomic unsigned refs; /* the set's, and one of every entry context */
    size_t count;
    struct tls_host *hosts;   /* in the order of the sections */
    struct tls_host **sorted; /* by name */
    struct tls_tickets *tickets;
};

/* NULL without memory.  The hosts are empty. */
MUST_USE struct tls_names *tls_names_new(size_t count, struct tls_tickets *tickets);
void tls_names_unref(struct tls_names *names);

/* All names are set: make them be found.  False when one is there twice. */
MUST_USE bool tls_names_sort(struct tls_names *names, const struct tls_host **out_twice);

/* The host called exactly `name` (lower-case). */
struct tls_host *tls_names_get(const struct tls_names *names, const char *name);

/* The host that serves `name`, by wildcard, too; never the default one. */
const struct tls_host *tls_names_find(const struct tls_names *names, struct bytes name);

/* Put the callbacks into a context of `host`; an `entry` keeps the names alive from now on.  False
 * without memory. */
MUST_USE bool tls_names_attach(SSL_CTX *context, struct tls_host *host, bool entry);
unsigned tls_names_live(void);

/* --- tls_tickets.c
 * -------------------------------------------------------------------------------- */

struct tls_tickets *tls_tickets_ref(struct tls_tickets *tickets);

/* The work of OpenSSL's callback (SSL_CTX_set_tlsext_ticket_key_evp_cb(3)). */
int tls_tickets_key(struct tls_tickets *tickets, unsigned char name[16], unsigned char *iv,
                    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, bool seal);

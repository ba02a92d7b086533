/* SPDX-License-Identifier: Apache-2.0 */
/* Who may ask: credential kinds (tokens of third parties, fixed users, time-limited secrets, the
 * user database, and what is outside of it) behind one question about a realm, asked by workers and
 * never blocking them.
 *
 * auth_service   one a server: owns the store, its thread, and the current snapshot.
 * auth_worker    one a worker: its bounded cache of database answers, positive and negative, and
 *                the queue on which answers come back.
 *
 * Fixed users and secrets of the configuration, the secrets of the database, and the keys of third
 * parties are in the snapshot: they are answered at once, by computation alone.  Database users are
 * answered from the worker's cache, else looked up on the service's thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "crypto/credential.h"

struct conf;
struct auth_realms;
struct auth_service;
struct auth_worker;

/* What the credential sources can do together: decides what a 401 offers. */
struct auth_abilities {
    bool sha256;   /* every user has, or can be given, a SHA-256 key */
    bool md5_only; /* no user has a SHA-256 key */
    bool userhash; /* every user can be found by USERHASH */
};

/* Open the store that `conf` names, load the first snapshot and start the thread.
 * 0; negative errno with `why` (cap bytes) saying what failed and what to do. */
MUST_USE int auth_service_new(const struct conf *conf, struct auth_service **out, char *why,
                              size_t cap);

/* Stop the thread and close the store; all workers must be gone.  NULL is allowed. */
void auth_service_free(struct auth_service *service);

/* Take users, secrets and realm of another configuration; workers see them from their next question
 * on, cached answers are forgotten.  On failure the old ones stay.  Thread: control. */
MUST_USE int auth_service_reload(struct auth_service *service, const struct conf *conf, char *why,
                                 size_t cap);

/* What the current sources can do for the users of the main realm. Thread: any. */
struct auth_abilities auth_service_abilities(const struct auth_service *service);

/* What there is to know of realms (auth_realms.h), never NULL: a reference that the caller gives
 * back with auth_realms_unref().  Thread: any; takes a lock. */
struct auth_realms *auth_service_realms(const struct auth_service *service);

/* Its number, which grows when something of it has changed.  Thread: any; one load. */
uint64_t auth_service_realms_generation(const struct auth_service *service);

/* The transport addresses of back ends that no client may reach: of the HTTP hook and of the server
 * of a key set, when the URL has an address, or once they were connected to.  At most `max`
 * (AUTH_BACKENDS are enough), returns how many.  The number grows when they may have changed; read
 * it before them.  Thread: any. */
enum { AUTH_BACKENDS = 18 };

size_t auth_service_backends(const struct auth_service *service, struct net_addr *out, size_t max);
uint64_t auth_service_backends_generation(const struct auth_service *service);

/* Read the database's secrets and counts now, not at the next poll, and wait for it.  0; -EIO
 * (-ENOMEM) when the database failed, which auth_service_status() explains.  Thread: control. */
MUST_USE int auth_service_poll(struct auth_service *service);

enum { AUTH_ERROR_LEN = 320 };

/* How the database does. */
struct auth_status {
    bool failing;
    uint64_t since_s;           /* wall clock: when it began to fail */
    char error[AUTH_ERROR_LEN]; /* the last failure; "" when there was none */
    uint64_t lookups;           /* users looked up */
    uint64_t failures;          /* of these, without an answer */
    uint32_t secrets;           /* secrets in use */
    uint32_t secrets_ignored;   /* secrets beyond CREDENTIAL_MAX_KEYS */
};

/* Thread: any; takes a lock, so not for the packet path. */
void auth_service_status(const struct auth_service *service, struct auth_status *out);

/* A worker's end.  `wake` is called on the service's thread when answers wait for
 * auth_worker_collect(); it must be safe to call from there (an eventfd write). */
MUST_USE int auth_worker_new(struct auth_service *service, void (*wake)(void *arg), void *wake_arg,
                             struct auth_worker **out);

/* End it; `wake` is not called any more afterwards.  Waits for a look-up that is being answered at
 * this moment.  NULL is allowed. */
void auth_worker_free(struct auth_worker *worker);

/* Find the keys of a user.  0 with `*out`; -ENOENT no such user, or a time-limited name that is too
 * old (query->allocate) or malformed; -EAGAIN a look-up is under way; -EBUSY too many are under
 * way, or the query is not `proven` and would need one.  Never blocks.  Thread: the worker. */
MUST_USE int auth_worker_find(struct auth_worker *worker, const struct credential_query *query,
                              uint64_t wall_s, uint64_t now_ms, struct credential_keys *out);

/* Move answers that arrived into the cache; returns how many.  Thread: the worker. */
uint32_t auth_worker_collect(struct auth_worker *worker, uint64_t now_ms);

/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/secret.h"
#include "log/log.h"

enum {
    POLL_MS = 5000,  /* as coturn polls */
    RETRY_MS = 1000, /* when the database has failed */
    BUSY_MS = 250,   /* for a lock; a stop of the server waits no longer */
    OPEN_TRIES = 20, /* of BUSY_MS each */
};

struct auth_source {
    struct store *store;
    struct auth_facts facts;
    struct auth_facts reading; /* the facts while they are read */
    bool facts_due;            /* read them even if nothing seems to have changed */
    uint64_t poll_ms;          /* when to poll next */
    bool failing;
    uint64_t since_s;
    char error[AUTH_ERROR_LEN];
    uint64_t lookups;
    uint64_t failures;
};

static uint64_t clock_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void failed(struct auth_source *source)
{
    (void)snprintf(source->error, sizeof(source->error), "%s", store_error(source->store));
    source->facts_due = true;
    source->poll_ms = clock_ms() + RETRY_MS;
    if (source->failing) {
        return;
    }
    source->failing = true;
    source->since_s = (uint64_t)time(NULL);
    log_event(LOG_ERROR, "auth.database_failed", LOG_TEXT("error", source->error), LOG_END);
}

static void worked(struct auth_source *source)
{
    source->poll_ms = clock_ms() + POLL_MS;
    if (source->failing) {
        source->failing = false;
        log_event(LOG_NOTICE, "auth.database_back",
                  LOG_U64("failed_s", (uint64_t)time(NULL) - source->since_s), LOG_END);
    }
}

static int secret_take(void *arg, const struct store_secret *secret)
{
    auth_secrets_add(arg, secret->value);
    return 0;
}

/* Read what concerns `config` into the facts.  0, or negative with the facts unchanged. */
static int facts_read(struct auth_source *source, const struct auth_config *config)
{
    const struct bytes realm = auth_config_realm(config);
    struct auth_facts *facts = &source->reading;
    int err = 0;

    memset(facts, 0, sizeof(*facts));
    facts->known = true;
    if (config->ask_secrets) {
        err = store_secret_list(source->store, realm, secret_take, &facts->secrets);
    }
    if (err == 0 && config->ask_users) {
        err = store_user_count(source->store, realm, &facts->counts);
    }
    if (err == 0) {
        if (facts->secrets.ignored > source->facts.secrets.ignored) {
            log_event(
                LOG_WARNING, "auth.secrets_ignored", LOG_U64("ignored", facts->secrets.ignored),
                LOG_TEXT("advice", "remove old secrets of this realm from turn_secret"), LOG_END);
        }
        secret_wipe(&source->facts, sizeof(source->facts));
        source->facts = *facts;
        source->facts_due = false;
    }
    secret_wipe(facts, sizeof(*facts));
    return err;
}

static int open_patiently(const char *where, struct auth_source *source, char *why, size_t cap)
{
    const struct store_target target = {where, STORE_SERVE, BUSY_MS};
    int err = -EBUSY;

    for (int i = 0; i < OPEN_TRIES && err == -EBUSY; i++) {
        err = store_open(&store_sqlite, &target, &source->store, why, cap);
    }
    return err;
}

int auth_source_new(const char *where, const struct auth_config *config, struct auth_source **out,
                    char *why, size_t cap)
{
    struct auth_source *source = mem_new(1, sizeof(*source));

    if (source == NULL) {
        (void)snprintf(why, cap, "memory is exhausted");
        return -ENOMEM;
    }
    source->facts_due = true;
    int err = open_patiently(where, source, why, cap);
    if (err == 0) {
        err = auth_source_poll(source, config);
        if (err < 0) {
            (void)snprintf(why, cap, "user database %s", source->error);
        }
    }
    if (err < 0) {
        auth_source_free(source);
        return err;
    }
    *out = source;
    return 0;
}

void auth_source_free(struct auth_source *source)
{
    if (source == NULL) {
        return;
    }
    store_close(source->store);
    secret_wipe(source, sizeof(*source));
    free(source);
}

bool auth_source_due(const struct auth_source *source, struct timespec *out_until)
{
    *out_until = (struct timespec){
        .tv_sec = (time_t)(source->poll_ms / 1000),
        .tv_nsec = (long)(source->poll_ms % 1000) * 1000000,
    };
    return clock_ms() >= source->poll_ms;
}

int auth_source_poll(struct auth_source *source, const struct auth_config *config)
{
    int changed = store_refresh(source->store);

    if (changed > 0) {
        source->facts_due = true; /* until they are read, which may fail now */
    }
    const bool due = source->facts_due;
    if (changed >= 0 && due) {
        changed = facts_read(source, config);
    }
    if (changed < 0) {
        failed(source);
        return -EIO;
    }
    worked(source);
    return due ? 1 : 0;
}

int auth_source_turn(struct auth_source *source, const struct auth_config *old_config,
                     const struct auth_config *new_config)
{
    if (strcmp(old_config->realm, new_config->realm) != 0) {
        secret_wipe(&source->facts, sizeof(source->facts)); /* nothing is known */
    }
    source->facts_due = true;
    const int changed = auth_source_poll(source, new_config);
    return changed < 0 ? changed : 0;
}

const struct auth_facts *auth_source_facts(const struct auth_source *source)
{
    return &source->facts;
}

static int look_up(struct auth_source *source, struct bytes realm, struct auth_lookup *lookup)
{
    const struct auth_who who = auth_lookup_who(lookup);

    if (who.by_hash) {
        return store_user_find_hash(source->store, realm, who.bytes.p, &lookup->name,
                                    &lookup->keys);
    }
    lookup->name = lookup->asked;
    return store_user_find(source->store, realm, who.bytes, &lookup->keys);
}

void auth_source_answer(struct auth_source *source, const struct auth_config *config,
                        struct auth_lookup *lookup)
{
    lookup->epoch = config->epoch;
    source->lookups++;
    if (source->failing) {
        source->failures++;
        lookup->result = -EIO;
        return;
    }
    const int err = look_up(source, auth_config_realm(config), lookup);
    lookup->result = err;
    if (err == -EBADMSG) {
        const struct bytes user = {lookup->name.bytes, lookup->by_hash ? 0 : lookup->name.len};
        log_event(LOG_WARNING, "auth.bad_key", LOG_USER("user", user),
                  LOG_TEXT("error", store_error(source->store)), LOG_END);
        lookup->result = -ENOENT;
    } else if (err < 0 && err != -ENOENT) {
        failed(source);
        source->failures++;
        lookup->result = -EIO;
    }
}

void auth_source_status(const struct auth_source *source, struct auth_status *status)
{
    status->failing = source->failing;
    status->since_s = source->since_s;
    memcpy(status->error, source->error, sizeof(status->error));
    status->lookups = source->lookups;
    status->failures = source->failures;
}

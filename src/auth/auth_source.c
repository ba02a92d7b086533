/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/auth_reading.h"
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
    struct auth_facts *facts;
    bool facts_due;   /* read them even if nothing seems to have changed */
    uint64_t poll_ms; /* when to poll next */
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

static void failed(struct auth_source *source, int err)
{
    (void)snprintf(source->error, sizeof(source->error), "%s",
                   err == -ENOMEM ? "memory is exhausted" : store_error(source->store));
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

/* Warn of what is left out, when it has become more. */
static void tell_ignored(const struct auth_facts *old, const struct auth_facts *facts)
{
    const uint32_t keys = old == NULL ? 0 : old->oauth.ignored;
    const uint32_t rows = old == NULL ? 0 : old->ignored;
    const uint64_t secrets = auth_facts_secrets_ignored(facts);

    if (secrets > auth_facts_secrets_ignored(old)) {
        log_event(LOG_WARNING, "auth.secrets_ignored", LOG_U64("ignored", secrets),
                  LOG_TEXT("advice", "remove old secrets of this realm from turn_secret"), LOG_END);
    }
    if (facts->oauth.ignored > keys) {
        log_event(LOG_WARNING, "auth.oauth_keys_ignored", LOG_U64("ignored", facts->oauth.ignored),
                  LOG_TEXT("advice", "see ikm_key and as_rs_alg in oauth_key"), LOG_END);
    }
    if (facts->ignored > rows) {
        log_event(LOG_WARNING, "auth.realms_ignored", LOG_U64("ignored", facts->ignored),
                  LOG_TEXT("advice", "there are too many realms, origins or peer ranges"), LOG_END);
    }
}

/* Read what concerns `config` into the facts; `all`: the secrets too, though they are not polled.
 * 0, or negative with the facts unchanged. */
static int facts_read(struct auth_source *source, const struct auth_config *config, bool all)
{
    const struct auth_reading reading = {source->store, config, all ? NULL : source->facts};
    struct auth_facts *facts;
    const int err = auth_reading_facts(&reading, &facts);

    if (err < 0) {
        return err;
    }
    tell_ignored(source->facts, facts);
    auth_facts_unref(source->facts);
    source->facts = facts;
    source->facts_due = false;
    return 0;
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
    auth_facts_unref(source->facts);
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
        changed = facts_read(source, config, config->poll_secrets);
    }
    if (changed < 0) {
        failed(source, changed);
        return changed == -ENOMEM ? changed : -EIO;
    }
    worked(source);
    return due ? 1 : 0;
}

int auth_source_turn(struct auth_source *source, const struct auth_config *old_config,
                     const struct auth_config *new_config)
{
    const bool alike = old_config->ask_users == new_config->ask_users &&
                       old_config->ask_secrets == new_config->ask_secrets &&
                       bytes_equal(auth_config_main(old_config), auth_config_main(new_config));
    int err = store_refresh(source->store);

    if (err >= 0) {
        err = facts_read(source, new_config, true);
    }
    if (err < 0 && !alike) {
        auth_facts_unref(source->facts);
        source->facts = NULL; /* nothing is known */
    }
    if (err < 0) {
        failed(source, err);
        return -EIO;
    }
    worked(source);
    return 0;
}

struct auth_facts *auth_source_facts(const struct auth_source *source)
{
    return source->facts;
}

static int look_up(struct auth_source *source, struct auth_lookup *lookup)
{
    const struct auth_who who = auth_lookup_who(lookup);
    const struct bytes realm = who.realm;

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
    const int err = look_up(source, lookup);
    lookup->result = err;
    if (err == -EBADMSG) {
        const struct bytes user = {lookup->name.bytes, lookup->by_hash ? 0 : lookup->name.len};
        log_event(LOG_WARNING, "auth.bad_key", LOG_USER("user", user),
                  LOG_TEXT("error", store_error(source->store)), LOG_END);
        lookup->result = -ENOENT;
    } else if (err < 0 && err != -ENOENT) {
        failed(source, err);
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

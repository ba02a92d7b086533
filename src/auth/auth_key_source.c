/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_key_source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "log/log.h"

enum {
    FETCH_MS = 5000,  /* a fetch may take */
    RETRY_MS = 10000, /* between fetches, when one has failed or a key is missing */
    LOOK_MS = 1000,   /* between looks at a file */
};

/* --- One try -------------------------------------------------------------------------------------
 */

static void failed(struct auth_key_source *source, const char *why)
{
    if (!source->failing) {
        source->failing = true;
        log_event(LOG_ERROR, "auth.jwks_failed", LOG_TEXT("error", why),
                  LOG_TEXT("effect", source->set != NULL ? "the last good keys are used"
                                                         : "no token is accepted"),
                  LOG_END);
    }
}

/* Takes `set`. */
static void worked(struct auth_key_source *source, struct auth_jwks *set)
{
    if (source->failing) {
        source->failing = false;
        log_event(LOG_NOTICE, "auth.jwks_back", LOG_END);
    }
    log_event(LOG_INFO, "auth.jwks_read", LOG_U64("keys", auth_jwks_count(set)),
              LOG_U64("ignored", auth_jwks_ignored(set)), LOG_END);
    auth_jwks_free(source->set);
    source->set = set;
}

static const char *reason(int err)
{
    return err == -EBADMSG ? "it is no JSON Web Key Set" : strerror(-err);
}

static void on_fetched(void *arg, const struct auth_http_answer *answer)
{
    enum { HTTP_OK = 200 };
    struct auth_key_source *source = arg;
    struct auth_jwks *set;
    char why[64];

    source->call = NULL;
    source->ended = true;
    if (answer->status != HTTP_OK) {
        (void)snprintf(why, sizeof(why), "the status is %ld, not 200", answer->status);
        failed(source, answer->error != NULL ? answer->error : why);
        return;
    }
    const int err = auth_jwks_parse(answer->body, &set);
    if (err < 0) {
        failed(source, reason(err));
        return;
    }
    worked(source, set);
}

static void fetch(struct auth_key_source *source, uint64_t now_ms)
{
    const struct auth_http_request request = {
        .url = source->config->jwks,
        .ca_file = source->config->ca_file,
        .timeout_ms = FETCH_MS,
        .answer_max = AUTH_JWKS_BYTES_MAX,
        .done = on_fetched,
        .arg = source,
    };

    source->tried = true;
    source->tried_ms = now_ms;
    if (source->call != NULL) {
        return;
    }
    const int err =
        source->http == NULL ? -ENOSYS : auth_http_start(source->http, &request, &source->call);
    if (err < 0) {
        source->call = NULL;
        failed(source, strerror(-err));
    }
}

/* What differs when a file was changed, or replaced. */
static int stamp_of(const char *path, uint64_t out[4])
{
    struct stat st;

    if (stat(path, &st) < 0) {
        return -errno;
    }
    out[0] = (uint64_t)st.st_ino;
    out[1] = (uint64_t)st.st_size;
    out[2] = (uint64_t)st.st_mtim.tv_sec;
    out[3] = (uint64_t)st.st_mtim.tv_nsec;
    return 0;
}

static void look(struct auth_key_source *source)
{
    struct auth_jwks *set = NULL;
    uint64_t stamp[4];
    int err = stamp_of(source->config->jwks, stamp);

    if (err == 0 && source->tried && !source->failing &&
        memcmp(stamp, source->stamp, sizeof(stamp)) == 0) {
        return;
    }
    source->tried = true;
    err = err == 0 ? auth_jwks_read(source->config->jwks, &set) : err;
    if (err < 0) {
        failed(source, reason(err));
        return;
    }
    memcpy(source->stamp, stamp, sizeof(stamp));
    worked(source, set);
}

/* --- When ----------------------------------------------------------------------------------------
 */

/* Do both name the same place? */
static bool is_same_place(const struct auth_outside_config *a, const struct auth_outside_config *b)
{
    return a != NULL && b != NULL && a->jwks != NULL && b->jwks != NULL &&
           strcmp(a->jwks, b->jwks) == 0;
}

void auth_key_source_turn(struct auth_key_source *source, struct auth_outside_config *config)
{
    if (source->call != NULL) {
        auth_http_cancel(source->call);
        source->call = NULL;
        source->ended = true;
    }
    if (!is_same_place(source->config, config)) {
        auth_jwks_free(source->set);
        source->set = NULL;
        source->failing = false;
        source->tried = false;
    }
    source->due_ms = 0;
    source->config = config;
}

int auth_key_source_poll(struct auth_key_source *source, uint64_t now_ms)
{
    const struct auth_outside_config *config = source->config;

    if (config == NULL || config->jwks == NULL) {
        return LOOK_MS;
    }
    if (now_ms >= source->due_ms) {
        if (config->jwks_is_url) {
            fetch(source, now_ms);
        } else {
            look(source);
        }
        source->due_ms = now_ms + (config->jwks_is_url ? config->jwks_refresh_ms : LOOK_MS);
    }
    if (config->jwks_is_url && source->failing && source->call == NULL &&
        source->due_ms > source->tried_ms + RETRY_MS) {
        source->due_ms = source->tried_ms + RETRY_MS;
    }
    const uint64_t left_ms = source->due_ms > now_ms ? source->due_ms - now_ms : 0;
    return left_ms < LOOK_MS ? (int)left_ms : LOOK_MS;
}

bool auth_key_source_hurry(struct auth_key_source *source, uint64_t now_ms)
{
    const struct auth_outside_config *config = source->config;

    if (config == NULL || config->jwks == NULL) {
        return false;
    }
    if (!config->jwks_is_url) {
        source->due_ms = 0;
        return false; /* it was looked at a second ago */
    }
    if (source->call == NULL && (!source->tried || now_ms >= source->tried_ms + RETRY_MS)) {
        fetch(source, now_ms);
    }
    return source->call != NULL;
}

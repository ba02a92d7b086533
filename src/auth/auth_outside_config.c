/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_outside_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/auth_jwks.h"
#include "base/mem.h"
#include "base/secret.h"
#include "conf/conf.h"

/* A copy of what may not be there.  0 or -ENOMEM. */
static int text_copy(const char *text, char **out)
{
    *out = text == NULL ? NULL : mem_text(text);
    return text == NULL || *out != NULL ? 0 : -ENOMEM;
}

static int list_copy(const struct conf_list *list, char ***out, size_t *out_count)
{
    int err = 0;

    *out = mem_new(list->count + 1, sizeof(**out)); /* not 0: NULL means no memory */
    if (*out == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; err == 0 && i < list->count; i++) {
        err = text_copy(list->items[i].text, &(*out)[i]);
        *out_count += err == 0;
    }
    return err;
}

static void text_free(char *text)
{
    if (text != NULL) {
        secret_wipe(text, strlen(text));
    }
    free(text);
}

static void list_free(char **list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        text_free(list[i]);
    }
    free(list);
}

static int jwt_read(struct auth_outside_config *config, const struct conf *conf)
{
    int err = text_copy(conf->jwt_jwks, &config->jwks);

    config->jwt = conf->jwt_secret.count > 0 || conf->jwt_jwks != NULL;
    config->jwt_plain = conf->jwt_plain;
    config->jwks_is_url = conf->jwt_jwks != NULL && strstr(conf->jwt_jwks, "://") != NULL;
    config->jwks_refresh_ms = conf->jwt_jwks_refresh * 1000U;
    for (size_t i = 0; err == 0 && i < conf->jwt_secret.count; i++) {
        err = auth_secrets_put(&config->secrets, bytes_of(conf->jwt_secret.items[i].text));
    }
    err = err == 0 ? text_copy(conf->jwt_issuer, &config->issuer) : err;
    return err == 0 ? list_copy(&conf->jwt_audience, &config->audiences, &config->audience_count)
                    : err;
}

static int hook_read(struct auth_outside_config *config, const struct conf *conf)
{
    int err = text_copy(conf->auth_hook, &config->hook);

    config->hook_timeout_ms = conf->auth_hook_timeout;
    config->hook_absent_ms = conf->auth_hook_negative_ttl * 1000U;
    config->hook_pending_max = conf->auth_hook_max_pending;
    err = err == 0 ? text_copy(conf->auth_hook_ca_file, &config->ca_file) : err;
    return err == 0 ? list_copy(&conf->auth_hook_header, &config->headers, &config->header_count)
                    : err;
}

/* A file that cannot be used is told at once; what happens to it later is for auth_outside. */
static int file_judge(const struct auth_outside_config *config, char *why, size_t cap)
{
    struct auth_jwks *set = NULL;

    if (config->jwks == NULL || config->jwks_is_url) {
        return 0;
    }
    const int err = auth_jwks_read(config->jwks, &set);
    if (err == -EBADMSG) {
        (void)snprintf(why, cap, "jwt-jwks: %s is no JSON Web Key Set", config->jwks);
    } else if (err < 0) {
        (void)snprintf(why, cap, "jwt-jwks: cannot read %s: %s", config->jwks, strerror(-err));
    }
    auth_jwks_free(set);
    return err == 0 || err == -ENOMEM ? err : -EBADMSG;
}

int auth_outside_config_new(const struct conf *conf, struct auth_outside_config **out, char *why,
                            size_t cap)
{
    struct auth_outside_config *config;

    if (conf->jwt_secret.count == 0 && conf->jwt_jwks == NULL && conf->auth_hook == NULL) {
        *out = NULL;
        return 0;
    }
    (void)snprintf(why, cap, "memory is exhausted");
    config = mem_new(1, sizeof(*config));
    if (config == NULL) {
        return -ENOMEM;
    }
    atomic_init(&config->refs, 1);
    int err = jwt_read(config, conf);
    err = err == 0 ? hook_read(config, conf) : err;
    err = err == 0 ? file_judge(config, why, cap) : err;
    if (err < 0) {
        auth_outside_config_unref(config);
        return err;
    }
    *out = config;
    return 0;
}

struct auth_outside_config *auth_outside_config_ref(struct auth_outside_config *config)
{
    atomic_fetch_add_explicit(&config->refs, 1, memory_order_relaxed);
    return config;
}

void auth_outside_config_unref(struct auth_outside_config *config)
{
    if (config == NULL || atomic_fetch_sub_explicit(&config->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    auth_secrets_free(config->secrets);
    text_free(config->jwks);
    text_free(config->issuer);
    list_free(config->audiences, config->audience_count);
    text_free(config->hook);
    list_free(config->headers, config->header_count);
    text_free(config->ca_file);
    free(config);
}

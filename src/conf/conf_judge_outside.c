/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Web Tokens and the HTTP hook: options that need one another, and URLs. */
#include <string.h>
#include <strings.h>

#include "conf/conf_int.h"

enum {
    SECRETS_MAX = 8,   /* as of time-limited names */
    SECRET_LEAST = 32, /* RFC 7518 section 3.2 */
};

bool conf_has_outside(const struct conf *conf)
{
    return conf->jwt_secret.count > 0 || conf->jwt_jwks != NULL || conf->auth_hook != NULL ||
           conf->oauth;
}

static struct conf_place item_place(const struct conf_text *item)
{
    return (struct conf_place){.file = item->file, .line = item->line, .column = item->column};
}

/* What this build cannot do is an error: a server that ignored it would refuse its users. */
static void built_judge(struct conf *conf, enum conf_opt opt, bool is_given, bool is_built,
                        const char *library)
{
    const struct conf_place place = conf_place_of(conf, opt);

    if (is_given && !is_built) {
        conf_say(conf, CONF_ERROR, &place, "'%s' needs %s, which this sterna was built without",
                 conf_options[opt].name, library);
    }
}

static bool is_built_with_jwt(void)
{
#ifdef STERNA_JWT
    return true;
#else
    return false;
#endif
}

static bool is_built_with_hook(void)
{
#ifdef STERNA_HOOK
    return true;
#else
    return false;
#endif
}

static bool is_url(const char *text)
{
    return strstr(text, "://") != NULL;
}

/* On the way to this host itself nobody else reads. */
static bool is_loopback(const char *host)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const size_t n = strlen(names[i]);
        if (strncasecmp(host, names[i], n) == 0 && strchr(":/?", host[n]) != NULL) {
            return true; /* strchr() finds the end of the text, too */
        }
    }
    return false;
}

static void url_judge(struct conf *conf, enum conf_opt opt, const char *url)
{
    const struct conf_place place = conf_place_of(conf, opt);
    const bool https = strncasecmp(url, "https://", 8) == 0;
    const bool http = strncasecmp(url, "http://", 7) == 0;
    const char *host = url + (https ? 8 : 7);

    if (!http && !https) {
        conf_say(conf, CONF_ERROR, &place, "'%s' wants a URL that begins with https:// or http://",
                 conf_options[opt].name);
        return;
    }
    const size_t n = strcspn(host, "/?#");
    if (n == 0 || strpbrk(url, " \t\r\n") != NULL) {
        conf_say(conf, CONF_ERROR, &place, "this is no URL with a host");
    } else if (memchr(host, '@', n) != NULL) {
        conf_say(
            conf, CONF_ERROR, &place,
            "a password does not belong into a URL: write auth-hook-header=Authorization: ...");
    } else if (http && !is_loopback(host)) {
        conf_say(conf, CONF_WARNING, &place,
                 "over http:// anybody on the way can read and change the answers: use https://");
    }
}

static void secrets_judge(struct conf *conf)
{
    const struct conf_list *list = &conf->jwt_secret;

    for (size_t i = 0; i < list->count; i++) {
        const struct conf_place place = item_place(&list->items[i]);
        if (i == SECRETS_MAX) {
            conf_say(conf, CONF_ERROR, &place, "there may be %d jwt-secret at most", SECRETS_MAX);
        }
        if (strlen(list->items[i].text) < SECRET_LEAST) {
            conf_say(conf, CONF_ERROR, &place,
                     "a jwt-secret has %d bytes at least (RFC 7518 section 3.2)", SECRET_LEAST);
        }
    }
}

static void headers_judge(struct conf *conf)
{
    for (size_t i = 0; i < conf->auth_hook_header.count; i++) {
        const struct conf_text *item = &conf->auth_hook_header.items[i];
        const struct conf_place place = item_place(item);
        const char *colon = strchr(item->text, ':');

        if (colon == NULL || colon == item->text || strpbrk(item->text, "\r\n") != NULL ||
            memchr(item->text, ' ', (size_t)(colon - item->text)) != NULL) {
            conf_say(conf, CONF_ERROR, &place, "write a header as Name: value");
        }
    }
}

static void needless_judge(struct conf *conf, enum conf_opt opt, bool is_needed, const char *what)
{
    const struct conf_place place = conf_place_of(conf, opt);

    if (conf->is_set[opt] && !is_needed) {
        conf_say(conf, CONF_WARNING, &place, "without %s, '%s' has no effect", what,
                 conf_options[opt].name);
    }
}

void conf_judge_outside(struct conf *conf)
{
    const bool jwt = conf->jwt_secret.count > 0 || conf->jwt_jwks != NULL;
    const bool url = conf->jwt_jwks != NULL && is_url(conf->jwt_jwks);
    const bool hook = conf->auth_hook != NULL;
    const struct conf_place plain = conf_place_of(conf, CONF_OPT_jwt_plain);

    built_judge(conf, CONF_OPT_jwt_secret, conf->jwt_secret.count > 0, is_built_with_jwt(),
                "cjose");
    built_judge(conf, CONF_OPT_jwt_jwks, conf->jwt_jwks != NULL, is_built_with_jwt(), "cjose");
    built_judge(conf, CONF_OPT_jwt_jwks, url, is_built_with_hook(), "libcurl");
    built_judge(conf, CONF_OPT_auth_hook, hook, is_built_with_hook(), "libcurl");
    if (url) {
        url_judge(conf, CONF_OPT_jwt_jwks, conf->jwt_jwks);
    }
    if (hook) {
        url_judge(conf, CONF_OPT_auth_hook, conf->auth_hook);
    }
    secrets_judge(conf);
    headers_judge(conf);
    needless_judge(conf, CONF_OPT_jwt_issuer, jwt, "jwt-secret or jwt-jwks");
    needless_judge(conf, CONF_OPT_jwt_audience, jwt, "jwt-secret or jwt-jwks");
    needless_judge(conf, CONF_OPT_auth_hook_header, hook, "auth-hook");
    needless_judge(conf, CONF_OPT_auth_hook_ca_file, hook || url, "auth-hook or a URL in jwt-jwks");
    if (conf->jwt_plain && jwt) {
        conf_say(conf, CONF_WARNING, &plain,
                 "jwt-plain: over UDP and TCP anybody on the way can read a token in a user name, "
                 "and use it until it expires");
    }
}

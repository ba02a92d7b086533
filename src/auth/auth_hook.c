/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_hook.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "auth/auth_keys.h"
#include "base/secret.h"

enum { HTTP_OK = 200, HTTP_FORBIDDEN = 403, HTTP_NOT_FOUND = 404, PASSWORD_MAX = 1024 };

static const char *transport_text(uint8_t transport)
{
    switch (transport) {
    case NET_TCP:
        return "tcp";
    case NET_TLS:
        return "tls";
    case NET_DTLS:
        return "dtls";
    default:
        return "udp";
    }
}

int auth_hook_ask(const struct auth_hook_question *question, char **out_text)
{
    char client[NET_ADDR_TEXT] = "";
    json_t *name = json_stringn((const char *)question->name.p, question->name.n);
    json_t *realm = json_stringn((const char *)question->realm.p, question->realm.n);

    if (name == NULL || realm == NULL) {
        json_decref(name);
        json_decref(realm);
        return -EBADMSG;
    }
    if (question->client != NULL) {
        (void)net_ip_text(&question->client->ip, client);
    }
    json_t *root =
        json_pack("{so,so,ss,ss,ss}", "username", name, "realm", realm, "client", client,
                  "transport", transport_text(question->transport), "method", "allocate");
    char *text = root != NULL ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (text == NULL) {
        return -ENOMEM;
    }
    *out_text = text;
    return 0;
}

/* Exactly 2 * n hexadecimal digits. */
static bool hex_read(const json_t *json, uint8_t *out, size_t n)
{
    const char *text = json_string_value(json);

    if (text == NULL || json_string_length(json) != 2 * n) {
        return false;
    }
    for (size_t i = 0; i < 2 * n; i++) {
        const char c = text[i];
        int digit = c - '0';
        if (c >= 'a' && c <= 'f') {
            digit = c - 'a' + 10;
        } else if (c >= 'A' && c <= 'F') {
            digit = c - 'A' + 10;
        } else if (c < '0' || c > '9') {
            return false;
        }
        out[i / 2] = (uint8_t)(i % 2 == 0 ? digit << 4 : out[i / 2] | digit);
    }
    return true;
}

/* What is wrong with the keys or the password; NULL when nothing is. */
static const char *keys_read(const struct auth_hook_question *question, const json_t *root,
                             struct auth_hook_answer *out)
{
    const json_t *password = json_object_get(root, "password");
    const json_t *md5 = json_object_get(root, "md5");
    const json_t *sha256 = json_object_get(root, "sha256");
    struct credential_key *key = &out->key[0];

    if (password != NULL) {
        const size_t n = json_string_length(password);
        if (md5 != NULL || sha256 != NULL || !json_is_string(password) || n == 0 ||
            n > PASSWORD_MAX) {
            return "a password is a text of up to 1024 bytes, and stands without keys";
        }
        const struct bytes text = {(const uint8_t *)json_string_value(password), n};
        const int count =
            auth_keys_variants(question->name, question->realm, text, out->key, AUTH_HOOK_KEYS);
        out->key_count = count < 0 ? 0 : (uint32_t)count;
        return count > 0 ? NULL : "no key can be made of the password";
    }
    if (md5 == NULL && sha256 == NULL) {
        return "there is neither a password nor a key";
    }
    key->has_md5 = md5 != NULL;
    key->has_sha256 = sha256 != NULL;
    out->key_count = 1;
    return (md5 == NULL || hex_read(md5, key->md5, sizeof(key->md5))) &&
                   (sha256 == NULL || hex_read(sha256, key->sha256, sizeof(key->sha256)))
               ? NULL
               : "md5 has 32 hexadecimal digits, sha256 has 64";
}

static const char *rest_read(const json_t *root, struct auth_hook_answer *out)
{
    const json_t *ttl = json_object_get(root, "ttl");
    const json_t *account = json_object_get(root, "account");
    const size_t len = json_string_length(account);

    if (ttl != NULL) {
        const json_int_t value = json_integer_value(ttl);
        if (!json_is_integer(ttl) || value < 0 || value > AUTH_HOOK_TTL_MAX_S) {
            return "ttl is a whole number of seconds, up to 86400";
        }
        out->has_ttl = true;
        out->ttl_s = (uint32_t)value;
    }
    if (account != NULL) {
        if (!json_is_string(account) || len == 0 || len > sizeof(out->account)) {
            return "account is a text of up to 128 bytes";
        }
        out->account_len = (uint16_t)len;
        memcpy(out->account, json_string_value(account), len);
    }
    return NULL;
}

int auth_hook_read(const struct auth_hook_question *question, long status, struct bytes body,
                   struct auth_hook_answer *out, const char **out_why)
{
    struct auth_hook_answer answer = {0};
    const char *why = "the status is neither 200 nor 403 nor 404";

    if (status == HTTP_FORBIDDEN || status == HTTP_NOT_FOUND) {
        return -ENOENT;
    }
    if (status == HTTP_OK) {
        json_t *root = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
        why = json_is_object(root) ? keys_read(question, root, &answer) : "it is no JSON object";
        why = why == NULL ? rest_read(root, &answer) : why;
        json_decref(root);
    }
    if (why != NULL) {
        secret_wipe(&answer, sizeof(answer));
        *out_why = why;
        return -EBADMSG;
    }
    *out = answer;
    secret_wipe(&answer, sizeof(answer));
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "io/tls.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/tls_int.h"

enum { FILES_OF_SECTION = 7 };

struct tls_set {
    _Atomic unsigned refs;
    struct tls_names *names;
    SSL_CTX *(*entry)[TLS_KINDS]; /* of each host */
    const struct tls_host *first; /* what no name leads to */
    struct tls_files files;
    int64_t expires_s;
};

static void set_free(struct tls_set *set)
{
    const size_t count = set->names != NULL && set->entry != NULL ? set->names->count : 0;

    for (size_t i = 0; i < count; i++) {
        SSL_CTX_free(set->entry[i][TLS_STREAM]);
        SSL_CTX_free(set->entry[i][TLS_DATAGRAM]);
    }
    free(set->entry);
    tls_names_unref(set->names);
    tls_files_fini(&set->files);
    free(set);
}

struct tls_set *tls_set_ref(struct tls_set *set)
{
    atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    return set;
}

void tls_set_unref(struct tls_set *set)
{
    if (set != NULL && atomic_fetch_sub(&set->refs, 1) == 1) {
        set_free(set);
    }
}

/* --- making -------------------------------------------------------------------------------------
 */

/* A host name as SNI carries it, perhaps with a wildcard for its first label. */
static bool good_name(const char *name)
{
    const char *rest = strncmp(name, "*.", 2) == 0 ? name + 2 : name;

    if (strlen(name) > TLS_NAME_MAX || (*name != 0 && *rest == 0)) {
        return false;
    }
    for (; *rest != 0; rest++) {
        if (!isalnum((unsigned char)*rest) && strchr("-._", *rest) == NULL) {
            return false;
        }
    }
    return true;
}

static int host_name(struct tls_host *host, const struct tls_section *section, struct tls_say *say)
{
    const char *name = section->name != NULL ? section->name : "";

    if (!good_name(name)) {
        return tls_say(say, NULL, "'%.80s' is not a host name, nor \"*.\" and one", name);
    }
    host->name = mem_text(name);
    if (host->name == NULL) {
        return -ENOMEM;
    }
    for (char *p = host->name; *p != 0; p++) {
        *p = (char)tolower((unsigned char)*p);
    }
    return 0;
}

static int names_read(struct tls_set *set, const struct tls_options *options, struct tls_say *say)
{
    const struct tls_host *twice;

    for (size_t i = 0; i < options->count; i++) {
        say->where = options->sections[i].where;
        const int err = host_name(&set->names->hosts[i], &options->sections[i], say);
        if (err < 0) {
            return err;
        }
    }
    if (!tls_names_sort(set->names, &twice)) {
        say->where = options->sections[twice - set->names->hosts].where;
        return *twice->name == 0 ? tls_say(say, NULL, "there are two default sections")
                                 : tls_say(say, NULL, "there are two sections \"%s\"", twice->name);
    }
    const struct tls_host *by_default = tls_names_get(set->names, "");
    set->first = by_default != NULL ? by_default : &set->names->hosts[0];
    return 0;
}

/* What a context does not hold, or does not hand over. */
static int host_fill(struct tls_host *host, const struct tls_section *section,
                     struct tls_material *material)
{
    host->verify_mode = tls_context_verify_mode(section->verify);
    host->verify_depth = tls_context_verify_depth(section);
    host->version_min = tls_context_version(section->version_min, TLS_1_2);
    host->version_max = tls_context_version(section->version_max, TLS_1_3);
    memcpy(host->session_id, material->session_id, sizeof(host->session_id));
    host->ocsp = material->ocsp;
    host->ocsp_len = material->ocsp_len;
    host->ocsp_until_s = material->ocsp_until_s;
    material->ocsp = NULL;
    host->groups = tls_context_groups(section);
    return host->groups != NULL ? 0 : -ENOMEM;
}

static int context_make(SSL_CTX **out, enum tls_kind kind, const struct tls_section *section,
                        const struct tls_material *material, struct tls_say *say)
{
    int err = 0;

    *out = tls_context_new(kind, section, material, say, &err);
    return err;
}

static int contexts_make(struct tls_set *set, size_t i, const struct tls_section *section,
                         const struct tls_material *material, struct tls_say *say)
{
    struct tls_host *host = &set->names->hosts[i];
    int err = 0;

    for (int kind = 0; err == 0 && kind < TLS_KINDS; kind++) {
        err = context_make(&set->entry[i][kind], (enum tls_kind)kind, section, material, say);
        if (err == 0 && !tls_names_attach(set->entry[i][kind], host, true)) {
            err = -ENOMEM;
        }
        if (err == 0 && set->names->count > 1) {
            err = context_make(&host->target[kind], (enum tls_kind)kind, section, material, say);
        }
        if (err == 0 && host->target[kind] != NULL &&
            !tls_names_attach(host->target[kind], host, false)) {
            err = -ENOMEM;
        }
    }
    return err;
}

static int section_make(struct tls_set *set, size_t i, const struct tls_section *section,
                        struct tls_say *say)
{
    struct tls_material material = {0};

    say->where = section->where;
    int err = tls_material_read(&material, section, &set->files, say);
    if (err == 0) {
        set->expires_s = material.expires_s < set->expires_s ? material.expires_s : set->expires_s;
        err = host_fill(&set->names->hosts[i], section, &material);
    }
    err = err == 0 ? contexts_make(set, i, section, &material, say) : err;
    tls_material_fini(&material);
    return err;
}

static int set_make(struct tls_set *set, const struct tls_options *options, struct tls_say *say)
{
    set->names = tls_names_new(options->count, options->tickets);
    set->entry = mem_new(options->count, sizeof(*set->entry));
    if (set->names == NULL || set->entry == NULL ||
        tls_files_init(&set->files, options->count * FILES_OF_SECTION) < 0) {
        return -ENOMEM;
    }
    set->files.open_file = options->open_file;
    set->files.open_arg = options->open_arg;
    int err = names_read(set, options, say);
    for (size_t i = 0; err == 0 && i < options->count; i++) {
        err = section_make(set, i, &options->sections[i], say);
    }
    tls_files_forget(&set->files);
    return err;
}

int tls_set_new(const struct tls_options *options, struct tls_set **out, char *why, size_t cap)
{
    struct tls_say say = {.cap = cap};

    say.why = why;
    if (options->count == 0) {
        return tls_say(&say, NULL, "there is no TLS section");
    }
    struct tls_set *set = mem_new(1, sizeof(*set));
    if (set == NULL) {
        return -ENOMEM;
    }
    atomic_init(&set->refs, 1);
    set->expires_s = INT64_MAX;
    const int err = set_make(set, options, &say);
    if (err < 0) {
        set_free(set);
        return err;
    }
    *out = set;
    return say.warned ? 1 : 0;
}

/* --- using --------------------------------------------------------------------------------------
 */

SSL_CTX *tls_set_context(const struct tls_set *set, enum tls_kind kind, const char *name)
{
    char lower[TLS_NAME_MAX + 1] = {0};
    const size_t n = name != NULL ? strlen(name) : 0;

    if (n > TLS_NAME_MAX) {
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        lower[i] = (char)tolower((unsigned char)name[i]);
    }
    const struct tls_host *host = n > 0 ? tls_names_get(set->names, lower) : set->first;
    return host != NULL ? set->entry[host - set->names->hosts][kind] : NULL;
}

bool tls_set_files_changed(const struct tls_set *set)
{
    return tls_files_changed(&set->files);
}

int64_t tls_set_expires_in(const struct tls_set *set, int64_t now_s)
{
    return set->expires_s != INT64_MAX ? set->expires_s - now_s : INT64_MAX;
}

unsigned tls_set_live_count(void)
{
    return tls_names_live();
}

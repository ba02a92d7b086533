/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/tls_conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "io/file_keeper.h"
#include "io/tls.h"

enum { WHERE_MAX = 200 };

/* Sections as io/ wants them, and the texts that they borrow. */
struct plan {
    size_t count;
    struct tls_section *sections;
    char (*where)[WHERE_MAX];
};

/* A text option that was given; an empty one was not. */
static const char *given(const char *text)
{
    return text != NULL && *text != 0 ? text : NULL;
}

static enum tls_version default_minimum(const struct conf *conf)
{
    if (conf->no_tlsv1_2) {
        return TLS_1_3;
    }
    if (conf->tlsv1) {
        return TLS_1_0;
    }
    return conf->tlsv1_1 ? TLS_1_1 : TLS_1_2;
}

/* As coturn: whoever names authorities demands certificates of clients. */
static struct tls_section default_section(const struct conf *conf)
{
    return (struct tls_section){
        .certificate = conf->cert,
        .private_key = given(conf->pkey),
        .key_password = given(conf->pkey_pwd),
        .ca_file = given(conf->CA_file),
        .ciphers = given(conf->cipher_list),
        .groups = given(conf->ec_curve_name),
        .dh_file = given(conf->dh_file),
        .verify = given(conf->CA_file) != NULL ? TLS_VERIFY_REQUIRED : TLS_VERIFY_OFF,
        .version_min = default_minimum(conf),
        .version_max = TLS_1_3,
    };
}

/* The index of `word`; `absent` when it is NULL, -1 when it is none of `words`. */
static int word_index(const char *word, const char *const *words, int count, int absent)
{
    if (word == NULL) {
        return absent;
    }
    for (int i = 0; i < count; i++) {
        if (strcmp(words[i], word) == 0) {
            return i;
        }
    }
    return -1;
}

static bool version_read(const struct conf_section *from, const char *key, enum tls_version absent,
                         enum tls_version *out)
{
    static const char *const words[] = {"1.0", "1.1", "1.2", "1.3"};
    const int i =
        word_index(conf_section_value(from, key), words, ARRAY_SIZE(words), (int)absent - TLS_1_0);

    *out = i < 0 ? absent : (enum tls_version)(TLS_1_0 + i);
    return i >= 0;
}

static bool verify_read(const struct conf_section *from, struct tls_section *out)
{
    static const char *const words[] = {"off", "optional", "required"};
    const int i = word_index(conf_section_value(from, "verify-client"), words, ARRAY_SIZE(words),
                             out->ca_file != NULL ? TLS_VERIFY_REQUIRED : TLS_VERIFY_OFF);
    const char *depth = conf_section_value(from, "verify-depth");

    out->verify = i < 0 ? TLS_VERIFY_REQUIRED : (enum tls_verify)i;
    out->verify_depth = depth != NULL ? (unsigned)strtoul(depth, NULL, 10) : 0;
    if (out->verify == TLS_VERIFY_OFF) {
        out->ca_file = out->crl_file =
            NULL; /* nobody is asked for anything to be checked by them */
    }
    return i >= 0;
}

/* The loader has judged keys and values; this does not rest on it where a slip would let in those
 * who must stay out. */
static int section_read(const struct conf_section *from, struct tls_section *out, char *why,
                        size_t cap)
{
    *out = (struct tls_section){
        .name = from->name,
        .certificate = conf_section_value(from, "certificate"),
        .chain = conf_section_value(from, "chain"),
        .private_key = conf_section_value(from, "private-key"),
        .key_password = conf_section_value(from, "key-password"),
        .ca_file = conf_section_value(from, "ca-file"),
        .crl_file = conf_section_value(from, "crl-file"),
        .ciphers = conf_section_value(from, "ciphers"),
        .ciphersuites = conf_section_value(from, "ciphersuites"),
        .groups = conf_section_value(from, "groups"),
        .dh_file = conf_section_value(from, "dh-file"),
        .ocsp_file = conf_section_value(from, "ocsp-file"),
    };
    const char *wrong = NULL;
    wrong = version_read(from, "min-version", TLS_1_2, &out->version_min) ? wrong : "min-version";
    wrong = version_read(from, "max-version", TLS_1_3, &out->version_max) ? wrong : "max-version";
    wrong = verify_read(from, out) ? wrong : "verify-client";
    if (wrong != NULL) {
        (void)snprintf(why, cap, "%s:%u: the value of %s is not a known one", from->file,
                       from->line, wrong);
        return -EINVAL;
    }
    return 0;
}

static bool is_tls(const struct conf_section *section)
{
    return strcmp(section->kind, "tls") == 0;
}

static int plan_new(struct plan *plan, const struct conf *conf)
{
    size_t count = 1;

    for (size_t i = 0; i < conf->section_count; i++) {
        count += is_tls(&conf->sections[i]) ? 1 : 0;
    }
    plan->count = 0;
    plan->sections = mem_new(count, sizeof(*plan->sections));
    plan->where = mem_new(count, sizeof(*plan->where));
    return plan->sections != NULL && plan->where != NULL ? 0 : -ENOMEM;
}

static void plan_free(struct plan *plan)
{
    free(plan->sections);
    free(plan->where);
}

/* Put a section in, said to stand at `file` and `line`. */
static void plan_add(struct plan *plan, const struct tls_section *section, const char *file,
                     unsigned line)
{
    char *where = plan->where[plan->count];

    (void)snprintf(where, WHERE_MAX, "%.*s", WHERE_MAX - 12, file);
    if (line != 0) {
        const size_t n = strlen(where);

        (void)snprintf(where + n, WHERE_MAX - n, ":%u", line);
    }
    plan->sections[plan->count] = *section;
    plan->sections[plan->count++].where = where;
}

static int plan_read(struct plan *plan, const struct conf *conf, char *why, size_t cap)
{
    struct tls_section section;

    if (conf->cert != NULL) {
        section = default_section(conf);
        plan_add(plan, &section, "option cert", 0);
    }
    for (size_t i = 0; i < conf->section_count; i++) {
        const struct conf_section *from = &conf->sections[i];

        if (!is_tls(from)) {
            continue;
        }
        const int err = section_read(from, &section, why, cap);
        if (err < 0) {
            return err;
        }
        plan_add(plan, &section, from->file, from->line);
    }
    return 0;
}

static int open_kept(void *arg, const char *path)
{
    return file_keeper_open(arg, path);
}

static int plan_make(const struct plan *plan, struct tls_tickets *tickets,
                     struct file_keeper *keeper, struct tls_set **out, char *why, size_t cap)
{
    const struct tls_options options = {
        .count = plan->count,
        .sections = plan->sections,
        .tickets = tickets,
        .open_file = keeper != NULL ? open_kept : NULL,
        .open_arg = keeper,
    };

    if (plan->count == 0) {
        *out = NULL;
        return 0;
    }
    return tls_set_new(&options, out, why, cap);
}

int tls_conf_make_kept(const struct conf *conf, struct tls_tickets *tickets,
                       struct file_keeper *keeper, struct tls_set **out, char *why, size_t cap)
{
    struct plan plan;
    int err = plan_new(&plan, conf);

    err = err == 0 ? plan_read(&plan, conf, why, cap) : err;
    err = err == 0 ? plan_make(&plan, tickets, keeper, out, why, cap) : err;
    plan_free(&plan);
    return err;
}

int tls_conf_make(const struct conf *conf, struct tls_tickets *tickets, struct tls_set **out,
                  char *why, size_t cap)
{
    return tls_conf_make_kept(conf, tickets, NULL, out, why, cap);
}

int tls_conf_check(const struct conf *conf, char *why, size_t cap)
{
    struct tls_set *set = NULL;
    const int err = tls_conf_make(conf, NULL, &set, why, cap);

    if (err >= 0) {
        tls_set_unref(set);
    }
    return err;
}

size_t tls_conf_paths(const struct conf *conf, const char **out, size_t cap)
{
    static const char *const keys[] = {"certificate", "chain",   "private-key", "ca-file",
                                       "crl-file",    "dh-file", "ocsp-file"};
    const char *const options[] = {conf->cert, given(conf->pkey), given(conf->CA_file),
                                   given(conf->dh_file)};
    size_t count = 0;

    for (size_t i = 0; i < ARRAY_SIZE(options) && options[0] != NULL; i++) {
        if (options[i] != NULL && count++ < cap) {
            out[count - 1] = options[i];
        }
    }
    for (size_t i = 0; i < conf->section_count; i++) {
        for (size_t k = 0; k < ARRAY_SIZE(keys) && is_tls(&conf->sections[i]); k++) {
            const char *path = conf_section_value(&conf->sections[i], keys[k]);

            if (path != NULL && count++ < cap) {
                out[count - 1] = path;
            }
        }
    }
    return count;
}

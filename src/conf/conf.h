/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: one value per option of options.def, read by name (`conf->listening_port`).
 *
 *     conf_new(&conf); conf_load(conf, argc, argv); conf_check(conf);
 *     conf_findings_write(conf, stderr, CONF_WARNING);
 *
 * A value comes from the command line, else from the environment (STERNA_LISTENING_PORT), else
 * from the file, else it is the default; options that may be repeated add up over all three.
 * Whatever is wrong becomes a finding with its place; conf/ itself neither logs nor prints.
 *
 * Owner   counted: conf_new() gives one reference, conf_unref() of the last one wipes and frees.
 * Thread  while loading: one.  After conf_check() it is immutable and any number may read it. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/attr.h"

/* One value of a repeatable option and where it was given. */
struct conf_text {
    char *text;
    const char *file; /* a file name, "command line" or "environment"; lives as long as the conf */
    unsigned line;    /* of the file; number of the argument */
    unsigned column;  /* of the value, from 1; 0 when there is none */
};

struct conf_list {
    size_t count;
    struct conf_text *items;
};

/* The words of each choice, in the order of its row in options.def. */
enum conf_engine {
    CONF_ENGINE_AUTO,
    CONF_ENGINE_REUSEPORT,
    CONF_ENGINE_CONNECTED,
    CONF_ENGINE_PAIRED,
    CONF_ENGINE_DISPATCH,
};

enum conf_affinity { CONF_AFFINITY_OFF, CONF_AFFINITY_CPU };

enum conf_offload {
    CONF_OFFLOAD_OFF,
    CONF_OFFLOAD_AUTO,
    CONF_OFFLOAD_XDP,
    CONF_OFFLOAD_XDP_GENERIC,
    CONF_OFFLOAD_TC,
};

enum conf_family { CONF_FAMILY_IPV4, CONF_FAMILY_IPV6, CONF_FAMILY_KEEP };

enum conf_algorithms {
    CONF_ALGORITHMS_AUTO,
    CONF_ALGORITHMS_SHA256_MD5,
    CONF_ALGORITHMS_MD5,
    CONF_ALGORITHMS_SHA256,
};

enum conf_anonymity { CONF_ANONYMITY_AUTO, CONF_ANONYMITY_OFF };

enum conf_level {
    CONF_LEVEL_ERROR,
    CONF_LEVEL_WARNING,
    CONF_LEVEL_NOTICE,
    CONF_LEVEL_INFO,
    CONF_LEVEL_DEBUG,
};

enum conf_format { CONF_FORMAT_TEXT, CONF_FORMAT_JSON };

/* CONF_OPT_listening_port, ...: index of an option, for `is_set` and conf_option_at(). */
enum conf_opt {

#define OPTION(field, ...) CONF_OPT_##field,
#include "conf/options.def"
    CONF_OPTIONS,
};

enum conf_source { CONF_FROM_DEFAULT, CONF_FROM_FILE, CONF_FROM_ENV, CONF_FROM_ARGS };

/* [kind "name"] and the lines below it.  In sections that have an effect (sections.def) keys are
 * known, in their first spelling, and values good, switches being "on" or "off". */
struct conf_pair {
    char *key;
    char *value;
    unsigned line;
    unsigned column; /* of the value, from 1 */
};

struct conf_section {
    char *kind;
    char *name; /* "" when it has none */
    const char *file;
    unsigned line;
    size_t count;
    struct conf_pair *pairs;
};

enum conf_severity { CONF_NOTE, CONF_WARNING, CONF_ERROR };

enum { CONF_FINDING_TEXT = 320 };

struct conf_finding {
    enum conf_severity severity;
    const char *file; /* NULL when it concerns the whole configuration */
    unsigned line;
    unsigned column;
    char text[CONF_FINDING_TEXT];
};

/* How each type of options.def is held: a choice is its enum's value, a text NULL when unset. */
#define CONF_HOLD_flag(field)          bool field;
#define CONF_HOLD_u32(field)           uint32_t field;
#define CONF_HOLD_u64(field)           uint64_t field;
#define CONF_HOLD_choice(field)        uint32_t field;
#define CONF_HOLD_text(field)          char *field;
#define CONF_HOLD_list_text(field)     struct conf_list field;
#define CONF_HOLD_list_addr(field)     struct conf_list field;
#define CONF_HOLD_list_endpoint(field) struct conf_list field;
#define CONF_HOLD_list_range(field)    struct conf_list field;
#define CONF_HOLD_list_external(field) struct conf_list field;
#define CONF_HOLD_list_user(field)     struct conf_list field;
#define CONF_HOLD_list_prefix(field)   struct conf_list field;
#define CONF_HOLD_none(field)

struct conf {
#define OPTION(field, name, letter, type, ...) CONF_HOLD_##type(field)
#include "conf/options.def"

    bool is_set[CONF_OPTIONS]; /* given by file, environment or command line */

    size_t section_count;
    struct conf_section *sections;

    /* Kept, at most CONF_FINDINGS_MAX of them; the counts go on. */
    size_t finding_count;
    struct conf_finding *findings;
    size_t severity_count[CONF_ERROR + 1];

    const char *main_file; /* the configuration file that was read, or NULL */

    /* Private to conf/. */
    struct {
        enum conf_source source;
        const char *file;
        unsigned line;
        unsigned column;
    } origin[CONF_OPTIONS];

    size_t name_count;
    char **names; /* of files */
    bool no_memory;
    bool checked;
    _Atomic unsigned refs;
};

enum {
    CONF_NONCE_SECRETS = 4, /* of stateless-nonce-secret */
    CONF_FINDINGS_MAX = 500,
    CONF_LINE_MAX = 4096,
    CONF_LIST_MAX = 65536, /* values of one option, sections, lines of a section */
    CONF_FILE_MAX = 16 * 1024 * 1024,
};

/* A configuration of defaults only.  Returns 0 with `*out_conf`, or -ENOMEM. */
MUST_USE int conf_new(struct conf **out_conf);
struct conf *conf_ref(struct conf *conf);
void conf_unref(struct conf *conf); /* NULL is allowed */

/* What the command line asks for besides options; borrows from `argv`. */
struct conf_request {
    const char *file; /* -c FILE, --config=FILE */
    bool no_file;     /* -n */
    bool help;        /* -h, --help */
    bool version;     /* --version */
};

/* Where a user database is when nobody says where: the first of coturn's places with a file, else
 * the last. */
const char *conf_usual_userdb(void);

/* Look at `argv` without loading anything.  argv[0] is skipped. */
void conf_args_scan(int argc, char **argv, struct conf_request *out);

/* Load the file that `argv` names or coturn's search path finds, the environment and `argv`.
 * Returns 0; -EINVAL when it added errors to the findings; -ENOMEM. */
MUST_USE int conf_load(struct conf *conf, int argc, char **argv);

/* The parts of conf_load(), in any order; same returns.  conf_load_file() takes a path as it is,
 * conf_load_memory() `len` bytes named `name`.  `env` ends with NULL, as `environ` does. */
MUST_USE int conf_load_file(struct conf *conf, const char *path);
MUST_USE int conf_load_memory(struct conf *conf, const char *name, const char *text, size_t len);
MUST_USE int conf_load_args(struct conf *conf, int argc, char **argv);
MUST_USE int conf_load_env(struct conf *conf, char *const *env);

/* Find the configuration file: `name` (NULL: turnserver.conf) as it is, then in coturn's folders;
 * with NULL, /etc/sterna/sterna.conf comes first.  0 with `path` (cap bytes), or -ENOENT. */
MUST_USE int conf_file_find(const char *name, char *path, size_t cap);

/* Derive what follows from other options (docs/reference/options.md says which), then judge the
 * whole.  Call once, last.  Returns 0; -EINVAL when the server must not start; -ENOMEM. */
MUST_USE int conf_check(struct conf *conf);

/* Write findings of `least` severity and above, one a line: "file:3:14: error: text". */
void conf_findings_write(const struct conf *conf, FILE *out, enum conf_severity least);
const char *conf_severity_text(enum conf_severity severity);

/* The first section of that kind and name (letters of either case; NULL: any name), or NULL. */
const struct conf_section *conf_section_find(const struct conf *conf, const char *kind,
                                             const char *name);

/* The value of a key, the first if it is repeated; NULL when it is not given. */
const char *conf_section_value(const struct conf_section *section, const char *key);

/* The next value of a key that may be repeated, from pair `*at` on (0 at first); NULL when there is
 * none, else `*at` is behind it. */
const char *conf_section_next(const struct conf_section *section, const char *key, size_t *at);

/* True when the sections of `kind` say the same in both, in the same order. */
bool conf_sections_equal(const struct conf *a, const struct conf *b, const char *kind);

/* True when a certificate is configured, without which there is no TLS and no DTLS. */
bool conf_has_certificate(const struct conf *conf);

struct conf_option;

/* Call `each` for every option whose value differs; its `reload` tells whether that takes effect
 * without a restart.  Returns how many. */
typedef void (*conf_diff_fn)(void *arg, const struct conf_option *option);
size_t conf_diff(const struct conf *old_conf, const struct conf *new_conf, conf_diff_fn each,
                 void *arg);

/* Write the options that were given (`all`: every one) as a file; secrets are left out. */
void conf_write_effective(const struct conf *conf, FILE *out, bool all);

/* Generated references: the options part of --help; sterna.conf(5); docs/reference/options.md. */
void conf_write_help(FILE *out);
void conf_write_man_conf(FILE *out);
void conf_write_markdown(FILE *out);

/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of conf/ share: making configurations and looking for findings. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "conf/conf.h"

/* A configuration of defaults; the test unrefs it. */
static inline struct conf *conf_fresh(void)
{
    struct conf *conf = NULL;

    assert_int_equal(conf_new(&conf), 0);
    return conf;
}

/* One loaded from `text` as the file "t.conf"; errors are left to the test. */
static inline struct conf *conf_of(const char *text)
{
    struct conf *conf = conf_fresh();
    const int result = conf_load_memory(conf, "t.conf", text, strlen(text));

    assert_true(result == 0 || conf->severity_count[CONF_ERROR] > 0);
    return conf;
}

/* The same, checked. */
static inline struct conf *conf_checked_of(const char *text)
{
    struct conf *conf = conf_of(text);
    const int result = conf_check(conf);

    assert_true(result == 0 || conf->severity_count[CONF_ERROR] > 0);
    return conf;
}

/* Heap copies of words that end with NULL, as main() and the environment hold theirs. */
static inline char **conf_words_new(const char *const words[])
{
    size_t count = 0;

    while (words[count] != NULL) {
        count++;
    }
    char **copy = calloc(count + 1, sizeof(*copy));
    assert_non_null(copy);
    for (size_t i = 0; i < count; i++) {
        copy[i] = strdup(words[i]);
        assert_non_null(copy[i]);
    }
    return copy;
}

static inline void conf_words_free(char **words)
{
    for (size_t i = 0; words[i] != NULL; i++) {
        free(words[i]);
    }
    free(words);
}

static inline int conf_words_count(char *const *words)
{
    int count = 0;

    while (words[count] != NULL) {
        count++;
    }
    return count;
}

/* The words of a command line, then those of an environment. */
#define CONF_WORDS(...) conf_words_new((const char *const[]){__VA_ARGS__, NULL})

/* The first finding whose text holds `part`, or NULL. */
static inline const struct conf_finding *conf_finding_with(const struct conf *conf,
                                                           const char *part)
{
    for (size_t i = 0; i < conf->finding_count; i++) {
        if (strstr(conf->findings[i].text, part) != NULL) {
            return &conf->findings[i];
        }
    }
    return NULL;
}

static inline void conf_assert_finding(const struct conf *conf, enum conf_severity severity,
                                       const char *part)
{
    const struct conf_finding *finding = conf_finding_with(conf, part);

    if (finding == NULL || finding->severity != severity) {
        conf_findings_write(conf, stderr, CONF_NOTE);
        fail_msg("no %s with \"%s\"", conf_severity_text(severity), part);
    }
}

static inline void conf_assert_at(const struct conf *conf, unsigned line, unsigned column,
                                  const char *part)
{
    const struct conf_finding *finding = conf_finding_with(conf, part);

    assert_non_null(finding);
    assert_string_equal(finding->file, "t.conf");
    assert_int_equal(finding->line, line);
    assert_int_equal(finding->column, column);
}

/* Fails, and prints them, when there are more findings than `most` of a severity. */
static inline void conf_assert_count(const struct conf *conf, enum conf_severity severity,
                                     size_t most)
{
    if (conf->severity_count[severity] > most) {
        conf_findings_write(conf, stderr, CONF_NOTE);
        fail_msg("%zu findings of severity %s", conf->severity_count[severity],
                 conf_severity_text(severity));
    }
}

/* A whole configuration has such a finding. */
static inline void conf_expect(const char *text, enum conf_severity severity, const char *part)
{
    struct conf *conf = conf_checked_of(text);

    conf_assert_finding(conf, severity, part);
    conf_unref(conf);
}

/* And it has none that matters. */
static inline void conf_expect_good(const char *text)
{
    struct conf *conf = conf_checked_of(text);

    conf_assert_count(conf, CONF_WARNING, 0);
    conf_assert_count(conf, CONF_ERROR, 0);
    conf_unref(conf);
}

/* What `write` writes, as a string for the test to free. */
static inline char *conf_written(void (*write)(FILE *out))
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    write(out);
    assert_int_equal(fclose(out), 0);
    return text;
}

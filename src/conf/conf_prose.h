/* SPDX-License-Identifier: Apache-2.0 */
/* What the three generated references share.
 *
 * Owner   nobody: constants and plain functions.  Thread  any. */
#pragma once

#include <stddef.h>
#include <stdio.h>

#include "conf/conf_table.h"

/* A heading (body NULL), a paragraph, or an example (its lines as they are). */
enum conf_prose_kind { CONF_HEADING, CONF_PARAGRAPH, CONF_EXAMPLE };

struct conf_prose {
    enum conf_prose_kind kind;
    const char *text;
};

extern const struct conf_prose conf_prose[];
extern const size_t conf_prose_count;

enum { CONF_CELL = 256 };

/* What may stand behind the '=': "1 to 65535 port", "on or off", "ipv4 or ipv6 or keep". */
const char *conf_prose_value(const struct conf_option *option, char out[CONF_CELL]);

/* The default in words: "3478", "off", "none"; "on" for a switch that is always on. */
const char *conf_prose_default(const struct conf_option *option, char out[CONF_CELL]);

/* The default of a section's key in words: "1.2", "none". */
const char *conf_prose_key_default(const struct conf_key *key);

/* "reload" or "restart": what it takes for a new value to count. */
const char *conf_prose_reload(const struct conf_option *option);

/* "in effect", "no effect yet", "always so", "removed". */
const char *conf_prose_status(const struct conf_option *option);

/* "another name of", ... */
const char *conf_prose_alias(const struct conf_alias *alias);

/* SPDX-License-Identifier: Apache-2.0 */
/* What [realm "name"] sections say.  Names of realms differ by the case of their letters, too.
 *
 * Owner   nobody: what they return lives as long as the conf.  Thread  any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "conf/conf.h"

enum { CONF_REALMS_MAX = 1024 }; /* with the main realm */

/* The next [realm] section from section `*at` on (0 at first); NULL when there is none, else `*at`
 * is behind it. */
const struct conf_section *conf_realm_next(const struct conf *conf, size_t *at);

/* The section of the realm called `name`, or NULL. */
const struct conf_section *conf_realm_find(const struct conf *conf, const char *name);

/* True when `section` speaks of the main realm, that of the option `realm`. */
bool conf_realm_is_main(const struct conf *conf, const struct conf_section *section);

/* The number that key `key` of a section has.  True with `*out`; false when it is not given. */
bool conf_realm_number(const struct conf_section *section, const char *key, uint64_t *out);

/* True when some [realm] section has the key. */
bool conf_realms_have(const struct conf *conf, const char *key);

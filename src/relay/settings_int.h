/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of settings share.
 *
 * Owner   see settings.h.  Thread  control. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "relay/settings.h"

struct conf_section;

/* One worker's share of a limit of the whole server; a limit stays one. */
uint32_t settings_share(uint32_t limit, uint32_t workers);

/* Limits and times for connections and DTLS associations, whose PROXY protocol headers are
 * believed, and certificates.  0; -ENOMEM. */
MUST_USE int settings_put_clients(const struct settings_input *in, struct settings *settings);

/* Alternate servers, udp-self-balance, anycast addresses, and the role of a balancer, which changes
 * what put_flags() has said of relaying.  0; -EINVAL with `why`. */
MUST_USE int settings_put_redirects(const struct settings_input *in, struct settings *settings,
                                    char *why, size_t cap);

/* NAT behaviour discovery (RFC 5780) and clients of RFC 3489. */
void settings_put_behaviour(const struct settings_input *in, struct settings *settings);

/* Realms and origins.  0; -ENOMEM. */
MUST_USE int settings_put_realms(const struct settings_input *in, struct settings *settings);
void settings_free_realms(struct settings *settings);

/* A gate with the rules for everybody, those of the database included, and those of the realm
 * called `realm` (NULL: none of any realm's own).  0; -ENOMEM.  Ranges that are none are left out.
 */
MUST_USE int settings_gate_new(const struct settings_input *in, const char *realm,
                               struct gate **out);

/* True when [realm] section `section` (NULL: none) has rules for peers. */
bool settings_gate_has_rules(const struct conf_section *section);

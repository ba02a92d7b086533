/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of settings share.
 *
 * Owner   see settings.h.  Thread  control. */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "relay/settings.h"

/* One worker's share of a limit of the whole server; a limit stays one. */
uint32_t settings_share(uint32_t limit, uint32_t workers);

/* Limits and times for connections and DTLS associations, whose PROXY protocol headers are
 * believed, and certificates.  0; -ENOMEM. */
MUST_USE int settings_put_clients(const struct settings_input *in, struct settings *settings);

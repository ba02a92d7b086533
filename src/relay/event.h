/* SPDX-License-Identifier: Apache-2.0 */
/* Events of the protocol core as log lines.
 *
 * Owner   nobody.  Thread  any. */
#pragma once

struct turn_event;

/* Log `event` (`main_realm`: the realm that is not told): the life of an allocation at info,
 * refusals at notice (with the source address, so that a watchdog can act), the rest at debug.  The
 * first challenge of a client is no refusal. */
void event_log(const struct turn_event *event, const char *main_realm);

/* SPDX-License-Identifier: Apache-2.0 */
/* What the server has been given to work with, told once at start: an administrator sees there what
 * will run out first.
 *
 * Owner   nobody.  Thread  control. */
#pragma once

#include <stdint.h>

struct plan {
    uint32_t workers;
    uint32_t max_allocations;
    uint32_t max_connections; /* of clients; 0: there are no TCP listeners */
    uint16_t port_min;
    uint16_t port_max;
    uint32_t buffer_asked; /* bytes of a listener's receive buffer */
    uint32_t buffer_granted;
};

/* Memory of this host. */
uint64_t plan_memory_bytes(void);

/* Log the plan, and a warning for each resource that falls short of it. */
void plan_log(const struct plan *plan);

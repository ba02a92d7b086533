/* SPDX-License-Identifier: Apache-2.0 */
/* From the object that is built into the server to a program in the kernel, once a group.
 * Thread  one at a time. */
#pragma once

#include <stdint.h>

#include "base/attr.h"

struct steer_options;

/* Descriptors of what all instances share; -1 while there is none. */
struct steer_maps {
    int flows;
    int counts; /* group -> number of its sockets */
    int cpus;
};

/* One instance. */
struct steer_program {
    int fd;
    int sockets; /* its array of them */
};

/* Number of CPUs that this kernel may ever have, at least 1: the entries of the map `cpus`. */
uint32_t steer_load_cpus(void);

/* Load the instance of group `group`.  The first one makes `*maps`, the others share them.
 * What libbpf has to say goes to the log at debug level.
 * Returns 0 with `*out` (and `*maps`) set; the negative errno of what failed, both unchanged. */
MUST_USE int steer_load(const struct steer_options *options, uint32_t group,
                        struct steer_maps *maps, struct steer_program *out);

/* SPDX-License-Identifier: Apache-2.0 */
/* From the object that is built into the server to programs and maps in the kernel.
 *
 * Nothing here asks for the kernel's BTF: the programs know the types of uapi headers only, so
 * there are no CO-RE relocations; libbpf goes on without the maps' own BTF where a kernel takes
 * none; and functions of the programs that take a context are static, since the verifier looks for
 * its type only where they are not.
 *
 * Thread  one at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "offload/flow_int.h"
#include "offload/forward.h"
#include "offload/shield.h"

struct forward_bpf;

enum { FORWARD_LOAD_XDP = 1, FORWARD_LOAD_TC = 2 };

/* One of the two programs. */
struct forward_program {
    int fd;                /* borrowed; -1: not loaded */
    char why[FORWARD_WHY]; /* the kernel's objection; "": it has none */
};

struct forward_loaded {
    struct forward_bpf *bpf;
    struct forward_program xdp;
    struct forward_program tc;
    struct flow_maps maps; /* with the `control` of all */
    struct shield_parts shield;
    int interfaces; /* the map */
    int counts;
};

/* Make the maps, for interface indices below `indices`, and load the programs of `wanted`.  When
 * the verifier refuses one of two, the other one is loaded.
 *
 * Returns 0 with `*out` set, at least one program loaded; -ENOTSUP: the kernel lacks something,
 * `out->xdp.why` or `out->tc.why` may say what; -EPERM, -ENOMEM or another negative errno: nothing
 * is loaded. */
MUST_USE int forward_load(const struct forward_options *options, uint32_t indices, unsigned wanted,
                          struct forward_loaded *out);

/* Zeroes are fine. */
void forward_unload(struct forward_loaded *loaded);

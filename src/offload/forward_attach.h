/* SPDX-License-Identifier: Apache-2.0 */
/* Puts the programs on interfaces, by links: whoever holds one keeps its program there, and with
 * the last holder's end it is gone. Thread  one at a time. */
#pragma once

#include <stdbool.h>

#include "base/attr.h"
#include "offload/device.h"
#include "offload/forward_load.h"

/* Serve `device`, or say in `it->why` why not: it->mode is the wish, and then what it has got.
 * `device` may be NULL: there is none.  Returns the link's descriptor; -1: none. */
MUST_USE int forward_attach(const struct forward_loaded *loaded, const struct device *device,
                            struct forward_interface *it);

/* Which of FORWARD_LOAD_* it takes to serve `device` as it is wished; 0: nothing will. */
unsigned forward_attach_needs(const struct device *device, enum forward_mode wish);

/* True when the kernel tells (Linux 6.3) that programs in native XDP can send by `device` now. */
bool forward_attach_sends(const struct device *device);

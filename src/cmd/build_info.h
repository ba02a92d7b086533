/* SPDX-License-Identifier: Apache-2.0 */
/* What the build knows: set in build_info.c, which Meson makes of build_info.c.in. */
#pragma once

extern const char build_info_version[];
extern const char build_info_commit[]; /* "" when not built from a clone */

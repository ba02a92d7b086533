/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of names and passwords beyond ASCII. */
#pragma once

#include "check.h"

/* Skip the test in a build without ICU (option precis=disabled). */
static inline void need_icu(void)
{
#ifndef STERNA_PRECIS
    skip();
#endif
}

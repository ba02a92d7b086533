/* SPDX-License-Identifier: Apache-2.0 */
/* The shield in a build without BPF: there is none, so nobody has a struct shield. */
#include <errno.h>

#include "offload/shield.h"

int shield_new(const struct shield_parts *parts, struct shield **out)
{
    (void)parts;
    (void)out;
    return -ENOTSUP;
}

void shield_free(struct shield *shield)
{
    (void)shield;
}

void shield_set_on(struct shield *shield, bool on)
{
    (void)shield;
    (void)on;
}

void shield_set_limits(struct shield *shield, const struct shield_limits *limits)
{
    (void)shield;
    (void)limits;
}

int shield_set_answer(struct shield *shield, const char *software)
{
    (void)shield;
    (void)software;
    return -ENOTSUP;
}

int shield_set_listeners(struct shield *shield, const struct shield_listener *list, size_t count)
{
    (void)shield;
    (void)list;
    (void)count;
    return -ENOTSUP;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include <string.h>

void secret_wipe(void *p, size_t n)
{
    explicit_bzero(p, n);
}

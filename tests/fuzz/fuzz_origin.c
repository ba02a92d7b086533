/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target of origin_spell().
 *
 * Input: an origin.  Once spelled, it stays as it is, and it needs exactly the room that it says.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/origin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char once[ORIGIN_TEXT_MAX + 8];
    char twice[sizeof(once)];
    const int n = origin_spell((struct bytes){data, size}, once, sizeof(once));

    if (n < 0) {
        assert(n == -EBADMSG || (n == -ENOBUFS && size + 8 >= sizeof(once)));
        return 0;
    }
    assert(n > 0 && strlen(once) == (size_t)n);
    assert(origin_spell(bytes_of(once), twice, (size_t)n + 1) == n);
    assert(strcmp(once, twice) == 0);
    assert(origin_spell(bytes_of(once), twice, (size_t)n) == -ENOBUFS);
    return 0;
}

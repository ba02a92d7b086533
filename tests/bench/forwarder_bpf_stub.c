/* SPDX-License-Identifier: Apache-2.0 */
/* Of a build without BPF. */
#include <errno.h>

#include "forwarder.h"

void forwarder_bpf_run(struct forwarder *f, const char *technique, const char *client_side,
                       const char *peer_side, void (*ready)(void))
{
    (void)f;
    (void)client_side;
    (void)peer_side;
    (void)ready;
    errno = ENOTSUP;
    forwarder_die(technique);
}

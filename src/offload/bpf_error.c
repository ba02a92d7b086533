/* SPDX-License-Identifier: Apache-2.0 */
#include "offload/bpf_error.h"

#include <errno.h>

int bpf_error_plain(int err)
{
    return err == -ENOSYS || err == -EINVAL || err == -EOPNOTSUPP ? -ENOTSUP : err;
}

const char *bpf_error_advice(int err)
{
    switch (err) {
    case -ENOMEM:
        return "the memory limit of the process or of its control group is too low";
    case -EMFILE:
    case -ENFILE:
        return "too few file descriptors: raise LimitNOFILE or `ulimit -n`";
    default:
        return "the log tells more at level debug";
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What libbpf has to say goes to the log: at debug level, since whoever calls it tells what failed
 * in a line of his own.
 * Thread  any, before or after libbpf is used; it holds for the process. */
#pragma once

void bpf_log_start(void);

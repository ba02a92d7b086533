/* SPDX-License-Identifier: Apache-2.0 */
/* From the configuration to certificates: cert, pkey and their like are the default section, as in
 * coturn; every [tls] and [tls "name"] section is one more (sterna.conf(5)).
 *
 * Owner   nobody.  Thread  control: files are read. */
#pragma once

#include <stddef.h>

#include "base/attr.h"

struct conf;
struct file_keeper;
struct tls_set;
struct tls_tickets;

/* 0 with `*out`, NULL when no certificate is configured; 1 likewise, with a warning in `why`
 * (something has expired); -EINVAL with `why` ("turn.conf:12: cert.pem: there is no such file");
 * -ENOMEM.  `tickets` may be NULL. */
MUST_USE int tls_conf_make(const struct conf *conf, struct tls_tickets *tickets,
                           struct tls_set **out, char *why, size_t cap);

/* The same for a process that has given up its privileges: files that it may not read any more are
 * opened by `keeper` (NULL: by nobody), which must live as long as the set. */
MUST_USE int tls_conf_make_kept(const struct conf *conf, struct tls_tickets *tickets,
                                struct file_keeper *keeper, struct tls_set **out, char *why,
                                size_t cap);

/* What tls_conf_make() would say, for check-config. */
MUST_USE int tls_conf_check(const struct conf *conf, char *why, size_t cap);

/* The paths of all files that tls_conf_make() reads, borrowed from `conf`, for file_keeper_start();
 * at most `cap` into `out`.  Returns how many there are. */
size_t tls_conf_paths(const struct conf *conf, const char **out, size_t cap);

/* SPDX-License-Identifier: Apache-2.0 */
/* Signals as a stream of events: none interrupts anything, none kills by accident.
 *
 * Owner   cmd/serve.c.  Thread  control; opened before there are other threads, which inherit that
 *         they take no signals. */
#pragma once

#include "base/attr.h"

enum serve_signal {
    SERVE_NONE,
    SERVE_STOP,   /* SIGTERM, SIGINT, SIGQUIT */
    SERVE_RELOAD, /* SIGHUP */
    SERVE_DRAIN,  /* SIGUSR1 */
    SERVE_CERTS,  /* SIGUSR2 */
};

/* Block what we handle and ignore what would kill for no reason.  A descriptor that becomes
 * readable when a signal has come; negative errno. */
MUST_USE int serve_signals_open(void);

/* The next signal, or SERVE_NONE. */
enum serve_signal serve_signals_next(int fd);

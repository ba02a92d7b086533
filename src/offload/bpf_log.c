/* SPDX-License-Identifier: Apache-2.0 */
#include "offload/bpf_log.h"

#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "log/log.h"

/* A line of libbpf: what it tries is of interest to nobody, what fails to few. */
PRINTF(2, 0) static int tell(enum libbpf_print_level level, const char *format, va_list args)
{
    char text[512];

    if (level != LIBBPF_DEBUG && log_enabled(LOG_DEBUG)) {
        (void)vsnprintf(text, sizeof(text), format, args);
        text[strcspn(text, "\n")] = '\0';
        log_event(LOG_DEBUG, "bpf.message", LOG_TEXT("text", text), LOG_END);
    }
    return 0;
}

void bpf_log_start(void)
{
    (void)libbpf_set_print(tell);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Target functions: conf_load_memory() (grammar, values, sections), conf_check(), conf_diff(),
 * conf_findings_write(), conf_write_effective(). */
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* File names in the input must not lead the check to files of this machine. */
static bool reads_files(const struct conf *conf)
{
    return conf->static_auth_secret_file != NULL || conf->stateless_nonce_secret_file != NULL;
}

static void never_differs(void *arg, const struct conf_option *option)
{
    (void)arg;
    (void)option;
    abort(); /* a configuration differs from itself */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf *conf;

    if (size == 0 || conf_new(&conf) < 0) {
        return 0;
    }
    const int loaded = conf_load_memory(conf, "fuzz", (const char *)data, size);
    assert((loaded == -EINVAL) == (conf->severity_count[CONF_ERROR] > 0) || conf->no_memory);
    if (!reads_files(conf)) {
        const int checked = conf_check(conf);

        assert(checked < 0 || loaded == 0);
    }
    FILE *sink = fopen("/dev/null", "w");
    if (sink != NULL) {
        conf_findings_write(conf, sink, CONF_NOTE);
        conf_write_effective(conf, sink, true);
        (void)fclose(sink);
    }
    (void)conf_diff(conf, conf, never_differs, NULL);
    conf_unref(conf);
    return 0;
}

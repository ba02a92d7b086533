/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration of a few lines. */
#pragma once

#include <stdio.h>
#include <string.h>

#include "check.h"
#include "conf/conf.h"

static inline struct conf *settings(const char *lines)
{
    struct conf *conf;

    assert_int_equal(conf_new(&conf), 0);
    const int loaded = conf_load_memory(conf, "test", lines, strlen(lines));
    const int checked = conf_check(conf);
    if (loaded != 0 || checked != 0) {
        conf_findings_write(conf, stdout, CONF_NOTE);
    }
    assert_int_equal(loaded, 0);
    assert_int_equal(checked, 0);
    return conf;
}

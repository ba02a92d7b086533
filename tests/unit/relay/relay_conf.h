/* SPDX-License-Identifier: Apache-2.0 */
/* A checked configuration from text, for the tests of relay/. */
#pragma once

#include <stdio.h>
#include <string.h>

#include "check.h"
#include "conf/conf.h"

/* As it was read, unjudged: what a checked one could not hold. */
static inline struct conf *relay_conf_unchecked(const char *text)
{
    struct conf *conf;

    assert_int_equal(conf_new(&conf), 0);
    assert_int_equal(conf_load_memory(conf, "test.conf", text, strlen(text)), 0);
    return conf;
}

static inline struct conf *relay_conf(const char *text)
{
    struct conf *conf = relay_conf_unchecked(text);

    if (conf_check(conf) < 0) {
        conf_findings_write(conf, stderr, CONF_ERROR);
        fail();
    }
    return conf;
}

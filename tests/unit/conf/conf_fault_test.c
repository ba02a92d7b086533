/* SPDX-License-Identifier: Apache-2.0 */
/* Loading survives the failure of every single allocation. */
#include <errno.h>

#include "base/mem.h"
#include "conf_tests.h"

static const char text[] =
    "realm=x\nuser=a:b\nuser=c:d\nstatic-auth-secret=s\nmin-port=bad\n"
    "log-file=/x\nrest-api-separator=\nunknown-thing\n[realm \"y\"]\na=b\n"
    "user=u:p\norigin=http://o\ndenied-peer-ip=10.0.0.0/8\nmax-bps=7\n"
    "external-ip=192.0.2.1\n[tls \"z\"]\ncert=/c\nverify-client=OFF\nkey=/k\n"
    "[listener]\naddress=192.0.2.1\naddress=192.0.2.2\nproxy-protocol\n"
    "transport=tcp\ntls-name=z\n";

/* One whole life; returns the worst result of its steps. */
static int life(char **env, char **argv)
{
    struct conf *conf;

    if (conf_new(&conf) < 0) {
        return -ENOMEM;
    }
    int worst = conf_load_memory(conf, "t.conf", text, sizeof(text) - 1);
    if (worst != -ENOMEM && conf_load_env(conf, env) == -ENOMEM) {
        worst = -ENOMEM;
    }
    if (worst != -ENOMEM && conf_load_args(conf, 3, argv) == -ENOMEM) {
        worst = -ENOMEM;
    }
    if (conf_check(conf) == -ENOMEM) {
        worst = -ENOMEM;
    }
    conf_unref(conf);
    return worst;
}

static void load__survives_every_failing_allocation(void **state)
{
    const long enough = 1000;
    long n = 0;
    int result = -ENOMEM;

    char **env = CONF_WORDS("STERNA_USER=e:f");
    char **argv = CONF_WORDS("sterna", "--relay-ip=192.0.2.1", "-lstdout");

    (void)state;
    mem_fail_at(0);
    const bool injects = mem_fails();
    for (; result == -ENOMEM && n < enough; n++) {
        mem_fail_at(n);
        result = life(env, argv);
    }
    mem_fail_at(-1);
    assert_int_equal(result, -EINVAL); /* of the port, once memory suffices */
    conf_words_free(env);
    conf_words_free(argv);
    if (injects) {
        assert_true(n > 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load__survives_every_failing_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Answers are kept, questions are counted; what c-ares makes of a real DNS server is a system
 * test's. */
#include "cmd/probe_dns.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "check.h"

enum { TRY_MS = 200 };

/* An address where nobody listens, which says so at once. */
static struct net_addr nobody(void)
{
    struct net_addr addr;
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    const int fd = socket(AF_INET, SOCK_DGRAM, 0);

    assert_int_equal(net_addr_parse("127.0.0.1", 0, &addr), 0);
    const socklen_t n = net_addr_to_sockaddr(&addr, &ss);
    assert_int_equal(bind(fd, (struct sockaddr *)&ss, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    close(fd);
    assert_int_equal(net_addr_from_sockaddr(&ss, &addr), 0);
    return addr;
}

static struct probe_dns *resolver(void)
{
    const struct net_addr server = nobody();
    struct probe_dns *dns = NULL;

    assert_int_equal(probe_dns_new(&server, TRY_MS, &dns), 0);
    return dns;
}

static void ask__without_an_answer_says_so(void **state)
{
    struct probe_dns *dns = resolver();
    const struct probe_dns_answer *answer = probe_dns_ask(dns, PROBE_DNS_SRV, "example.org");

    (void)state;
    assert_non_null(answer);
    assert_int_equal(answer->status, PROBE_DNS_FAILED);
    assert_non_null(answer->why);
    assert_int_equal(answer->count, 0);
    probe_dns_free(dns);
}

static void ask__the_same_again_has_the_same_answer(void **state)
{
    struct probe_dns *dns = resolver();
    const struct probe_dns_answer *answer = probe_dns_ask(dns, PROBE_DNS_A, "example.org");

    (void)state;
    assert_true(probe_dns_is_new(dns));
    assert_ptr_equal(probe_dns_ask(dns, PROBE_DNS_A, "EXAMPLE.org"), answer);
    assert_false(probe_dns_is_new(dns));
    assert_ptr_not_equal(probe_dns_ask(dns, PROBE_DNS_AAAA, "example.org"), answer);
    assert_true(probe_dns_is_new(dns));
    probe_dns_free(dns);
}

static void ask__ends_after_many_questions(void **state)
{
    struct probe_dns *dns = resolver();
    char name[32];

    (void)state;
    for (int i = 0; i < PROBE_DNS_QUESTIONS; i++) {
        snprintf(name, sizeof(name), "a%d.example.org", i);
        assert_non_null(probe_dns_ask(dns, PROBE_DNS_A, name));
    }
    assert_null(probe_dns_ask(dns, PROBE_DNS_A, "one-more.example.org"));
    assert_non_null(probe_dns_ask(dns, PROBE_DNS_A, "a0.example.org"));
    probe_dns_free(dns);
}

static void new__survives_the_lack_of_memory(void **state)
{
    const struct net_addr server = nobody();

    (void)state;
    for (long n = 0; n < 2; n++) {
        struct probe_dns *dns = NULL;
        mem_fail_at(n);
        assert_int_equal(probe_dns_new(&server, TRY_MS, &dns), -ENOMEM);
        mem_fail_at(-1);
        assert_null(dns);
    }
    struct probe_dns *dns = resolver();
    mem_fail_at(0);
    assert_null(probe_dns_ask(dns, PROBE_DNS_A, "example.org"));
    mem_fail_at(-1);
    assert_non_null(probe_dns_ask(dns, PROBE_DNS_A, "example.org"));
    probe_dns_free(dns);
    probe_dns_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ask__without_an_answer_says_so),
        cmocka_unit_test(ask__the_same_again_has_the_same_answer),
        cmocka_unit_test(ask__ends_after_many_questions),
        cmocka_unit_test(new__survives_the_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

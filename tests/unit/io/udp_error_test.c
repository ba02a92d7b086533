/* SPDX-License-Identifier: Apache-2.0 */
#include "io/udp_error.h"

#include <errno.h>

#include "udp_pair.h"

static void error__tells_of_a_closed_port(void **state)
{
    static const struct {
        const char *addr;
        enum udp_error_origin origin;
        uint8_t type, code;
    } cases[] = {
        {"127.0.0.1:0", UDP_ERROR_ICMP, 3, 3},
        {"[::1]:0", UDP_ERROR_ICMP6, 1, 4},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct udp_options options = {.local = pair_addr(cases[i].addr), .ask_errors = true};
        struct udp_port port;
        struct udp_port closed;
        struct udp_error error;
        pair_open(&port, &options);
        pair_open(&closed, &options);
        udp_close(&closed);
        assert_int_equal(udp_error_read(&port, &error), 0);
        pair_send(port.fd, &closed.local, "x", 1);
        pair_wait(port.fd, POLLERR);
        assert_int_equal(udp_error_read(&port, &error), 1);
        assert_int_equal(error.origin, cases[i].origin);
        assert_int_equal(error.type, cases[i].type);
        assert_int_equal(error.code, cases[i].code);
        assert_int_equal(error.error, ECONNREFUSED);
        assert_true(net_addr_equal(&error.peer, &closed.local));
        assert_int_equal(udp_error_read(&port, &error), 0);
        udp_close(&port);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error__tells_of_a_closed_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

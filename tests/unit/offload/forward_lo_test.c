/* SPDX-License-Identifier: Apache-2.0 */
/* The setting that the kernel path borrows from the host. */
#include "offload/forward_lo.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "forward_net.h"

static int borrow_and_return(void)
{
    struct forward_lo lo;
    char why[256] = "x";

    EXPECT(forward_lo_open(&lo, why, sizeof(why)) == 0 && why[0] == '\0');
    EXPECT(net_lo_forwards("ipv4") == 1 && net_lo_forwards("ipv6") != 0);
    forward_lo_close(&lo);
    EXPECT(net_lo_forwards("ipv4") == 0 && net_lo_forwards("ipv6") <= 0);
    forward_lo_close(&lo);
    return 0;
}

static void forward_lo__puts_the_setting_back(void **state)
{
    (void)state;
    net_run(borrow_and_return);
}

/* Only lo: nothing else of the host forwards. */
static int look_at_others(void)
{
    struct forward_lo lo;
    char why[256];

    EXPECT(forward_lo_open(&lo, why, sizeof(why)) == 0);
    EXPECT(net_shell("test \"$(cat /proc/sys/net/ipv?/conf/*/forwarding | sort -n | uniq -c |"
                     " awk '$2 == 1 {print $1}')\" -le 2"));
    EXPECT(net_shell("test \"$(cat /proc/sys/net/ipv4/conf/all/forwarding)\" = 0"));
    EXPECT(net_shell("test \"$(cat /proc/sys/net/ipv4/conf/v1/forwarding)\" = 0"));
    forward_lo_close(&lo);
    return 0;
}

static void forward_lo__makes_no_router(void **state)
{
    (void)state;
    net_run(look_at_others);
}

/* What somebody else has set is his. */
static int keep_what_was_there(void)
{
    struct forward_lo lo;
    char why[256];

    EXPECT(net_shell("echo 1 > /proc/sys/net/ipv4/conf/lo/forwarding"));
    EXPECT(forward_lo_open(&lo, why, sizeof(why)) == 0);
    forward_lo_close(&lo);
    EXPECT(net_lo_forwards("ipv4") == 1 && net_lo_forwards("ipv6") <= 0);
    return 0;
}

static void forward_lo__keeps_what_was_there(void **state)
{
    (void)state;
    net_run(keep_what_was_there);
}

/* Servers come and go; whoever goes last puts it back. */
static int share(void)
{
    struct forward_lo first;
    struct forward_lo second;
    char why[256];

    EXPECT(forward_lo_open(&first, why, sizeof(why)) == 0);
    EXPECT(forward_lo_open(&second, why, sizeof(why)) == 0);
    forward_lo_close(&first);
    EXPECT(net_lo_forwards("ipv4") == 1);
    EXPECT(forward_lo_open(&first, why, sizeof(why)) == 0);
    forward_lo_close(&second);
    EXPECT(net_lo_forwards("ipv4") == 1);
    forward_lo_close(&first);
    EXPECT(net_lo_forwards("ipv4") == 0 && net_lo_forwards("ipv6") <= 0);
    return 0;
}

static void forward_lo__is_shared(void **state)
{
    (void)state;
    net_run(share);
}

/* A router's word on v1 that it is one (RFC 4861 section 4.2), said by v2. */
static bool advertise(void)
{
    struct nd_router_advert word = {.nd_ra_type = ND_ROUTER_ADVERT};
    const int hops = 255;
    const int from = (int)if_nametoindex("v2");
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_scope_id = (uint32_t)from};
    const int fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6);

    word.nd_ra_router_lifetime = htons(1800); /* seconds */
    to.sin6_addr.s6_addr[0] = 0xff;           /* ff02::1 */
    to.sin6_addr.s6_addr[1] = 0x02;
    to.sin6_addr.s6_addr[15] = 1;
    const bool sent =
        fd >= 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof(hops)) == 0 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &from, sizeof(from)) == 0 &&
        sendto(fd, &word, sizeof(word), 0, (const struct sockaddr *)&to, sizeof(to)) > 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return sent;
}

static bool has_learnt(void)
{
    return net_shell("ip -6 route show default dev v1 | grep -q 'proto ra'");
}

/* Ask until there is a router, as a host does. */
static bool is_told(void)
{
    return advertise() && has_learnt();
}

/* The kernel would forget it at once, and the host be cut off until the router speaks again. */
static int keep_learnt_routes(void)
{
    struct forward_lo lo;
    char why[256];

    if (net_lo_forwards("ipv6") < 0) {
        STEP_SKIP("this host has no IPv6");
    }
    EXPECT(net_shell("echo 1 > /proc/sys/net/ipv6/conf/v1/accept_ra_from_local"));
    EXPECT(net_until(is_told));
    EXPECT(forward_lo_open(&lo, why, sizeof(why)) == 0 && why[0] == '\0');
    EXPECT(net_lo_forwards("ipv6") == 1 && has_learnt());
    EXPECT(net_shell("test \"$(cat /proc/sys/net/ipv6/conf/v1/accept_ra)\" = 1"));
    forward_lo_close(&lo);
    EXPECT(has_learnt());
    /* What happens to the next one without care, or this would show nothing. */
    EXPECT(net_shell("ip -6 route del default dev v1") && net_until(is_told));
    EXPECT(net_shell("echo 1 > /proc/sys/net/ipv6/conf/lo/forwarding") && !has_learnt());
    return 0;
}

static void forward_lo__keeps_routes_that_routers_have_told(void **state)
{
    (void)state;
    net_run(keep_learnt_routes);
}

static int open_where_it_may_not(void)
{
    struct forward_lo lo;
    char why[256] = "";

    EXPECT(net_freeze("/proc/sys"));
    EXPECT(forward_lo_open(&lo, why, sizeof(why)) == -EROFS);
    EXPECT(net_says(why, "net.ipv4.conf.lo.forwarding"));
    EXPECT(waitpid(-1, NULL, 0) < 0 && errno == ECHILD);
    return 0;
}

static void forward_lo__leaves_no_child_where_it_may_not(void **state)
{
    (void)state;
    net_run(open_where_it_may_not);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_lo__puts_the_setting_back),
        cmocka_unit_test(forward_lo__makes_no_router),
        cmocka_unit_test(forward_lo__keeps_what_was_there),
        cmocka_unit_test(forward_lo__is_shared),
        cmocka_unit_test(forward_lo__keeps_routes_that_routers_have_told),
        cmocka_unit_test(forward_lo__leaves_no_child_where_it_may_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

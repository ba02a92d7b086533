/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of interfaces, and netlink(7) below it. */
#include "offload/device.h"

#include "base/mem.h"
#include "forward_net.h"
#include "offload/netlink.h"

static int know_a_pair(void)
{
    struct device_list list;

    EXPECT(net_shell("ip link set v1 address 02:00:00:00:00:07 mtu 1400"));
    EXPECT(device_list_read(&list) == 0);
    const struct device *v1 = device_find(&list, "v1");
    const struct device *lo = device_find(&list, "lo");
    EXPECT(v1 != NULL && lo != NULL && device_find(&list, "nosuch") == NULL);
    EXPECT(v1->index == if_nametoindex("v1") && v1->mtu == 1400);
    EXPECT(memcmp(v1->mac, "\x02\0\0\0\0\x07", 6) == 0);
    EXPECT(strcmp(v1->kind, "veth") == 0 && strcmp(v1->driver, "veth") == 0);
    EXPECT(v1->ethernet && v1->up && !v1->loopback && !v1->wire && v1->master[0] == '\0');
    EXPECT(lo->loopback && !lo->ethernet && lo->index == 1);
    EXPECT(device_find_index(&list, v1->index) == v1 && device_find_index(&list, 0) == NULL);
    EXPECT(device_highest(&list) >= v1->index);
    device_list_fini(&list);
    return 0;
}

static void device__knows_a_pair(void **state)
{
    (void)state;
    net_run(know_a_pair);
}

static int know_masters(void)
{
    struct device_list list;

    if (!net_shell("ip link add br0 type bridge && ip link set v1 master br0")) {
        STEP_SKIP("no bridges");
    }
    EXPECT(net_shell("ip link set v2 down"));
    EXPECT(device_list_read(&list) == 0);
    EXPECT(strcmp(device_find(&list, "v1")->master, "br0") == 0);
    EXPECT(strcmp(device_find(&list, "br0")->kind, "bridge") == 0);
    EXPECT(!device_find(&list, "v2")->up && device_find(&list, "v2")->master[0] == '\0');
    device_list_fini(&list);
    return 0;
}

static void device__knows_masters(void **state)
{
    (void)state;
    net_run(know_masters);
}

static int know_vlans(void)
{
    struct device_list list;

    if (!net_shell("ip link add link v1 name v1.7 type vlan id 7")) {
        STEP_SKIP("no VLANs");
    }
    EXPECT(device_list_read(&list) == 0);
    EXPECT(device_find(&list, "v1")->vlans && !device_find(&list, "v2")->vlans);
    EXPECT(!device_find(&list, "v1.7")->vlans && device_find(&list, "v1.7")->ethernet);
    device_list_fini(&list);
    return 0;
}

static void device__knows_what_has_vlans(void **state)
{
    (void)state;
    net_run(know_vlans);
}

/* More than fit one message of the kernel. */
static int list_many(void)
{
    struct device_list list;

    EXPECT(net_shell("for i in $(seq 100 139); do ip link add p$i type veth peer name q$i; done"));
    EXPECT(device_list_read(&list) == 0);
    EXPECT(list.count >= 83);
    EXPECT(device_find(&list, "p100") != NULL && device_find(&list, "q139") != NULL);
    device_list_fini(&list);
    return 0;
}

static void device__lists_many(void **state)
{
    (void)state;
    net_run(list_many);
}

/* The far end of a pair decides whether XDP can send by this one. */
static int know_xdp(void)
{
    uint32_t features = 0;

    const int err = device_xdp(if_nametoindex("v1"), &features);
    if (err == -ENOENT) {
        STEP_SKIP("the kernel does not tell what XDP can do (before Linux 6.3)");
    }
    EXPECT(err == 0);
    EXPECT((features & DEVICE_XDP_BASIC) != 0 && (features & DEVICE_XDP_REDIRECT) != 0);
    EXPECT((features & DEVICE_XDP_SEND) == 0);
    if (net_shell("ethtool -K v2 gro on")) {
        EXPECT(device_xdp(if_nametoindex("v1"), &features) == 0);
        EXPECT((features & DEVICE_XDP_SEND) != 0);
    }
    features = 77;
    EXPECT(device_xdp(9999, &features) < 0 && features == 77);
    EXPECT(device_xdp(1, &features) == 0 && features == 0); /* lo has none */
    return 0;
}

static void device__knows_what_xdp_can_do(void **state)
{
    (void)state;
    net_run(know_xdp);
}

static int find_addresses(void)
{
    struct net_ip ip;

    EXPECT(net_shell("ip addr add 192.0.2.1/24 dev v1 &&"
                     " ip -6 addr add 2001:db8::1/64 dev v2 nodad"));
    EXPECT(net_ip_parse("192.0.2.1", &ip) == 0);
    EXPECT(device_of_addr(&ip) == if_nametoindex("v1"));
    EXPECT(net_ip_parse("2001:db8::1", &ip) == 0);
    EXPECT(device_of_addr(&ip) == if_nametoindex("v2"));
    EXPECT(net_ip_parse("192.0.2.2", &ip) == 0 && device_of_addr(&ip) == 0);
    return 0;
}

static void device__finds_addresses(void **state)
{
    (void)state;
    net_run(find_addresses);
}

static void device__fails_without_memory(void **state)
{
    struct device_list list = {.count = 0};
    int err = -ENOMEM;
    long at = 0;

    (void)state;
    for (; err == -ENOMEM; at++) {
        mem_fail_at(at);
        err = device_list_read(&list);
        mem_fail_at(-1);
        assert_true(err == 0 || (err == -ENOMEM && list.items == NULL && list.count == 0));
    }
    assert_int_equal(err, 0);
    device_list_fini(&list);
    if (at == 1) {
        CHECK_SKIP("built without fault_injection");
    }
    assert_true(at > 2);
}

/* --- messages ------------------------------------------------------------------------------------
 */

/* Two attributes, 3 (four bytes) and 1 (two bytes, and padding). */
static size_t two_attributes(struct netlink_question *question)
{
    const uint32_t four = 0x01020304;
    const uint16_t two = 0x0506;
    size_t len = 0;

    netlink_put(question, &len, 3, &four, sizeof(four));
    netlink_put(question, &len, 1 | NLA_F_NESTED, &two, sizeof(two));
    return len;
}

static void netlink__finds_attributes(void **state)
{
    struct netlink_question question = {.head = {0}};
    struct netlink_attrs attrs;
    char text[3];

    (void)state;
    const size_t len = two_attributes(&question);
    assert_int_equal(len, 16);
    netlink_find(question.body, len, 0, &attrs);
    assert_int_equal(netlink_number(attrs.of[3]), 0x01020304);
    assert_int_equal(netlink_number(attrs.of[1]), 0x0506);
    assert_null(attrs.of[2]);
    assert_int_equal(netlink_number(attrs.of[2]), 0);
    netlink_text(attrs.of[2], text, sizeof(text));
    assert_string_equal(text, "");
    netlink_text(attrs.of[3], text, sizeof(text)); /* cut */
    assert_int_equal(strlen(text), 2);
}

/* However it is cut, what is found lies within. */
static void netlink__stays_within_the_message(void **state)
{
    struct netlink_question question = {.head = {0}};
    struct netlink_attrs attrs;

    (void)state;
    (void)two_attributes(&question);
    for (size_t len = 0; len < 16; len++) {
        uint8_t *copy = mem_new(1, len + 1);
        assert_non_null(copy);
        memcpy(copy, question.body, len);
        netlink_find(copy, len, 0, &attrs);
        assert_int_equal(attrs.of[3] != NULL, len >= 8);
        assert_int_equal(attrs.of[1] != NULL, len >= 14);
        free(copy);
    }
    question.body[0] = 3; /* shorter than its own head */
    netlink_find(question.body, 16, 0, &attrs);
    assert_null(attrs.of[3]);
    assert_null(attrs.of[1]);
    netlink_find(question.body, 16, 20, &attrs);
    assert_null(attrs.of[1]);
}

static int refuse_message(const uint8_t *body, size_t len, void *context)
{
    (void)body;
    (void)len;
    ++*(int *)context;
    return -EDOM;
}

static void netlink__ends_when_told_so(void **state)
{
    struct netlink_question question = {
        .head = {.nlmsg_type = 18 /* RTM_GETLINK */, .nlmsg_flags = NLM_F_DUMP},
    };
    int calls = 0;

    (void)state;
    assert_int_equal(netlink_ask(NETLINK_ROUTE, &question, 16, refuse_message, &calls), -EDOM);
    assert_int_equal(calls, 1);
}

static void netlink__tells_what_the_kernel_refuses(void **state)
{
    struct netlink_question question = {.head = {.nlmsg_type = 9999}};
    int calls = 0;

    (void)state;
    assert_int_equal(netlink_ask(NETLINK_ROUTE, &question, 16, refuse_message, &calls),
                     -EOPNOTSUPP);
    assert_int_equal(netlink_ask(99, &question, 16, refuse_message, &calls), -EPROTONOSUPPORT);
    assert_int_equal(calls, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(device__knows_a_pair),
        cmocka_unit_test(device__knows_masters),
        cmocka_unit_test(device__knows_what_has_vlans),
        cmocka_unit_test(device__lists_many),
        cmocka_unit_test(device__knows_what_xdp_can_do),
        cmocka_unit_test(device__finds_addresses),
        cmocka_unit_test(device__fails_without_memory),
        cmocka_unit_test(netlink__finds_attributes),
        cmocka_unit_test(netlink__stays_within_the_message),
        cmocka_unit_test(netlink__ends_when_told_so),
        cmocka_unit_test(netlink__tells_what_the_kernel_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

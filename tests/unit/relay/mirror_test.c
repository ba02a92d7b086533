/* SPDX-License-Identifier: Apache-2.0 */
/* What goes to the table of channels, which is this test's own here. */
#include "relay/mirror.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "offload/flow.h"
#include "relay/external.h"
#include "relay/interfaces.h"
#include "relay_conf.h"
#include "turn/turn_server.h"

enum { CHANNELS = 8 };

/* --- a table -------------------------------------------------------------------------------------
 */

struct flow_table {
    struct flow_spec spec[CHANNELS + 1];
    struct flow_traffic traffic[CHANNELS + 1];
    uint32_t epoch;
    uint32_t epoch_of[CHANNELS + 1];
    bool open[CHANNELS + 1];
    int refuse;            /* what the next flow_open() says */
    struct mirror *halted; /* the rules change while it is at work */
};

static void interrupt(struct flow_table *t)
{
    struct mirror *m = t->halted;

    t->halted = NULL;
    if (m != NULL) {
        mirror_halt(m);
    }
}

int flow_open(struct flow_table *t, const struct flow_spec *spec, uint32_t *out_handle)
{
    uint32_t handle = 1;

    if (t->refuse < 0) {
        return t->refuse;
    }
    while (handle <= CHANNELS && t->open[handle]) {
        handle++;
    }
    if (handle > CHANNELS) {
        return -ENOSPC;
    }
    interrupt(t);
    t->spec[handle] = *spec;
    t->traffic[handle] = (struct flow_traffic){.packets = {0}};
    t->epoch_of[handle] = t->epoch;
    t->open[handle] = true;
    *out_handle = handle;
    return 0;
}

void flow_renew(struct flow_table *t, uint32_t handle, uint64_t to_peer_until_ms,
                uint64_t to_client_until_ms)
{
    assert_true(t->open[handle]);
    interrupt(t);
    t->spec[handle].to_peer_until_ms = to_peer_until_ms;
    t->spec[handle].to_client_until_ms = to_client_until_ms;
    t->epoch_of[handle] = t->epoch;
}

void flow_usage(const struct flow_table *t, uint32_t handle, struct flow_traffic *out)
{
    assert_true(t->open[handle]);
    *out = t->traffic[handle];
}

void flow_close(struct flow_table *t, uint32_t handle, struct flow_traffic *last)
{
    assert_true(t->open[handle]);
    t->open[handle] = false;
    if (last != NULL) {
        *last = t->traffic[handle];
    }
}

uint32_t flow_count(const struct flow_table *t)
{
    uint32_t count = 0;

    for (uint32_t i = 1; i <= CHANNELS; i++) {
        count += t->open[i] ? 1 : 0;
    }
    return count;
}

int flow_try(const struct flow_table *t)
{
    (void)t;
    return 0;
}

void flow_halt(struct flow_table *t)
{
    t->epoch++;
}

uint32_t flow_limit_open(struct flow_table *t, const struct bucket from[OFFLOAD_WAYS],
                         struct bucket **out)
{
    (void)t;
    (void)from;
    (void)out;
    return 0;
}

void flow_limit_close(struct flow_table *t, uint32_t limit)
{
    (void)t;
    (void)limit;
}

/* Would the kernel forward it at that time? */
static bool forwards(const struct flow_table *t, uint32_t handle, uint64_t now_ms)
{
    return t->open[handle] && t->epoch_of[handle] == t->epoch &&
           now_ms < t->spec[handle].to_peer_until_ms;
}

/* --- a mirror ------------------------------------------------------------------------------------
 */

struct fixture {
    struct flow_table table;
    struct external_map *external;
    struct mirror *mirror;
};

static struct net_addr at(const char *text)
{
    struct net_addr addr;

    assert_int_equal(net_addr_parse(text, 0, &addr), 0);
    return addr;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct interface_address items[] = {{.index = 2, .ip = at("10.0.0.5").ip},
                                        {.index = 2, .ip = at("2001:db8::5").ip}};
    const struct interfaces own = {COUNT_OF(items), items};
    struct conf *conf = relay_conf("realm=x\nno-auth\nmin-port=50000\nmax-port=50010\n"
                                   "external-ip=198.51.100.1/10.0.0.5\n");
    char why[200];

    assert_non_null(f);
    assert_int_equal(external_map_new(conf, &own, &f->external, why, sizeof(why)), 0);
    conf_unref(conf);
    assert_int_equal(mirror_new(&f->table, f->external, CHANNELS, &f->mirror), 0);
    assert_int_equal(mirror_set_own(f->mirror, &own), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    mirror_free(f->mirror);
    external_map_free(f->external);
    free(f);
    return 0;
}

static struct turn_flow channel_to(const char *peer)
{
    return (struct turn_flow){
        .session = 7,
        .number = 0x4000,
        .client = at("192.0.2.9:5000"),
        .server = at("10.0.0.5:3478"),
        .relay = at("10.0.0.5:50000"),
        .peer = at(peer),
        .limit = 3,
        .to_peer_until_ms = 2000,
        .to_client_until_ms = 1000,
    };
}

static uint32_t open_one(struct fixture *f, const char *peer)
{
    const struct turn_flow flow = channel_to(peer);

    return mirror_open(f->mirror, mirror_rules(f->mirror), &flow);
}

/* --- tests ---------------------------------------------------------------------------------------
 */

static void mirror__hands_a_channel_over_as_it_is(void **state)
{
    struct fixture *f = *state;
    const uint32_t handle = open_one(f, "203.0.113.1:6000");
    const struct flow_spec *spec = &f->table.spec[handle];
    const struct turn_flow want = channel_to("203.0.113.1:6000");

    assert_int_not_equal(handle, 0);
    assert_true(net_addr_equal(&spec->client, &want.client));
    assert_true(net_addr_equal(&spec->server, &want.server));
    assert_true(net_addr_equal(&spec->relay, &want.relay));
    assert_true(net_addr_equal(&spec->peer, &want.peer));
    assert_int_equal(spec->number, 0x4000);
    assert_int_equal(spec->limit, 3);
    assert_int_equal(spec->to_peer_until_ms, 2000);
    assert_int_equal(spec->to_client_until_ms, 1000);
    assert_false(spec->to_relay);
    assert_int_equal(mirror_read(f->mirror).open, 1);
    assert_int_equal(mirror_read(f->mirror).refused, 0);
}

/* A peer of this server is reached without the NAT, as path.c does; other ports of the public
 * address are not ours. */
static void mirror__peers_of_this_host_turn_round_here(void **state)
{
    struct fixture *f = *state;
    const struct net_addr inside = at("10.0.0.5:50003");
    const struct net_addr outside = at("198.51.100.1:49999");
    uint32_t handle = open_one(f, "198.51.100.1:50003");

    assert_true(net_addr_equal(&f->table.spec[handle].peer, &inside));
    assert_true(f->table.spec[handle].to_relay);
    handle = open_one(f, "198.51.100.1:49999");
    assert_true(net_addr_equal(&f->table.spec[handle].peer, &outside));
    assert_false(f->table.spec[handle].to_relay);
    handle = open_one(f, "[2001:db8::5]:50009");
    assert_true(f->table.spec[handle].to_relay);
}

/* What comes from the network in the name of such a client is forged, and the stack drops it. */
static void mirror__keeps_clients_of_this_host(void **state)
{
    static const char *const here[] = {"10.0.0.5:5000", "127.0.0.1:5000", "127.9.8.7:5000",
                                       "[2001:db8::5]:5000"};
    struct fixture *f = *state;
    struct turn_flow flow = channel_to("203.0.113.1:6000");

    for (size_t i = 0; i < COUNT_OF(here); i++) {
        flow.client = at(here[i]);
        assert_int_equal(mirror_open(f->mirror, mirror_rules(f->mirror), &flow), 0);
    }
    assert_int_equal(mirror_read(f->mirror).refused, 0);
    flow.client = at("10.0.0.4:5000");
    assert_int_not_equal(mirror_open(f->mirror, mirror_rules(f->mirror), &flow), 0);
    assert_true(f->table.spec[open_one(f, "127.0.0.9:6000")].to_relay);
}

/* User space takes it for 198.51.100.1:50003 (path.c), whose channel that is, or nobody's. */
static void mirror__leaves_peers_with_two_addresses_to_user_space(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_one(f, "10.0.0.5:50003"), 0);
    assert_int_equal(mirror_read(f->mirror).error, -EINVAL);
    assert_int_not_equal(open_one(f, "10.0.0.5:49999"), 0); /* no relay's port */
}

static void mirror__own_addresses_may_change(void **state)
{
    struct fixture *f = *state;
    struct interface_address items[] = {{.index = 2, .ip = at("10.0.0.77").ip},
                                        {.index = 2, .ip = at("10.0.0.5").ip}};
    const struct interfaces own = {COUNT_OF(items), items};

    assert_false(f->table.spec[open_one(f, "10.0.0.77:50001")].to_relay);
    mem_fail_at(0);
#ifdef STERNA_FAULT_INJECTION
    assert_int_equal(mirror_set_own(f->mirror, &own), -ENOMEM);
    assert_true(f->table.spec[open_one(f, "[2001:db8::5]:50001")].to_relay); /* as before */
#endif
    mem_fail_at(-1);
    assert_int_equal(mirror_set_own(f->mirror, &own), 0);
    assert_true(f->table.spec[open_one(f, "10.0.0.77:50002")].to_relay);
    assert_false(f->table.spec[open_one(f, "[2001:db8::5]:50002")].to_relay);
}

/* The host has these addresses now, and all channels are judged anew. */
static void own_are(struct fixture *f, uint32_t handle, const char *first, const char *second)
{
    struct interface_address items[] = {{.index = 2, .ip = at(first).ip},
                                        {.index = 2, .ip = at(second).ip}};
    const struct interfaces own = {COUNT_OF(items), items};

    assert_int_equal(mirror_set_own(f->mirror, &own), 0);
    mirror_halt(f->mirror);
    mirror_renew(f->mirror, mirror_rules(f->mirror), handle, 2000, 1000);
}

static void mirror__forwards_for_no_address_that_is_gone(void **state)
{
    struct fixture *f = *state;
    struct turn_flow flow = channel_to("203.0.113.1:6000");

    flow.server = at("10.0.0.6:3478"); /* not the host's at the start: as good as its own */
    const uint32_t handle = mirror_open(f->mirror, mirror_rules(f->mirror), &flow);
    assert_true(forwards(&f->table, handle, 0));
    own_are(f, handle, "10.0.0.5", "10.0.0.6");
    assert_true(forwards(&f->table, handle, 0));
    own_are(f, handle, "10.0.0.6", "10.0.0.7"); /* the relay's is gone */
    assert_false(forwards(&f->table, handle, 0));
    assert_int_equal(open_one(f, "203.0.113.2:6000"), 0);
    assert_int_equal(mirror_read(f->mirror).error, -EADDRNOTAVAIL);
    own_are(f, handle, "10.0.0.7", "10.0.0.8"); /* the server's, too */
    own_are(f, handle, "10.0.0.7", "10.0.0.5");
    assert_false(forwards(&f->table, handle, 0));
    own_are(f, handle, "10.0.0.6", "10.0.0.5"); /* and they have come back */
    assert_true(forwards(&f->table, handle, 0));
    assert_int_not_equal(open_one(f, "203.0.113.2:6000"), 0);
}

static void traffic_is(const struct turn_traffic *traffic, uint64_t to_peer, uint64_t to_client)
{
    assert_int_equal(traffic->to_peer_packets, to_peer);
    assert_int_equal(traffic->to_peer_bytes, 100 * to_peer);
    assert_int_equal(traffic->to_client_packets, to_client);
    assert_int_equal(traffic->to_client_bytes, 100 * to_client);
}

static void forwarded(struct fixture *f, uint32_t handle, uint64_t to_peer, uint64_t to_client)
{
    struct flow_traffic *traffic = &f->table.traffic[handle];

    traffic->packets[OFFLOAD_TO_PEER] += to_peer;
    traffic->bytes[OFFLOAD_TO_PEER] += 100 * to_peer;
    traffic->packets[OFFLOAD_TO_CLIENT] += to_client;
    traffic->bytes[OFFLOAD_TO_CLIENT] += 100 * to_client;
}

static void mirror__tells_each_packet_once(void **state)
{
    struct fixture *f = *state;
    const uint32_t handle = open_one(f, "203.0.113.1:6000");
    struct turn_traffic traffic;

    mirror_usage(f->mirror, handle, &traffic);
    traffic_is(&traffic, 0, 0);
    forwarded(f, handle, 5, 7);
    mirror_usage(f->mirror, handle, &traffic);
    traffic_is(&traffic, 5, 7);
    mirror_usage(f->mirror, handle, &traffic);
    traffic_is(&traffic, 0, 0);
    forwarded(f, handle, 1, 2);
    mirror_close(f->mirror, handle, &traffic);
    traffic_is(&traffic, 1, 2);
    assert_int_equal(mirror_read(f->mirror).open, 0);

    /* The next one with that number begins at nothing. */
    assert_int_equal(open_one(f, "203.0.113.2:6000"), handle);
    forwarded(f, handle, 3, 0);
    mirror_close(f->mirror, handle, &traffic);
    traffic_is(&traffic, 3, 0);
}

static void mirror__what_is_refused_is_counted(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < CHANNELS; i++) {
        assert_int_not_equal(open_one(f, "203.0.113.1:6000"), 0);
    }
    assert_int_equal(open_one(f, "203.0.113.1:6000"), 0);
    assert_int_equal(mirror_read(f->mirror).refused, 1);
    assert_int_equal(mirror_read(f->mirror).error, -ENOSPC);
    f->table.refuse = -EPERM;
    assert_int_equal(open_one(f, "203.0.113.1:6000"), 0);
    assert_int_equal(mirror_read(f->mirror).refused, 2);
    assert_int_equal(mirror_read(f->mirror).error, -EPERM);
    assert_int_equal(mirror_read(f->mirror).open, CHANNELS);
}

static void rules__old_ones_hand_nothing_over(void **state)
{
    struct fixture *f = *state;
    const struct turn_flow flow = channel_to("203.0.113.1:6000");
    const uint32_t old = mirror_rules(f->mirror);
    const uint32_t handle = mirror_open(f->mirror, old, &flow);

    assert_true(forwards(&f->table, handle, 1500));
    mirror_halt(f->mirror);
    assert_false(forwards(&f->table, handle, 1500));
    assert_int_equal(mirror_open(f->mirror, old, &flow), 0);
    assert_int_equal(mirror_read(f->mirror).open, 1);
    assert_int_equal(mirror_read(f->mirror).refused, 0);
    mirror_renew(f->mirror, old, handle, 9000, 9000);
    assert_false(forwards(&f->table, handle, 1500));

    mirror_renew(f->mirror, mirror_rules(f->mirror), handle, 9000, 9000);
    assert_true(forwards(&f->table, handle, 8999));
    assert_false(forwards(&f->table, handle, 9000));
    assert_int_not_equal(mirror_open(f->mirror, mirror_rules(f->mirror), &flow), 0);
}

/* They change between the look at their number and the table's look at its epoch. */
static void rules__that_change_meanwhile_count(void **state)
{
    struct fixture *f = *state;
    const struct turn_flow flow = channel_to("203.0.113.1:6000");
    uint32_t old = mirror_rules(f->mirror);

    f->table.halted = f->mirror;
    assert_int_equal(mirror_open(f->mirror, old, &flow), 0);
    assert_int_equal(mirror_read(f->mirror).open, 0);

    old = mirror_rules(f->mirror);
    const uint32_t handle = mirror_open(f->mirror, old, &flow);
    f->table.halted = f->mirror;
    mirror_renew(f->mirror, old, handle, 9000, 9000);
    assert_false(forwards(&f->table, handle, 1500));
    assert_false(forwards(&f->table, handle, 0));
    mirror_renew(f->mirror, mirror_rules(f->mirror), handle, 9000, 9000);
    assert_true(forwards(&f->table, handle, 1500));
}

static void mirror__without_memory_is_none(void **state)
{
    struct fixture *f = *state;
    struct mirror *second = NULL;
    long n = 0;

    for (int err = -ENOMEM; err < 0; n++) {
        mem_fail_at(n);
        err = mirror_new(&f->table, f->external, CHANNELS, &second);
        mem_fail_at(-1);
        assert_true(err == 0 || (err == -ENOMEM && second == NULL));
    }
    mirror_free(second);
    mirror_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mirror__hands_a_channel_over_as_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(mirror__peers_of_this_host_turn_round_here, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(mirror__keeps_clients_of_this_host, setup, teardown),
        cmocka_unit_test_setup_teardown(mirror__leaves_peers_with_two_addresses_to_user_space,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(mirror__own_addresses_may_change, setup, teardown),
        cmocka_unit_test_setup_teardown(mirror__forwards_for_no_address_that_is_gone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(mirror__tells_each_packet_once, setup, teardown),
        cmocka_unit_test_setup_teardown(mirror__what_is_refused_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(rules__old_ones_hand_nothing_over, setup, teardown),
        cmocka_unit_test_setup_teardown(rules__that_change_meanwhile_count, setup, teardown),
        cmocka_unit_test_setup_teardown(mirror__without_memory_is_none, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

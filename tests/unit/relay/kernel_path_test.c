/* SPDX-License-Identifier: Apache-2.0 */
/* What the server tells its kernel path, which is this test's own here. */
#include "relay/kernel_path.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "offload/flow.h"
#include "offload/forward.h"
#include "offload/shield.h"
#include "relay/capacity.h"
#include "relay/control.h"
#include "relay/external.h"
#include "relay/interfaces.h"
#include "relay/kernel_path_int.h"
#include "relay/listener.h"
#include "relay/mirror.h"
#include "relay_conf.h"
#include "turn/five_tuple.h"
#include "turn/turn_server.h"

#define BASE "realm=x\nno-auth\noffload-interface=eth7\n"

enum { LISTENERS = 16, LO = 1, NO_INTERFACE = 0x7fffffff };

/* --- a kernel path -------------------------------------------------------------------------------
 */

struct shield {
    bool on;
    struct shield_limits limits;
    bool answers;
    char software[64];
    size_t count;
    struct shield_listener listener[LISTENERS];
};

struct forward {
    struct offload_control control;
    struct shield shield;
};

/* What the functions below say, and were told. */
static struct {
    int load;
    int write;
    int client;
    int open;
    enum forward_mode mode;
    struct forward_options options;
    struct forward forward;
    bool freed;
    unsigned clients;
    unsigned channels;
    unsigned follows;
} it;

int forward_new(const struct forward_options *options, struct forward **out, char *why, size_t cap)
{
    it.options = *options;
    (void)snprintf(why, cap, "%s", it.load < 0 ? "as the test wants it" : "");
    for (size_t i = 0; i < options->interface_count; i++) {
        options->interfaces[i].mode = it.load < 0 ? FORWARD_OFF : it.mode;
        options->interfaces[i].index = LO;
    }
    if (it.load == 0) {
        it.forward = (struct forward){.control = {.forward = 1, .epoch = 1}};
        *out = &it.forward;
    }
    return it.load;
}

void forward_free(struct forward *forward)
{
    it.freed = it.freed || forward != NULL;
}

int forward_follow(const struct forward *forward)
{
    (void)forward;
    it.follows++;
    return it.follows == 1 ? -ENOMEM : 0; /* which is told, and no more */
}

struct offload_control *forward_control(struct forward *forward)
{
    return &forward->control;
}

struct flow_table *forward_flows(struct forward *forward)
{
    return (struct flow_table *)(void *)forward;
}

struct shield *forward_shield(struct forward *forward)
{
    return &forward->shield;
}

int forward_counts(const struct forward *forward, uint64_t out[OFFLOAD_COUNT_MAX])
{
    (void)forward;
    for (unsigned i = 0; i < OFFLOAD_COUNT_MAX; i++) {
        out[i] = i + 1;
    }
    return 0;
}

void shield_set_on(struct shield *shield, bool on)
{
    shield->on = on;
}

void shield_set_limits(struct shield *shield, const struct shield_limits *limits)
{
    shield->limits = *limits;
}

int shield_set_answer(struct shield *shield, const char *software)
{
    shield->answers = software != NULL;
    (void)snprintf(shield->software, sizeof(shield->software), "%s", software ? software : "");
    return 0;
}

int shield_set_listeners(struct shield *shield, const struct shield_listener *list, size_t count)
{
    assert_true(count <= LISTENERS);
    shield->count = count;
    for (size_t i = 0; i < count; i++) {
        shield->listener[i] = list[i];
    }
    return 0;
}

int flow_try(const struct flow_table *table)
{
    (void)table;
    return it.write;
}

int flow_open(struct flow_table *table, const struct flow_spec *spec, uint32_t *out_handle)
{
    (void)table;
    (void)spec;
    (void)out_handle;
    return it.open;
}

void flow_renew(struct flow_table *table, uint32_t handle, uint64_t to_peer_until_ms,
                uint64_t to_client_until_ms)
{
    (void)table;
    (void)handle;
    (void)to_peer_until_ms;
    (void)to_client_until_ms;
}

void flow_usage(const struct flow_table *table, uint32_t handle, struct flow_traffic *out)
{
    (void)table;
    (void)handle;
    *out = (struct flow_traffic){.packets = {0}};
}

void flow_close(struct flow_table *table, uint32_t handle, struct flow_traffic *last)
{
    (void)table;
    (void)handle;
    (void)last;
}

uint32_t flow_count(const struct flow_table *table)
{
    (void)table;
    return it.channels;
}

void flow_halt(struct flow_table *table)
{
    ((struct forward *)(void *)table)->control.epoch++;
}

uint32_t flow_limit_open(struct flow_table *table, const struct bucket from[OFFLOAD_WAYS],
                         struct bucket **out)
{
    (void)table;
    (void)from;
    (void)out;
    return 0;
}

void flow_limit_close(struct flow_table *table, uint32_t limit)
{
    (void)table;
    (void)limit;
}

int flow_client_put(struct flow_table *table, const struct net_addr *client,
                    const struct net_addr *server)
{
    (void)table;
    (void)client;
    (void)server;
    it.clients += it.client == 0 ? 1 : 0;
    return it.client;
}

void flow_client_del(struct flow_table *table, const struct net_addr *client,
                     const struct net_addr *server)
{
    (void)table;
    (void)client;
    (void)server;
    it.clients--;
}

/* --- a server ------------------------------------------------------------------------------------
 */

struct fixture {
    struct interface_address items[3];
    struct interfaces own;
    struct listener_plan plan;
    struct conf *conf;
    struct kernel_path *path;
    struct external_map external;
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

    assert_non_null(f);
    memset(&it, 0, sizeof(it));
    it.mode = FORWARD_TC;
    f->items[0] =
        (struct interface_address){.index = 1, .ip = at("127.0.0.1").ip, .loopback = true};
    f->items[1] = (struct interface_address){.index = 2, .ip = at("192.0.2.1").ip};
    f->items[2] = (struct interface_address){.index = 2, .ip = at("2001:db8::1").ip};
    f->own = (struct interfaces){COUNT_OF(f->items), f->items};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    kernel_path_free(f->path);
    conf_unref(f->conf);
    free(f);
    return 0;
}

static void open_path(struct fixture *f, const char *text)
{
    char why[200];

    kernel_path_free(f->path);
    conf_unref(f->conf);
    f->conf = relay_conf(text);
    assert_int_equal(listener_plan_read(f->conf, &f->plan, why, sizeof(why)), 0);
    const struct kernel_path_input in = {
        .conf = f->conf,
        .own = &f->own,
        .listeners = &f->plan,
        .external = &f->external,
        .max_allocations = 100,
    };
    f->path = kernel_path_open(&in);
}

static void start_path(struct fixture *f, const char *text)
{
    open_path(f, text);
    kernel_path_start(&f->path, f->conf);
    assert_non_null(f->path);
    kernel_path_configure(f->path, f->conf, f->conf->max_bps);
    kernel_path_listen(f->path, &f->plan, &f->own);
}

static const struct offload_control *control(void)
{
    return &it.forward.control;
}

/* --- coming and going ----------------------------------------------------------------------------
 */

static void path__is_none_unless_asked_for(void **state)
{
    struct fixture *f = *state;

    open_path(f, "realm=x\nno-auth\n");
    assert_null(f->path);
    assert_int_equal(it.options.interface_count, 0); /* nobody has tried */
}

static void path__is_loaded_as_configured(void **state)
{
    struct fixture *f = *state;

    open_path(f, BASE "offload=tc\noffload-channels=1000\n");
    assert_non_null(f->path);
    assert_int_equal(it.options.max_channels, 1000);
    assert_int_equal(it.options.max_sessions, 100);
    assert_int_equal(it.options.max_clients, 0);
    assert_false(it.options.shield);
    assert_int_equal(control()->forward, 1);
    assert_non_null(kernel_path_mirror(f->path));
    open_path(f, BASE "flood-shield\n");
    assert_true(it.options.shield);
    assert_int_equal(it.options.max_clients, 200); /* a client that moves has two addresses */
    assert_int_equal(control()->forward, 0);
    assert_null(kernel_path_mirror(f->path));
}

static void path__is_none_where_it_cannot_be(void **state)
{
    struct fixture *f = *state;

    it.load = -EPERM;
    open_path(f, BASE "offload=tc\n");
    assert_null(f->path);
    it.load = -ENODEV;
    open_path(f, BASE "offload=tc\nflood-shield\n");
    assert_null(f->path);
    assert_false(it.freed); /* nothing was made */
}

/* Linux before 5.19: the tables cannot be written once rights are given up. */
static void path__is_given_up_when_it_does_not_work_without_rights(void **state)
{
    struct fixture *f = *state;

    it.write = -EPERM;
    open_path(f, BASE "offload=tc\n");
    assert_non_null(f->path);
    kernel_path_start(&f->path, f->conf);
    assert_null(f->path);
    assert_true(it.freed);
}

static void path__without_memory_is_none(void **state)
{
    struct fixture *f = *state;
    const struct kernel_path_input in = {
        .own = &f->own, .listeners = &f->plan, .max_allocations = 100, .conf = f->conf};
    struct kernel_path_input asked = in;

    f->conf = relay_conf(BASE "offload=tc\n");
    asked.conf = f->conf;
    for (long n = 0; f->path == NULL; n++) {
        mem_fail_at(n);
        f->path = kernel_path_open(&asked);
        mem_fail_at(-1);
        assert_true(n < 20);
    }
}

static void none__is_fine_everywhere(void **state)
{
    struct fixture *f = *state;
    const struct five_tuple tuple = {at("192.0.2.9:1"), at("192.0.2.1:3478"), NET_UDP};
    struct capacity capacity[2] = {{.rate = 0}, {.rate = 0}};
    struct relay_offload_stats stats;
    struct kernel_path *none = NULL;

    f->conf = relay_conf("realm=x\nno-auth\n");
    kernel_path_start(&none, f->conf);
    assert_null(kernel_path_mirror(none));
    assert_false(kernel_path_wants_single(none));
    kernel_path_share(none, capacity);
    assert_null(capacity[0].shared);
    kernel_path_configure(none, f->conf, 0);
    kernel_path_listen(none, &f->plan, &f->own);
    kernel_path_follow(none, &f->plan, &f->own);
    kernel_path_look(none);
    kernel_path_halt(none);
    kernel_path_drain(none);
    kernel_path_client(none, &tuple, true);
    kernel_path_tick(none);
    kernel_path_log(none);
    kernel_path_read(none, &stats);
    assert_false(stats.active);
    assert_int_equal(stats.of[OFFLOAD_unknown], 0);
    kernel_path_free(none);
}

/* A channel that is refused for that reason; how many lines the log gets by it. */
static unsigned lines_of_refusal(struct kernel_path *path, int err)
{
    const struct turn_flow flow = {
        .client = at("192.0.2.9:1"),
        .server = at("192.0.2.1:3478"),
        .relay = at("192.0.2.1:50000"),
        .peer = at("192.0.2.7:1"),
        .number = 0x4000,
    };
    struct mirror *mirror = kernel_path_mirror(path);
    FILE *log = tmpfile();
    const int kept = dup(STDERR_FILENO);
    unsigned lines = 0;

    assert_non_null(log);
    it.open = err;
    assert_int_equal(mirror_open(mirror, mirror_rules(mirror), &flow), 0);
    assert_true(dup2(fileno(log), STDERR_FILENO) >= 0);
    kernel_path_tick(path);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    (void)close(kept);
    rewind(log);
    for (int c; (c = fgetc(log)) != EOF;) {
        lines += c == '\n' ? 1 : 0;
    }
    (void)fclose(log);
    return lines;
}

static void path__tells_each_reason_once(void **state)
{
    struct fixture *f = *state;

    start_path(f, BASE "offload=tc\n");
    assert_int_equal(lines_of_refusal(f->path, -ENOSPC), 1);
    assert_int_equal(lines_of_refusal(f->path, -EINVAL), 1);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(lines_of_refusal(f->path, -ENOSPC), 0);
        assert_int_equal(lines_of_refusal(f->path, -EINVAL), 0);
    }
}

static void path__looks_after_its_interfaces(void **state)
{
    struct fixture *f = *state;

    start_path(f, BASE "offload=tc\n");
    kernel_path_look(f->path);
    assert_int_equal(f->path->interface[0].mode, FORWARD_TC);
    f->path->interface[0].index = NO_INTERFACE;
    kernel_path_look(f->path);
    assert_int_equal(f->path->interface[0].mode, FORWARD_OFF);
    assert_int_equal(it.follows, 2);
}

/* --- what it is told -----------------------------------------------------------------------------
 */

static void settings__reach_the_programs(void **state)
{
    struct fixture *f = *state;
    struct capacity capacity[2] = {{.rate = 0}, {.rate = 0}};

    start_path(f, BASE "offload=tc\nmax-bps=1000\nbps-capacity=5000\n");
    assert_int_equal(control()->tos_mask, 0xff);
    assert_int_equal(control()->max_bps, 1000);
    assert_int_equal(control()->capacity_bps, 5000);
    conf_unref(f->conf);
    f->conf = relay_conf(BASE "offload=tc\ncopy-ecn=off\n");
    kernel_path_configure(f->path, f->conf, f->conf->max_bps);
    assert_int_equal(control()->tos_mask, 0xfc);
    assert_int_equal(control()->max_bps, 0);
    assert_int_equal(control()->capacity_bps, 0);
    conf_unref(f->conf);
    f->conf = relay_conf(BASE "offload=tc\ncopy-ecn=off\ncopy-dscp=off\n");
    kernel_path_configure(f->path, f->conf, f->conf->max_bps);
    assert_int_equal(control()->tos_mask, 0);

    kernel_path_share(f->path, capacity);
    capacity_set(&capacity[1], 1000000);
    assert_true(capacity_lease(&capacity[1], 1000, 5000) >= 1000);
    assert_int_not_equal(control()->capacity_busy_until_ns[OFFLOAD_TO_CLIENT], 0);
    assert_int_equal(control()->capacity_busy_until_ns[OFFLOAD_TO_PEER], 0);
}

static void forwarding__ends_with_halt_and_drain(void **state)
{
    struct fixture *f = *state;

    start_path(f, BASE "offload=tc\n");
    const uint32_t rules = mirror_rules(kernel_path_mirror(f->path));
    kernel_path_halt(f->path);
    assert_int_equal(control()->epoch, 2);
    assert_int_not_equal(mirror_rules(kernel_path_mirror(f->path)), rules);
    assert_int_equal(control()->forward, 1);
    kernel_path_drain(f->path);
    assert_int_equal(control()->forward, 0);
    kernel_path_configure(f->path, f->conf, f->conf->max_bps);
    assert_int_equal(control()->forward, 0); /* for good */
}

static void bursts__are_for_native_xdp_alone(void **state)
{
    struct fixture *f = *state;

    open_path(f, BASE "offload=tc\n");
    assert_true(kernel_path_wants_single(f->path));
    it.mode = FORWARD_XDP_GENERIC;
    open_path(f, BASE "offload=xdp\n");
    assert_true(kernel_path_wants_single(f->path));
    it.mode = FORWARD_XDP_NATIVE;
    open_path(f, BASE "offload=xdp\n");
    assert_false(kernel_path_wants_single(f->path));
}

static void numbers__are_the_programs(void **state)
{
    struct fixture *f = *state;
    struct relay_offload_stats stats;

    start_path(f, BASE "offload=tc\n");
    it.channels = 5;
    kernel_path_read(f->path, &stats);
    assert_true(stats.active);
    assert_int_equal(stats.channels, 5);
    assert_int_equal(stats.of[OFFLOAD_forwarded_to_peer], 1);
    assert_int_equal(stats.of[OFFLOAD_COUNT_MAX - 1], OFFLOAD_COUNT_MAX);
    kernel_path_log(f->path);
    kernel_path_tick(f->path);
}

/* --- the shield ----------------------------------------------------------------------------------
 */

static void shield__knows_where_clients_are_served(void **state)
{
    struct fixture *f = *state;
    const struct shield *shield = &it.forward.shield;
    const struct net_addr v4 = at("192.0.2.1:3478");
    const struct net_addr v6 = at("[2001:db8::1]:3478");

    start_path(f, BASE "flood-shield\nflood-shield-newcomers=70\nflood-shield-prefix=7\n");
    assert_true(shield->on);
    assert_int_equal(shield->limits.newcomers_per_s, 70);
    assert_int_equal(shield->limits.prefix_per_s, 7);
    assert_int_equal(shield->count, 2); /* the wildcards, for each address but the loopback one */
    assert_true(net_addr_equal(&shield->listener[0].addr, &v4));
    assert_true(net_addr_equal(&shield->listener[1].addr, &v6));
    assert_true(shield->listener[0].plain && !shield->listener[0].dtls);

    f->own.count = 2; /* the host has lost an address */
    kernel_path_follow(f->path, &f->plan, &f->own);
    assert_int_equal(shield->count, 1);
}

/* Of those that are named one is for TCP, and one for balancers. */
static void shield__is_for_datagrams_of_clients(void **state)
{
    struct fixture *f = *state;
    const struct shield *shield = &it.forward.shield;
    const struct net_addr named = at("192.0.2.1:3478");

    start_path(f, BASE "flood-shield\nlistening-ip=192.0.2.1\n"
                       "[listener \"b\"]\naddress=192.0.2.1:4000\nproxy-protocol=on\n");
    assert_int_equal(shield->count, 1);
    assert_true(net_addr_equal(&shield->listener[0].addr, &named));
}

static void shield__answers_as_the_server_would(void **state)
{
    static const char *const by_server[] = {"no-stun\n", "secure-stun\nno-auth\n", "fingerprint\n",
                                            "stun-backward-compatibility\n"};
    struct fixture *f = *state;
    const struct shield *shield = &it.forward.shield;
    char text[300];

    start_path(f, BASE "flood-shield\n");
    assert_true(shield->answers);
    assert_string_equal(shield->software, "");
    start_path(f, BASE "flood-shield\nsoftware-attribute\n");
    assert_memory_equal(shield->software, "sterna ", 7);
    /* Strangers are not told where there are users. */
    start_path(f, "realm=x\nuser=a:b\noffload-interface=eth7\nflood-shield\nsoftware-attribute\n");
    assert_true(shield->answers);
    assert_string_equal(shield->software, "");
    for (size_t i = 0; i < COUNT_OF(by_server); i++) {
        (void)snprintf(text, sizeof(text), "%sflood-shield\n%s", BASE, by_server[i]);
        start_path(f, text);
        assert_false(shield->answers);
    }
}

static void shield__is_off_when_a_client_cannot_be_told(void **state)
{
    struct fixture *f = *state;
    struct five_tuple tuple = {at("192.0.2.9:1"), at("192.0.2.1:3478"), NET_UDP};

    start_path(f, BASE "flood-shield\n");
    kernel_path_client(f->path, &tuple, true);
    assert_int_equal(it.clients, 1);
    tuple.protocol = NET_TCP; /* its packets do not come that way */
    kernel_path_client(f->path, &tuple, true);
    kernel_path_client(f->path, &tuple, false);
    assert_int_equal(it.clients, 1);
    tuple.protocol = NET_DTLS;
    kernel_path_client(f->path, &tuple, true);
    assert_int_equal(it.clients, 2);
    kernel_path_client(f->path, &tuple, false);
    assert_int_equal(it.clients, 1);
    assert_true(it.forward.shield.on);
    it.client = -ENOSPC;
    kernel_path_client(f->path, &tuple, true);
    assert_false(it.forward.shield.on);
    kernel_path_listen(f->path, &f->plan, &f->own); /* as a reload does */
    assert_false(it.forward.shield.on);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(path__is_none_unless_asked_for),
        TEST(path__is_loaded_as_configured),
        TEST(path__is_none_where_it_cannot_be),
        TEST(path__is_given_up_when_it_does_not_work_without_rights),
        TEST(path__without_memory_is_none),
        TEST(path__tells_each_reason_once),
        TEST(path__looks_after_its_interfaces),
        TEST(none__is_fine_everywhere),
        TEST(settings__reach_the_programs),
        TEST(forwarding__ends_with_halt_and_drain),
        TEST(bursts__are_for_native_xdp_alone),
        TEST(numbers__are_the_programs),
        TEST(shield__knows_where_clients_are_served),
        TEST(shield__is_for_datagrams_of_clients),
        TEST(shield__answers_as_the_server_would),
        TEST(shield__is_off_when_a_client_cannot_be_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

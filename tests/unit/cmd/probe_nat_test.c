/* SPDX-License-Identifier: Apache-2.0 */
/* The tests of RFC 5780 section 4 against simulated NATs of every kind. */
#include "cmd/probe_nat.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "cmd/probe_report.h"

enum { OPENED_MAX = 16 };

/* What is wrong with the server. */
enum fault {
    NO_FAULT,
    NO_OTHER,
    SAME_IP,
    IGNORES,
    REFUSES,
    DEAF,
    ONE_WAY,
    NO_MAPPED,
    SILENT,
    BROKEN
};

struct opened {
    enum probe_nat_socket socket;
    struct net_addr to;
};

/* Client, NAT and server in one. */
struct world {
    bool nat;
    enum probe_nat_behaviour mapping;
    enum probe_nat_behaviour filtering;
    enum fault fault;
    struct net_addr server;
    struct net_addr other;
    struct probe_nat_net net;
    struct opened opened[OPENED_MAX]; /* where the sockets have sent to */
    size_t opened_count;
    int changes_before_elsewhere; /* requests to be answered from elsewhere, before any went there
                                   */
    bool been_elsewhere;
};

static struct net_addr addr_of(const char *text)
{
    struct net_addr addr = {.family = NET_NONE};

    assert_int_equal(net_addr_parse(text, 0, &addr), 0);
    return addr;
}

/* The address that the NAT gives a socket that sends to `to`. */
static struct net_addr map(const struct world *w, enum probe_nat_socket socket,
                           const struct net_addr *to)
{
    struct net_addr mapped = w->net.local[socket];

    if (!w->nat) {
        return mapped;
    }
    const unsigned other_ip = net_ip_equal(&to->ip, &w->other.ip) ? 10 : 0;
    const unsigned other_port = to->port == w->other.port ? 1 : 0;
    mapped = addr_of("198.51.100.1:40000");
    mapped.port = (uint16_t)(mapped.port + 100 * socket);
    if (w->mapping >= PROBE_NAT_ADDRESS) {
        mapped.port = (uint16_t)(mapped.port + other_ip);
    }
    if (w->mapping == PROBE_NAT_ADDRESS_AND_PORT) {
        mapped.port = (uint16_t)(mapped.port + other_port);
    }
    return mapped;
}

static void send_out(struct world *w, const struct probe_nat_ask *ask)
{
    assert_true(w->opened_count < OPENED_MAX);
    w->opened[w->opened_count++] = (struct opened){ask->socket, ask->to};
    w->been_elsewhere |= !net_addr_equal(&ask->to, &w->server);
    w->changes_before_elsewhere += !w->been_elsewhere && ask->change != PROBE_NAT_SAME;
}

/* Does the NAT let in what comes from `from` to the address `to`? */
static bool lets_in(const struct world *w, enum probe_nat_socket socket,
                    const struct net_addr *from, const struct net_addr *to)
{
    for (size_t i = 0; i < w->opened_count; i++) {
        const struct opened *o = &w->opened[i];
        const struct net_addr mapped = map(w, o->socket, &o->to);
        if (o->socket != socket || !net_addr_equal(&mapped, to)) {
            continue;
        }
        if (w->filtering == PROBE_NAT_INDEPENDENT ||
            (w->filtering == PROBE_NAT_ADDRESS && net_ip_equal(&o->to.ip, &from->ip)) ||
            net_addr_equal(&o->to, from)) {
            return true;
        }
    }
    return false;
}

static struct net_addr answers_from(const struct world *w, const struct probe_nat_ask *ask)
{
    struct net_addr from = ask->to;

    if (w->fault != IGNORES && w->fault != REFUSES && ask->change != PROBE_NAT_SAME) {
        from.port = w->other.port;
        if (ask->change == PROBE_NAT_IP_AND_PORT) {
            from.ip = w->other.ip;
        }
    }
    return from;
}

static int ask_world(void *arg, const struct probe_nat_ask *ask, struct probe_nat_answer *out)
{
    struct world *w = arg;
    const bool elsewhere = !net_addr_equal(&ask->to, &w->server);

    send_out(w, ask);
    if (w->fault == BROKEN) {
        return -ENETUNREACH;
    }
    const struct net_addr to = map(w, ask->socket, &ask->to);
    const struct net_addr from = answers_from(w, ask);
    if (w->fault == SILENT || (w->fault == DEAF && elsewhere) ||
        (w->fault == ONE_WAY && ask->change != PROBE_NAT_SAME) ||
        !lets_in(w, ask->socket, &from, &to)) {
        return -ETIMEDOUT;
    }
    *out = (struct probe_nat_answer){.from = from, .origin = from, .mapped = to, .other = w->other};
    if (w->fault == NO_OTHER) {
        out->other = (struct net_addr){.family = NET_NONE};
    } else if (w->fault == SAME_IP) {
        out->other.ip = w->server.ip;
    } else if (w->fault == NO_MAPPED) {
        out->mapped = (struct net_addr){.family = NET_NONE};
    } else if (w->fault == REFUSES && ask->change != PROBE_NAT_SAME) {
        out->code = 420;
    }
    return 0;
}

static int hairpin_world(void *arg, const struct net_addr mapped[PROBE_NAT_PAIR])
{
    (void)arg;
    assert_int_equal(mapped[0].family, NET_V4);
    assert_int_equal(mapped[1].family, NET_V4);
    assert_false(net_addr_equal(&mapped[0], &mapped[1]));
    return 1;
}

static struct world world_of(bool nat, enum probe_nat_behaviour mapping,
                             enum probe_nat_behaviour filtering, enum fault fault)
{
    struct world w = {.nat = nat, .mapping = mapping, .filtering = filtering, .fault = fault};

    w.server = addr_of("192.0.2.1:3478");
    w.other = addr_of("192.0.2.2:3479");
    for (int i = 0; i < PROBE_NAT_SOCKETS; i++) {
        w.net.local[i] = addr_of("10.0.0.2:50000");
        w.net.local[i].port = (uint16_t)(50000 + i);
    }
    return w;
}

/* The steps by name; the caller releases. */
static json_t *run(struct world *w)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    struct probe_report *report = probe_report_new(out, true, "192.0.2.1:3478");

    w->net.arg = w;
    w->net.ask = ask_world;
    w->net.hairpin = hairpin_world;
    assert_non_null(report);
    assert_int_equal(probe_nat_run(&w->net, &w->server, report), 0);
    assert_int_equal(probe_report_end(report), 0);
    probe_report_free(report);
    fclose(out);
    json_t *root = json_loads(text, 0, NULL);
    json_t *steps = json_object();
    json_t *step;
    size_t i;
    json_array_foreach(json_object_get(root, "steps"), i, step)
    {
        json_object_set(steps, json_string_value(json_object_get(step, "step")), step);
    }
    json_decref(root);
    free(text);
    return steps;
}

static const char *value_of(json_t *steps, const char *step, const char *key)
{
    json_t *values = json_object_get(json_object_get(steps, step), "values");

    return json_string_value(json_object_get(values, key));
}

static const char *result_of(json_t *steps, const char *step)
{
    return json_string_value(json_object_get(json_object_get(steps, step), "result"));
}

static const char *const names[] = {
    [PROBE_NAT_INDEPENDENT] = "endpoint-independent",
    [PROBE_NAT_ADDRESS] = "address-dependent",
    [PROBE_NAT_ADDRESS_AND_PORT] = "address-and-port-dependent",
};

/* RFC 5780 sections 4.3 and 4.4. */
static void nat__every_kind_is_told(void **state)
{
    (void)state;
    for (int mapping = PROBE_NAT_INDEPENDENT; mapping <= PROBE_NAT_ADDRESS_AND_PORT; mapping++) {
        for (int filtering = PROBE_NAT_INDEPENDENT; filtering <= PROBE_NAT_ADDRESS_AND_PORT;
             filtering++) {
            struct world w = world_of(true, (enum probe_nat_behaviour)mapping,
                                      (enum probe_nat_behaviour)filtering, NO_FAULT);
            json_t *steps = run(&w);
            assert_string_equal(value_of(steps, "mapping", "mapping"), names[mapping]);
            assert_string_equal(value_of(steps, "filtering", "filtering"), names[filtering]);
            assert_string_equal(value_of(steps, "verdict", "direct_calls"),
                                mapping != PROBE_NAT_INDEPENDENT     ? "unlikely"
                                : filtering == PROBE_NAT_INDEPENDENT ? "yes"
                                                                     : "likely");
            assert_string_equal(result_of(steps, "binding lifetime"), "skipped");
            json_decref(steps);
        }
    }
}

/* The test of filtering comes before anything is sent elsewhere (RFC 5780 section 4.4). */
static void nat__filtering_is_tested_on_a_nat_that_knows_nothing(void **state)
{
    struct world w = world_of(true, PROBE_NAT_INDEPENDENT, PROBE_NAT_ADDRESS_AND_PORT, NO_FAULT);

    (void)state;
    json_decref(run(&w));
    assert_int_equal(w.changes_before_elsewhere, 2);
}

static void nat__none_is_told_from_a_firewall(void **state)
{
    static const char *const kinds[] = {
        [PROBE_NAT_INDEPENDENT] = "no NAT",
        [PROBE_NAT_ADDRESS] = "no NAT, but a firewall",
        [PROBE_NAT_ADDRESS_AND_PORT] = "no NAT, but a firewall",
    };

    (void)state;
    for (int filtering = PROBE_NAT_INDEPENDENT; filtering <= PROBE_NAT_ADDRESS_AND_PORT;
         filtering++) {
        struct world w =
            world_of(false, PROBE_NAT_INDEPENDENT, (enum probe_nat_behaviour)filtering, NO_FAULT);
        json_t *steps = run(&w);
        assert_string_equal(value_of(steps, "verdict", "kind"), kinds[filtering]);
        assert_string_equal(result_of(steps, "hairpin"), "skipped");
        json_decref(steps);
    }
}

/* What the server does wrong is not put down to the NAT. */
static void nat__faults_of_the_server_are_told(void **state)
{
    static const struct {
        enum fault fault;
        const char *failed;
        const char *direct_calls;
    } rows[] = {
        {NO_OTHER, "rfc 5780", "unknown"}, {SAME_IP, "rfc 5780", "unknown"},
        {IGNORES, "filtering", "likely"},  {REFUSES, "filtering", "likely"},
        {DEAF, "mapping", "unknown"},      {ONE_WAY, "cross-check", "likely"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct world w =
            world_of(true, PROBE_NAT_INDEPENDENT, PROBE_NAT_ADDRESS_AND_PORT, rows[i].fault);
        json_t *steps = run(&w);
        assert_string_equal(result_of(steps, rows[i].failed), "failed");
        assert_string_equal(value_of(steps, "verdict", "direct_calls"), rows[i].direct_calls);
        json_decref(steps);
    }
}

/* RFC 5780 section 4.2. */
static void nat__without_an_answer_all_else_is_left_out(void **state)
{
    static const enum fault faults[] = {SILENT, BROKEN, NO_MAPPED};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        struct world w = world_of(true, PROBE_NAT_INDEPENDENT, PROBE_NAT_INDEPENDENT, faults[i]);
        json_t *steps = run(&w);
        assert_string_equal(result_of(steps, "udp"), "failed");
        assert_string_equal(result_of(steps, "verdict"), "skipped");
        assert_int_equal(w.opened_count, 1);
        json_decref(steps);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nat__every_kind_is_told),
        cmocka_unit_test(nat__filtering_is_tested_on_a_nat_that_knows_nothing),
        cmocka_unit_test(nat__none_is_told_from_a_firewall),
        cmocka_unit_test(nat__faults_of_the_server_are_told),
        cmocka_unit_test(nat__without_an_answer_all_else_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

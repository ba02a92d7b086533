/* SPDX-License-Identifier: Apache-2.0 */
/* Packets for other workers' sessions; the files around stray.c are played by this one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"
#include "relay/worker_int.h"

enum { FORWARD_MS = 10 * 1000, FORWARDS_MAX = 1024, HOPS_MAX = 3 };

/* --- what is around it ---------------------------------------------------------------------------
 */

static struct front front;
static struct worker_env env = {.front = &front};
static struct front_item item = {.sockets = 2};
static struct worker_listener slots[2];
static struct worker home;
static struct worker away;
static struct pkt place;
static uint8_t place_bytes[2048];

static struct {
    uint32_t count;
    uint32_t to;
    struct stray *stray; /* the last one; NULL: it was taken */
    struct forward_list *list;
    bool full;
    bool has_allocation;
    uint32_t judged;
    uint32_t errands; /* to be sent by another file */
    uint8_t hops;     /* of what is judged */
    const struct worker_listener *by;
    struct pkt pkt;
} post;

int worker_try_mail_stray(struct worker *w, uint32_t to, struct stray *stray)
{
    (void)w;
    if (post.full) {
        return -ENOSPC;
    }
    stray_drop(post.stray);
    post.stray = stray;
    post.to = to;
    post.count++;
    return 0;
}

int worker_try_mail_forwards(struct worker *w, uint32_t to, struct forward_list *list)
{
    (void)w;
    if (post.full) {
        return -ENOSPC;
    }
    free(post.list);
    post.list = list;
    post.to = to;
    return 0;
}

struct worker_listener *worker_slot(struct worker *w, const struct front_item *which,
                                    uint32_t socket)
{
    (void)w;
    assert_ptr_equal(which, &item);
    return &slots[socket];
}

struct pkt *path_place(struct worker *w)
{
    (void)w;
    place = (struct pkt){.data = place_bytes, .cap = sizeof(place_bytes)};
    return &place;
}

void path_from_listener(struct worker *w, const struct worker_listener *listener, struct pkt *pkt)
{
    post.judged++;
    post.hops = w->stray_hops;
    post.by = listener;
    post.pkt = *pkt;
}

void elsewhere_send(struct worker *w, uint32_t to, const struct pkt *pkt)
{
    (void)w;
    assert_int_equal(pkt->transport, NET_PROXIED);
    post.to = to;
    post.errands++;
}

void client_dtls_serve(struct worker *w)
{
    (void)w;
}

bool turn_server_has_allocation(const struct turn_server *server, const struct five_tuple *tuple)
{
    (void)server;
    (void)tuple;
    return post.has_allocation;
}

/* --- the stage -----------------------------------------------------------------------------------
 */

static uint8_t bytes[100];

static int set_up(void **state)
{
    (void)state;
    memset(&post, 0, sizeof(post));
    atomic_store(&front.made, 4);
    home = (struct worker){.env = &env, .index = 0, .now_ms = 5000};
    away = (struct worker){.env = &env, .index = 1, .now_ms = 5000};
    for (uint32_t i = 0; i < COUNT_OF(slots); i++) {
        slots[i] = (struct worker_listener){.item = &item, .socket = i};
        slots[i].port.role = WORKER_LISTENER;
    }
    memset(bytes, 0x5a, sizeof(bytes));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    stray_drop(post.stray);
    free(post.list);
    stray_forget(&home);
    stray_forget(&away);
    return 0;
}

static struct five_tuple tuple(uint16_t port)
{
    struct five_tuple out = {.protocol = NET_UDP};

    assert_int_equal(net_addr_parse("192.0.2.1:1", 0, &out.client), 0);
    assert_int_equal(net_addr_parse("192.0.2.9:3478", 0, &out.server), 0);
    out.client.port = port;
    return out;
}

static struct pkt heard(uint16_t port, void *by)
{
    const struct five_tuple from = tuple(port);

    return (struct pkt){
        .data = bytes,
        .len = sizeof(bytes),
        .remote = from.client,
        .local = from.server,
        .port = by,
        .tos = 0xb8,
        .transport = NET_UDP,
    };
}

static bool forwards(struct worker *w, uint16_t port)
{
    const struct five_tuple from = tuple(port);
    const struct pkt pkt = heard(port, &slots[0].port);

    return w->forwards != NULL && stray_forward(w, &from, &pkt);
}

static void remember(struct worker *w, uint16_t port, uint32_t to)
{
    const struct five_tuple from = tuple(port);

    stray_remember(w, &from, to);
}

static struct stray *taken(void)
{
    struct stray *stray = post.stray;

    post.stray = NULL;
    return stray;
}

/* --- one packet ----------------------------------------------------------------------------------
 */

static void stray__is_judged_as_if_it_had_been_heard_there(void **state)
{
    const struct pkt pkt = heard(7, &slots[1].port);

    (void)state;
    stray_send(&home, 1, &pkt);
    assert_int_equal(post.count, 1);
    assert_int_equal(post.to, 1);
    assert_int_equal(stats_read(&home.count.strays), 1);
    memset(bytes, 0, sizeof(bytes)); /* it is a copy */
    stray_take(&away, taken());
    assert_int_equal(post.judged, 1);
    assert_ptr_equal(post.by, &slots[1]);
    assert_ptr_equal(post.pkt.port, &slots[1].port);
    assert_true(net_addr_equal(&post.pkt.remote, &pkt.remote));
    assert_true(net_addr_equal(&post.pkt.local, &pkt.local));
    assert_int_equal(post.pkt.tos, 0xb8);
    assert_int_equal(post.pkt.len, sizeof(bytes));
    assert_int_equal(place_bytes[0], 0x5a);
    assert_int_equal(place_bytes[sizeof(bytes) - 1], 0x5a);
    assert_int_equal(post.hops, 1);
    assert_int_equal(away.stray_hops, 0); /* of that packet only */
}

static void stray__of_a_clients_own_socket_came_by_its_listener(void **state)
{
    struct client_socket own = {.item = &item, .socket = 1};
    own.port.role = WORKER_CLIENT;
    const struct pkt pkt = heard(7, &own.port);

    (void)state;
    stray_send(&home, 1, &pkt);
    stray_take(&away, taken());
    assert_ptr_equal(post.by, &slots[1]);
}

static void stray__is_sent_on_so_often_only(void **state)
{
    const struct pkt pkt = heard(7, &slots[0].port);

    (void)state;
    for (uint8_t hops = 0; hops < HOPS_MAX; hops++) {
        home.stray_hops = hops;
        stray_send(&home, 1, &pkt);
        assert_int_equal(post.count, hops + 1);
        stray_take(&away, taken());
        assert_int_equal(post.hops, hops + 1);
    }
    home.stray_hops = HOPS_MAX;
    stray_send(&home, 1, &pkt);
    assert_int_equal(post.count, HOPS_MAX);
}

static void stray__has_somewhere_to_go(void **state)
{
    struct pkt pkt = heard(7, &slots[0].port);

    (void)state;
    stray_send(&home, 0, &pkt); /* to itself */
    stray_send(&home, 4, &pkt); /* to one that is not there */
    stray_send(&home, UINT32_MAX, &pkt);
    pkt.transport = NET_DTLS; /* its association is here */
    stray_send(&home, 1, &pkt);
    assert_int_equal(post.count, 0);
    assert_int_equal(stats_read(&home.count.strays), 0);
}

static void stray__is_lost_when_the_mail_is_full_or_memory_short(void **state)
{
    const struct pkt pkt = heard(7, &slots[0].port);

    (void)state;
    post.full = true;
    stray_send(&home, 1, &pkt);
    post.full = false;
    mem_fail_at(0);
    stray_send(&home, 1, &pkt);
    mem_fail_at(-1);
#ifdef STERNA_FAULT_INJECTION
    assert_int_equal(post.count, 0);
#endif
    stray_drop(NULL);
}

/* --- where sessions have gone --------------------------------------------------------------------
 */

static void forward__follows_a_session_that_has_left(void **state)
{
    (void)state;
    assert_false(forwards(&home, 7));
    remember(&home, 7, 2);
    assert_true(forwards(&home, 7));
    assert_int_equal(post.to, 2);
    assert_false(forwards(&home, 8));
    remember(&home, 7, 3); /* and has gone on */
    assert_true(forwards(&home, 7));
    assert_int_equal(post.to, 3);
    assert_int_equal(post.count, 2);
}

static void forward__ends_when_the_session_comes_back(void **state)
{
    (void)state;
    remember(&home, 7, 2);
    post.has_allocation = true;
    assert_false(forwards(&home, 7));
    post.has_allocation = false;
    assert_false(forwards(&home, 7));
    assert_int_equal(post.count, 0);
}

static void forward__has_its_time(void **state)
{
    (void)state;
    remember(&home, 7, 2);
    home.now_ms += 1000;
    remember(&home, 8, 2);
    home.now_ms += FORWARD_MS - 1000;
    assert_false(forwards(&home, 7)); /* also before the tick */
    stray_tick(&home);
    assert_non_null(home.forwards);
    home.now_ms += 999;
    assert_true(forwards(&home, 8));
    home.now_ms += FORWARD_MS;
    assert_false(forwards(&home, 8));
    stray_tick(&home);
    assert_null(home.forwards); /* packets pay for none of it */
}

/* RFC 8016 section 3.2.2: as long as the client goes on by its old address, within reason.
 * Proves T-8016-3.2.2-08 */
static void forward__that_is_used_lives_on(void **state)
{
    enum { STEP_MS = 9000, MOST_MS = 5 * 60 * 1000 };

    (void)state;
    remember(&home, 7, 2);
    remember(&home, 8, 2);
    const uint64_t began_ms = home.now_ms;
    while (home.now_ms + STEP_MS < began_ms + MOST_MS) {
        home.now_ms += STEP_MS;
        stray_tick(&home);
        assert_true(forwards(&home, 7));
    }
    assert_false(forwards(&home, 8));
    home.now_ms = began_ms + MOST_MS;
    assert_false(forwards(&home, 7));
    home.now_ms += FORWARD_MS;
    remember(&home, 9, 2);
    stray_tick(&home);
    assert_true(forwards(&home, 9));
}

static void forward__again_begins_its_time_anew(void **state)
{
    (void)state;
    remember(&home, 7, 2);
    remember(&home, 8, 2);
    home.now_ms += FORWARD_MS - 1;
    remember(&home, 7, 2);
    home.now_ms++;
    stray_tick(&home);
    assert_true(forwards(&home, 7));
    assert_false(forwards(&home, 8));
}

/* A balancer's client needs the way back to it: that is elsewhere.c's business. */
static void forward__of_a_proxied_client_is_an_errand(void **state)
{
    struct five_tuple from = tuple(7);
    struct pkt pkt = heard(7, &slots[0].port);

    (void)state;
    from.protocol = NET_PROXIED;
    pkt.transport = NET_PROXIED;
    stray_remember(&home, &from, 2);
    assert_true(stray_forward(&home, &from, &pkt));
    assert_int_equal(post.errands, 1);
    assert_int_equal(post.to, 2);
    assert_int_equal(post.count, 0);
}

static void forward__can_be_recalled(void **state)
{
    const struct five_tuple from = tuple(7);

    (void)state;
    stray_recall(&home, &from); /* of what was never remembered */
    remember(&home, 7, 2);
    remember(&home, 8, 2);
    stray_recall(&home, &from);
    assert_false(forwards(&home, 7));
    assert_true(forwards(&home, 8));
}

/* Connections, and clients that are away, send no datagrams. */
static void forward__is_for_datagrams_only(void **state)
{
    static const uint32_t others[] = {NET_TCP, NET_TLS, 0};
    struct five_tuple from = tuple(7);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        from.protocol = others[i];
        stray_remember(&home, &from, 2);
        assert_null(home.forwards);
    }
    from.protocol = NET_DTLS; /* its records come as datagrams */
    const struct pkt pkt = heard(7, &slots[0].port);
    stray_remember(&home, &from, 2);
    assert_true(stray_forward(&home, &from, &pkt));
    assert_int_equal(post.count, 1);
}

static void forwards__are_bounded(void **state)
{
    (void)state;
    for (uint16_t port = 1; port <= FORWARDS_MAX + 10; port++) {
        remember(&home, port, 2);
    }
    for (uint16_t port = 1; port <= FORWARDS_MAX + 10; port++) {
        assert_int_equal(forwards(&home, port), port > 10); /* the oldest made room */
    }
}

static void forwards__are_told_to_who_is_heard_there_now(void **state)
{
    (void)state;
    stray_tell(&home, 1); /* nothing to tell */
    assert_null(post.list);
    remember(&home, 7, 1);
    remember(&home, 8, 2);
    stray_tell(&home, 0); /* itself */
    assert_null(post.list);
    stray_tell(&home, 1);
    assert_int_equal(post.to, 1);
    stray_told(&away, post.list);
    post.list = NULL;
    assert_false(forwards(&away, 7)); /* it is there itself */
    assert_true(forwards(&away, 8));
    assert_int_equal(post.to, 2);
    assert_true(forwards(&home, 7)); /* and is known here as before */
    post.full = true;
    stray_tell(&home, 1);
}

static void forwards__do_without_memory(void **state)
{
    bool known = false;

    (void)state;
    for (long n = 0; !known && n < 20; n++) {
        mem_fail_at(n);
        remember(&home, 7, 2);
        mem_fail_at(-1);
        known = forwards(&home, 7);
    }
    assert_true(known);
    mem_fail_at(0);
    stray_tell(&home, 1);
    mem_fail_at(-1);
#ifdef STERNA_FAULT_INJECTION
    assert_null(post.list);
#endif
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stray__is_judged_as_if_it_had_been_heard_there),
        TEST(stray__of_a_clients_own_socket_came_by_its_listener),
        TEST(stray__is_sent_on_so_often_only),
        TEST(stray__has_somewhere_to_go),
        TEST(stray__is_lost_when_the_mail_is_full_or_memory_short),
        TEST(forward__follows_a_session_that_has_left),
        TEST(forward__ends_when_the_session_comes_back),
        TEST(forward__has_its_time),
        TEST(forward__that_is_used_lives_on),
        TEST(forward__again_begins_its_time_anew),
        TEST(forward__of_a_proxied_client_is_an_errand),
        TEST(forward__can_be_recalled),
        TEST(forward__is_for_datagrams_only),
        TEST(forwards__are_bounded),
        TEST(forwards__are_told_to_who_is_heard_there_now),
        TEST(forwards__do_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

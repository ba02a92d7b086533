/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that another worker has to judge; the files around elsewhere.c are played by this one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"
#include "relay/way.h"
#include "relay/worker_int.h"

enum { HOPS_MAX = 3 };

/* --- what is around it ---------------------------------------------------------------------------
 */

static _Atomic(uint32_t) readers[2] = {0, 1};
static struct front front;
static struct worker_env env = {.front = &front};
static struct front_item item = {.sockets = 2, .reader = readers};
static struct worker home; /* hears the client */
static struct worker away; /* has the session */
static char association[2][1];
static struct pkt place;
static uint8_t place_bytes[2048];
static uint8_t bytes[100];

static struct {
    int pack_answer;
    bool cannot_unpack;
    bool full;
    bool goes_on;        /* judging sends it to yet another worker */
    bool has_allocation; /* ... or gives it one */
    struct errand *errand;
    uint32_t to;
    uint32_t strays;
    uint32_t judged;
    uint32_t dropped;    /* ways that were closed */
    uint32_t remembered; /* the worker that was named last, + 1 */
    uint32_t idles;
    uint32_t sent_home;
    uint32_t heard;
    uint32_t kept; /* proxied_keep(): 1 false, 2 true */
    uint8_t hops;
    uint32_t socket; /* that the way was unpacked with */
    struct pkt pkt;
} seen;

int way_pack(struct worker *w, const struct five_tuple *tuple, void *listener, struct way *out)
{
    (void)w;
    assert_ptr_equal(listener, association[0]);
    if (seen.pack_answer == 0) {
        *out = (struct way){.tuple = *tuple, .item = &item, .socket = 0};
    }
    return seen.pack_answer;
}

void *way_unpack(struct worker *w, struct way *way)
{
    (void)w;
    seen.socket = way->socket;
    return seen.cannot_unpack ? NULL : association[1];
}

void way_drop(struct way *way)
{
    (void)way;
    seen.dropped++;
}

void stray_send(struct worker *w, uint32_t to, const struct pkt *pkt)
{
    (void)w;
    assert_int_equal(pkt->transport, NET_UDP);
    seen.strays++;
    seen.to = to;
}

void stray_remember(struct worker *w, const struct five_tuple *tuple, uint32_t to)
{
    (void)w;
    (void)tuple;
    seen.remembered = to + 1;
}

int worker_try_mail_errand(struct worker *w, uint32_t to, struct errand *errand)
{
    (void)w;
    if (seen.full) {
        return -ENOSPC;
    }
    seen.errand = errand;
    seen.to = to;
    return 0;
}

struct pkt *path_place(struct worker *w)
{
    (void)w;
    place = (struct pkt){.data = place_bytes, .cap = sizeof(place_bytes)};
    return &place;
}

void path_from_client(struct worker *w, struct pkt *pkt)
{
    seen.judged++;
    seen.hops = w->stray_hops;
    seen.pkt = *pkt;
}

struct dtls_client *dtls_find(const struct dtls *dtls, const struct net_addr *remote,
                              const struct net_addr *local)
{
    (void)dtls;
    (void)remote;
    (void)local;
    return seen.goes_on ? NULL : (struct dtls_client *)(void *)association[1];
}

bool turn_server_has_allocation(const struct turn_server *server, const struct five_tuple *tuple)
{
    (void)server;
    (void)tuple;
    return seen.has_allocation;
}

void client_dtls_set_idle(struct worker *w, struct dtls_client *client)
{
    (void)w;
    assert_ptr_equal(client, association[1]);
    seen.idles++;
}

struct session_parcel *travel_pack(struct worker *w, const struct five_tuple *tuple, void *listener)
{
    (void)w;
    (void)tuple;
    assert_ptr_equal(listener, association[1]);
    return (struct session_parcel *)(void *)association[1];
}

void travel_heard(struct session_parcel *parcel, uint32_t socket)
{
    (void)parcel;
    seen.heard = socket;
}

void travel_unpack(struct worker *w, struct session_parcel *chain)
{
    (void)w;
    (void)chain;
    seen.sent_home++;
}

void proxied_keep(struct proxied *proxied, const struct net_addr *client,
                  const struct net_addr *server, bool keep)
{
    (void)proxied;
    (void)client;
    (void)server;
    seen.kept = keep ? 2 : 1;
}

/* --- the stage -----------------------------------------------------------------------------------
 */

static int set_up(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof(seen));
    atomic_store(&front.made, 3);
    item.steered = false;
    home = (struct worker){.env = &env, .index = 0};
    away = (struct worker){.env = &env, .index = 1};
    memset(bytes, 0x5a, sizeof(bytes));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (seen.errand != NULL) {
        elsewhere_drop(seen.errand);
    }
    return 0;
}

static struct pkt heard(uint8_t transport)
{
    struct pkt pkt = {.data = bytes, .len = sizeof(bytes), .tos = 0xb8, .transport = transport};

    pkt.port = association[0];
    assert_int_equal(net_addr_parse("192.0.2.1:7", 0, &pkt.remote), 0);
    assert_int_equal(net_addr_parse("192.0.2.9:3478", 0, &pkt.local), 0);
    return pkt;
}

static struct errand *taken(void)
{
    struct errand *errand = seen.errand;

    seen.errand = NULL;
    return errand;
}

/* --- sending -------------------------------------------------------------------------------------
 */

static void send__of_a_datagram_is_a_stray(void **state)
{
    const struct pkt pkt = heard(NET_UDP);

    (void)state;
    elsewhere_send(&home, 2, &pkt);
    assert_int_equal(seen.strays, 1);
    assert_int_equal(seen.to, 2);
    assert_null(seen.errand);
}

static void send__takes_the_association_along(void **state)
{
    const struct pkt pkt = heard(NET_DTLS);

    (void)state;
    elsewhere_send(&home, 1, &pkt);
    assert_non_null(seen.errand);
    assert_int_equal(seen.to, 1);
    assert_int_equal(seen.remembered, 1 + 1); /* its records go there, too */
    assert_int_equal(stats_read(&home.count.strays), 1);
    memset(bytes, 0, sizeof(bytes)); /* it is a copy */
    seen.has_allocation = true;
    elsewhere_take(&away, taken());
    assert_int_equal(seen.judged, 1);
    assert_int_equal(seen.hops, 1);
    assert_int_equal(away.stray_hops, 0); /* of that message only */
    assert_ptr_equal(seen.pkt.port, association[1]);
    assert_int_equal(seen.pkt.transport, NET_DTLS);
    assert_int_equal(seen.pkt.tos, 0xb8);
    assert_int_equal(seen.pkt.len, sizeof(bytes));
    assert_int_equal(place_bytes[0], 0x5a);
    assert_true(net_addr_equal(&seen.pkt.remote, &pkt.remote));
    assert_true(net_addr_equal(&seen.pkt.local, &pkt.local));
    assert_int_equal(seen.idles, 1);
    assert_int_equal(seen.sent_home, 0);
}

static void send__has_somewhere_to_go(void **state)
{
    const struct pkt pkt = heard(NET_DTLS);

    (void)state;
    elsewhere_send(&home, 0, &pkt); /* it is there */
    elsewhere_send(&home, 3, &pkt); /* there is no such worker */
    home.stray_hops = HOPS_MAX;
    elsewhere_send(&home, 1, &pkt);
    home.stray_hops = 0;
    seen.pack_answer = -ENOMEM;
    elsewhere_send(&home, 1, &pkt);
    assert_null(seen.errand);
    assert_int_equal(seen.remembered, 0);
}

static void send__without_memory_changes_nothing(void **state)
{
    const struct pkt pkt = heard(NET_DTLS);

    (void)state;
    mem_fail_at(0);
    elsewhere_send(&home, 1, &pkt);
    mem_fail_at(-1);
    assert_null(seen.errand);
    assert_int_equal(seen.dropped + seen.remembered, 0);
}

static void send__stays_where_the_mail_is_full(void **state)
{
    static const uint8_t transports[] = {NET_DTLS, NET_PROXIED};

    (void)state;
    seen.full = true;
    for (size_t i = 0; i < COUNT_OF(transports); i++) {
        const struct pkt pkt = heard(transports[i]);
        elsewhere_send(&home, 1, &pkt);
        assert_null(seen.errand);
        assert_int_equal(seen.dropped, i + 1); /* of what was taken in again nothing is left */
        assert_int_equal(seen.kept, transports[i] == NET_PROXIED ? 1 : 0);
    }
    assert_int_equal(seen.remembered, 0);
}

/* --- taking --------------------------------------------------------------------------------------
 */

static void take__refused_goes_home(void **state)
{
    const struct pkt pkt = heard(NET_DTLS);

    (void)state;
    elsewhere_send(&home, 1, &pkt);
    elsewhere_take(&away, taken());
    assert_int_equal(seen.judged, 1);
    assert_int_equal(seen.sent_home, 1);
    assert_int_equal(seen.heard, 0);          /* the socket by which it was heard */
    assert_int_equal(seen.remembered, 0 + 1); /* and the worker */
    assert_int_equal(seen.idles, 0);
}

static void take__that_has_gone_on_is_gone(void **state)
{
    const struct pkt pkt = heard(NET_DTLS);

    (void)state;
    seen.goes_on = true;
    elsewhere_send(&home, 1, &pkt);
    elsewhere_take(&away, taken());
    assert_int_equal(seen.judged, 1);
    assert_int_equal(seen.sent_home + seen.idles, 0);
}

/* Where the kernel can bring its packets to any worker, they come here if it stays. */
static void take__by_a_socket_of_this_worker_where_it_is_steered(void **state)
{
    struct pkt pkt = heard(NET_DTLS);

    (void)state;
    item.steered = true;
    elsewhere_send(&home, 1, &pkt);
    elsewhere_take(&away, taken());
    assert_int_equal(seen.socket, 1);
    assert_int_equal(seen.heard, 0); /* refused: back to where it was heard */
    pkt.transport = NET_PROXIED;     /* a balancer is not steered */
    elsewhere_send(&home, 1, &pkt);
    elsewhere_take(&away, taken());
    assert_int_equal(seen.socket, 0);
}

static void take__of_a_balancers_client_keeps_nothing(void **state)
{
    const struct pkt pkt = heard(NET_PROXIED);

    (void)state;
    elsewhere_send(&home, 1, &pkt);
    elsewhere_take(&away, taken());
    assert_int_equal(seen.judged, 1);
    assert_int_equal(seen.pkt.transport, NET_PROXIED);
    assert_int_equal(seen.kept, 1);
    assert_int_equal(seen.sent_home, 0);
}

/* Its session had left the other worker a moment before, and is here. */
static void take__of_a_balancers_client_that_is_served_here(void **state)
{
    const struct pkt pkt = heard(NET_PROXIED);

    (void)state;
    elsewhere_send(&home, 1, &pkt);
    seen.has_allocation = true;
    elsewhere_take(&away, taken());
    assert_int_equal(seen.judged, 1);
    assert_int_equal(seen.kept, 2);
}

static void take__without_room_judges_nothing(void **state)
{
    const struct pkt pkt = heard(NET_DTLS);

    (void)state;
    seen.cannot_unpack = true;
    elsewhere_send(&home, 1, &pkt);
    elsewhere_take(&away, taken());
    assert_int_equal(seen.judged, 0);
    assert_int_equal(seen.dropped, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(send__of_a_datagram_is_a_stray),
        TEST(send__takes_the_association_along),
        TEST(send__has_somewhere_to_go),
        TEST(send__without_memory_changes_nothing),
        TEST(send__stays_where_the_mail_is_full),
        TEST(take__refused_goes_home),
        TEST(take__that_has_gone_on_is_gone),
        TEST(take__by_a_socket_of_this_worker_where_it_is_steered),
        TEST(take__of_a_balancers_client_keeps_nothing),
        TEST(take__of_a_balancers_client_that_is_served_here),
        TEST(take__without_room_judges_nothing),
    };
    return cmocka_run_group_tests_name("elsewhere", tests, NULL, NULL);
}

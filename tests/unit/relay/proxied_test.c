/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/proxied.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/pkt.h"
#include "base/prefix_set.h"
#include "check.h"
#include "seeded.h"
#include "wire/proxy_header.h"

enum { PAYLOAD = 20, CAP = 2048, FEW = 8 };

static const struct hash_key key = {5, 6};
static int listener; /* its address stands for a socket */
static int other_listener;

struct place {
    struct pkt pkt;
    uint8_t buf[PKT_HEADROOM + CAP];
};

static struct net_addr addr_of(const char *text)
{
    struct net_addr addr;
    assert_int_equal(net_addr_parse(text, 0, &addr), 0);
    return addr;
}

static struct net_addr client_addr(uint32_t n)
{
    const uint8_t v4[4] = {198, 18, (uint8_t)(n >> 8), (uint8_t)n};
    const struct net_ip ip = net_ip_v4(v4);
    return net_addr_make(&ip, 5000);
}

static struct prefix_set *balancers(void)
{
    struct prefix_set *set = prefix_set_new();

    assert_non_null(set);
    assert_int_equal(prefix_set_add_text(set, "10.0.0.0/24", 1), 0);
    assert_int_equal(prefix_set_build(set), 0);
    return set;
}

/* A datagram from the balancer `from` with `header` and PAYLOAD bytes. */
static struct pkt *load(struct place *place, const char *from, const struct proxy_header *header)
{
    struct pkt *pkt = &place->pkt;

    *pkt = (struct pkt){
        .data = place->buf + PKT_HEADROOM,
        .cap = CAP,
        .buf = place->buf,
        .remote = addr_of(from),
        .local = addr_of("10.0.0.100:3478"),
        .port = &listener,
        .tos = 3,
    };
    const int len = proxy_header_encode(header, pkt->data, CAP);
    assert_true(len > 0);
    memset(pkt->data + len, 0xAB, PAYLOAD);
    pkt->len = (uint32_t)len + PAYLOAD;
    return pkt;
}

static struct pkt *load_client(struct place *place, uint32_t n)
{
    const struct proxy_header header = {
        .datagram = true,
        .source = client_addr(n),
        .destination = addr_of("203.0.113.5:3478"),
    };
    return load(place, "10.0.0.1:40000", &header);
}

/* Client `n` sends at `now_ms`; its entry. */
static struct proxied_client *comes(struct proxied *p, const struct prefix_set *from, uint32_t n,
                                    uint64_t now_ms)
{
    struct place place;
    struct pkt *pkt = load_client(&place, n);

    assert_int_equal(proxied_in(p, from, pkt, now_ms), 0);
    return pkt->port;
}

/* An answer to client `n` through `c`; whether it may go. */
static bool answers(struct proxied_client *c, uint32_t n)
{
    struct pkt pkt = {
        .remote = client_addr(n),
        .local = addr_of("203.0.113.5:3478"),
        .port = c,
    };
    const bool sent = proxied_out(c, &pkt);
    const struct net_addr balancer = addr_of("10.0.0.1:40000");
    const struct net_addr client = client_addr(n);

    assert_true(net_addr_equal(&pkt.remote, sent ? &balancer : &client));
    assert_ptr_equal(pkt.port, sent ? (void *)&listener : (void *)c);
    return sent;
}

static void in__gives_what_the_client_sent(void **state)
{
    const struct proxy_header v6 = {
        .datagram = true,
        .tls = true, /* an extension behind the addresses */
        .source = addr_of("[2001:db8::7]:5000"),
        .destination = addr_of("[2001:db8::1]:3478"),
    };
    struct proxied *p = proxied_new(FEW, key);
    struct prefix_set *from = balancers();
    struct place place;

    (void)state;
    assert_non_null(p);
    struct pkt *pkt = load(&place, "10.0.0.1:40000", &v6);
    assert_int_equal(proxied_in(p, from, pkt, 1), 0);
    assert_int_equal(pkt->len, PAYLOAD);
    assert_int_equal(pkt->data[0], 0xAB);
    assert_int_equal(pkt->data[PAYLOAD - 1], 0xAB);
    assert_true(net_addr_equal(&pkt->remote, &v6.source));
    assert_true(net_addr_equal(&pkt->local, &v6.destination));
    assert_ptr_not_equal(pkt->port, &listener);
    assert_int_equal(pkt->tos, 3);
    assert_int_equal(proxied_count(p), 1);
    prefix_set_free(from);
    proxied_free(p);
    proxied_free(NULL);
}

static void out__goes_back_to_the_balancer(void **state)
{
    struct proxied *p = proxied_new(FEW, key);
    struct prefix_set *from = balancers();
    struct place place;
    const struct net_addr balancer = addr_of("10.0.0.1:40000");
    const struct net_addr ours = addr_of("10.0.0.100:3478");

    (void)state;
    struct pkt *pkt = load_client(&place, 1);
    const uint8_t *payload = pkt->data + pkt->len - PAYLOAD;
    assert_int_equal(proxied_in(p, from, pkt, 1), 0);
    assert_true(proxied_out(pkt->port, pkt));
    assert_true(net_addr_equal(&pkt->remote, &balancer));
    assert_true(net_addr_equal(&pkt->local, &ours));
    assert_ptr_equal(pkt->port, &listener);
    assert_ptr_equal(pkt->data, payload); /* without a header */
    assert_int_equal(pkt->len, PAYLOAD);
    prefix_set_free(from);
    proxied_free(p);
}

/* A health check is answered to whoever made it. */
static void in__local_keeps_the_addresses(void **state)
{
    const struct proxy_header local = {.local = true};
    struct proxied *p = proxied_new(FEW, key);
    struct prefix_set *from = balancers();
    struct place place;
    const struct net_addr balancer = addr_of("10.0.0.2:999");

    (void)state;
    struct pkt *pkt = load(&place, "10.0.0.2:999", &local);
    assert_int_equal(proxied_in(p, from, pkt, 1), 0);
    assert_true(net_addr_equal(&pkt->remote, &balancer));
    assert_int_equal(pkt->len, PAYLOAD);
    assert_true(proxied_out(pkt->port, pkt));
    assert_true(net_addr_equal(&pkt->remote, &balancer));
    assert_ptr_equal(pkt->port, &listener);
    prefix_set_free(from);
    proxied_free(p);
}

static void assert_refused(struct proxied *p, const struct prefix_set *from, struct pkt *pkt,
                           int status)
{
    const struct pkt before = *pkt;

    assert_int_equal(proxied_in(p, from, pkt, 1), status);
    assert_memory_equal(pkt, &before, sizeof(before));
    assert_int_equal(proxied_count(p), 0);
}

/* Streams K42: a header from a source that is not listed is refused, whatever it says. */
static void in__refuses_sources_that_are_not_listed(void **state)
{
    const struct proxy_header header = {
        .datagram = true,
        .source = addr_of("10.0.0.1:1"), /* a listed address inside the header does not help */
        .destination = addr_of("10.0.0.1:2"),
    };
    struct proxied *p = proxied_new(FEW, key);
    struct prefix_set *from = balancers();
    struct prefix_set *empty = prefix_set_new();
    struct place place;

    (void)state;
    assert_non_null(empty);
    assert_int_equal(prefix_set_build(empty), 0);
    assert_refused(p, from, load(&place, "10.0.1.1:40000", &header), -EPERM);
    assert_refused(p, from, load(&place, "[2001:db8::1]:40000", &header), -EPERM);
    assert_refused(p, NULL, load(&place, "10.0.0.1:40000", &header), -EPERM);
    assert_refused(p, empty, load(&place, "10.0.0.1:40000", &header), -EPERM);
    prefix_set_free(from);
    prefix_set_free(empty);
    proxied_free(p);
}

static void in__refuses_datagrams_without_a_whole_header(void **state)
{
    struct proxied *p = proxied_new(FEW, key);
    struct prefix_set *from = balancers();
    struct place place;

    (void)state;
    for (uint32_t n = 0; n < PROXY_V2_HEAD + 12; n++) {
        struct pkt *pkt = load_client(&place, 1);
        pkt->len = n;
        assert_refused(p, from, pkt, -EBADMSG);
    }
    struct pkt *pkt = load_client(&place, 1);
    pkt->len = PROXY_V2_HEAD + 12; /* an empty datagram is one, too */
    assert_int_equal(proxied_in(p, from, pkt, 1), 0);
    assert_int_equal(pkt->len, 0);
    prefix_set_free(from);
    proxied_free(p);
}

static void in__refuses_headers_that_are_not_for_datagrams(void **state)
{
    static const char v1[] = "PROXY TCP4 198.18.0.1 203.0.113.5 5000 3478\r\n....................";
    static const char unknown[] = "PROXY UNKNOWN\r\n....................";
    struct proxy_header stream = {
        .source = client_addr(1),
        .destination = addr_of("203.0.113.5:3478"),
    };
    struct proxied *p = proxied_new(FEW, key);
    struct prefix_set *from = balancers();
    struct place place;

    (void)state;
    assert_refused(p, from, load(&place, "10.0.0.1:1", &stream), -EBADMSG);
    struct pkt *pkt = load_client(&place, 1);
    memcpy(pkt->data, v1, sizeof(v1));
    pkt->len = sizeof(v1) - 1;
    assert_refused(p, from, pkt, -EBADMSG);
    memcpy(pkt->data, unknown, sizeof(unknown));
    pkt->len = sizeof(unknown) - 1;
    assert_refused(p, from, pkt, -EBADMSG);
    prefix_set_free(from);
    proxied_free(p);
}

/* A balancer that has moved the client's flow gets the answers where it is now. */
static void out__takes_the_way_of_the_last_datagram(void **state)
{
    struct proxied *p = proxied_new(FEW, key);
    struct prefix_set *from = balancers();
    struct place place;
    const struct net_addr moved = addr_of("10.0.0.9:1234");

    (void)state;
    struct proxied_client *c = comes(p, from, 1, 1);
    struct pkt *pkt = load_client(&place, 1);
    pkt->remote = moved;
    pkt->port = &other_listener;
    assert_int_equal(proxied_in(p, from, pkt, 2), 0);
    assert_ptr_equal(pkt->port, c);
    assert_int_equal(proxied_count(p), 1);
    assert_true(proxied_out(c, pkt));
    assert_true(net_addr_equal(&pkt->remote, &moved));
    assert_ptr_equal(pkt->port, &other_listener);
    prefix_set_free(from);
    proxied_free(p);
}

static void entries__end_when_idle(void **state)
{
    struct proxied *p = proxied_new(FEW, key);
    struct prefix_set *from = balancers();

    (void)state;
    struct proxied_client *c = comes(p, from, 1, 0);
    (void)comes(p, from, 2, 1000);
    (void)comes(p, from, 3, PROXIED_IDLE_MS - 1);
    assert_int_equal(proxied_count(p), 3);
    assert_true(answers(c, 1));
    (void)comes(p, from, 3, PROXIED_IDLE_MS);
    assert_int_equal(proxied_count(p), 2);
    assert_false(answers(c, 1));
    prefix_set_free(from);
    proxied_free(p);
}

/* A flood of clients that a balancer lets through costs the longest unused entries, no memory. */
static void entries__longest_unused_gives_way(void **state)
{
    struct proxied *p = proxied_new(FEW, key);
    struct prefix_set *from = balancers();
    struct proxied_client *clients[FEW];

    (void)state;
    for (uint32_t n = 0; n < FEW; n++) {
        clients[n] = comes(p, from, n, n);
    }
    (void)comes(p, from, 0, 50);
    (void)comes(p, from, 100, 51);
    assert_int_equal(proxied_count(p), FEW);
    assert_true(answers(clients[0], 0));
    assert_false(answers(clients[1], 1));
    assert_true(answers(clients[2], 2));
    for (uint32_t n = 1000; n < 3000; n++) {
        (void)comes(p, from, n, n);
        assert_int_equal(proxied_count(p), FEW);
    }
    prefix_set_free(from);
    proxied_free(p);
}

/* What was kept for long (a request that waits for its key) never reaches another client. */
static void out__never_reaches_the_wrong_client(void **state)
{
    struct proxied *p = proxied_new(1, key);
    struct prefix_set *from = balancers();

    (void)state;
    struct proxied_client *first = comes(p, from, 1, 0);
    struct proxied_client *second = comes(p, from, 2, 1);
    assert_ptr_equal(first, second); /* the entry is another's now */
    assert_false(answers(first, 1));
    assert_true(answers(first, 2));
    prefix_set_free(from);
    proxied_free(p);
}

/* An entry that has ended and come again is found, though what it was known by is another's. */
static void out__finds_the_entry_that_came_again(void **state)
{
    struct proxied *p = proxied_new(2, key);
    struct prefix_set *from = balancers();

    (void)state;
    struct proxied_client *old = comes(p, from, 1, 0);
    (void)comes(p, from, 2, 1);
    (void)comes(p, from, 3, 2); /* takes the entry of 1 */
    struct proxied_client *now = comes(p, from, 1, 3);
    assert_ptr_not_equal(old, now);
    assert_true(answers(old, 1));
    assert_true(answers(now, 1));
    prefix_set_free(from);
    proxied_free(p);
}

static void keep__holds_an_entry(void **state)
{
    struct proxied *p = proxied_new(FEW, key);
    struct prefix_set *from = balancers();
    const struct net_addr server = addr_of("203.0.113.5:3478");
    const struct net_addr client = client_addr(1);
    const struct net_addr stranger = client_addr(77);
    struct proxied_client *c = comes(p, from, 1, 0);

    (void)state;
    proxied_keep(p, &client, &server, true);
    proxied_keep(p, &client, &server, true); /* as often as one likes */
    proxied_keep(p, &stranger, &server, true);
    for (uint32_t n = 100; n < 200; n++) {
        (void)comes(p, from, n, PROXIED_IDLE_MS * 3 + n);
    }
    assert_true(answers(c, 1));
    assert_int_equal(proxied_count(p), FEW);
    proxied_keep(p, &client, &server, false);
    proxied_keep(p, &client, &server, false);
    (void)comes(p, from, 300, PROXIED_IDLE_MS * 3 + 300);
    assert_true(answers(c, 1)); /* it was in use until its end: others go first */
    for (uint32_t n = 400; n < 400 + FEW; n++) {
        (void)comes(p, from, n, PROXIED_IDLE_MS * 3 + n);
    }
    assert_false(answers(c, 1));
    prefix_set_free(from);
    proxied_free(p);
}

static void keep__may_fill_all_entries(void **state)
{
    struct proxied *p = proxied_new(FEW, key);
    struct prefix_set *from = balancers();
    const struct net_addr server = addr_of("203.0.113.5:3478");
    struct place place;

    (void)state;
    for (uint32_t n = 0; n < FEW; n++) {
        const struct net_addr client = client_addr(n);
        (void)comes(p, from, n, n);
        proxied_keep(p, &client, &server, true);
    }
    struct pkt *pkt = load_client(&place, 99);
    const struct pkt before = *pkt;
    assert_int_equal(proxied_in(p, from, pkt, 100), -ENOSPC);
    assert_memory_equal(pkt, &before, sizeof(before));
    (void)comes(p, from, 3, 100); /* those who are in stay in */
    const struct net_addr client = client_addr(3);
    proxied_keep(p, &client, &server, false);
    assert_int_equal(proxied_in(p, from, pkt, 101), 0);
    prefix_set_free(from);
    proxied_free(p);
}

/* Whatever comes, ends and is kept, in any order: an answer goes to its own client or nowhere, and
 * to those that are kept always. */
static void entries__stay_right_in_any_order(void **state)
{
    enum { CLIENTS = 40, MOST = 16, EVENTS = 50000 };
    struct proxied *p = proxied_new(MOST, key);
    struct prefix_set *from = balancers();
    const struct net_addr server = addr_of("203.0.113.5:3478");
    struct proxied_client *known[CLIENTS] = {NULL};
    bool kept[CLIENTS] = {false};
    struct seeded seed = {9};
    uint32_t kept_count = 0;
    uint64_t now = 0;

    (void)state;
    for (int i = 0; i < EVENTS; i++) {
        const uint32_t n = seeded_below(&seed, CLIENTS);
        const struct net_addr client = client_addr(n);
        now += seeded_below(&seed, 1000) == 0 ? PROXIED_IDLE_MS : seeded_below(&seed, 100);
        switch (seeded_below(&seed, 4)) {
        case 0:
            if (known[n] != NULL && kept_count < MOST - 1 && answers(known[n], n)) {
                kept_count += !kept[n];
                kept[n] = true;
                proxied_keep(p, &client, &server, true);
            }
            break;
        case 1:
            kept_count -= kept[n];
            kept[n] = false;
            proxied_keep(p, &client, &server, false);
            break;
        default:
            known[n] = comes(p, from, n, now);
            assert_true(answers(known[n], n));
        }
        const uint32_t other = seeded_below(&seed, CLIENTS);
        if (known[other] != NULL) {
            assert_true(answers(known[other], other) || !kept[other]);
        }
        assert_true(proxied_count(p) <= MOST);
    }
    prefix_set_free(from);
    proxied_free(p);
}

/* --- travel --------------------------------------------------------------------------------------
 */

static const char server_text[] = "203.0.113.5:3478";

/* Client `n` goes from `a`, where its entry is `c`, to `b`. */
static struct proxied_client *goes(struct proxied *a, struct proxied_client *c, struct proxied *b,
                                   uint32_t n, uint64_t now_ms)
{
    const struct net_addr server = addr_of(server_text);
    const struct net_addr client = client_addr(n);
    struct proxied_route route;

    assert_ptr_equal(proxied_find(a, &client, &server), c);
    proxied_route_of(c, &route);
    proxied_forget(a, &client, &server);
    assert_null(proxied_find(a, &client, &server));
    return proxied_attach(b, &client, &server, &route, &other_listener, now_ms);
}

static void client__goes_to_another_worker(void **state)
{
    struct proxied *a = proxied_new(FEW, key);
    struct proxied *b = proxied_new(FEW, (struct hash_key){7, 8});
    struct prefix_set *from = balancers();
    const struct net_addr balancer = addr_of("10.0.0.1:40000");
    const struct net_addr server = addr_of(server_text);
    const struct net_addr client = client_addr(1);

    (void)state;
    struct proxied_client *old = comes(a, from, 1, 5);
    assert_ptr_equal(proxied_port(old), &listener);
    proxied_keep(a, &client, &server, true);
    struct proxied_client *c = goes(a, old, b, 1, 6);
    assert_non_null(c);
    assert_int_equal(proxied_count(a), 0);
    assert_int_equal(proxied_count(b), 1);
    assert_false(answers(old, 1)); /* whoever still holds it there */
    assert_ptr_equal(proxied_port(c), &other_listener);
    struct pkt pkt = {.remote = client, .local = server, .port = c};
    assert_true(proxied_out(c, &pkt));
    assert_true(net_addr_equal(&pkt.remote, &balancer));
    assert_ptr_equal(pkt.port, &other_listener);
    assert_ptr_equal(comes(b, from, 1, 7), c); /* its next datagram comes here */
    assert_true(answers(c, 1));
    proxied_forget(a, &client, &server); /* as often as one likes */
    (void)comes(a, from, 2, 8);          /* the place is free again */
    assert_int_equal(proxied_count(a), 1);
    prefix_set_free(from);
    proxied_free(a);
    proxied_free(b);
}

/* It was heard where it goes to before it came: that way is the newer one. */
static void client__that_was_heard_there_keeps_its_way(void **state)
{
    struct proxied *a = proxied_new(FEW, key);
    struct proxied *b = proxied_new(FEW, key);
    struct prefix_set *from = balancers();

    (void)state;
    struct proxied_client *old = comes(a, from, 1, 5);
    struct proxied_client *early = comes(b, from, 1, 9);
    assert_ptr_equal(goes(a, old, b, 1, 10), early);
    assert_ptr_equal(proxied_port(early), &listener);
    old = comes(a, from, 1, 20); /* and back, later */
    assert_ptr_equal(goes(a, old, b, 1, 21), early);
    assert_ptr_equal(proxied_port(early), &other_listener);
    assert_int_equal(proxied_count(b), 1);
    prefix_set_free(from);
    proxied_free(a);
    proxied_free(b);
}

static void client__needs_room_where_it_goes(void **state)
{
    struct proxied *a = proxied_new(FEW, key);
    struct proxied *b = proxied_new(1, key);
    struct prefix_set *from = balancers();
    const struct net_addr server = addr_of(server_text);
    const struct net_addr inhabitant = client_addr(9);

    (void)state;
    struct proxied_client *there = comes(b, from, 9, 1);
    proxied_keep(b, &inhabitant, &server, true);
    assert_null(goes(a, comes(a, from, 1, 2), b, 1, 3));
    assert_true(answers(there, 9));
    proxied_keep(b, &inhabitant, &server, false);
    struct proxied_client *c = goes(a, comes(a, from, 1, 4), b, 1, 5);
    assert_non_null(c); /* the longest unused gives way */
    assert_ptr_equal(proxied_port(c), &other_listener);
    assert_int_equal(proxied_count(b), 1);
    prefix_set_free(from);
    proxied_free(a);
    proxied_free(b);
}

/* What was held for long is another's entry: nobody is reached by that one's way. */
static void route__of_another_client_is_refused(void **state)
{
    struct proxied *a = proxied_new(1, key);
    struct proxied *b = proxied_new(FEW, key);
    struct prefix_set *from = balancers();
    const struct net_addr server = addr_of(server_text);
    const struct net_addr elsewhere = addr_of("203.0.113.6:3478");
    const struct net_addr first = client_addr(1);
    const struct net_addr second = client_addr(2);
    struct proxied_route route;

    (void)state;
    struct proxied_client *c = comes(a, from, 1, 1);
    (void)comes(a, from, 2, 2);
    proxied_route_of(c, &route);
    assert_null(proxied_attach(b, &first, &server, &route, &listener, 3));
    assert_null(proxied_attach(b, &second, &elsewhere, &route, &listener, 3));
    assert_int_equal(proxied_count(b), 0);
    assert_non_null(proxied_attach(b, &second, &server, &route, &listener, 3));
    prefix_set_free(from);
    proxied_free(a);
    proxied_free(b);
}

static void attach__survives_without_memory(void **state)
{
    struct prefix_set *from = balancers();
    struct proxied *a = proxied_new(FEW, key);
    const struct net_addr server = addr_of(server_text);
    const struct net_addr client = client_addr(1);
    struct proxied_route route;

    (void)state;
    proxied_route_of(comes(a, from, 1, 1), &route);
    for (long n = 0; n < 4; n++) {
        struct proxied *b = proxied_new(FEW, key);
        assert_non_null(b);
        mem_fail_at(n);
        const bool attached = proxied_attach(b, &client, &server, &route, &listener, 2) != NULL;
        mem_fail_at(-1);
        assert_int_equal(proxied_count(b), attached ? 1 : 0);
        assert_non_null(proxied_attach(b, &client, &server, &route, &listener, 3));
        proxied_free(b);
    }
    prefix_set_free(from);
    proxied_free(a);
}

static void proxied__survives_without_memory(void **state)
{
    struct prefix_set *from = balancers();
    struct place place;

    (void)state;
    for (long n = 0; n < 8; n++) {
        struct pkt *pkt = load_client(&place, 1);
        mem_fail_at(n);
        struct proxied *p = proxied_new(FEW, key);
        if (p != NULL) {
            const int err = proxied_in(p, from, pkt, 1);
            assert_true(err == 0 || err == -ENOMEM);
            assert_int_equal(proxied_count(p), err == 0 ? 1 : 0);
            assert_true(err == 0 || pkt->port == &listener);
        }
        mem_fail_at(-1);
        if (p != NULL) {
            (void)comes(p, from, 1, 2);
            assert_int_equal(proxied_count(p), 1);
        }
        proxied_free(p);
    }
    prefix_set_free(from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in__gives_what_the_client_sent),
        cmocka_unit_test(out__goes_back_to_the_balancer),
        cmocka_unit_test(in__local_keeps_the_addresses),
        cmocka_unit_test(in__refuses_sources_that_are_not_listed),
        cmocka_unit_test(in__refuses_datagrams_without_a_whole_header),
        cmocka_unit_test(in__refuses_headers_that_are_not_for_datagrams),
        cmocka_unit_test(out__takes_the_way_of_the_last_datagram),
        cmocka_unit_test(entries__end_when_idle),
        cmocka_unit_test(entries__longest_unused_gives_way),
        cmocka_unit_test(out__never_reaches_the_wrong_client),
        cmocka_unit_test(out__finds_the_entry_that_came_again),
        cmocka_unit_test(keep__holds_an_entry),
        cmocka_unit_test(keep__may_fill_all_entries),
        cmocka_unit_test(entries__stay_right_in_any_order),
        cmocka_unit_test(client__goes_to_another_worker),
        cmocka_unit_test(client__that_was_heard_there_keeps_its_way),
        cmocka_unit_test(client__needs_room_where_it_goes),
        cmocka_unit_test(route__of_another_client_is_refused),
        cmocka_unit_test(attach__survives_without_memory),
        cmocka_unit_test(proxied__survives_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Messages as such: header checks, Binding, classes and methods, fingerprint, unknown attributes,
 * demultiplexing, what responses look like (RFC 8489 sections 5 to 7, 12; RFC 7982; RFC 7983). */
#include <stdio.h>
#include <string.h>

#include "stage.h"

/* A plain Binding request. */
static void begin_binding(struct client *c)
{
    client_begin(c, STUN_BINDING, STUN_REQUEST);
}

static enum turn_verdict submit_bytes(struct stage *s, const uint8_t *p, size_t n)
{
    return world_from_client(&s->w, &s->c.addr, p, n);
}

/* Proves T-8489-6.3.1.1-05, T-8489-12-03, T-8489-14.1-02, T-8489-12-01, T-8489-12-02, T-8489-12-07,
 * T-8489-6.3.1.2-01, T-8489-6.3.1.2-02 */
static void binding__tells_the_source(void **state)
{
    static const char *const addrs[] = {"203.0.113.5:4000", "[2001:db8::5]:65535"};
    struct stage *s = *state;

    for (size_t i = 0; i < COUNT_OF(addrs); i++) {
        client_init(&s->c, &s->w, addrs[i], NULL, NULL);
        begin_binding(&s->c);
        client_end(&s->c);
        const struct reply r = client_submit(&s->c);
        assert_int_equal(r.verdict, TURN_TO_CLIENT);
        assert_int_equal(r.code, 0);
        assert_int_equal(r.msg.class, STUN_SUCCESS);
        assert_true(net_addr_equal(&r.mapped, &s->c.addr));
        assert_false(r.has_mapped_plain);
        assert_int_equal(r.software.n, 0);
        assert_true(s->w.pkt.len <= s->c.len + 24); /* 1.6 and 2.2 times the smallest request */
        assert_true(net_addr_equal(&s->w.pkt.remote, &s->c.addr));
        assert_true(net_addr_equal(&s->w.pkt.local, &s->w.server_addr[i]));
        assert_true(s->w.pkt.port == &s->w.server_addr);
    }
}

/* Proves T-8656-5-10 */
static void binding__works_beside_an_allocation(void **state)
{
    struct stage *s = *state;

    (void)stage_allocate(&s->c);
    begin_binding(&s->c);
    client_end(&s->c);
    assert_int_equal(client_submit(&s->c).code, 0);
}

/* Proves T-8489-12-04 */
static void binding__ignores_credentials(void **state)
{
    struct stage *s = *state;

    s->c.password = "wrong";
    s->c.auth = CLIENT_LEGACY;
    begin_binding(&s->c);
    client_sign(&s->c);
    const struct reply r = client_submit(&s->c);
    assert_int_equal(r.code, 0);
    assert_false(r.has_mi || r.has_mi256);
}

/* Proves T-8489-12-06, T-8489-6.3.1-01, T-8489-14.13-01, T-8489-14.8-03, T-8489-14-05,
 * T-5389-12.2-03 */
static void binding__unknown_attributes_are_listed(void **state)
{
    static const uint16_t unknown[] = {0x0002, 0x0024, 0x7fff, 0x0003};
    struct stage *s = *state;

    begin_binding(&s->c);
    for (size_t i = 0; i < COUNT_OF(unknown); i++) {
        stun_out_u32(&s->c.out, unknown[i], 0);
        stun_out_u32(&s->c.out, unknown[i], 0); /* twice: listed once */
    }
    stun_out_u32(&s->c.out, 0x80ff, 0); /* optional: ignored */
    client_end(&s->c);
    struct reply r = client_submit(&s->c);
    assert_int_equal(r.code, STUN_UNKNOWN_ATTRIBUTE);
    assert_int_equal(r.unknown.n, 2 * COUNT_OF(unknown));
    for (size_t i = 0; i < COUNT_OF(unknown); i++) {
        assert_int_equal(be16(r.unknown.p + 2 * i), unknown[i]);
    }
    assert_false(r.has_mi || r.has_mi256);

    begin_binding(&s->c);
    stun_out_u32(&s->c.out, 0x7fff, 0);
    client_end(&s->c);
    r = client_submit(&s->c);
    assert_int_equal(r.unknown.n, 2);
    assert_int_equal(be16(r.unknown.p + 2), 0); /* zero padding, no repetition */
}

/* Many unknown types: the response stays small. */
static void unknown_attributes__are_bounded(void **state)
{
    struct stage *s = *state;

    begin_binding(&s->c);
    for (uint16_t i = 0; i < 300; i++) {
        stun_out_u32(&s->c.out, (uint16_t)(0x7000 + i), 0);
    }
    client_end(&s->c);
    const struct reply r = client_submit(&s->c);
    assert_int_equal(r.code, STUN_UNKNOWN_ATTRIBUTE);
    assert_true(r.unknown.n > 0 && s->w.pkt.len < 200);
}

/* Proves T-8489-6.3-10, T-8489-6.3-11 */
static void known_but_unexpected_attributes__are_ignored(void **state)
{
    static const uint8_t rubbish[7] = {1, 2, 3};
    struct stage *s = *state;

    begin_binding(&s->c);
    stun_out_u32(&s->c.out, STUN_LIFETIME, 0);
    stun_out_attr(&s->c.out, STUN_XOR_MAPPED_ADDRESS, (struct bytes){rubbish, 7});
    stun_out_attr(&s->c.out, STUN_ERROR_CODE, (struct bytes){rubbish, 7});
    stun_out_attr(&s->c.out, 0xc0ff, (struct bytes){rubbish, 7});
    client_end(&s->c);
    assert_int_equal(client_submit(&s->c).code, 0);
}

/* Proves T-8489-7-01, T-8489-14.7-02, T-8489-6.3-08 */
static void fingerprint__is_checked_and_echoed(void **state)
{
    struct stage *s = *state;

    s->c.fingerprint = true;
    begin_binding(&s->c);
    client_end(&s->c);
    const struct reply r = client_submit(&s->c);
    assert_true(r.has_fingerprint && r.fingerprint_last);
    s->c.buf[s->c.len - 1] ^= 1;
    assert_int_equal(client_submit(&s->c).verdict, TURN_DROP);
    assert_int_equal(world_drops(&s->w, DROP_BAD_FINGERPRINT), 1);

    s->c.fingerprint = false; /* behind the integrity attribute, too */
    (void)stage_allocate(&s->c);
    s->c.fingerprint = true;
    const struct reply signed_reply = client_refresh(&s->c, 600);
    assert_true(signed_reply.has_fingerprint && signed_reply.fingerprint_last);
    assert_true(signed_reply.integrity_ok);
    s->c.fingerprint = false;
    s->w.config.always_fingerprint = true;
    assert_true(client_refresh(&s->c, 600).has_fingerprint);
}

/* Proves T-8489-14.7-03 */
static void after_fingerprint__nothing_is_read(void **state)
{
    struct stage *s = *state;

    begin_binding(&s->c);
    stun_out_fingerprint(&s->c.out);
    stun_out_u32(&s->c.out, 0x7ffe, 0);
    client_end(&s->c);
    /* FINGERPRINT covers a length that ends with itself */
    assert_int_equal(client_submit(&s->c).code, 0);
}

/* Proves T-8489-5-01, T-8489-5-02, T-8489-6.3-01, T-8489-6.3-02, T-8489-6.3-03, T-8489-6.3-04,
 * T-8656-5-01 */
static void header__wrong_is_dropped(void **state)
{
    struct stage *s = *state;
    uint8_t m[64];

    begin_binding(&s->c);
    client_end(&s->c);
    memcpy(m, s->c.buf, 20);
    for (size_t n = 0; n < 20; n++) {
        assert_int_equal(submit_bytes(s, m, n), TURN_DROP);
    }
    for (unsigned top = 1; top < 4; top++) {
        m[0] = (uint8_t)(top << 6);
        assert_int_equal(submit_bytes(s, m, 20), TURN_DROP);
    }
    m[0] = 0;
    for (unsigned i = 4; i < 8; i++) {
        m[i] ^= 1;
        assert_int_equal(submit_bytes(s, m, 20), TURN_DROP);
        m[1] = 3; /* Allocate without cookie */
        assert_int_equal(submit_bytes(s, m, 20), TURN_DROP);
        m[1] = 1;
        m[i] ^= 1;
    }
    memset(m + 20, 0, sizeof(m) - 20);
    for (uint8_t len = 1; len < 40; len++) { /* not a multiple of 4, or more than there is */
        m[3] = len;
        assert_int_equal(submit_bytes(s, m, 20), TURN_DROP);
        assert_int_equal(submit_bytes(s, m, 20 + len - 1U), TURN_DROP);
    }
    m[3] = 0;
    for (size_t junk = 1; junk < 8; junk++) { /* bytes after the message */
        assert_int_equal(submit_bytes(s, m, 20 + junk), TURN_DROP);
    }
    assert_int_equal(submit_bytes(s, m, 20), TURN_TO_CLIENT);
}

/* Proves T-3489-8.2-01, T-8489-5-04, T-8489-6.3-05, T-8489-6.3-06, T-8489-6.3-07, T-8489-6.3.2-03
 */
static void methods_and_classes__of_others_are_dropped(void **state)
{
    static const uint16_t served[] = {STUN_BINDING,           STUN_ALLOCATE,     STUN_REFRESH,
                                      STUN_CREATE_PERMISSION, STUN_CHANNEL_BIND, STUN_CONNECT,
                                      STUN_CONNECTION_BIND};
    struct stage *s = *state;

    for (unsigned method = 0; method < 0x1000; method++) {
        bool is_served = false;
        for (size_t i = 0; i < COUNT_OF(served); i++) {
            is_served = is_served || served[i] == method;
        }
        for (int class = STUN_REQUEST; class <= STUN_ERROR; class ++) {
            client_begin(&s->c, (uint16_t)method, (enum stun_class) class);
            client_end(&s->c);
            const enum turn_verdict v = client_submit(&s->c).verdict;
            assert_int_equal(v, is_served && class == STUN_REQUEST ? TURN_TO_CLIENT : TURN_DROP);
        }
    }
    assert_true(world_drops(&s->w, DROP_KEEPALIVE) == 1);
}

/* Proves T-8489-6.3-12 */
static void attribute__past_the_end(void **state)
{
    struct stage *s = *state;

    for (uint32_t len = 5; len <= 0xffff; len += 257) {
        begin_binding(&s->c);
        stun_out_u32(&s->c.out, 0xc001, 0);
        client_end(&s->c);
        be16_put(s->c.buf + 22, (uint16_t)len);
        assert_int_equal(client_submit(&s->c).code, STUN_BAD_REQUEST);
        s->c.buf[1] = 0x11; /* as an indication: no answer */
        assert_int_equal(client_submit(&s->c).verdict, TURN_DROP);
        s->c.buf[1] = 0x16;
        assert_int_equal(client_submit(&s->c).verdict, TURN_DROP);
    }
}

/* Proves T-7983-7-02, T-7983-7-04, T-9443-3-01 */
static void first_byte__decides(void **state)
{
    struct stage *s = *state;
    uint8_t m[20];

    begin_binding(&s->c);
    client_end(&s->c);
    memcpy(m, s->c.buf, 20);
    for (unsigned first = 0; first < 256; first++) {
        m[0] = (uint8_t)first;
        const enum turn_verdict v = submit_bytes(s, m, 20);
        assert_int_equal(v, first == 0 ? TURN_TO_CLIENT : TURN_DROP);
    }
}

/* Proves T-7982-3.3-01, T-7982-3.3-02, T-7982-3.3-03, T-7982-3.1-01, T-7982-3.3-04 */
static void transmit_counter__is_echoed(void **state)
{
    struct stage *s = *state;

    for (unsigned req = 1; req < 8; req++) {
        begin_binding(&s->c);
        stun_out_u32(&s->c.out, STUN_TRANSACTION_TRANSMIT_COUNTER, 0xabcd0009U | req << 8);
        client_end(&s->c);
        const struct reply r = client_submit(&s->c);
        assert_true(r.has_counter);
        assert_int_equal(r.counter, req << 8); /* padding zero, Resp 0 */
    }
    begin_binding(&s->c);
    client_end(&s->c);
    assert_false(client_submit(&s->c).has_counter);

    (void)stage_allocate(&s->c);
    client_begin(&s->c, STUN_REFRESH, STUN_REQUEST);
    stun_out_u32(&s->c.out, STUN_TRANSACTION_TRANSMIT_COUNTER, 0x0200);
    client_sign(&s->c);
    const struct reply r = client_submit(&s->c);
    assert_true(r.integrity_ok && r.has_counter);
    for (uint32_t i = 0; i + 1 < r.attr_count; i++) { /* covered: before the integrity */
        assert_int_not_equal(r.order[i], STUN_MESSAGE_INTEGRITY_SHA256);
    }
}

/* Proves T-8489-6.3.1.1-03, T-8489-6.3.1.1-02, T-8489-14.8-01, T-8489-14.8-02 */
static void responses__software_and_reason(void **state)
{
    struct stage *s = *state;

    struct reply r = client_refresh(&s->c, 600);
    assert_int_equal(r.code, STUN_ALLOCATION_MISMATCH);
    assert_true(bytes_equal(r.software, bytes_of("sterna test")));
    assert_true(bytes_equal(r.reason, bytes_of("Allocation Mismatch")));
    s->w.config.software[0] = '\0';
    r = client_refresh(&s->c, 600);
    assert_int_equal(r.software.n, 0);
}

/* Attribute order in requests does not matter but for integrity and fingerprint. */
/* Proves T-8656-20-02 */
static void attribute_order__is_free(void **state)
{
    struct stage *s = *state;
    unsigned served = 0;

    assert_true(client_challenge(&s->c));
    for (unsigned rotation = 0; rotation < 5; rotation++) {
        struct client c = s->c;
        client_begin(&c, STUN_ALLOCATE, STUN_REQUEST);
        for (unsigned i = 0; i < 5; i++) {
            switch ((rotation + i) % 5) {
            case 0:
                client_put_transport(&c);
                break;
            case 1:
                stun_out_u32(&c.out, STUN_LIFETIME, 777);
                break;
            case 2:
                stun_out_attr(&c.out, STUN_DONT_FRAGMENT, (struct bytes){NULL, 0});
                break;
            case 3:
                stun_out_u32(&c.out, 0xc0de, 1);
                break;
            default:
                stun_out_u32(&c.out, STUN_REQUESTED_ADDRESS_FAMILY, UINT32_C(1) << 24);
                break;
            }
        }
        client_sign(&c);
        const struct reply r = client_submit(&c);
        assert_int_equal(r.code, 0);
        assert_int_equal(r.lifetime_s, 777);
        served++;
        s->c.next_tid = c.next_tid;
        assert_int_equal(client_refresh(&s->c, 0).code, 0);
    }
    assert_int_equal(served, 5);
}

/* Proves T-8656-21.4-01, T-8656-21.4-02 */
static void tunnelled_clients__are_not_served(void **state)
{
    static const char *const tunnels[] = {"[2002:c000:204::1]:4000", "[2001:0:4136:e378::1]:4000"};
    struct stage *s = *state;

    for (size_t i = 0; i < COUNT_OF(tunnels); i++) {
        client_init(&s->c, &s->w, tunnels[i], "user", "pass");
        begin_binding(&s->c);
        client_end(&s->c);
        assert_int_equal(client_submit(&s->c).verdict, TURN_DROP);
    }
    assert_int_equal(world_drops(&s->w, DROP_TUNNEL_CLIENT), 2);
}

static void halves__can_be_switched_off(void **state)
{
    struct stage *s = *state;

    s->w.config.turn_enabled = false;
    assert_false(client_challenge(&s->c));
    assert_int_equal(client_channel(&s->c, 0x4000, "x", 1), TURN_DROP);
    begin_binding(&s->c);
    client_end(&s->c);
    assert_int_equal(client_submit(&s->c).code, 0);
    s->w.config.turn_enabled = true;
    s->w.config.stun_enabled = false;
    begin_binding(&s->c);
    client_end(&s->c);
    assert_int_equal(client_submit(&s->c).verdict, TURN_DROP);
    assert_true(client_challenge(&s->c));
}

static void secure_stun__wants_credentials_for_binding(void **state)
{
    struct stage *s = *state;

    s->w.config.auth_binding = true;
    begin_binding(&s->c);
    client_end(&s->c);
    struct reply r = client_submit(&s->c);
    assert_int_equal(r.code, STUN_UNAUTHENTICATED);
    (void)client_learn(&s->c, &r);
    begin_binding(&s->c);
    client_sign(&s->c);
    r = client_submit(&s->c);
    assert_int_equal(r.code, 0);
    assert_true(r.integrity_ok);
}

static void stun_backward_compatibility__adds_the_plain_address(void **state)
{
    struct stage *s = *state;

    s->w.config.mapped_address = true;
    begin_binding(&s->c);
    client_end(&s->c);
    assert_true(client_submit(&s->c).has_mapped_plain);
}

/* Proves T-8489-6.3.1-05, T-8489-9.2.5-02 */
static void strangers__leave_nothing_behind(void **state)
{
    struct stage *s = *state;

    for (unsigned i = 0; i < 100000; i++) {
        s->c.addr.port = (uint16_t)i;
        s->c.addr.ip.b[15] = (uint8_t)(i >> 16);
        client_begin(&s->c, i % 2 ? STUN_BINDING : STUN_ALLOCATE, STUN_REQUEST);
        client_end(&s->c);
        assert_int_equal(client_submit(&s->c).verdict, TURN_TO_CLIENT);
    }
    assert_int_equal(turn_server_allocation_count(s->w.server), 0);
    assert_int_equal(turn_server_next_deadline(s->w.server), UINT64_MAX);
    assert_int_equal(s->w.open_sockets, 0);
}

/* Every packet is counted once, as an answer or as a drop. */
static void counters__add_up(void **state)
{
    struct stage *s = *state;
    const struct turn_counters *count = turn_server_counters(s->w.server);

    (void)stage_allocate(&s->c);
    (void)client_allocate(&s->c);
    (void)client_refresh(&s->c, 0);
    assert_int_equal(count->requests[STUN_ALLOCATE], 3);
    assert_int_equal(count->successes[STUN_ALLOCATE], 1);
    assert_int_equal(count->refused_300_to_599[401 - 300], 1);
    assert_int_equal(count->refused_300_to_599[437 - 300], 1);
    assert_int_equal(count->successes[STUN_REFRESH], 1);
}

/* A client learns a NONCE from 401 and 438 only. */
/* Proves T-8656-6-06 */
static void successes__bring_no_nonce(void **state)
{
    const struct net_addr peer = world_addr("198.51.100.7:1000");
    struct stage *s = *state;
    struct reply r[4];

    r[0] = client_allocate(&s->c);
    r[1] = client_permit(&s->c, &peer);
    r[2] = client_bind(&s->c, 0x4000, &peer);
    r[3] = client_refresh(&s->c, 600);
    for (size_t i = 0; i < COUNT_OF(r); i++) {
        assert_int_equal(r[i].code, 0);
        assert_true(r[i].integrity_ok);
        assert_int_equal(r[i].nonce.n, 0);
        assert_int_equal(r[i].realm.n, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(binding__tells_the_source),
        STAGE_TEST(binding__works_beside_an_allocation),
        STAGE_TEST(binding__ignores_credentials),
        STAGE_TEST(binding__unknown_attributes_are_listed),
        STAGE_TEST(unknown_attributes__are_bounded),
        STAGE_TEST(known_but_unexpected_attributes__are_ignored),
        STAGE_TEST(fingerprint__is_checked_and_echoed),
        STAGE_TEST(after_fingerprint__nothing_is_read),
        STAGE_TEST(header__wrong_is_dropped),
        STAGE_TEST(methods_and_classes__of_others_are_dropped),
        STAGE_TEST(attribute__past_the_end),
        STAGE_TEST(first_byte__decides),
        STAGE_TEST(transmit_counter__is_echoed),
        STAGE_TEST(responses__software_and_reason),
        STAGE_TEST(attribute_order__is_free),
        STAGE_TEST(tunnelled_clients__are_not_served),
        STAGE_TEST(halves__can_be_switched_off),
        STAGE_TEST(secure_stun__wants_credentials_for_binding),
        STAGE_TEST(stun_backward_compatibility__adds_the_plain_address),
        STAGE_TEST(strangers__leave_nothing_behind),
        STAGE_TEST(counters__add_up),
        STAGE_TEST(successes__bring_no_nonce),
    };
    return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}

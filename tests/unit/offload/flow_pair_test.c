/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and values of a channel's flows, and that the sums in them make the right checksums. */
#include "offload/flow_pair.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/net_addr.h"
#include "check.h"
#include "offload/flow.h"
#include "seeded.h"

static struct net_addr addr(const char *text)
{
    struct net_addr out = {0};

    assert_int_equal(net_addr_parse(text, 0, &out), 0);
    return out;
}

static struct flow_spec spec_of(const char *client, const char *server, const char *relay,
                                const char *peer)
{
    return (struct flow_spec){
        .client = addr(client),
        .server = addr(server),
        .relay = addr(relay),
        .peer = addr(peer),
        .number = 0x4001,
    };
}

static struct flow_spec spec44(void)
{
    return spec_of("192.0.2.1:1000", "198.51.100.1:3478", "198.51.100.2:50000", "203.0.113.9:2000");
}

static struct flow_spec spec66(void)
{
    return spec_of("[2001:db8:1::1]:1000", "[2001:db8:2::1]:3478", "[2001:db8:2::2]:50000",
                   "[2001:db8:3::9]:2000");
}

static void pair__of_ipv4(void **state)
{
    const struct flow_spec spec = spec44();
    struct flow_pair pair;

    (void)state;
    assert_int_equal(flow_pair_make(&spec, &pair), 0);
    const struct offload_key4 to_peer = {inet_addr("192.0.2.1"),
                                         inet_addr("198.51.100.1"),
                                         htons(1000),
                                         htons(3478),
                                         htons(0x4001),
                                         0};
    const struct offload_key4 to_client = {
        inet_addr("203.0.113.9"), inet_addr("198.51.100.2"), htons(2000), htons(50000), 0, 0};
    const struct offload_flow *flow = &pair.flow[OFFLOAD_TO_PEER];
    assert_false(pair.key[OFFLOAD_TO_PEER].v6);
    assert_memory_equal(&pair.key[OFFLOAD_TO_PEER].of, &to_peer, sizeof(to_peer));
    assert_false(pair.key[OFFLOAD_TO_CLIENT].v6);
    assert_memory_equal(&pair.key[OFFLOAD_TO_CLIENT].of, &to_client, sizeof(to_client));
    assert_int_equal(flow->way, OFFLOAD_TO_PEER);
    assert_int_equal(flow->family, 4);
    assert_int_equal(flow->number, htons(0x4001));
    assert_memory_equal(flow->src, &to_client.dst, 4);
    assert_memory_equal(flow->dst, &to_client.src, 4);
    assert_int_equal(flow->src_port, htons(50000));
    assert_int_equal(flow->dst_port, htons(2000));
    assert_int_equal(flow->to_relay, 0);
    flow = &pair.flow[OFFLOAD_TO_CLIENT];
    assert_int_equal(flow->way, OFFLOAD_TO_CLIENT);
    assert_int_equal(flow->number, htons(0x4001));
    assert_memory_equal(flow->src, &to_peer.dst, 4);
    assert_memory_equal(flow->dst, &to_peer.src, 4);
    assert_int_equal(flow->src_port, htons(3478));
    assert_int_equal(flow->dst_port, htons(1000));
}

static void pair__of_ipv6(void **state)
{
    struct flow_spec spec = spec66();
    struct flow_pair pair;

    (void)state;
    spec.to_relay = true;
    assert_int_equal(flow_pair_make(&spec, &pair), 0);
    assert_true(pair.key[OFFLOAD_TO_PEER].v6);
    assert_memory_equal(pair.key[OFFLOAD_TO_PEER].of.v6.src, spec.client.ip.b, 16);
    assert_memory_equal(pair.key[OFFLOAD_TO_PEER].of.v6.dst, spec.server.ip.b, 16);
    assert_int_equal(pair.key[OFFLOAD_TO_PEER].of.v6.number, htons(0x4001));
    assert_int_equal(pair.key[OFFLOAD_TO_PEER].of.v6.zero, 0);
    assert_int_equal(pair.key[OFFLOAD_TO_CLIENT].of.v6.number, 0);
    assert_int_equal(pair.flow[OFFLOAD_TO_PEER].family, 6);
    assert_int_equal(pair.flow[OFFLOAD_TO_PEER].to_relay, 1);
    assert_int_equal(pair.flow[OFFLOAD_TO_CLIENT].to_relay, 1);
    assert_memory_equal(pair.flow[OFFLOAD_TO_PEER].src, spec.relay.ip.b, 16);
    assert_memory_equal(pair.flow[OFFLOAD_TO_CLIENT].dst, spec.client.ip.b, 16);
}

/* The family of an entry is that of the packets that leave, its map that of those that arrive. */
static void pair__between_families(void **state)
{
    const struct flow_spec spec = spec_of("192.0.2.1:1000", "198.51.100.1:3478",
                                          "[2001:db8:2::2]:50000", "[2001:db8:3::9]:2000");
    struct flow_pair pair;

    (void)state;
    assert_int_equal(flow_pair_make(&spec, &pair), 0);
    assert_false(pair.key[OFFLOAD_TO_PEER].v6);
    assert_int_equal(pair.flow[OFFLOAD_TO_PEER].family, 6);
    assert_true(pair.key[OFFLOAD_TO_CLIENT].v6);
    assert_int_equal(pair.flow[OFFLOAD_TO_CLIENT].family, 4);
}

/* From what is in the map, the key of the other entry. */
static void pair__leads_back(void **state)
{
    const struct flow_spec specs[] = {spec44(), spec66()};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(specs); i++) {
        struct flow_pair pair;
        assert_int_equal(flow_pair_make(&specs[i], &pair), 0);
        const struct flow_key back = flow_pair_back(&pair.flow[OFFLOAD_TO_PEER]);
        assert_int_equal(back.v6, pair.key[OFFLOAD_TO_CLIENT].v6);
        assert_memory_equal(&back.of, &pair.key[OFFLOAD_TO_CLIENT].of, sizeof(back.of));
    }
}

static void pair__refuses_addresses_that_programs_do_not_do(void **state)
{
    const char *const bad4[] = {"0.0.0.0:1", "0.1.2.3:1", "224.0.0.1:1", "255.255.255.255:1",
                                "192.0.2.7:0"};
    const char *const bad6[] = {"[::]:1",      "[ff02::1]:1",     "[fe80::1]:1",
                                "[febf::1]:1", "[2001:db8::1]:0", "[2001:db8::1%3]:1"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad4) + COUNT_OF(bad6); i++) {
        const bool v4 = i < COUNT_OF(bad4);
        const struct flow_spec good = v4 ? spec44() : spec66();
        const struct net_addr bad = addr(v4 ? bad4[i] : bad6[i - COUNT_OF(bad4)]);
        struct flow_spec specs[4] = {good, good, good, good};
        struct flow_pair pair;
        specs[0].client = bad;
        specs[1].server = bad;
        specs[2].relay = bad;
        specs[3].peer = bad;
        for (size_t k = 0; k < COUNT_OF(specs); k++) {
            assert_int_equal(flow_pair_make(&specs[k], &pair), -EINVAL);
        }
    }
}

static void pair__refuses_mixed_and_mapped_addresses(void **state)
{
    struct flow_spec mapped = spec66();
    const struct flow_spec mixed[] = {
        spec_of("192.0.2.1:1", "[2001:db8::1]:2", "198.51.100.2:3", "203.0.113.9:4"),
        spec_of("192.0.2.1:1", "198.51.100.2:2", "198.51.100.2:3", "[2001:db8::1]:4"),
    };
    struct flow_spec none = spec44();
    struct flow_pair pair;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(mixed); i++) {
        assert_int_equal(flow_pair_make(&mixed[i], &pair), -EINVAL);
    }
    mapped.peer.ip = none.peer.ip; /* ::ffff:203.0.113.9 on the wire */
    assert_int_equal(flow_pair_make(&mapped, &pair), -EINVAL);
    none.peer.family = NET_NONE;
    none.relay.family = NET_NONE;
    assert_int_equal(flow_pair_make(&none, &pair), -EINVAL);
}

static void pair__refuses_what_is_no_channel(void **state)
{
    const uint16_t numbers[] = {0, 1, 0x3fff, 0x8000, 0xffff};
    struct flow_spec spec = spec44();
    struct flow_pair pair;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        spec.number = numbers[i];
        assert_int_equal(flow_pair_make(&spec, &pair), -EINVAL);
    }
}

/* --- checksums: as bpf/decide.h and bpf/emit.h do them, against RFC 768 in full ------------------
 */

enum { DATA_MAX = 1500, HEAD = 4 };

/* A UDP packet without its link and IP headers. */
struct datagram {
    struct net_addr src;
    struct net_addr dst;
    size_t len; /* of the UDP payload */
    uint8_t payload[HEAD + DATA_MAX + 4];
};

static uint32_t sum_bytes(uint32_t sum, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        sum += i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i];
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

/* RFC 768, RFC 8200 section 8.1; host order. */
static uint16_t full_checksum(const struct datagram *d)
{
    const size_t skip = d->src.family == NET_V4 ? 12 : 0;
    const uint32_t udp_len = (uint32_t)d->len + 8;
    uint32_t sum = sum_bytes(0, d->src.ip.b + skip, 16 - skip);

    sum = sum_bytes(sum, d->dst.ip.b + skip, 16 - skip);
    sum += 17 + udp_len + udp_len + d->src.port + d->dst.port;
    sum = sum_bytes((sum & 0xffff) + (sum >> 16), d->payload, d->len);
    sum = (sum & 0xffff) + (sum >> 16);
    const uint16_t check = (uint16_t)~sum;
    return check != 0 ? check : 0xffff;
}

static uint16_t fold(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* The program's arithmetic; everything as it lies in memory. */
static uint16_t next_checksum(uint16_t check, size_t in_len, size_t out_len, size_t data_len,
                              const struct offload_flow *first, const struct offload_flow *second)
{
    const struct offload_flow *last = second != NULL ? second : first;
    const uint16_t in = htons((uint16_t)(in_len + 8));
    const uint16_t out = htons((uint16_t)(out_len + 8));
    const uint16_t data = htons((uint16_t)data_len);
    uint32_t sum = (uint16_t)~check + first->udp_sum + 2U * (uint16_t)~in + 2U * out;

    sum += first->way == OFFLOAD_TO_PEER ? (uint16_t)~data : 0U;
    sum += last->way == OFFLOAD_TO_CLIENT ? data : 0U;
    sum += second != NULL ? second->udp_sum : 0U;
    const uint16_t next = (uint16_t)~fold(sum);
    return next != 0 ? next : 0xffff;
}

static void put_head(struct datagram *d, uint16_t number, size_t data_len)
{
    const uint16_t head[] = {htons(number), htons((uint16_t)data_len)};

    memcpy(d->payload, head, sizeof(head));
}

static struct net_addr random_addr(struct seeded *seeded, bool v6)
{
    struct net_addr out = {.family = v6 ? NET_V6 : NET_V4};

    out.port = (uint16_t)(1 + seeded_below(seeded, 0xffff));
    if (v6) {
        seeded_fill(seeded, out.ip.b, sizeof(out.ip.b));
        out.ip.b[0] = 0x20;
    } else {
        uint8_t v4[4];
        seeded_fill(seeded, v4, sizeof(v4));
        v4[0] = (uint8_t)(1 + seeded_below(seeded, 223));
        out.ip = net_ip_v4(v4);
    }
    return out;
}

static struct flow_spec random_spec(struct seeded *seeded)
{
    const bool client6 = seeded_below(seeded, 2) != 0;
    const bool peer6 = seeded_below(seeded, 2) != 0;

    return (struct flow_spec){
        .client = random_addr(seeded, client6),
        .server = random_addr(seeded, client6),
        .relay = random_addr(seeded, peer6),
        .peer = random_addr(seeded, peer6),
        .number = (uint16_t)(0x4000 + seeded_below(seeded, 0x1000)),
    };
}

/* Application data between from a client and to one: with a head, and without. */
struct crossing {
    struct datagram headed; /* a surplus of zeros may follow the data */
    struct datagram bare;
};

static size_t random_data(struct seeded *seeded, struct crossing *c)
{
    const size_t len = seeded_below(seeded, DATA_MAX + 1);

    memset(c, 0, sizeof(*c));
    seeded_fill(seeded, c->bare.payload, len);
    if (seeded_below(seeded, 8) == 0) {
        memset(c->bare.payload, seeded_below(seeded, 2) != 0 ? 0xff : 0, len);
    }
    memcpy(c->headed.payload + HEAD, c->bare.payload, len);
    c->bare.len = len;
    c->headed.len = HEAD + len;
    return len;
}

static void check_to_peer(struct seeded *seeded, const struct flow_spec *spec,
                          const struct flow_pair *pair)
{
    struct crossing c;
    const size_t len = random_data(seeded, &c);

    c.headed.len += seeded_below(seeded, 4); /* padding */
    c.headed.src = spec->client;
    c.headed.dst = spec->server;
    put_head(&c.headed, spec->number, len);
    c.bare.src = spec->relay;
    c.bare.dst = spec->peer;
    assert_int_equal(next_checksum(htons(full_checksum(&c.headed)), c.headed.len, len, len,
                                   &pair->flow[OFFLOAD_TO_PEER], NULL),
                     htons(full_checksum(&c.bare)));
}

static void check_to_client(struct seeded *seeded, const struct flow_spec *spec,
                            const struct flow_pair *pair)
{
    struct crossing c;
    const size_t len = random_data(seeded, &c);

    c.bare.src = spec->peer;
    c.bare.dst = spec->relay;
    c.headed.src = spec->server;
    c.headed.dst = spec->client;
    put_head(&c.headed, spec->number, len);
    assert_int_equal(next_checksum(htons(full_checksum(&c.bare)), len, c.headed.len, len,
                                   &pair->flow[OFFLOAD_TO_CLIENT], NULL),
                     htons(full_checksum(&c.headed)));
}

static void pair__sums_make_the_right_checksum(void **state)
{
    struct seeded seeded = {1};

    (void)state;
    for (int i = 0; i < 20000; i++) {
        const struct flow_spec spec = random_spec(&seeded);
        struct flow_pair pair;
        assert_int_equal(flow_pair_make(&spec, &pair), 0);
        check_to_peer(&seeded, &spec, &pair);
        check_to_client(&seeded, &spec, &pair);
    }
}

/* From a channel into another one whose relay is the peer, in one pass. */
static void pair__sums_add_up_from_relay_to_relay(void **state)
{
    struct seeded seeded = {2};

    (void)state;
    for (int i = 0; i < 20000; i++) {
        const struct flow_spec a = random_spec(&seeded);
        struct flow_spec b = random_spec(&seeded);
        struct flow_pair first;
        struct flow_pair second;
        struct crossing in;
        const size_t len = random_data(&seeded, &in);
        struct crossing out = in;
        b.relay = a.peer;
        b.peer = a.relay;
        assert_int_equal(flow_pair_make(&a, &first), 0);
        assert_int_equal(flow_pair_make(&b, &second), 0);
        in.headed.src = a.client;
        in.headed.dst = a.server;
        put_head(&in.headed, a.number, len);
        out.headed.src = b.server;
        out.headed.dst = b.client;
        put_head(&out.headed, b.number, len);
        assert_int_equal(next_checksum(htons(full_checksum(&in.headed)), in.headed.len,
                                       out.headed.len, len, &first.flow[OFFLOAD_TO_PEER],
                                       &second.flow[OFFLOAD_TO_CLIENT]),
                         htons(full_checksum(&out.headed)));
    }
}

/* RFC 791: the header's words, its checksum among them, make 0xffff. */
static void pair__ip_sum_makes_the_right_checksum(void **state)
{
    struct seeded seeded = {3};
    uint8_t ip[20] = {0x45};

    (void)state;
    for (int i = 0; i < 20000; i++) {
        const struct flow_spec spec = random_spec(&seeded);
        struct flow_pair pair;
        assert_int_equal(flow_pair_make(&spec, &pair), 0);
        const struct offload_flow *flow = &pair.flow[seeded_below(&seeded, 2)];
        if (flow->family != 4) {
            assert_int_equal(flow->ip_sum, 0);
            continue;
        }
        seeded_fill(&seeded, ip + 1, 5); /* TOS, total length, identification */
        ip[8] = (uint8_t)seeded_below(&seeded, 256);
        ip[9] = 17;
        memcpy(ip + 12, flow->src, 4);
        memcpy(ip + 16, flow->dst, 4);
        uint16_t word[3];
        memcpy(word, ip, sizeof(word));
        const uint16_t check = (uint16_t)~fold(flow->ip_sum + htons(ip[1]) + word[1] + word[2] +
                                               htons((uint16_t)(ip[8] << 8)));
        memcpy(ip + 10, &check, sizeof(check));
        assert_int_equal(sum_bytes(0, ip, sizeof(ip)), 0xffff);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pair__of_ipv4),
        cmocka_unit_test(pair__of_ipv6),
        cmocka_unit_test(pair__between_families),
        cmocka_unit_test(pair__leads_back),
        cmocka_unit_test(pair__refuses_addresses_that_programs_do_not_do),
        cmocka_unit_test(pair__refuses_mixed_and_mapped_addresses),
        cmocka_unit_test(pair__refuses_what_is_no_channel),
        cmocka_unit_test(pair__sums_make_the_right_checksum),
        cmocka_unit_test(pair__sums_add_up_from_relay_to_relay),
        cmocka_unit_test(pair__ip_sum_makes_the_right_checksum),
    };

    return cmocka_run_group_tests_name("offload/flow_pair", tests, NULL, NULL);
}

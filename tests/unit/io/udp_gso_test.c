/* SPDX-License-Identifier: Apache-2.0 */
#include "io/udp_gso.h"

#include <errno.h>

#include "io/udp_tx.h"
#include "udp_burst.h"

static void gso__bad_kernels_are_known(void **state)
{
    static const struct {
        const char *release;
        bool bad;
    } cases[] = {
        {"5.15.0-91-generic", false},
        {"6.1.0-18-amd64", false},
        {"6.18.44", false},
        {"7.0.0", true},
        {"7.0.12-arch1", true},
        {"7.1.0-rc3", true},
        {"7.1", true},
        {"7.1.4-1-pve", true},
        {"7.1.5", false},
        {"7.1.15-generic", false},
        {"7.2.0", false},
        {"8.0.1", false},
        {"17.0.1", false},
        {"", false},
        {"linux", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(udp_gso_is_bad_release(cases[i].release), cases[i].bad);
    }
}

static void gso__test_passes_on_a_good_kernel(void **state)
{
    const int err = udp_gso_test();

    (void)state;
    if (err == -EOPNOTSUPP) {
        CHECK_SKIP("this kernel does not segment, or is known to be bad at it");
    }
    assert_int_equal(err, 0);
}

struct stage {
    struct udp_batch *batch;
    struct udp_port port;
    struct udp_port from[64];
};

static void no_df(void *arg, struct pkt *pkt)
{
    (void)arg;
    (void)pkt;
    fail();
}

static int setup(void **state)
{
    const struct udp_options options = {.local = pair_addr("127.0.0.1:0")};
    struct stage *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        return -1;
    }
    s->batch = udp_batch_new(no_df, NULL);
    udp_batch_set_gso(s->batch, true);
    pair_open(&s->port, &options);
    for (size_t i = 0; i < COUNT_OF(s->from); i++) {
        pair_open(&s->from[i], &options);
    }
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct stage *s = *state;

    udp_close(&s->port);
    for (size_t i = 0; i < COUNT_OF(s->from); i++) {
        udp_close(&s->from[i]);
    }
    udp_batch_free(s->batch);
    free(s);
    return 0;
}

/* `visits` that find `packets` of `flows` each. */
static void visit(struct stage *s, uint32_t visits, uint32_t packets, uint32_t flows)
{
    for (uint32_t i = 0; i < visits; i++) {
        for (uint32_t k = 0; k < packets; k++) {
            pair_send(s->from[k % flows].fd, &s->port.local, "x", 1);
        }
        (void)burst_expect(s->batch, &s->port, packets);
        udp_tx_flush(s->batch);
    }
}

static bool is_on(const struct stage *s)
{
    int value = 0;
    socklen_t len = sizeof(value);

    assert_int_equal(getsockopt(s->port.fd, IPPROTO_UDP, UDP_GRO, &value, &len), 0);
    assert_int_equal(value != 0, s->port.gro);
    return value != 0;
}

static void gro__is_asked_for_where_packets_come_together(void **state)
{
    struct stage *s = *state;

    visit(s, 2, 16, 2);
    assert_false(is_on(s)); /* once is not enough */
    visit(s, 20, 16, 2);
    assert_true(is_on(s));
}

/* Audio: a packet or two at a time; many clients: many packets, few of each. */
static void gro__is_not_asked_for_single_packets(void **state)
{
    struct stage *s = *state;

    visit(s, 50, 1, 1);
    visit(s, 50, 2, 1);
    visit(s, 50, 64, 64);
    assert_false(is_on(s));
}

/* Now and then several at a time, by chance, does not add up. */
static void gro__chance_does_not_add_up(void **state)
{
    struct stage *s = *state;

    for (int i = 0; i < 20; i++) {
        visit(s, 1, 4, 1);
        visit(s, 3, 1, 1);
    }
    assert_false(is_on(s));
}

static void gro__is_never_asked_for_against_the_owners_will(void **state)
{
    struct stage *s = *state;

    s->port.gro_never = true;
    visit(s, 30, 16, 1);
    assert_false(is_on(s));
    s->port.gro_never = false;
    udp_batch_set_gso(s->batch, false);
    visit(s, 30, 16, 1);
    assert_false(is_on(s));
}

/* The kernel path forwards single packets: what goes out may still be one message. */
static void gro__is_not_asked_for_where_something_below_forwards(void **state)
{
    struct stage *s = *state;

    udp_batch_no_gro(s->batch);
    visit(s, 30, 16, 1);
    assert_false(is_on(s));
    udp_batch_set_gso(s->batch, true); /* and that is what held it back */
    visit(s, 30, 16, 1);
    assert_true(is_on(s));
}

/* A kernel without it is not asked again and again. */
static void gro__refused_is_not_asked_for_again(void **state)
{
    struct stage *s = *state;
    struct pkt pkt[4] = {{.len = 0}};
    struct udp_port none = {.fd = -1};

    (void)s;
    for (int i = 0; i < 20; i++) {
        udp_gro_learn(&none, pkt, COUNT_OF(pkt));
    }
    assert_false(none.gro);
    assert_true(none.gro_never);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gso__bad_kernels_are_known),
        cmocka_unit_test(gso__test_passes_on_a_good_kernel),
        cmocka_unit_test_setup_teardown(gro__is_asked_for_where_packets_come_together, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(gro__is_not_asked_for_single_packets, setup, teardown),
        cmocka_unit_test_setup_teardown(gro__chance_does_not_add_up, setup, teardown),
        cmocka_unit_test_setup_teardown(gro__is_never_asked_for_against_the_owners_will, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(gro__is_not_asked_for_where_something_below_forwards, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(gro__refused_is_not_asked_for_again, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "log/record.h"

#include <stdalign.h>

#include "base/net_addr.h"
#include "check.h"

static alignas(8) uint8_t packed[RECORD_MAX];
static struct record record;

static size_t pack(const struct log_field *fields)
{
    memset(packed, 0xa5, sizeof(packed));
    const size_t n = record_pack(packed, 1700000000123, LOG_NOTICE, "a.b", fields);
    record_unpack(packed, &record);
    return n;
}

static void record__comes_back_as_it_went(void **state)
{
    struct net_addr addr;

    (void)state;
    assert_int_equal(net_addr_parse("[2001:db8::1]:3478", 0, &addr), 0);
    char name[] = "alice";
    pack((const struct log_field[]){
        LOG_U64("u", UINT64_MAX),
        LOG_I64("i", INT64_MIN),
        LOG_ID("id", 7),
        LOG_USER("user", bytes_of(name)),
        LOG_TEXT("text", "a longer text than eight bytes"),
        LOG_ADDR("addr", &addr),
        LOG_IP("ip", &addr.ip),
        LOG_ERRNO("why", -2),
        LOG_END,
    });
    memset(name, 'x', sizeof(name) - 1); /* values were copied */
    memset(&addr.port, 0, sizeof(addr.port));

    assert_int_equal(record_time(packed), 1700000000123);
    assert_int_equal(record.time_ms, 1700000000123);
    assert_int_equal(record.level, LOG_NOTICE);
    assert_string_equal(record.event, "a.b");
    assert_false(record.cut);
    assert_int_equal(record.field_count, 8);
    assert_true(record.field[0].u64 == UINT64_MAX);
    assert_true(record.field[1].i64 == INT64_MIN);
    assert_int_equal(record.field[2].kind, LOG_KIND_ID);
    assert_int_equal(record.field[3].kind, LOG_KIND_USER);
    assert_true(bytes_equal(record.field[3].bytes, bytes_of("alice")));
    assert_string_equal(record.field[4].name, "text");
    assert_true(bytes_equal(record.field[4].bytes, bytes_of("a longer text than eight bytes")));
    assert_int_equal(record.field[5].addr->port, 3478);
    assert_true(net_ip_equal(record.field[6].ip, &addr.ip));
    assert_int_equal(record.field[7].i64, -2);
}

static void null__leaves_the_field_out(void **state)
{
    (void)state;
    pack((const struct log_field[]){LOG_TEXT("a", NULL), LOG_ADDR("b", NULL), LOG_IP("c", NULL),
                                    LOG_STR("d", ((struct bytes){NULL, 0})), LOG_END});
    assert_int_equal(record.field_count, 1);
    assert_string_equal(record.field[0].name, "d");
    assert_int_equal(record.field[0].bytes.n, 0);
    assert_false(record.cut);
}

static void string__is_cut_at_its_limit(void **state)
{
    static const uint8_t data[RECORD_STRING_MAX + 1] = {1};

    (void)state;
    pack((const struct log_field[]){LOG_STR("s", ((struct bytes){data, RECORD_STRING_MAX})),
                                    LOG_END});
    assert_false(record.cut);
    pack((const struct log_field[]){LOG_STR("s", ((struct bytes){data, sizeof(data)})), LOG_END});
    assert_true(record.cut);
    assert_int_equal(record.field[0].bytes.n, RECORD_STRING_MAX);
}

static void fields__beyond_the_limits_are_left_out(void **state)
{
    static const uint8_t data[RECORD_STRING_MAX];
    const struct bytes big = {data, sizeof(data)};
    struct log_field many[RECORD_FIELDS_MAX + 2];

    (void)state;
    for (unsigned i = 0; i <= RECORD_FIELDS_MAX; i++) {
        many[i] = LOG_U64("n", i);
    }
    many[RECORD_FIELDS_MAX] = LOG_END;
    pack(many);
    assert_int_equal(record.field_count, RECORD_FIELDS_MAX);
    assert_false(record.cut);
    many[RECORD_FIELDS_MAX] = LOG_U64("n", 0);
    many[RECORD_FIELDS_MAX + 1] = LOG_END;
    pack(many);
    assert_int_equal(record.field_count, RECORD_FIELDS_MAX);
    assert_true(record.cut);

    const size_t n = pack((const struct log_field[]){LOG_STR("a", big), LOG_STR("b", big),
                                                     LOG_STR("c", big), LOG_END});
    assert_true(n <= RECORD_MAX);
    assert_int_equal(record.field_count, 2);
    assert_true(record.cut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record__comes_back_as_it_went),
        cmocka_unit_test(null__leaves_the_field_out),
        cmocka_unit_test(string__is_cut_at_its_limit),
        cmocka_unit_test(fields__beyond_the_limits_are_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "auth/auth_realms.h"
#include "base/mem.h"
#include "relay/external.h"
#include "relay/interfaces.h"
#include "relay/listener.h"
#include "relay/quotas.h"
#include "relay/realms.h"
#include "relay/settings.h"
#include "relay_conf.h"
#include "turn/gate.h"
#include "turn/realm.h"

#define BASE "realm=main\nuser=a:b\n"

static const uint8_t random_key[TURN_NONCE_KEY_LEN] = {1, 2, 3};
static const struct interfaces own = {0, NULL};
static const struct listener_plan plan = {.count = 0};
static const struct auth_abilities both = {.sha256 = true, .userhash = true};

struct stage {
    struct realms *realms;
    struct settings *settings; /* made last */
};

static int stage_open(void **state)
{
    struct stage *stage = calloc(1, sizeof(*stage));

    assert_non_null(stage);
    stage->realms = realms_new();
    assert_non_null(stage->realms);
    *state = stage;
    return 0;
}

static int stage_close(void **state)
{
    struct stage *stage = *state;

    settings_free(stage->settings);
    realms_free(stage->realms);
    free(stage);
    return 0;
}

static int make_or_fail(struct stage *stage, const char *text, const struct auth_realms *facts,
                        long fail_from)
{
    char why[300] = "";
    struct external_map *external;
    struct settings *fresh = NULL;
    struct conf *conf = relay_conf(text);

    assert_int_equal(external_map_new(conf, &own, &external, why, sizeof(why)), 0);
    const struct settings_input in = {
        .conf = conf,
        .start = conf,
        .own = &own,
        .external = external,
        .listeners = &plan,
        .abilities = both,
        .facts = facts,
        .realms = stage->realms,
        .nonce_key = random_key,
        .relay_family = {true, false},
        .workers = 1,
    };
    mem_fail_at(fail_from);
    const int err = settings_new(&in, &fresh, why, sizeof(why));
    mem_fail_at(-1);
    if (err == 0) {
        settings_free(stage->settings);
        stage->settings = fresh;
    }
    external_map_free(external);
    conf_unref(conf);
    return err;
}

static const struct turn_config *make(struct stage *stage, const char *text,
                                      const struct auth_realms *facts)
{
    assert_int_equal(make_or_fail(stage, text, facts, -1), 0);
    return &stage->settings->config;
}

static uint32_t id_of(const struct turn_config *config, const char *name)
{
    uint32_t id = 0;

    assert_int_equal(turn_realm_find(config, bytes_of(name), &id), 0);
    return id;
}

static bool is_known(const struct turn_config *config, const char *name)
{
    uint32_t id;

    return turn_realm_find(config, bytes_of(name), &id) == 0;
}

static enum gate_verdict ask(const struct turn_config *config, const char *realm, const char *peer)
{
    struct net_addr addr;

    assert_int_equal(net_addr_parse(peer, 0, &addr), 0);
    return gate_check_addr(turn_realm_at(config, id_of(config, realm))->gate, &addr);
}

static const struct quota_limits *quotas_for(const struct stage *stage, const char *realm)
{
    return &stage->settings->realms.quotas[id_of(&stage->settings->config, realm)];
}

/* --- sections ------------------------------------------------------------------------------------
 */

static void sections__make_realms(void **state)
{
    struct stage *stage = *state;
    const struct turn_config *config =
        make(stage,
             BASE "max-bps=100\nuser-quota=5\ntotal-quota=50\ncheck-origin-consistency\n"
                  "[realm \"one\"]\nuser=c:d\nmax-bps=7\nuser-quota=0\n"
                  "[realm \"two\"]\nuser=c:d\ntotal-quota=9\n",
             NULL);

    assert_int_equal(config->realm_count, 2);
    assert_true(config->origin_consistency);
    assert_string_equal(config->main.name, "main");
    assert_int_equal(config->main.max_bps, 100);
    assert_int_equal(turn_realm_at(config, id_of(config, "one"))->max_bps, 7);
    assert_int_equal(turn_realm_at(config, id_of(config, "two"))->max_bps, 100);
    assert_int_equal(id_of(config, "main"), 0);
    assert_int_equal(quotas_for(stage, "main")->per_user, 5);
    assert_int_equal(quotas_for(stage, "main")->total, 50);
    assert_int_equal(quotas_for(stage, "one")->per_user, 0); /* without limit */
    assert_int_equal(quotas_for(stage, "one")->total, 50);
    assert_int_equal(quotas_for(stage, "two")->per_user, 5);
    assert_int_equal(quotas_for(stage, "two")->total, 9);
    assert_ptr_equal(turn_realm_at(config, 1)->gate, config->main.gate); /* no rules of their own */
    assert_ptr_equal(turn_realm_at(config, 2)->gate, config->main.gate);
    assert_false(is_known(config, "three"));
}

/* A session keeps its realm's number: it goes on in a realm that is gone. */
static void sections__that_go_leave_their_numbers(void **state)
{
    struct stage *stage = *state;
    const struct turn_config *config =
        make(stage, BASE "[realm \"x\"]\nuser=c:d\n[realm \"y\"]\nuser=c:d\n", NULL);
    const uint32_t x = id_of(config, "x");
    const uint32_t y = id_of(config, "y");

    config = make(stage, BASE "[realm \"a\"]\nuser=c:d\n[realm \"y\"]\nuser=c:d\n", NULL);
    assert_int_equal(config->realm_count, 3);
    assert_false(is_known(config, "x"));
    assert_true(turn_realm_at(config, x)->gone);
    assert_ptr_equal(turn_realm_at(config, x)->gate, config->main.gate);
    assert_int_equal(id_of(config, "y"), y);
    config = make(stage, BASE "[realm \"x\"]\nuser=c:d\n", NULL);
    assert_int_equal(id_of(config, "x"), x);
    assert_true(turn_realm_at(config, y)->gone);
}

static void sections__of_the_main_realm_add_to_it(void **state)
{
    struct stage *stage = *state;
    const struct turn_config *config =
        make(stage,
             BASE "max-bps=100\ndenied-peer-ip=9.9.9.9\n[realm \"main\"]\nmax-bps=8\n"
                  "user-quota=2\ndenied-peer-ip=8.8.8.8\n[realm \"other\"]\nuser=c:d\n",
             NULL);

    assert_int_equal(config->realm_count, 1);
    assert_int_equal(config->main.max_bps, 8);
    assert_int_equal(quotas_for(stage, "main")->per_user, 2);
    assert_int_equal(ask(config, "main", "8.8.8.8:1"), GATE_RULE);
    assert_int_equal(ask(config, "main", "9.9.9.9:1"), GATE_RULE);
    assert_int_equal(ask(config, "other", "8.8.8.8:1"), GATE_OPEN);
    assert_int_equal(ask(config, "other", "9.9.9.9:1"), GATE_RULE);
}

/* Another name of the main realm may be one that had a number, and the other way round. */
static void main__may_change_its_name(void **state)
{
    struct stage *stage = *state;
    const struct turn_config *config = make(stage, BASE "[realm \"x\"]\nuser=c:d\n", NULL);
    const uint32_t x = id_of(config, "x");

    config = make(stage, "realm=x\nuser=a:b\n[realm \"main\"]\nuser=c:d\n", NULL);
    assert_string_equal(config->main.name, "x");
    assert_int_equal(id_of(config, "x"), 0);
    assert_true(turn_realm_at(config, x)->gone);
    assert_true(id_of(config, "main") > x);
}

/* --- peers ---------------------------------------------------------------------------------------
 */

static void peers__of_realms_are_judged_by_rules_of_all_and_their_own(void **state)
{
    static const struct auth_realm facts_of[] = {
        {.name = "main", .abilities = {.sha256 = true}},
        {.name = "db", .abilities = {.sha256 = true}},
        {.name = "sec", .abilities = {.sha256 = true}},
    };
    static const struct auth_range ranges[] = {
        {"", "5.0.0.1", false},   {"", "10.1.0.0-10.1.0.255", true}, {"db", "5.0.0.2", false},
        {"db", "10.2.0.1", true}, {"sec", "5.0.0.3", true},          {"unheard", "5.0.0.4", false},
        {"db", "rubbish", false}, {"db", "10.0.0.9-10.0.0.1", true}, {"main", "5.0.0.5", false},
    };
    const struct auth_realms facts = {.realm_count = COUNT_OF(facts_of),
                                      .realms = facts_of,
                                      .range_count = COUNT_OF(ranges),
                                      .ranges = ranges};
    struct stage *stage = *state;
    const struct turn_config *config = make(
        stage,
        BASE "denied-peer-ip=5.0.0.0/8\nallowed-peer-ip=5.5.0.0/16\n[realm \"sec\"]\nuser=c:d\n"
             "allowed-peer-ip=10.3.0.1\ndenied-peer-ip=5.5.0.1\ndenied-peer-ip=6.0.0.1\n",
        &facts);

    assert_int_equal(ask(config, "main", "5.0.0.1:1"), GATE_RULE);
    assert_int_equal(ask(config, "main", "5.5.0.1:1"), GATE_OPEN);
    assert_int_equal(ask(config, "sec", "5.5.0.1:1"),
                     GATE_OPEN); /* first allow wins, as in coturn */
    assert_int_equal(ask(config, "sec", "6.0.0.1:1"), GATE_RULE);
    assert_int_equal(ask(config, "db", "6.0.0.1:1"), GATE_OPEN);
    assert_int_equal(ask(config, "main", "10.1.0.7:1"), GATE_OPEN); /* of every realm */
    assert_int_equal(ask(config, "sec", "10.1.0.7:1"), GATE_OPEN);
    assert_int_equal(ask(config, "db", "10.2.0.1:1"), GATE_OPEN);
    assert_int_equal(ask(config, "sec", "10.2.0.1:1"), GATE_PRIVATE);
    assert_int_equal(ask(config, "sec", "10.3.0.1:1"), GATE_OPEN);
    assert_int_equal(ask(config, "main", "10.3.0.1:1"), GATE_PRIVATE);
    assert_int_equal(ask(config, "sec", "5.0.0.3:1"), GATE_OPEN);
    assert_int_equal(stage->settings->realms.ignored_ranges, 2);
    assert_ptr_not_equal(config->main.gate, stage->settings->gate);
}

/* A thousand realms do not cost a thousand gates. */
static void peers__without_rules_of_a_realm_share_one_gate(void **state)
{
    struct stage *stage = *state;
    struct auth_realm *of = calloc(TURN_MAX_REALMS, sizeof(*of));
    char(*names)[16] = calloc(TURN_MAX_REALMS, sizeof(*names));

    assert_true(of != NULL && names != NULL);
    for (uint32_t i = 0; i < TURN_MAX_REALMS; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "r%u", i);
        of[i].name = names[i];
    }
    const struct auth_realms facts = {.realm_count = TURN_MAX_REALMS, .realms = of};
    const struct turn_config *config = make(stage, BASE, &facts);
    assert_int_equal(config->realm_count, TURN_MAX_REALMS - 1);
    assert_int_equal(stage->settings->realms.ignored_realms, 1); /* the main one is one, too */
    for (uint32_t i = 1; i < TURN_MAX_REALMS; i++) {
        assert_ptr_equal(turn_realm_at(config, i)->gate, config->main.gate);
        assert_int_equal(id_of(config, turn_realm_at(config, i)->name), i);
    }
    free(of);
    free(names);
}

/* --- the database --------------------------------------------------------------------------------
 */

static void facts__set_limits_where_sections_do_not(void **state)
{
    static const struct auth_realm facts_of[] = {
        {.name = "main", .has_user_quota = true, .user_quota = 3, .has_max_bps = true},
        {.name = "sec",
         .has_max_bps = true,
         .max_bps = 11,
         .has_total_quota = true,
         .total_quota = UINT64_MAX},
        {.name = "db", .has_user_quota = true, .user_quota = 4},
    };
    const struct auth_realms facts = {.realm_count = COUNT_OF(facts_of), .realms = facts_of};
    struct stage *stage = *state;
    const struct turn_config *config = make(
        stage, BASE "max-bps=100\nuser-quota=1\n[realm \"sec\"]\nuser=c:d\nmax-bps=12\n", &facts);

    assert_int_equal(config->main.max_bps, 0);
    assert_int_equal(turn_realm_at(config, id_of(config, "sec"))->max_bps, 12);
    assert_int_equal(turn_realm_at(config, id_of(config, "db"))->max_bps, 100);
    assert_int_equal(quotas_for(stage, "main")->per_user, 3);
    assert_int_equal(quotas_for(stage, "sec")->per_user, 1);
    assert_int_equal(quotas_for(stage, "sec")->total, UINT32_MAX);
    assert_int_equal(quotas_for(stage, "db")->per_user, 4);
    config = make(stage, BASE, NULL); /* it says nothing any more */
    assert_false(is_known(config, "db"));
}

/* RFC 8489 section 18.5: each realm offers what its users can do. */
static void facts__say_what_a_realm_offers(void **state)
{
    static const struct auth_realm facts_of[] = {
        {.name = "main", .abilities = {.sha256 = true, .userhash = true}},
        {.name = "old", .abilities = {.md5_only = true}},
    };
    const struct auth_realms facts = {.realm_count = COUNT_OF(facts_of), .realms = facts_of};
    struct stage *stage = *state;
    const struct turn_config *config = make(stage, BASE, &facts);
    const struct turn_realm *old = turn_realm_at(config, id_of(config, "old"));

    assert_int_equal(config->main.algorithms, TURN_ALG_SHA256_MD5);
    assert_true(config->main.username_anonymity);
    assert_int_equal(old->algorithms, TURN_ALG_MD5);
    assert_false(old->username_anonymity);
    config = make(stage, BASE "password-algorithms=sha256\nusername-anonymity=off\n", &facts);
    old = turn_realm_at(config, id_of(config, "old"));
    assert_int_equal(old->algorithms, TURN_ALG_SHA256);
    assert_false(config->main.username_anonymity);
}

static void facts__with_names_that_are_too_long_are_left_out(void **state)
{
    static char name[TURN_REALM_MAX * 4 + 2];
    struct stage *stage = *state;

    memset(name, 'x', sizeof(name) - 1);
    const struct auth_realm long_one = {.name = name};
    const struct auth_realms facts = {.realm_count = 1, .realms = &long_one};
    assert_int_equal(make(stage, BASE, &facts)->realm_count, 0);
    assert_int_equal(stage->settings->realms.ignored_realms, 1);
    name[sizeof(name) - 2] = '\0';
    assert_int_equal(make(stage, BASE, &facts)->realm_count, 1);
    assert_int_equal(stage->settings->realms.ignored_realms, 0);
}

/* --- origins -------------------------------------------------------------------------------------
 */

static void origins__stand_for_realms_however_they_are_spelled(void **state)
{
    static const struct auth_realm facts_of[] = {{.name = "main"}, {.name = "db"}};
    static const struct auth_origin from_db[] = {
        {"https://db.example:443", "db"},
        {"https://sec.example:443", "db"},
        {"https://lost.example", "unheard"},
        {"https://main.example", "main"},
        {"", "db"},
        {"null", "db"},
    };
    const struct auth_realms facts = {.realm_count = COUNT_OF(facts_of),
                                      .realms = facts_of,
                                      .origin_count = COUNT_OF(from_db),
                                      .origins = from_db};

    static const struct {
        const char *origin;
        const char *realm;
    } cases[] = {
        {"https://db.example", "db"},
        {"HTTPS://DB.Example:443/page", "db"},
        {"http://db.example", "main"},
        {"https://sec.example", "sec"}, /* sections first */
        {"https://a.example:8443", "sec"},
        {"https://a.example", "main"},
        {"https://main.example", "main"},
        {"https://lost.example", "main"},
        {"null", "db"},
        {"", "main"},
    };
    struct stage *stage = *state;
    const struct turn_config *config =
        make(stage,
             BASE "[realm \"sec\"]\nuser=c:d\norigin=https://A.example:8443/\n"
                  "origin=https://sec.example\n",
             &facts);

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(turn_realm_of_origin(config, bytes_of(cases[i].origin)),
                         id_of(config, cases[i].realm));
    }
    assert_int_equal(stage->settings->realms.ignored_origins, 2);
}

/* --- memory --------------------------------------------------------------------------------------
 */

static void settings__survive_every_failing_allocation(void **state)
{
    static const struct auth_realm facts_of[] = {{.name = "main"}, {.name = "db"}};
    static const struct auth_origin from_db[] = {{"https://db.example:443", "db"}};
    static const struct auth_range ranges[] = {{"db", "5.0.0.2", false}};
    const struct auth_realms facts = {.realm_count = COUNT_OF(facts_of),
                                      .realms = facts_of,
                                      .origin_count = COUNT_OF(from_db),
                                      .origins = from_db,
                                      .range_count = COUNT_OF(ranges),
                                      .ranges = ranges};
    struct stage *stage = *state;
    int failures = 0;

    mem_fail_at(0);
    const bool injects = mem_fails();
    mem_fail_at(-1);
    for (long at = 0, err = -ENOMEM; injects && err != 0; at++) {
        realms_free(stage->realms);
        stage->realms = realms_new();
        err = make_or_fail(stage, BASE "[realm \"sec\"]\nuser=c:d\ndenied-peer-ip=5.0.0.1\n",
                           &facts, at);
        assert_true(err == 0 || err == -ENOMEM);
        failures += err != 0;
    }
    assert_true(!injects || failures > 10);
}

int main(void)
{
#define STAGED(test) cmocka_unit_test_setup_teardown(test, stage_open, stage_close)
    const struct CMUnitTest tests[] = {
        STAGED(sections__make_realms),
        STAGED(sections__that_go_leave_their_numbers),
        STAGED(sections__of_the_main_realm_add_to_it),
        STAGED(main__may_change_its_name),
        STAGED(peers__of_realms_are_judged_by_rules_of_all_and_their_own),
        STAGED(peers__without_rules_of_a_realm_share_one_gate),
        STAGED(facts__set_limits_where_sections_do_not),
        STAGED(facts__say_what_a_realm_offers),
        STAGED(facts__with_names_that_are_too_long_are_left_out),
        STAGED(origins__stand_for_realms_however_they_are_spelled),
        STAGED(settings__survive_every_failing_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

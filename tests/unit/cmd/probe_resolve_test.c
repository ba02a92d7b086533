/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 5928 section 3, rule by rule, with zones that are tables. */
#include "cmd/probe_resolve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum { LINES_MAX = 24, ASKED_MAX = 4096, REMARKS_MAX = 16 };

/* A zone as lines: "NAME TYPE VALUES", where an empty string is written as -. */
struct zone {
    const char *const *lines;
    struct probe_dns_answer answer[LINES_MAX];
    size_t answer_count;
    char asked[ASKED_MAX]; /* "TYPE NAME|" for each new question */
    unsigned questions;
    char remarks[REMARKS_MAX][256];
    size_t remark_count;
    uint32_t random[8]; /* to be given, in turn */
    size_t random_count;
    bool no_answers;
};

static void text_of(const char *word, char *to, size_t cap)
{
    const size_t n = strcmp(word, "-") == 0 ? 0 : strlen(word);

    assert_true(n < cap);
    memcpy(to, word, n);
    to[n] = '\0';
}

static void take_line(struct probe_dns_answer *answer, const char *values)
{
    char words[3][128] = {"", "", ""};

    if (answer->type == PROBE_DNS_SRV) {
        struct probe_dns_srv *srv = &answer->record[answer->count++].srv;
        assert_int_equal(
            sscanf(values, "%hu %hu %hu %127s", &srv->priority, &srv->weight, &srv->port, words[0]),
            4);
        text_of(words[0], srv->target, sizeof(srv->target));
    } else if (answer->type == PROBE_DNS_NAPTR) {
        struct probe_dns_naptr *naptr = &answer->record[answer->count++].naptr;
        assert_int_equal(sscanf(values, "%hu %hu %127s %127s %127s", &naptr->order,
                                &naptr->preference, words[0], words[1], words[2]),
                         5);
        naptr->regexp = words[0][0] == '!';
        text_of(naptr->regexp ? words[0] + 1 : words[0], naptr->flags, sizeof(naptr->flags));
        text_of(words[1], naptr->service, sizeof(naptr->service));
        text_of(words[2], naptr->replacement, sizeof(naptr->replacement));
    } else if (strcmp(values, "alias") == 0) {
        answer->alias = true;
    } else {
        assert_int_equal(net_ip_parse(values, &answer->record[answer->count++].ip), 0);
    }
}

static const struct probe_dns_answer *ask(void *arg, enum probe_dns_type type, const char *name)
{
    struct zone *z = arg;
    char head[300];

    for (size_t i = 0; i < z->answer_count; i++) {
        if (z->answer[i].type == type && strcmp(z->answer[i].name, name) == 0) {
            return &z->answer[i];
        }
    }
    z->questions++;
    if (z->no_answers || z->answer_count == LINES_MAX) {
        return NULL;
    }
    struct probe_dns_answer *answer = &z->answer[z->answer_count++];
    *answer = (struct probe_dns_answer){.type = type, .status = PROBE_DNS_NO_NAME};
    snprintf(answer->name, sizeof(answer->name), "%s", name);
    snprintf(head, sizeof(head), "%s %s ", name, probe_dns_type_text(type));
    for (size_t i = 0; z->lines[i] != NULL; i++) {
        if (strncmp(z->lines[i], head, strlen(head)) == 0) {
            take_line(answer, z->lines[i] + strlen(head));
            answer->status = PROBE_DNS_FOUND;
        }
    }
    snprintf(z->asked + strlen(z->asked), sizeof(z->asked) - strlen(z->asked), "%s %s|",
             probe_dns_type_text(type), name);
    return answer;
}

static void remark(void *arg, enum probe_mark mark, const char *text, const char *advice)
{
    struct zone *z = arg;

    (void)mark;
    (void)advice;
    if (z->remark_count < REMARKS_MAX) {
        snprintf(z->remarks[z->remark_count++], sizeof(z->remarks[0]), "%s", text);
    }
}

static uint32_t draw(void *arg, uint32_t last)
{
    struct zone *z = arg;

    if (z->random_count == 0) {
        return 0;
    }
    const uint32_t value = z->random[0];
    memmove(z->random, z->random + 1, --z->random_count * sizeof(z->random[0]));
    assert_true(value <= last);
    return value;
}

static struct zone *zone;
static struct probe_resolve_list *list;
static const char *why;

static int set_up(void **state)
{
    (void)state;
    zone = calloc(1, sizeof(*zone));
    list = calloc(1, sizeof(*list));
    return zone == NULL || list == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(zone);
    free(list);
    return 0;
}

static int resolve(struct probe_resolve_wish wish, const char *const *lines)
{
    const struct probe_resolve_io io = {.arg = zone, .ask = ask, .remark = remark, .random = draw};

    zone->lines = lines;
    zone->answer_count = 0;
    zone->asked[0] = '\0';
    zone->remark_count = 0;
    if (wish.transport == NULL) {
        wish.transport = "";
    }
    return probe_resolve_run(&wish, &io, list, &why);
}

/* The servers as "transport address" with | between them. */
static const char *found(void)
{
    static char text[4096];
    char addr[NET_ADDR_TEXT];

    text[0] = '\0';
    for (size_t i = 0; i < list->count; i++) {
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s %s", i == 0 ? "" : "|",
                 probe_resolve_transport(list->server[i].transport),
                 net_addr_text(&list->server[i].addr, addr));
    }
    return text;
}

static bool remarked(const char *words)
{
    for (size_t i = 0; i < zone->remark_count; i++) {
        if (strstr(zone->remarks[i], words) != NULL) {
            return true;
        }
    }
    return false;
}

#define ALL                                                                                        \
    .supported = {NET_UDP, NET_TCP, NET_TLS, NET_DTLS}, .supported_count = PROBE_RESOLVE_TRANSPORTS

static const char *const nothing[] = {NULL};

/* Proves T-5928-3-02: the seven checks before the steps, with the changes of RFC 7350 section
 * 4.6.2. */
static void checks__stop_what_cannot_be_had(void **state)
{
    static const struct {
        bool secure;
        const char *transport;
        enum net_transport supported;
        const char *word;
    } rows[] = {
        {false, "udp", NET_TCP, "UDP"},       {false, "tcp", NET_UDP, "TCP"},
        {true, "udp", NET_TLS, "DTLS"},       {true, "tcp", NET_DTLS, "TLS"},
        {true, "", NET_UDP, "secure"},        {false, "sctp", NET_UDP, "unknown"},
        {false, "dtls", NET_DTLS, "unknown"}, {true, "tls", NET_TLS, "unknown"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct probe_resolve_wish wish = {.secure = rows[i].secure,
                                                .host = "192.0.2.1",
                                                .transport = rows[i].transport,
                                                .supported = {rows[i].supported},
                                                .supported_count = 1};
        assert_int_equal(resolve(wish, nothing), -EINVAL);
        assert_non_null(strstr(why, rows[i].word));
        assert_int_equal(list->count, 0);
    }
    assert_int_equal(resolve((struct probe_resolve_wish){.host = "192.0.2.1"}, nothing), -EINVAL);
}

/* Proves T-5928-3-03: table 1, with the row of RFC 7350. */
static void table_1__converts_transports(void **state)
{
    static const struct {
        bool secure;
        const char *transport;
        const char *found;
    } rows[] = {
        {false, "udp", "udp 192.0.2.1:3478"},
        {false, "TCP", "tcp 192.0.2.1:3478"},
        {true, "tcp", "tls 192.0.2.1:5349"},
        {true, "UDP", "dtls 192.0.2.1:5349"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(resolve((struct probe_resolve_wish){.secure = rows[i].secure,
                                                             .host = "192.0.2.1",
                                                             .transport = rows[i].transport,
                                                             ALL},
                                 nothing),
                         0);
        assert_string_equal(found(), rows[i].found);
    }
}

/* Proves T-5928-3-04 */
static void step_1__an_address_is_taken_as_it_is(void **state)
{
    (void)state;
    assert_int_equal(resolve((struct probe_resolve_wish){.host = "2001:db8::1",
                                                         .supported = {NET_TCP, NET_UDP},
                                                         .supported_count = 2},
                             nothing),
                     0);
    assert_string_equal(found(), "tcp [2001:db8::1]:3478|udp [2001:db8::1]:3478");
    assert_int_equal(
        resolve((struct probe_resolve_wish){.host = "192.0.2.1", .port = 443, .secure = true, ALL},
                nothing),
        0);
    assert_string_equal(found(), "tls 192.0.2.1:443|dtls 192.0.2.1:443");
    assert_int_equal(zone->questions, 0);
}

static const char *const hosts[] = {
    "example.net A 192.0.2.1",
    "example.net A 192.0.2.2",
    "example.net AAAA 2001:db8::1",
    NULL,
};

/* Proves T-5928-3-05 */
static void step_2__a_port_means_addresses_alone(void **state)
{
    (void)state;
    assert_int_equal(
        resolve(
            (struct probe_resolve_wish){.host = "example.net", .port = 80, .transport = "tcp", ALL},
            hosts),
        0);
    assert_string_equal(found(), "tcp 192.0.2.1:80|tcp 192.0.2.2:80|tcp [2001:db8::1]:80");
    assert_string_equal(zone->asked, "A example.net|AAAA example.net|");
    assert_int_equal(resolve((struct probe_resolve_wish){.host = "example.net",
                                                         .port = 80,
                                                         .supported = {NET_TCP, NET_UDP},
                                                         .supported_count = 2},
                             hosts),
                     0);
    assert_string_equal(found(), "tcp 192.0.2.1:80|tcp 192.0.2.2:80|tcp [2001:db8::1]:80|"
                                 "udp 192.0.2.1:80|udp 192.0.2.2:80|udp [2001:db8::1]:80");
    assert_int_equal(
        resolve((struct probe_resolve_wish){.host = "example.net", .port = 80, ALL}, nothing),
        -ENOENT);
}

/* Proves T-5928-3-06 */
static void step_3__a_transport_means_srv(void **state)
{
    static const char *const lines[] = {
        "_turn._udp.example.net SRV 0 0 3000 a.example.net",
        "_turn._tcp.example.net SRV 0 0 3001 a.example.net",
        "_turns._tcp.example.net SRV 0 0 3002 a.example.net",
        "_turns._udp.example.net SRV 0 0 3003 a.example.net",
        "example.net NAPTR 1 1 A RELAY:turn.udp b.example.net",
        "a.example.net A 192.0.2.1",
        NULL,
    };

    static const struct {
        bool secure;
        const char *transport;
        const char *found;
    } rows[] = {
        {false, "udp", "udp 192.0.2.1:3000"},
        {false, "tcp", "tcp 192.0.2.1:3001"},
        {true, "tcp", "tls 192.0.2.1:3002"},
        {true, "udp", "dtls 192.0.2.1:3003"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(resolve((struct probe_resolve_wish){.secure = rows[i].secure,
                                                             .host = "example.net",
                                                             .transport = rows[i].transport,
                                                             ALL},
                                 lines),
                         0);
        assert_string_equal(found(), rows[i].found);
        assert_null(strstr(zone->asked, "NAPTR"));
    }
}

/* Proves T-5928-3-06 */
static void step_3__without_srv_the_addresses_of_the_host(void **state)
{
    (void)state;
    assert_int_equal(
        resolve((struct probe_resolve_wish){.host = "example.net", .transport = "udp", ALL}, hosts),
        0);
    assert_string_equal(found(), "udp 192.0.2.1:3478|udp 192.0.2.2:3478|udp [2001:db8::1]:3478");
    assert_string_equal(zone->asked, "SRV _turn._udp.example.net|A example.net|AAAA example.net|");
    assert_int_equal(resolve(
                         (struct probe_resolve_wish){
                             .secure = true, .host = "example.net", .transport = "tcp", ALL},
                         hosts),
                     0);
    assert_string_equal(found(), "tls 192.0.2.1:5349|tls 192.0.2.2:5349|tls [2001:db8::1]:5349");
}

/* RFC 5928 figure 1 and table 2. */
static const char *const figure_1[] = {
    "example.com NAPTR 100 10 - RELAY:turn.udp:turn.tcp:turn.tls example.net",
    "example.net NAPTR 100 10 - RELAY:turn.udp datagram.example.net",
    "example.net NAPTR 200 10 - RELAY:turn.tcp:turn.tls stream.example.net",
    "datagram.example.net NAPTR 100 10 S RELAY:turn.udp _turn._udp.example.net",
    "stream.example.net NAPTR 100 10 S RELAY:turn.tcp _turn._tcp.example.net",
    "stream.example.net NAPTR 200 10 A RELAY:turn.tls a.example.net",
    "_turn._udp.example.net SRV 0 0 3478 a.example.net",
    "_turn._tcp.example.net SRV 0 0 5000 a.example.net",
    "a.example.net A 192.0.2.1",
    NULL,
};

#define EXAMPLE .supported = {NET_TLS, NET_TCP, NET_UDP}, .supported_count = 3

/* Proves T-5928-3-01, T-5928-3-07 */
static void step_4__the_example_of_multiple_protocols(void **state)
{
    (void)state;
    assert_int_equal(resolve((struct probe_resolve_wish){.host = "example.net", EXAMPLE}, figure_1),
                     0);
    assert_string_equal(found(), "udp 192.0.2.1:3478|tls 192.0.2.1:5349|tcp 192.0.2.1:5000");
    assert_int_equal(zone->remark_count, 0);
}

/* Proves T-5928-3-07: RFC 5928 figure 2: the order of the first set of records counts, where all
 * rank the same. */
static void step_4__the_example_of_remote_hosting(void **state)
{
    (void)state;
    assert_int_equal(resolve((struct probe_resolve_wish){.host = "example.com", EXAMPLE}, figure_1),
                     0);
    assert_string_equal(found(), "tls 192.0.2.1:5349|tcp 192.0.2.1:5000|udp 192.0.2.1:3478");
}

/* Proves T-5928-3-01, T-5928-3-07: RFC 7350 appendix A. */
static void step_4__the_example_of_dtls(void **state)
{
    static const char *const lines[] = {
        "example.net NAPTR 100 10 - RELAY:turn.udp:turn.dtls datagram.example.net",
        "example.net NAPTR 200 10 - RELAY:turn.tcp:turn.tls stream.example.net",
        "datagram.example.net NAPTR 100 10 S RELAY:turn.udp _turn._udp.example.net",
        "datagram.example.net NAPTR 200 10 S RELAY:turn.dtls _turns._udp.example.net",
        "stream.example.net NAPTR 100 10 S RELAY:turn.tcp _turn._tcp.example.net",
        "stream.example.net NAPTR 200 10 A RELAY:turn.tls a.example.net",
        "_turn._udp.example.net SRV 0 0 3478 a.example.net",
        "_turn._tcp.example.net SRV 0 0 5000 a.example.net",
        "_turns._udp.example.net SRV 0 0 5349 a.example.net",
        "a.example.net A 192.0.2.1",
        NULL,
    };

    (void)state;
    assert_int_equal(
        resolve((struct probe_resolve_wish){.host = "example.net",
                                            .supported = {NET_DTLS, NET_TLS, NET_TCP, NET_UDP},
                                            .supported_count = 4},
                lines),
        0);
    assert_string_equal(found(), "dtls 192.0.2.1:5349|udp 192.0.2.1:3478|tls 192.0.2.1:5349|"
                                 "tcp 192.0.2.1:5000");
    assert_int_equal(
        resolve((struct probe_resolve_wish){.secure = true, .host = "example.net", ALL}, lines), 0);
    assert_string_equal(found(), "dtls 192.0.2.1:5349|tls 192.0.2.1:5349");
}

/* Proves T-5928-3-07 */
static void step_4__order_goes_before_preference(void **state)
{
    static const char *const lines[] = {
        "example.net NAPTR 20 1 A relay:TURN.udp a.example.net",
        "example.net NAPTR 10 9 A RELAY:turn.tcp b.example.net",
        "example.net NAPTR 10 2 A RELAY:turn.tcp a.example.net",
        "a.example.net A 192.0.2.1",
        "b.example.net A 192.0.2.2",
        NULL,
    };

    (void)state;
    assert_int_equal(resolve((struct probe_resolve_wish){.host = "example.net", ALL}, lines), 0);
    assert_string_equal(found(), "tcp 192.0.2.1:3478|tcp 192.0.2.2:3478|udp 192.0.2.1:3478");
}

/* Proves T-5928-3-08: what was found by NAPTR is all there is: step 5 is for zones without. */
static void step_4__does_not_go_on_to_step_5(void **state)
{
    static const char *const lines[] = {
        "example.net NAPTR 10 1 S RELAY:turn.udp _turn._udp.example.net",
        "example.net A 192.0.2.1",
        NULL,
    };

    (void)state;
    assert_int_equal(resolve((struct probe_resolve_wish){.host = "example.net", ALL}, lines),
                     -ENOENT);
    assert_null(strstr(zone->asked, "A example.net"));
    assert_true(remarked("no SRV record"));
}

/* Proves T-5928-3-01, T-5928-3-08 */
static void step_5__srv_for_each_transport(void **state)
{
    static const char *const lines[] = {
        "_turn._udp.example.net SRV 0 0 3000 a.example.net",
        "_turns._tcp.example.net SRV 0 0 3002 a.example.net",
        "example.net NAPTR 1 1 S SIP+D2U _sip._udp.example.net",
        "example.net A 192.0.2.9",
        "a.example.net A 192.0.2.1",
        NULL,
    };

    (void)state;
    assert_int_equal(resolve((struct probe_resolve_wish){.host = "example.net", EXAMPLE}, lines),
                     0);
    assert_string_equal(found(), "tls 192.0.2.1:3002|tcp 192.0.2.9:3478|udp 192.0.2.1:3000");
    assert_int_equal(
        resolve((struct probe_resolve_wish){.secure = true, .host = "example.net", EXAMPLE}, lines),
        0);
    assert_string_equal(found(), "tls 192.0.2.1:3002");
    assert_null(strstr(zone->asked, "_turn._"));
}

/* Proves T-5928-3-08 */
static void step_5__nothing_at_all_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(resolve((struct probe_resolve_wish){.host = "example.net", ALL}, nothing),
                     -ENOENT);
    zone->no_answers = true;
    assert_int_equal(resolve((struct probe_resolve_wish){.host = "example.net", ALL}, nothing),
                     -ENOENT);
}

/* Proves T-5928-3-09: RFC 2782: priority, then a choice by weight. */
static void srv__priority_and_weight(void **state)
{
    static const char *const lines[] = {
        "_turn._udp.example.net SRV 2 0 1 a.example.net",
        "_turn._udp.example.net SRV 1 10 2 a.example.net",
        "_turn._udp.example.net SRV 1 0 3 a.example.net",
        "_turn._udp.example.net SRV 1 30 4 a.example.net",
        "a.example.net A 192.0.2.1",
        NULL,
    };

    static const struct {
        uint32_t random[3];
        const char *found;
    } rows[] = {
        {{0, 0, 0}, "udp 192.0.2.1:3|udp 192.0.2.1:2|udp 192.0.2.1:4|udp 192.0.2.1:1"},
        {{40, 10, 0}, "udp 192.0.2.1:4|udp 192.0.2.1:2|udp 192.0.2.1:3|udp 192.0.2.1:1"},
        {{10, 30, 0}, "udp 192.0.2.1:2|udp 192.0.2.1:4|udp 192.0.2.1:3|udp 192.0.2.1:1"},
        {{11, 0, 10}, "udp 192.0.2.1:4|udp 192.0.2.1:3|udp 192.0.2.1:2|udp 192.0.2.1:1"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        memcpy(zone->random, rows[i].random, sizeof(rows[i].random));
        zone->random_count = 3;
        assert_int_equal(
            resolve((struct probe_resolve_wish){.host = "example.net", .transport = "udp", ALL},
                    lines),
            0);
        assert_string_equal(found(), rows[i].found);
    }
}

/* Proves T-5928-3-09: RFC 2782: a target of "." says that the service is not there; the host is no
 * substitute. */
static void srv__not_offered(void **state)
{
    static const char *const lines[] = {
        "_turn._udp.example.net SRV 0 0 0 -",
        "example.net A 192.0.2.1",
        NULL,
    };

    (void)state;
    assert_int_equal(
        resolve((struct probe_resolve_wish){.host = "example.net", .transport = "udp", ALL}, lines),
        -ENOENT);
    assert_true(remarked("not offered"));
}

static void srv__slips_are_told(void **state)
{
    static const char *const lines[] = {
        "_turn._udp.example.net SRV 0 0 0 a.example.net",
        "_turn._udp.example.net SRV 1 0 1 b.example.net",
        "_turn._udp.example.net SRV 2 0 1 c.example.net",
        "_turn._udp.example.net SRV 3 0 1 -",
        "c.example.net A alias",
        "c.example.net A 192.0.2.1",
        NULL,
    };

    (void)state;
    assert_int_equal(
        resolve((struct probe_resolve_wish){.host = "example.net", .transport = "udp", ALL}, lines),
        0);
    assert_string_equal(found(), "udp 192.0.2.1:1");
    assert_true(remarked("port 0"));
    assert_true(remarked("b.example.net, which has no address"));
    assert_true(remarked("alias"));
    assert_true(remarked("denies"));
}

static void naptr__slips_are_told(void **state)
{
    static const char *const lines[] = {
        "example.net NAPTR 1 1 U RELAY:turn.udp a.example.net",
        "example.net NAPTR 1 2 !S RELAY:turn.udp a.example.net",
        "example.net NAPTR 1 3 S RELAY:turn.udp -",
        "example.net NAPTR 1 4 A RELAY:turn.udp b.example.net",
        "example.net NAPTR 1 5 - RELAY:turn.udp c.example.net",
        "example.net NAPTR 1 6 S RELAY:turn.udp _turn._tcp.example.net",
        "_turn._tcp.example.net SRV 0 0 7 a.example.net",
        "a.example.net A 192.0.2.1",
        NULL,
    };

    (void)state;
    assert_int_equal(resolve((struct probe_resolve_wish){.host = "example.net", ALL}, lines), 0);
    assert_string_equal(found(), "udp 192.0.2.1:7");
    assert_true(remarked("a flag that S-NAPTR does not know"));
    assert_true(remarked("a regular expression"));
    assert_true(remarked("no replacement"));
    assert_true(remarked("b.example.net, which has no address"));
    assert_true(remarked("c.example.net has no NAPTR record for turn.udp"));
    assert_true(remarked("not to _turn._udp."));
}

static void naptr__transports_that_nobody_asked_for(void **state)
{
    static const char *const lines[] = {
        "example.net NAPTR 1 1 A RELAY:turn.udp a.example.net",
        "example.net NAPTR 1 1 A RELAY a.example.net",
        "example.net NAPTR 1 1 A RELAYS:turn.tls a.example.net",
        "a.example.net A 192.0.2.1",
        NULL,
    };

    (void)state;
    assert_int_equal(
        resolve((struct probe_resolve_wish){.secure = true, .host = "example.net", ALL}, lines),
        -ENOENT);
    assert_true(remarked("no transport that was asked for"));
}

/* A zone that leads in circles, and that leads on in ever more ways, ends all the same. */
static void naptr__circles_end(void **state)
{
    static const char *const lines[] = {
        "example.net NAPTR 1 1 - RELAY:turn.udp:turn.tcp example.net",
        "example.net NAPTR 1 2 - RELAY:turn.udp:turn.tcp example.net",
        "example.net NAPTR 1 3 - RELAY:turn.udp:turn.tcp example.net",
        "example.net NAPTR 1 4 - RELAY:turn.udp:turn.tcp example.net",
        NULL,
    };

    (void)state;
    assert_int_equal(resolve((struct probe_resolve_wish){.host = "example.net", ALL}, lines),
                     -ENOENT);
    assert_true(remarked("circle"));
    assert_int_equal(zone->questions, 1);
}

/* Proves T-7064-3.2-01: with RFC 8489 section 8 and RFC 7350 section 4.4: no NAPTR for STUN. */
static void stun__srv_and_addresses(void **state)
{
    static const char *const lines[] = {
        "_stun._udp.example.net SRV 0 0 3000 a.example.net",
        "_stuns._tcp.example.net SRV 0 0 3001 a.example.net",
        "_stun-behavior._udp.example.net SRV 0 0 3002 a.example.net",
        "example.net NAPTR 1 1 A RELAY:turn.udp a.example.net",
        "example.net A 192.0.2.9",
        "a.example.net A 192.0.2.1",
        NULL,
    };

    (void)state;
    assert_int_equal(resolve((struct probe_resolve_wish){.service = PROBE_RESOLVE_STUN,
                                                         .host = "example.net",
                                                         .supported = {NET_UDP, NET_TCP},
                                                         .supported_count = 2},
                             lines),
                     0);
    assert_string_equal(found(), "udp 192.0.2.1:3000|tcp 192.0.2.9:3478");
    assert_null(strstr(zone->asked, "NAPTR"));
    assert_int_equal(resolve((struct probe_resolve_wish){.service = PROBE_RESOLVE_STUN,
                                                         .secure = true,
                                                         .host = "example.net",
                                                         .supported = {NET_TLS},
                                                         .supported_count = 1},
                             lines),
                     0);
    assert_string_equal(found(), "tls 192.0.2.1:3001");
}

/* RFC 5780 section 5.1: whoever announces nothing has no such server. */
static void behaviour__srv_alone(void **state)
{
    static const char *const lines[] = {
        "_stun-behavior._udp.example.net SRV 0 0 3002 a.example.net",
        "example.net A 192.0.2.9",
        "a.example.net A 192.0.2.1",
        NULL,
    };
    char name[PROBE_DNS_NAME];

    (void)state;
    assert_int_equal(resolve((struct probe_resolve_wish){.service = PROBE_RESOLVE_BEHAVIOUR,
                                                         .host = "example.net",
                                                         .supported = {NET_UDP, NET_TCP},
                                                         .supported_count = 2},
                             lines),
                     0);
    assert_string_equal(found(), "udp 192.0.2.1:3002");
    probe_resolve_srv_name(PROBE_RESOLVE_BEHAVIOUR, NET_TLS, "example.net", name);
    assert_string_equal(name, "_stun-behaviors._tcp.example.net");
}

/* The same server by two ways is tried once. */
static void list__has_each_server_once(void **state)
{
    static const char *const lines[] = {
        "_turn._udp.example.net SRV 0 0 1 a.example.net",
        "_turn._udp.example.net SRV 1 0 1 b.example.net",
        "a.example.net A 192.0.2.1",
        "b.example.net A 192.0.2.1",
        NULL,
    };

    (void)state;
    assert_int_equal(
        resolve((struct probe_resolve_wish){.host = "example.net", .transport = "udp", ALL}, lines),
        0);
    assert_string_equal(found(), "udp 192.0.2.1:1");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(checks__stop_what_cannot_be_had),
        TEST(table_1__converts_transports),
        TEST(step_1__an_address_is_taken_as_it_is),
        TEST(step_2__a_port_means_addresses_alone),
        TEST(step_3__a_transport_means_srv),
        TEST(step_3__without_srv_the_addresses_of_the_host),
        TEST(step_4__the_example_of_multiple_protocols),
        TEST(step_4__the_example_of_remote_hosting),
        TEST(step_4__the_example_of_dtls),
        TEST(step_4__order_goes_before_preference),
        TEST(step_4__does_not_go_on_to_step_5),
        TEST(step_5__srv_for_each_transport),
        TEST(step_5__nothing_at_all_is_an_error),
        TEST(srv__priority_and_weight),
        TEST(srv__not_offered),
        TEST(srv__slips_are_told),
        TEST(naptr__slips_are_told),
        TEST(naptr__transports_that_nobody_asked_for),
        TEST(naptr__circles_end),
        TEST(stun__srv_and_addresses),
        TEST(behaviour__srv_alone),
        TEST(list__has_each_server_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* sterna-load: many TURN clients and their peers, for measuring a server on the other side of two
 * veth pairs.  It speaks RFC 5389 credentials, so it can measure coturn as well.
 *
 *   load relay   allocate, bind a channel each, then send stamped packets, client -> relay -> peer
 *                (--up), peer -> relay -> client (--down) or both
 *   load alloc   Allocate (401 included) + Refresh with LIFETIME 0, over and over
 *   load soak    the same for long; then allocate --capacity ports and wait for a line
 *   load idle    allocate and wait for a line on standard input
 *   load flood   Binding and Allocate requests without credentials from many sources
 *
 * Prints one line of JSON.  Bounded in time and count. */
#include "load.h"

#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/longterm.h"
#include "live.h"

enum { FIRST_OPTION = 256 }; /* values of options without a letter */

/* Options that are a number in struct load. */
static const struct {
    const char *name;
    size_t at;
} numbers[] = {
    {"clients", offsetof(struct load, clients)},
    {"idle", offsetof(struct load, idle)},
    {"control", offsetof(struct load, control)},
    {"control-rate", offsetof(struct load, control_rate)},
    {"window", offsetof(struct load, window)},
    {"payload", offsetof(struct load, payload)},
    {"tail", offsetof(struct load, tail)},
    {"burst", offsetof(struct load, burst)},
    {"rate", offsetof(struct load, rate)},
    {"batch", offsetof(struct load, batch)},
    {"flood", offsetof(struct load, flood)},
    {"outstanding", offsetof(struct load, outstanding)},
    {"capacity", offsetof(struct load, capacity)},
    {"milliseconds", offsetof(struct load, milliseconds)},
};

enum { NUMBERS = sizeof(numbers) / sizeof(numbers[0]) };

/* An end of the stand: NETNS,DEVICE,PEER-MAC,IP. */
struct place {
    char netns[64];
    char dev[64];
    char mac[64];
    char ip[64];
};

struct arguments {
    struct place client;
    struct place peer;
    const char *password;
};

void load_die(const char *what)
{
    (void)fprintf(stderr, "load: %s\n", what);
    exit(1);
}

static uint32_t parse_ip(const char *text)
{
    struct net_ip ip;

    if (net_ip_parse(text, &ip) < 0 || !net_ip_is_v4(&ip)) {
        load_die("an address must be IPv4");
    }
    return be32(net_ip_v4_bytes(&ip));
}

static void parse_place(const char *text, struct place *out)
{
    if (sscanf(text, "%63[^,],%63[^,],%63[^,],%63s", out->netns, out->dev, out->mac, out->ip) !=
        4) {
        load_die("an end is NETNS,DEVICE,PEER-MAC,IP");
    }
}

static void parse_bare(const char *text, struct endpoint *out)
{
    const char *colon = strchr(text, ':');
    char ip[64];

    if (colon == NULL) {
        load_die("a bare forwarder is IP:FIRST-RELAY-PORT");
    }
    (void)snprintf(ip, sizeof(ip), "%.*s", (int)strcspn(text, ":"), text);
    *out = (struct endpoint){parse_ip(ip), (uint16_t)strtoul(colon + 1, NULL, 10)};
}

static void take_option(struct load *l, struct arguments *a, int option)
{
    if (option >= FIRST_OPTION) {
        const uint32_t value = (uint32_t)strtoul(optarg, NULL, 10);
        memcpy((char *)l + numbers[option - FIRST_OPTION].at, &value, sizeof(value));
        return;
    }
    switch (option) {
    case 'c':
        parse_place(optarg, &a->client);
        break;
    case 'e':
        parse_place(optarg, &a->peer);
        break;
    case 's':
        l->server.ip = parse_ip(optarg);
        break;
    case 'P':
        l->server.port = (uint16_t)strtoul(optarg, NULL, 10);
        break;
    case 'b':
        parse_bare(optarg, &l->bare);
        break;
    case 'u':
        l->user = optarg;
        break;
    case 'w':
        a->password = optarg;
        break;
    case 'r':
        l->realm = optarg;
        break;
    case 'k':
        l->count = strtoull(optarg, NULL, 10);
        break;
    case 't':
        l->milliseconds = (uint32_t)(strtod(optarg, NULL) * 1000);
        break;
    case 'd':
        l->up = strcmp(optarg, "down") != 0;
        l->down = strcmp(optarg, "up") != 0;
        break;
    case 'i':
        l->indications = true;
        break;
    case 'a':
        l->packets = true;
        break;
    case 'l':
        l->live = true;
        break;
    case '4':
        l->client_v6 = true;
        break;
    case '6':
        l->peer_v6 = true;
        break;
    case 'p':
        if (l->meter.pid_count < METER_PIDS) {
            l->meter.pids[l->meter.pid_count++] = (int)strtol(optarg, NULL, 10);
        }
        break;
    case 'o':
        if (l->meter.own_count < METER_PIDS) {
            l->meter.own[l->meter.own_count++] = (int)strtol(optarg, NULL, 10);
        }
        break;
    default:
        exit(2);
    }
}

static void parse_options(struct load *l, struct arguments *a, int argc, char **argv)
{
    static const struct option lettered[] = {
        {"client-end", required_argument, NULL, 'c'}, {"peer-end", required_argument, NULL, 'e'},
        {"server", required_argument, NULL, 's'},     {"port", required_argument, NULL, 'P'},
        {"bare", required_argument, NULL, 'b'},       {"user", required_argument, NULL, 'u'},
        {"password", required_argument, NULL, 'w'},   {"realm", required_argument, NULL, 'r'},
        {"count", required_argument, NULL, 'k'},      {"seconds", required_argument, NULL, 't'},
        {"direction", required_argument, NULL, 'd'},  {"indications", no_argument, NULL, 'i'},
        {"packet-socket", no_argument, NULL, 'a'},    {"pid", required_argument, NULL, 'p'},
        {"own", required_argument, NULL, 'o'},        {"live", no_argument, NULL, 'l'},
        {"client-v6", no_argument, NULL, '4'},        {"peer-v6", no_argument, NULL, '6'},
    };

    enum { LETTERED = sizeof(lettered) / sizeof(lettered[0]) };
    struct option all[LETTERED + NUMBERS + 1];
    int option;

    memset(all, 0, sizeof(all));
    memcpy(all, lettered, sizeof(lettered));
    for (int i = 0; i < NUMBERS; i++) {
        all[LETTERED + i] =
            (struct option){numbers[i].name, required_argument, NULL, FIRST_OPTION + i};
    }
    while ((option = getopt_long(argc, argv, "", all, NULL)) != -1) {
        take_option(l, a, option);
    }
    if (optind + 1 != argc || argv[optind] == NULL) {
        load_die("usage: load relay|alloc|soak|idle|flood --client-end .. --peer-end .. --server "
                 "IP ...");
    }
    l->mode = argv[optind];
}

static void check(struct load *l)
{
    l->total = strcmp(l->mode, "soak") == 0 ? l->capacity : l->clients + l->idle + l->control;
    if (l->clients == 0 || l->total < l->clients || l->total > LOAD_CLIENTS_MAX) {
        load_die("clients are 1 to 20000, and not more than a soak's --capacity");
    }
    if (l->payload < LOAD_PAYLOAD_MIN || l->payload > LOAD_PAYLOAD_MAX ||
        (l->tail != 0 && l->tail < LOAD_PAYLOAD_MIN) || l->tail > l->payload) {
        load_die("a payload is 20 to 1400 bytes, a tail not more than that");
    }
    if (l->burst == 0 || l->window == 0 || l->outstanding == 0) {
        load_die("burst, window and outstanding are at least 1");
    }
    if ((l->control > 0) != (l->control_rate > 0)) {
        load_die("--control and --control-rate go together");
    }
    if (l->live && (strcmp(l->mode, "relay") != 0 || l->packets || l->burst > 1 || l->tail > 0 ||
                    l->control > 0 || l->indications || l->payload < LIVE_PAYLOAD_MIN)) {
        load_die("--live is for single ChannelData packets of 64 bytes and more");
    }
    if (l->flood > 0 && !l->live) {
        load_die("--flood takes --live");
    }
}

static void prepare(struct load *l, const struct arguments *a)
{
    void (*const open)(struct end *, const char *, const char *, const char *) =
        l->packets ? end_open : (l->live ? end_open_part : end_open_xsk);
    const struct live_place places[] = {
        {a->client.netns, a->client.dev, &l->client_end},
        {a->peer.netns, a->peer.dev, &l->peer_end},
    };

    l->client_ip = parse_ip(a->client.ip);
    l->peer_ip = parse_ip(a->peer.ip);
    l->mac = crypto_mac_new();
    l->c = calloc(l->total, sizeof(*l->c));
    if (l->mac == NULL || l->c == NULL ||
        crypto_longterm_md5(bytes_of(l->user), bytes_of(l->realm), bytes_of(a->password), l->key) <
            0) {
        load_die("no crypto or memory");
    }
    open(&l->client_end, a->client.netns, a->client.dev, a->client.mac);
    open(&l->peer_end, a->peer.netns, a->peer.dev, a->peer.mac);
    l->client_end.v6 = l->client_v6;
    l->peer_end.v6 = l->peer_v6;
    if (l->live) {
        live_open(l, places);
    }
}

int main(int argc, char **argv)
{
    static struct load l = {
        .user = "user",
        .realm = "example.org",
        .clients = 16,
        .window = 240,
        .payload = 172,
        .burst = 1,
        .batch = 256,
        .milliseconds = 3000,
        .outstanding = 64,
        .count = 1000000,
        .up = true,
        .down = true,
        .server = {0, 3478},
    };

    static const struct {
        const char *name;
        void (*run)(struct load *l);
    } modes[] = {
        {"relay", load_run_relay}, {"alloc", load_run_alloc}, {"soak", load_run_soak},
        {"idle", load_run_idle},   {"flood", load_run_flood},
    };
    struct arguments a = {.password = "pass"};

    parse_options(&l, &a, argc, argv);
    check(&l);
    prepare(&l, &a);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(l.mode, modes[i].name) == 0) {
            modes[i].run(&l);
            return 0;
        }
    }
    load_die("the mode is relay, alloc, soak, idle or flood");
}

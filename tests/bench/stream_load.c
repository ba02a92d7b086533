/* SPDX-License-Identifier: Apache-2.0 */
/* sterna-stream-load: TURN clients over TCP and TLS, and their peers, for measuring a server on the
 * other side of two veth pairs.  It speaks RFC 5389 credentials, so it can measure coturn as well.
 *
 *   stream-load channel   allocate, bind a channel each; ChannelData up, then down
 *   stream-load pairs     RFC 6062: connections through the server, bytes up, then down
 *   stream-load connect   connect, shake hands, one Binding, close; over and over
 *
 * With --rate (packets a second; for pairs, which need it, MB a second) the server is busy but
 * never saturated; without, it gets what a window of packets allows.  What counts is its CPU time.
 * Prints one line of JSON.  Bounded in time. */
#include "stream_load.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/bytes.h"
#include "base/net_addr.h"
#include "crypto/longterm.h"

enum { MAX_CLIENTS = 4096, MAX_PAYLOAD = 1400, MAX_SECONDS = 60, TIMER_SLACK_NS = 1000 };

uint32_t stream_load_client_ip(const struct stream_load *l, uint32_t i)
{
    return l->client_ip + i % l->client_ips;
}

void stream_load_client(const struct stream_load *l, uint32_t i, struct stream_turn *out)
{
    memset(out, 0, sizeof(*out));
    out->login = &l->login;
    stream_conn_open(&out->conn, stream_load_client_ip(l, i), l->server, l->context, true);
}

static uint32_t parse_ip(const char *text)
{
    struct net_ip ip;

    if (net_ip_parse(text, &ip) < 0 || !net_ip_is_v4(&ip)) {
        stream_conn_die("an address must be IPv4");
    }
    return be32(net_ip_v4_bytes(&ip));
}

static uint32_t number(const char *text, uint32_t max)
{
    char *end = NULL;
    const unsigned long value = strtoul(text, &end, 10);

    if (end == text || *end != '\0' || value == 0 || value > max) {
        (void)fprintf(stderr, "stream-load: %s is not a number from 1 to %u\n", text, max);
        exit(2);
    }
    return (uint32_t)value;
}

static void add_pid(struct meter *m, const char *text)
{
    if (m->pid_count < METER_PIDS) {
        m->pids[m->pid_count++] = (int)number(text, INT32_MAX);
    }
}

/* NETNS,IP,COUNT and NETNS,IP,DEVICE,PEER-MAC,GHOST-IP; the texts stay in the argument. */
static void parse_end(struct stream_load *l, char *text, bool is_peer)
{
    const char *part[5] = {"", "", "", "", ""};
    char *rest = text;

    for (int i = 0; i < 5 && rest != NULL; i++) {
        part[i] = strsep(&rest, ",");
    }
    if (is_peer) {
        l->peer_ns = part[0];
        l->peer_ip = parse_ip(part[1]);
        l->peer_dev = part[2];
        l->peer_mac = part[3];
        l->ghost_ip = parse_ip(part[4]);
    } else {
        l->client_ns = part[0];
        l->client_ip = parse_ip(part[1]);
        l->client_ips = number(part[2], UINT8_MAX);
    }
}

static bool take_option(struct stream_load *l, int option, char *value)
{
    switch (option) {
    case 'c':
    case 'e':
        parse_end(l, value, option == 'e');
        return true;
    case 's':
        l->server.ip = parse_ip(value);
        return true;
    case 'P':
        l->server.port = (uint16_t)number(value, UINT16_MAX);
        return true;
    case 'n':
        l->clients = number(value, MAX_CLIENTS);
        return true;
    case 'l':
        l->payload = number(value, MAX_PAYLOAD);
        return true;
    case 'R':
        l->rate = number(value, UINT32_MAX);
        return true;
    case 'W':
        l->window = number(value, UINT16_MAX);
        return true;
    case 't':
        l->seconds = number(value, MAX_SECONDS);
        return true;
    case 'o':
        l->outstanding = number(value, MAX_CLIENTS);
        return true;
    case 'T':
        l->context =
            stream_conn_context(strcmp(value, "1.3") == 0 ? TLS1_3_VERSION : TLS1_2_VERSION);
        return true;
    case 'Z':
        l->resume = true;
        return true;
    case 'p':
        add_pid(&l->meter, value);
        return true;
    default:
        return false;
    }
}

static void take_options(struct stream_load *l, int argc, char **argv)
{
    static const struct option options[] = {
        {"client-end", required_argument, NULL, 'c'},
        {"peer-end", required_argument, NULL, 'e'},
        {"server", required_argument, NULL, 's'},
        {"port", required_argument, NULL, 'P'},
        {"clients", required_argument, NULL, 'n'},
        {"payload", required_argument, NULL, 'l'},
        {"rate", required_argument, NULL, 'R'},
        {"window", required_argument, NULL, 'W'},
        {"seconds", required_argument, NULL, 't'},
        {"outstanding", required_argument, NULL, 'o'},
        {"tls", required_argument, NULL, 'T'},
        {"resume", no_argument, NULL, 'Z'},
        {"pid", required_argument, NULL, 'p'}, /* of the server */
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (!take_option(l, option, optarg)) {
            exit(2);
        }
    }
    if (optind + 1 != argc || l->client_ns == NULL || l->peer_ns == NULL) {
        errno = 0;
        stream_conn_die("usage: stream-load channel|pairs|connect --client-end .. --peer-end .. "
                        "--server IP ...");
    }
}

int main(int argc, char **argv)
{
    static struct stream_load l = {
        .clients = 16,
        .payload = 172,
        .window = 240,
        .seconds = 3,
        .outstanding = 8,
        .server = {0, 3478},
        .login = {.user = "user", .realm = "example.org"},
    };

    take_options(&l, argc, argv);
    (void)signal(SIGPIPE, SIG_IGN); /* libssl writes without MSG_NOSIGNAL */
    (void)prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
    l.login.mac = crypto_mac_new();
    if (l.login.mac == NULL || crypto_longterm_md5(bytes_of(l.login.user), bytes_of(l.login.realm),
                                                   bytes_of("pass"), l.login.key) < 0) {
        stream_conn_die("no crypto");
    }
    const char *mode = argv[optind];
    if (strcmp(mode, "channel") == 0) {
        stream_channel_run(&l);
    } else if (strcmp(mode, "pairs") == 0) {
        stream_pairs_run(&l);
    } else if (strcmp(mode, "connect") == 0) {
        stream_connect_run(&l);
    } else {
        stream_conn_die("the mode is channel, pairs or connect");
    }
    return 0;
}

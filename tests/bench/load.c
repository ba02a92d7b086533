/* SPDX-License-Identifier: Apache-2.0 */
/* sterna-load: many TURN clients and their peers, for measuring a server on the other side of two
 * veth pairs.  It speaks RFC 5389 credentials, so it can measure coturn as well.
 *
 *   load relay   allocate, bind a channel each, then keep a window of ChannelData packets going
 * round: client -> relay -> peer -> relay -> client load alloc   Allocate (401 included) + Refresh
 * with LIFETIME 0, over and over load idle    allocate and wait for a line on standard input load
 * flood   Binding and Allocate requests without credentials from many sources
 *
 * Prints one line of JSON.  Bounded in time and count. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/longterm.h"
#include "frame.h"
#include "meter.h"
#include "wire/channel_data.h"
#include "wire/stun_addr.h"
#include "wire/stun_code.h"

enum {
    MAX_CLIENTS = 20000,
    RETRY_MS = 500,
    FIRST_CLIENT_PORT = 10000,
    CLIENT_PORTS = 50000,
    FIRST_PEER_PORT = 20000,
    CHANNEL = 0x4000,
};

enum phase { CHALLENGE, ALLOCATE, BIND, READY, DELETE };

struct load_client {
    enum phase phase;
    uint64_t sent_ms;
    uint32_t turn;  /* counts transactions */
    uint32_t cycle; /* counts allocations: each has a port of its own for a while */
    char nonce[200];
    struct net_addr relayed;
};

struct load {
    struct end client_end;
    struct end peer_end;
    struct crypto_mac *mac;
    uint8_t key[CRYPTO_MD5_LEN];
    const char *mode;
    const char *user;
    const char *realm;
    struct endpoint server;
    uint32_t client_ip;
    uint32_t peer_ip;
    uint32_t clients;
    uint32_t window;
    uint32_t payload;
    uint32_t rate; /* packets a second; 0: as the window allows */
    uint32_t seconds;
    uint32_t outstanding;
    uint64_t count; /* flood: requests */
    int pids[METER_PIDS];
    int pid_count;
    struct load_client *c;
    uint32_t ready;
    uint32_t next;
    uint32_t in_flight;
    uint64_t up;
    uint64_t down;
    uint64_t cycles;
    uint64_t refused;
    uint64_t answered;
    uint64_t bindings; /* answered ones */
    bool running;
};

/* --- requests -----------------------------------------------------------------------------------
 */

static struct endpoint client_at(const struct load *l, uint32_t i)
{
    const uint32_t cycles = CLIENT_PORTS / l->clients;

    return (struct endpoint){
        l->client_ip, (uint16_t)(FIRST_CLIENT_PORT + i + l->clients * (l->c[i].cycle % cycles))};
}

static void make_tid(uint32_t client, uint32_t turn, uint8_t out[STUN_TID])
{
    memset(out, 0x5a, STUN_TID);
    be32_put(out, client);
    be32_put(out + 4, turn);
}

static void sign(struct load *l, struct stun_out *out, const struct load_client *c)
{
    stun_out_attr(out, STUN_USERNAME, bytes_of(l->user));
    stun_out_attr(out, STUN_REALM, bytes_of(l->realm));
    stun_out_attr(out, STUN_NONCE, bytes_of(c->nonce));
    if (stun_out_mi(out, l->mac, (struct bytes){l->key, sizeof(l->key)}) < 0) {
        exit(1);
    }
}

static void put_peer(const struct load *l, struct stun_out *out, uint32_t i)
{
    uint8_t raw[4];

    be32_put(raw, l->peer_ip);
    const struct net_ip ip = net_ip_v4(raw);
    const struct net_addr peer = net_addr_make(&ip, (uint16_t)(FIRST_PEER_PORT + i));
    stun_out_xor_addr(out, STUN_XOR_PEER_ADDRESS, &peer);
}

/* Send what client `i`'s phase wants. */
static void request(struct load *l, uint32_t i)
{
    static const uint16_t methods[] = {
        [CHALLENGE] = STUN_ALLOCATE,
        [ALLOCATE] = STUN_ALLOCATE,
        [BIND] = STUN_CHANNEL_BIND,
        [DELETE] = STUN_REFRESH,
    };
    struct load_client *c = &l->c[i];
    uint8_t buf[1024];
    uint8_t tid[STUN_TID];
    struct stun_out out;

    make_tid(i, c->turn, tid);
    stun_out_begin(&out, buf, sizeof(buf), stun_type(methods[c->phase], STUN_REQUEST), tid);
    switch (c->phase) {
    case CHALLENGE:
    case ALLOCATE:
        stun_out_u32(&out, STUN_REQUESTED_TRANSPORT, UINT32_C(17) << 24);
        break;
    case BIND:
        stun_out_u32(&out, STUN_CHANNEL_NUMBER, (uint32_t)CHANNEL << 16);
        put_peer(l, &out, i);
        break;
    case DELETE:
        stun_out_u32(&out, STUN_LIFETIME, 0);
        break;
    case READY:
    default:
        return;
    }
    if (c->phase != CHALLENGE) {
        sign(l, &out, c);
    }
    c->sent_ms = meter_now_ms();
    end_send(&l->client_end, client_at(l, i), l->server, buf, (size_t)stun_out_end(&out));
}

static void advance(struct load *l, uint32_t i, enum phase phase)
{
    l->c[i].turn++;
    l->c[i].phase = phase;
    request(l, i);
}

static void learn_nonce(struct load_client *c, const struct stun_msg *msg)
{
    struct bytes rest = msg->body;
    struct stun_attr attr;

    while (stun_attr_next(&rest, &attr) > 0) {
        if (attr.type == STUN_NONCE && attr.value.n < sizeof(c->nonce)) {
            memcpy(c->nonce, attr.value.p, attr.value.n);
            c->nonce[attr.value.n] = '\0';
        }
    }
}

static bool measures_cycles(const struct load *l)
{
    return strcmp(l->mode, "alloc") == 0;
}

static void on_success(struct load *l, uint32_t i)
{
    switch (l->c[i].phase) {
    case ALLOCATE:
        if (measures_cycles(l)) {
            advance(l, i, DELETE);
        } else if (strcmp(l->mode, "idle") == 0) {
            l->c[i].phase = READY;
            l->ready++;
        } else {
            advance(l, i, BIND);
        }
        break;
    case BIND:
        l->c[i].phase = READY;
        l->ready++;
        break;
    case DELETE:
        l->cycles++;
        l->c[i].cycle++;
        if (l->running) {
            advance(l, i, CHALLENGE);
        }
        break;
    case CHALLENGE:
    case READY:
    default:
        break;
    }
}

static void on_client_stun(struct load *l, const struct datagram *d)
{
    const uint32_t i = (d->to.port - (uint32_t)FIRST_CLIENT_PORT) % l->clients;
    struct stun_msg msg;
    uint8_t tid[STUN_TID];

    if (d->to.port < FIRST_CLIENT_PORT ||
        stun_msg_parse((struct bytes){d->payload, d->n}, &msg) < 0) {
        return;
    }
    make_tid(i, l->c[i].turn, tid);
    if (memcmp(tid, msg.tid, STUN_TID) != 0) {
        return;
    }
    if (msg.class == STUN_SUCCESS) {
        on_success(l, i);

    } else if (msg.class == STUN_ERROR) {
        learn_nonce(&l->c[i], &msg);
        l->refused += l->c[i].phase != CHALLENGE;
        advance(l, i,
                l->c[i].phase == CHALLENGE || l->c[i].phase == ALLOCATE ? ALLOCATE : l->c[i].phase);
    }
}

/* --- media --------------------------------------------------------------------------------------
 */

static void send_one(struct load *l)
{
    uint8_t buf[FRAME_MAX];
    const uint32_t i = l->next;

    l->next = (l->next + 1) % l->clients;
    channel_data_head(buf, CHANNEL, (uint16_t)l->payload);
    memset(buf + CHANNEL_HEAD, 0x33, l->payload);
    end_send(&l->client_end, client_at(l, i), l->server, buf, CHANNEL_HEAD + l->payload);
    l->in_flight++;
}

static void at_client(void *arg, const struct datagram *d)
{
    struct load *l = arg;

    if (d->n > 0 && d->payload[0] >= 0x40) {
        l->down++;
        l->in_flight -= l->in_flight > 0;
        if (l->running && l->rate == 0) {
            send_one(l);
        }
        return;
    }
    l->answered++;
    l->bindings += d->n > 1 && be16(d->payload) == stun_type(STUN_BINDING, STUN_SUCCESS);
    if (l->c != NULL) {
        on_client_stun(l, d);
    }
}

static void at_peer(void *arg, const struct datagram *d)
{
    struct load *l = arg;

    l->up++;
    end_send(&l->peer_end, d->to, d->from, d->payload, d->n);
}

static unsigned turn_once(struct load *l)
{
    unsigned n = end_receive(&l->client_end, at_client, l);

    n += end_receive(&l->peer_end, at_peer, l);
    if (l->client_end.queued > 0) {
        end_flush(&l->client_end);
    }
    if (l->peer_end.queued > 0) {
        end_flush(&l->peer_end);
    }
    return n;
}

static void die(const char *what)
{
    (void)fprintf(stderr, "load: %s\n", what);
    exit(1);
}

/* Bring every client to READY, `outstanding` at a time, with retransmissions. */
static void allocate_all(struct load *l)
{
    const uint64_t deadline = meter_now_ms() + 60000;
    uint32_t started = 0;
    uint64_t checked_ms = meter_now_ms();

    while (l->ready < l->clients) {
        while (started < l->clients && started - l->ready < l->outstanding) {
            request(l, started++);
        }
        (void)turn_once(l);
        const uint64_t now = meter_now_ms();
        if (now > deadline) {
            (void)fprintf(stderr, "load: %u of %u clients ready\n", l->ready, l->clients);
            die("the server did not serve all clients in 60 s");
        }
        if (now - checked_ms < RETRY_MS / 2) {
            continue;
        }
        checked_ms = now;
        for (uint32_t i = 0; i < started; i++) {
            if (l->c[i].phase != READY && now - l->c[i].sent_ms >= RETRY_MS) {
                request(l, i);
            }
        }
    }
}

static void run_relay(struct load *l)
{
    allocate_all(l);
    l->running = true;
    const uint64_t warm_ns = meter_now_ns() + 500000000U;
    uint64_t start_ns = 0;
    uint64_t end_ns = UINT64_MAX;
    uint64_t cpu = 0;
    uint64_t up = 0;
    uint64_t down = 0;
    uint64_t quiet_ns = meter_now_ns();
    uint64_t refills = 0;
    uint64_t paced = 0;

    for (uint32_t i = 0; i < l->window && l->rate == 0; i++) {
        send_one(l);
    }
    for (uint64_t now = meter_now_ns(); now < end_ns; now = meter_now_ns()) {
        if (start_ns == 0 && now >= warm_ns) {
            start_ns = now;
            end_ns = now + (uint64_t)l->seconds * 1000000000U;
            cpu = meter_cpu_ns(l->pids, l->pid_count);
            up = l->up;
            down = l->down;
        }
        if (l->rate > 0) {
            const uint64_t due = (now - warm_ns + 500000000U) * l->rate / 1000000000U;
            for (unsigned k = 0; paced < due && k < FRAME_BATCH; k++, paced++) {
                send_one(l);
            }
        }
        if (turn_once(l) > 0) {
            quiet_ns = now;
        } else if (l->rate == 0 && now - quiet_ns > 20000000U) { /* lost ones are replaced */
            refills++;
            l->in_flight = 0;
            for (uint32_t i = 0; i < l->window; i++) {
                send_one(l);
            }
            quiet_ns = now;
        }
    }
    const uint64_t packets = l->up - up + l->down - down;
    const double seconds = (double)(meter_now_ns() - start_ns) / 1e9;
    const double cpu_s = (double)(meter_cpu_ns(l->pids, l->pid_count) - cpu) / 1e9;
    (void)printf("{\"packets\": %llu, \"pps\": %.0f, \"cpu_us\": %.4f, \"cpu_share\": %.3f, "
                 "\"up\": %llu, \"down\": %llu, \"refills\": %llu}\n",
                 (unsigned long long)packets, (double)packets / seconds,
                 cpu_s * 1e6 / (double)packets, cpu_s / seconds, (unsigned long long)(l->up - up),
                 (unsigned long long)(l->down - down), (unsigned long long)refills);
}

static void run_alloc(struct load *l)
{
    l->running = true;
    for (uint32_t i = 0; i < l->clients; i++) {
        request(l, i);
    }
    const uint64_t warm_ms = meter_now_ms() + 500;
    uint64_t end_ms = UINT64_MAX;
    uint64_t cpu = 0;
    uint64_t cycles = 0;
    uint64_t start_ns = 0;
    uint64_t checked_ms = 0;

    for (uint64_t now = meter_now_ms(); now < end_ms; now = meter_now_ms()) {
        if (start_ns == 0 && now >= warm_ms) {
            start_ns = meter_now_ns();
            end_ms = now + l->seconds * 1000U;
            cpu = meter_cpu_ns(l->pids, l->pid_count);
            cycles = l->cycles;
        }
        (void)turn_once(l);
        if (now - checked_ms >= RETRY_MS / 2) {
            checked_ms = now;
            for (uint32_t i = 0; i < l->clients; i++) {
                if (now - l->c[i].sent_ms >= RETRY_MS) {
                    request(l, i);
                }
            }
        }
    }
    const uint64_t done = l->cycles - cycles;
    const double seconds = (double)(meter_now_ns() - start_ns) / 1e9;
    const double cpu_s = (double)(meter_cpu_ns(l->pids, l->pid_count) - cpu) / 1e9;
    (void)printf("{\"cycles\": %llu, \"per_s\": %.0f, \"cpu_us\": %.3f, \"per_cpu_s\": %.0f, "
                 "\"refused\": %llu}\n",
                 (unsigned long long)done, (double)done / seconds, cpu_s * 1e6 / (double)done,
                 (double)done / cpu_s, (unsigned long long)l->refused);
}

static void run_idle(struct load *l)
{
    char line[16];

    allocate_all(l);
    (void)printf("{\"allocations\": %u}\n", l->ready);
    (void)fflush(stdout);
    if (fgets(line, sizeof(line), stdin) == NULL) {
        return; /* whoever measures has gone */
    }
}

/* Wait until few Binding requests are unanswered: the server's buffers must not overflow, for that
 * would prove nothing.  What is lost all the same is given up after a while. */
static void await_answers(struct load *l, uint64_t sent)
{
    const uint64_t start_ms = meter_now_ms();

    while (sent - l->bindings > l->window) {
        (void)turn_once(l);
        if (meter_now_ms() - start_ms > RETRY_MS) {
            l->bindings = sent;
        }
    }
}

/* Every request comes from another endpoint: 65,536 addresses of 10.64.0.0/16, ports by turns. */
static void run_flood(struct load *l)
{
    uint8_t buf[64];
    uint8_t tid[STUN_TID];
    struct stun_out out;
    const uint64_t start_ns = meter_now_ns();

    for (uint64_t i = 0; i < l->count; i++) {
        const struct endpoint from = {0x0a400000U + (uint32_t)(i * 40503U & 0xffff),
                                      (uint16_t)(1024 + (i >> 16) % 60000)};
        make_tid((uint32_t)i, 0, tid);
        stun_out_begin(&out, buf, sizeof(buf),
                       stun_type(i % 2 == 0 ? STUN_ALLOCATE : STUN_BINDING, STUN_REQUEST), tid);
        if (i % 2 == 0) {
            stun_out_u32(&out, STUN_REQUESTED_TRANSPORT, UINT32_C(17) << 24);
        }
        end_send(&l->client_end, from, l->server, buf, (size_t)stun_out_end(&out));
        await_answers(l, i / 2);
    }
    end_flush(&l->client_end);
    for (uint64_t until = meter_now_ms() + 300; meter_now_ms() < until;) {
        (void)turn_once(l);
    }
    (void)printf("{\"sent\": %llu, \"answered\": %llu, \"seconds\": %.1f}\n",
                 (unsigned long long)l->client_end.sent, (unsigned long long)l->answered,
                 (double)(meter_now_ns() - start_ns) / 1e9);
}

static uint32_t parse_ip(const char *text)
{
    struct net_ip ip;

    if (net_ip_parse(text, &ip) < 0 || !net_ip_is_v4(&ip)) {
        die("an address must be IPv4");
    }
    return be32(net_ip_v4_bytes(&ip));
}

int main(int argc, char **argv)
{
    static struct load l = {
        .user = "user",
        .realm = "example.org",
        .clients = 16,
        .window = 240,
        .payload = 172,
        .seconds = 3,
        .outstanding = 64,
        .count = 1000000,
        .server = {0, 3478},
    };
    static const struct option options[] = {
        {"client-end", required_argument, NULL, 'c'}, /* netns,dev,peer-mac,ip */
        {"peer-end", required_argument, NULL, 'e'},
        {"server", required_argument, NULL, 's'},
        {"port", required_argument, NULL, 'P'},
        {"user", required_argument, NULL, 'u'},
        {"password", required_argument, NULL, 'w'},
        {"realm", required_argument, NULL, 'r'},
        {"clients", required_argument, NULL, 'n'},
        {"window", required_argument, NULL, 'W'},
        {"payload", required_argument, NULL, 'l'},
        {"rate", required_argument, NULL, 'R'},
        {"seconds", required_argument, NULL, 't'},
        {"outstanding", required_argument, NULL, 'o'},
        {"count", required_argument, NULL, 'k'},
        {"pid", required_argument, NULL, 'p'},
        {NULL, 0, NULL, 0},
    };
    const char *password = "pass";
    char ns[2][64];
    char dev[2][64];
    char mac[2][64];
    char ip[2][64];
    int option;

    memset(ns, 0, sizeof(ns));
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        const int side = option == 'e' ? 1 : 0;
        switch (option) {
        case 'c':
        case 'e':
            if (sscanf(optarg, "%63[^,],%63[^,],%63[^,],%63s", ns[side], dev[side], mac[side],
                       ip[side]) != 4) {
                die("an end is NETNS,DEVICE,PEER-MAC,IP");
            }
            break;
        case 's':
            l.server.ip = parse_ip(optarg);
            break;
        case 'P':
            l.server.port = (uint16_t)strtoul(optarg, NULL, 10);
            break;
        case 'u':
            l.user = optarg;
            break;
        case 'w':
            password = optarg;
            break;
        case 'r':
            l.realm = optarg;
            break;
        case 'n':
            l.clients = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'W':
            l.window = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'l':
            l.payload = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'R':
            l.rate = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 't':
            l.seconds = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'o':
            l.outstanding = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'k':
            l.count = strtoull(optarg, NULL, 10);
            break;
        case 'p':
            if (l.pid_count < METER_PIDS) {
                l.pids[l.pid_count++] = (int)strtol(optarg, NULL, 10);
            }
            break;
        default:
            return 2;
        }
    }
    if (optind + 1 != argc || ns[0][0] == '\0' || ns[1][0] == '\0' || l.clients == 0 ||
        l.clients > MAX_CLIENTS || l.payload > 1400) {
        die("usage: load relay|alloc|idle|flood --client-end .. --peer-end .. --server IP ...");
    }
    l.mode = argv[optind];
    l.client_ip = parse_ip(ip[0]);
    l.peer_ip = parse_ip(ip[1]);
    l.mac = crypto_mac_new();
    if (l.mac == NULL ||
        crypto_longterm_md5(bytes_of(l.user), bytes_of(l.realm), bytes_of(password), l.key) < 0) {
        die("no crypto");
    }
    end_open(&l.client_end, ns[0], dev[0], mac[0]);
    end_open(&l.peer_end, ns[1], dev[1], mac[1]);
    if (strcmp(l.mode, "flood") == 0) {
        run_flood(&l);
        return 0;
    }
    l.c = calloc(l.clients, sizeof(*l.c));
    if (l.c == NULL) {
        die("no memory");
    }
    if (strcmp(l.mode, "relay") == 0) {
        run_relay(&l);
    } else if (strcmp(l.mode, "alloc") == 0) {
        run_alloc(&l);
    } else if (strcmp(l.mode, "idle") == 0) {
        run_idle(&l);
    } else {
        die("the mode is relay, alloc, idle or flood");
    }
    return 0;
}

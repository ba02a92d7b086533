/* SPDX-License-Identifier: Apache-2.0 */
#include "forwarder.h"

#include <arpa/inet.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { RECEIVE_BUFFER = 4 << 20 };

void forwarder_die(const char *what)
{
    perror(what);
    exit(1);
}

struct sockaddr_in forwarder_address(const struct sockaddr_in *first, uint32_t i)
{
    struct sockaddr_in at = *first;

    at.sin_port = htons((uint16_t)(ntohs(first->sin_port) + i));
    return at;
}

static int open_at(const struct forwarder *f, const struct sockaddr_in *at)
{
    const int one = 1;
    const int size = RECEIVE_BUFFER;
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0 ||
        (f->segments && setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one)) < 0) ||
        bind(fd, (const struct sockaddr *)at, sizeof(*at)) < 0) {
        forwarder_die("socket");
    }
    return fd;
}

static void open_all(struct forwarder *f)
{
    f->relay_fd = calloc(f->flows, sizeof(*f->relay_fd));
    f->client_fd = calloc(f->flows, sizeof(*f->client_fd));
    if (f->relay_fd == NULL || f->client_fd == NULL) {
        forwarder_die("memory");
    }
    f->listener = open_at(f, &f->listen);
    for (uint32_t i = 0; i < f->flows; i++) {
        const struct sockaddr_in relay = forwarder_address(&f->relay, i);
        f->relay_fd[i] = open_at(f, &relay);
        if (f->connected) {
            const struct sockaddr_in client = forwarder_address(&f->client, i);
            f->client_fd[i] = open_at(f, &f->listen);
            if (connect(f->client_fd[i], (const struct sockaddr *)&client, sizeof(client)) < 0) {
                forwarder_die("connect");
            }
        }
    }
}

static struct sockaddr_in parse(const char *text)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    const char *colon = strchr(text, ':');
    char ip[64];

    (void)snprintf(ip, sizeof(ip), "%.*s", (int)strcspn(text, ":"), text);
    if (colon == NULL || inet_pton(AF_INET, ip, &at.sin_addr) != 1) {
        (void)fprintf(stderr, "forwarder: %s is not IP:PORT\n", text);
        exit(2);
    }
    at.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    return at;
}

static void ready(void)
{
    (void)puts("ready");
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    static struct forwarder f;

    enum {
        TECHNIQUE = 1,
        LISTEN,
        RELAY,
        CLIENT,
        PEER,
        FLOWS,
        COUNT,
        CLIENT_SIDE = COUNT,
        PEER_SIDE,
        COUNT_BPF
    };

    if (argc != COUNT && argc != COUNT_BPF) {
        (void)fprintf(stderr, "usage: forwarder mmsg|gso|gso-conn|uring LISTEN:PORT RELAY:PORT "
                              "CLIENT:PORT PEER:PORT FLOWS\n"
                              "       forwarder xdp|xdpfib|xdp-generic|tc .. FLOWS "
                              "CLIENT-DEVICE,MAC PEER-DEVICE,MAC\n");
        return 2;
    }
    const char *technique = argv[TECHNIQUE];
    f.listen = parse(argv[LISTEN]);
    f.relay = parse(argv[RELAY]);
    f.client = parse(argv[CLIENT]);
    f.peer = parse(argv[PEER]);
    f.flows = (uint32_t)strtoul(argv[FLOWS], NULL, 10);
    f.segments = strncmp(technique, "gso", 3) == 0;
    f.connected = strcmp(technique, "gso-conn") == 0;
    if (f.flows == 0 || f.flows > FORWARDER_FLOWS_MAX) {
        (void)fprintf(stderr, "forwarder: 1 to %d flows\n", FORWARDER_FLOWS_MAX);
        return 2;
    }
    if (argc == COUNT_BPF) {
        forwarder_bpf_run(&f, technique, argv[CLIENT_SIDE], argv[PEER_SIDE], ready);
        return 0;
    }
    open_all(&f);
    if (strcmp(technique, "uring") == 0) {
        forwarder_uring_run(&f, ready);
    } else {
        forwarder_batch_run(&f, ready);
    }
    return 0;
}

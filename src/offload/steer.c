/* SPDX-License-Identifier: Apache-2.0 */
#include "offload/steer.h"

#include <arpa/inet.h>
#include <assert.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/net_addr.h"
#include "offload/bpf_error.h"
#include "offload/steer_flow.h"
#include "offload/steer_load.h"

struct steer {
    struct steer_maps maps;
    _Atomic uint32_t flows; /* entries of maps.flows */
    uint32_t max_sockets;
    uint32_t max_groups;
    uint32_t group_count; /* loaded so far: all of them, but in steer_new() */
    struct steer_program group[];
};

static const char *advice(int err)
{
    switch (err) {
    case -EPERM:
        return "loading BPF programs takes CAP_BPF (AmbientCapabilities=CAP_BPF of systemd)";
    case -ENOTSUP:
        return "BPF programs for SO_REUSEPORT need Linux 4.19 and CONFIG_BPF_SYSCALL";
    default:
        return bpf_error_advice(err);
    }
}

static int load_all(struct steer *steer, const struct steer_options *options)
{
    while (steer->group_count < options->max_groups) {
        const uint32_t i = steer->group_count;
        const int err = steer_load(options, i, &steer->maps, &steer->group[i]);

        if (err < 0) {
            return err;
        }
        steer->group_count++;
    }
    return 0;
}

int steer_new(const struct steer_options *options, struct steer **out, char *why, size_t cap)
{
    struct steer *steer = NULL;

    assert(options->max_flows > 0 && options->max_groups > 0 && options->max_sockets > 0);
    steer = mem_new(1, sizeof(*steer) + options->max_groups * sizeof(steer->group[0]));
    int err = -ENOMEM;
    if (steer != NULL) {
        steer->maps = (struct steer_maps){.flows = -1, .counts = -1, .cpus = -1};
        steer->max_sockets = options->max_sockets;
        steer->max_groups = options->max_groups;
        err = bpf_error_plain(load_all(steer, options));
    }
    if (err < 0) {
        (void)snprintf(why, cap, "%s: %s", strerror(-err), advice(err));
        steer_free(steer);
        return err;
    }
    *out = steer;
    return 0;
}

static void drop(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
}

static void clear_group(struct steer *steer, uint32_t group)
{
    const uint32_t none = 0;

    (void)bpf_map_update_elem(steer->maps.counts, &group, &none, BPF_ANY);
    for (uint32_t i = 0; i < steer->max_sockets; i++) {
        (void)bpf_map_delete_elem(steer->group[group].sockets, &i);
    }
}

void steer_free(struct steer *steer)
{
    if (steer == NULL) {
        return;
    }
    for (uint32_t i = 0; i < steer->group_count; i++) {
        clear_group(steer, i); /* the sockets keep the program alive, but not under our rule */
        drop(steer->group[i].fd);
        drop(steer->group[i].sockets);
    }
    drop(steer->maps.flows);
    drop(steer->maps.counts);
    drop(steer->maps.cpus);
    free(steer);
}

/* The program gets to see the group when all of its sockets are in place. */
static int fill_group(const struct steer *steer, uint32_t group, const int *fds, uint32_t count)
{
    const struct steer_program *program = &steer->group[group];

    for (uint32_t i = 0; i < count; i++) {
        const uint64_t fd = (uint64_t)fds[i];
        const int err = bpf_map_update_elem(program->sockets, &i, &fd, BPF_ANY);
        if (err < 0) {
            return err;
        }
    }
    if (setsockopt(fds[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &program->fd,
                   sizeof(program->fd)) < 0) {
        return -errno;
    }
    return bpf_map_update_elem(steer->maps.counts, &group, &count, BPF_ANY);
}

int steer_attach(struct steer *steer, uint32_t group, const int *fds, uint32_t count)
{
    assert(count > 0);
    if (group >= steer->max_groups || count > steer->max_sockets) {
        return -ENOSPC;
    }
    clear_group(steer, group);
    const int err = fill_group(steer, group, fds, count);
    if (err < 0) {
        clear_group(steer, group);
    }
    return err;
}

static struct steer_flow flow_make(const struct net_addr *client, const struct net_addr *server)
{
    struct steer_flow flow = {
        .client_port = htons(client->port),
        .server_port = htons(server->port),
    };

    memcpy(flow.client_ip, client->ip.b, sizeof(flow.client_ip));
    memcpy(flow.server_ip, server->ip.b, sizeof(flow.server_ip));
    return flow;
}

/* The kernel does not tell whether BPF_ANY made an entry, and somebody may write or forget the same
 * flow meanwhile: therefore the two halves in turn, until one of them is true. */
int steer_put(struct steer *steer, const struct net_addr *client, const struct net_addr *server,
              uint32_t socket)
{
    const struct steer_flow flow = flow_make(client, server);

    for (;;) {
        int err = bpf_map_update_elem(steer->maps.flows, &flow, &socket, BPF_NOEXIST);
        if (err == 0) {
            atomic_fetch_add_explicit(&steer->flows, 1, memory_order_relaxed);
        }
        if (err == -EEXIST) {
            err = bpf_map_update_elem(steer->maps.flows, &flow, &socket, BPF_EXIST);
        }
        if (err != -ENOENT) {
            return err == -E2BIG ? -ENOSPC : err;
        }
    }
}

void steer_del(struct steer *steer, const struct net_addr *client, const struct net_addr *server)
{
    const struct steer_flow flow = flow_make(client, server);

    if (bpf_map_delete_elem(steer->maps.flows, &flow) == 0) {
        atomic_fetch_sub_explicit(&steer->flows, 1, memory_order_relaxed);
    }
}

uint32_t steer_flows(const struct steer *steer)
{
    return atomic_load_explicit(&steer->flows, memory_order_relaxed);
}

int steer_by_cpu(struct steer *steer, const uint32_t *socket_of_cpu, uint32_t cpus)
{
    const uint32_t possible = steer_load_cpus();

    for (uint32_t cpu = 0; cpu < possible; cpu++) {
        const uint32_t socket = cpu < cpus ? socket_of_cpu[cpu] : STEER_ANY;
        const uint32_t entry = socket == STEER_ANY ? STEER_CPU_BY_HASH : socket + 1;
        const int err = bpf_map_update_elem(steer->maps.cpus, &cpu, &entry, BPF_ANY);

        if (err < 0) {
            return err;
        }
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "offload/steer_load.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <steer.skel.h>
#include <unistd.h>

#include "offload/bpf_log.h"
#include "offload/steer.h"

uint32_t steer_load_cpus(void)
{
    const int cpus = libbpf_num_possible_cpus();

    return cpus > 0 ? (uint32_t)cpus : 1;
}

static int set_sizes(struct steer_bpf *bpf, const struct steer_options *options)
{
    int err = bpf_map__set_max_entries(bpf->maps.flows, options->max_flows);

    err = err < 0 ? err : bpf_map__set_max_entries(bpf->maps.counts, options->max_groups);
    err = err < 0 ? err : bpf_map__set_max_entries(bpf->maps.cpus, steer_load_cpus());
    return err;
}

static int share(struct steer_bpf *bpf, const struct steer_maps *maps)
{
    int err = bpf_map__reuse_fd(bpf->maps.flows, maps->flows);

    err = err < 0 ? err : bpf_map__reuse_fd(bpf->maps.counts, maps->counts);
    err = err < 0 ? err : bpf_map__reuse_fd(bpf->maps.cpus, maps->cpus);
    return err;
}

/* A descriptor of ours for one that goes with the skeleton. */
static int keep(int fd)
{
    const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    return own < 0 ? -errno : own;
}

static void drop(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
}

static int first_error(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (fds[i] < 0) {
            return fds[i];
        }
    }
    return 0;
}

/* Take over from the skeleton what is needed later. */
static int take(const struct steer_bpf *bpf, bool with_maps, struct steer_maps *maps,
                struct steer_program *out)
{
    const struct steer_program program = {
        .fd = keep(bpf_program__fd(bpf->progs.steer_select)),
        .sockets = keep(bpf_map__fd(bpf->maps.sockets)),
    };
    const struct steer_maps made = {
        .flows = with_maps ? keep(bpf_map__fd(bpf->maps.flows)) : maps->flows,
        .counts = with_maps ? keep(bpf_map__fd(bpf->maps.counts)) : maps->counts,
        .cpus = with_maps ? keep(bpf_map__fd(bpf->maps.cpus)) : maps->cpus,
    };
    const int fds[] = {program.fd, program.sockets, made.flows, made.counts, made.cpus};
    const int err = first_error(fds, ARRAY_SIZE(fds));

    if (err < 0) {
        for (size_t i = 0; i < (with_maps ? ARRAY_SIZE(fds) : 2); i++) {
            drop(fds[i]);
        }
        return err;
    }
    *out = program;
    *maps = made;
    return 0;
}

int steer_load(const struct steer_options *options, uint32_t group, struct steer_maps *maps,
               struct steer_program *out)
{
    const bool first = maps->flows < 0;

    bpf_log_start();
    struct steer_bpf *bpf = steer_bpf__open();
    if (bpf == NULL) {
        return -errno;
    }
    bpf->rodata->group = group;
    int err = bpf_map__set_max_entries(bpf->maps.sockets, options->max_sockets);
    if (err == 0) {
        err = first ? set_sizes(bpf, options) : share(bpf, maps);
    }
    err = err < 0 ? err : steer_bpf__load(bpf);
    err = err < 0 ? err : take(bpf, first, maps, out);
    steer_bpf__destroy(bpf);
    return err;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "offload/forward_load.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <forward.skel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "offload/bpf_log.h"

/* What verifiers say of a program: an objection and their figures, not each instruction. */
enum { LOG_SIZE = 16384, LOG_STATS = 4 };

struct logs {
    char xdp[LOG_SIZE];
    char tc[LOG_SIZE];
};

static uint32_t at_least_one(uint32_t n)
{
    return n > 0 ? n : 1;
}

/* The shield's maps are of no size that anybody chooses but for the clients. */
static int set_sizes(struct forward_bpf *bpf, const struct forward_options *options,
                     uint32_t indices)
{
    const uint32_t flows = 2 * options->max_channels;
    int err = bpf_map__set_max_entries(bpf->maps.flow4, flows);

    err = err < 0 ? err : bpf_map__set_max_entries(bpf->maps.flow6, flows);
    err = err < 0 ? err : bpf_map__set_max_entries(bpf->maps.slots, options->max_channels + 1);
    err = err < 0 ? err : bpf_map__set_max_entries(bpf->maps.limits, options->max_sessions + 1);
    err = err < 0 ? err : bpf_map__set_max_entries(bpf->maps.interfaces, indices);
    if (err == 0) {
        err = bpf_map__set_max_entries(bpf->maps.clients, at_least_one(options->max_clients));
    }
    if (err == 0 && !options->shield) { /* tables that nobody looks at */
        err = bpf_map__set_max_entries(bpf->maps.prefixes, 1);
        err = err < 0 ? err : bpf_map__set_max_entries(bpf->maps.notes, 1);
    }
    return err;
}

static int choose(struct bpf_program *program, bool wanted, char *log)
{
    int err = bpf_program__set_autoload(program, wanted);

    err = err < 0 ? err : bpf_program__set_log_buf(program, log, LOG_SIZE);
    return err < 0 ? err : bpf_program__set_log_level(program, LOG_STATS);
}

/* The last line but for the figures, which is all that it says of a program that passes. */
static void read_objection(char *log, char why[FORWARD_WHY])
{
    static const char *const figures[] = {"verification time ", "stack depth ", "processed "};
    const char *line = log;

    for (size_t i = 0; i < ARRAY_SIZE(figures); i++) {
        char *at = strstr(log, figures[i]);
        if (at != NULL) {
            *at = '\0';
        }
    }
    for (size_t len = strlen(log); len > 0 && log[len - 1] == '\n'; len--) {
        log[len - 1] = '\0';
    }
    if (strrchr(log, '\n') != NULL) {
        line = strrchr(log, '\n') + 1;
    }
    if (line[0] != '\0') {
        (void)snprintf(why, FORWARD_WHY, "the kernel's verifier: %.*s", FORWARD_WHY - 32, line);
    }
}

static int load_bpf(struct forward_bpf *bpf, const struct forward_options *options,
                    uint32_t indices, unsigned wanted, struct logs *logs)
{
    int err = set_sizes(bpf, options, indices);

    bpf->rodata->virtual_clock = options->virtual_clock;
    bpf->bss->control = (struct offload_control){.forward = 1, .epoch = 1, .tos_mask = 0xff};
    if (err == 0) {
        err = choose(bpf->progs.forward_xdp, (wanted & FORWARD_LOAD_XDP) != 0, logs->xdp);
    }
    if (err == 0) {
        err = choose(bpf->progs.forward_tc, (wanted & FORWARD_LOAD_TC) != 0, logs->tc);
    }
    return err < 0 ? err : forward_bpf__load(bpf);
}

static void take(struct forward_bpf *bpf, const struct forward_options *options, unsigned wanted,
                 struct forward_loaded *out)
{
    out->bpf = bpf;
    out->xdp.fd = (wanted & FORWARD_LOAD_XDP) != 0 ? bpf_program__fd(bpf->progs.forward_xdp) : -1;
    out->tc.fd = (wanted & FORWARD_LOAD_TC) != 0 ? bpf_program__fd(bpf->progs.forward_tc) : -1;
    out->interfaces = bpf_map__fd(bpf->maps.interfaces);
    out->counts = bpf_map__fd(bpf->maps.counts);
    out->maps = (struct flow_maps){
        .flow4 = bpf_map__fd(bpf->maps.flow4),
        .flow6 = bpf_map__fd(bpf->maps.flow6),
        .slots = bpf_map__fd(bpf->maps.slots),
        .limits = bpf_map__fd(bpf->maps.limits),
        .clients = options->max_clients == 0 ? -1 : bpf_map__fd(bpf->maps.clients),
        .control = &bpf->bss->control,
        .virtual_clock = options->virtual_clock,
    };
    out->shield = (struct shield_parts){
        .listeners = bpf_map__fd(bpf->maps.listeners),
        .rules = &bpf->bss->shield_rules,
        .control = &bpf->bss->control,
    };
}

static int try_load(const struct forward_options *options, uint32_t indices, unsigned wanted,
                    struct logs *logs, struct forward_loaded *out)
{
    struct forward_bpf *bpf = forward_bpf__open();

    if (bpf == NULL) {
        return -errno;
    }
    memset(logs, 0, sizeof(*logs));
    const int err = load_bpf(bpf, options, indices, wanted, logs);
    if (err < 0) {
        read_objection(logs->xdp, out->xdp.why);
        read_objection(logs->tc, out->tc.why);
        forward_bpf__destroy(bpf);
        return err;
    }
    take(bpf, options, wanted, out);
    return 0;
}

int forward_load(const struct forward_options *options, uint32_t indices, unsigned wanted,
                 struct forward_loaded *out)
{
    static const unsigned fewer[] = {FORWARD_LOAD_XDP, FORWARD_LOAD_TC};
    struct logs *logs = mem_new(1, sizeof(*logs));

    *out = (struct forward_loaded){.xdp.fd = -1, .tc.fd = -1};
    if (logs == NULL) {
        return -ENOMEM;
    }
    bpf_log_start();
    int err = try_load(options, indices, wanted, logs, out);
    for (size_t i = 0; i < ARRAY_SIZE(fewer); i++) {
        const bool refused = out->xdp.why[0] != '\0' || out->tc.why[0] != '\0';
        if (err < 0 && refused && wanted == (FORWARD_LOAD_XDP | FORWARD_LOAD_TC)) {
            err = try_load(options, indices, fewer[i], logs, out);
        }
    }
    free(logs);
    return err < 0 && (out->xdp.why[0] != '\0' || out->tc.why[0] != '\0') ? -ENOTSUP : err;
}

void forward_unload(struct forward_loaded *loaded)
{
    forward_bpf__destroy(loaded->bpf);
    *loaded = (struct forward_loaded){.xdp.fd = -1, .tc.fd = -1};
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The real programs of the kernel path, on single frames and with a clock of the test's
 * (BPF_PROG_TEST_RUN).
 *
 * Owner   the test program.  Thread  one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "diff/frame.h"
#include "diff/stage.h"
#include "offload/flow.h"
#include "offload/forward.h"

enum kernel_program { KERNEL_XDP, KERNEL_TC, KERNEL_PROGRAMS };

/* What became of a frame. */
enum kernel_verdict {
    KERNEL_UP,   /* on to the stack */
    KERNEL_OUT,  /* sent */
    KERNEL_DROP, /* gone */
};

struct kernel {
    struct forward *forward;
    struct flow_table *flows;
    struct offload_control *control;
    int fd[KERNEL_PROGRAMS];
};

/* Load both programs in the namespace of the stage.  NULL, or why that can't be done here: rights,
 * an old kernel.  Any other reason ends the program: the test has failed. */
const char *kernel_open(struct kernel *k, uint32_t max_channels);
void kernel_close(struct kernel *k);

/* The time of the programs. */
void kernel_set_now(struct kernel *k, uint64_t now_ns);

/* A descriptor of that map of the programs, to be closed. */
int kernel_map(const struct kernel *k, const char *name);

/* Can the kernel run the program on that frame?  tc has no test of frames that end within the IP
 * header. */
bool kernel_can_run(enum kernel_program program, const uint8_t *in, size_t n);

/* Let `program` judge the frame of `n` bytes that has come in by `at`; the frame as it is
 * afterwards, with its length.  Fails the test when the kernel refuses to run it. */
enum kernel_verdict kernel_run(const struct kernel *k, enum kernel_program program,
                               enum stage_interface at, const uint8_t *in, size_t n,
                               uint8_t out[FRAME_MAX], size_t *out_n);

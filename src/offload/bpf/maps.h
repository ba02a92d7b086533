/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The tables of the kernel path (offload/flow_map.h); sizes are set when it is loaded. */
#pragma once

#include "offload/bpf/kernel.h"
#include "offload/flow_map.h"

/* Channels: two flows each, never replaced by one another when there is no room. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, struct offload_key4);
    __type(value, struct offload_flow);
} flow4 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, struct offload_key6);
    __type(value, struct offload_flow);
} flow6 SEC(".maps");

/* Entry 0 of both is nobody's. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct offload_slot);
} slots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct offload_limit);
} limits SEC(".maps");

/* By interface index. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct offload_if);
} interfaces SEC(".maps");

/* enum offload_count. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct offload_counts);
} counts SEC(".maps");

struct offload_control control; /* in shared memory, too */

/* Tests move the time by hand: control.virtual_ns. */
const volatile __u8 virtual_clock = 0;

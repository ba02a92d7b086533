/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The tables of the shield (offload/shield_map.h). */
#pragma once

#include "offload/bpf/kernel.h"
#include "offload/shield_map.h"

/* Size is set when it is loaded. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, struct offload_client);
    __type(value, __u8);
} clients SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, SHIELD_LISTENERS);
    __type(key, struct shield_at);
    __type(value, __u32);
} listeners SEC(".maps");

/* Of shared memory the entries lie at multiples of their size. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, SHIELD_LINES);
    __type(key, __u32);
    __type(value, struct shield_buckets);
} prefixes SEC(".maps");

/* Requests that there was no room for: some bits of a hash, and when, in milliseconds. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, SHIELD_NOTES);
    __type(key, __u32);
    __type(value, __u64);
} notes SEC(".maps");

struct shield_rules shield_rules;

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""sterna against Debian's coturn, in turn, in one run: CPU time per packet and per allocation, memory.

Each repetition starts a fresh server; the two take turns, and which goes first changes.  Quoted are the
medians, and the median of the pairs' ratios with the spread (half the inter-quartile range).
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

from stand import ROOT, Stand, resident_kib

CASES = {
    "relay 16 clients": ("relay", {"clients": 16}),
    "relay 1000 clients": ("relay", {"clients": 1000}),
    "relay 16 clients, 1200 B": ("relay", {"clients": 16, "payload": 1200}),
    "relay 1000 clients, 25 kpps": ("relay", {"clients": 1000, "rate": 12500}),
    "allocate + delete": ("alloc", {"clients": 64}),
    "idle allocation": ("idle", {"clients": 10000}),
}
# Allocations come from one address here: the limit of challenges per source is not what is measured.
EXTRA = {"sterna": "allow-private-peers\nunauthorized-ratelimit-rps=1000000\n", "coturn": ""}


def one(stand, kind, args, directory, mode, options):
    with stand.server(kind, directory, args.sterna, threads=1, extra=EXTRA[kind]) as pid:
        pids = [pid, *stand.napi_threads()]
        if mode != "idle":
            return stand.load(args.load, mode, pids, seconds=args.seconds, **options)
        before = resident_kib(pid)
        process = subprocess.Popen(stand.load_command(args.load, mode, pids, **options), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        count = json.loads(process.stdout.readline())["allocations"]
        after = resident_kib(pid)
        process.communicate("\n")
        return {"bytes": (after - before) * 1024 / count}


FIGURE = {"relay": ("cpu_us", "µs/packet"), "alloc": ("cpu_us", "µs/cycle"), "idle": ("bytes", "B/allocation")}


def spread(values):
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4)
    return (high - low) / 2


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sterna", default=str(ROOT / "build/release/sterna"))
    parser.add_argument("--load", default=str(ROOT / "build/release/tests/bench/sterna-load"))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--case", action="append", help="a part of a case's name; repeat for more")
    args = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: network namespaces need root")
    version = subprocess.run(["turnserver", "--version"], capture_output=True, text=True, check=False).stdout.split()
    print(f"machine: {platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}; "
          f"coturn {version[-1] if version else '?'}; {args.pairs} pairs of {args.seconds} s")
    with tempfile.TemporaryDirectory() as directory, Stand() as stand:
        for name, (mode, options) in CASES.items():
            if args.case and not any(part in name for part in args.case):
                continue
            key, unit = FIGURE[mode]
            results = {"sterna": [], "coturn": []}
            pairs = args.pairs if mode != "idle" else min(args.pairs, 3)
            for i in range(pairs):
                for kind in ("sterna", "coturn") if i % 2 == 0 else ("coturn", "sterna"):
                    results[kind].append(one(stand, kind, args, directory, mode, options))
                    print(f"  {name} {i + 1}/{pairs} {kind}: {results[kind][-1]}", file=sys.stderr)
            ours, theirs = ([r[key] for r in results[kind]] for kind in ("sterna", "coturn"))
            ratios = [b / a if a > 0 else float("inf") for a, b in zip(ours, theirs)]
            print(f"{name:30} sterna {statistics.median(ours):9.2f} {unit}, coturn {statistics.median(theirs):9.2f}: "
                  f"{statistics.median(ratios):.2f} times cheaper (± {spread(ratios):.2f})", flush=True)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""System calls of the server for a million packets relayed, by name: at full load and paced.

Counted by perf (tracepoints), which costs the server little; where the kernel offers none, by strace, which
slows it down.  On the hot path there must be nothing but epoll_wait, recvmmsg, sendmmsg, sendmsg and sendto.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from run import BENCH, EXTRA, be_alone
from stand import ROOT, Stand

TRACEPOINTS = pathlib.Path("/sys/kernel/tracing/events/syscalls")
CASES = {
    "16 clients, full load": {"clients": 16},
    "16 clients, bursts of 16": {"clients": 16, "burst": 16},
    "1000 clients, full load": {"clients": 1000},
    "1000 clients, 25 kpps each way": {"clients": 1000, "rate": 25000},
}
EXPECTED = {"epoll_wait", "epoll_pwait", "epoll_pwait2", "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto"}
WARM_S = 3  # clients are ready by then
SLOW_S = 5  # may go by until perf counts


def by_perf(pid, seconds):
    command = ["perf", "stat", "-x,", "-e", "syscalls:sys_enter_*", "-p", str(pid), "--", "sleep", str(seconds)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    fields = [line.split(",") for line in text.splitlines() if ":sys_enter_" in line]
    return {f[2].split("sys_enter_")[1]: int(f[0]) for f in fields if f[0].isdigit() and int(f[0]) > 0}


def by_strace(pid, seconds):
    command = ["strace", "-f", "-c", "-U", "name,calls", "-p", str(pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    time.sleep(seconds)
    tracer.terminate()
    fields = [line.split() for line in tracer.communicate()[1].splitlines()]
    return {f[0]: int(f[1]) for f in fields if len(f) == 2 and f[1].isdigit() and f[0] != "total"}


def count(pid, seconds):
    return (by_perf if TRACEPOINTS.is_dir() else by_strace)(pid, seconds)


def measure(stand, args, directory, options):
    with stand.server("sterna", directory, args.sterna, extra=EXTRA["sterna"]) as pid:
        command = stand.load_command(args.load, "relay", [pid], seconds=args.seconds + WARM_S + SLOW_S, **options)
        load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        time.sleep(WARM_S)
        calls = count(pid, args.seconds)
        result = json.loads(load.communicate()[0])
        return calls, result["pps"] * args.seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sterna", default=str(ROOT / "build/release/sterna"))
    parser.add_argument("--load", default=str(BENCH / "sterna-load"))
    parser.add_argument("--seconds", type=int, default=3)
    args = parser.parse_args()
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))  # or the load leaves us no CPU to count on
    strange = 0
    with be_alone(), tempfile.TemporaryDirectory() as directory, Stand(scheduling="interrupts") as stand:
        pathlib.Path(directory).chmod(0o755)
        for name, options in CASES.items():
            calls, packets = measure(stand, args, directory, options)
            shown = sorted(calls.items(), key=lambda item: -item[1])
            print(f"{name}: " + ", ".join(f"{call} {n / packets * 1e6:.0f}" for call, n in shown)
                  + " for a million packets", flush=True)
            other = sum(n for call, n in calls.items() if call not in EXPECTED) / packets
            print(f"  besides the batch calls: {other * 1e6:.0f}")
            strange += other > 1e-3
    if strange:
        sys.exit("more than one unexpected call for a thousand packets")


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("network namespaces need root")
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""sterna against Debian's coturn, in turn, in one run: CPU time per packet, allocation, byte and handshake, memory;
and against a forwarder that does nothing but forward (sterna-forwarder), of the same technique.

Each repetition starts a fresh server; the servers take turns, and which goes first changes.  Quoted are the
medians, and the median of the repetitions' ratios with the spread (half the inter-quartile range).  A repetition
during which other work took more than 15 % of a CPU is repeated, --patience times in all.
"""
import argparse
import contextlib
import fcntl
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

import kernel
import special
import table
from cases import CASES
from stand import (BPF_TECHNIQUES, ONLY_UDP, ROOT, SCHEDULING, SERVER_CLIENT_SIDE, SERVER_PEER_SIDE, Stand,
                   make_certificate, resident_kib, stream_listeners, v6)

BENCH = ROOT / "build/release/tests/bench"
# Limits that protect are not what is measured: of challenges per source, of handshakes a second.
EXTRA = {"sterna": "allow-private-peers\nunauthorized-ratelimit-rps=1000000\n", "coturn": ""}
EXTRA_STREAM = {"sterna": "tls-handshake-rate=0\n", "coturn": ""}
BARE = ("bare-mmsg", "bare-gso", "bare-gso-conn", "bare-uring", *(f"bare-{name}" for name in BPF_TECHNIQUES))
# sterna with the kernel path: kind -> the option's value.
OFFLOAD = {f"sterna-{mode}": mode for mode in ("xdp", "xdp-generic", "tc")}


def be_alone():
    """Two benches at a time would measure each other.  Returns what to keep until the end."""
    lock = open("/run/sterna-bench.lock", "w", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("bench: another one is running on this machine; waiting for it", file=sys.stderr)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


@contextlib.contextmanager
def going_first():
    """What is measured goes before what else the machine does: by priority in this session, and of the session."""
    session = pathlib.Path("/proc/self/autogroup")
    before = session.read_text().split()[-1] if session.exists() else None
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    try:
        if before is not None:
            session.write_text("-20")
        yield
    finally:
        if before is not None:
            session.write_text(before)


def one_idle(stand, pid, command):
    before = resident_kib(pid)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    count = json.loads(process.stdout.readline())["allocations"]
    after = resident_kib(pid)
    process.communicate("\n")
    return {"bytes": (after - before) * 1024 / count}


def one_bare(stand, technique, args, case):
    clients = case.options.get("clients", 16)
    with stand.forwarder(args.forwarder, technique, clients) as (pid, place):
        pids = [pid, *stand.napi_threads()]
        return stand.load(args.load, case.mode, pids, seconds=args.seconds, bare=place, **case.options)


def configuration(kind, case):
    name = "coturn" if kind == "coturn" else "sterna"
    extra = EXTRA[name] + (EXTRA_STREAM[name] if case.stream else "")
    if kind in OFFLOAD:
        extra += f"offload={OFFLOAD[kind]}\n"
    if case.options.get("client_v6"):
        extra += f"listening-ip={v6(SERVER_CLIENT_SIDE)}\n"
    if case.options.get("peer_v6"):
        extra += f"relay-ip={v6(SERVER_PEER_SIDE)}\n"
    return extra


def one_server(stand, kind, args, directory, case):
    extra = configuration(kind, case)
    listeners = stream_listeners(directory) if case.stream else ONLY_UDP
    with stand.server(kind, directory, args.sterna, threads=1, extra=extra, listeners=listeners) as pid:
        threads = stand.napi_threads()
        if len(threads) < 2:
            sys.exit("bench: the server's interfaces have no threads of their own (threaded NAPI): "
                     "what the kernel does for the server would not be counted")
        if kind in OFFLOAD:
            kernel.check(f"{directory}/{kind}.log", OFFLOAD[kind])
        pids = [pid, *threads]
        if case.mode == "idle":
            return one_idle(stand, pid, stand.load_command(args.load, case.mode, pids, **case.options))
        if case.stream:
            seconds = max(1, round(args.seconds))
            return stand.stream_load(args.stream_load, case.mode, pids, seconds=seconds, **case.options)
        return stand.load(args.load, case.mode, pids, seconds=args.seconds, **case.options)


def one(stand, kind, args, directory, case):
    """A repetition; of several, the one that was disturbed least."""
    best = None
    for _ in range(args.patience):
        if kind in BARE:
            result = one_bare(stand, kind.removeprefix("bare-"), args, case)
        else:
            result = one_server(stand, kind, args, directory, case)
        if best is None or table.strangers(result) < table.strangers(best):
            best = result
        if table.strangers(best) <= table.STRANGERS:
            break
    return best


def measure(stand, name, case, args, directory):
    kinds = args.only or [*case.servers, *(f"bare-{technique}" for technique in case.bare)]
    if not case.mode == "relay" or "indications" in case.options:
        kinds = [kind for kind in kinds if kind not in BARE]
    results = {kind: [] for kind in kinds}
    pairs = args.pairs if case.mode != "idle" else min(args.pairs, 3)
    for i in range(pairs):
        for kind in kinds if i % 2 == 0 else reversed(kinds):
            results[kind].append(one(stand, kind, args, directory, case))
            print(f"  {name} {i + 1}/{pairs} {kind}: {results[kind][-1]}", file=sys.stderr)
    rows = table.summary(name, case, results) if kinds else []
    for row in rows:
        print(table.line(row), flush=True)
    return rows, results


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sterna", default=str(ROOT / "build/release/sterna"))
    parser.add_argument("--load", default=str(BENCH / "sterna-load"))
    parser.add_argument("--stream-load", default=str(BENCH / "sterna-stream-load"))
    parser.add_argument("--forwarder", default=str(BENCH / "sterna-forwarder"))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--patience", type=int, default=2, help="tries of a repetition that is disturbed")
    parser.add_argument("--case", action="append", help="a case's name, or a part of some; repeat for more")
    parser.add_argument("--group", action="append", choices=["table", "more", "growth", "stream", "kernel"],
                        help="whole groups of cases (default: table)")
    parser.add_argument("--only", action="append", choices=["sterna", *OFFLOAD, "coturn", *BARE],
                        help="measure this one alone; repeat for more")
    parser.add_argument("--scheduling", choices=SCHEDULING, default="interrupts",
                        help="who interrupts whom on the server's CPU (default: interrupts)")
    parser.add_argument("--json", help="write everything measured to a file")
    parser.add_argument("--list", action="store_true", help="name the cases")
    parser.add_argument("--two-workers", action="store_true", help="instead: two workers against one, and their shares")
    parser.add_argument("--flood", action="store_true", help="instead: goodput and answers under a flood")
    parser.add_argument("--shield", action="store_true",
                        help="with --flood: a million packets a second of nobody, beside clients in the kernel path")
    parser.add_argument("--limits", action="store_true", help="instead: max-bps and usage in the kernel path")
    parser.add_argument("--soak", type=int, metavar="SECONDS", help="instead: allocate and delete for long")
    return parser.parse_args()


def choose(args):
    groups = args.group or ["table"]
    if args.case:
        whole = [part for part in args.case if part in CASES]
        parts = [part for part in args.case if part not in CASES]
        return {name: case for name, case in CASES.items() if name in whole or any(part in name for part in parts)}
    return {name: case for name, case in CASES.items() if case.group in groups}


def run_cases(chosen, args, directory):
    rows, results = [], {}
    for hosts in (False, True):
        group = {name: case for name, case in chosen.items() if case.stream == hosts}
        if group:
            with Stand(hosts=hosts, scheduling="fair" if hosts else args.scheduling) as stand:
                for name, case in group.items():
                    found, results[name] = measure(stand, name, case, args, directory)
                    rows += found
    paths = [row for row in rows if row["of"] and any(row["of"].values())]
    print("\n" + table.kernel_markdown(paths))
    print("\n" + table.markdown([row for row in rows if row not in paths]))
    return {"rows": rows, "results": results}


def run_special(args, directory):
    if args.shield or args.limits:
        with Stand(scheduling=args.scheduling) as stand:
            return (kernel.shield if args.shield else kernel.limits)(stand, args, directory)
    with Stand() as stand:
        if args.two_workers:
            return special.two_workers(stand, args, directory, EXTRA)
        if args.flood:
            return special.flood(stand, args, directory, EXTRA)
        return special.soak(stand, args, directory, EXTRA)


def main():
    args = arguments()
    chosen = choose(args)
    if args.list:
        print("\n".join(chosen if args.case or args.group else CASES))
        return
    if os.geteuid() != 0:
        sys.exit("bench: network namespaces need root")
    version = subprocess.run(["turnserver", "--version"], capture_output=True, text=True, check=False).stdout.split()
    machine = (f"machine: {platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}; "
               f"coturn {version[-1] if version else '?'}; {args.pairs} pairs of {args.seconds} s")
    print(machine)
    with be_alone(), tempfile.TemporaryDirectory() as directory, going_first():
        pathlib.Path(directory).chmod(0o755)
        make_certificate(directory)
        if args.two_workers or args.flood or args.shield or args.limits or args.soak:
            found = run_special(args, directory)
        else:
            found = run_cases(chosen, args, directory)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps({"machine": machine, **found}, indent=1))


if __name__ == "__main__":
    main()

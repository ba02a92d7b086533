#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""sterna against Debian's coturn, in turn, in one run: CPU time per packet, allocation, byte and handshake, memory.

Each repetition starts a fresh server; the two take turns, and which goes first changes.  Quoted are the
medians, and the median of the pairs' ratios with the spread (half the inter-quartile range).
"""
import argparse
import contextlib
import fcntl
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

from cases import CASES, FIGURES
from stand import ONLY_UDP, ROOT, Stand, make_certificate, resident_kib, stream_listeners

BENCH = ROOT / "build/release/tests/bench"
# Limits that protect are not what is measured: of challenges per source, of handshakes a second.
EXTRA = {"sterna": "allow-private-peers\nunauthorized-ratelimit-rps=1000000\n", "coturn": ""}
EXTRA_STREAM = {"sterna": "tls-handshake-rate=0\n", "coturn": ""}
STRANGERS = 0.15  # more than this of a CPU taken by others is told


def be_alone():
    """Two benches at a time would measure each other.  Returns what to keep until the end."""
    lock = open("/run/sterna-bench.lock", "w", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("bench: another one is running on this machine")
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


def one(stand, kind, args, directory, case):
    extra = EXTRA[kind] + (EXTRA_STREAM[kind] if case.stream else "")
    listeners = stream_listeners(directory) if case.stream else ONLY_UDP
    with stand.server(kind, directory, args.sterna, threads=1, extra=extra, listeners=listeners) as pid:
        kernel = stand.napi_threads()
        if len(kernel) < 2:
            sys.exit("bench: the server's interfaces have no threads of their own (threaded NAPI): "
                     "what the kernel does for the server would not be counted")
        pids = [pid, *kernel]
        if case.mode == "idle":
            return one_idle(stand, pid, stand.load_command(args.load, case.mode, pids, **case.options))
        if case.stream:
            return stand.stream_load(args.stream_load, case.mode, pids, seconds=args.seconds, **case.options)
        return stand.load(args.load, case.mode, pids, seconds=args.seconds, **case.options)


def spread(values):
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4)
    return (high - low) / 2


def remarks(results):
    """What else is to be known of streams: a busy machine, and losses, which on one are not the servers' fault."""
    told = []
    strangers = 0
    for kind, runs in results.items():
        parts = [part for r in runs for part in ([r["up"], r["down"]] if "up" in r else [r])]
        lost = sum(part.get("lost", 0) for part in parts)
        if lost:
            told.append(f"with {kind} {lost} were lost")
        strangers = max([strangers, *(part["strangers"] for part in parts)])
    if strangers > STRANGERS:
        told.append(f"others took up to {strangers:.2f} of a CPU")
    return f" [{'; '.join(told)}]" if told else ""


def report(name, case, results):
    for figure in FIGURES[case.mode]:
        values = {kind: [figure.of(r) for r in runs] for kind, runs in results.items()}
        label = f"{name} {figure.part}".rstrip()
        medians = ", ".join(f"{kind} {statistics.median(v):9.2f}" for kind, v in values.items())
        line = f"{label:30} {medians} {figure.unit}"
        if len(values) == 2:
            ratios = [figure.ratio(a, b) for a, b in zip(values["sterna"], values["coturn"])]
            line += f": {statistics.median(ratios):.2f} times better (± {spread(ratios):.2f})"
        else:
            line += f" (± {spread(next(iter(values.values()))):.2f})"
        print(line + (remarks(results) if case.stream else ""), flush=True)


def measure(stand, name, case, args, directory):
    kinds = [args.only] if args.only else ["sterna", "coturn"]
    results = {kind: [] for kind in kinds}
    pairs = args.pairs if case.mode != "idle" else min(args.pairs, 3)
    for i in range(pairs):
        for kind in kinds if i % 2 == 0 else reversed(kinds):
            results[kind].append(one(stand, kind, args, directory, case))
            print(f"  {name} {i + 1}/{pairs} {kind}: {results[kind][-1]}", file=sys.stderr)
    report(name, case, results)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sterna", default=str(ROOT / "build/release/sterna"))
    parser.add_argument("--load", default=str(BENCH / "sterna-load"))
    parser.add_argument("--stream-load", default=str(BENCH / "sterna-stream-load"))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--case", action="append", help="a part of a case's name; repeat for more")
    parser.add_argument("--only", choices=["sterna", "coturn"], help="measure one server alone")
    parser.add_argument("--list", action="store_true", help="name the cases")
    return parser.parse_args()


def main():
    args = arguments()
    chosen = {name: case for name, case in CASES.items()
              if not args.case or any(part in name for part in args.case)}
    if args.list:
        print("\n".join(chosen))
        return
    if os.geteuid() != 0:
        sys.exit("bench: network namespaces need root")
    version = subprocess.run(["turnserver", "--version"], capture_output=True, text=True, check=False).stdout.split()
    print(f"machine: {platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}; "
          f"coturn {version[-1] if version else '?'}; {args.pairs} pairs of {args.seconds} s")
    with be_alone(), tempfile.TemporaryDirectory() as directory, going_first():
        pathlib.Path(directory).chmod(0o755)
        make_certificate(directory)
        for hosts in (False, True):
            group = {name: case for name, case in chosen.items() if case.stream == hosts}
            if group:
                with Stand(hosts=hosts) as stand:
                    for name, case in group.items():
                        measure(stand, name, case, args, directory)


if __name__ == "__main__":
    main()

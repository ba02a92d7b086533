# SPDX-License-Identifier: Apache-2.0
"""What is no comparison of costs in turn: workers, floods, and soaking."""
import json
import pathlib
import statistics
import subprocess

from stand import resident_kib

CONTROL = {"control": 50, "control_rate": 500}


def thread_ns(pid):
    """CPU time of the process's threads by name."""
    found = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        found[name] = found.get(name, 0) + int((task / "schedstat").read_text().split()[0])
    return found


def worker_shares(before, after):
    """What part of the workers' CPU time each of them took, the busiest first."""
    taken = [after[name] - before.get(name, 0) for name in after if name.startswith("worker")]
    return sorted((ns / max(sum(taken), 1) for ns in taken), reverse=True)


def spread_over(stand, args, directory, extra, threads, options):
    with stand.server("sterna", directory, args.sterna, cpu="0,1", threads=threads, extra=extra) as pid:
        before = thread_ns(pid)
        result = stand.load(args.load, "relay", [pid, *stand.napi_threads()], seconds=args.seconds, **options)
        result["shares"] = worker_shares(before, thread_ns(pid))
        return result


def two_workers(stand, args, directory, extra):
    """CPU time per packet of two workers against one, paced; and how clients spread over two."""
    found = {}
    for name, options in (("1000 clients, 25 kpps each way", {"clients": 1000, "rate": 25000}),
                          ("4 clients, 25 kpps each way", {"clients": 4, "rate": 25000}),
                          ("4 clients, bursts of 16, 50 kpps each way", {"clients": 4, "rate": 50000, "burst": 16})):
        runs = {1: [], 2: []}
        for i in range(args.pairs):
            for threads in (1, 2) if i % 2 == 0 else (2, 1):
                runs[threads].append(spread_over(stand, args, directory, extra["sterna"], threads, options))
        ratio = statistics.median(b["cpu_us"] / a["cpu_us"] for a, b in zip(runs[1], runs[2]))
        shares = [r["shares"][0] for r in runs[2]]
        lost = sum(r["lost"] for r in runs[2])
        print(f"{name}: one worker {statistics.median(r['cpu_us'] for r in runs[1]):.2f} µs/packet, "
              f"two {statistics.median(r['cpu_us'] for r in runs[2]):.2f}, ratio {ratio:.2f}; "
              f"the busier of two took {statistics.median(shares):.2f} (at most {max(shares):.2f}); lost {lost}",
              flush=True)
        found[name] = {"runs": runs, "ratio": ratio}
    return found


def flood_once(stand, args, directory, extra, kind, options):
    with stand.server(kind, directory, args.sterna, extra=extra[kind]) as pid:
        return stand.load(args.load, "relay", [pid, *stand.napi_threads()], seconds=args.seconds, clients=16,
                          direction="up", **options)


def flood(stand, args, directory, extra):
    """More ChannelData than the server can relay, while other clients ask."""
    found = {}
    for kind in args.only or ["sterna", "coturn"]:
        best, answers = [], []
        for _ in range(args.pairs):
            best.append(flood_once(stand, args, directory, extra, kind, {}))
            answers.append(flood_once(stand, args, directory, extra, kind, {"rate": 500000, **CONTROL}))
        goodput = statistics.median(b["up"] / a["up"] for a, b in zip(best, answers))
        offered, p50, p99 = (statistics.median(values) for values in zip(
            *((r["offered_pps"], r["answers"]["p50"], r["answers"]["p99"]) for r in answers)))
        answered = sum(r["answers"]["count"] for r in answers) / sum(r["asked"] for r in answers)
        print(f"{kind}: offered {offered / 1000:.0f} kpps, goodput {goodput:.2f} of the maximum "
              f"({statistics.median(r['pps'] for r in best) / 1000:.0f} kpps); answers p50 {p50 / 1000:.1f} ms, "
              f"p99 {p99 / 1000:.1f} ms, {answered:.1%} of the requests answered", flush=True)
        found[kind] = {"maximum": best, "flood": answers}
    return found


def soak(stand, args, directory, extra):
    """Cycles for long: memory stays flat, and in the end every port can be allocated."""
    ports, first = 2000, 20000
    limits = f"{extra['sterna']}"
    with stand.server("sterna", directory, args.sterna, extra=limits, ports=(first, first + ports - 1)) as pid:
        command = stand.load_command(args.load, "soak", [], clients=64, capacity=ports, seconds=args.soak)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        sizes = []
        while len(sizes) < args.soak:
            try:
                process.wait(1)
                break
            except subprocess.TimeoutExpired:
                sizes.append(resident_kib(pid))
        cycles = json.loads(process.stdout.readline())
        after = resident_kib(pid)
        ready = json.loads(process.stdout.readline() or '{"allocations": 0}')["allocations"]
        process.communicate("\n")
    warm = sizes[min(len(sizes) - 1, 10)] if sizes else after
    print(f"{cycles['cycles']} cycles in {args.soak} s, {cycles['refused']} refused; resident {warm} KiB after 10 s, "
          f"{after} KiB at the end; {ready} of {ports} ports can be allocated afterwards")
    return {"cycles": cycles, "resident_kib": sizes, "ports": ready}

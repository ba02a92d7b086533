# SPDX-License-Identifier: Apache-2.0
"""What the kernel path has to hold besides being cheap: a flood at the gates, bandwidth limits, exact counts."""
import json
import pathlib
import re
import statistics
import sys

CLIENTS = 16
FLOOD = 1_150_000  # packets a second of nobody, less what the generator can't make up for
MEDIA = 25_000  # packets a second and direction, of all clients
LIMIT = 200_000  # bytes a second of an allocation and direction
CHANNEL_HEAD = 4
PAYLOAD = 172
OFFERED = 4  # times the limit
# Protection at its defaults, as it is in service.
PEERS = "allow-private-peers\n"
CONTENDERS = {
    "sterna, kernel path and shield (xdp)": "offload=xdp\nflood-shield\n",
    "sterna, kernel path and shield (tc)": "offload=tc\nflood-shield\n",
    "sterna, kernel path alone (xdp)": "offload=xdp\n",
    "sterna, user space": "",
    "coturn": None,
}


def check(log, mode):
    """What is measured must be what is meant: the server says what its two interfaces have got."""
    text = pathlib.Path(log).read_text(encoding="utf-8", errors="replace")
    if text.count(f'mode="{mode}"') < 2:
        sys.exit(f"bench: no kernel path ({mode}) on both interfaces:\n{text}")


def once(stand, args, directory, extra, **options):
    """A server's answer to a load, and what its log says in the end."""
    events = pathlib.Path(directory) / "events.log"
    events.unlink(missing_ok=True)
    kind = "coturn" if extra is None else "sterna"
    extra = "" if extra is None else f"{PEERS}log-min-level=info\n{extra}"
    log = "/dev/null" if kind == "coturn" else str(events)
    mode = re.search("offload=(.*)", extra)
    with stand.server(kind, directory, args.sterna, extra=extra, events=log) as pid:
        if mode:
            check(f"{directory}/{kind}.log", mode[1])
        found = stand.load(args.load, "relay", [pid, *stand.napi_threads()], seconds=args.seconds, live=True,
                           clients=CLIENTS, payload=PAYLOAD, **options)
    return found, events.read_text(encoding="utf-8") if events.exists() else ""


def numbers(log, event):
    """The numbers of an event's fields: a list, for all lines of it."""
    lines = [line for line in log.splitlines() if f" {event} " in line]
    return [{name: int(value) for name, value in re.findall(r"(\w+)=(\d+)(?= |$)", line)} for line in lines]


def lost_part(result):
    came = result["all_up"] + result["all_down"]
    return result["lost"] / max(came + result["lost"], 1)


def shield(stand, args, directory):
    """Junk and spoofed Binding and Allocate requests, by thirds, while clients relay."""
    found = {}
    for name, extra in CONTENDERS.items():
        runs = []
        for _ in range(args.pairs):
            result, log = once(stand, args, directory, extra, rate=MEDIA, flood=FLOOD)
            last = numbers(log, "offload.count")
            result["counts"] = {key: value for key, value in last[-1].items() if value} if last else {}
            runs.append(result)
        offered = statistics.median(r["flood_sent"] / (args.seconds + 0.5) for r in runs)
        delay = statistics.median(max(r["latency_up"]["p99"], r["latency_down"]["p99"]) for r in runs)
        process, whole = (statistics.median(r[key] for r in runs) for key in ("process_share", "cpu_share"))
        lost = [lost_part(r) for r in runs]
        print(f"{name}: {offered / 1000:.0f} kpps of nobody beside {2 * MEDIA / 1000:.0f} of {CLIENTS} clients; "
              f"these lost {statistics.median(lost):.3%} (at most {max(lost):.3%}), p99 {delay:.0f} µs; the process "
              f"took {process:.1%} of a CPU, with the kernel's work {whole:.1%}", flush=True)
        print(f"  {json.dumps(runs[-1]['counts'])}", flush=True)
        found[name] = runs
    return found


def limited(stand, args, directory, extra):
    """Relayed bytes a second of each direction, in parts of what max-bps allows."""
    allowed = CLIENTS * LIMIT
    size = PAYLOAD + CHANNEL_HEAD
    result, _ = once(stand, args, directory, f"{extra}max-bps={LIMIT}\n", rate=OFFERED * allowed // size)
    seconds = (result["up"] + result["down"]) / max(result["pps"], 1)
    return {way: result[way] * size / seconds / allowed for way in ("up", "down")}


def usage(stand, args, directory, extra):
    """What the generator has received, and what the server's log says of it in the end."""
    result, log = once(stand, args, directory, extra, rate=MEDIA)
    sessions = numbers(log, "allocation.closed")
    forwarded = numbers(log, "offload.count")[-1]
    return {
        "generator": [result["all_up"], result["all_down"]],
        "generator_bytes": [result["all_up"] * PAYLOAD, result["all_down"] * PAYLOAD],
        "server": [sum(s[f"to_{way}_packets"] for s in sessions) for way in ("peer", "client")],
        "server_bytes": [sum(s[f"to_{way}_bytes"] for s in sessions) for way in ("peer", "client")],
        "forwarded": [forwarded["forwarded_to_peer"], forwarded["forwarded_to_client"]],
        "lost": result["lost"],
    }


def limits(stand, args, directory):
    """max-bps in the kernel path, and whether its counts are the generator's."""
    found = {}
    for mode in ("xdp", "xdp-generic", "tc"):
        extra = f"offload={mode}\n"
        rates = [limited(stand, args, directory, extra) for _ in range(args.pairs)]
        counts = usage(stand, args, directory, extra)
        same = counts["generator"] == counts["server"] and counts["generator_bytes"] == counts["server_bytes"]
        print(f"{mode}: relayed " + ", ".join(
            f"{way} {statistics.median(r[way] for r in rates):.3f} ({min(r[way] for r in rates):.3f} to "
            f"{max(r[way] for r in rates):.3f})" for way in ("up", "down"))
              + f" of max-bps at {OFFERED} times as much; packets received / counted by the server / of these by the "
              f"kernel: {counts['generator']} / {counts['server']} / {counts['forwarded']}, bytes "
              f"{'the same' if same else 'DIFFERENT'}, lost {counts['lost']}", flush=True)
        found[mode] = {"rates": rates, "usage": counts, "same": same}
    return found

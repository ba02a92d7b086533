# SPDX-License-Identifier: Apache-2.0
"""What `./dev bench` measures: cases by name, and the figures that a mode of a generator yields."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Case:
    mode: str
    options: dict
    group: str = "table"  # what is measured unless something else is asked for
    bare: tuple = ()  # techniques of the bare forwarder that are measured beside
    servers: tuple = ("sterna", "coturn")  # one of ours first

    @property
    def stream(self):
        """It is of sterna-stream-load, in a stand with hosts."""
        return self.group == "stream"


@dataclasses.dataclass(frozen=True)
class Figure:
    part: str  # of the generator's answer; "" is all of it
    key: str
    unit: str
    more_is_better: bool = False

    def of(self, result):
        return (result[self.part] if self.part else result)[self.key]

    def ratio(self, ours, theirs):
        """How many times better ours is."""
        above, below = (ours, theirs) if self.more_is_better else (theirs, ours)
        return above / below if below > 0 else float("inf")


FIGURES = {
    "relay": [Figure("", "cpu_us", "µs/packet")],
    "alloc": [Figure("", "cpu_us", "µs/cycle")],
    "idle": [Figure("", "bytes", "B/allocation")],
    "channel": [Figure("up", "cpu_us", "µs/packet"), Figure("down", "cpu_us", "µs/packet")],
    "pairs": [Figure("up", "mb_per_cpu_s", "MB/CPU s", True), Figure("down", "mb_per_cpu_s", "MB/CPU s", True)],
    "connect": [Figure("", "per_cpu_s", "/CPU s", True)],
}

# Debian's coturn 4.6.1 has no TLS 1.3.
TLS = {"tls": "1.2", "port": 5349}
BURST = {"burst": 16}
VIDEO = {"burst": 10, "payload": 1200, "tail": 400}
SINGLES, BURSTS = ("mmsg", "gso"), ("gso",)


def media(bare, group="table", **options):
    return Case("relay", options, group, bare)


def stream(mode, **options):
    return Case(mode, options, "stream")


def table():
    cases = {}
    for clients in (16, 1000):
        for direction in ("up", "down", "both"):
            cases[f"relay {clients} clients, {direction}"] = media(SINGLES, clients=clients, direction=direction)
    for clients in (16, 1000):
        cases[f"relay {clients} clients, bursts of 16"] = media(BURSTS, clients=clients, **BURST)
        cases[f"relay {clients} clients, 1200 B video bursts"] = media(BURSTS, clients=clients, **VIDEO)
        cases[f"relay {clients} clients, indications"] = media((), clients=clients, indications=True)
    cases["relay 1000 clients, 25 kpps each way"] = media(SINGLES, clients=1000, rate=25000)
    cases["allocate + delete"] = Case("alloc", {"clients": 64})
    cases["idle allocation"] = Case("idle", {"clients": 9500})
    return cases


def more():
    """Directions and sizes that the table leaves out; by name only."""
    cases = {}
    for clients in (16, 1000):
        for direction in ("up", "down"):
            name = f"relay {clients} clients, {direction}"
            options = {"clients": clients, "direction": direction}
            cases[f"{name}, bursts of 16"] = media(BURSTS, "more", **options, **BURST)
            cases[f"{name}, 1200 B video bursts"] = media(BURSTS, "more", **options, **VIDEO)
            cases[f"{name}, indications"] = media((), "more", indications=True, **options)
        cases[f"relay {clients} clients, 1200 B"] = media(SINGLES, "more", clients=clients, payload=1200)
    return cases


def growth():
    cases = {}
    for clients in (1, 10, 100, 1000, 9500):
        cases[f"growth: {clients} clients"] = media((), "growth", clients=clients)
    for payload in (50, 172, 500, 1000, 1400):
        cases[f"growth: {payload} bytes"] = media((), "growth", clients=16, payload=payload)
    for idle in (0, 1000, 9000):
        cases[f"growth: {idle} idle allocations"] = media((), "growth", clients=16, idle=idle)
    return cases


def kernel():
    """What the kernel path does: single packets that a generator in the kernel sends and takes, 240 under way in each
    direction, fewer than the 256 that a veth's queue holds.
    """
    cases = {}

    def case(name, bare=(), servers=("sterna-xdp", "sterna-tc", "coturn"), **options):
        window = 240 if options.get("direction") in ("up", "down") else 480
        cases[f"kernel: {name}"] = Case("relay", {"live": True, "window": window, **options}, "kernel", bare, servers)

    for clients in (16, 1000):
        for direction in ("up", "down", "both"):
            for payload in (172, 1200):
                every = ("sterna-xdp", "sterna-tc", "sterna-xdp-generic", "sterna", "coturn")
                some = {"servers": every} if direction == "both" and payload == 172 else {}
                case(f"{clients} clients, {direction}, {payload} B", ("xdp", "xdpfib", "tc"), clients=clients,
                     direction=direction, payload=payload, **some)
    case("16 clients, IPv6", clients=16, client_v6=True, peer_v6=True)
    case("16 clients of IPv4, peers of IPv6", clients=16, peer_v6=True)
    case("1000 clients, 25 kpps each way", ("xdpfib",), clients=1000, rate=25000)
    return cases


CASES = {
    **table(),
    **more(),
    **growth(),
    **kernel(),
    "TCP 16 clients": stream("channel", clients=16),
    "TCP 16 clients, 1200 B": stream("channel", clients=16, payload=1200),
    "TCP 16 clients, 40 kpps": stream("channel", clients=16, rate=40000),
    "TCP 200 clients": stream("channel", clients=200),
    "TLS 16 clients": stream("channel", clients=16, **TLS),
    "TLS 16 clients, 1200 B": stream("channel", clients=16, payload=1200, **TLS),
    "TLS 16 clients, 40 kpps": stream("channel", clients=16, rate=40000, **TLS),
    "TLS 200 clients": stream("channel", clients=200, **TLS),
    "RFC 6062, 1 pair": stream("pairs", clients=1, rate=100),
    "RFC 6062, 16 pairs": stream("pairs", clients=16, rate=100),
    "RFC 6062, 1 pair, TLS": stream("pairs", clients=1, rate=100, **TLS),
    "RFC 6062, 16 pairs, TLS": stream("pairs", clients=16, rate=100, **TLS),
    "TCP connections": stream("connect", outstanding=4),
    "TLS handshakes, full": stream("connect", outstanding=4, **TLS),
    "TLS handshakes, resumed": stream("connect", outstanding=4, resume=True, **TLS),
}

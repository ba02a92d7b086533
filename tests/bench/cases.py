# SPDX-License-Identifier: Apache-2.0
"""What `./dev bench` measures: cases by name, and the figures that a mode of a generator yields."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Case:
    mode: str
    options: dict
    stream: bool = False  # of sterna-stream-load, in a stand with hosts


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


def stream(mode, **options):
    return Case(mode, options, stream=True)


CASES = {
    "relay 16 clients": Case("relay", {"clients": 16}),
    "relay 1000 clients": Case("relay", {"clients": 1000}),
    "relay 16 clients, 1200 B": Case("relay", {"clients": 16, "payload": 1200}),
    "relay 1000 clients, 25 kpps": Case("relay", {"clients": 1000, "rate": 12500}),
    "allocate + delete": Case("alloc", {"clients": 64}),
    "idle allocation": Case("idle", {"clients": 10000}),
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

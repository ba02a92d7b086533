# SPDX-License-Identifier: Apache-2.0
"""The kernel path under test: client -- server -- peer, each in a namespace of its own, so that packets come and go
by interfaces; and what the programs in the kernel have counted, read from the maps of the server's process."""
import contextlib
import ctypes
import functools
import itertools
import json
import os
import pathlib
import re
import select
import shutil
import subprocess
import tempfile
import time

import pytest

import signed

ROOT = pathlib.Path(__file__).resolve().parents[2]
# How the programs are attached makes no difference to the server: under the sanitizers one is enough.
MODES = ("tc", *(pytest.param(mode, marks=pytest.mark.long) for mode in ("xdp", "xdp-generic")))
CHANNEL = 0x4000
LIMIT_S = 30
BPFTOOL = shutil.which("bpftool") or shutil.which("/usr/sbin/bpftool")
CAP_BPF, CAP_SYS_ADMIN = 39, 21
V4 = {"client": "10.1.0.2", "server": "10.1.0.1", "relay": "10.2.0.1", "peer": "10.2.0.2", "other": "10.2.0.3"}
V6 = {"client": "fd00:1::2", "server": "fd00:1::1", "relay": "fd00:2::1", "peer": "fd00:2::2", "other": "fd00:2::3"}
ENDS = {4: V4, 6: V6}
CLIENT, SERVER, PEER = "client", "server", "peer"
CABLES = ((CLIENT, "c0", "client"), (SERVER, "s0", "server"), (SERVER, "s1", "relay"), (PEER, "p0", "peer"))
TO_PEER, TO_CLIENT, BOTH_HERE = "forwarded_to_peer", "forwarded_to_client", "forwarded_relay_to_relay"
SO_NO_CHECK = 11
PASS = '__attribute__((section("xdp"), used)) int pass(void *frame) { return 2; }'
UP, DOWN = "up", "down"
SLACK_S = 0.25  # the longest that a packet may take on a busy machine


# --- may these tests run? --------------------------------------------------------------------------


def held():
    """The capabilities of this process, as a mask."""
    status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1], 16)


def missing():
    """What is missing for any of these tests; None: nothing."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not held() & (1 << CAP_BPF | 1 << CAP_SYS_ADMIN):
        return "BPF programs need CAP_BPF"
    for tool in "bpftool", "clang", "ethtool", "setpriv":
        if shutil.which(tool) is None and shutil.which(f"/usr/sbin/{tool}") is None:
            return f"{tool} is not there"
    return None


def why_not(mode):
    """Why this kernel cannot do that mode; None: it can."""
    version = tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])
    if mode in ("tc", "auto") and version < (6, 6):  # on virtual pairs auto is tc
        return "tc needs Linux 6.6"
    return None if version >= (5, 15) else "the kernel path needs Linux 5.15"


# --- what the programs have counted ----------------------------------------------------------------


def bpftool(*arguments):
    """The answer, or None when there is no such object."""
    done = subprocess.run([BPFTOOL, "-j", *arguments], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    return json.loads(done.stdout) if done.returncode == 0 and done.stdout.strip() else None


@functools.lru_cache
def count_names():
    """The names of enum offload_count, in its order."""
    text = (ROOT / "src/offload/flow_map.h").read_text(encoding="utf-8")
    table = text[text.index("#define OFFLOAD_COUNTS(X)"):text.index("enum offload_count")]
    return re.findall(r"\bX\((\w+)\)", table)


def bpf_objects(pid):
    """Identifiers of all that a process holds: {"prog": {...}, "map": {...}, "link": {...}}."""
    found = {"prog": set(), "map": set(), "link": set()}
    for info in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):
            for kind, number in re.findall(r"^(prog|map|link)_id:\s*(\d+)", info.read_text(encoding="ascii"), re.M):
                found[kind].add(int(number))
    return found


def bpf_left(objects):
    """Those of them that there still are, with their names."""
    return [(kind, number, there.get("name")) for kind, numbers in objects.items() for number in numbers
            if isinstance(there := bpftool(kind, "show", "id", str(number)), dict) and "error" not in there]


class Counts:
    """The counters of a server's kernel path."""

    def __init__(self, server):
        maps = {number: bpftool("map", "show", "id", str(number))
                for number in bpf_objects(server.process.pid)["map"]}
        found = [number for number, one in maps.items() if one is not None and
                 (one.get("name"), one.get("type")) == ("counts", "percpu_array")]  # steering has a "counts", too
        assert len(found) == 1, f"the server has no kernel path:\n{server.text}"
        self.libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
        self.map = self.libbpf.bpf_map_get_fd_by_id(ctypes.c_uint32(found[0]))
        assert self.map >= 0, os.strerror(ctypes.get_errno())

    def read(self):
        """Sums over the CPUs, by name."""
        names, cpus = count_names(), self.libbpf.libbpf_num_possible_cpus()
        values = (ctypes.c_uint64 * (len(names) * cpus))()
        key = ctypes.c_uint32(0)
        failed = self.libbpf.bpf_map_lookup_elem(self.map, ctypes.byref(key), values)
        assert failed == 0, os.strerror(ctypes.get_errno())
        return {name: sum(values[at::len(names)]) for at, name in enumerate(names)}

    def close(self):
        """So that the map can end with its server."""
        if self.map >= 0:
            os.close(self.map)
            self.map = -1

    def __del__(self):
        self.close()


def fields(line):
    """The numbers of a line of the log."""
    return {name: int(value) for name, value in re.findall(r" (\w+)=(\d+)\b", line)}


def text(line, name):
    """A string of a line of the log."""
    found = re.search(rf' {name}="([^"]*)"', line)
    return found and found[1]


def lines(server, event):
    return [line for line in server.text.splitlines() if f" {event} " in line]


# --- who sends and receives ------------------------------------------------------------------------


class Pair:
    """A client with a channel, and its peer."""

    def __init__(self, client, peer, number=CHANNEL):
        self.client, self.peer, self.number = client, peer, number
        self.to_relay = client.relayed  # where the peer sends to

    def up(self, data):
        self.client.channel_send(self.number, data)
        assert self.peer.recv(65536) == data

    def down(self, data):
        self.peer.sendto(data, self.to_relay)
        assert self.client.channel_receive() == (self.number, data)

    def ping(self):
        self.up(b"there")
        self.down(b"back")

    def refused(self):
        """Send both ways, and take nothing."""
        with contextlib.suppress(ConnectionRefusedError):
            self.client.channel_send(self.number, b"too late")
        with contextlib.suppress(ConnectionRefusedError):
            self.peer.sendto(b"too late", self.to_relay)

    def close(self):
        self.client.sock.close()
        self.peer.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def take_all(sock):
    """All datagrams that wait at the socket."""
    sock.setblocking(False)
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                found.append(sock.recv(65536))
    sock.settimeout(20)
    return found


class Stream:
    """Numbered packets of a pair at a steady pace each way; when each was sent, and which have come as they should:
    as ChannelData to the client."""

    def __init__(self, pair, rate=200):
        self.pair, self.interval = pair, 1 / rate
        self.sent = {UP: [], DOWN: []}  # (before, after) it was sent
        self.got = {UP: set(), DOWN: set()}
        self.due = time.monotonic()

    def push(self):
        """Send what is due, and take what has come."""
        while self.due <= time.monotonic():
            self.due += self.interval
            for way in UP, DOWN:
                before = time.monotonic()
                data = str(len(self.sent[way])).encode()
                with contextlib.suppress(ConnectionRefusedError):
                    if way == UP:
                        self.pair.client.channel_send(self.pair.number, data)
                    else:
                        self.pair.peer.sendto(data, self.pair.to_relay)
                self.sent[way].append((before, time.monotonic()))
        self.take()

    def take(self):
        inbox, self.pair.client.inbox = self.pair.client.inbox, []
        came = {UP: take_all(self.pair.peer),
                DOWN: [data[4:] for data in inbox + take_all(self.pair.client.sock) if data[0] >= 0x40]}
        for way, datas in came.items():
            for number in map(int, datas):
                assert number not in self.got[way], f"{way}: packet {number} came twice"
                self.got[way].add(number)

    def expect_all(self):
        """All that was sent has come; what is still on its way has the time it takes."""
        deadline = time.monotonic() + LIMIT_S
        while any(len(self.got[way]) < len(self.sent[way]) for way in (UP, DOWN)):
            missing_up, missing_down = (sorted(set(range(len(self.sent[way]))) - self.got[way])[:10]
                                        for way in (UP, DOWN))
            assert time.monotonic() < deadline, f"lost: up {missing_up}, down {missing_down}"
            select.select([self.pair.peer, self.pair.client.sock], [], [], 0.1)
            self.take()

    def judge(self, way, began, told, lifetime):
        """What was sent later than `lifetime` after the server's answer (`told`) must not have come; what was sent
        well before it ended, counted from when it was asked for (`began`), must."""
        late = [n for n in self.got[way] if self.sent[way][n][0] > told + lifetime]
        assert not late, f"{len(late)} packets after the deadline, up to {self.sent[way][max(late)][0] - told:.3f} s"
        missed = [n for n, (_, after) in enumerate(self.sent[way])
                  if after < began + lifetime - SLACK_S and n not in self.got[way]]
        assert not missed, f"{len(missed)} of {len(self.sent[way])} packets are lost, the first is {missed[0]}"
        assert self.sent[way][-1][0] > told + lifetime, "the stream has ended before the deadline"


def stream_until(streams, end, also=lambda: None):
    """Let them flow until that time; `also` is called now and then."""
    while time.monotonic() < end:
        for one in streams:
            one.push()
        also()
        time.sleep(max(0, min(one.due for one in streams) - time.monotonic()))


# --- the network -----------------------------------------------------------------------------------


class Lab:
    """The three namespaces, and a server that `start` (a fixture of conftest.py) makes there."""

    def __init__(self, net, start):
        self.net, self.start = net, start
        self.server = self.counts = self.mode = None
        self.frames_taken = False
        self.ports = itertools.count(40000)  # none twice: the server may remember what came from it
        self.ns = {name: net.space(name) for name in (CLIENT, SERVER, PEER)}
        for name in self.ns:
            self.sysctl(name, "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0",
                        "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0")
        net.cable(self.ns[CLIENT], "c0", self.ns[SERVER], "s0")
        net.cable(self.ns[SERVER], "s1", self.ns[PEER], "p0")
        for name, device, at in CABLES:
            net.address(self.ns[name], device, V4[at] + "/24", V6[at] + "/64")
        net.address(self.ns[PEER], "p0", V4["other"] + "/24", V6["other"] + "/64")
        self.far_end(CLIENT, "c0")
        self.far_end(PEER, "p0")

    def far_end(self, name, device):
        """What is sent there has its checksum, as on a wire."""
        self.run(name, "ethtool", "-K", device, "tx", "off")

    def take_frames(self):
        """With a program at the far ends, a veth takes frames of XDP there: those that are redirected, and those
        that are sent back (XDP_TX), for which GRO alone would not do."""
        if self.frames_taken:
            return
        self.frames_taken = True
        with tempfile.TemporaryDirectory() as directory:
            program = os.path.join(directory, "pass.o")
            subprocess.run(["clang", "-target", "bpf", "-O2", "-x", "c", "-c", "-o", program, "-"], check=True,
                           input=PASS, text=True, timeout=LIMIT_S)
            for name, device in (CLIENT, "c0"), (PEER, "p0"):
                self.run(name, "ip", "link", "set", "dev", device, "xdpdrv", "obj", program, "sec", "xdp")

    def run(self, name, *command):
        return subprocess.run(["ip", "netns", "exec", self.ns[name], *command], check=True, capture_output=True,
                              text=True, timeout=LIMIT_S).stdout

    def processes(self, name):
        done = subprocess.run(["ip", "netns", "pids", self.ns[name]], check=True, capture_output=True, timeout=LIMIT_S)
        return done.stdout.split()

    def sysctl(self, name, *settings):
        self.run(name, "sysctl", "-qw", *settings)

    def forwarding_on_lo(self):
        """Of both families."""
        names = [f"net.{family}.conf.lo.forwarding" for family in ("ipv4", "ipv6")]
        return self.run(SERVER, "sysctl", "-n", *names).split()

    def serve(self, mode, **options):
        """Start the server with the kernel path in that mode, which it must get on both interfaces."""
        if (why := why_not(mode)) is not None:
            pytest.skip(why)
        if mode == "xdp":
            self.take_frames()
        server = self.start_server(offload=mode, **options)
        if any("built without" in line for line in lines(server, "offload.off")):
            pytest.skip("built without BPF")
        assert lines(server, "offload.ready"), server.text
        assert {(text(line, "name"), text(line, "mode")) for line in lines(server, "offload.interface")} >= {
            ("s0", mode), ("s1", mode)}, server.text
        self.counts, self.mode = Counts(server), mode
        return server

    def start_server(self, **options):
        self.server = self.start(**{
            "netns": self.ns[SERVER], "listening_ip": [V4["server"], V6["server"]],
            "relay_ip": [V4["relay"], V6["relay"]], "allow_private_peers": True, "allow_loopback_peers": None,
            "relay_threads": 1, **options})
        return self.server

    # --- clients and peers ---

    def socket(self, name, ip):
        sock = self.net.socket(self.ns[name], (ip, next(self.ports)))
        sock.settimeout(20)
        return sock

    def client(self, family=4, **credentials):
        """A client without an allocation, yet."""
        ends = ENDS[family]
        return signed.Client((ends["server"], self.server.port), sock=self.socket(CLIENT, ends["client"]),
                             **credentials)

    def pair(self, family=4, peer_family=4, at="peer", mobile=False, **credentials):
        """A client with a channel to a peer."""
        client = self.client(family, **credentials)
        assert client.allocate(*([signed.WANT_IPV6] if peer_family == 6 else []), mobile=mobile).code == 0
        peer = self.socket(PEER, ENDS[peer_family][at])
        assert client.bind(CHANNEL, peer.getsockname()[:2]).code == 0
        return Pair(client, peer)

    def pair_here(self, family=4, other_family=4, relays=4):
        """Two clients, each the other's peer: relay to relay.  The second one's socket plays the peer."""
        ends = [self.client(family), self.client(other_family)]
        for one in ends:
            assert one.allocate(*([signed.WANT_IPV6] if relays == 6 else [])).code == 0
        assert ends[0].bind(CHANNEL, ends[1].relayed).code == 0
        assert ends[1].bind(CHANNEL + 1, ends[0].relayed).code == 0
        return ends

    def warm(self, pair):
        """Until the kernel forwards both ways: the first packets climb, for the neighbours are unknown."""
        return self.until_forwarded(pair.ping, TO_PEER, TO_CLIENT)

    def until_forwarded(self, ping, *names):
        deadline = time.monotonic() + LIMIT_S
        while True:
            before = self.counts.read()
            ping()
            after = self.counts.read()
            if all(after[name] > before[name] for name in names):
                return
            changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
            assert time.monotonic() < deadline, f"the kernel does not forward: {changed}\n{self.server.text}"
            time.sleep(0.01)

    @contextlib.contextmanager
    def counting(self, **expected):
        """What is done in this block changes the counters so, those of forwarding and those told."""
        before = self.counts.read()
        yield
        after = self.counts.read()
        changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
        found = {name: changed.get(name, 0) for name in (TO_PEER, TO_CLIENT, BOTH_HERE, *expected)}
        assert found == {TO_PEER: 0, TO_CLIENT: 0, BOTH_HERE: 0, **expected}, f"{expected} expected, found {changed}"

    def fence(self):
        """Come back when the server and the kernel have dealt with all that was sent before."""
        with self.pair(at="other") as pair:
            for _ in range(3):
                pair.ping()

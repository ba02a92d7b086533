# SPDX-License-Identifier: Apache-2.0
"""Which worker a client's packets reach: with a program in the kernel, with a socket a client, and without either."""
import os
import pathlib
import shutil

import pytest

import turn

CAP_BPF, CAP_SYS_ADMIN = 39, 21
WITHOUT_BPF = ("setpriv", "--bounding-set=-bpf,-sys_admin")
ENOUGH_NS = 5_000_000  # of CPU time: hundreds of packets, and far above what timers take


def held():
    """The capabilities of this process, as a mask."""
    status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1], 16)


pytestmark = [
    pytest.mark.skipif(not held() & (1 << CAP_BPF | 1 << CAP_SYS_ADMIN), reason="BPF programs need CAP_BPF"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv(1) is not there"),
]


@pytest.fixture
def start(sterna, network):
    """start(**options): a server with two workers in a namespace of its own, and that namespace."""
    def make(**options):
        space = network.space("steering")
        return sterna(**{"netns": space, "relay_threads": 2, "network_engine": "reuseport", **options}), space
    return make


def ready_line(server):
    line = next(line for line in server.text.splitlines() if "ingress.ready" in line)
    if "this build has no BPF" in line:
        pytest.skip("built without BPF")
    return line


class Pair:
    """A client with a channel, and its peer."""

    def __init__(self, network, space, server, ip="127.0.0.1"):
        self.client = turn.Client((ip, server.port), network.socket(space, (ip, 0)))
        self.peer = network.socket(space, (ip, 0))
        assert self.client.allocate(*([(turn.FAMILY, b"\2\0\0\0")] if ":" in ip else [])).code == 0
        assert self.client.bind(0x4000, self.peer.getsockname()[:2]).code == 0

    def ping(self):
        """A packet to the peer and one back, alone on their way."""
        self.client.channel_send(0x4000, b"there")
        assert self.peer.recv(100) == b"there"
        self.peer.sendto(b"back", self.client.relayed)
        assert self.client.channel_receive() == (0x4000, b"back")

    def close(self):
        self.client.sock.close()
        self.peer.close()


def worker_times(server):
    """CPU time of each worker so far, in nanoseconds."""
    times = {}
    for task in pathlib.Path(f"/proc/{server.process.pid}/task").iterdir():
        name = (task / "comm").read_text(encoding="ascii").strip()
        if name.startswith("worker-"):
            times[name] = int((task / "schedstat").read_text(encoding="ascii").split()[0])
    return times


def home(server, pair):
    """The worker that the packets of the pair pass through: it works, the others rest."""
    before = worker_times(server)
    spent = dict.fromkeys(before, 0)
    while sum(spent.values()) < ENOUGH_NS:
        pair.ping()
        spent = {name: time - before[name] for name, time in worker_times(server).items()}
    most = max(spent, key=spent.get)
    assert spent[most] > 0.7 * sum(spent.values()), f"more than one worker has to do with it: {spent}"
    return most


def homes(network, space, server, count, ip="127.0.0.1"):
    """Make `count` clients, one after the other; how many live on each worker, the least first."""
    pairs = [Pair(network, space, server, ip) for _ in range(count)]
    found = [home(server, pair) for pair in pairs]
    for pair in pairs:
        pair.close()
    return sorted(found.count(name) for name in worker_times(server))


# --- which one it is -------------------------------------------------------------------------------


def test_log_tells_that_the_program_steers(start):
    server, _ = start()
    line = ready_line(server)
    assert 'engine="reuseport"' in line and 'steering="bpf"' in line
    sockets = int(line.split("sockets=")[1].split()[0])
    assert sockets >= 2
    assert "ingress.not_steered" not in server.text


def test_log_tells_that_the_kernel_steers_and_why(start, network):
    server, space = start(prefix=WITHOUT_BPF)
    line = ready_line(server)
    assert 'steering="kernel"' in line and "CAP_BPF" in line
    for _ in range(8):  # by hash, on either worker
        pair = Pair(network, space, server)
        home(server, pair)
        pair.close()


# --- where clients live ----------------------------------------------------------------------------


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
def test_four_clients_are_spread_evenly_by_the_program(start, network, ip):
    server, space = start()
    assert 'steering="bpf"' in ready_line(server)
    assert homes(network, space, server, 4, ip) == [2, 2]


def test_wildcards_are_steered(start, network):
    server, space = start(listening_ip=None)
    assert 'steering="bpf"' in ready_line(server)
    assert homes(network, space, server, 4) == [2, 2]


@pytest.mark.parametrize("prefix", [(), WITHOUT_BPF], ids=["bpf", "kernel"])
def test_four_clients_are_spread_evenly_by_their_sockets(start, network, prefix):
    server, space = start(network_engine="connected", prefix=prefix)
    assert 'engine="connected"' in ready_line(server)
    assert homes(network, space, server, 4) == [2, 2]


# Sockets that share an address must have one owner, and the program must take entries from anybody.
@pytest.mark.parametrize("options", [
    {}, {"network_engine": "connected"}, {"network_engine": "connected", "prefix": WITHOUT_BPF},
], ids=["reuseport", "connected", "connected-kernel"])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_clients_are_spread_when_rights_are_gone(start, network, options):
    server, space = start(proc_user="nobody", **options)
    ready_line(server)
    assert homes(network, space, server, 4) == [2, 2]


def test_flow_ends_with_its_allocation(start, network):
    """A client that allocates again, from the same port, is placed anew and served."""
    server, space = start()
    ready_line(server)
    pairs = [Pair(network, space, server) for _ in range(4)]
    for pair in pairs:
        assert pair.client.refresh(0).code == 0
        assert pair.client.allocate().code == 0
        assert pair.client.bind(0x4000, pair.peer.getsockname()).code == 0
    found = [home(server, pair) for pair in pairs]
    for pair in pairs:
        pair.close()
    assert sorted(found.count(name) for name in worker_times(server)) == [2, 2]

# SPDX-License-Identifier: Apache-2.0
"""The ways by which packets reach the workers (network-engine): whatever happens to workers, addresses and clients
while packets flow, none is lost, comes twice or overtakes another."""
import os
import re
import shutil
import signal

import pytest

import flows
import signed
import streams
from conftest import free_port

HOME, SECOND, THIRD = "127.0.0.1", "127.0.0.2", "127.0.0.3"
WITHOUT_BPF = ("setpriv", "--bounding-set=-bpf,-sys_admin")
ENGINES = {
    "steered": {"network_engine": "reuseport"},
    "hashed": {"network_engine": "reuseport", "prefix": WITHOUT_BPF},
    "connected": {"network_engine": "connected"},
    "paired": {"network_engine": "paired"},
    "dispatch": {"network_engine": "dispatch"},
}
CPUS = len(os.sched_getaffinity(0))


@pytest.fixture(params=ENGINES, name="engine")
def engine_fixture(request):
    if request.param in ("steered", "hashed") and (os.geteuid() != 0 or shutil.which("setpriv") is None):
        pytest.skip("programs for the kernel, and doing without, need root")
    return request.param


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return streams.Certificates(tmp_path_factory.mktemp("certificates")).make("turn.example")


@pytest.fixture
def start(sterna, certificate, engine):
    """A server with the engine, on two addresses: in `paired` each is one worker's."""
    def make(**options):
        cert, key = certificate
        return sterna(**{**signed.LONG_TERM, "listening_ip": [HOME, SECOND], "mobility": True, "cert": cert,
                         "pkey": key, "dtls": True, "tls_listening_port": free_port(), "relay_threads": 2,
                         **ENGINES[engine], **options})
    return make


def on_both(server, count, way="udp"):
    return [flows.client(server, way, (HOME, SECOND)[i % 2]) for i in range(count)]


def reload(server, **changes):
    before = server.text.count("reload.done")
    server.write_conf(**changes)
    server.signal(signal.SIGHUP)
    server.wait_log("reload.done", before + 1)


@pytest.mark.parametrize("count, rate, window", [(4, 200, 32), (64, 25, 4)])
def test_packets_arrive_once_and_in_order(start, count, rate, window):
    server = start()
    with flows.Traffic(on_both(server, count), rate, window) as traffic:
        traffic.more(50)


@pytest.mark.skipif(CPUS < 2, reason="one CPU: sockets for one worker only")
@pytest.mark.parametrize("ways", [("udp",) * 8, ("dtls",) * 6, ("udp", "dtls", "tcp") * 2], ids=["udp", "dtls", "all"])
def test_workers_come_and_go_while_packets_flow(start, ways):
    server = start(relay_threads=1)
    clients = [flows.client(server, way, (HOME, SECOND)[i // 2 % 2]) for i, way in enumerate(ways)]
    with flows.Traffic(clients) as traffic:
        traffic.more()
        for workers in 2, 1, 2, 1:
            reload(server, relay_threads=workers)
            traffic.more()
    assert server.text.count("workers.changed") == 4 and "session.lost" not in server.text


@pytest.mark.skipif(CPUS < 2, reason="one CPU: sockets for one worker only")
def test_clients_that_come_while_workers_come_and_go_are_served(start):
    server = start(relay_threads=1)
    with flows.Traffic(on_both(server, 4)) as first:
        reload(server, relay_threads=2)
        with flows.Traffic(on_both(server, 4)) as second:
            first.more()
            second.more()
            reload(server, relay_threads=1)
            with flows.Traffic(on_both(server, 4)) as third:
                for one in first, second, third:
                    one.more()


def test_clients_change_their_addresses_while_packets_flow(start):
    """To a port whose hash, and to an address whose socket, may be another worker's."""
    server = start()
    with flows.Traffic(on_both(server, 6), mobile=True) as traffic:
        traffic.more()
        for ip in None, THIRD, HOME:
            for flow in traffic.flows:
                traffic.move(flow, ip)
            traffic.more()
        assert server.text.count("allocation.moved") == 3 * len(traffic.flows)


@pytest.mark.skipif(CPUS < 2, reason="one CPU: sockets for one worker only")
def test_clients_and_workers_change_at_once(start):
    server = start(relay_threads=1)
    with flows.Traffic(on_both(server, 4), mobile=True) as traffic:
        for workers in 2, 1:
            server.write_conf(relay_threads=workers)
            server.signal(signal.SIGHUP)
            for flow in traffic.flows:
                traffic.move(flow)
            server.wait_log("reload.done", 3 - workers)
            traffic.more()


def test_addresses_come_and_go_while_packets_flow(start):
    server = start()
    with flows.Traffic(on_both(server, 4)) as traffic:
        traffic.more()
        assert not flows.is_served(server, THIRD)
        reload(server, listening_ip=[HOME, THIRD])
        assert flows.is_served(server, THIRD)
        assert not flows.is_served(server, SECOND)
        traffic.more()  # those who came by the old one go on
        with flows.Traffic([flows.client(server, ip=THIRD) for _ in range(4)]) as late:
            late.more()
            for flow in traffic.flows:
                assert keeps(traffic, flow)
            reload(server, listening_ip=[HOME, SECOND])
            assert flows.is_served(server, SECOND)
            assert not flows.is_served(server, THIRD)
            late.more()
            traffic.more()


def shares(server):
    """Of the packets that each worker has sent, when the server has ended."""
    assert server.stop() == 0
    sent = [int(n) for n in re.findall(r" worker.numbers .*sent=(\d+)", server.text)]
    return [n / sum(sent) for n in sent]


def test_few_heavy_clients_are_spread_evenly(start, engine):
    """Four clients at one address, two workers: where each session can be placed, each has two."""
    if engine not in ("steered", "connected"):
        pytest.skip("a client is served where the kernel's hash, its address or its bucket has put it")
    for _ in range(3):  # by chance 3 of 8 times
        server = start()
        with flows.Traffic([flows.client(server) for _ in range(4)], 200, 32) as traffic:
            traffic.more(100)
        assert max(shares(server)) <= 0.6


def keeps(traffic, flow):
    """Is the flow's client granted a Refresh, while its packets flow?"""
    with traffic.lock:
        client = flow.client
        client.sock.settimeout(20)
        granted = client.refresh(600).code == 0
        client.sock.setblocking(False)
        flow.from_server(flow.clients.index(client))  # what has come meanwhile
    return granted


def test_more_workers_than_were_prepared_for_are_refused(start):
    server = start()
    with flows.Traffic(on_both(server, 4)) as traffic:
        traffic.more()
        server.write_conf(relay_threads=1000)
        server.signal(signal.SIGHUP)
        server.wait_log("workers.limited")
        traffic.more()
        reload(server, relay_threads=2)
        traffic.more()

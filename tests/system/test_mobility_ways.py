# SPDX-License-Identifier: Apache-2.0
"""A client that moves from one transport to another takes its allocation along, wherever the kernel has it heard
(RFC 8016)."""
import contextlib
import functools
import os
import socket

import pytest

import flows
import signed
import streams
import turn
import ways
from conftest import wait_for
from test_engines import ENGINES, engine_fixture  # noqa: F401: pytest finds it by its name


@pytest.fixture(scope="module", name="certificates")
def certificates_fixture(tmp_path_factory):
    return streams.Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(name="server")
def server_fixture(sterna, certificates, engine):  # noqa: F811
    return ways.serve(sterna, certificates, relay_threads=2, log_min_level="debug",
                      **{"user": ["user:pass", "thief:stolen"], **ENGINES[engine]})


# Proves T-8016-3.2.2-02, T-8016-3.2.2-08, T-8016-3.2.2-09, T-8016-3.2.2-13, T-8016-3.2.2-16
def test_from_each_transport_to_each(server, certificates):
    """Make before break: both are served until the new one has spoken."""
    trip = ways.every_pair(ways.WAYS)
    assert len(trip) == len(ways.WAYS) ** 2 + 1
    with signed.bound() as peer, contextlib.ExitStack() as stack:
        clients = [ways.settled(server, trip[0], certificates, peer) for _ in range(4)]
        for way in trip[1:]:
            for at, old in enumerate(clients):
                new = clients[at] = ways.follow(server, way, certificates, old)
                ways.to_peer(old, peer, b"still by the old one")
                ways.from_peer(old, peer, b"still to the old one")
                ways.to_peer(new, peer, b"by the new one")
                ways.from_peer(new, peer, b"to the new one")
                assert old.refresh().code == 437
                old.sock.close()
                stack.callback(new.sock.close)
        for one in clients:
            assert one.refresh(0).code == 0
    server.wait_log("allocation.deleted", len(clients))
    assert "session.lost" not in server.text


# Proves T-8016-3.2.2-17, T-8016-3.2.2-13
def test_an_allocation_waits_for_a_client_whose_connection_is_gone(server, certificates):
    pairs = [(gone, back) for gone in ("tcp", "tls", "dtls") for back in ways.WAYS]
    with signed.bound() as peer:
        clients = [ways.settled(server, gone, certificates, peer) for gone, _ in pairs]
        for one, (gone, _) in zip(clients, pairs):
            if gone == "dtls":
                one.sock.tls.shutdown()
                one.sock.flush()
            one.sock.close()
        server.wait_log("allocation.client_away", len(clients))
        for one in clients:
            peer.sendto(b"nobody hears this", one.relayed)
        for old, (_, back) in zip(clients, pairs):
            new = ways.follow(server, back, certificates, old)
            ways.from_peer(new, peer, b"at once")
            ways.to_peer(new, peer, b"so you are back")
            assert new.refresh(0).code == 0
            new.sock.close()
    assert "allocation.closed" not in server.text


#
def test_an_allocation_without_a_ticket_ends_with_its_connection(server, certificates):
    for way in "tcp", "tls":
        one = ways.client(server, way, certificates)
        one.allocated()
        one.sock.close()
    server.wait_log("allocation.closed", 2)


# The old connection is closed before the new one has spoken.  Proves T-8016-3.2.2-08
def test_the_old_connection_may_end_first(server, certificates):
    with signed.bound() as peer, contextlib.ExitStack() as stack:
        for way in ways.WAYS:
            for _ in range(2):
                old = ways.settled(server, "tls", certificates, peer)
                new = ways.follow(server, way, certificates, old)
                stack.callback(new.sock.close)
                left = server.text.count("allocation.address_left")
                ways.from_peer(old, peer, b"not yet")
                old.sock.close()
                server.wait_log("allocation.address_left", left + 1)
                ways.from_peer(new, peer, b"now")
                ways.to_peer(new, peer, b"indeed")


def stuffed(server, peer):
    """A client that takes nothing of all that is sent to it: its connection is full."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(server.address)
    one = streams.Client(server.address, sock=sock)
    assert one.allocate(mobile=True).code == 0
    assert one.bind(ways.CHANNEL, peer.getsockname()).code == 0
    for _ in range(60):
        for _ in range(100):
            peer.sendto(bytes(1000), one.relayed)
        ways.to_peer(one, peer, b"the server has dealt with these")
    return one


def is_heard(one, peer, data):
    """What was on its way before may come first, and may have left no room for this."""
    peer.sendto(data, one.relayed)
    one.sock.settimeout(0.3)
    with contextlib.suppress(TimeoutError):
        while one.next()[4:] != data:
            pass
        return True
    return False


def test_an_old_connection_that_takes_nothing_holds_nobody_back(server, certificates):
    """It cannot change its worker: where the session has to, it ends."""
    with signed.bound() as peer, contextlib.ExitStack() as stack:
        for way in ways.WAYS:
            for _ in range(3):
                old = stuffed(server, peer)
                new = ways.follow(server, way, certificates, old)
                stack.callback(new.sock.close)
                ways.to_peer(new, peer, b"by the new one")
                wait_for(functools.partial(is_heard, new, peer, b"to the new one"), "the new one")
                old.sock.close()
    assert "session.lost" not in server.text


def test_who_comes_back_ever_again_uses_up_nothing(server, certificates):
    """From ever new sockets: descriptors and allocations are as many as before (coturn's resume flood)."""
    with signed.bound() as peer:
        for way in ways.WAYS:
            old = ways.settled(server, way, certificates, peer)
            before = None
            for _ in range(8 if way == "dtls" else 30):  # who shakes hands too often has to wait
                new = ways.follow(server, way, certificates, old)
                ways.to_peer(new, peer, b"here")
                old.sock.close()
                old = new
                if before is None:
                    wait_for(lambda: server.text.count("connection.closed") > 0 or way not in ("tcp", "tls"), "the end")
                    before = descriptors(server)
            wait_for(lambda: descriptors(server) <= before + 2, f"as few descriptors as before, {before}")
            assert old.refresh(0).code == 0
            old.sock.close()
    server.wait_log("allocation.deleted", len(ways.WAYS))
    assert server.text.count("allocation.created") == len(ways.WAYS)


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def test_a_refused_ticket_leaves_the_client_where_it_is(server, certificates):
    """Who is refused may allocate by the same association or connection, wherever it was carried."""
    with signed.bound() as peer, contextlib.ExitStack() as stack:
        for way in ways.WAYS:
            for _ in range(4):
                owner = ways.settled(server, "udp", certificates, peer)
                thief = ways.client(server, way, certificates)
                stack.callback(thief.sock.close)
                thief.user, thief.password = "thief", "stolen"
                assert thief.redeem(owner.ticket).code == 441
                assert thief.allocate().code == 0
                assert thief.bind(ways.CHANNEL, peer.getsockname()).code == 0
                ways.to_peer(thief, peer, b"his own")
                ways.from_peer(thief, peer, b"his")
                ways.to_peer(owner, peer, b"still the owner's")
                ways.from_peer(owner, peer, b"his, too")


def many(server, certificates, count):
    """Clients by all ways but a balancer, for `flows`."""
    kinds = [way for way in ways.WAYS if way in ("udp", "tcp", "dtls")]
    return [ways.client(server, kinds[i % len(kinds)], certificates) for i in range(count)]


# Proves T-8016-3.2.2-08, T-8016-3.2.2-13
def test_clients_change_their_transport_while_packets_flow(server, certificates):
    """Make before break: none is lost, comes twice or overtakes another."""
    with flows.Traffic(many(server, certificates, 6), mobile=True) as traffic:
        traffic.more()
        for step in range(4):
            for at, flow in enumerate(traffic.flows):
                way = ("udp", "tcp", "dtls")[(at + step) % 3]
                traffic.replace(flow, ways.follow(server, way, certificates, flow.client))
            traffic.more()


# Proves T-8016-3.2.2-08
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU: sockets for one worker only")
def test_workers_come_and_go_while_clients_move(server, certificates):
    """A session that is served in two ways goes to another worker with both."""
    with signed.bound() as peer, contextlib.ExitStack() as stack:
        pairs = []
        for was in ways.WAYS:
            for now in ways.WAYS:
                old = ways.settled(server, was, certificates, peer)
                new = ways.follow(server, now, certificates, old)
                pairs.append((old, new))
                for one in old, new:
                    stack.callback(one.sock.close)
        for workers in 1, 2:
            ways.reload(server, relay_threads=workers)
            for old, _ in pairs:
                ways.to_peer(old, peer, b"still by the old one")
                ways.from_peer(old, peer, b"still to the old one")
        for _, new in pairs:
            ways.to_peer(new, peer, b"by the new one")
            ways.from_peer(new, peer, b"to the new one")
        ways.reload(server, relay_threads=1)
        for _, new in pairs:
            ways.to_peer(new, peer, b"by the new one")
            ways.from_peer(new, peer, b"to the new one")
            assert new.refresh(0).code == 0
    assert "session.lost" not in server.text


# --- TCP allocations ---------------------------------------------------------------------------------


def test_a_tcp_allocation_keeps_its_connections(server, certificates):
    """The control connection is replaced, or gone for a while; bytes go on to flow (RFC 6062)."""
    with streams.listening() as peer, contextlib.ExitStack() as stack:
        for way in "tcp", "tls", "tcp", "tls":
            one = ways.client(server, way, certificates)
            answer = one.allocate_tcp((turn.MOBILITY_TICKET, b""))
            assert answer.code == 0
            one.ticket = answer.get(turn.MOBILITY_TICKET)
            assert one.permit("127.0.0.1").code == 0
            data = stack.enter_context(contextlib.closing(one.data(one.connected(peer.getsockname()))))
            end = stack.enter_context(contextlib.closing(streams.accepted(peer)))
            for other in "tls", "tcp", "tcp":
                new = ways.follow(server, other, certificates, one)
                one.sock.close()
                data.send(b"up")
                assert end.take(2) == b"up"
                end.send(b"down")
                assert data.take(4) == b"down"
                assert new.permit("127.0.0.1").code == 0
                gone = server.text.count("allocation.client_away")
                new.sock.close()  # away for a while
                server.wait_log("allocation.client_away", gone + 1)
                data.send(b"up")
                assert end.take(2) == b"up"
                one = ways.follow(server, other, certificates, new)
                with contextlib.closing(streams.dial(one.relayed)) as caller:
                    came, number = one.attempt()
                    assert came == caller.getsockname()
                    joined = one.data(number)
                    caller.send(b"hello")
                    assert joined.take(5) == b"hello"
                    joined.close()
            with ways.client(server, "udp") as datagrams:
                datagrams.ticket = one.ticket
                assert datagrams.redeem().code == 400
            assert one.refresh(0).code == 0
            one.sock.close()

# SPDX-License-Identifier: Apache-2.0
"""Sessions that change hands or address while the kernel forwards their packets, and those whose packets it leaves to
user space."""
import contextlib
import signal
import socket
import time

import pytest

import flows
import kernel_path
import signed
import streams
import turn
from kernel_path import BOTH_HERE, CHANNEL, CLIENT, ENDS, MODES, PEER, V4, Pair, Stream

pytestmark = pytest.mark.skipif(kernel_path.missing() is not None, reason=str(kernel_path.missing()))


def flow_on(streams_, seconds):
    kernel_path.stream_until(streams_, time.monotonic() + seconds)


@pytest.mark.parametrize("mode", MODES)
def test_workers_come_and_go_while_it_forwards(lab, mode):
    """Sessions are handed from worker to worker: nothing is lost, and in the end the kernel forwards all of them."""
    server = lab.serve(mode, relay_threads=1)
    with contextlib.ExitStack() as stack:
        pairs = [stack.enter_context(lab.pair()) for _ in range(8)]
        for pair in pairs:
            lab.warm(pair)
        running = [Stream(pair, 50) for pair in pairs]
        for reload, threads in enumerate((3, 1, 2), 1):
            server.write_conf(relay_threads=threads)
            server.signal(signal.SIGHUP)
            while server.text.count("reload.done") < reload:
                flow_on(running, 0.05)
            flow_on(running, 0.5)
        for one in running:
            one.expect_all()
        for pair in pairs:
            lab.warm(pair)
        with lab.counting(forwarded_to_peer=8, forwarded_to_client=8):
            for pair in pairs:
                pair.ping()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", [4, 6])
def test_a_client_that_moves_is_forwarded_again(lab, mode, family):
    """RFC 8016: by the old address until it has arrived at the new one, and never by both."""
    server = lab.serve(mode, **signed.LONG_TERM, mobility=True)
    with lab.pair(mobile=True) as old:
        lab.warm(old)
        stream = Stream(old)
        flow_on([stream], 0.2)
        client = moved(lab, old, family)
        flow_on([stream], 0.2)
        stream.expect_all()
        new = Pair(client, old.peer)
        lab.warm(new)
        stream = Stream(new)
        flow_on([stream], 0.2)
        stream.expect_all()
        with lab.counting():
            old.client.channel_send(CHANNEL, b"nobody speaks here any more")
            old.client.settle()
        assert signed.is_empty(old.peer)
        assert client.refresh(0).code == 0
        server.wait_log("allocation.deleted")
        client.sock.close()


def moved(lab, pair, family):
    """The pair's client, at an address of that family."""
    if family == 4:
        return pair.client.moved(sock=lab.socket(CLIENT, V4["client"]))
    client = lab.client(6)
    client.relayed = pair.client.relayed
    assert client.redeem(pair.client.ticket).code == 0
    return client


def test_an_address_that_has_another_client_now(served):
    """A client that allocates again from its port, with the channel bound to another peer."""
    with served.pair() as pair:
        for at in "other", "peer", "other":
            served.warm(pair)
            assert pair.client.refresh(0).code == 0
            assert pair.client.allocate().code == 0
            pair.peer.close()
            pair.peer = served.socket(PEER, V4[at])
            assert pair.client.bind(CHANNEL, pair.peer.getsockname()).code == 0
            pair.to_relay = pair.client.relayed
            pair.ping()


@pytest.mark.parametrize("mode", MODES)
def test_a_channel_without_a_listener(lab, mode):
    """Clients of a listener that is taken away at reload are served to their end; new ones come by what there is."""
    server = lab.serve(mode)
    with lab.pair() as pair:
        lab.warm(pair)
        for reload, listening in enumerate(([ENDS[6]["server"]], [ENDS[4]["server"], ENDS[6]["server"]]), 1):
            server.write_conf(listening_ip=listening)
            server.signal(signal.SIGHUP)
            server.wait_log("reload.done", reload)
            pair.ping()
        with lab.pair(6, 6) as other:
            lab.warm(other)
        with lab.pair() as again:
            lab.warm(again)


# --- what is not the kernel's ----------------------------------------------------------------------


@pytest.fixture(name="serve_all")
def serve_all_fixture(lab, tmp_path):
    """A server for DTLS and TCP clients, too."""
    cert, key = streams.Certificates(tmp_path).make("localhost")
    return lambda mode: lab.serve(mode, dtls=True, cert=cert, pkey=key, tls_listening_port=0)


def client_over(lab, way):
    address = V4["server"], lab.server.port
    if way == "dtls":
        udp = lab.socket(CLIENT, V4["client"])
        return signed.Client(address, sock=flows.Association(address, udp))
    sock = lab.net.socket(lab.ns[CLIENT], (V4["client"], 0), socket.SOCK_STREAM)
    sock.settimeout(20)
    sock.connect(address)
    return streams.Client(address, sock=sock)


def talk(client, number, peer):
    """A packet each way."""
    client.sock.send(flows.frame(number, b"up.."))
    assert peer.recv(100) == b"up.."
    peer.sendto(b"down", client.relayed)
    assert client.next()[:8] == flows.frame(number, b"down")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", ["dtls", "tcp"])
def test_other_transports_stay_in_user_space(lab, serve_all, mode, way):
    serve_all(mode)
    with contextlib.closing(lab.socket(PEER, V4["peer"])) as peer, client_over(lab, way) as client:
        assert client.allocate().code == 0
        assert client.bind(CHANNEL, peer.getsockname()).code == 0
        with lab.counting():
            for _ in range(10):
                talk(client, CHANNEL, peer)


@pytest.mark.parametrize("mode", MODES)
def test_a_relay_of_a_tcp_client_as_peer(lab, serve_all, mode):
    """Relay to relay, one end of which is not the kernel's: user space takes both."""
    serve_all(mode)
    with client_over(lab, "tcp") as far, lab.client() as near:
        for one in far, near:
            assert one.allocate().code == 0
        assert far.bind(CHANNEL, near.relayed).code == 0
        assert near.bind(CHANNEL + 1, far.relayed).code == 0
        before = lab.counts.read()[BOTH_HERE]
        for _ in range(20):
            near.channel_send(CHANNEL + 1, b"from UDP")
            assert far.next()[:12] == flows.frame(CHANNEL, b"from UDP")
            far.channel_send(CHANNEL, b"from TCP")
            assert near.channel_receive() == (CHANNEL + 1, b"from TCP")
        assert lab.counts.read()[BOTH_HERE] == before


def test_indications_stay_in_user_space(served):
    with served.pair(at="other") as neighbour:
        served.warm(neighbour)
    with served.client() as client, contextlib.closing(served.socket(PEER, V4["peer"])) as peer:
        assert client.allocate().code == 0
        assert client.permit(V4["peer"]).code == 0
        with served.counting():
            for _ in range(10):
                client.send(peer.getsockname(), b"there")
                assert peer.recv(100) == b"there"
                peer.sendto(b"back", client.relayed)
                assert client.indication().get(turn.DATA_ATTR) == b"back"

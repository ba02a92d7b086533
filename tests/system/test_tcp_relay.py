# SPDX-License-Identifier: Apache-2.0
"""TCP allocations and connections to peers (RFC 6062), on loopback."""
import contextlib
import hashlib
import os
import select
import socket
import struct
import threading
import time

import pytest

import signed
import streams
import turn

BAD_REQUEST, FORBIDDEN, MISMATCH, WRONG_CREDENTIALS = 400, 403, 437, 441
UNSUPPORTED, FAMILY_MISMATCH, EXISTS, FAILED = 442, 443, 446, 447
SOON_S = 8
BIG = 16_000_000  # more than the kernel keeps of one connection
CONNECTED, ATTEMPTED = "Connect", "ConnectionAttempt"


@pytest.fixture
def server(sterna):
    return sterna()


@pytest.fixture
def client(server):
    """A client with a TCP allocation."""
    one = streams.client(server)
    assert one.allocate_tcp().code == 0
    yield one
    one.sock.close()


@pytest.fixture
def peer():
    with streams.listening() as sock:
        yield sock


def joined(client, peer, way=CONNECTED):
    """A connection of `client` with a peer that was made the one way or the other, not bound yet: the peer's end
    and the CONNECTION-ID."""
    if way == CONNECTED:
        connection_id = client.connected(peer.getsockname())
        return streams.accepted(peer), connection_id
    assert client.permit("127.0.0.1").code == 0
    sock = socket.create_connection(client.relayed, streams.TIMEOUT_S)
    address, connection_id = client.attempt()
    assert address == sock.getsockname()
    return streams.Messages(sock), connection_id


def pair(client, peer, way=CONNECTED):
    """Both ends of a connection that is bound: the peer's and the client's."""
    there, connection_id = joined(client, peer, way)
    return there, client.data(connection_id)


both_ways = pytest.mark.parametrize("way", [CONNECTED, ATTEMPTED])


# --- Allocate --------------------------------------------------------------------------------------


# Proves T-6062-5.1-01, T-6062-5.1-06, T-6062-5.1-07
def test_a_tcp_relay_is_allocated(server):
    client = streams.client(server)
    answer = client.allocate_tcp()
    assert answer.code == 0
    assert answer.get(turn.RESERVATION) is None
    assert struct.unpack("!I", answer.get(turn.LIFETIME))[0] == 600
    with socket.create_connection(client.relayed, streams.TIMEOUT_S):
        pass
    client.sock.close()


# Proves T-6062-5.1-02, T-6062-5.1-04, T-6062-5.1-05
def test_what_cannot_be_allocated(server):
    client = streams.client(server)
    assert client.ask(turn.ALLOCATE, (turn.REQUESTED_TRANSPORT, bytes([132, 0, 0, 0]))).code == UNSUPPORTED
    for bad in (turn.DONT_FRAGMENT, b""), (turn.EVEN_PORT, b"\x00"), (turn.RESERVATION, bytes(8)):
        assert client.allocate_tcp(bad).code == BAD_REQUEST
    assert client.allocate_tcp().code == 0
    client.sock.close()
    with signed.client(server) as udp:
        assert udp.ask(turn.ALLOCATE, streams.TRANSPORT_TCP).code == BAD_REQUEST


# Proves T-6062-5.1-03
def test_policy_may_forbid_either_relay(sterna):
    server = sterna(no_tcp_relay=True)
    client = streams.client(server)
    assert client.allocate_tcp().code == FORBIDDEN
    assert client.allocate().code == 0
    client.sock.close()


# Proves T-6062-5.1-08, T-6062-5.5-01
@both_ways
def test_the_end_of_the_allocation_ends_its_connections(client, peer, way):
    there, data = pair(client, peer, way)
    waiting, _ = joined(client, peer, way) if way == ATTEMPTED else (None, None)
    assert client.refresh(0).code == 0
    assert there.end()[0] == b""
    assert data.end()[0] == b""
    if waiting:
        assert waiting.end()[0] == b""
    with pytest.raises(OSError):
        socket.create_connection(client.relayed, 1)


# Proves T-6062-5.1-09
def test_what_a_tcp_allocation_does_not_do(server, client, peer):
    address = peer.getsockname()
    assert client.permit("127.0.0.1").code == 0
    assert client.bind(0x4000, address).code == BAD_REQUEST
    client.channel_send(0x4000, b"lost")
    tid = os.urandom(12)
    client.sock.send(signed.message(turn.SEND | turn.INDICATION, [signed.peer(*address)(tid),
                                                                  (turn.DATA_ATTR, b"lost")], tid))
    assert client.ask(turn.BINDING).code == 0
    assert streams.is_silent(peer)
    other = streams.client(server)
    assert other.allocate().code == 0
    assert other.connect_peer(address).code == BAD_REQUEST
    other.sock.close()


# --- Connect ---------------------------------------------------------------------------------------


# Proves T-6062-5.2-06, T-6062-5.2-08, T-6062-5.2-11
def test_connect_comes_from_the_relayed_address(client, peer):
    first = client.connected(peer.getsockname())
    sock, source = peer.accept()
    assert source == client.relayed
    with streams.listening() as other:
        second = client.connected(other.getsockname())
        assert second != first and len(second) == 4
    sock.close()
    with contextlib.closing(streams.dial(client.relayed)) as stranger:  # no permission came of it
        assert stranger.end()[0] == b""


# Proves T-6062-5.2-01, T-6062-5.2-04, T-6062-5.2-05, T-6062-5.1-10
def test_what_cannot_be_connected(sterna):
    server = sterna(denied_peer_ip="127.9.9.9")
    client = streams.client(server)
    assert client.connect_peer(("127.0.0.1", 9)).code == MISMATCH
    assert client.allocate_tcp().code == 0
    assert client.ask(streams.CONNECT).code == BAD_REQUEST
    assert client.ask(streams.CONNECT, (turn.XOR_PEER, b"\x00\x07" + bytes(6))).code == BAD_REQUEST
    assert client.connect_peer(("127.9.9.9", 9)).code == FORBIDDEN
    assert client.connect_peer(("::1", 9)).code == FAMILY_MISMATCH
    client.sock.close()


# Proves T-6062-5.2-07 for a refusal, K7
def test_a_refusal_is_told_at_once(client, peer):
    address = peer.getsockname()
    peer.close()
    begin = time.monotonic()
    assert client.connect_peer(address).code == FAILED
    assert time.monotonic() - begin < SOON_S


# Proves T-6062-5.2-03, T-6062-3-02
def test_one_connection_a_peer(client, peer):
    address = peer.getsockname()
    client.connected(address)
    assert client.connect_peer(address).code == EXISTS
    there = streams.accepted(peer)
    assert client.connect_peer(address).code == EXISTS
    streams.reset(there.sock)
    deadline = time.monotonic() + SOON_S
    while (code := client.connect_peer(address).code) == EXISTS:
        assert time.monotonic() < deadline
    assert code in (0, FAILED)


@pytest.fixture
def black_hole():
    """A peer that answers nothing: its backlog is full."""
    with streams.listening(backlog=0) as sock, contextlib.ExitStack() as held:
        for _ in range(8):
            one = held.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(sock.getsockname())
        yield sock.getsockname()


# Proves T-6062-5.2-02, T-6062-5.2-07, T-6062-5.2-12, K7, K11
@pytest.mark.long
def test_a_black_hole_takes_thirty_seconds(server, client, peer, black_hole):
    begin = time.monotonic()
    request, tid = client.connect_request(black_hole)
    client.sock.send(request)
    assert client.connect_peer(black_hole).code == EXISTS
    assert client.refresh(600).code == 0  # others are answered meanwhile
    there, data = pair(client, peer)
    there.send(b"others")
    assert data.take(6) == b"others"
    client.sock.settimeout(60)
    answer = turn.Message(client.next())
    assert answer.tid == tid and answer.code == FAILED
    assert 29.9 < time.monotonic() - begin < 30 + SOON_S
    begin = time.monotonic()
    assert client.connect_peer(black_hole).code == FAILED  # held off: at once
    assert time.monotonic() - begin < SOON_S


def test_connections_have_a_limit(sterna):
    server = sterna(max_peer_connections=3)
    client = streams.client(server)
    assert client.allocate_tcp().code == 0
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(streams.listening()) for _ in range(4)]
        for one in peers[:3]:
            client.connected(one.getsockname())
        assert client.connect_peer(peers[3].getsockname()).code == 508
    client.sock.close()


# --- ConnectionAttempt -----------------------------------------------------------------------------


# Proves T-6062-5.3-01
def test_a_peer_without_permission_is_turned_away(client):
    connection = streams.dial(client.relayed)
    assert connection.end()[0] == b""
    connection.close()
    assert client.ask(turn.BINDING).code == 0
    assert not client.inbox


# Proves T-6062-5.3-02, T-6062-5.3-03
def test_a_peer_is_announced(client, peer):
    joined(client, peer, ATTEMPTED)
    _, first = joined(client, peer, ATTEMPTED)
    assert first is not None and len(first) == 4


# --- ConnectionBind --------------------------------------------------------------------------------


# Proves T-6062-5.4-02, T-6062-5.4-06
def test_what_cannot_be_bound(client, peer):
    there, connection_id = joined(client, peer)
    other = client.second()
    assert other.ask(streams.CONNECTION_BIND).code == BAD_REQUEST
    wrong = struct.pack("!I", struct.unpack("!I", connection_id)[0] ^ 0x55555)
    assert other.ask(streams.CONNECTION_BIND, (streams.CONNECTION_ID, wrong)).code == BAD_REQUEST
    assert other.ask(turn.BINDING).code == 0  # still in STUN mode
    assert other.ask(streams.CONNECTION_BIND, (streams.CONNECTION_ID, connection_id)).code == 0
    again = client.second()
    assert again.ask(streams.CONNECTION_BIND, (streams.CONNECTION_ID, connection_id)).code == BAD_REQUEST
    there.send(b"still there")
    assert other.sock.take(11) == b"still there"


# Proves T-6062-5.4-01
def test_a_datagram_cannot_be_bound(server, client, peer):
    _, connection_id = joined(client, peer)
    with signed.client(server) as udp:
        assert udp.ask(streams.CONNECTION_BIND, (streams.CONNECTION_ID, connection_id)).code == BAD_REQUEST


# Proves T-6062-4.3-01, T-6062-5.4-03
def test_only_its_user_can_bind(sterna, peer):
    server = sterna(no_auth=None, lt_cred_mech=True, user=["user:pass", "other:word"])
    client = streams.client(server)
    assert client.allocate_tcp().code == 0
    there, connection_id = joined(client, peer)
    thief = streams.client(server, user="other", password="word")
    assert thief.ask(streams.CONNECTION_BIND, (streams.CONNECTION_ID, connection_id)).code == WRONG_CREDENTIALS
    own = client.second()
    answer = own.ask(streams.CONNECTION_BIND, (streams.CONNECTION_ID, connection_id))
    assert answer.code == 0
    assert answer.get(signed.MESSAGE_INTEGRITY) is not None
    there.send(b"private")
    assert own.sock.take(7) == b"private"
    for one in client, thief, own:
        one.sock.close()


# Proves T-6062-5.4-04, T-6062-5.4-05, T-6062-5.4-07
@both_ways
def test_bytes_around_the_request_are_data(client, peer, way):
    """Data of the client in the same segment as its request, data of the peer from before: both arrive, in order,
    even when they look like STUN."""
    there, connection_id = joined(client, peer, way)
    early = streams.binding() * 3
    there.send(early)
    other = client.second()
    request = other.bind_request(connection_id)
    other.sock.send(request + streams.binding() + b"raw")
    answer = turn.Message(other.sock.recv())
    assert answer.code == 0
    assert other.sock.take(len(early)) == early
    assert turn.Message(there.take(20)).type == turn.BINDING
    assert there.take(3) == b"raw"
    for byte in b"one by one":
        other.sock.send(bytes([byte]))
    assert there.take(10) == b"one by one"


@pytest.mark.parametrize("cut", [1, 4, 19, 20, 24])
def test_the_request_may_be_cut(client, peer, cut):
    there, connection_id = joined(client, peer)
    other = client.second()
    raw = other.bind_request(connection_id) + b"behind"
    other.sock.send(raw[:cut])
    time.sleep(0.05)  # so that the parts are read one by one; nothing depends on it
    other.sock.send(raw[cut:])
    assert turn.Message(other.sock.recv()).code == 0
    assert there.take(6) == b"behind"


# Proves K21 for data connections: whichever worker they come to
def test_any_worker_may_be_asked(sterna):
    server = sterna(relay_threads=4)
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            client = streams.client(server)
            assert client.allocate_tcp().code == 0
            for _ in range(8):
                peer = stack.enter_context(streams.listening())
                there, connection_id = joined(client, peer)
                there.send(b"early ")
                other = client.second()
                other.sock.send(other.bind_request(connection_id) + b"question")
                assert turn.Message(other.sock.recv()).code == 0
                assert there.take(8) == b"question"
                there.send(b"answer")
                assert other.sock.take(12) == b"early answer"


# --- data ------------------------------------------------------------------------------------------


def digest_of(connection, count):
    """SHA-256 of the next bytes."""
    total = hashlib.sha256()
    while count > 0:
        data = connection.take(min(count, 65536))
        total.update(data)
        count -= len(data)
    return total.digest()


def sending(connection, data):
    """A thread that sends `data`, of which this end's kernel keeps little."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    thread = threading.Thread(target=connection.send, args=(data,), daemon=True)
    thread.start()
    return thread


def settle(thread, connection):
    """Until all is sent, or the window is closed."""
    while thread.is_alive() and select.select([], [connection.sock], [], 0.5)[1]:
        pass


# Proves T-6062-5.2-09, T-6062-5.3-04, T-6062-3-01
@both_ways
def test_early_data_waits_and_is_not_lost(client, peer, way):
    there, connection_id = joined(client, peer, way)
    data = os.urandom(BIG)
    sender = sending(there, data)
    settle(sender, there)
    assert sender.is_alive()  # it has to wait
    other = client.data(connection_id)
    assert digest_of(other, BIG) == hashlib.sha256(data).digest()
    sender.join()


# Proves K3 for the whole server
@both_ways
def test_much_data_both_ways_with_stalls(client, peer, way):
    there, here = pair(client, peer, way)
    up, down = os.urandom(BIG), os.urandom(BIG)
    senders = [sending(here, up), sending(there, down)]
    settle(senders[0], here)
    settle(senders[1], there)
    assert digest_of(there, BIG) == hashlib.sha256(up).digest()
    assert digest_of(here, BIG) == hashlib.sha256(down).digest()
    for sender in senders:
        sender.join()


# Proves T-6062-5.5-03, K18
@both_ways
@pytest.mark.parametrize("from_client", [False, True])
def test_half_close_is_passed_on(client, peer, way, from_client):
    ends = pair(client, peer, way)
    one, other = reversed(ends) if from_client else ends
    one.send(b"question")
    one.shutdown(socket.SHUT_WR)
    assert other.end() == (b"question", streams.FIN)
    other.send(b"answer")
    assert one.take(6) == b"answer"
    other.close()
    assert one.end() == (b"", streams.FIN)


# Proves T-6062-5.5-02, K18
@both_ways
@pytest.mark.parametrize("from_client", [False, True])
def test_a_reset_is_passed_on(client, peer, way, from_client):
    ends = pair(client, peer, way)
    one, other = reversed(ends) if from_client else ends
    streams.reset(one.sock)
    assert other.end() == (b"", streams.RST)
    assert client.refresh(600).code == 0  # the allocation lives on


def test_a_closed_connection_can_be_made_anew(client, peer):
    for _ in range(3):
        there, data = pair(client, peer)
        data.send(b"x")
        assert there.take(1) == b"x"
        streams.reset(data.sock)
        there.end()
        there.close()
        deadline = time.monotonic() + SOON_S
        while (code := client.connect_peer(peer.getsockname()).code) != 0:
            assert code == EXISTS and time.monotonic() < deadline
        streams.reset(streams.accepted(peer).sock)
        client.settle()


# Proves T-6062-5.2-10, T-6062-5.3-05
@pytest.mark.long
@both_ways
def test_nobody_binds_for_thirty_seconds(client, peer, way):
    there, connection_id = joined(client, peer, way)
    begin = time.monotonic()
    there.settimeout(60)
    assert there.end()[0] == b""
    assert 29.5 < time.monotonic() - begin < 30 + SOON_S
    other = client.second()
    assert other.ask(streams.CONNECTION_BIND, (streams.CONNECTION_ID, connection_id)).code == BAD_REQUEST


def test_it_works_under_tls(sterna, tmp_path, peer):
    certificates = streams.Certificates(tmp_path)
    cert, key = certificates.make("turn.example")
    server = sterna(cert=cert, pkey=key, tls_listening_port=0, relay_threads=2)
    client = streams.client(server, tls=certificates.context(), name="turn.example")
    assert client.allocate_tcp().code == 0
    there, data = pair(client, peer)
    payload = os.urandom(1_000_000)
    sender = sending(there, payload)
    assert digest_of(data, len(payload)) == hashlib.sha256(payload).digest()
    sender.join()
    data.send(b"back")
    assert there.take(4) == b"back"
    there.close()
    assert data.end()[0] == b""
    client.sock.close()

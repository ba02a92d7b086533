# SPDX-License-Identifier: Apache-2.0
"""Messages on a stream: where they end, however they are cut, and what is no message (RFC 8489 section 6.2.2,
RFC 8656 section 12.5)."""
import os
import socket
import struct

import pytest

import signed
import streams
import turn

CHANNEL = 0x4000
COUNT = 50


@pytest.fixture
def server(sterna):
    return sterna()


@pytest.fixture
def peer():
    with signed.bound() as sock:
        yield sock


@pytest.fixture
def client(server, peer):
    """A client over TCP with a channel to `peer`."""
    one = streams.client(server)
    one.allocated()
    assert one.bind(CHANNEL, peer.getsockname()).code == 0
    yield one
    one.sock.close()


# Proves T-8489-6.2.2-04
def test_requests_may_be_pipelined(server):
    tids = [os.urandom(12) for _ in range(COUNT)]
    connection = streams.dial(server.address)
    connection.send(b"".join(streams.binding(tid) for tid in tids))
    for tid in tids:
        assert streams.is_binding_answer(connection.recv(), tid)
    connection.close()


# Proves T-8489-6.2.2-05, T-8489-6.2.2-06
@pytest.mark.parametrize("size", [1, 2, 3, 4, 19, 20, 21, 36, 47])
def test_messages_may_be_cut_anywhere(server, size):
    tids = [os.urandom(12) for _ in range(5)]
    data = b"".join(streams.binding(tid) for tid in tids)
    connection = streams.dial(server.address)
    for at in range(0, len(data), size):
        connection.send(data[at:at + size])
    for tid in tids:
        assert streams.is_binding_answer(connection.recv(), tid)
    connection.close()


# Proves T-8656-12.5-03, T-8656-12.6-06
def test_channel_data_is_padded_towards_the_peer(client, peer):
    for length in range(9):
        client.channel_send(CHANNEL, bytes(range(length)))
    for length in range(9):
        assert peer.recv(100) == bytes(range(length))
    # All at once, with requests between them: the stream stays in step.
    client.sock.send(b"".join(streams.channel_data(CHANNEL, b"x" * n) + streams.binding() for n in range(9)))
    for length in range(9):
        assert peer.recv(100) == b"x" * length
        assert streams.is_binding_answer(client.sock.recv())


# Proves T-8656-12.5-03
def test_channel_data_is_padded_towards_the_client(client, peer):
    for length in range(9):
        peer.sendto(bytes(range(length)), client.relayed)
    for length in range(9):
        head = client.sock.take(4)
        assert head == struct.pack("!HH", CHANNEL, length)
        assert client.sock.take((length + 3) // 4 * 4)[:length] == bytes(range(length))
    assert client.ask(turn.BINDING).code == 0


# Proves T-8656-12.6-08
def test_channel_data_may_be_cut_anywhere(client, peer):
    data = streams.channel_data(CHANNEL, b"12345")
    for cut in range(1, len(data)):
        client.sock.send(data[:cut])
        client.sock.send(data[cut:])
        assert peer.recv(100) == b"12345"


# Proves T-8656-12.6-01
@pytest.mark.parametrize("number", [0x5000, 0x6123, 0x7FFF])
def test_reserved_channels_are_skipped(client, number):
    client.channel_send(number, b"lost")
    assert client.ask(turn.BINDING).code == 0


def test_the_longest_channel_data_is_taken(client, peer):
    client.channel_send(CHANNEL, b"z" * 65535)  # more than a datagram can hold: lost, and nothing else
    client.channel_send(CHANNEL, b"y" * 60000)
    assert peer.recv(65536) == b"y" * 60000


# Proves T-8489-6.2.2-03 for garbage: closed, and nothing comes from anywhere else
@pytest.mark.parametrize("garbage", [b"\x80" * 24, b"\xff" * 24, b"\x00\x01\x00\x03" + b"\x21\x12\xa4\x42" + b"0" * 12,
                                     b"\x00\x01\x00\x00" + b"0" * 16])
def test_garbage_closes(server, garbage):
    connection = streams.dial(server.address)
    connection.send(streams.binding())
    assert streams.is_binding_answer(connection.recv())
    connection.send(garbage)
    assert connection.end()[0] == b""
    connection.close()
    assert streams.is_served(server)


def test_garbage_behind_requests_does_not_lose_their_answers(server):
    connection = streams.dial(server.address)
    connection.send(streams.binding() * 3 + b"\x80" * 10)
    for _ in range(3):
        assert streams.is_binding_answer(connection.recv())
    assert connection.end()[0] == b""
    connection.close()


def test_an_oversize_message_is_answered_or_closes(server):
    body = signed.attribute(turn.DATA_ATTR, b"d" * 65000)
    connection = streams.dial(server.address)
    connection.send(signed.message(turn.BINDING, [body]))
    connection.send(streams.binding())
    try:
        while not streams.is_binding_answer(connection.recv()):
            pass
    except (EOFError, ConnectionResetError):
        pass
    connection.close()
    assert streams.is_served(server)


def test_both_transports_share_a_port(server):
    assert streams.is_served(server)
    with server.client() as udp:
        assert udp.request(turn.BINDING)[0].type == turn.BINDING | turn.SUCCESS


def test_ipv6_is_served(server):
    with socket.create_connection(("::1", server.port)) as sock:
        connection = streams.Messages(sock)
        connection.send(streams.binding())
        answer = turn.Message(connection.recv())
        assert answer.address(turn.XOR_MAPPED) == sock.getsockname()[:2]


def test_data_indications_work(server, peer):
    client = streams.client(server)
    client.allocated()
    assert client.permit("127.0.0.1").code == 0
    tid = os.urandom(12)
    client.sock.send(signed.message(turn.SEND | turn.INDICATION,
                                    [signed.peer(*peer.getsockname())(tid), (turn.DATA_ATTR, b"hello")], tid))
    assert peer.recvfrom(100) == (b"hello", client.relayed)
    peer.sendto(b"world", client.relayed)
    message = turn.Message(client.next())
    assert message.type == turn.DATA | turn.INDICATION
    assert message.get(turn.DATA_ATTR) == b"world"
    assert message.address(turn.XOR_PEER) == peer.getsockname()
    client.sock.close()


def test_credentials_work(sterna):
    server = sterna(**signed.LONG_TERM)
    client = streams.client(server)
    client.allocated()
    assert client.key is not None
    assert client.refresh(0).code == 0
    client.sock.close()

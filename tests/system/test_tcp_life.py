# SPDX-License-Identifier: Apache-2.0
"""How long a TCP connection lives, and what ends with it (RFC 8489 section 6.2.2)."""
import signal
import socket
import time

import pytest

import signed
import streams
import turn
from conftest import is_free, wait_for

SOON_S = 5  # more than any scheduler takes, less than any other timeout


def ends_after(connection, seconds):
    """The connection is ended by the server, and not before its time."""
    begin = time.monotonic()
    connection.end()
    assert seconds - 0.2 <= time.monotonic() - begin < seconds + SOON_S


# Proves T-8489-6.2.2-01
def test_an_idle_connection_is_kept_and_then_closed(sterna):
    server = sterna(tcp_idle_timeout=2, tcp_first_message_timeout=1)
    connection = streams.dial(server.address)
    for _ in range(3):
        connection.send(streams.binding())
        assert streams.is_binding_answer(connection.recv())
        assert streams.is_silent(connection, 1.2)
    connection.send(streams.binding())
    assert streams.is_binding_answer(connection.recv())
    ends_after(connection, 2)
    connection.close()


def test_a_silent_connection_is_closed(sterna):
    server = sterna(tcp_first_message_timeout=1)
    connection = streams.dial(server.address)
    ends_after(connection, 1)
    connection.close()


def test_a_message_has_to_be_completed(sterna):
    server = sterna(tcp_message_timeout=1)
    connection = streams.dial(server.address)
    connection.send(streams.binding() + streams.binding()[:19])
    assert streams.is_binding_answer(connection.recv())
    ends_after(connection, 1)
    connection.close()


def test_an_allocation_keeps_the_connection(sterna):
    server = sterna(tcp_idle_timeout=1)
    client = streams.client(server)
    client.allocated()
    assert streams.is_silent(client.sock, 3)
    assert client.refresh(600).code == 0
    assert client.refresh(0).code == 0
    ends_after(client.sock, 1)
    client.sock.close()


@pytest.mark.parametrize("end", [lambda sock: sock.close(), streams.reset])
def test_the_end_of_the_connection_ends_the_allocation(sterna, end):
    server = sterna()
    client = streams.client(server)
    client.allocated()
    with signed.bound() as peer:
        assert client.permit("127.0.0.1").code == 0
        relayed = client.relayed
        end(client.sock.sock)
        server.wait_log("allocation.closed")
        wait_for(lambda: is_free(*relayed), "the relay's port to be free again")
        peer.sendto(b"nobody", relayed)
    assert streams.is_served(server)


# Proves T-8489-6.2.2-02
def test_a_client_that_has_finished_sending_is_answered(sterna):
    server = sterna()
    connection = streams.dial(server.address)
    connection.send(streams.binding() * 10)
    connection.shutdown(socket.SHUT_WR)
    data, how = connection.end()
    assert how == streams.FIN
    assert len(data) % 10 == 0 and data.count(b"\x01\x01\x00") == 10
    connection.close()


# Proves T-8489-6.2.2-03
def test_nobody_is_called_back(sterna):
    server = sterna()
    with streams.listening("127.0.0.1") as own:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        sock.connect(server.address)
        sock.sendall(streams.binding())
        streams.reset(sock)
        with streams.listening(port=port) as here:
            assert streams.is_served(server)
            assert streams.is_silent(here, 0.5)
        assert streams.is_silent(own)


def test_limits_leave_others_alone(sterna):
    server = sterna(max_connections_per_ip=5)
    held = [streams.dial(server.address, source=("127.0.0.2", 0)) for _ in range(5)]
    for one in held:
        one.send(streams.binding())
        assert streams.is_binding_answer(one.recv())
    for _ in range(20):
        refused = streams.dial(server.address, source=("127.0.0.2", 0))
        assert refused.end()[0] == b""
        refused.close()
    assert streams.is_served(server, source=("127.0.0.3", 0))
    held.pop().close()

    def has_room():
        try:
            return streams.is_served(server, source=("127.0.0.2", 0))
        except (EOFError, OSError):
            return False

    wait_for(has_room, "room for another connection")
    for one in held:
        one.close()


def test_stops_within_a_second_with_connections(sterna):
    server = sterna(relay_threads=2)
    clients = [streams.client(server) for _ in range(50)]
    for client in clients:
        client.allocated()
    begin = time.monotonic()
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert time.monotonic() - begin < 2.0
    for client in clients:
        client.sock.end()
        client.sock.close()


def test_connections_survive_a_reload(sterna):
    server = sterna()
    client = streams.client(server)
    client.allocated()
    server.write_conf(tcp_idle_timeout=60)
    server.signal(signal.SIGHUP)
    server.wait_log("reload")
    assert client.refresh(600).code == 0
    assert client.ask(turn.BINDING).code == 0
    client.sock.close()

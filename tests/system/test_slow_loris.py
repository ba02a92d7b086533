# SPDX-License-Identifier: Apache-2.0
"""Many who send next to nothing, and never finish: others are served as if they were not there (K13).

STERNA_DRIPPING=9000 runs it with that many; the limit of open files has to allow it."""
import os
import ssl
import time

import pytest

import streams
from conftest import free_port

MANY = int(os.environ.get("STERNA_DRIPPING", "300"))
LIMIT_S = 2 + MANY // 1000
HOST = "turn.example"
QUICK_S = 0.5


def latency(server):
    """How long a client with a connection of its own waits for an answer."""
    begin = time.monotonic()
    assert streams.is_served(server)
    return time.monotonic() - begin


def drip(server, connections, data, seconds):
    """Send a byte of `data` on every connection now and then; when each was closed, since it began."""
    begin, closed, at, worst = time.monotonic(), {}, 0, 0.0
    while len(closed) < len(connections) and time.monotonic() < begin + seconds:
        for connection in connections:
            if connection in closed:
                continue
            try:
                connection.sendall(data[at:at + 1])
                if not streams.is_silent(connection) and connection.sock.recv(100) == b"":
                    closed[connection] = time.monotonic() - begin
            except OSError:
                closed[connection] = time.monotonic() - begin
        at = min(at + 1, len(data) - 2)
        worst = max(worst, latency(server))
        time.sleep(0.1)  # a client's pace
    return closed, worst


def opened(server, first=b""):
    connections = [streams.dial(server.address, source=(f"127.0.1.{1 + i % 200}", 0)) for i in range(MANY)]
    for connection in connections:
        connection.send(first)
        if first:
            assert streams.is_binding_answer(connection.recv())
    return connections


def check(server, connections, data):
    closed, worst = drip(server, connections, data, 4 * LIMIT_S + 10)
    assert len(closed) == MANY
    assert min(closed.values()) > LIMIT_S / 4
    assert worst < QUICK_S + LIMIT_S
    assert latency(server) < QUICK_S
    for connection in connections:
        connection.close()


def test_a_first_message_that_never_ends(sterna):
    server = sterna(tcp_first_message_timeout=LIMIT_S)
    check(server, opened(server), streams.binding() + bytes(1000))


def test_another_message_that_never_ends(sterna):
    server = sterna(tcp_message_timeout=LIMIT_S)
    long_message = b"\x00\x01\x08\x00" + streams.binding()[4:20] + bytes(100)
    check(server, opened(server, streams.binding()), long_message)


def test_a_handshake_that_never_ends(sterna, tmp_path):
    certificates = streams.Certificates(tmp_path)
    cert, key = certificates.make(HOST)
    server = sterna(cert=cert, pkey=key, tls_listening_port=free_port(), tls_handshake_timeout=LIMIT_S)
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        certificates.context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=HOST).do_handshake()
    check(server, opened(server), outgoing.read())


def test_a_header_of_a_balancer_that_never_ends(sterna):
    server = sterna(tcp_first_message_timeout=LIMIT_S, tcp_proxy_port=free_port(), proxy_protocol_from="127.0.0.0/8")
    connections = [streams.dial(("127.0.0.1", server.options["tcp_proxy_port"])) for _ in range(MANY // 2)]
    closed, worst = drip(server, connections, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", 4 * LIMIT_S + 10)
    assert len(closed) == len(connections)
    assert worst < QUICK_S + LIMIT_S
    for connection in connections:
        connection.close()

# SPDX-License-Identifier: Apache-2.0
"""Clients over TCP that take nothing, while everybody sends to them: memory is bounded, they are disconnected in
time, and others are served (streams.md K3, K4, K6).

STERNA_STALLED=10000 runs it with that many clients; the limit of open files has to allow it."""
import os
import pathlib
import resource
import socket
import time

import pytest

import signed
import streams

CLIENTS = int(os.environ.get("STERNA_STALLED", "200"))
PACKET, BURST, TRIES = bytes(1200), 1000, 10
TOTAL = 16 << 20          # tcp-queue-total
SMALL = 4096              # of the clients' receive buffers
ETHERNET = 1400           # bytes of their segments
SEND_TIMEOUT_S, LIMIT_S = 4, 240  # before permissions end
PER_CLIENT_KIB = 24       # of everything else that a client with an allocation costs
SLACK_KIB = 4096
CHANNEL = 0x4000

pytestmark = pytest.mark.skipif(os.environ.get("STERNA_BUILD", "release") != "release",
                                reason="a sanitizer's memory is not the server's")


@pytest.fixture(autouse=True)
def files():
    """Room for the sockets of both sides."""
    was = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = 2 * CLIENTS + 1000  # of the server: a connection and a relay each
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(need, was[0]), max(need, was[1])))
    except (ValueError, PermissionError):
        pytest.skip(f"needs {need} open files")
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, was)


def resident_kib(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0])


def stalled(server, i, **dialling):
    """A client with a small receive buffer, an allocation and a permission; its relayed address."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, ETHERNET)  # loopback's own makes the server's buffer huge
    sock.bind((f"127.0.2.{1 + i % 200}", 0))
    sock.connect(server.address)
    client = streams.Client(server.address, sock=sock, **dialling)
    client.allocated()
    assert client.permit("127.0.0.1").code == 0
    return client


def is_served(client, peer):
    """A round trip through the relay of a client that reads; its datagrams may be lost as any others in a flood."""
    peer.settimeout(1)
    for _ in range(TRIES):
        question = os.urandom(8)
        client.channel_send(CHANNEL, question)
        try:
            data, relayed = peer.recvfrom(100)
            while data != question:
                data, relayed = peer.recvfrom(100)
            peer.sendto(question, relayed)
            while not streams.is_silent(client.sock, 1):
                if client.next()[4:12] == question:
                    return True
        except TimeoutError:
            pass
    return False


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def flood(server, relayed, few, watch):
    """Send to everybody until the server has `few` descriptors: all are disconnected, because they take nothing, or
    because all room is taken and half a message was sent.  The most that its memory came to, in KiB."""
    most, deadline = 0, time.monotonic() + LIMIT_S
    with signed.bound() as sender:
        while (left := descriptors(server) - few) > 0:
            assert time.monotonic() < deadline, f"{left} descriptors left of {len(relayed)} clients"
            for at in range(0, len(relayed), BURST):
                for address in relayed[at:at + BURST]:
                    sender.sendto(PACKET, address)
                most = max(most, resident_kib(server))
            assert watch()
    return most


def check(sterna, **arguments):
    options = arguments.pop("options", {})
    server = sterna(max_connections_per_ip=0, tcp_queue_total=TOTAL, tcp_send_timeout=SEND_TIMEOUT_S,
                    max_port=29999 if CLIENTS < 5000 else 65000, **options)
    good = streams.client(server, **arguments)
    good.allocated()
    with signed.bound() as peer:
        assert good.bind(CHANNEL, peer.getsockname()).code == 0
        few = descriptors(server)
        clients = [stalled(server, i, **arguments) for i in range(CLIENTS)]
        relayed = [client.relayed for client in clients]
        before = resident_kib(server)
        most = flood(server, relayed, few, lambda: is_served(good, peer))
        print(f"{CLIENTS} clients: resident {before} KiB before, {most} KiB at most")
        assert most - before < (TOTAL >> 10) + CLIENTS * PER_CLIENT_KIB + SLACK_KIB
        assert is_served(good, peer)
        server.wait_log('why="send-timeout"')
        for client in clients:
            client.sock.close()
    good.sock.close()
    return server


def test_receivers_that_take_nothing(sterna):
    check(sterna)


def test_receivers_that_take_nothing_under_tls(sterna, tmp_path):
    certificates = streams.Certificates(tmp_path)
    cert, key = certificates.make("turn.example")
    check(sterna, tls=certificates.context(), name="turn.example",
          options={"cert": cert, "pkey": key, "tls_listening_port": 0, "tls_handshake_rate": 0})


# Proves K3: what is missing is missing whole, and the youngest is there.
def test_a_reader_that_comes_back_finds_whole_messages(sterna):
    server = sterna(tcp_send_timeout=60)
    client = stalled(server, 0)
    with signed.bound() as peer:
        assert client.bind(CHANNEL, peer.getsockname()).code == 0
        for i in range(3000):
            peer.sendto(i.to_bytes(4, "big") * 250, client.relayed)
            if i % 50 == 0:
                assert streams.is_served(server)  # it has read what was sent before
        numbers = []
        while not numbers or numbers[-1] != b"last":
            if len(numbers) % 100 == 0:
                peer.sendto(b"last", client.relayed)
            message = client.next()
            assert len(message) in (4 + 1000, 4 + 4)
            numbers.append(message[4:8])
            assert message[4:] in (message[4:8] * 250, b"last")
        counted = [int.from_bytes(number, "big") for number in numbers if number != b"last"]
        assert counted == sorted(set(counted))
        assert len(counted) < 3000
    client.sock.close()

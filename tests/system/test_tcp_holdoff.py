# SPDX-License-Identifier: Apache-2.0
"""Peers that answer nothing (RFC 6062 section 5.2; streams.md K7, K11): how long they are tried, and that they are
left alone then; seen on the cable."""
import os
import socket
import struct
import time

import pytest

import streams
import turn
from conftest import Sterna, free_port, inside

SERVER, HOLE = "10.71.0.1", "10.71.0.9"
NOBODY = "02:00:00:00:00:09"  # the hole's address on the cable: nobody takes what is sent there
HOLDOFF_S, LEAST_S, SOON_S = 10, 30, 8
FAILED = 447
ETH_P_IP = 0x0800

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


@pytest.fixture
def cable(network):
    """A server's namespace on a cable with a black hole at its other end, and an ear there."""
    home, away = network.space("home"), network.space("away")
    network.cable(home, "h0", away, "a0")
    network.address(home, "h0", f"{SERVER}/24")
    network.run("ip", "-n", home, "neighbor", "add", HOLE, "lladdr", NOBODY, "dev", "h0", "nud", "permanent")
    with inside(away):
        ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP))
        ear.bind(("a0", ETH_P_IP))
    ear.setblocking(False)
    yield home, ear
    ear.close()


def calls(ear):
    """Ports of the hole that were called since the last time: one for each SYN."""
    ports = []
    while True:
        try:
            frame = ear.recv(2000)
        except BlockingIOError:
            return ports
        ip = frame[14:]
        tcp = ip[(ip[0] & 15) * 4:]
        if ip[9] == socket.IPPROTO_TCP and ip[16:20] == socket.inet_aton(HOLE) and tcp[13] & 2:
            ports.append(struct.unpack("!H", tcp[2:4])[0])


def tcp_client(home, address):
    with inside(home):
        client = streams.Client(address)
    assert client.allocate_tcp().code == 0
    client.sock.settimeout(90)
    return client


# Proves T-6062-5.2-07, T-6062-5.2-12, K7, K11
@pytest.mark.long
def test_a_peer_that_answers_nothing_is_left_alone(cable, tmp_path):
    home, ear = cable
    address = "127.0.0.1", free_port()
    server = Sterna(tmp_path, netns=home, listening_ip="127.0.0.1", listening_port=address[1], relay_ip=SERVER,
                    allow_private_peers=True, allowed_peer_ip=HOLE, tcp_holdoff=HOLDOFF_S)
    try:
        server.ready()
        client = tcp_client(home, address)
        begin = time.monotonic()
        request, tid = client.connect_request((HOLE, 7))
        client.sock.send(request)
        assert client.refresh(600).code == 0
        answer = turn.Message(client.next())
        ended = time.monotonic()
        assert (answer.tid, answer.code) == (tid, FAILED)
        assert LEAST_S - 0.1 < ended - begin < LEAST_S + SOON_S
        seen = calls(ear)
        assert len(seen) >= 4 and set(seen) == {7}  # it was tried all the time
        # Again within ten seconds: refused at once, and nobody is called.
        for _ in range(5):
            assert client.connect_peer((HOLE, 7)).code == FAILED
        assert time.monotonic() - ended < HOLDOFF_S
        assert calls(ear) == []
        # Another port is another peer, and another client has not failed yet.
        other = tcp_client(home, address)
        client.sock.send(client.connect_request((HOLE, 8))[0])
        other.sock.send(other.connect_request((HOLE, 7))[0])
        client.settle()
        other.settle()
        assert sorted(set(calls(ear))) == [7, 8]
        other.sock.close()
        # Then it is tried again.
        time.sleep(max(0.0, ended + HOLDOFF_S + 0.5 - time.monotonic()))  # the hold-off itself
        calls(ear)
        client.sock.send(client.connect_request((HOLE, 7))[0])
        client.settle()
        assert 7 in calls(ear)
        client.sock.close()
    finally:
        assert server.stop() == 0

# SPDX-License-Identifier: Apache-2.0
"""Receive buffers: what the kernel grants, what it drops, and relay sockets that get what they need."""
import os
import pathlib
import re
import signal
import socket

import pytest

import turn

BURST = 300
SO_RCVBUFFORCE = 33
RMEM_MAX = int(pathlib.Path("/proc/sys/net/core/rmem_max").read_text(encoding="ascii"))
UNPRIVILEGED = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
WARNING = "listener.buffer_small"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="large receive buffers need root")


def numbers(server, event):
    """The fields of the last line of `event`."""
    line = [line for line in server.text.splitlines() if f" {event} " in line][-1]
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line)}


def roomy(kind=socket.SOCK_DGRAM):
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind(("127.0.0.1", 0))
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    return sock


def paused(server, action):
    """Do something while the server reads nothing."""
    server.signal(signal.SIGSTOP)
    os.waitid(os.P_PID, server.process.pid, os.WSTOPPED)
    try:
        action()
    finally:
        server.signal(signal.SIGCONT)


def test_the_privilege_to_have_large_buffers_is_used(sterna):
    server = sterna(sock_buf_size=2 * RMEM_MAX)
    assert WARNING not in server.text


def test_a_buffer_that_the_system_cuts_is_told_loudly(sterna):
    server = sterna(sock_buf_size=2 * RMEM_MAX, prefix=UNPRIVILEGED)
    line = next(line for line in server.text.splitlines() if WARNING in line)
    assert " warning " in line
    assert numbers(server, WARNING) == {"asked_bytes": 2 * RMEM_MAX, "granted_bytes": RMEM_MAX}
    assert "net.core.rmem_max" in line and "CAP_NET_ADMIN" in line
    with server.client() as client:
        assert client.allocate().code == 0


def test_a_buffer_that_the_system_grants_is_no_news(sterna):
    assert WARNING not in sterna(sock_buf_size=RMEM_MAX, prefix=UNPRIVILEGED).text


def insist(sock, send, is_answer):
    """send() again and again, as there may be no room for it yet, until the answer comes; what else came, how often
    it was sent."""
    others, sent = [], 0
    sock.settimeout(0.2)
    while sent < 50:
        send()
        sent += 1
        try:
            while True:
                data = sock.recv(65536)
                if is_answer(data):
                    return others, sent
                others.append(data)
        except TimeoutError:
            pass
    pytest.fail(f"no answer after {len(others)} other packets")


def test_what_a_listener_loses_is_counted(sterna):
    server = sterna(listening_ip="127.0.0.1", sock_buf_size=8192, relay_threads=1)
    with turn.Client(server.address, roomy()) as client:
        def binding(tid):
            client.sock.sendto(turn.encode(turn.BINDING, [], tid), server.address)

        paused(server, lambda: [binding(os.urandom(12)) for _ in range(BURST)])
        # One more brings the count, and its answer comes after those to all that were not lost.
        last = os.urandom(12)
        others, sent = insist(client.sock, lambda: binding(last), lambda data: data[8:20] == last)
    assert server.stop() == 0
    count = numbers(server, "packets.count")
    assert 0 < count["rx_overflow"] < BURST + sent
    assert count["received"] >= len(others) + 1
    assert BURST + 1 <= count["received"] + count["rx_overflow"] <= BURST + sent
    assert count["relay_overflow"] == 0


def test_a_relay_socket_grows_until_bursts_fit(sterna):
    """Nothing is lost silently, and not for long."""
    server = sterna(listening_ip="127.0.0.1", relay_threads=1)
    arrived, ends = [], 0
    with turn.Client(server.address, roomy()) as client, roomy() as peer:
        client.allocate()
        assert client.bind(0x4000, peer.getsockname()).code == 0
        while not arrived or arrived[-1] < BURST:
            assert len(arrived) < 10, arrived
            paused(server, lambda: [peer.sendto(bytes(1000), client.relayed) for _ in range(BURST)])
            end = b"end %d" % len(arrived)
            others, sent = insist(client.sock, lambda end=end: peer.sendto(end, client.relayed),
                                  lambda data, end=end: data[4:4 + len(end)] == end)
            arrived.append(sum(len(data) >= 1000 for data in others))
            ends += sent
    assert arrived[0] < BURST
    assert arrived == sorted(arrived)
    assert server.stop() == 0
    count = numbers(server, "packets.count")
    lost = sum(BURST - n for n in arrived)
    assert lost <= count["relay_overflow"] <= lost + ends
    assert count["relay_overflow"] == count["rx_overflow"]

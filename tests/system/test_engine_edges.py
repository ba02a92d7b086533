# SPDX-License-Identifier: Apache-2.0
"""Corners of how packets reach the workers, in every network engine."""
import os
import signal
import socket
import struct

import pytest

import turn

ENGINES = ["reuseport", "connected", "paired", "dispatch"]
UDP_TRANSPORT = (turn.REQUESTED_TRANSPORT, turn.UDP)


@pytest.fixture
def peer():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        yield sock


@pytest.fixture(params=ENGINES)
def serve(request, sterna):
    return lambda **options: sterna(**{"listening_ip": "127.0.0.1", "relay_threads": 2,
                                       "network_engine": request.param, **options})


def over_tcp(stream, method, *attributes):
    """A transaction over TCP."""
    tid = os.urandom(12)
    stream.sendall(turn.encode(method, attributes, tid))
    answer = turn.Message(stream.recv(2048))
    assert answer.tid == tid
    return answer


def together(server, client, *messages):
    """Have the server find these requests at once; their answers."""
    server.signal(signal.SIGSTOP)
    os.waitid(os.P_PID, server.process.pid, os.WSTOPPED)
    tids = [os.urandom(12) for _ in messages]
    for (method, attributes), tid in zip(messages, tids):
        client.sock.sendto(turn.encode(method, attributes, tid), server.address)
    server.signal(signal.SIGCONT)
    answers = {answer.tid: answer for answer in (turn.Message(client.sock.recv(2048)) for _ in tids)}
    return [answers[tid] for tid in tids]


def relays(client, peer):
    assert client.permit(peer.getsockname()).code == 0
    client.send(peer.getsockname(), b"there")
    data, source = peer.recvfrom(100)
    assert (data, source) == (b"there", client.relayed)
    peer.sendto(b"back", source)
    assert client.indication().get(turn.DATA_ATTR) == b"back"


def test_a_session_on_tcp_is_not_mixed_up_with_clients_on_udp(serve):
    server = serve()
    for _ in range(4):
        with socket.create_connection(server.address) as stream:
            stream.settimeout(5)
            assert over_tcp(stream, turn.ALLOCATE, UDP_TRANSPORT).code == 0
            for _ in range(4):
                with server.client() as client:
                    answer, _ = client.request(turn.BINDING)
                    assert answer.address(turn.XOR_MAPPED)[1] == client.sock.getsockname()[1]
            assert over_tcp(stream, turn.REFRESH, (turn.LIFETIME, struct.pack("!I", 700))).code == 0


def test_a_client_may_delete_and_allocate_in_one_breath(serve, peer):
    server = serve()
    with server.client() as client:
        assert client.allocate().code == 0
        for _ in range(10):
            deleted, allocated = together(server, client, (turn.REFRESH, [(turn.LIFETIME, bytes(4))]),
                                          (turn.ALLOCATE, [UDP_TRANSPORT]))
            assert (deleted.code, allocated.code) == (0, 0)
            client.relayed = allocated.address(turn.XOR_RELAYED)
            relays(client, peer)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_sessions_find_home_after_privileges_are_given_up(serve, peer, tmp_path):
    for folder in (tmp_path, *tmp_path.parents):  # the new user must reach its working directory
        if folder.stat().st_mode & 0o11 != 0o11:
            folder.chmod(folder.stat().st_mode | 0o11)
    server = serve(proc_user="nobody", proc_group="nogroup")
    clients = [server.client() for _ in range(8)]
    for client in clients:
        assert client.allocate().code == 0
    for client in clients:
        relays(client, peer)
        client.sock.close()

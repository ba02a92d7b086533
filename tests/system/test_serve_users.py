# SPDX-License-Identifier: Apache-2.0
"""Users of the database, whose keys are not there at once, quotas over all workers, and bandwidth."""
import select
import socket
import subprocess
import time

import pytest

import signed
import turn
from conftest import STERNA

DATABASE_OPTIONS = {"no_auth": None, "lt_cred_mech": True, "relay_threads": 2}


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "users.db"
    for name in "alice", "bob":
        subprocess.run([STERNA, "user", "add", f"--userdb={path}", "--realm=example.org", "--password-stdin", name],
                       input=f"secret of {name}\n", text=True, check=True, timeout=30,
                       capture_output=True)
    return path


def test_users_of_the_database(sterna, database):
    """The first request of each waits for the key, all others have it at hand."""
    server = sterna(userdb=str(database), **DATABASE_OPTIONS)
    for name in "alice", "bob", "alice":
        with signed.client(server, user=name, password=f"secret of {name}") as client:
            client.allocated()
            assert client.refresh(600).code == 0
    for name, password in ("alice", "wrong"), ("nobody", "x"):
        with signed.client(server, user=name, password=password) as client:
            assert client.allocate().code == 401


def test_many_wait_at_once(sterna, database):
    """Requests that wait for one key are all answered."""
    server = sterna(userdb=str(database), **DATABASE_OPTIONS)
    clients = [signed.client(server, user="alice", password="secret of alice") for _ in range(50)]
    for client in clients:  # everybody gets a nonce first, then all ask in one go
        client.sock.send(signed.message(turn.ALLOCATE, [signed.TRANSPORT_UDP]))
    for client in clients:
        client.learn(turn.Message(client.sock.recv(2000)))
        client.sock.send(signed.message(turn.ALLOCATE, [signed.TRANSPORT_UDP, *client.credentials()], key=client.key))
    assert [turn.Message(client.sock.recv(2000)).code for client in clients] == [0] * len(clients)
    for client in clients:
        client.sock.close()


# Proves T-8656-5-14
def test_a_quota_holds_over_all_workers(sterna):
    server = sterna(no_auth=None, lt_cred_mech=True, user=["a:pass", "b:pass"], user_quota=5, total_quota=8,
                    relay_threads=4)
    clients = [signed.client(server, user="a") for _ in range(20)]
    codes = [client.allocate().code for client in clients]
    assert codes == [0] * 5 + [486] * 15
    others = [signed.client(server, user="b") for _ in range(10)]
    codes = [client.allocate().code for client in others]
    assert codes == [0] * 3 + [508] * 7  # the server is full
    assert clients[0].refresh(0).code == 0
    assert others[-1].allocate().code == 0
    for client in clients + others:
        client.sock.close()


def drain(sock):
    """How many bytes have come, when nothing more does."""
    total = 0
    while select.select([sock], [], [], 0)[0]:
        total += len(sock.recv(2000))
    return total


def test_bandwidth_of_the_server_is_shared(sterna):
    """bps-capacity: what several clients send in a moment is the burst of one second, not one each."""
    capacity = 200_000
    server = sterna(bps_capacity=capacity, relay_threads=2)
    clients = [server.client() for _ in range(4)]
    with signed.bound() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        for client in clients:
            assert client.allocate().code == 0
            assert client.bind(0x4000, peer.getsockname()).code == 0
        begin = time.monotonic()
        got = 0
        for _ in range(100):
            for client in clients:
                client.channel_send(0x4000, bytes(1000))
            got += drain(peer)
        for client in clients:  # what was sent before is dealt with
            client.request(turn.BINDING)
        got += drain(peer)
        seconds = time.monotonic() - begin
    # Of 400,000 bytes, one second's worth and what was earned meanwhile; leases may leave a rest.
    assert 0.5 * capacity <= got <= capacity * (1 + seconds) + 1000
    for client in clients:
        client.sock.close()

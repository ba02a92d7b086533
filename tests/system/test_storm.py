# SPDX-License-Identifier: Apache-2.0
"""A storm of short sessions: allocate, refresh, delete, over and over, with new users all the time.  Memory stays flat,
and no port, descriptor or session is lost.

STERNA_STORM_SECONDS makes it longer than the usual ten seconds.
"""
import base64
import hashlib
import hmac
import os
import random
import socket
import struct
import time

import pytest

import signed
import turn

SECONDS = int(os.environ.get("STERNA_STORM_SECONDS", "10"))
IS_RELEASE = os.environ.get("STERNA_BUILD", "release") == "release"
CLIENTS = 64
FIRST, LAST = 20000, 20399
PORTS = LAST - FIRST + 1
SECRET, REALM = b"secret-of-the-storm", b"example.org"
# Ended transactions are remembered for a while, by each worker so many: until then memory grows.
WARM_CYCLES = 60_000 if IS_RELEASE else 2_000
GROWTH_KIB = 1024
PAIR = (turn.EVEN_PORT, b"\x80")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


def resident_kib(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


class Session:
    """One client, and a user who changes with every session."""

    def __init__(self, server, sock):
        self.sock = sock
        self.sock.connect(server.address)
        self.sock.settimeout(10)
        self.nonce = b""
        self.tid = self.sent = None
        self.new_user()

    def new_user(self):
        self.user = b"%d:%s" % (time.time() + 86400, random.randbytes(8).hex().encode())
        password = base64.b64encode(hmac.digest(SECRET, self.user, "sha1"))
        self.key = hashlib.md5(b":".join([self.user, REALM, password])).digest()

    def send(self, method, *attributes):
        self.tid = random.randbytes(12)
        self.sent = signed.message(method, [*attributes, (signed.USERNAME, self.user), (signed.REALM, REALM),
                                            (signed.NONCE, self.nonce)], self.tid, self.key)
        self.sock.send(self.sent)

    def receive(self):
        while True:
            data = self.sock.recv(2048)
            if data[8:20] == self.tid:
                return turn.Message(data)

    def learn(self):
        self.sock.send(signed.message(turn.ALLOCATE, [signed.TRANSPORT_UDP], self.tid))
        self.nonce = turn.Message(self.sock.recv(2048)).get(signed.NONCE)


class Storm:
    def __init__(self, server, network, space):
        self.server = server
        self.make = lambda: Session(server, network.socket(space, ("127.0.0.1", 0)))
        self.sessions = [self.make() for _ in range(CLIENTS)]
        self.cycles = 0
        self.dice = random.Random(4)

    def close(self):
        for session in self.sessions:
            session.sock.close()

    def all(self, sessions, method, *attributes):
        """One transaction of all of them at once; they must succeed."""
        for session in sessions:
            session.send(method, *attributes)
        answers = [session.receive() for session in sessions]
        stale = [session for session, answer in zip(sessions, answers) if answer.code in (401, 438)]
        for session in stale:
            session.learn()
        again = dict(zip(stale, self.all(stale, method, *attributes))) if stale else {}
        answers = [again.get(session, answer) for session, answer in zip(sessions, answers)]
        assert all(answer.code == 0 for answer in answers), [answer.code for answer in answers]
        return answers

    def cycle(self):
        """Everybody makes a session, uses it, and ends it."""
        self.dice.shuffle(self.sessions)
        plain, even, pairs = self.sessions[:40], self.sessions[40:48], self.sessions[48:56]
        for session in self.sessions:
            session.new_user()
        ports = [a.address(turn.XOR_RELAYED)[1] for a in self.all(plain, turn.ALLOCATE, signed.TRANSPORT_UDP)]
        late = plain[0].sent
        ports += [a.address(turn.XOR_RELAYED)[1] for a in
                  self.all(even, turn.ALLOCATE, signed.TRANSPORT_UDP, (turn.EVEN_PORT, b"\0"))]
        answers = self.all(pairs, turn.ALLOCATE, signed.TRANSPORT_UDP, PAIR)
        ports += [a.address(turn.XOR_RELAYED)[1] for a in answers]
        for session, answer in zip(self.sessions[56:], answers):
            token = answer.get(turn.RESERVATION)
            got = self.all([session], turn.ALLOCATE, signed.TRANSPORT_UDP, (turn.RESERVATION, token))[0]
            ports.append(got.address(turn.XOR_RELAYED)[1])
        assert len(set(ports)) == CLIENTS and FIRST <= min(ports) and max(ports) <= LAST
        self.all(self.sessions[::2], turn.REFRESH, (turn.LIFETIME, struct.pack("!I", 700)))
        self.all(self.sessions, turn.REFRESH, (turn.LIFETIME, bytes(4)))
        plain[0].sock.send(late)  # a late duplicate makes nothing
        self.cycles += CLIENTS

    def renew(self):
        """A quarter of the clients leaves, and others come."""
        for session in self.sessions[:CLIENTS // 4]:
            session.sock.close()
        self.sessions[:CLIENTS // 4] = [self.make() for _ in range(CLIENTS // 4)]

    def run(self, enough):
        while not enough():
            self.cycle()
            if self.cycles % (CLIENTS * 16) == 0:
                self.renew()


@pytest.fixture
def space(network):
    """A host of its own, on which nobody else takes a port."""
    return network.space("storm")


@pytest.mark.long
def test_a_storm_of_sessions_leaves_nothing_behind(sterna, network, space):
    server = sterna(netns=space, listening_ip="127.0.0.1", min_port=FIRST, max_port=LAST, port_quarantine=1,
                    relay_threads=2, no_auth=None, use_auth_secret=True, static_auth_secret=SECRET.decode(),
                    unauthorized_ratelimit_rps=1_000_000, log_min_level="notice")
    files = descriptors(server)
    storm = Storm(server, network, space)
    storm.run(lambda: storm.cycles >= WARM_CYCLES)
    before = resident_kib(server)
    first, start = storm.cycles, time.monotonic()
    storm.run(lambda: time.monotonic() - start >= SECONDS)
    after, seconds = resident_kib(server), time.monotonic() - start
    print(f"{storm.cycles - first} sessions in {seconds:.0f} s; resident {before} KiB before, {after} KiB after")
    if IS_RELEASE:
        assert after - before <= GROWTH_KIB
    assert descriptors(server) == files
    # All ports of the range can be had again, each once.
    clients = [storm.make() for _ in range(PORTS + 1)]
    answers = storm.all(clients[:PORTS], turn.ALLOCATE, signed.TRANSPORT_UDP)
    assert {a.address(turn.XOR_RELAYED)[1] for a in answers} == set(range(FIRST, LAST + 1))
    clients[PORTS].learn()
    clients[PORTS].send(turn.ALLOCATE, signed.TRANSPORT_UDP)
    assert clients[PORTS].receive().code == 508
    storm.all(clients[:PORTS], turn.REFRESH, (turn.LIFETIME, bytes(4)))
    for client in clients:
        client.sock.close()
    storm.close()


def test_a_port_rests_before_it_comes_back(sterna, network, space):
    """port-quarantine: as long as there are others, no port is given to a second client in that time."""
    server = sterna(netns=space, listening_ip="127.0.0.1", min_port=FIRST, max_port=LAST, port_quarantine=3600,
                    relay_threads=2)
    seen = []
    for _ in range(PORTS):
        with turn.Client(server.address, network.socket(space, ("127.0.0.1", 0))) as client:
            assert client.allocate().code == 0
            seen.append(client.relayed[1])
            assert client.refresh(0).code == 0
    assert sorted(seen) == list(range(FIRST, LAST + 1))
    # All of them rest: the one that has rested longest is better than none.
    with turn.Client(server.address, network.socket(space, ("127.0.0.1", 0))) as client:
        assert client.allocate().code == 0
        assert client.relayed[1] in seen[:20]  # those of one millisecond are equal

# SPDX-License-Identifier: Apache-2.0
"""Rules that hold over every transport, or over streams in another way than over UDP."""
import contextlib
import fcntl
import os
import socket
import struct
import subprocess
import termios

import pytest

import signed
import streams
import turn
from conftest import STERNA, free_port, wait_for

CHANNEL = 0x4000
HOST = "turn.example"
WAYS = ["udp", "tcp", "tls", "dtls"]
PORTS = ["listening_port", "tls_listening_port"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return streams.Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def server(sterna, certificates):
    cert, key = certificates.make(HOST)
    return sterna(cert=cert, pkey=key, dtls=True, tls_listening_port=free_port())


class Datagrams:
    """A DTLS association, by way of OpenSSL's own client: a write is a record."""

    def __init__(self, port, *flags):
        command = ["openssl", "s_client", "-dtls1_2", "-quiet", "-connect", f"127.0.0.1:{port}", *flags]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, bufsize=0)

    def connect(self, _):
        """It is."""

    def settimeout(self, seconds):
        """The server's own times end it."""

    def send(self, data):
        """OpenSSL makes a record of all that there is to be read: so it has to have read this before there is more."""
        pipe = self.process.stdin
        pipe.write(data)
        wait_for(lambda: fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)) == bytes(4), "the data to be taken")

    def recv(self, count):
        return self.process.stdout.read(count)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def reached(server, certificates, way, port="tls_listening_port"):
    """A client that reaches the server in this way."""
    address = "127.0.0.1", server.options[port]
    if way == "udp":
        one = signed.Client(address)
    elif way == "dtls":
        one = signed.Client(address, sock=Datagrams(address[1]))
    else:
        one = streams.Client(address, tls=certificates.context() if way == "tls" else None, name=HOST)
    yield one
    one.sock.close()


# Proves T-8489-12-02, T-8656-3.1-01, T-8656-5-13, T-8489-8.1-01, T-7983-7-02
@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("way", WAYS)
def test_either_port_serves_every_transport(server, certificates, way, port):
    with reached(server, certificates, way, port) as client, signed.bound() as peer:
        assert client.ask(turn.BINDING).address(turn.XOR_MAPPED)[0] == "127.0.0.1"
        client.allocated()
        assert client.bind(CHANNEL, peer.getsockname()).code == 0
        client.sock.send(streams.channel_data(CHANNEL, b"hello"))
        assert peer.recvfrom(100) == (b"hello", client.relayed)
        peer.sendto(b"world", client.relayed)
        assert client.next()[4:9] == b"world"


# Proves T-7301-3.2-03
def test_nat_discovery_is_for_binding_only(server, certificates):
    discovery = certificates.context(alpn=["stun.nat-discovery"])
    with contextlib.closing(streams.Client(("127.0.0.1", server.port), tls=discovery, name=HOST).sock) as connection:
        connection.send(signed.message(turn.ALLOCATE, [signed.TRANSPORT_UDP]))
        connection.send(streams.binding())
        assert streams.is_binding_answer(connection.recv())
    everything = certificates.context(alpn=["stun.nat-discovery", "stun.turn"])
    with contextlib.closing(streams.Client(("127.0.0.1", server.port), tls=everything, name=HOST).sock) as connection:
        connection.send(signed.message(turn.ALLOCATE, [signed.TRANSPORT_UDP]))
        assert turn.Message(connection.recv()).type == turn.ALLOCATE | turn.SUCCESS


# Proves T-7301-3.2-03
@pytest.mark.parametrize("offer, allocated", [("stun.nat-discovery", False), ("stun.nat-discovery,stun.turn", True)])
def test_nat_discovery_over_dtls_is_for_binding_only(server, offer, allocated):
    with contextlib.closing(Datagrams(server.port, "-alpn", offer)) as association:
        wanted = signed.message(turn.ALLOCATE, [signed.TRANSPORT_UDP])
        refused = [wanted, signed.message(turn.REFRESH), streams.channel_data(CHANNEL, b"hello")]
        for raw in [wanted] if allocated else refused:
            association.send(raw)
        if allocated:
            assert turn.Message(association.recv(2000)).type == turn.ALLOCATE | turn.SUCCESS
        probe = streams.binding()
        association.send(probe)
        assert streams.is_binding_answer(association.recv(2000), probe[8:20])  # and nothing has come before it


# Proves T-8656-5-12, T-7350-3-02
@pytest.mark.parametrize("way, port", [("udp", 3478), ("tcp", 3478), ("tls", 5349), ("dtls", 5349)])
def test_default_ports(certificates, tmp_path, way, port):
    """As check-config tells them: other servers may run on this host."""
    cert, key = certificates.make(HOST)
    conf = tmp_path / "conf"
    conf.write_text(f"realm=r\nlt-cred-mech\nuser=a:b\ncert={cert}\npkey={key}\ndtls\n")
    done = subprocess.run([STERNA, "check-config", "-c", str(conf)], capture_output=True, text=True, timeout=30,
                          check=True, env={"PATH": os.environ["PATH"]})
    transport = "udp" if way in ("udp", "dtls") else "tcp"
    line, = [line for line in done.stdout.splitlines() if f"0.0.0.0:{port}/{transport}" in line]
    assert (way.upper() if way.endswith("tls") else "plain") in line


# --- what ends with a connection, and what does not ------------------------------------------------


# Proves T-8656-3.2-01
@pytest.mark.parametrize("way", ["tcp", "tls"])
def test_a_connection_that_ends_frees_its_allocation(sterna, certificates, way):
    cert, key = certificates.make(HOST)
    server = sterna(**signed.LONG_TERM, user_quota=1, cert=cert, pkey=key, tls_listening_port=free_port())
    for count in range(1, 4):
        with reached(server, certificates, way) as client:
            client.allocated()
            with reached(server, certificates, way) as other:
                assert other.allocate().code == 486
        server.wait_log("allocation.closed", count)


# Proves T-8656-3.2-02
def test_a_client_that_does_not_read_loses_datagrams_only(sterna):
    server = sterna(relay_threads=1, tcp_media_queue=66560, tcp_send_timeout=60, tcp_send_min_rate=0)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(server.address)
    client = streams.Client(server.address, sock=sock)
    with signed.bound() as peer, signed.Client(server.address) as other:
        client.allocated()
        assert client.bind(CHANNEL, peer.getsockname()).code == 0
        before = memory_kib(server)
        sent = 40000
        for number in range(sent):
            peer.sendto(struct.pack("!I", number) * 250, client.relayed)
            if number % 50 == 0:  # the server has seen them: none is lost before it
                assert other.ask(turn.BINDING).code == 0
        assert memory_kib(server) - before < 8192
        client.sock.send(streams.binding())
        got = []
        while (message := client.sock.recv())[0] >= 0x40:
            assert len(message) == 1004 and message[4:] == message[4:8] * 250  # never a part of one
            got.append(struct.unpack("!I", message[4:8])[0])
        assert got == sorted(set(got)) and 0 < len(got) < sent / 2
        assert client.refresh(600).code == 0
    client.sock.close()


def memory_kib(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


# Proves T-5766-4-01
@pytest.mark.parametrize("nonsense", [b"\x80" * 2000, struct.pack("!HHI12s", 1, 0, 0x12345678, b"no cookie is") * 100,
                                      struct.pack("!HHI12s", 1, 3, turn.COOKIE, b"wrong length") * 100,
                                      # framed well, and still nothing that a client has a reason to send
                                      struct.pack("!HHI12s", 0x0101, 0, turn.COOKIE, b"stray answer") * 40])
def test_a_long_run_of_nonsense_closes(server, nonsense):
    connection = streams.dial(server.address)
    connection.send(streams.binding())
    assert streams.is_binding_answer(connection.recv())
    connection.send(nonsense)
    assert connection.end()[0] == b""
    connection.close()
    assert streams.is_served(server)


# --- data and errors of peers ----------------------------------------------------------------------


# Proves T-8656-11.3-04
@pytest.mark.parametrize("way", ["tcp", "tls"])
def test_data_indications_follow_each_other(server, certificates, way):
    with reached(server, certificates, way) as client, signed.bound() as peer:
        client.allocated()
        assert client.permit("127.0.0.1").code == 0
        for length in range(9):
            peer.sendto(b"x" * length, client.relayed)
        for length in range(9):
            message = turn.Message(client.next())
            assert message.type == turn.DATA | turn.INDICATION
            assert message.get(turn.DATA_ATTR) == b"x" * length
        assert client.ask(turn.BINDING).code == 0


# Proves T-8656-11.5-08
@pytest.mark.parametrize("way", ["tcp", "tls", "dtls"])
def test_icmp_errors_are_told(server, certificates, way):
    with reached(server, certificates, way) as client:
        client.allocated()
        assert client.permit("127.0.0.1").code == 0
        with signed.bound() as peer:
            nobody = peer.getsockname()
        tid = os.urandom(12)
        client.sock.send(signed.message(turn.SEND | turn.INDICATION,
                                        [signed.peer(*nobody)(tid), (turn.DATA_ATTR, b"anybody?")], tid))
        message = turn.Message(client.next())
        assert message.type == turn.DATA | turn.INDICATION
        assert message.get(turn.ICMP)[2:4] == bytes([3, 3])  # port unreachable
        assert message.address(turn.XOR_PEER) == nobody


# --- RFC 6062 --------------------------------------------------------------------------------------


# Proves T-6062-5.3-06
def test_a_peer_without_room_is_not_announced(sterna):
    server = sterna(max_peer_connections=1)
    client = streams.client(server)
    assert client.allocate_tcp().code == 0
    assert client.permit("127.0.0.1").code == 0
    first = streams.dial(client.relayed)
    client.attempt()
    second = streams.dial(client.relayed)
    assert second.end()[0] == b""
    client.settle()
    assert client.inbox == []
    for connection in first, second, client.sock:
        connection.close()


# Proves T-8656-5-06, T-8656-5-10
def test_only_its_user_may_connect(sterna):
    server = sterna(**{**signed.LONG_TERM, "user": ["user:pass", "other:word"]})
    client = streams.client(server)
    assert client.allocate_tcp().code == 0
    with streams.listening() as peer:
        thief = streams.Client(server.address, user="other", password="word", sock=client.sock.sock)
        assert thief.connect_peer(peer.getsockname()).code == 441
        number = client.connected(peer.getsockname())
        assert streams.is_silent(thief.sock)
        assert client.second().ask(streams.CONNECTION_BIND, (streams.CONNECTION_ID, number)).code == 0
    client.sock.close()


# Proves T-8656-21.4-01
@pytest.mark.parametrize("peer", ["2002:7f00:1::1", "2001:0:7f00:1::1"])
def test_tunnels_cannot_be_connected_to(server, peer):
    client = streams.Client(("::1", server.port), sock=socket.create_connection(("::1", server.port)))
    assert client.allocate_tcp(signed.WANT_IPV6).code == 0
    assert client.connect_peer((peer, 80)).code == 403
    client.sock.close()

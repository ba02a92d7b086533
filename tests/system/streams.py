# SPDX-License-Identifier: Apache-2.0
"""TURN over TCP and TLS, with connections to peers (RFC 6062): signed.py on a socket that has messages. And what
such tests need besides: certificates, peers, and how a connection has ended."""
import contextlib
import os
import pathlib
import select
import socket
import ssl
import struct
import subprocess

import signed
import turn

CONNECT, CONNECTION_BIND, CONNECTION_ATTEMPT = 0x000A, 0x000B, 0x001C
CONNECTION_ID = 0x002A
TRANSPORT_TCP = (turn.REQUESTED_TRANSPORT, bytes([6, 0, 0, 0]))
TIMEOUT_S = 20
FIN, RST = "FIN", "RST"


class Messages:
    """A connection that is read message by message: what signed.Client takes for a UDP socket."""

    def __init__(self, sock):
        self.sock, self.buffer = sock, b""
        self.sock.settimeout(TIMEOUT_S)

    def __getattr__(self, name):
        return getattr(self.sock, name)

    def connect(self, _):
        """It is."""

    def send(self, data):
        self.sock.sendall(data)

    def need(self, count):
        while len(self.buffer) < count:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(f"the connection has ended behind {self.buffer!r}")
            self.buffer += data

    def take(self, count):
        """The next bytes, whatever they are."""
        self.need(count)
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def recv(self, _=0):
        """The next message: STUN, or ChannelData without its padding."""
        self.need(4)
        length = struct.unpack("!H", self.buffer[2:4])[0]
        if self.buffer[0] < 0x40:
            return self.take(20 + length)
        return self.take(4 + (length + 3) // 4 * 4)[:4 + length]

    def end(self):
        """Read up to the end: what came, and how it ended."""
        data, self.buffer = self.buffer, b""
        try:
            while more := self.sock.recv(65536):
                data += more
            return data, FIN
        except ConnectionResetError:
            return data, RST


def dial(address, source=None, tls=None, name=None, sock=None):
    """A connection to `address`; `tls`: an SSLContext, `name`: for SNI."""
    if sock is None:
        sock = socket.create_connection(address, TIMEOUT_S, source)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls is not None:
        sock = tls.wrap_socket(sock, server_hostname=name)
    return Messages(sock)


class Client(signed.Client):
    """A client over TCP or TLS."""

    def __init__(self, address, user="user", password="pass", **dialling):
        super().__init__(address, user, password, dial(address, **dialling))
        self.dialling = dialling

    def channel_send(self, number, data):
        self.sock.send(channel_data(number, data))

    # --- RFC 6062 ---

    def allocate_tcp(self, *attributes):
        answer = self.ask(turn.ALLOCATE, TRANSPORT_TCP, *attributes)
        if answer.code == 0:
            self.relayed = answer.address(turn.XOR_RELAYED)
        return answer

    def connect_request(self, peer):
        """A Connect request to `peer`, and its transaction ID."""
        tid = os.urandom(12)
        attributes = [signed.peer(*peer)(tid), *self.credentials()]
        return signed.message(CONNECT, attributes, tid, self.key), tid

    def connect_peer(self, peer):
        return self.ask(CONNECT, signed.peer(*peer))

    def connected(self, peer):
        """Connect, which must succeed; the CONNECTION-ID."""
        answer = self.connect_peer(peer)
        assert answer.code == 0, answer.code
        return answer.get(CONNECTION_ID)

    def attempt(self):
        """The next ConnectionAttempt indication: peer and CONNECTION-ID."""
        message = turn.Message(self.next())
        assert message.type == CONNECTION_ATTEMPT
        return message.address(turn.XOR_PEER), message.get(CONNECTION_ID)

    def bind_request(self, connection_id):
        return signed.message(CONNECTION_BIND, [(CONNECTION_ID, connection_id), *self.credentials()], key=self.key)

    def second(self, **credentials):
        """Another connection of the same user, which knows realm and nonce already."""
        other = Client(self.server, **{"user": self.user, "password": self.password, **credentials}, **self.dialling)
        other.realm, other.nonce = self.realm, self.nonce
        if not credentials:
            other.key = self.key
        return other

    def data(self, connection_id):
        """A client data connection, bound: its Messages, raw from here."""
        other = self.second()
        answer = other.ask(CONNECTION_BIND, (CONNECTION_ID, connection_id))
        assert answer.code == 0, answer.code
        return other.sock


def channel_data(number, data):
    return struct.pack("!HH", number, len(data)) + data + bytes(-len(data) % 4)


def client(server, **arguments):
    """A client of a `Sterna`."""
    return Client(server.address, **arguments)


def binding(tid=None):
    return signed.message(turn.BINDING, tid=tid)


def is_binding_answer(raw, tid=None):
    answer = turn.Message(raw)
    return answer.type == turn.BINDING | turn.SUCCESS and tid in (None, answer.tid)


def is_served(server, **dialling):
    """Does the server answer on a connection of its own?"""
    with contextlib.closing(dial(server.address, **dialling)) as connection:
        connection.send(binding())
        return is_binding_answer(connection.recv())


def reset(sock):
    """Close with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def listening(ip="127.0.0.1", port=0, backlog=10):
    """A peer that can be connected to."""
    sock = socket.create_server((ip, port), family=socket.AF_INET6 if ":" in ip else socket.AF_INET, backlog=backlog)
    sock.settimeout(TIMEOUT_S)
    return sock


def accepted(listener):
    sock, _ = listener.accept()
    sock.settimeout(TIMEOUT_S)
    return Messages(sock)


def is_silent(sock, seconds=0.0):
    """Does nothing come for so long?"""
    kept = getattr(sock, "buffer", b"") or (hasattr(sock, "pending") and sock.pending())
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return not kept and not poll.poll(seconds * 1000)


def start_with_sections(sterna, text, **options):
    """A server (of the fixture `sterna`) whose configuration ends with `text`."""
    server = sterna(wait=False, **options)
    server.process.kill()
    server.process.wait()
    with open(server.conf, "a", encoding="utf-8") as conf:
        conf.write(text)
    with open(server.output, "wb") as out:
        server.process = subprocess.Popen(server.process.args, stdout=out, stderr=subprocess.STDOUT,
                                          stdin=subprocess.DEVNULL, cwd=server.directory, env=server.env)
    return server.ready()


# --- certificates ----------------------------------------------------------------------------------


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


class Certificates:
    """An authority in `directory` and what it has signed."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.ca = self.directory / "ca.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", "/CN=test authority", "-keyout", str(self.directory / "ca.key"), "-out", str(self.ca))

    def make(self, name, file=None):
        """A certificate for a host name: paths of certificate and key."""
        file = file or name
        cert, key, csr = (str(self.directory / f"{file}.{ending}") for ending in ("pem", "key", "csr"))
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", csr)
        openssl("x509", "-req", "-in", csr, "-CA", str(self.ca), "-CAkey", str(self.directory / "ca.key"),
                "-days", "2", "-copy_extensions", "copy", "-out", cert)
        return cert, key

    def context(self, version=None, alpn=None):
        """What a client that trusts the authority uses."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if alpn is not None:
            context.set_alpn_protocols(alpn)
        return context


def name_of(connection):
    """The host name in the server's certificate."""
    return connection.getpeercert()["subjectAltName"][0][1]

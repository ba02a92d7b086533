# SPDX-License-Identifier: Apache-2.0
"""A TURN client over UDP, small enough to be read: what the system tests speak with a server."""
import os
import socket
import struct

COOKIE = 0x2112A442
BINDING, ALLOCATE, REFRESH, SEND, DATA, CREATE_PERMISSION, CHANNEL_BIND = 1, 3, 4, 6, 7, 8, 9
INDICATION, SUCCESS, ERROR = 0x0010, 0x0100, 0x0110
CHANNEL_NUMBER, LIFETIME, XOR_PEER, DATA_ATTR = 0x000C, 0x000D, 0x0012, 0x0013
XOR_RELAYED, FAMILY, REQUESTED_TRANSPORT, DONT_FRAGMENT = 0x0016, 0x0017, 0x0019, 0x001A
XOR_MAPPED, ERROR_CODE, ICMP, EVEN_PORT, RESERVATION = 0x0020, 0x0009, 0x8004, 0x0018, 0x0022
MOBILITY_TICKET = 0x8030
UDP = bytes([17, 0, 0, 0])


def xor_address(address, tid):
    """XOR-...-ADDRESS of ("192.0.2.1", 1000)."""
    ip, port = address[:2]
    mask = struct.pack("!I", COOKIE) + tid
    raw = socket.inet_pton(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip)
    return struct.pack("!BBH", 0, 2 if ":" in ip else 1, port ^ COOKIE >> 16) + bytes(a ^ b for a, b in zip(raw, mask))


def read_address(value, tid):
    family, port = struct.unpack("!xBH", value[:4])
    mask = struct.pack("!I", COOKIE) + tid
    raw = bytes(a ^ b for a, b in zip(value[4:], mask))
    return socket.inet_ntop(socket.AF_INET6 if family == 2 else socket.AF_INET, raw), port ^ COOKIE >> 16


class Message:
    """A STUN message that came in."""

    def __init__(self, data):
        self.type, length, cookie, self.tid = struct.unpack("!HHI12s", data[:20])
        assert cookie == COOKIE and length == len(data) - 20 and length % 4 == 0
        self.attributes = []
        at = 20
        while at < len(data):
            kind, n = struct.unpack("!HH", data[at:at + 4])
            self.attributes.append((kind, data[at + 4:at + 4 + n]))
            at += 4 + (n + 3) // 4 * 4

    def get(self, kind):
        return next((value for k, value in self.attributes if k == kind), None)

    def address(self, kind):
        return read_address(self.get(kind), self.tid)

    @property
    def code(self):
        value = self.get(ERROR_CODE)
        return 0 if value is None else value[2] * 100 + value[3]


def encode(kind, attributes, tid):
    body = b""
    for k, value in attributes:
        body += struct.pack("!HH", k, len(value)) + value + bytes(-len(value) % 4)
    return struct.pack("!HHI12s", kind, len(body), COOKIE, tid) + body


class Client:
    """One client: a socket and the server's address.  The server is to run without authentication."""

    def __init__(self, server, sock=None, timeout=5):
        self.server = server
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        self.sock = sock or socket.socket(family, socket.SOCK_DGRAM)
        self.sock.settimeout(timeout)
        self.relayed = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def request(self, method, *attributes):
        """A whole transaction; (message, where the answer came from)."""
        tid = os.urandom(12)
        self.sock.sendto(encode(method, attributes, tid), self.server)
        while True:
            data, source = self.sock.recvfrom(65536)
            if data[8:20] == tid:
                return Message(data), source[:2]

    def allocate(self, *attributes):
        message, _ = self.request(ALLOCATE, (REQUESTED_TRANSPORT, UDP), *attributes)
        if message.type == ALLOCATE | SUCCESS:
            self.relayed = message.address(XOR_RELAYED)
        return message

    def permit(self, peer):
        tid = os.urandom(12)
        self.sock.sendto(encode(CREATE_PERMISSION, [(XOR_PEER, xor_address(peer, tid))], tid), self.server)
        return Message(self.sock.recv(65536))

    def bind(self, number, peer):
        tid = os.urandom(12)
        attributes = [(CHANNEL_NUMBER, struct.pack("!HH", number, 0)), (XOR_PEER, xor_address(peer, tid))]
        self.sock.sendto(encode(CHANNEL_BIND, attributes, tid), self.server)
        return Message(self.sock.recv(65536))

    def refresh(self, seconds):
        return self.request(REFRESH, (LIFETIME, struct.pack("!I", seconds)))[0]

    def send(self, peer, data, *attributes):
        tid = os.urandom(12)
        indication = [(XOR_PEER, xor_address(peer, tid)), *attributes, (DATA_ATTR, data)]
        self.sock.sendto(encode(SEND | INDICATION, indication, tid), self.server)

    def channel_send(self, number, data):
        self.sock.sendto(struct.pack("!HH", number, len(data)) + data, self.server)

    def channel_receive(self):
        data = self.sock.recv(65536)
        number, length = struct.unpack("!HH", data[:4])
        assert length == len(data) - 4
        return number, data[4:]

    def indication(self):
        """The next Data indication."""
        message = Message(self.sock.recv(65536))
        assert message.type == DATA | INDICATION
        return message

# SPDX-License-Identifier: Apache-2.0
"""What a client has to say where credentials are asked for, and what no sane client would say: turn.py, with
signatures, lengths that lie, and an eye on everything that comes back."""
import hashlib
import hmac
import os
import select
import socket
import struct
import zlib

import turn

USERNAME, MESSAGE_INTEGRITY, UNKNOWN_ATTRIBUTES, REALM, NONCE = 0x0006, 0x0008, 0x000A, 0x0014, 0x0015
ACCESS_TOKEN, PASSWORD_ALGORITHMS, SOFTWARE, FINGERPRINT, ORIGIN = 0x001B, 0x8002, 0x8022, 0x8028, 0x802F
TRANSPORT_UDP = (turn.REQUESTED_TRANSPORT, turn.UDP)
WANT_IPV6 = (turn.FAMILY, bytes([2, 0, 0, 0]))
UNAUTHENTICATED, STALE_NONCE = 401, 438
LONG_TERM = {"no_auth": None, "lt_cred_mech": True, "user": "user:pass"}  # options of a server that asks


def attribute(kind, value, length=None):
    """One attribute; `length` puts another number into its head than the value has."""
    return struct.pack("!HH", kind, len(value) if length is None else length) + value + bytes(-len(value) % 4)


def header(kind, length, tid):
    return struct.pack("!HHI12s", kind, length, turn.COOKIE, tid)


def message(kind, attributes=(), tid=None, key=None, after=(), fingerprint=False):
    """A whole message: (type, value) pairs, or bytes as they are; signed when there is a `key`; what is in
    `after` follows the signature."""
    tid = tid or os.urandom(12)
    body = b"".join(a if isinstance(a, bytes) else attribute(*a) for a in attributes)
    if key is not None:
        mac = hmac.digest(key, header(kind, len(body) + 24, tid) + body, "sha1")
        body += attribute(MESSAGE_INTEGRITY, mac)
    body += b"".join(a if isinstance(a, bytes) else attribute(*a) for a in after)
    if fingerprint:
        crc = zlib.crc32(header(kind, len(body) + 8, tid) + body) ^ 0x5354554E
        body += attribute(FINGERPRINT, struct.pack("!I", crc))
    return header(kind, len(body), tid) + body


def padding_of(raw):
    """The padding bytes of all attributes of a message."""
    found, at = b"", 20
    while at < len(raw):
        n = struct.unpack("!H", raw[at + 2:at + 4])[0]
        found += raw[at + 4 + n:at + 4 + n + -n % 4]
        at += 4 + n + -n % 4
    return found


def peer(ip, port=0):
    """XOR-PEER-ADDRESS, for a transaction ID that is not known yet."""
    return lambda tid: (turn.XOR_PEER, turn.xor_address((ip, port), tid))


class Client(turn.Client):
    """A client with long-term credentials; without a challenge it goes on without them."""

    def __init__(self, server, user="user", password="pass", sock=None):
        super().__init__(server, sock, timeout=20)
        self.sock.connect(server)
        self.user, self.password = user, password
        self.realm = self.nonce = self.key = self.ticket = None
        self.inbox = []  # datagrams that came while an answer was awaited

    @property
    def address(self):
        return self.sock.getsockname()[:2]

    def credentials(self):
        if self.key is None:
            return []
        return [(USERNAME, self.user), (REALM, self.realm), (NONCE, self.nonce)]

    def learn(self, challenge):
        if isinstance(self.user, str):
            self.user = self.user.encode()
        self.realm, self.nonce = challenge.get(REALM), challenge.get(NONCE)
        self.key = hashlib.md5(b":".join([self.user, self.realm, self.password.encode()])).digest()

    def exchange(self, raw):
        """Send `raw`; the answer, as bytes."""
        self.sock.send(raw)
        while True:
            answer = self.sock.recv(65536)
            if answer[0] < 0x40 and answer[8:20] == raw[8:20]:
                return answer
            self.inbox.append(answer)

    def ask(self, method, *attributes, after=()):
        """A transaction with all that authentication takes; the final answer."""
        while True:
            tid = os.urandom(12)
            first, second = ([a(tid) if callable(a) else a for a in part] for part in (attributes, after))
            signed = self.key is not None
            answer = turn.Message(self.exchange(message(method, first + self.credentials(), tid, self.key, second)))
            if answer.code != STALE_NONCE and (answer.code != UNAUTHENTICATED or signed):
                return answer
            self.learn(answer)

    def allocate(self, *attributes, mobile=False):
        """`mobile`: with a ticket to move with (RFC 8016)."""
        wish = [(turn.MOBILITY_TICKET, b"")] if mobile else []
        answer = self.ask(turn.ALLOCATE, TRANSPORT_UDP, *wish, *attributes)
        if answer.code == 0:
            self.relayed = answer.address(turn.XOR_RELAYED)
            self.ticket = answer.get(turn.MOBILITY_TICKET)
        return answer

    def moved(self, sock=None, ip=None):
        """Move to `sock`, or to a new socket: the client that speaks from there, with the ticket spent; this
        one's socket stays open.  Nothing but the server's answer says that the old address is over: data does."""
        other = type(self)(self.server, self.user, self.password, sock or bound(ip or self.address[0]))
        other.relayed, other.ticket = self.relayed, self.ticket
        answer = other.redeem()
        assert answer.code == 0 and other.ticket != self.ticket
        return other

    def redeem(self, ticket=None, seconds=None):
        """Refresh with a ticket; the answer."""
        lifetime = [] if seconds is None else [(turn.LIFETIME, struct.pack("!I", seconds))]
        answer = self.ask(turn.REFRESH, (turn.MOBILITY_TICKET, ticket or self.ticket), *lifetime)
        if answer.code == 0:
            self.ticket = answer.get(turn.MOBILITY_TICKET) or self.ticket
        return answer

    def allocated(self, *attributes):
        """Allocate, which must succeed; the relayed address."""
        assert self.allocate(*attributes).code == 0
        return self.relayed

    def permit(self, *ips):
        return self.ask(turn.CREATE_PERMISSION, *(peer(ip) for ip in ips))

    def bind(self, number, address):
        return self.ask(turn.CHANNEL_BIND, (turn.CHANNEL_NUMBER, struct.pack("!HH", number, 0)), peer(*address))

    def refresh(self, seconds=None):
        return self.ask(turn.REFRESH, *([] if seconds is None else [(turn.LIFETIME, struct.pack("!I", seconds))]))

    def next(self):
        """The next datagram that is no answer."""
        return self.inbox.pop(0) if self.inbox else self.sock.recv(65536)

    def settle(self, rounds=4):
        """Come back when the server has dealt with what was sent before, and with what this led to."""
        for _ in range(rounds):
            self.exchange(message(turn.BINDING))

    def answers_to(self, raws):
        """Send all; what had come back when the server had dealt with them."""
        for raw in raws:
            self.sock.send(raw)
        self.settle()
        taken, self.inbox = self.inbox, []
        return taken


def client(server, ip="127.0.0.1", **credentials):
    """A client of a `Sterna`."""
    return Client((ip, server.port), **credentials)


def bound(ip="127.0.0.1", port=0):
    """A UDP socket bound to `ip`."""
    sock = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((ip, port))
    sock.settimeout(20)
    return sock


def is_empty(sock):
    """Has nothing come to `sock`?"""
    return not select.select([sock], [], [], 0)[0]

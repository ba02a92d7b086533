# SPDX-License-Identifier: Apache-2.0
"""Numbered packets that flow through a server in both directions while a test does something to it: none may be
lost, come twice, or overtake another. And clients over DTLS, in this process."""
import contextlib
import selectors
import socket
import struct
import threading
import time

from OpenSSL import SSL

import signed
import streams
import turn
from conftest import LIMIT_S, wait_for

CHANNEL = 0x4000
NUMBER = struct.Struct("!IBQ")  # flow, direction, number
SIZE = 160                      # bytes of a packet: audio
BUFFER = 4 << 20
SO_RCVBUFFORCE = 33
UP, DOWN = 0, 1


# --- DTLS ------------------------------------------------------------------------------------------


class Association:
    """A DTLS association that signed.Client takes for a UDP socket: a record is a datagram."""

    def __init__(self, address, udp=None):
        self.udp = udp or signed.bound(address[0])
        self.udp.connect(address)
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_options(SSL.OP_NO_QUERY_MTU)
        self.tls = SSL.Connection(context, None)
        self.tls.set_ciphertext_mtu(1200)
        self.tls.set_connect_state()
        self.until(self.tls.do_handshake)

    def __getattr__(self, name):
        return getattr(self.udp, name)

    def connect(self, _):
        """It is."""

    def flush(self):
        with contextlib.suppress(SSL.WantReadError):
            self.udp.send(self.tls.bio_read(65536))

    def until(self, what):
        """Its result, as soon as it needs no more datagrams."""
        while True:
            try:
                result = what()
            except SSL.WantReadError:
                self.flush()
                self.tls.bio_write(self.udp.recv(65536))
                continue
            self.flush()
            return result

    def send(self, data):
        self.tls.send(data)
        self.flush()

    def recv(self, count=65536):
        return self.until(lambda: self.tls.recv(count))


# --- flows -----------------------------------------------------------------------------------------


def roomy(sock):
    """What this process is too slow to read is not the server's loss."""
    for option in SO_RCVBUFFORCE, socket.SO_RCVBUF:
        with contextlib.suppress(PermissionError):
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
            return


def frame(number, data):
    return struct.pack("!HH", number, len(data)) + data


class Line:
    """One direction of a flow: what was sent, and what came, by the socket that it came to."""

    def __init__(self, flow, direction, window):
        self.flow, self.direction, self.window = flow, direction, window
        self.sent, self.got = 0, []

    def __str__(self):
        return f"flow {self.flow} {'down' if self.direction else 'up'}"

    @property
    def in_flight(self):
        return self.sent - len(self.got)

    def next(self):
        """The next packet's payload, or nothing while too many are on their way."""
        if self.in_flight >= self.window:
            return None
        self.sent += 1
        return NUMBER.pack(self.flow, self.direction, self.sent - 1).ljust(SIZE, b".")

    def take(self, data, at=0):
        flow, direction, number = NUMBER.unpack_from(data)
        assert len(data) == SIZE and (flow, direction) == (self.flow, self.direction), f"{self}: a stranger's {data}"
        self.got.append((at, number))

    def judge(self):
        numbers = [number for _, number in self.got]
        lost = sorted(set(range(self.sent)) - set(numbers))
        assert not lost, f"{self}: lost {lost[:10]} ({len(lost)} of {self.sent})"
        assert len(numbers) == self.sent, f"{self}: {len(numbers) - self.sent} came twice"
        # Each socket in the order of sending; and once the client has moved, nothing more to the old one.
        in_order = [number for _, number in sorted(self.got, key=lambda one: one[0])]
        assert in_order == list(range(self.sent)), f"{self}: in disorder at {_disorder(in_order)}"


def _disorder(numbers):
    at = next(i for i, number in enumerate(numbers) if i != number)
    return numbers[max(0, at - 3):at + 5]


class Flow:
    """A client with an allocation and a channel, its peer, and a line each way."""

    def __init__(self, index, client, window, **wishes):
        self.index, self.client, self.window = index, client, window
        self.up, self.down = Line(index, UP, window), Line(index, DOWN, window)
        self.peer = signed.bound()
        self.clients = [client]  # all that it ever was
        self.successor = None
        answer = client.allocate(**wishes)
        assert answer.code == 0, answer.code
        assert client.bind(CHANNEL, self.peer.getsockname()).code == 0
        self.peer.connect(client.relayed)
        self.peer.setblocking(False)
        roomy(self.peer)

    def push(self):
        """Send a packet each way, if not too many are on their way."""
        if self.successor is not None and self.up.in_flight == 0:
            self.client, self.successor = self.successor, None
        if self.successor is None and (data := self.up.next()) is not None:
            self.client.sock.send(frame(CHANNEL, data))
        if (data := self.down.next()) is not None:
            self.peer.send(data)

    def from_server(self, at):
        """Take all that has come to the client's socket number `at`."""
        client = self.clients[at]
        while True:
            try:
                message = client.next()
            except (BlockingIOError, SSL.WantReadError):
                return
            number, length = struct.unpack_from("!HH", message)
            assert number == CHANNEL, message
            self.down.take(message[4:4 + length], at)

    def from_relay(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.up.take(self.peer.recv(2048))

    def close(self):
        for one in *(client.sock for client in self.clients), self.peer:
            one.close()


class Traffic(threading.Thread):
    """Flows of `clients`, each at a steady pace, in a thread of their own, until the block ends; then all that was
    sent must have come as it was sent. At most `window` packets a line are on their way, however slow all is."""

    def __init__(self, clients, rate=100, window=16, **wishes):
        super().__init__(daemon=True)
        self.interval, self.stopping, self.failure = 1 / rate, False, None
        self.selector = selectors.DefaultSelector()
        self.lock = threading.Lock()  # who holds it may use the flows' sockets
        self.flows = [Flow(i, client, window, **wishes) for i, client in enumerate(clients)]
        for flow in self.flows:
            self.watch(flow, 0)
            self.selector.register(flow.peer, selectors.EVENT_READ, flow.from_relay)

    def watch(self, flow, at):
        sock = flow.clients[at].sock
        sock.setblocking(False)
        if sock.type == socket.SOCK_DGRAM:
            roomy(sock)
        self.selector.register(sock.fileno(), selectors.EVENT_READ, lambda: flow.from_server(at))

    @property
    def lines(self):
        return [line for flow in self.flows for line in (flow.up, flow.down)]

    # --- the thread ---

    def receive(self, seconds):
        for key, _ in self.selector.select(seconds):
            key.data()

    def flow_on(self):
        due = time.monotonic()
        while not self.stopping:
            with self.lock:
                for flow in self.flows:
                    flow.push()
                due = max(due + self.interval, time.monotonic() - self.interval)
                self.receive(0)
            while (left := due - time.monotonic()) > 0:
                self.selector.select(left)
                with self.lock:
                    self.receive(0)

    def run(self):
        try:
            self.flow_on()
        except BaseException as failure:  # told to the test
            self.failure = failure

    # --- the test ---

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.stopping = True
        self.join(LIMIT_S)
        if kind is None:
            self.check()
            self.settle()
            for line in self.lines:
                line.judge()
        for flow in self.flows:
            flow.close()
        self.selector.close()

    def check(self):
        if self.failure is not None:
            raise self.failure

    def settle(self):
        """Take what is still on its way; without progress what is missing is lost."""
        deadline = time.monotonic() + LIMIT_S / 3
        while any(line.in_flight > 0 for line in self.lines) and time.monotonic() < deadline:
            before = sum(line.in_flight for line in self.lines)
            self.receive(0.1)
            if sum(line.in_flight for line in self.lines) < before:
                deadline = time.monotonic() + LIMIT_S / 3

    def more(self, count=20):
        """Come back when so many more packets have arrived on every line."""
        goals = [(line, len(line.got) + count) for line in self.lines]

        def there():
            self.check()
            return all(len(line.got) >= goal for line, goal in goals)

        def missing():
            return ", ".join(f"{line}: {len(line.got)} of {line.sent}" for line, goal in goals
                             if len(line.got) < goal)
        try:
            wait_for(there, "packets")
        except AssertionError:
            raise AssertionError(f"packets are lost, or the server is stuck: {missing()}") from None
        return self

    def move(self, flow, ip=None):
        """The flow's client goes to a new socket (RFC 8016), make before break: the old one is used until the
        server has said yes, and what was sent by it has arrived."""
        self.replace(flow, flow.client.moved(ip=ip))

    def replace(self, flow, new):
        """`new` has been granted the place of the flow's client."""
        with self.lock:
            flow.clients.append(new)
            self.watch(flow, len(flow.clients) - 1)
            flow.successor = new
        wait_for(lambda: flow.client is new or self.failure is not None, "the last packet of the old socket")
        self.check()


# --- clients ---------------------------------------------------------------------------------------


def client(server, way="udp", ip="127.0.0.1"):
    """A client of a `Sterna` over UDP, DTLS or TCP."""
    if way == "dtls":
        return signed.Client((ip, server.port), sock=Association((ip, server.port)))
    if way == "tcp":
        return streams.Client((ip, server.port))
    return signed.client(server, ip)


def is_served(server, ip):
    """Is a new client at that address given an allocation?"""
    with signed.client(server, ip) as one:
        one.sock.settimeout(1)
        try:
            return one.ask(turn.ALLOCATE, signed.TRANSPORT_UDP).code == 0
        except (TimeoutError, ConnectionRefusedError):
            return False

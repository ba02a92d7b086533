# SPDX-License-Identifier: Apache-2.0
"""Clients over every transport that a `Sterna` serves, plain and secured and behind a balancer; and how they move
from one to the other (RFC 8016)."""
import signal
import socket

import flows
import signed
import streams
from conftest import free_port

WAYS = ["udp", "tcp", "tls", "dtls", "proxied"]
BALANCER = "127.0.0.9"
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
CHANNEL = 0x4000


def serve(sterna, certificates, **options):
    """A server (of the fixture `sterna`) for all of them."""
    cert, key = certificates.make("turn.example")
    port = free_port()
    section = (f"[listener \"balanced\"]\naddress=127.0.0.1:{port}\ntransport=udp\nproxy-protocol=on\n"
               "encryption=plain\n")
    server = streams.start_with_sections(sterna, section, **{
        **signed.LONG_TERM, "mobility": True, "cert": cert, "pkey": key, "dtls": True, "relay_ip": "127.0.0.1",
        "tls_listening_port": free_port(), "proxy_protocol_from": BALANCER, **options})
    server.balanced, server.section = ("127.0.0.1", port), section
    return server


def reload(server, **changes):
    """Use other options from now on."""
    before = server.text.count("reload.done")
    server.write_conf(**changes)
    with open(server.conf, "a", encoding="utf-8") as conf:
        conf.write(server.section)
    server.signal(signal.SIGHUP)
    server.wait_log("reload.done", before + 1)


class Proxied:
    """A client behind a balancer: every datagram has a header of the PROXY protocol, version 2."""

    def __init__(self, server, ip="192.0.2.7"):
        self.sock = signed.bound(BALANCER)
        self.sock.connect(server.balanced)
        port = self.sock.getsockname()[1].to_bytes(2, "big")
        body = socket.inet_aton(ip) + socket.inet_aton("198.51.100.1") + port + (3478).to_bytes(2, "big")
        self.header = SIGNATURE + bytes([0x21, 0x12, 0, len(body)]) + body

    def __getattr__(self, name):
        return getattr(self.sock, name)

    def connect(self, _):
        """It is."""

    def send(self, data):
        self.sock.send(self.header + data)


def client(server, way, certificates=None, ip="127.0.0.1"):
    """A client that reaches the server in this way.  The server keeps its socket, so that nobody else gets the port
    while there may be an allocation for it (437)."""
    address = ip, server.port
    if way == "proxied":
        one = signed.Client(address, sock=Proxied(server))
    elif way == "tls":
        one = streams.Client(address, tls=certificates.context(), name="turn.example")
    else:
        one = flows.client(server, way, ip)
    vars(server).setdefault("client_sockets", []).append(one.sock)
    return one


def every_pair(ways):
    """A round trip that goes from each way to each (itself, too) once."""
    left = {(a, b) for a in ways for b in ways}
    trip, stack = [], [ways[0]]
    while stack:
        at = stack[-1]
        step = next((b for b in ways if (at, b) in left), None)
        if step is None:
            trip.append(stack.pop())
        else:
            left.remove((at, step))
            stack.append(step)
    return trip[::-1]


def say(one, data):
    """ChannelData, padded where it has to be."""
    padded = isinstance(one, streams.Client)
    one.sock.send(streams.channel_data(CHANNEL, data) if padded else flows.frame(CHANNEL, data))


def to_peer(one, peer, data):
    """What the client says gets there."""
    say(one, data)
    assert peer.recvfrom(65536) == (data, one.relayed)


def from_peer(one, peer, data):
    peer.sendto(data, one.relayed)
    assert one.next() == flows.frame(CHANNEL, data)


def settled(server, way, certificates, peer, **wishes):
    """A client with a ticket and a channel to `peer`."""
    one = client(server, way, certificates)
    answer = one.allocate(mobile=True, **wishes)
    assert answer.code == 0, answer.code
    assert one.bind(CHANNEL, peer.getsockname()).code == 0
    return one


def follow(server, way, certificates, old):
    """Who comes with the ticket of `old` in that way."""
    new = client(server, way, certificates)
    new.relayed, new.ticket = old.relayed, old.ticket
    answer = new.redeem()
    assert answer.code == 0, (way, answer.code)
    assert new.ticket != old.ticket
    return new

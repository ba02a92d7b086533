# SPDX-License-Identifier: Apache-2.0
"""A client whose address changes under media, each end in a network namespace of its own (RFC 8016): what has reached
the server is lost in neither direction."""
import contextlib
import re
import threading
import time

import pytest

import kernel_path
import signed
from conftest import wait_for

CHANNEL = 0x4000
HOME, ABROAD, OTHER, PEER = ("10.9.1.1", "10.9.1.2"), "10.9.1.77", ("10.9.2.1", "10.9.2.2"), ("10.9.3.1", "10.9.3.2")
MANY = 60  # packets each way before and after a change


class Site:
    """A client with two interfaces, a server, a peer."""

    def __init__(self, network):
        self.network = network
        self.client, self.server, self.peer = (network.space(name) for name in ("client", "server", "peer"))
        for n, (far, ends) in enumerate([(self.client, HOME), (self.client, OTHER), (self.peer, PEER)]):
            network.cable(far, f"far{n}", self.server, f"near{n}")
            network.address(self.server, f"near{n}", f"{ends[0]}/24")
            network.address(far, f"far{n}", f"{ends[1]}/24")

    def run(self, *command):
        self.network.run("ip", "-n", self.client, *command)

    def serve(self, sterna, **options):
        server = sterna(**{**signed.LONG_TERM, "mobility": True, "netns": self.server, "relay_ip": PEER[0],
                           "listening_ip": [HOME[0], OTHER[0]], "allow_private_peers": True,
                           "allow_loopback_peers": None, "relay_threads": 2, **options})
        return server if options.get("offload") != "tc" else server.wait_log("offload.ready")

    def client_at(self, server, ip, at=HOME[0], port=0):
        return signed.Client((at, server.port), sock=self.network.socket(self.client, (ip, port)))


@pytest.fixture
def site(network):
    return Site(network)


class Media(threading.Thread):
    """Numbered packets, one each way every 2 ms: up from where the client is now, down to wherever the server sends
    them."""

    def __init__(self, client, peer):
        super().__init__(daemon=True)
        self.lock, self.stopping, self.failure = threading.Lock(), False, None
        self.now, self.clients, self.peer = client, [client], peer
        self.sent, self.got = {"up": 0, "down": 0}, {"up": [], "down": []}
        self.unsent = 0  # by a socket whose address is gone
        peer.connect(client.relayed)

    def push(self):
        try:
            self.now.channel_send(CHANNEL, str(self.sent["up"]).encode())
            self.sent["up"] += 1
        except OSError:
            self.unsent += 1
        self.peer.send(str(self.sent["down"]).encode())
        self.sent["down"] += 1

    def take(self):
        for one in self.clients:
            inbox, one.inbox = one.inbox, []
            with contextlib.suppress(OSError):  # its address is gone
                for data in inbox + kernel_path.take_all(one.sock):
                    self.got["down"] += [int(data[4:])] if data[0] >= 0x40 else []
        self.got["up"] += map(int, kernel_path.take_all(self.peer))

    def run(self):
        try:
            while not self.stopping:
                with self.lock:
                    self.push()
                    self.take()
                time.sleep(0.002)
        except BaseException as failure:  # told to the test
            self.failure = failure

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.join(20)
        for one in self.clients:
            one.sock.close()

    def more(self, *ways):
        """Until so many more have come each way."""
        goals = {way: len(self.got[way]) + MANY for way in ways or ("up", "down")}

        def there():
            assert self.failure is None, self.failure
            return all(len(self.got[way]) >= goal for way, goal in goals.items())
        wait_for(there, f"packets {goals}")

    def go_on_at(self, client):
        with self.lock:
            self.clients.append(client)
            self.now = client

    def end(self):
        """Stop sending; what is on its way has the time it takes."""
        with self.lock:
            self.stopping = True
        self.join(20)
        assert self.failure is None, self.failure

    def settle(self, way):
        def there():
            self.take()
            return len(self.got[way]) >= self.sent[way]
        wait_for(there, f"the last packets {way}: {len(self.got[way])} of {self.sent[way]}")
        assert sorted(self.got[way]) == list(range(self.sent[way])), f"{way}: lost, or twice"


def ticketed(site, server, ip, media=None):
    """A client at that address that comes with the ticket of the client of `media`; or a new one with a channel."""
    one = site.client_at(server, ip, OTHER[0] if ip == OTHER[1] else HOME[0])
    if media is not None:
        one.relayed, one.ticket = media.now.relayed, media.now.ticket
        assert one.redeem().code == 0
    return one


def begin(site, server):
    client, peer = ticketed(site, server, HOME[1]), site.network.socket(site.peer, (PEER[1], 0))
    assert client.allocate(mobile=True).code == 0
    assert client.bind(CHANNEL, peer.getsockname()).code == 0
    return Media(client, peer)


def relayed_to_client(server):
    """Packets of peers that the server has sent on, as its log tells at the end of the allocation."""
    server.wait_log("allocation.deleted")
    return int(re.search(r"allocation\.deleted .*to_client_packets=(\d+)", server.text).group(1))


def offloads():
    """As it is, and with the kernel forwarding by itself where that can be."""
    why = kernel_path.missing() or kernel_path.why_not("tc")
    return ["off", pytest.param("tc", marks=pytest.mark.skipif(why is not None, reason=str(why)))]


# Proves T-8016-3.2.2-08, T-8016-3.2.2-09
@pytest.mark.parametrize("offload", offloads())
def test_by_another_interface_make_before_break(site, sterna, offload):
    """The second interface is used while the first one is there: nothing is lost at all, on the way there and back."""
    server = site.serve(sterna, offload=offload)
    with begin(site, server) as media:
        media.more()
        for ip, gone in ((OTHER[1], "far0"), (HOME[1], "far1")):
            media.go_on_at(ticketed(site, server, ip, media))
            media.more()
            site.run("link", "set", gone, "down")
            media.more()
            site.run("link", "set", gone, "up")
        media.end()
        media.settle("up")
        media.settle("down")
        assert media.unsent == 0
        assert media.now.refresh(0).code == 0
        assert relayed_to_client(server) == media.sent["down"]


# Proves T-8016-3.2.2-02, T-8016-3.2.2-09
@pytest.mark.parametrize("offload", offloads())
def test_the_address_is_taken_and_another_given(site, sterna, offload):
    """Break before make.  All that the client could send has reached the peer; all that the peer has sent was sent on
    to where the client was said to be, and from the moment it speaks from its new address, to that."""
    server = site.serve(sterna, offload=offload)
    with begin(site, server) as media:
        for was, now in ((HOME[1], ABROAD), (ABROAD, HOME[1])):
            media.more()
            site.run("address", "del", f"{was}/24", "dev", "far0")
            wait_for(lambda: media.unsent > 0, "the loss of the address")
            site.run("address", "add", f"{now}/24", "dev", "far0")
            media.go_on_at(ticketed(site, server, now, media))
            media.more("up")
            first = media.sent["down"]
            media.more()
            assert set(range(first, first + MANY // 2)) <= set(media.got["down"])
        media.end()
        media.settle("up")
        assert media.now.refresh(0).code == 0
        assert relayed_to_client(server) == media.sent["down"]
    assert server.text.count("allocation.moved") == 2

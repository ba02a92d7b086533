# SPDX-License-Identifier: Apache-2.0
"""Servers behind one anycast address (RFC 8155 section 6): the route decides which of them a client finds, and the
server that answers keeps the client by an address of its own."""
import pytest

import signed
import turn
from test_redirect import TRY_ALTERNATE, alternates

PORT = 3478
ANYCAST = {4: "192.0.0.10", 6: "2001:1::2"}  # RFC 8155 section 8
UNICAST = {4: ("10.51.{}.1", "10.51.{}.2", 24), 6: ("2001:db8:a{}::1", "2001:db8:a{}::2", 64)}


class Sites:
    """Two servers, each at the end of a cable of the client's, with the anycast address on its loopback."""

    def __init__(self, network, sterna, **options):
        self.network = network
        self.client_space = network.space("client")
        self.servers = []
        for n in range(2):
            space = network.space(f"site{n}")
            network.cable(self.client_space, f"to{n}", space, "wan")
            for family, (server, client, bits) in UNICAST.items():
                network.address(space, "wan", f"{server.format(n)}/{bits}")
                network.address(self.client_space, f"to{n}", f"{client.format(n)}/{bits}")
                network.address(space, "lo", f"{ANYCAST[family]}/{32 if family == 4 else 128}")
            everything = {"listening_ip": None, "listening_port": PORT, "anycast_ip": list(ANYCAST.values()),
                          "relay_ip": [UNICAST[family][0].format(n) for family in UNICAST], **options}
            self.servers.append(sterna(netns=space, **signed.LONG_TERM, **everything))

    def route_to(self, n):
        """The way to the anycast addresses leads to site `n` now."""
        for family, (server, _, bits) in UNICAST.items():
            self.network.run("ip", "-n", self.client_space, "route", "replace",
                             f"{ANYCAST[family]}/{32 if family == 4 else 128}", "via", server.format(n))

    def unicast(self, family, n):
        return UNICAST[family][0].format(n), PORT

    def client(self, family, n, address):
        """A client that speaks from its end of the cable to site `n`."""
        sock = self.network.socket(self.client_space, (UNICAST[family][1].format(n), 0))
        return signed.Client(address, sock=sock)


# Proves T-8155-6-01
@pytest.mark.parametrize("family", [4, 6])
def test_the_server_that_answers_gives_its_own_address(network, sterna, family):
    sites = Sites(network, sterna)
    for n in 0, 1:
        sites.route_to(n)
        with sites.client(family, n, (ANYCAST[family], PORT)) as client:
            assert client.ask(turn.BINDING).code == 0
            answer = client.allocate()
            assert answer.code == TRY_ALTERNATE
            assert alternates(answer) == [sites.unicast(family, n)]


@pytest.mark.parametrize("family", [4, 6])
def test_a_session_stays_where_it_is_when_the_route_changes(network, sterna, family):
    sites = Sites(network, sterna)
    sites.route_to(0)
    with sites.client(family, 0, (ANYCAST[family], PORT)) as finder:
        found = alternates(finder.allocate())[0]
    with sites.client(family, 0, found) as client:
        assert client.allocate().code == 0
        sites.route_to(1)
        assert client.refresh(600).code == 0
        with sites.client(family, 1, (ANYCAST[family], PORT)) as finder:
            assert alternates(finder.allocate()) == [sites.unicast(family, 1)]


def test_what_the_administrator_says_is_told(network, sterna):
    sites = Sites(network, sterna, anycast_unicast=["203.0.113.7:443", "2001:db8::7"])
    sites.route_to(0)
    for family, told in (4, ("203.0.113.7", 443)), (6, ("2001:db8::7", PORT)):
        with sites.client(family, 0, (ANYCAST[family], PORT)) as client:
            assert alternates(client.allocate()) == [told]


# Proves T-8489-14.8-04
def test_nobody_is_told_without_credentials(network, sterna):
    sites = Sites(network, sterna)
    sites.route_to(0)
    with sites.client(4, 0, (ANYCAST[4], PORT)) as client:
        client.password = "wrong"
        answer = client.allocate()
        assert answer.code == signed.UNAUTHENTICATED
        assert not alternates(answer)

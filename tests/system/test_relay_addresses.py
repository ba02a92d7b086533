# SPDX-License-Identifier: Apache-2.0
"""Several relay addresses: each brings a whole range of ports, and all of them are used."""
import collections
import os

import pytest

import turn
from conftest import wait_for

FIRST, LAST = 20000, 20009
PORTS = set(range(FIRST, LAST + 1))
V4 = ["127.0.0.2", "127.0.0.3"]
V6 = ["fd00::2", "fd00::3"]
FAMILY_V6 = (turn.FAMILY, bytes([2, 0, 0, 0]))

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


@pytest.fixture
def space(network):
    """A host of its own, on which nobody else takes a port."""
    name = network.space("host")
    network.address(name, "lo", *(f"{ip}/128" for ip in V6))
    return name


@pytest.fixture
def serve(sterna, network, space):
    """serve(**options) starts a server; returns what makes clients for it."""
    clients = []

    def start(**options):
        server = sterna(netns=space, listening_ip="127.0.0.1", min_port=FIRST, max_port=LAST, **options)

        def client():
            clients.append(turn.Client(server.address, network.socket(space, ("127.0.0.1", 0))))
            return clients[-1]

        return client

    yield start
    for client in clients:
        client.sock.close()


def used(clients):
    """Ports by address."""
    ports = collections.defaultdict(set)
    for client in clients:
        ip, port = client.relayed
        assert port not in ports[ip], "one port, two clients"
        ports[ip].add(port)
    return ports


def fill(client, attributes=()):
    """Allocate until there is no port left; the clients that have one."""
    served = []
    while True:
        one = client()
        code = one.allocate(*attributes).code
        if code:
            assert code == 508
            return served
        served.append(one)


def test_every_port_of_every_address_is_used_before_508(serve):
    client = serve(relay_ip=V4)
    served = fill(client)
    assert used(served) == {ip: PORTS for ip in V4}
    # The addresses were used side by side, not one after the other.
    assert len({one.relayed[0] for one in served[:len(PORTS)]}) == 2
    # What is given back on either address is there for the next one.
    for ip in V4:
        gone = next(one for one in served if one.relayed[0] == ip)
        assert gone.refresh(0).code == 0
        late = client()
        # Its socket is closed when the client has been answered: another worker may be quicker.
        wait_for(lambda late=late: late.allocate().code == 0, "the port")
        assert late.relayed == gone.relayed


def test_the_families_have_their_own_ports(serve):
    client = serve(relay_ip=V4 + V6)
    assert used(fill(client)) == {ip: PORTS for ip in V4}
    assert used(fill(client, [FAMILY_V6])) == {ip: PORTS for ip in V6}


def test_an_address_given_twice_counts_once(serve):
    client = serve(relay_ip=[V4[0], V4[0]])
    assert used(fill(client)) == {V4[0]: PORTS}


def test_pairs_are_found_on_every_address(serve):
    """EVEN-PORT with R takes an even port and the next one (RFC 8656 section 7.2)."""
    client = serve(relay_ip=V4)
    served = fill(client, [(turn.EVEN_PORT, b"\x80")])
    assert used(served) == {ip: {port for port in PORTS if port % 2 == 0} for ip in V4}


def test_the_workers_share_the_ports(serve):
    client = serve(relay_ip=V4, relay_threads=3)
    assert used(fill(client)) == {ip: PORTS for ip in V4}

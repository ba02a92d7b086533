# SPDX-License-Identifier: Apache-2.0
"""Addresses that come and go while the server runs, in network namespaces."""
import resource

import pytest

import turn

SERVER, CLIENT = "192.0.2.1", "192.0.2.100"


@pytest.fixture
def spaces(network):
    server_ns, client_ns = network.space("server"), network.space("client")
    network.cable(server_ns, "s0", client_ns, "c0")
    network.address(server_ns, "s0", SERVER + "/24")
    network.address(client_ns, "c0", CLIENT + "/24")
    return server_ns, client_ns


def client_of(network, space, ip=SERVER):
    return turn.Client((ip, 3478), network.socket(space, (CLIENT, 0)))


def test_an_interface_that_comes_up_later_is_protected(sterna, network, spaces):
    """Its addresses are ours all the time, and the kernel tells of the link alone when it comes up."""
    server_ns, client_ns = spaces
    network.cable(server_ns, "x0", client_ns, "y0")
    network.run("ip", "-n", server_ns, "link", "set", "x0", "down")
    network.address(server_ns, "x0", "198.51.100.1/24")
    server = sterna(netns=server_ns, listening_ip=None, listening_port=3478, allowed_peer_ip="198.51.100.0/24")
    own, other = ("198.51.100.1", 22), ("198.51.100.2", 22)
    with client_of(network, client_ns) as client:
        client.allocate()
        assert client.bind(0x4000, own).code == 403
        assert client.bind(0x4001, other).code == 0
        network.run("ip", "-n", server_ns, "link", "set", "x0", "up")
        server.wait_log("addresses.changed")
        assert client.bind(0x4000, own).code == 403


def test_a_relay_address_that_has_gone_is_passed_over(sterna, network, spaces):
    server_ns, client_ns = spaces
    network.address(server_ns, "s0", "192.0.2.2/32", "192.0.2.3/32")
    server = sterna(netns=server_ns, listening_ip=SERVER, listening_port=3478,
                    relay_ip=["192.0.2.2", "192.0.2.3"], min_port=20000, max_port=20019)
    network.run("ip", "-n", server_ns, "address", "delete", "192.0.2.2/32", "dev", "s0")
    server.wait_log("addresses.changed")
    clients = [client_of(network, client_ns) for _ in range(20)]  # as many as the other one has ports
    for client in clients:
        assert client.allocate().code == 0
        assert client.relayed[0] == "192.0.2.3"
    with client_of(network, client_ns) as late:
        assert late.allocate().code == 508
    for client in clients:
        client.sock.close()


def test_without_descriptors_addresses_are_followed_as_soon_as_there_are_some(sterna, network, spaces):
    server_ns, client_ns = spaces
    server = sterna(netns=server_ns, listening_ip=None, listening_port=3478, allowed_peer_ip="192.0.2.0/24")
    pid = server.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (1, hard))
    network.address(server_ns, "s0", "192.0.2.2/24")
    server.wait_log("settings.not_renewed")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    server.wait_log("addresses.changed")  # nothing else has happened
    assert server.text.count("settings.not_renewed") == 1
    with client_of(network, client_ns, "192.0.2.2") as client:
        client.allocate()
        assert client.bind(0x4000, ("192.0.2.2", 22)).code == 403

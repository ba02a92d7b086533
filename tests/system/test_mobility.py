# SPDX-License-Identifier: Apache-2.0
"""A client that moves to another address takes its allocation along (RFC 8016)."""
import contextlib
import signal

import pytest

import signed
import streams
import turn

CHANNEL = 0x4000


@pytest.fixture
def server(sterna):
    return sterna(**signed.LONG_TERM, mobility=True)


def to_peer(client, peer, data):
    """What the client says gets there."""
    client.channel_send(CHANNEL, data)
    assert peer.recvfrom(65536) == (data, client.relayed)


def from_peer(client, peer, data):
    peer.sendto(data, client.relayed)
    assert client.channel_receive() == (CHANNEL, data)


# Proves T-8016-3.2.2-02, T-8016-3.2.2-08, T-8016-3.2.2-09, T-8016-3.2.2-13
def test_a_client_that_moves_keeps_its_allocation(server):
    with signed.client(server) as old, signed.bound() as peer:
        assert old.allocate(mobile=True).code == 0
        assert old.bind(CHANNEL, peer.getsockname()).code == 0
        with old.moved() as new:
            to_peer(old, peer, b"still from the old one")
            from_peer(old, peer, b"still to the old one")
            to_peer(new, peer, b"here I am")
            from_peer(new, peer, b"so you are")
            old.channel_send(CHANNEL, b"nobody speaks here any more")
            old.settle()
            assert signed.is_empty(peer)
            assert old.refresh().code == 437
            assert new.refresh(0).code == 0
    server.wait_log("allocation.moved").wait_log("allocation.deleted")


# Wherever the kernel has its new address heard: the worker that has the session answers.
@pytest.mark.parametrize("engine", ["reuseport", "connected", "paired", "dispatch"])
def test_clients_that_move_again_and_again(sterna, engine):
    server = sterna(**signed.LONG_TERM, mobility=True, relay_threads=2, network_engine=engine)
    with signed.bound() as peer, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(signed.client(server)) for _ in range(6)]
        for client in clients:
            assert client.allocate(mobile=True).code == 0
            assert client.bind(CHANNEL, peer.getsockname()).code == 0
        for move in range(6):
            for at, old in enumerate(clients):
                new = clients[at] = stack.enter_context(old.moved())
                to_peer(old, peer, b"old %d" % move)
                from_peer(old, peer, b"to the old one %d" % move)
                to_peer(new, peer, b"new %d" % move)
                from_peer(new, peer, b"to the new one %d" % move)
        for client in clients:
            assert client.refresh(0).code == 0
    server.wait_log("allocation.deleted", 6)


# Proves T-8016-3.2.2-15
def test_a_move_to_the_other_family(server):
    with signed.client(server) as old, signed.bound() as peer:
        assert old.allocate(mobile=True).code == 0
        assert old.bind(CHANNEL, peer.getsockname()).code == 0
        with signed.client(server, ip="::1") as new:
            new.relayed = old.relayed
            assert new.redeem(old.ticket).code == 0
            to_peer(new, peer, b"over IPv6")
            from_peer(new, peer, b"indeed")


# Proves T-8016-3.2.2-01, T-8016-3.1.2-01
def test_mobility_can_be_forbidden_at_reload(server):
    with signed.client(server) as client, signed.client(server) as other:
        assert client.allocate(mobile=True).code == 0
        server.write_conf(mobility=False)
        server.signal(signal.SIGHUP)
        server.wait_log("reload.done")
        assert other.allocate(mobile=True).code == 405
        assert other.redeem(client.ticket).code == 405
        assert client.refresh().code == 0


# coturn's GHSA-f6hc-79w3-p8pq
def test_no_move_and_no_broken_connection_gets_around_the_quota(sterna):
    server = sterna(**signed.LONG_TERM, mobility=True, user_quota=1)
    first = streams.client(server)
    assert first.allocate(mobile=True).code == 0
    first.sock.close()
    server.wait_log("allocation.client_away")
    with signed.client(server) as second, signed.client(server) as third, signed.client(server) as fourth:
        assert second.allocate().code == 486
        assert third.redeem(first.ticket).code == 0
        assert second.allocate(mobile=True).code == 486
        assert fourth.redeem(third.ticket).code == 0
        fourth.channel_send(CHANNEL, b"here I am")
        fourth.settle()
        assert third.allocate(mobile=True).code == 486  # whose address is free now
        assert fourth.refresh(0).code == 0
        assert third.allocate().code == 0


# Proves T-8016-3.2.2-06
def test_the_ticket_of_another_user_is_worth_nothing(sterna):
    server = sterna(**{**signed.LONG_TERM, "user": ["user:pass", "thief:stolen"]}, mobility=True)
    with signed.client(server) as owner, signed.client(server, user="thief", password="stolen") as thief, \
            signed.bound() as peer:
        assert owner.allocate(mobile=True).code == 0
        assert owner.bind(CHANNEL, peer.getsockname()).code == 0
        assert thief.redeem(owner.ticket).code == 441
        assert thief.redeem(owner.ticket, 0).code == 441
        to_peer(owner, peer, b"still mine")
        from_peer(owner, peer, b"still yours")
    assert "allocation.moved" not in server.text


# Proves T-8016-5-02
def test_no_ticket_for_those_who_are_not_known(sterna):
    server = sterna(mobility=True)
    with turn.Client(server.address) as client:
        assert client.allocate((turn.MOBILITY_TICKET, b"")).code == 405

# SPDX-License-Identifier: Apache-2.0
"""What the kernel path forwards, in every mode: the counters of its programs tell who has done it."""
import socket

import pytest

import kernel_path
import signed
from kernel_path import BOTH_HERE, CHANNEL, CLIENT, MODES, PEER, SERVER, TO_CLIENT, TO_PEER, V4, Pair
from flows import frame

pytestmark = pytest.mark.skipif(kernel_path.missing() is not None, reason=str(kernel_path.missing()))

EVERY_WAY = [(4, 4), (6, 6), (4, 6), (6, 4)]  # family of the client, of the peer
ROOM = 1500 - 28                              # bytes in an IPv4 packet
SIZES = [0, 1, 2, 3, 4, 31, 172, 1200, ROOM - 5, ROOM - 4]
TTL, TOS = 33, 0xB8 | 1
IP_RECVTTL = 12


@pytest.mark.parametrize("family, peer_family", EVERY_WAY)
def test_channel_data_both_ways(served, family, peer_family):
    with served.pair(family, peer_family) as pair:
        served.warm(pair)
        with served.counting(forwarded_to_peer=50, forwarded_to_client=50):
            for number in range(50):
                pair.up(b"up %d" % number)
                pair.down(b"down %d" % number)


@pytest.mark.parametrize("family, other_family, relays", [(4, 4, 4), (6, 6, 6), (4, 6, 4), (6, 4, 6)])
def test_relay_to_relay_in_one_pass(served, family, other_family, relays):
    one, other = served.pair_here(family, other_family, relays)
    ends = (one, CHANNEL), (other, CHANNEL + 1)

    def say(data):
        for (sender, number), (receiver, as_number) in (ends, ends[::-1]):
            sender.channel_send(number, data)
            assert receiver.channel_receive() == (as_number, data)

    with one, other:
        served.until_forwarded(lambda: say(b"warm"), BOTH_HERE)
        with served.counting(forwarded_relay_to_relay=60):
            for number in range(30):
                say(b"%d" % number * 20)


def test_every_size_that_fits(served):
    with served.pair() as pair:
        served.warm(pair)
        with served.counting(forwarded_to_peer=len(SIZES), forwarded_to_client=len(SIZES)):
            for size in SIZES:
                pair.up(b"u" * size)
                pair.down(b"d" * size)


@pytest.mark.parametrize("family, peer_family, fits", [(4, 4, ROOM - 4), (6, 4, ROOM - 24), (6, 6, ROOM - 24)])
def test_what_does_not_fit_with_its_new_head_goes_through_user_space(served, family, peer_family, fits):
    """A datagram that fills the peer's cable has no room for the head on the client's: it goes in two pieces.
    Only here the kernel's packets are the shorter ones."""
    with served.pair(family, peer_family) as pair:
        served.warm(pair)
        sizes = range(fits + 1, fits + 5)
        with served.counting(forwarded_to_client=1, too_big=len(sizes)):
            pair.down(b"d" * fits)
            for size in sizes:
                pair.down(b"d" * size)


def test_padding_is_taken_off(served):
    """ChannelData over UDP may be padded (RFC 8656 section 12.5)."""
    with served.pair() as pair:
        served.warm(pair)
        with served.counting(forwarded_to_peer=4):
            for size in range(4):
                pair.client.sock.send(frame(CHANNEL, b"x" * size) + bytes(-size % 4))
                assert pair.peer.recv(100) == b"x" * size


def test_length_that_lies_is_not_forwarded(served):
    with served.pair() as pair:
        served.warm(pair)
        good = frame(CHANNEL, b"good")
        with served.counting(forwarded_to_peer=1):
            for bad in good[:-1], good[:3], frame(CHANNEL + 7, b"good"), b"":
                pair.client.sock.send(bad)
            pair.client.sock.send(good)
            assert pair.peer.recv(100) == b"good"
        pair.client.settle()
        assert signed.is_empty(pair.peer)
        # What follows the data is nobody's, and whether it may is user space's to say.
        with served.counting(length=1):
            pair.client.sock.send(good + b"more than padding")
            assert pair.peer.recv(100) == b"good"


@pytest.mark.parametrize("peer_family, forwarded", [(4, 10), (6, 0)])
def test_datagrams_without_a_checksum(served, peer_family, forwarded):
    """They stay so over IPv4; IPv6 wants one, which user space makes."""
    with served.pair(4, peer_family) as pair:
        served.warm(pair)
        pair.client.sock.setsockopt(socket.SOL_SOCKET, kernel_path.SO_NO_CHECK, 1)
        with served.counting(forwarded_to_peer=forwarded, checksum=10 - forwarded):
            for number in range(10):
                pair.up(b"unchecked %d" % number)
        if peer_family == 4:
            pair.peer.setsockopt(socket.SOL_SOCKET, kernel_path.SO_NO_CHECK, 1)
            with served.counting(forwarded_to_client=10):
                for number in range(10):
                    pair.down(b"unchecked %d" % number)


def marked(sock):
    """What is sent by it has our TTL and traffic class, and it tells those of what comes."""
    if sock.family == socket.AF_INET:
        settings = ((socket.IPPROTO_IP, ((socket.IP_TTL, TTL), (socket.IP_TOS, TOS), (IP_RECVTTL, 1),
                                         (socket.IP_RECVTOS, 1))),)
    else:
        settings = ((socket.IPPROTO_IPV6, ((socket.IPV6_UNICAST_HOPS, TTL), (socket.IPV6_TCLASS, TOS),
                                           (socket.IPV6_RECVHOPLIMIT, 1), (socket.IPV6_RECVTCLASS, 1))),)
    for level, options in settings:
        for option, value in options:
            sock.setsockopt(level, option, value)


def marks(sock):
    """Of the next packet: payload, TTL, traffic class."""
    data, control, _, _ = sock.recvmsg(2048, 200)
    ttl_of = {(socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)}
    ttl = next(value for level, kind, value in control if (level, kind) in ttl_of)
    tos = next(value for level, kind, value in control if (level, kind) not in ttl_of)
    return data, int.from_bytes(ttl, "little"), int.from_bytes(tos, "little")


@pytest.mark.parametrize("family, peer_family", EVERY_WAY)
def test_dscp_and_ecn_are_copied_and_the_ttl_is_one_less(served, family, peer_family):
    with served.pair(family, peer_family) as pair:
        served.warm(pair)
        marked(pair.client.sock)
        marked(pair.peer)
        with served.counting(forwarded_to_peer=1, forwarded_to_client=1):
            pair.client.channel_send(CHANNEL, b"marked")
            assert marks(pair.peer) == (b"marked", TTL - 1, TOS)
            pair.peer.sendto(b"marked", pair.to_relay)
            assert marks(pair.client.sock) == (frame(CHANNEL, b"marked"), TTL - 1, TOS)


@pytest.mark.parametrize("mode", MODES)
def test_marks_that_are_not_to_be_copied(lab, mode):
    lab.serve(mode, copy_dscp=0, copy_ecn=0)
    with lab.pair() as pair:
        lab.warm(pair)
        marked(pair.client.sock)
        marked(pair.peer)
        with lab.counting(forwarded_to_peer=1):
            pair.client.channel_send(CHANNEL, b"marked")
            assert marks(pair.peer) == (b"marked", TTL - 1, 0)


def test_ttl_of_one_goes_to_the_stack(served):
    """Its next hop is the server itself, where it has come to its end as it should: user space relays it."""
    with served.pair() as pair:
        served.warm(pair)
        pair.client.sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
        with served.counting(ttl=1):
            pair.up(b"last hop")


@pytest.mark.parametrize("mode", MODES)
def test_behind_a_one_to_one_nat(lab, mode):
    """Clients are told the public address; packets carry the private one, also those between two relays here."""
    lab.serve(mode, external_ip=f"203.0.113.5/{V4['relay']}")
    with lab.pair() as pair:
        assert pair.client.relayed[0] == "203.0.113.5"
        pair.to_relay = (V4["relay"], pair.client.relayed[1])
        lab.warm(pair)
        with lab.counting(forwarded_to_peer=10, forwarded_to_client=10):
            for _ in range(10):
                pair.ping()
    one, other = lab.pair_here()
    with one, other:
        def say():
            one.channel_send(CHANNEL, b"to the public address")
            assert other.channel_receive() == (CHANNEL + 1, b"to the public address")
        lab.until_forwarded(say, BOTH_HERE)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", [4, 6])
def test_wildcard_listener(lab, mode, family):
    lab.serve(mode, listening_ip=None)
    with lab.pair(family, family) as pair:
        lab.warm(pair)
        with lab.counting(forwarded_to_peer=10, forwarded_to_client=10):
            for _ in range(10):
                pair.ping()


@pytest.mark.parametrize("mode", MODES)
def test_many_clients_and_channels(lab, mode):
    """Every channel's packets come out at its own end."""
    lab.serve(mode, relay_threads=2)
    pairs = []
    for _ in range(30):
        first, second = lab.pair(), lab.socket(PEER, V4["other"])
        assert first.client.bind(CHANNEL + 1, second.getsockname()).code == 0
        pairs += [first, Pair(first.client, second, CHANNEL + 1)]
    for pair in pairs:
        lab.warm(pair)
    with lab.counting(forwarded_to_peer=len(pairs), forwarded_to_client=len(pairs)):
        for at, pair in enumerate(pairs):
            pair.up(b"up %d" % at)
            pair.down(b"down %d" % at)
    for pair in pairs:
        pair.close()


@pytest.mark.parametrize("mode", MODES)
def test_channels_beyond_the_table_stay_in_user_space(lab, mode):
    lab.serve(mode, offload_channels=4)
    pairs = [lab.pair() for _ in range(8)]
    for pair in pairs[:4]:
        lab.warm(pair)
    with lab.counting(forwarded_to_peer=4, forwarded_to_client=4):
        for pair in pairs:
            pair.ping()
    for pair in pairs:
        pair.close()


def test_a_peer_without_a_neighbour_is_user_spaces(served):
    """The kernel path asks nobody for an address: the stack does."""
    with served.pair() as pair:
        served.warm(pair)

        def forgotten():
            served.run(SERVER, "ip", "neighbour", "flush", "dev", "s1")
            pair.up(b"who has it?")

        served.until_forwarded(forgotten, "neighbour")
        served.warm(pair)


def test_strangers_are_let_through(served):
    """Traffic that is no TURN, and other peers: as though there were no kernel path."""
    with served.pair() as pair, served.socket(CLIENT, V4["client"]) as one, \
            served.socket(SERVER, V4["server"]) as there, served.socket(PEER, V4["other"]) as stranger:
        served.warm(pair)
        with served.counting():
            for size in 0, 1, 4, 100, 1472:
                one.sendto(b"@" * size, there.getsockname())
                assert there.recv(2048) == b"@" * size
            stranger.sendto(b"no permission", pair.to_relay)
        served.fence()
        assert signed.is_empty(pair.client.sock)


@pytest.mark.parametrize("mode", MODES)
def test_the_log_tells_what_was_forwarded(lab, mode):
    server = lab.serve(mode)
    with lab.pair() as pair:
        lab.warm(pair)
        for _ in range(20):
            pair.ping()
        before = lab.counts.read()
    assert server.stop() == 0
    told = kernel_path.fields(kernel_path.lines(server, "packets.count")[-1])
    assert (told[TO_PEER], told[TO_CLIENT]) == (before[TO_PEER], before[TO_CLIENT])
    told = kernel_path.fields(kernel_path.lines(server, "offload.count")[-1])
    assert told[TO_PEER] == before[TO_PEER] and told["forwarded_bytes"] == before["forwarded_bytes"]

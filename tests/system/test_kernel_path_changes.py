# SPDX-License-Identifier: Apache-2.0
"""Interfaces and addresses that change while the kernel path forwards, and a veth that is half prepared."""
import contextlib
import socket
import time

import pytest

import kernel_path
import turn
from conftest import inside, wait_for
from kernel_path import (BOTH_HERE, CHANNEL, CLIENT, MODES, PEER, SERVER, TO_CLIENT, TO_PEER, V4, Stream, lines,
                         text)

pytestmark = pytest.mark.skipif(kernel_path.missing() is not None, reason=str(kernel_path.missing()))

OTHER_MAC = "02:00:00:00:51:05"
ALL_FRAMES = 3  # ETH_P_ALL


def ip(lab, name, *command):
    lab.net.run("ip", "-n", lab.ns[name], *command)


class Ear:
    """Hears what comes in at an interface."""

    def __init__(self, space, device):
        with inside(space):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_FRAMES))
            self.sock.bind((device, ALL_FRAMES))

    def senders(self, address):
        """Link addresses that datagrams from `address` came from since the last call."""
        return {frame[6:12].hex(":") for frame in kernel_path.take_all(self.sock)
                if frame[12:14] == b"\x08\x00" and frame[23] == socket.IPPROTO_UDP
                and frame[26:30] == socket.inet_aton(address)}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


@pytest.mark.parametrize("mode", MODES)
def test_an_interface_with_another_link_address(lab, mode):
    """As a bond that fails over: frames to the new address are taken, and the new one is sent from."""
    lab.serve(mode)
    with lab.pair() as pair, Ear(lab.ns[PEER], "p0") as ear:
        lab.warm(pair)
        ip(lab, SERVER, "link", "set", "dev", "s1", "address", OTHER_MAC)
        ip(lab, PEER, "neighbour", "flush", "dev", "p0")
        stream = Stream(pair)

        def forwards_by_the_new_one():
            ear.senders(V4["relay"])
            before = lab.counts.read()
            kernel_path.stream_until([stream], time.monotonic() + 0.1)
            after = lab.counts.read()
            return (ear.senders(V4["relay"]) == {OTHER_MAC}
                    and all(after[name] - before[name] >= 10 for name in (TO_PEER, TO_CLIENT)))

        wait_for(forwards_by_the_new_one, "packets with the new link address")


@pytest.mark.parametrize("mode", MODES)
def test_a_relay_address_that_is_taken_away(lab, mode):
    """Whoever still sends there is not served any more; when it is there again, all goes on."""
    lab.serve(mode)
    ip(lab, SERVER, "address", "add", "10.2.0.9/24", "dev", "s1")
    with lab.pair() as pair:
        lab.warm(pair)
        ip(lab, SERVER, "address", "del", V4["relay"] + "/24", "dev", "s1")

        def silent():
            before = lab.counts.read()[TO_CLIENT]
            for _ in range(5):
                pair.peer.sendto(b"is it you?", pair.to_relay)
            pair.client.settle()
            return lab.counts.read()[TO_CLIENT] == before

        wait_for(silent, "the end of forwarding")
        kernel_path.take_all(pair.client.sock)
        pair.client.inbox.clear()
        ip(lab, SERVER, "address", "add", V4["relay"] + "/24", "dev", "s1")
        pair.ping()


@pytest.mark.parametrize("mode", MODES)
def test_an_interface_that_goes_and_comes_again(lab, mode):
    """It is told; and the new one is user space's."""
    server = lab.serve(mode)
    with lab.pair() as pair:
        lab.warm(pair)
        ip(lab, SERVER, "link", "del", "dev", "s1")
        wait_for(lambda: any(text(line, "name") == "s1" and text(line, "mode") == "off"
                             for line in lines(server, "offload.interface")), "word of it")
        lab.net.cable(lab.ns[SERVER], "s1", lab.ns[PEER], "p0")
        for name, device, at in (SERVER, "s1", "relay"), (PEER, "p0", "peer"):
            lab.net.address(lab.ns[name], device, V4[at] + "/24")
        lab.run(PEER, "ethtool", "-K", "p0", "tx", "off")
        pair.peer.settimeout(0.2)

        def served():
            with contextlib.suppress(TimeoutError):
                pair.ping()
                return True
            return False

        wait_for(served, "the new cable")


def test_a_veth_whose_far_end_has_gro_and_no_program(lab):
    """It takes frames that are redirected to it, but loses those that are sent back (XDP_TX)."""
    for name, device in (CLIENT, "c0"), (PEER, "p0"):
        lab.run(name, "ethtool", "-K", device, "gro", "on")
    lab.frames_taken = True
    lab.serve("xdp", flood_shield=True)
    before = lab.counts.read()["shield_binding"]
    one, other = lab.pair_here()
    with one, other:
        def say():
            one.channel_send(CHANNEL, b"back on the same cable")
            assert other.channel_receive() == (CHANNEL + 1, b"back on the same cable")
        lab.until_forwarded(say, BOTH_HERE)
    with lab.client() as client:
        assert client.ask(turn.BINDING).address(turn.XOR_MAPPED) == client.address
    assert lab.counts.read()["shield_binding"] == before + 1

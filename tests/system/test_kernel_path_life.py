# SPDX-License-Identifier: Apache-2.0
"""When the kernel path forwards no more: deadlines, new rules, drain, and the end of the server, however it comes."""
import json
import signal
import time

import pytest

import kernel_path
import signed
from conftest import wait_for
from kernel_path import CLIENT, DOWN, ENDS, MODES, SERVER, TO_CLIENT, TO_PEER, UP, V4, Stream

pytestmark = pytest.mark.skipif(kernel_path.missing() is not None, reason=str(kernel_path.missing()))

PERMISSION_S, CHANNEL_S, ALLOCATION_S = 1, 2, 3


class Course:
    """A pair, its stream, and what the client does to keep something alive meanwhile."""

    def __init__(self, lab, keep=None):
        self.allocated = time.monotonic()
        self.began = time.monotonic()
        self.pair = lab.pair()
        self.told = time.monotonic()
        self.stream = Stream(self.pair)
        self.keep, self.next = keep, self.told + PERMISSION_S / 3

    def tend(self):
        if self.keep is not None and time.monotonic() >= min(self.next, self.told + ALLOCATION_S):
            self.next = time.monotonic() + PERMISSION_S / 3
            self.keep(self.pair)

    def judge(self, way, lifetime):
        self.stream.judge(way, self.began, self.told, lifetime)


def keep_permission(pair):
    pair.client.permit(pair.peer.getsockname()[0])


def keep_channel(pair):
    pair.client.bind(pair.number, pair.peer.getsockname())


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_forwarded_after_a_deadline(lab, mode):
    """The permission ends first, and counts towards the client alone (A-19); then the channel; renewed in time, both
    go on until the allocation ends."""
    lab.serve(mode, permission_lifetime=PERMISSION_S, channel_lifetime=CHANNEL_S, max_allocate_lifetime=ALLOCATION_S)
    with lab.pair(at="other") as first:
        lab.warm(first)
    with lab.pair() as second:
        lab.warm(second)
    before = lab.counts.read()
    left, permitted, renewed = courses = [Course(lab), Course(lab, keep_permission), Course(lab, keep_channel)]

    def tend():
        for one in courses:
            one.tend()

    kernel_path.stream_until([one.stream for one in courses], renewed.told + ALLOCATION_S + 0.3, tend)
    lab.fence()
    for one in courses:
        one.stream.take()
    after = lab.counts.read()
    left.judge(DOWN, PERMISSION_S)
    left.judge(UP, CHANNEL_S)
    permitted.judge(DOWN, CHANNEL_S)
    permitted.judge(UP, CHANNEL_S)
    renewed.judge(DOWN, ALLOCATION_S)
    renewed.judge(UP, ALLOCATION_S)
    for way, name in (UP, TO_PEER), (DOWN, TO_CLIENT):
        came = sum(len(one.stream.got[way]) for one in courses)
        assert after[name] - before[name] >= 0.9 * came, "user space has done it"
    for one in courses:
        one.pair.close()


def expect_silence(lab, pair):
    """What is sent now comes nowhere."""
    for _ in range(100):
        pair.refused()
    lab.fence()
    assert signed.is_empty(pair.peer) and signed.is_empty(pair.client.sock)


def test_nothing_is_forwarded_after_refresh_0(served):
    with served.pair() as pair:
        served.warm(pair)
        assert pair.client.refresh(0).code == 0
        expect_silence(served, pair)


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_forwarded_to_a_peer_that_is_denied_now(lab, mode):
    """And what is still allowed goes on in the kernel, with nothing lost on the way."""
    server = lab.serve(mode)
    with lab.pair() as pair, lab.pair(at="other") as other:
        lab.warm(pair)
        lab.warm(other)
        stream = Stream(other)
        server.write_conf(denied_peer_ip=V4["peer"])
        server.signal(signal.SIGHUP)
        while "reload.done" not in server.text:
            kernel_path.stream_until([stream], time.monotonic() + 0.05)
        expect_silence(lab, pair)
        stream.expect_all()
        lab.warm(other)
        with lab.counting(forwarded_to_peer=5, forwarded_to_client=5):
            for _ in range(5):
                other.ping()


@pytest.mark.parametrize("mode", MODES)
def test_sessions_go_on_in_user_space_while_it_drains(lab, mode):
    server = lab.serve(mode)
    with lab.pair() as pair:
        lab.warm(pair)
        server.signal(signal.SIGUSR1)
        server.wait_log("server.draining")
        with lab.counting():
            for _ in range(20):
                pair.ping()
        assert pair.client.refresh(0).code == 0
        assert server.wait() == 0


# --- what stays behind -----------------------------------------------------------------------------


def expect_nothing_left(lab, objects):
    """No program, map or link of those, nothing on the interfaces, and no process."""
    lab.counts.close()
    wait_for(lambda: not kernel_path.bpf_left(objects), f"the end of {kernel_path.bpf_left(objects)}")
    wait_for(lambda: not lab.processes(SERVER), "the end of all processes")
    for link in json.loads(lab.run(SERVER, "ip", "-j", "-d", "link", "show")):
        assert "xdp" not in link, link
        assert link["ifname"] in ("lo", "s0", "s1"), link
    assert lab.run(SERVER, kernel_path.BPFTOOL, "net", "show").count("forward_") == 0


def expect_refusal(pair):
    """The stack answers the client that nobody is there; and nothing comes to either."""
    with pytest.raises(ConnectionRefusedError):
        for _ in range(1000):
            pair.client.channel_send(pair.number, b"too late")
            pair.peer.sendto(b"too late", pair.to_relay)
    assert kernel_path.take_all(pair.peer) == []
    assert kernel_path.take_all(pair.client.sock) == []


@pytest.mark.parametrize("mode", MODES)
def test_kill_leaves_nothing_behind(lab, mode):
    server = lab.serve(mode)
    with lab.pair() as pair:
        lab.warm(pair)
        objects = kernel_path.bpf_objects(server.process.pid)
        assert all(objects.values())
        server.process.kill()
        server.process.wait()
        expect_refusal(pair)
        expect_nothing_left(lab, objects)
    wait_for(lambda: lab.forwarding_on_lo() == ["0", "0"], "the settings of lo as they were")


@pytest.mark.parametrize("before", ["0", "1"])
@pytest.mark.parametrize("mode", MODES)
def test_term_leaves_nothing_behind(lab, mode, before):
    lab.sysctl(SERVER, f"net.ipv4.conf.lo.forwarding={before}", f"net.ipv6.conf.lo.forwarding={before}")
    server = lab.serve(mode)
    with lab.pair() as pair:
        lab.warm(pair)
        objects = kernel_path.bpf_objects(server.process.pid)
        assert server.stop() == 0
        expect_refusal(pair)
        expect_nothing_left(lab, objects)
    assert lab.forwarding_on_lo() == [before, before]


@pytest.mark.parametrize("family, route", [(4, "10.2.0.0/24"), (6, "fd00:2::/64")])
@pytest.mark.parametrize("mode", MODES)
def test_no_interface_becomes_a_router(lab, mode, family, route):
    """Packets that are not ours go no further, though the kernel path looks routes up."""
    lab.serve(mode)
    lab.net.route(lab.ns[CLIENT], route, "via", ENDS[family]["server"])
    with lab.pair(family, family) as pair, lab.socket(CLIENT, ENDS[family]["client"]) as sender:
        lab.warm(pair)
        for _ in range(20):
            sender.sendto(b"through you", pair.peer.getsockname()[:2])
        lab.fence()
        assert signed.is_empty(pair.peer)
    for device in "all", "s0", "s1":
        assert lab.run(SERVER, "sysctl", "-n", f"net.ipv4.conf.{device}.forwarding",
                       f"net.ipv6.conf.{device}.forwarding").split() == ["0", "0"]


@pytest.mark.parametrize("mode", MODES)
def test_a_second_server_takes_over_after_a_crash(lab, mode):
    """Links and sysctls of the one that was killed are in nobody's way."""
    server = lab.serve(mode)
    server.process.kill()
    server.process.wait()
    lab.serve(mode)
    with lab.pair() as pair:
        lab.warm(pair)

# SPDX-License-Identifier: Apache-2.0
"""The flood shield: what strangers may send to a listener, and that no flood shuts a client out."""
import contextlib
import os
import random
import struct
import time

import pytest

import flows
import kernel_path
import signed
import streams
import turn
from kernel_path import CHANNEL, CLIENT, MODES, PEER, SERVER, V4

pytestmark = pytest.mark.skipif(kernel_path.missing() is not None, reason=str(kernel_path.missing()))

PREFIX = 50           # packets/s of one network
ELSEWHERE = "10.9.0.2"  # a client of another network
SPOKEN_FOR = ("shield_passed_client", "shield_passed", "shield_binding", "shield_junk", "shield_prefix", "shield_total")


@pytest.fixture(name="shielded")
def shielded_fixture(lab):
    """shielded(mode, **options): the server, behind the shield."""
    def make(mode, **options):
        lab.net.address(lab.ns[CLIENT], "c0", f"{ELSEWHERE}/24")
        lab.net.route(lab.ns[SERVER], "10.9.0.0/24", "dev", "s0")
        return lab.serve(mode, flood_shield=True, **options)
    return make


def stranger(lab, ip=V4["client"]):
    sock = lab.socket(CLIENT, ip)
    sock.connect((V4["server"], lab.server.port))
    return contextlib.closing(sock)


def shield_counts(lab):
    counts = lab.counts.read()
    return {name: counts[name] for name in SPOKEN_FOR}


def junk():
    """What is no STUN, in many shapes."""
    request = signed.message(turn.BINDING)
    yield from (b"", b"\0", b"hello", bytes(20), bytes(1200), os.urandom(3), request[:19], request[:-1],
                request + b"\0", request[:4] + bytes(4) + request[8:], request[:2] + struct.pack("!H", 3) + request[4:],
                request[:2] + struct.pack("!H", 4) + request[4:], b"\x80" + request[1:], b"\xc0" + bytes(30),
                flows.frame(CHANNEL, b"of nobody"), b"\x16\xfe\xfd" + bytes(30), b"GET / HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize("mode", MODES)
def test_junk_never_reaches_user_space(lab, shielded, mode):
    server = shielded(mode)
    with stranger(lab) as sock:
        before, sent = shield_counts(lab), 0
        for _ in range(30):
            for data in junk():
                sock.send(data)
                sent += 1
        sock.send(signed.message(turn.BINDING))
        assert turn.Message(sock.recv(2048)).type == turn.BINDING | turn.SUCCESS
        assert shield_counts(lab)["shield_junk"] - before["shield_junk"] >= sent - 30  # a classic STUN header may pass
    assert server.stop() == 0
    received = kernel_path.fields(kernel_path.lines(server, "packets.count")[-1])["received"]
    assert received <= 31


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("options", [{}, {"software_attribute": True}],
                         ids=["bare", "software"])
def test_binding_is_answered_before_user_space(lab, shielded, mode, family, options):
    """By the same bytes as the server's own answer, but for the transaction."""
    shielded(mode, **options)
    ends = kernel_path.ENDS[family]
    with contextlib.closing(lab.socket(CLIENT, ends["client"])) as sock:
        sock.connect((ends["server"], lab.server.port))
        before = shield_counts(lab)
        request = signed.message(turn.BINDING)
        sock.send(request)
        answer = sock.recv(2048)
        after = shield_counts(lab)
        assert after["shield_binding"] == before["shield_binding"] + 1
        message = turn.Message(answer)
        assert message.tid == request[8:20]
        assert message.address(turn.XOR_MAPPED) == sock.getsockname()[:2]
        # With an attribute that may be ignored it is user space's.
        again = signed.message(turn.BINDING, [(0xC001, b"ignore me")], tid=request[8:20])
        sock.send(again)
        assert sock.recv(2048) == answer
        assert shield_counts(lab)["shield_binding"] == after["shield_binding"]


def flood(sock, seconds=0.3, also=lambda: None):
    """As fast as this process can, what a stranger may send: with and without credentials, and junk."""
    peer = signed.peer("192.0.2.1")(bytes(12))
    kinds = [signed.message(turn.BINDING, [(signed.SOFTWARE, b"flood")]),
             signed.message(turn.ALLOCATE, [signed.TRANSPORT_UDP]),
             signed.message(turn.CREATE_PERMISSION, [peer, (signed.USERNAME, b"user"), (signed.REALM, b"example.org"),
                                                     (signed.NONCE, b"x" * 24)], key=b"wrong"),
             os.urandom(100)]
    end, sent = time.monotonic() + seconds, 0
    while time.monotonic() < end or sent < 40 * PREFIX:
        for _ in range(50):
            with contextlib.suppress(ConnectionRefusedError, BlockingIOError):
                sock.send(random.choice(kinds))
        sent += 50
        also()
    return sent


@pytest.mark.parametrize("mode", MODES)
def test_a_client_in_a_flooded_network_goes_on(lab, shielded, mode):
    """It is known by address and port: whatever its neighbours (or those who pretend to be) send, its requests are
    answered and its packets relayed, by either path."""
    shielded(mode, flood_shield_prefix=PREFIX, **signed.LONG_TERM)
    with lab.pair() as pair, stranger(lab) as spoofer:
        lab.warm(pair)
        before = shield_counts(lab)

        def live():
            pair.ping()
            pair.client.send(pair.peer.getsockname(), b"by user space")
            assert pair.peer.recv(100) == b"by user space"
            kernel_path.take_all(spoofer)

        flood(spoofer, also=live)
        assert pair.client.refresh().code == 0
        assert pair.client.permit(V4["peer"]).code == 0
        after = shield_counts(lab)
        assert after["shield_prefix"] > before["shield_prefix"]
        assert after["shield_passed_client"] > before["shield_passed_client"]


def gets_in(lab, ip):
    """Does a newcomer get an allocation, with the retransmissions of RFC 8489?"""
    client = signed.Client((V4["server"], lab.server.port), sock=lab.socket(CLIENT, ip))
    with client:
        client.sock.settimeout(0.5)
        for _ in range(7):
            with contextlib.suppress(TimeoutError):
                return client.allocate().code == 0
    return False


@pytest.mark.parametrize("mode", MODES)
def test_newcomers_get_in_after_a_flood_and_from_elsewhere_during_it(lab, shielded, mode):
    shielded(mode, flood_shield_prefix=PREFIX, **signed.LONG_TERM)
    with stranger(lab) as spoofer:
        flood(spoofer, 0.2)
        before = shield_counts(lab)
        flood(spoofer, 0.2, also=lambda: kernel_path.take_all(spoofer))
        assert shield_counts(lab)["shield_prefix"] > before["shield_prefix"]
        assert gets_in(lab, ELSEWHERE)
        assert gets_in(lab, V4["client"])


@pytest.mark.parametrize("mode", MODES)
def test_what_user_space_gets_of_a_flood_is_bounded(lab, shielded, mode):
    server = shielded(mode, flood_shield_prefix=PREFIX, **signed.LONG_TERM)
    began = time.monotonic()
    with stranger(lab) as spoofer:
        sent = flood(spoofer, 0.5, also=lambda: kernel_path.take_all(spoofer))
    lasted = time.monotonic() - began
    assert server.stop() == 0
    received = kernel_path.fields(kernel_path.lines(server, "packets.count")[-1])["received"]
    # Of each of the four kinds the burst of a second, then so many a second.
    assert received <= 4 * PREFIX * (lasted + 1) + 10
    assert sent >= 40 * PREFIX


@pytest.mark.parametrize("mode", MODES)
def test_dtls_of_strangers_where_it_is_served(lab, shielded, mode, tmp_path):
    cert, key = streams.Certificates(tmp_path).make("localhost")
    shielded(mode, dtls=True, cert=cert, pkey=key, tls_listening_port=0)
    address = V4["server"], lab.server.port
    with signed.Client(address, sock=flows.Association(address, lab.socket(CLIENT, V4["client"]))) as client, \
            contextlib.closing(lab.socket(PEER, V4["peer"])) as peer:
        assert client.allocate().code == 0
        assert client.bind(CHANNEL, peer.getsockname()).code == 0
        before = shield_counts(lab)
        for _ in range(10):
            client.sock.send(flows.frame(CHANNEL, b"by DTLS."))
            assert peer.recv(100) == b"by DTLS."
        after = shield_counts(lab)
        assert after["shield_passed_client"] - before["shield_passed_client"] == 10
        assert after["shield_junk"] == before["shield_junk"]


@pytest.mark.parametrize("mode", MODES)
def test_other_ports_of_the_host_are_not_looked_at(lab, shielded, mode):
    """Nor are relay ports: what comes there is the peers' own affair."""
    shielded(mode, flood_shield_prefix=PREFIX)
    with contextlib.closing(lab.socket(SERVER, V4["server"])) as there, lab.client() as client, \
            contextlib.closing(lab.socket(PEER, V4["peer"])) as peer, \
            contextlib.closing(lab.socket(CLIENT, V4["client"])) as sender:
        assert client.allocate().code == 0
        assert client.permit(V4["peer"]).code == 0
        before = shield_counts(lab)
        for _ in range(10):
            for data in junk():
                sender.sendto(data, there.getsockname())
                assert there.recv(2048) == data
                peer.sendto(data, client.relayed)
                assert client.indication().get(turn.DATA_ATTR) == data
        assert shield_counts(lab) == before


@pytest.mark.parametrize("mode", MODES)
def test_the_shield_alone(lab, mode):
    """With offload=off the programs drop junk and forward nothing."""
    if (why := kernel_path.why_not(mode)) is not None:
        pytest.skip(why)
    server = lab.start_server(offload="off", flood_shield=True, offload_interface=[f"s0={mode}", f"s1={mode}"])
    lab.counts = kernel_path.Counts(server)
    with lab.pair() as pair, stranger(lab) as sock:
        before = shield_counts(lab)
        with lab.counting():
            for _ in range(20):
                pair.ping()
        for _ in range(20):
            sock.send(b"hello")
        lab.fence()
        assert shield_counts(lab)["shield_junk"] == before["shield_junk"] + 20


@pytest.mark.parametrize("mode", MODES)
def test_limits_change_at_reload(lab, shielded, mode):
    server = shielded(mode, flood_shield_prefix=PREFIX, **signed.LONG_TERM)
    with stranger(lab) as spoofer:
        flood(spoofer, 0.1, also=lambda: kernel_path.take_all(spoofer))
        server.write_conf(flood_shield_prefix=100_000_000, flood_shield_newcomers=100_000_000)
        server.signal(1)
        server.wait_log("reload.done")
        before = shield_counts(lab)
        flood(spoofer, 0.1, also=lambda: kernel_path.take_all(spoofer))
        after = shield_counts(lab)
        assert after["shield_prefix"] == before["shield_prefix"]
        assert after["shield_passed"] > before["shield_passed"]


# Proves T-5780-6.1-01
@pytest.mark.parametrize("mode", MODES)
def test_behaviour_discovery_and_classic_clients_pass(lab, shielded, mode):
    """The shield answers no Binding request where more is to be told than it knows, shields the alternate ports as
    well, and lets requests of RFC 3489 pass where they are served."""
    second = "10.9.0.1"
    lab.net.address(lab.ns[SERVER], "s0", f"{second}/32")
    server = shielded(mode, listening_ip=[V4["server"], second], rfc5780=True, rfc3489_compatibility=True)
    with stranger(lab) as sock:
        client = turn.Client((V4["server"], server.port), sock)
        sock.connect(client.server)
        before = shield_counts(lab)
        for to in server.port, server.port + 1:
            sock.connect((V4["server"], to))
            tid = os.urandom(12)
            sock.send(turn.encode(turn.BINDING, [], tid))
            message = turn.Message(sock.recv(2048))
            assert message.tid == tid and message.get(0x802C) is not None
            sock.send(struct.pack("!HH", 1, 0) + bytes(16))
            answer = sock.recv(2048)
            assert answer[:2] == b"\x01\x01" and answer[4:20] == bytes(16)
            sock.send(struct.pack("!HH", 3, 0) + bytes(16))
        now = shield_counts(lab)
        assert now["shield_binding"] == before["shield_binding"]
        assert now["shield_passed"] == before["shield_passed"] + 4
        assert now["shield_junk"] == before["shield_junk"] + 2

# SPDX-License-Identifier: Apache-2.0
"""Whom clients may reach: docs/threat-model.md, rows 2, 7 and 9 to 14, against a running server."""
import signal

import pytest

import turn
from conftest import Sterna, free_port
from signed import LONG_TERM, WANT_IPV6, bound, client, is_empty, message

# What a client might write to reach this host, its network, or a cloud's metadata service.
V4_REFUSED = [
    "127.0.0.1", "127.1.2.3",             # loopback (rows 2, 10)
    "0.0.0.0", "0.1.2.3",                 # reaches loopback on many systems (row 7)
    "169.254.169.254", "169.254.0.1",     # instance metadata, link-local (row 12)
    "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1",
    "224.0.0.1", "239.255.255.255", "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1",
]
V6_REFUSED = [
    "::1", "::",
    "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
]
# Each way to write an IPv4 address as an IPv6 one (rows 9, 10, 11).
ENCODINGS = ["::ffff:{}", "::{}", "::ffff:0:{}", "64:ff9b::{}"]
INNER = ["127.0.0.1", "0.0.0.0", "10.0.0.1", "169.254.169.254"]


def v6_of(hexes):
    return ":".join(hexes)


def encoded():
    """IPv6 addresses that hold one of INNER."""
    for inner in INNER:
        a, b, c, d = (int(part) for part in inner.split("."))
        high, low = f"{a << 8 | b:x}", f"{c << 8 | d:x}"
        for form in ENCODINGS:
            yield form.format(inner)
        yield v6_of(["2002", high, low, "", "1"])                       # 6to4
        yield v6_of(["2001", "0", "5db8", "d822", "0", "0", f"{(a << 8 | b) ^ 0xffff:x}",
                     f"{(c << 8 | d) ^ 0xffff:x}"])                     # Teredo, client's address inverted
        yield v6_of(["64", "ff9b", "1", "", high, low])                 # NAT64 for local use, /96
        yield v6_of(["64", "ff9b", "1", high, f"{c:x}", f"{d << 8:x}", "0", "0"])  # the same, /48


CLOSED = {**LONG_TERM, "allow_loopback_peers": None, "relay_threads": 1}


@pytest.fixture(name="server", scope="module")
def server_fixture(tmp_path_factory):
    running = Sterna(tmp_path_factory.mktemp("peers"), **CLOSED).ready()
    yield running
    assert running.stop() == 0, running.text


def refused_on_every_way(turner, ip, port):
    """CreatePermission and ChannelBind say 403.  The latter without the former: each stands alone."""
    assert turner.permit(ip).code == 403, ip
    assert turner.bind(0x4000, (ip, port)).code == 403, ip


# Proves T-8656-21.2.2-01
def test_ipv4_peers_inside_are_refused(server):
    with client(server) as one:
        one.allocated()
        for ip in V4_REFUSED:
            refused_on_every_way(one, ip, 80)


# Proves T-8656-21.2.2-01, T-8656-21.4-01
def test_ipv6_peers_inside_are_refused_however_written(server):
    with client(server) as one:
        one.allocated(WANT_IPV6)
        for ip in [*V6_REFUSED, *encoded()]:
            refused_on_every_way(one, ip, 80)


def test_public_peers_are_open(server):
    """The counterpart: what is refused above is not refused because everything is."""
    with client(server) as one:
        one.allocated()
        assert one.permit("8.8.8.8").code == 0
        assert one.bind(0x4000, ("8.8.8.8", 53)).code == 0
    with client(server) as one:
        one.allocated(WANT_IPV6)
        assert one.permit("2600::1", "64:ff9b::808:808").code == 0


@pytest.mark.parametrize("families, ips", [((), ["127.0.0.1", "0.0.0.0"]),
                                           ((WANT_IPV6,), ["::1", "::", "::ffff:127.0.0.1"])])
def test_nothing_reaches_a_service_on_this_host(server, families, ips):
    with bound("::1" if families else "127.0.0.1") as victim, client(server) as one:
        port = victim.getsockname()[1]
        one.allocated(*families)
        for ip in ips:
            one.permit(ip)
            one.bind(0x4001, (ip, port))
            one.send((ip, port), b"GET / HTTP/1.0\r\n\r\n")
            one.channel_send(0x4001, b"flushall\r\n")
        one.settle()
        assert is_empty(victim)


def test_what_listens_here_is_no_peer_even_when_loopback_is_allowed(sterna):
    """Row 13: no rule opens the server's own listener, while other services are reached as asked for."""
    server = sterna(**{**CLOSED, "allow_loopback_peers": True, "allowed_peer_ip": "127.0.0.1"})
    with bound() as service, client(server) as one:
        one.allocated()
        assert one.permit("127.0.0.1").code == 0
        one.send(service.getsockname(), b"hello")
        assert service.recv(100) == b"hello"
        assert one.bind(0x4000, server.address).code == 403
        one.send(server.address, message(turn.BINDING))
        one.settle(6)
        assert one.inbox == []


def test_the_wildcard_listener_is_protected_too(sterna):
    server = sterna(**{**CLOSED, "allow_loopback_peers": True, "listening_ip": None})
    with client(server) as one:
        one.allocated()
        for ip in "127.0.0.1", "127.0.0.2":
            assert one.bind(0x4000, (ip, server.port)).code == 403, ip
        assert one.bind(0x4000, ("127.0.0.1", free_port())).code == 0


# Proves T-8656-21.1.4-01
def test_a_denied_range_carries_from_byte_to_byte(sterna):
    """Row 14: from ...:00ff:... to ...:0100:... is one range, not a comparison byte by byte."""
    server = sterna(**CLOSED, denied_peer_ip=["2600:0:0:ff::-2600:0:0:100::", "8.8.0.255-8.8.1.0"])
    with client(server) as one:
        one.allocated(WANT_IPV6)
        for ip, code in [("2600:0:0:fe:ffff:ffff:ffff:ffff", 0), ("2600:0:0:ff::", 403),
                         ("2600:0:0:ff:ffff::", 403), ("2600:0:0:100::", 403), ("2600:0:0:100::1", 0)]:
            assert one.permit(ip).code == code, ip
    with client(server) as one:
        one.allocated()
        for ip, code in [("8.8.0.254", 0), ("8.8.0.255", 403), ("8.8.1.0", 403), ("8.8.1.1", 0)]:
            assert one.permit(ip).code == code, ip


@pytest.mark.parametrize("rule", ["0.0.0.0-255.255.255.255", "0.0.0.0/0"])
def test_a_deny_of_everything_denies_everything(sterna, rule):
    server = sterna(**CLOSED, denied_peer_ip=rule)
    with client(server) as one:
        one.allocated()
        assert one.permit("8.8.8.8").code == 403


def test_a_channel_ends_when_a_reload_closes_its_peer(sterna):
    server = sterna(**{**CLOSED, "allow_loopback_peers": True})
    with bound() as there, client(server) as one:
        one.allocated()
        assert one.bind(0x4000, there.getsockname()).code == 0
        one.channel_send(0x4000, b"before")
        assert there.recv(100) == b"before"
        server.write_conf(denied_peer_ip="127.0.0.1")
        server.signal(signal.SIGHUP)
        server.wait_log("permission.revoked")
        one.channel_send(0x4000, b"after")
        one.settle()
        assert is_empty(there)
        assert one.bind(0x4000, there.getsockname()).code == 403


def test_a_refusal_names_both_ends_in_the_log(server):
    """Whoever watches the log sees who tried to reach what, and why it was refused."""
    with client(server) as one:
        one.allocated()
        one.permit("169.254.169.253")
        ends = "%s:%u" % one.address
    server.wait_log("169.254.169.253")
    line = next(line for line in server.text.splitlines() if "169.254.169.253" in line)
    assert ends in line and "code=403" in line and "link-local" in line


# Proves T-8656-21.3.2-01
def test_the_log_can_tell_who_was_permitted_to_reach_whom(sterna):
    server = sterna(**CLOSED, log_min_level="debug")
    with client(server) as one:
        one.allocated()
        assert one.permit("8.8.8.8").code == 0
        ends = "%s:%u" % one.address
    server.wait_log("permission.installed")
    line = next(line for line in server.text.splitlines() if "permission.installed" in line)
    assert ends in line and "8.8.8.8" in line and "user=user" in line.replace('"', "")

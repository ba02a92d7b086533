# SPDX-License-Identifier: Apache-2.0
"""sterna probe --discover: which servers a domain has (RFC 5928, RFC 8155), asked of a real DNS server."""
import json
import os
import socket
import subprocess

import pytest

import dns_server
import streams
from conftest import LIMIT_S, STERNA, free_port
from fake_server import FakeServer

# RFC 5928 figures 1 and 2, and a zone for each other way to be found.
ZONES = {
    "example.net": [
        '@ IN NAPTR 100 10 "" "RELAY:turn.udp" "" datagram.example.net.',
        '@ IN NAPTR 200 10 "" "RELAY:turn.tcp:turn.tls" "" stream.example.net.',
        'datagram IN NAPTR 100 10 "S" "RELAY:turn.udp" "" _turn._udp.example.net.',
        'stream IN NAPTR 100 10 "S" "RELAY:turn.tcp" "" _turn._tcp.example.net.',
        'stream IN NAPTR 200 10 "A" "RELAY:turn.tls" "" a.example.net.',
        "_turn._udp IN SRV 0 0 3478 a.example.net.",
        "_turn._tcp IN SRV 0 0 5000 a.example.net.",
        "a IN A 192.0.2.1"],
    "example.com": ['@ IN NAPTR 100 10 "" "RELAY:turn.udp:turn.tcp:turn.tls" "" example.net.'],
    "whole.example": [
        '@ IN NAPTR 10 10 "S" "RELAY:turn.tls" "" _turns._tcp.whole.example.',
        '@ IN NAPTR 10 20 "S" "RELAY:turn.udp" "" _turn._udp.whole.example.',
        "_turn._udp IN SRV 0 0 3478 a.whole.example.",
        "_turns._tcp IN SRV 0 0 443 a.whole.example.",
        "a IN A 192.0.2.1",
        "a IN AAAA 2001:db8::1"],
    "srv.example": ["_turn._udp IN SRV 0 0 3478 a.srv.example.", "a IN A 192.0.2.1", "@ IN A 192.0.2.7"],
    "bare.example": ["@ IN A 192.0.2.7"],
    "slips.example": [
        '@ IN NAPTR 10 10 "S" "RELAY:turn.udp" "" _turn._tcp.slips.example.',
        '@ IN NAPTR 20 10 "S" "RELAY:turn.tls" "" _turns._tcp.slips.example.',
        "_turn._tcp IN SRV 0 0 3478 alias.slips.example.",
        "_turn._tcp IN SRV 1 0 3478 gone.slips.example.",
        "alias IN CNAME a.slips.example.",
        "a IN A 192.0.2.1"],
    "stun.example": [
        "_stun._udp IN SRV 0 0 3479 a.stun.example.",
        "_stun-behavior._udp IN SRV 0 0 3480 a.stun.example.",
        "_stuns._tcp IN SRV 0 0 5350 a.stun.example.",
        "a IN A 192.0.2.1"],
    "closed.example": ["_turn._udp IN SRV 0 0 0 .", "_turn._tcp IN SRV 0 0 0 .", "_turns._tcp IN SRV 0 0 0 .",
                       "_turns._udp IN SRV 0 0 0 .", "@ IN A 192.0.2.7"],
    "many.example": [f"_turn._udp IN SRV {n} 0 {4000 + n} a-long-name-that-fills-the-answer-{n}.many.example."
                     for n in range(30)] +
                    [f"a-long-name-that-fills-the-answer-{n} IN A 192.0.2.{n + 1}" for n in range(30)],
}


@pytest.fixture(name="zones", scope="module")
def zones_fixture(tmp_path_factory):
    if dns_server.PDNS is None:
        pytest.skip("PowerDNS is not installed")
    server = dns_server.Zones(tmp_path_factory.mktemp("zones"), ZONES)
    yield server
    server.stop()


def discover(address, *args, env=None):
    return subprocess.run([STERNA, "probe", "--discover", "--dns", address, *args], capture_output=True, text=True,
                          timeout=60, check=False, env=env)


def steps(done):
    return json.loads(done.stdout)["steps"]


def servers(done, what="server"):
    return [f"{step['values']['transport']} {step['values']['address']}" for step in steps(done)
            if step["step"].startswith(what + " ")]


def zone(done):
    return [step for step in steps(done) if step["step"] == "zone"]


def asked(done):
    return [f"{step['step']} {step['values']['name']}" for step in steps(done) if "name" in step["values"]]


# RFC 5928 section 4.1; among transports of one rank, ours: TCP before TLS.
def test_the_example_of_the_rfc(zones):
    done = discover(zones.address, "--json", "example.net")
    assert done.returncode == 0, done.stdout + done.stderr
    assert servers(done) == ["udp 192.0.2.1:3478", "tcp 192.0.2.1:5000", "tls 192.0.2.1:5349"]
    assert asked(done)[:4] == ["NAPTR example.net", "NAPTR datagram.example.net", "SRV _turn._udp.example.net",
                               "A a.example.net"]
    assert "tls by NAPTR alone" in zone(done)[-1]["text"]
    first = steps(done)[0]["values"]["records"]
    assert '100 10 "" "RELAY:turn.udp" "" datagram.example.net.' in first and len(first) == 2


# RFC 5928 section 4.2.
def test_a_domain_whose_servers_are_hosted_elsewhere(zones):
    done = discover(zones.address, "--json", "turn:example.com")
    assert done.returncode == 0, done.stdout + done.stderr
    assert servers(done) == ["udp 192.0.2.1:3478", "tcp 192.0.2.1:5000", "tls 192.0.2.1:5349"]
    assert "no SRV" in zone(done)[-1]["text"]
    assert "_turn._udp.example.com. SRV 0 0 3478 a.example.net." in zone(done)[-1]["advice"]


def test_a_zone_that_has_all(zones):
    done = discover(zones.address, "--json", "whole.example")
    assert done.returncode == 0, done.stdout + done.stderr
    assert servers(done) == ["tls 192.0.2.1:443", "tls [2001:db8::1]:443", "udp 192.0.2.1:3478",
                             "udp [2001:db8::1]:3478"]
    assert [step["result"] for step in zone(done)] == ["ok"]


def test_a_secure_uri_finds_secure_servers_alone(zones):
    done = discover(zones.address, "--json", "turns:whole.example")
    assert servers(done) == ["tls 192.0.2.1:443", "tls [2001:db8::1]:443"]


def test_a_zone_with_srv_alone(zones):
    done = discover(zones.address, "--json", "srv.example")
    assert done.returncode == 0, done.stdout + done.stderr
    assert servers(done) == ["udp 192.0.2.1:3478", "tcp 192.0.2.7:3478", "tls 192.0.2.7:5349", "dtls 192.0.2.7:5349"]
    assert "RFC 8155" in zone(done)[-1]["text"]
    assert 'srv.example. NAPTR 10 10 "S" "RELAY:turn.udp"' in zone(done)[-1]["advice"]


def test_a_transport_means_srv_and_a_port_addresses(zones):
    done = discover(zones.address, "--json", "turn:srv.example?transport=udp")
    assert servers(done) == ["udp 192.0.2.1:3478"]
    assert asked(done)[0] == "SRV _turn._udp.srv.example"
    done = discover(zones.address, "--json", "turn:srv.example:80")
    assert servers(done) == ["udp 192.0.2.7:80", "tcp 192.0.2.7:80"]
    assert asked(done) == ["A srv.example", "AAAA srv.example"]


def test_a_zone_without_any_record_is_told_what_to_have(zones):
    done = discover(zones.address, "bare.example")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "udp 192.0.2.7:3478" in done.stdout
    assert "_turn._udp.bare.example. SRV 0 0 3478 turn.bare.example." in done.stdout
    assert "192.0.0.10 and 2001:1::2" in done.stdout and "--anycast" in done.stdout


def test_slips_in_a_zone_are_told(zones):
    done = discover(zones.address, "slips.example")
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("the NAPTR record for turn.udp leads to _turn._tcp.slips.example", "which is an alias",
                  "gone.slips.example, which has no address", "_turns._tcp.slips.example, which has no SRV record"):
        assert done.stdout.count(words) == 1, done.stdout


def test_a_domain_that_offers_nothing(zones):
    done = discover(zones.address, "--json", "closed.example")
    assert done.returncode == 3
    assert servers(done) == []
    assert sum("not offered" in step["text"] for step in steps(done)) == 4


# RFC 7064 section 3.2, RFC 8489 section 8, RFC 5780 section 5.1.
def test_stun_servers(zones):
    done = discover(zones.address, "--json", "stun:stun.example")
    assert done.returncode == 0, done.stdout + done.stderr
    assert servers(done) == ["udp 192.0.2.1:3479"]
    assert servers(done, "behaviour") == ["udp 192.0.2.1:3480"]
    done = discover(zones.address, "--json", "stuns:stun.example")
    assert servers(done) == ["tls 192.0.2.1:5350"]
    assert "no server for the discovery of NAT behaviour" in done.stdout


# More than fits into a datagram: c-ares asks again over TCP.
def test_more_records_than_are_looked_at(zones):
    done = discover(zones.address, "--json", "turn:many.example?transport=udp")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(servers(done)) == 16
    assert steps(done)[0]["text"].endswith("and more")


def test_a_name_that_does_not_exist(zones):
    done = discover(zones.address, "nowhere.example.net")
    assert done.returncode == 3
    assert "nowhere.example.net: no such name" in done.stdout
    assert "no TURN server was found" in done.stdout


def test_a_domain_that_the_dns_server_does_not_have(zones):
    done = discover(zones.address, "elsewhere.org")
    assert done.returncode == 3
    assert "refused" in done.stdout
    assert done.stdout.count("--dns ADDRESS") == 1
    assert "Put into the zone" not in done.stdout


def test_an_address_needs_no_dns(zones):
    done = discover(zones.address, "--json", "turn:127.0.0.1")
    assert done.returncode == 0
    assert servers(done) == ["udp 127.0.0.1:3478", "tcp 127.0.0.1:3478"]
    assert asked(done) == []


@pytest.fixture(name="serve_zone")
def serve_zone_fixture(tmp_path):
    """serve_zone(NAME=lines) starts a DNS server with that zone; its address."""
    if dns_server.PDNS is None:
        pytest.skip("PowerDNS is not installed")
    started = []

    def make(zones):
        started.append(dns_server.Zones(tmp_path, zones))
        return started[-1].address

    yield make
    for server in started:
        server.stop()


def tried(done):
    return {step["step"]: step for step in steps(done)}


def test_servers_that_are_found_are_tried(sterna, serve_zone):
    server, closed = sterna(), free_port()
    with FakeServer(lambda *_: 500) as fake:
        address = serve_zone({"try.example": [
            f"_turn._udp IN SRV 0 0 {server.port} a.try.example.",
            f"_turn._udp IN SRV 1 0 {closed} a.try.example.",
            f"_turn._udp IN SRV 2 0 {fake.port} a.try.example.",
            f"_turn._tcp IN SRV 0 0 {server.port} a.try.example.",
            f"_turn._tcp IN SRV 1 0 {closed} a.try.example.",
            f"_turns._tcp IN SRV 0 0 {closed} a.try.example.",
            "_turns._udp IN SRV 0 0 0 .",
            "a IN A 127.0.0.1"]})
        done = discover(address, "--json", "--contact", "try.example")
    assert done.returncode == 3
    found = tried(done)
    assert [found[f"server {n}"]["result"] for n in range(1, 7)] == ["ok", "failed", "failed", "ok", "failed", "failed"]
    for n in 1, 4:
        assert found[f"server {n}"]["values"]["mapped"].startswith("127.0.0.1:")
    assert "nobody listens" in found["server 2"]["advice"]
    assert "does not answer as a STUN or TURN server" in found["server 3"]["text"]
    assert "over TCP" in found["server 5"]["advice"]


# RFC 5928 section 5: the certificate names the domain that was given, not the server that the DNS leads to.
@pytest.mark.parametrize("name, authority, doubt", [
    ("try.example", True, ""),
    ("a.try.example", True, "mismatch"),
    ("try.example", False, "certificate"),
])
def test_secure_servers_are_tried(sterna, serve_zone, tmp_path, name, authority, doubt):
    certificates = streams.Certificates(tmp_path)
    cert, key = certificates.make(name)
    port = free_port()
    sterna(cert=cert, pkey=key, tls_listening_port=port, dtls=True)
    address = serve_zone({"try.example": [f"_turns._tcp IN SRV 0 0 {port} a.try.example.",
                                          f"_turns._udp IN SRV 0 0 {port} a.try.example.",
                                          "a IN A 127.0.0.1"]})
    trust = {"SSL_CERT_FILE": str(certificates.ca)} if authority else {}
    done = discover(address, "--json", "--contact", "turns:try.example", env={**os.environ, **trust})
    assert done.returncode == 0, done.stdout + done.stderr
    found = tried(done)
    for step, transport in ("server 1", "tls"), ("server 2", "dtls"):
        values = found[step]["values"]
        assert values["transport"] == transport
        assert values["mapped"].startswith("127.0.0.1:")
        assert found[step]["result"] == ("warning" if doubt else "ok"), done.stdout
        assert doubt in values.get("certificate", ""), done.stdout


def test_a_secure_port_without_tls(sterna, serve_zone):
    with FakeServer(lambda *_: 500) as fake, socket.create_server(("127.0.0.1", 0)) as plain:
        address = serve_zone({"try.example": [
            f"_turns._tcp IN SRV 0 0 {plain.getsockname()[1]} a.try.example.",
            f"_turns._udp IN SRV 0 0 {fake.port} a.try.example.",
            "a IN A 127.0.0.1"]})
        done = discover(address, "--json", "--contact", "--timeout", "1", "turns:try.example")
    found = tried(done)
    assert done.returncode == 3
    assert found["server 1"]["result"] == found["server 2"]["result"] == "failed"


def test_a_dns_server_that_is_not_there():
    done = discover(f"127.0.0.1:{free_port()}", "--timeout", "1", "example.org")
    assert done.returncode == 3
    assert "FAILED   NAPTR" in done.stdout
    assert "resolv.conf" in done.stdout


def test_a_dns_server_that_does_not_answer():
    with dns_server.Raw(lambda asked: None) as server:
        done = discover(server.address, "--timeout", "1", "turn:example.org?transport=udp")
    assert done.returncode == 3
    assert "FAILED   SRV" in done.stdout and "Timeout" in done.stdout


def reply(asked, count, *records):
    return asked[:2] + b"\x85\x80" + asked[4:6] + count.to_bytes(2, "big") + bytes(4) + asked[12:] + b"".join(records)


def record(kind, value):
    return b"\xc0\x0c" + kind.to_bytes(2, "big") + b"\0\1\0\0\0\1" + len(value).to_bytes(2, "big") + value


BAD = {
    "nothing in it": lambda asked: reply(asked, 1),
    "half a record": lambda asked: reply(asked, 1, record(33, b"\0\0\0\0\x0d\x96\1a\0")[:-4]),
    "a name that leads to itself": lambda asked: reply(asked, 1, record(33, b"\0\0\0\0\x0d\x96\xc0\x0c"[:6]
                                                                        + b"\xc0" + bytes([len(asked) + 18]))),
    "a naptr that is too short": lambda asked: reply(asked, 1, record(35, b"\0\1\0\1\xffS")),
    "random bytes": lambda asked: asked[:2] + b"\x85\x80" + os.urandom(40),
}


@pytest.mark.parametrize("name", BAD)
def test_a_dns_server_that_answers_nonsense(name):
    with dns_server.Raw(BAD[name]) as server:
        done = discover(server.address, "--timeout", "1", "example.org")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Sanitizer" not in done.stderr


# Bytes of the zone's choosing do not reach the terminal.
def test_control_characters_are_escaped():
    def answer(asked):
        if asked[-4:-2] != b"\0\x23":
            return reply(asked, 0)
        evil = b"\x1b[2J\xff\n"
        value = b"\0\1\0\1" + b"".join(bytes([len(part)]) + part for part in (b"S", b"RELAY:turn.udp" + evil, b""))
        return reply(asked, 1, record(35, value + bytes([len(evil)]) + evil + b"\0"))
    with dns_server.Raw(answer) as server:
        done = subprocess.run([STERNA, "probe", "--discover", "--dns", server.address, "example.org"],
                              capture_output=True, timeout=60, check=False)
    assert b"RELAY:turn.udp" in done.stdout
    assert not any(byte in done.stdout for byte in (b"\x1b", b"\xff"))


# RFC 8155 section 6, in a namespace where the anycast address is ours.
def test_anycast_servers(network, sterna):
    space = network.space("anycast")
    network.address(space, "lo", "192.0.0.10/32", "2001:1::2/128", "198.51.100.9/32")
    sterna(netns=space, listening_ip=["198.51.100.9", "192.0.0.10"], listening_port=3478, anycast_ip="192.0.0.10",
           no_auth=None, lt_cred_mech=True, user="alice:wonderland")

    def anycast(*args):
        command = ["ip", "netns", "exec", space, STERNA, "probe", "--discover", "--anycast", "--json", *args,
                   "198.51.100.9"]
        done = subprocess.run(command, input="wonderland\n", capture_output=True, text=True, timeout=LIMIT_S,
                              check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return [step for step in steps(done) if step["step"] == "anycast"]

    stranger, user = anycast(), anycast("-u", "alice", "--password-stdin")
    assert stranger[0]["values"]["code"] == 401
    assert "there is a TURN server" in stranger[0]["text"]
    assert user[0]["values"]["code"] == 300
    assert user[0]["values"]["alternate"] == "198.51.100.9:3478"
    assert "no server in this network" in user[1]["text"]


def test_without_the_option_nothing_is_sent_to_anycast_addresses(zones):
    done = discover(zones.address, "--json", "bare.example")
    assert steps(done)[-1]["step"] == "anycast" and steps(done)[-1]["result"] == "skipped"


@pytest.mark.parametrize("args, word", [
    (["--discover", "--nat", "example.org"], "at a time"),
    (["--dns", "127.0.0.1", "turn:host"], "--discover"),
    (["--contact", "turn:host"], "--discover"),
    (["--discover", "--dns", "localhost", "example.org"], "address"),
    (["--discover", "--dns", "127.0.0.1:0", "example.org"], "address"),
    (["--discover", "exa mple.org"], "letters"),
    (["--discover", "turn:example.org?transport=sctp"], "unknown"),
    (["--discover", "turn:example.org?port=1"], "transport"),
    (["--discover"], "which server"),
])
def test_wrong_usage_is_told(args, word):
    done = subprocess.run([STERNA, "probe", *args], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 2
    assert word in done.stderr

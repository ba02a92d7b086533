# SPDX-License-Identifier: Apache-2.0
"""NAT behaviour discovery (RFC 5780) and clients of RFC 3489, on real sockets: whence answers come, with every way by
which packets reach the workers."""
import itertools
import os
import re
import signal
import socket
import ssl
import struct
import subprocess

import pytest

import signed
import streams
import turn
from conftest import STERNA, inside
from test_engines import ENGINES

MAPPED, CHANGE_REQUEST, SOURCE, CHANGED = 0x0001, 0x0003, 0x0004, 0x0005
PADDING, RESPONSE_PORT, ORIGIN, OTHER = 0x0026, 0x0027, 0x802B, 0x802C
IP, PORT = 4, 2
PAIRS = [("198.51.100.1", "198.51.100.2"), ("2001:db8::1", "2001:db8::2")]
CLIENT = ("198.51.100.9", "2001:db8::9")
ALL = [address for pair in PAIRS for address in pair]
P1, P2, TLS1, TLS2 = 3478, 3479, 5349, 5350


def plain_address(value):
    """MAPPED-ADDRESS and those like it."""
    family, port = struct.unpack("!xBH", value[:4])
    return socket.inet_ntop(socket.AF_INET6 if family == 2 else socket.AF_INET, value[4:]), port


def change(flags):
    return CHANGE_REQUEST, struct.pack("!I", flags)


@pytest.fixture(name="host")
def host_fixture(network):
    """A host with two addresses of each family, and one of each for its client."""
    space = network.space("host")
    for address in (*ALL, *CLIENT):
        network.address(space, "lo", address + ("/128" if ":" in address else "/32"))
    return space


@pytest.fixture(name="client")
def client_fixture(network, host):
    """client(server): from an address that is none of the server's."""
    made = []

    def make(server):
        sock = network.socket(host, (CLIENT[":" in server[0]], 0))
        made.append(sock)
        return turn.Client(server, sock)

    yield make
    for sock in made:
        sock.close()


@pytest.fixture(name="start")
def start_fixture(sterna, host):
    def make(**options):
        return sterna(**{"netns": host, "listening_ip": ALL, "listening_port": P1, "rfc5780": True, **options})
    return make


def reload(server, **changes):
    before = server.text.count("reload.done")
    server.write_conf(**changes)
    server.signal(signal.SIGHUP)
    server.wait_log("reload.done", before + 1)


def ask_all(client, pair):
    """RFC 5780 section 6.1, table 1, from every address of the server."""
    for (i, da), dp in itertools.product(enumerate(pair), (P1, P2)):
        ca, cp = pair[1 - i], P1 + P2 - dp
        for flags, source in (0, (da, dp)), (PORT, (da, cp)), (IP, (ca, dp)), (IP | PORT, (ca, cp)):
            one = client((da, dp))
            message, heard = one.request(turn.BINDING, change(flags))
            assert message.code == 0 and heard == source
            assert plain_address(message.get(ORIGIN)) == source
            assert plain_address(message.get(OTHER)) == (ca, cp)
            mine = one.sock.getsockname()[:2]
            assert message.address(turn.XOR_MAPPED) == mine and plain_address(message.get(MAPPED)) == mine


# Proves T-5780-6-01, T-5780-6.1-03, T-5780-6.1-04, T-5780-6.1-05, T-5780-6.1-06, T-5780-6.1-07, T-5780-6.1-08
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("pair", PAIRS, ids=["IPv4", "IPv6"])
def test_answers_come_from_where_the_flags_say(start, client, engine, pair):
    start(relay_threads=2, **ENGINES[engine])
    ask_all(client, pair)


def test_a_client_with_a_socket_of_its_own(start, client, network, host):
    """network-engine=connected: that socket is connected to the port that the client sends from."""
    start(network_engine="connected", rfc5780_response_port=True)
    one = client((PAIRS[0][0], P1))
    assert one.allocate().code == 0
    for flags, source in (IP | PORT, (PAIRS[0][1], P2)), (PORT, (PAIRS[0][0], P2)), (0, (PAIRS[0][0], P1)):
        message, heard = one.request(turn.BINDING, change(flags))
        assert message.code == 0 and heard == source
    with network.socket(host, (CLIENT[0], 0)) as second:
        tid = os.urandom(12)
        port = struct.pack("!HH", second.getsockname()[1], 0)
        one.sock.sendto(turn.encode(turn.BINDING, [(RESPONSE_PORT, port)], tid), one.server)
        data, heard = second.recvfrom(2048)
        assert turn.Message(data).tid == tid and heard == (PAIRS[0][0], P1)
        assert turn.Message(data).address(turn.XOR_MAPPED) == one.sock.getsockname()
    assert one.refresh(600).code == 0


# Proves T-5780-6-02, T-5780-6-03
def test_one_address(start, client):
    server = start(listening_ip=[PAIRS[0][0], PAIRS[1][0]])
    assert "rfc5780 has no effect: it needs two addresses" in server.text
    for pair in PAIRS:
        one = client((pair[0], P1))
        assert one.request(turn.BINDING)[0].get(OTHER) is None
        for flags in range(0, 8, 2):
            message, _ = one.request(turn.BINDING, change(flags))
            assert message.code == 420
            assert message.get(signed.UNKNOWN_ATTRIBUTES) == struct.pack("!H", CHANGE_REQUEST)


def test_one_family_has_a_pair(start, client):
    start(listening_ip=[*PAIRS[0], PAIRS[1][0]])
    assert client((PAIRS[0][0], P1)).request(turn.BINDING)[0].get(OTHER) is not None
    assert client((PAIRS[1][0], P1)).request(turn.BINDING)[0].get(OTHER) is None


def test_public_addresses_are_told(start, client):
    public = "203.0.113.1", "203.0.113.2"
    server = start(external_ip=[f"{outside}/{inside}" for outside, inside in zip(public, PAIRS[0])])
    one = client((PAIRS[0][0], P1))
    message, heard = one.request(turn.BINDING, change(IP))
    assert heard == (PAIRS[0][1], P1) and plain_address(message.get(ORIGIN)) == (public[1], P1)
    assert plain_address(message.get(OTHER)) == (public[1], P2)
    assert "rfc5780 is not served" not in server.text


def test_one_public_address_for_both(start, client):
    """As coturn: not served."""
    server = start(external_ip="203.0.113.1", listening_ip=list(PAIRS[0]))
    assert "rfc5780 is not served over IPv4: external-ip gives both listening-ip the same" in server.text
    assert client((PAIRS[0][0], P1)).request(turn.BINDING, change(0))[0].code == 420


@pytest.fixture(scope="module", name="certificate")
def certificate_fixture(tmp_path_factory):
    return streams.Certificates(tmp_path_factory.mktemp("certificates")).make("turn.example")


def over(connection, *attributes):
    tid = os.urandom(12)
    connection.sendall(turn.encode(turn.BINDING, attributes, tid))
    message = turn.Message(connection.recv(2048))
    assert message.tid == tid
    return message


# Proves T-5780-6.1-12, T-5780-6-01
def test_connections(start, host, certificate):
    """The other address is told and served; a change is refused."""
    cert, key = certificate
    start(cert=cert, pkey=key)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for (i, da), (dp, cp, tls) in itertools.product(enumerate(PAIRS[0]), ((P1, P2, False), (P2, P1, False),
                                                                          (TLS1, TLS2, True), (TLS2, TLS1, True))):
        with inside(host):
            raw = socket.create_connection((da, dp), 5)
        with context.wrap_socket(raw) if tls else raw as connection:
            message = over(connection, change(0))
            assert message.code == 0 and plain_address(message.get(ORIGIN)) == (da, dp)
            assert plain_address(message.get(OTHER)) == (PAIRS[0][1 - i], cp)
            for flags in IP, PORT, IP | PORT:
                assert over(connection, change(flags)).code == 420


# Proves T-5780-6.1-09, T-5780-6.1-10, T-5780-7.5-01, T-5780-7.5-02, T-5780-7.5-03, T-5780-5.1-01
def test_padding_and_response_port(start, client):
    server = start()
    one = client((PAIRS[0][0], P1))
    second = client((PAIRS[0][0], P1))
    port = struct.pack("!HH", second.sock.getsockname()[1], 0)
    for kind, value in (PADDING, bytes(1500)), (RESPONSE_PORT, port):
        message, _ = one.request(turn.BINDING, (kind, value))
        assert message.code == 420 and message.get(signed.UNKNOWN_ATTRIBUTES) == struct.pack("!H", kind)
    reload(server, rfc5780_padding=True, rfc5780_response_port=True)
    for flags in 0, IP | PORT:
        message, _ = one.request(turn.BINDING, (PADDING, bytes(1500)), change(flags))
        assert message.code == 0 and len(message.get(PADDING)) == 1500
    assert one.request(turn.BINDING, (PADDING, bytes(1500)), (RESPONSE_PORT, port))[0].code == 400
    assert one.request(turn.BINDING, (PADDING, bytes(60000)))[0].code == 0
    tid = os.urandom(12)
    one.sock.sendto(turn.encode(turn.BINDING, [(RESPONSE_PORT, port)], tid), one.server)
    assert turn.Message(second.sock.recv(2048)).tid == tid


def test_it_comes_and_goes_with_a_reload(start, client):
    server = start(rfc5780=None)
    one = client((PAIRS[0][0], P1))
    allocation = client((PAIRS[0][0], P1))
    assert allocation.allocate().code == 0
    assert one.request(turn.BINDING, change(0))[0].code == 420
    reload(server, rfc5780=True)
    ask_all(client, PAIRS[0])
    reload(server, alt_listening_port=4000)
    message, heard = one.request(turn.BINDING, change(PORT))
    assert heard == (PAIRS[0][0], 4000) and plain_address(message.get(OTHER)) == (PAIRS[0][1], 4000)
    assert client((PAIRS[0][1], 4000)).request(turn.BINDING, change(IP))[1] == (PAIRS[0][0], 4000)
    reload(server, rfc5780=None)
    assert one.request(turn.BINDING, change(0))[0].code == 420
    assert one.request(turn.BINDING)[0].get(OTHER) is None
    reload(server, rfc5780=True, alt_listening_port=None)  # 3479 is opened again
    ask_all(client, PAIRS[0])
    assert allocation.refresh(600).code == 0


# Proves T-5780-5.2-01
def test_credentials_may_be_asked_for(start, network, host):
    start(**signed.LONG_TERM, secure_stun=True)
    with network.socket(host, (CLIENT[0], 0)) as sock:
        one = turn.Client((PAIRS[0][0], P1), sock)
        message, heard = one.request(turn.BINDING, change(IP))
        assert message.code == 401 and heard == one.server
        key = signed.hashlib.md5(b"user:" + message.get(signed.REALM) + b":pass").digest()
        tid = os.urandom(12)
        attributes = [change(IP), (signed.USERNAME, b"user"), (signed.REALM, message.get(signed.REALM)),
                      (signed.NONCE, message.get(signed.NONCE)),
                      (signed.PASSWORD_ALGORITHMS, message.get(signed.PASSWORD_ALGORITHMS)),
                      (0x001D, struct.pack("!HH", 1, 0))]
        sock.sendto(signed.message(turn.BINDING, attributes, tid, key), one.server)
        data, heard = sock.recvfrom(2048)
        message = turn.Message(data)
        assert message.code == 0 and heard == (PAIRS[0][1], P1)
        assert message.get(0x001C) is not None or message.get(signed.MESSAGE_INTEGRITY) is not None


@pytest.mark.parametrize("options, words", [
    ({"listening_ip": ["192.0.2.1"]}, "warning: .*rfc5780 has no effect: it needs two addresses"),
    ({"listening_ip": ["192.0.2.1", "192.0.2.1"]}, "rfc5780 has no effect"),
    ({"listening_ip": []}, "rfc5780 has no effect"),
    ({"alt_listening_port": 3478}, "error: .*alt-listening-port needs a port of its own: 3478 is listening-port"),
    ({"listening_port": 65535}, "error: .*rfc5780 needs a port beside listening-port"),
    ({"external_ip": ["203.0.113.1"]}, "rfc5780 is not served over IPv4"),
    ({"external_ip": ["203.0.113.1", "203.0.113.2/192.0.2.1"]}, "rfc5780 is not served over IPv4"),
    ({"no_stun": True}, "with no-stun, rfc5780 has no effect"),
    ({"rfc5780": None, "rfc5780_padding": True}, "'rfc5780-padding' has no effect without rfc5780"),
    ({"rfc3489_compatibility": True, "secure_stun": True}, "with secure-stun, rfc3489-compatibility has no effect"),
], ids=lambda value: None if isinstance(value, str) else "-".join(value))
def test_check_config_says_what_is_missing(tmp_path, options, words):
    conf = {"listening_ip": ["192.0.2.1", "192.0.2.2"], "static_auth_secret": "north", "rfc5780": True, **options}
    lines = [(name.replace("_", "-"), one) for name, value in conf.items()
             for one in (value if isinstance(value, list) else [value]) if one is not None]
    path = tmp_path / "sterna.conf"
    path.write_text("".join(f"{name}\n" if one is True else f"{name}={one}\n" for name, one in lines))
    done = subprocess.run([STERNA, "check-config", "-c", path], capture_output=True, text=True, timeout=30, check=False)
    assert re.search(words, done.stdout + done.stderr), done.stdout + done.stderr


def test_check_config_lists_the_ports(tmp_path):
    path = tmp_path / "sterna.conf"
    path.write_text("listening-ip=192.0.2.1\nlistening-ip=192.0.2.2\nlistening-ip=192.0.2.3\nrfc5780\nno-auth\n"
                    "stun-only\n")
    done = subprocess.run([STERNA, "check-config", "-c", path], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0
    for ip in "192.0.2.1", "192.0.2.2":
        for transport in "udp", "tcp":
            assert f"{ip}:3479/{transport}" in done.stdout
    assert "192.0.2.3:3478/udp" in done.stdout and "192.0.2.3:3479" not in done.stdout


# --- RFC 3489 ---------------------------------------------------------------------------------------------------------

def classic(sock, server, *attributes, kind=1):
    """A request without magic cookie, as RFC 3489 has them; (type, attributes, where the answer came from)."""
    tid = b"\xff" + os.urandom(15)
    body = b"".join(signed.attribute(*one) for one in attributes)
    sock.sendto(struct.pack("!HH", kind, len(body)) + tid + body, server)
    data, heard = sock.recvfrom(2048)
    assert data[4:20] == tid and struct.unpack("!H", data[2:4])[0] == len(data) - 20
    found, at = {}, 20
    while at < len(data):
        name, n = struct.unpack("!HH", data[at:at + 4])
        found[name] = data[at + 4:at + 4 + n]
        at += 4 + n + -n % 4
    return struct.unpack("!H", data[:2])[0], found, heard[:2]


# Proves T-5389-12.2-01, T-5389-12.2-02, T-5389-12.2-03, T-3489-8.1-01, T-8489-12-05
@pytest.mark.parametrize("engine", ["hashed", "connected", "paired", "dispatch"])
def test_classic_clients(start, client, engine):
    start(rfc3489_compatibility=True, **ENGINES[engine])
    one = client((PAIRS[0][0], P1))
    mine = one.sock.getsockname()
    for flags, source in ((0, (PAIRS[0][0], P1)), (PORT, (PAIRS[0][0], P2)), (IP, (PAIRS[0][1], P1)),
                          (IP | PORT, (PAIRS[0][1], P2))):
        kind, found, heard = classic(one.sock, one.server, change(flags))
        assert kind == 0x0101 and heard == source and plain_address(found[MAPPED]) == mine
        assert plain_address(found[SOURCE]) == source and plain_address(found[CHANGED]) == (PAIRS[0][1], P2)
        assert turn.XOR_MAPPED not in found
    victim = struct.pack("!BBH4s", 0, 1, 53, socket.inet_aton(PAIRS[0][1]))
    kind, found, heard = classic(one.sock, one.server, (0x0002, victim))
    assert kind == 0x0111 and heard == one.server
    assert found[signed.UNKNOWN_ATTRIBUTES] == struct.pack("!HH", 2, 2)


# Proves T-5389-12.2-04, T-8656-5-01
def test_classic_requests_are_dropped_unless_wanted(start, client):
    server = start()
    one = client((PAIRS[0][0], P1))
    one.sock.sendto(struct.pack("!HH", 1, 0) + bytes(16), one.server)
    reload(server, rfc3489_compatibility=True)
    one.sock.sendto(struct.pack("!HH", 3, 0) + bytes(16), one.server)  # Allocate: never
    kind, found, _ = classic(one.sock, one.server)  # the first answer that comes
    assert kind == 0x0101 and plain_address(found[MAPPED]) == one.sock.getsockname()

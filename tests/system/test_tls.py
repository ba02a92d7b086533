# SPDX-License-Identifier: Apache-2.0
"""TLS clients: certificates by name and their replacement, versions, protocols, and handshakes that stall."""
import os
import signal
import socket
import ssl
import subprocess
import time

import pytest

import signed
import streams
from conftest import free_port, wait_for

FIRST, SECOND, DEFAULT = "first.example", "second.example", "turn.example"
CHANNEL = 0x4000


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return streams.Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def server(sterna, certificates):
    """A server with one certificate, of turn.example."""
    cert, key = certificates.make(DEFAULT)
    return sterna(cert=cert, pkey=key, tls_listening_port=free_port())


@pytest.fixture
def trust(certificates):
    return certificates.context()


def secure_address(server):
    return "127.0.0.1", server.options["tls_listening_port"]


def tls_client(server, trust, name=DEFAULT):
    return streams.Client(secure_address(server), tls=trust, name=name)


def name_served(server, trust, name):
    """Of the certificate that a client asking for `name` is given."""
    trust.check_hostname = False
    connection = streams.dial(secure_address(server), tls=trust, name=name)
    connection.send(streams.binding())
    assert streams.is_binding_answer(connection.recv())
    got = streams.name_of(connection)
    connection.close()
    return got


# --- serving ---------------------------------------------------------------------------------------


# Proves T-7350-3-02 for TLS, T-8489-6.2.3-03
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_clients_are_served(server, certificates, version):
    trust = certificates.context(version)
    client = tls_client(server, trust)
    with signed.bound() as peer:
        client.allocated()
        assert client.bind(CHANNEL, peer.getsockname()).code == 0
        for length in (0, 1, 2, 3, 4, 1000, 20000):
            client.channel_send(CHANNEL, b"x" * length)
            assert peer.recvfrom(65536) == (b"x" * length, client.relayed)
            peer.sendto(b"y" * length, client.relayed)
            assert client.next()[4:] == b"y" * length
    client.sock.close()


def test_either_port_takes_plain_and_tls(server, trust):
    assert streams.is_served(server)
    assert streams.is_served(server, tls=trust, name=DEFAULT)
    connection = streams.dial(secure_address(server))
    connection.send(streams.binding())
    assert streams.is_binding_answer(connection.recv())
    connection.close()


# Proves T-8489-6.2.2-04 under TLS
def test_requests_may_be_pipelined(server, trust):
    tids = [os.urandom(12) for _ in range(500)]
    connection = streams.dial(secure_address(server), tls=trust, name=DEFAULT)
    connection.send(b"".join(streams.binding(tid) for tid in tids))
    for tid in tids:
        assert streams.is_binding_answer(connection.recv(), tid)
    connection.close()


def test_every_byte_by_itself(server, trust):
    """Every byte of the handshake and of a record in a segment of its own."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trust.wrap_bio(incoming, outgoing, server_hostname=DEFAULT)
    with socket.create_connection(secure_address(server), 20) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def step(what):
            while True:
                try:
                    result = what()
                except ssl.SSLWantReadError:
                    result = None
                for byte in outgoing.read():
                    sock.sendall(bytes([byte]))
                if result is not None:
                    return result
                data = sock.recv(65536)
                assert data
                incoming.write(data)

        step(lambda: tls.do_handshake() or True)
        step(lambda: tls.write(streams.binding()))
        assert streams.is_binding_answer(step(lambda: tls.read(1000)))


# --- certificates ----------------------------------------------------------------------------------


@pytest.fixture
def named(sterna, certificates):
    """A server with certificates for two names, and one for all others."""
    sections = []
    for name in DEFAULT, FIRST, SECOND:
        cert, key = certificates.make(name)
        head = "[tls]" if name == DEFAULT else f'[tls "{name}"]'
        sections.append(f"{head}\ncertificate={cert}\nprivate-key={key}\n")
    return streams.start_with_sections(sterna, "".join(sections), tls_listening_port=free_port())


# Proves K35
def test_the_name_picks_the_certificate(named, trust):
    for asked, given in (FIRST, FIRST), (SECOND, SECOND), ("other.example", DEFAULT), (None, DEFAULT):
        assert name_served(named, trust, asked) == given


# Proves K36
def test_a_reload_is_for_new_connections(sterna, certificates, trust):
    paths = certificates.make(FIRST, "live")
    server = sterna(cert=paths[0], pkey=paths[1], tls_listening_port=free_port())
    old = [tls_client(server, trust, FIRST) for _ in range(20)]
    for client in old:
        client.allocated()
    certificates.make(SECOND, "live")
    server.signal(signal.SIGHUP)
    wait_for(lambda: name_served(server, trust, SECOND) == SECOND, "the new certificate")
    for client in old:  # live on, with the old one
        assert client.refresh(600).code == 0
        assert streams.name_of(client.sock) == FIRST
        client.sock.close()


# Proves K36
def test_a_reload_with_a_bad_file_changes_nothing(sterna, certificates, trust):
    paths = certificates.make(FIRST, "fragile")
    server = sterna(cert=paths[0], pkey=paths[1], tls_listening_port=free_port())
    with open(paths[0], "w", encoding="utf-8") as broken:
        broken.write("no certificate\n")
    server.signal(signal.SIGHUP)
    server.wait_log("reload.refused")
    assert name_served(server, trust, FIRST) == FIRST


# --- what is refused -------------------------------------------------------------------------------


# Proves T-8489-6.2.3-07
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_are_refused(server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="(?i)version"):
        streams.dial(secure_address(server), tls=context)


# Proves T-8489-6.2.3-05
def test_weak_suites_are_refused(server):
    for suites in "aNULL:@SECLEVEL=0", "eNULL:@SECLEVEL=0", "AES128-SHA:@SECLEVEL=0":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(suites)
        with pytest.raises(ssl.SSLError, match="(?i)alert handshake.failure"):
            streams.dial(secure_address(server), tls=context)


# Proves T-8489-6.2.3-06
def test_there_is_no_compression(server, trust):
    connection = streams.dial(secure_address(server), tls=trust, name=DEFAULT)
    assert connection.compression() is None
    connection.close()


# Proves K34
def test_renegotiation_is_refused(server, certificates):
    """s_client asks for it with "R"; the server goes on, whatever becomes of that connection."""
    address = ":".join(map(str, secure_address(server)))
    done = subprocess.run(["openssl", "s_client", "-connect", address, "-tls1_2", "-CAfile", str(certificates.ca)],
                          input=b"R\n", capture_output=True, timeout=60, check=False)
    assert b"RENEGOTIATING" in done.stdout + done.stderr
    assert b"verify return:1" not in done.stderr.split(b"RENEGOTIATING")[-1]  # no second handshake
    assert streams.is_served(server)


# Proves T-7443-2-01
@pytest.mark.parametrize("offer, chosen", [(["stun.turn"], "stun.turn"),
                                           (["stun.nat-discovery"], "stun.nat-discovery"),
                                           (["http/1.1", "stun.turn"], "stun.turn"),
                                           (None, None)])
def test_protocols_are_negotiated(server, certificates, offer, chosen):
    connection = streams.dial(secure_address(server), tls=certificates.context(alpn=offer), name=DEFAULT)
    assert connection.selected_alpn_protocol() == chosen
    connection.send(streams.binding())
    assert streams.is_binding_answer(connection.recv())
    connection.close()


# Proves T-7443-2-01
def test_unknown_protocols_are_refused(server, certificates):
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        streams.dial(secure_address(server), tls=certificates.context(alpn=["h2"]), name=DEFAULT)


# --- ends and stalls -------------------------------------------------------------------------------


def test_a_stalled_handshake_ends(sterna, certificates, trust):
    cert, key = certificates.make(DEFAULT)
    server = sterna(cert=cert, pkey=key, tls_listening_port=free_port(), tls_handshake_timeout=2)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        trust.wrap_bio(incoming, outgoing, server_hostname=DEFAULT).do_handshake()
    hello = outgoing.read()
    connection = streams.dial(secure_address(server))
    begin = time.monotonic()
    connection.send(hello[:-1])
    assert streams.is_served(server, tls=trust, name=DEFAULT)  # nobody waits for it
    connection.end()
    assert 1.8 <= time.monotonic() - begin < 8
    connection.close()


# Proves K39
def test_an_idle_client_is_told_goodbye(sterna, certificates, trust):
    cert, key = certificates.make(DEFAULT)
    server = sterna(cert=cert, pkey=key, tls_listening_port=free_port(), tcp_idle_timeout=1)
    trust.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # a mere FIN is an error then
    connection = streams.dial(secure_address(server), tls=trust, name=DEFAULT)
    connection.send(streams.binding())
    assert streams.is_binding_answer(connection.recv())
    assert connection.sock.recv(1) == b""  # close_notify
    connection.close()


def test_sessions_are_resumed_after_a_reload(server, certificates):
    context = certificates.context(ssl.TLSVersion.TLSv1_2)
    first = streams.dial(secure_address(server), tls=context, name=DEFAULT)
    session = first.sock.session
    first.close()
    server.signal(signal.SIGHUP)
    server.wait_log("reload.done")
    with socket.create_connection(secure_address(server), 20) as sock, \
            context.wrap_socket(sock, server_hostname=DEFAULT, session=session) as second:
        assert second.session_reused


def test_handshakes_beyond_the_rate_wait(sterna, certificates, trust):
    cert, key = certificates.make(DEFAULT)
    server = sterna(cert=cert, pkey=key, tls_listening_port=free_port(), tls_handshake_rate=20, relay_threads=1)
    begin = time.monotonic()
    for _ in range(30):
        assert streams.is_served(server, tls=trust, name=DEFAULT)
    assert time.monotonic() - begin > 1.0  # 30 at 20 a second, a few of them at once

# SPDX-License-Identifier: Apache-2.0
"""coturn's own client over TCP, TLS and DTLS, and with TCP relays (RFC 6062).

Ways of Debian's client (4.6.1) that shape these tests:
- It takes 100 ms a client to begin, so 100 clients are five processes at a time.
- With -T each of its clients connects to every other: 20 clients are 190 connections of the relay, 380 of clients.
- With -P only what its plain TCP peers send is counted: they read nothing that is not STUN, so half of all arrives.
  -P -S cannot be: the client wants TLS from its own peers, too.
- Over TLS it asks select(2) while OpenSSL already holds the next message for it: what is left there at the end it
  counts as lost, with coturn as the server, too (10 of 24 runs lost something).  There the server's own account
  tells whether all was delivered.
- It offers one version of (D)TLS at random, from TLS 1.0 up, and tries again when that is refused.
"""
import concurrent.futures

import pytest

from test_uclient import uclient

MESSAGES = 20
PROCESSES = 5
TRANSPORTS = {"TCP": ["-t"], "TLS": ["-t", "-S"], "DTLS": ["-S"]}
TCP_RELAYS = {"TCP": ["-T"], "TLS": ["-T", "-S"]}
FAMILIES = {"IPv4": ("127.0.0.1", []), "IPv6": ("::1", ["-x"])}

families = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES.keys())


def run(server, echo_peer, flags, family, clients=1, messages=MESSAGES, **where):
    """One process of the client, on the port that is meant for these flags."""
    host, more = family
    port = server.tls_port if "-S" in flags else server.port
    return uclient(server, echo_peer, "-n", str(messages), "-c", "-m", str(clients), *flags, *more, host=host,
                   peer=host, **{"port": port, **where})


def run_many(server, echo_peer, flags, family, clients, processes=PROCESSES):
    with concurrent.futures.ThreadPoolExecutor(processes) as pool:
        runs = [pool.submit(run, server, echo_peer, flags, family, clients) for _ in range(processes)]
        return [one.result() for one in runs]


def expect_all(outcome, messages):
    code, sent, received, output = outcome
    assert code == 0, output
    assert sent == messages and received == sent, output


def expect_relayed(server, outcomes, flags, messages):
    """Each outcome is of a process that has sent so many messages, and had all of them echoed."""
    for outcome in outcomes:
        code, sent, received, output = outcome
        assert code == 0 and sent == messages, output
        assert received == sent or ("-t" in flags and "-S" in flags), output
    assert server.delivered() == len(outcomes) * messages


@families
@pytest.mark.parametrize("flags", TRANSPORTS.values(), ids=TRANSPORTS.keys())
def test_zero_loss(stream_server, echo_peer, flags, family):
    server = stream_server()
    expect_relayed(server, [run(server, echo_peer, flags, family)], flags, MESSAGES)


@pytest.mark.long
@families
@pytest.mark.parametrize("flags", TRANSPORTS.values(), ids=TRANSPORTS.keys())
def test_zero_loss_with_100_clients(stream_server, echo_peer, flags, family):
    server = stream_server()
    expect_relayed(server, run_many(server, echo_peer, flags, family, 20), flags, 20 * MESSAGES)


@pytest.mark.parametrize("flags", TRANSPORTS.values(), ids=TRANSPORTS.keys())
def test_either_port_takes_all(stream_server, echo_peer, flags):
    server = stream_server()
    other = server.port if "-S" in flags else server.tls_port
    expect_relayed(server, [run(server, echo_peer, flags, FAMILIES["IPv4"], port=other)], flags, MESSAGES)


LENGTHS = {"TCP, padded": ["-t", "-l", "171"], "TCP, 1200 bytes": ["-t", "-l", "1200"],
           "TCP, 8000 bytes": ["-t", "-l", "8000"], "TCP, Send and Data": ["-t", "-s", "-l", "171"],
           "TLS, padded": ["-t", "-S", "-l", "171"], "TLS, 8000 bytes": ["-t", "-S", "-l", "8000"],
           "DTLS, padded": ["-S", "-D", "-l", "171"], "DTLS, Send and Data": ["-S", "-s", "-l", "171"]}


@pytest.mark.long
@pytest.mark.parametrize("flags", LENGTHS.values(), ids=LENGTHS.keys())
def test_lengths(stream_server, echo_peer, flags):
    server = stream_server()
    expect_relayed(server, [run(server, echo_peer, flags, FAMILIES["IPv4"])], flags, MESSAGES)


@families
@pytest.mark.parametrize("flags", TCP_RELAYS.values(), ids=TCP_RELAYS.keys())
def test_tcp_relay(stream_server, echo_peer, flags, family):
    """Two clients, for the client has nobody else to connect to."""
    expect_all(run(stream_server(), echo_peer, flags, family), 2 * MESSAGES)


@pytest.mark.long
@families
@pytest.mark.parametrize("flags", TCP_RELAYS.values(), ids=TCP_RELAYS.keys())
def test_tcp_relay_with_100_clients(stream_server, echo_peer, flags, family):
    for outcome in run_many(stream_server(), echo_peer, flags, family, 20):
        expect_all(outcome, 20 * MESSAGES)


@pytest.mark.long
def test_tcp_relay_connected_to(stream_server, echo_peer):
    """-P, with 1 and with 50 peers a family at once: each run waits in vain for what its peers do not read."""
    server = stream_server()
    runs = [(family, clients) for family in FAMILIES.values() for clients in (2, 20, 20, 20, 20, 20)]
    with concurrent.futures.ThreadPoolExecutor(len(runs)) as pool:
        outcomes = list(pool.map(lambda one: run(server, echo_peer, ["-T", "-P"], *one), runs))
    for (_, clients), (code, sent, received, output) in zip(runs, outcomes):
        assert code == 0, output
        assert sent == clients * MESSAGES and received == sent // 2, output


def identity(certificates):
    return ["-i", str(certificates.client), "-k", str(certificates.client_key), "-E", str(certificates.ca)]


@pytest.mark.parametrize("flags", [*TRANSPORTS.values()][1:] + [["-T", "-S"]], ids=["TLS", "DTLS", "TLS, TCP relay"])
def test_client_certificate(stream_server, echo_peer, certificates, flags):
    """Both sides prove who they are, to the same authority."""
    server = stream_server(CA_file=certificates.ca)
    outcome = run(server, echo_peer, flags + identity(certificates), FAMILIES["IPv4"])
    if "-T" in flags:
        expect_all(outcome, 2 * MESSAGES)
    else:
        expect_relayed(server, [outcome], flags, MESSAGES)


@pytest.mark.parametrize("flags", [*TRANSPORTS.values()][1:], ids=["TLS", "DTLS"])
def test_without_client_certificate_is_refused(stream_server, echo_peer, certificates, flags):
    server = stream_server(CA_file=certificates.ca)
    code, sent, _, output = run(server, echo_peer, flags, FAMILIES["IPv4"], timeout=60)
    assert code != 0 and sent == 0, output
    expect_all(run(server, echo_peer, ["-t"], FAMILIES["IPv4"]), MESSAGES)

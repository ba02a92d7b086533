# SPDX-License-Identifier: Apache-2.0
"""coturn's own client over TCP, TLS and DTLS, and with TCP relays (RFC 6062).

Ways of Debian's client (4.6.1) that shape these tests:
- It takes 100 ms a client to begin and up to 6 s to send, so 100 clients are ten processes, and what can runs at once.
- With -T each of its clients connects to every other: 10 clients are 45 connections of the relay, 90 of clients.
- With -P only what its plain TCP peers send is counted: they read nothing that is not STUN, so half of all arrives.
  -P -S cannot be: the client wants TLS from its own peers, too.
- It offers one version of (D)TLS at random, from TLS 1.0 up, and tries again when that is refused.
- Over TLS it takes what one record holds for one message.  When it is late it sends many at once, so that answers share
  a record (coturn's do, too), and it counts the others as lost: over TLS its messages lie half a second apart.
"""
import concurrent.futures

import pytest

from test_uclient import uclient

MESSAGES = 20
TLS = ["-t", "-S", "-n", "5", "-z", "500"]
TRANSPORTS = {"TCP": ["-t"], "TLS": TLS, "DTLS": ["-S"]}
TCP_RELAYS = {"TCP": ["-T"], "TLS": ["-T", "-S"]}
IPV4, IPV6 = ("127.0.0.1", []), ("::1", ["-x"])

families = pytest.mark.parametrize("family", [IPV4, IPV6], ids=["IPv4", "IPv6"])
transports = pytest.mark.parametrize("flags", TRANSPORTS.values(), ids=TRANSPORTS.keys())
tcp_relays = pytest.mark.parametrize("flags", TCP_RELAYS.values(), ids=TCP_RELAYS.keys())


def run(server, echo_peer, flags, family=IPV4, clients=1, **where):
    """One process of the client, on the port that is meant for these flags."""
    host, more = family
    port = server.tls_port if "-S" in flags else server.port
    return uclient(server, echo_peer, "-n", str(MESSAGES), "-c", "-m", str(clients), *flags, *more, host=host,
                   peer=host, **{"port": port, **where})


def run_at_once(server, echo_peer, runs):
    """Each of the runs, which are arguments of run(), in a process of its own."""
    with concurrent.futures.ThreadPoolExecutor(len(runs)) as pool:
        return list(pool.map(lambda one: run(server, echo_peer, **one), runs))


def expected(flags, clients=1, **_):
    """Messages of a run: TCP relays need a second client."""
    each = int(flags[flags.index("-n") + 1]) if "-n" in flags else MESSAGES
    return each * max(clients, 2 if "-T" in flags else 1)


def expect_all(server, echo_peer, runs):
    """Run them at once, and nothing is lost."""
    for one, (code, sent, received, output) in zip(runs, run_at_once(server, echo_peer, runs)):
        assert code == 0, f"{one}\n{output}"
        assert sent == expected(**one) and received == sent, f"{one}\n{output}"


@transports
def test_zero_loss(stream_server, echo_peer, flags):
    expect_all(stream_server(), echo_peer, [{"flags": flags, "family": family} for family in (IPV4, IPV6)])


@pytest.mark.long  # the client binds anew, and in vain, when an answer takes it too long
@families
@transports
def test_zero_loss_with_100_clients(stream_server, echo_peer, flags, family):
    expect_all(stream_server(), echo_peer, [{"flags": flags, "family": family, "clients": 10}] * 10)


def test_either_port_takes_all(stream_server, echo_peer):
    server = stream_server()
    expect_all(server, echo_peer, [{"flags": flags, "port": server.port if "-S" in flags else server.tls_port}
                                  for flags in TRANSPORTS.values()])


LENGTHS = {"TCP": [["-t", "-l", "171"], ["-t", "-l", "1200"], ["-t", "-l", "8000"], ["-t", "-s", "-l", "171"]],
           "TLS": [TLS + ["-l", "171"], TLS + ["-l", "8000"], TLS + ["-s", "-l", "171"]],
           "DTLS": [["-S", "-l", "171"], ["-S", "-D", "-l", "171"], ["-S", "-s", "-l", "171"]]}


@pytest.mark.parametrize("kinds", LENGTHS.values(), ids=LENGTHS.keys())
def test_lengths_and_send(stream_server, echo_peer, kinds):
    """Lengths that are padded and not, and indications in the place of channels."""
    expect_all(stream_server(), echo_peer, [{"flags": flags} for flags in kinds])


@tcp_relays
def test_tcp_relay(stream_server, echo_peer, flags):
    """Two clients, for the client has nobody else to connect to."""
    runs = [{"flags": flags, "family": family} for family in (IPV4, IPV6)]
    expect_all(stream_server(), echo_peer, runs)


@families
@tcp_relays
def test_tcp_relay_with_100_clients(stream_server, echo_peer, flags, family):
    expect_all(stream_server(), echo_peer, [{"flags": flags, "family": family, "clients": 10}] * 10)


def test_tcp_relay_connected_to(stream_server, echo_peer):
    """-P, with 1 and with 50 peers a family: each run waits in vain for what its peers do not read."""
    runs = [{"flags": ["-T", "-P"], "family": family, "clients": clients}
            for family in (IPV4, IPV6) for clients in (2, 20, 20, 20, 20, 20)]
    for one, outcome in zip(runs, run_at_once(stream_server(), echo_peer, runs)):
        code, sent, received, output = outcome
        assert code == 0, f"{one}\n{output}"
        assert sent == expected(**one) and received == sent // 2, f"{one}\n{output}"


def identity(certificates):
    return ["-i", str(certificates.client), "-k", str(certificates.client_key), "-E", str(certificates.ca)]


def test_client_certificate(stream_server, echo_peer, certificates):
    """Both sides prove who they are, to the same authority."""
    server = stream_server(CA_file=certificates.ca)
    expect_all(server, echo_peer, [{"flags": flags + identity(certificates)} for flags in (TLS, ["-S"], ["-T", "-S"])])


def test_without_client_certificate_is_refused(stream_server, echo_peer, certificates):
    server = stream_server(CA_file=certificates.ca)
    for code, sent, _, output in run_at_once(server, echo_peer, [{"flags": TLS}, {"flags": ["-S"]}]):
        assert code != 0 and sent == 0, output
    expect_all(server, echo_peer, [{"flags": ["-t"]}])

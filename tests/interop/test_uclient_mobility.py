# SPDX-License-Identifier: Apache-2.0
"""coturn's own client moves (-M, RFC 8016): once it has its allocation it comes back by another socket with its ticket,
which it keeps in a string of 32 characters; it sends each such Refresh twice.

It throws dice whether the old socket is closed before that, or after it. Under TLS and DTLS one side of the dice frees
the old connection twice, and then it cannot send ("send: Success"), with any server: what counts there is that who
could go on has lost nothing."""
import signal

import pytest

from conftest import KIND
from test_uclient_streams import IPV4, IPV6, TRANSPORTS, expected, run_at_once

PLAIN = {"UDP": [], "TCP": TRANSPORTS["TCP"]}
SECURE = {name: TRANSPORTS[name] for name in ("TLS", "DTLS")}
ENGINES = ["reuseport", "connected", "paired", "dispatch"]
OWN_FAULT = "send: Success"
OWN_ENDS = (-signal.SIGSEGV, -signal.SIGABRT)  # it frees its old SSL twice
RUNS = 16  # of which about half get on


def mobile(stream_server, **options):
    return stream_server(mobility=True, **(options if KIND == "sterna" else {}))


def judge(one, code, sent, received, output):
    assert code == 0, f"{one}\n{output}"
    assert sent == expected(**one) and received == sent, f"{one}\n{output}"


def moves(server):
    return server.log.read_text(errors="replace").count("allocation.moved")


def run(server, echo_peer, runs):
    """Run them at once: who is not stopped by his own fault loses nothing.  How many those were."""
    well = 0
    for one, result in zip(runs, run_at_once(server, echo_peer, runs)):
        if "-S" in one["flags"] and (OWN_FAULT in result[3] or result[0] in OWN_ENDS):
            continue
        judge(one, *result)
        well += one.get("clients", 1)
    return well


@pytest.mark.parametrize("flags", PLAIN.values(), ids=PLAIN.keys())
def test_zero_loss_after_a_move(stream_server, echo_peer, flags):
    server = mobile(stream_server)
    runs = [{"flags": ["-M", *flags], "family": family, "clients": 4} for family in (IPV4, IPV6)] * 3
    assert run(server, echo_peer, runs) == 24
    assert KIND != "sterna" or moves(server) >= 24


@pytest.mark.parametrize("flags", SECURE.values(), ids=SECURE.keys())
def test_zero_loss_after_a_secured_move(stream_server, echo_peer, flags):
    server = mobile(stream_server)
    runs = [{"flags": ["-M", *flags], "family": (IPV4, IPV6)[i % 2]} for i in range(RUNS)]
    well = run(server, echo_peer, runs)
    assert well > 0
    assert KIND != "sterna" or moves(server) >= well


@pytest.mark.parametrize("engine", ENGINES)
def test_many_clients_and_workers(stream_server, echo_peer, engine):
    server = mobile(stream_server, network_engine=engine, relay_threads=2)
    runs = [{"flags": ["-M", *flags], "clients": 5} for flags in PLAIN.values()] * 2
    runs += [{"flags": ["-M", *flags]} for flags in SECURE.values()] * 3
    well = run(server, echo_peer, runs)
    assert well >= 20
    assert KIND != "sterna" or moves(server) >= well

# SPDX-License-Identifier: Apache-2.0
"""sterna probe --mobility: do clients keep their call when they change networks (RFC 8016)?"""
import os
import random

import pytest

import turn
from fake_server import FakeServer
from test_probe import Server, probe, steps_of

CREDENTIALS = ["-u", "alice", "--password-stdin"]


def probe_mobility(server, *args):
    return probe(server.uri, "--mobility", *CREDENTIALS, *args, stdin="wonderland\n")


def test_a_server_that_lets_clients_move(tmp_path):
    with Server("sterna", tmp_path, ["mobility", "log-min-level=info"]) as server:
        done = probe_mobility(server, "--json")
    steps = steps_of(done)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(step["result"] == "ok" for step in steps.values()), done.stdout
    assert steps["move"]["values"]["from"] != steps["move"]["values"]["to"]
    assert steps["echo after"]["values"]["received"] == 20
    assert steps["old ticket"]["values"]["code"] == 400
    assert steps["mobility"]["values"]["mobility"] is True
    assert server.log.read_text().count("allocation.moved") == 2


def test_the_server_of_coturn_lets_clients_move(tmp_path):
    with Server("coturn", tmp_path, ["mobility"]) as server:
        done = probe_mobility(server, "--json")
    steps = steps_of(done)
    assert steps["move"]["result"] == "ok", done.stdout
    assert steps["echo after"]["values"]["received"] == 20
    assert steps["mobility"]["values"]["mobility"] is True


def test_the_finding_is_told_in_plain_words(tmp_path):
    with Server("sterna", tmp_path, ["mobility"]) as server:
        done = probe_mobility(server)
    assert "clients keep their call when they change networks" in done.stdout
    assert "wonderland" not in done.stdout + done.stderr


def test_over_ipv6(tmp_path):
    with Server("sterna", tmp_path, ["mobility"], ip="::1") as server:
        done = probe_mobility(server, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert steps_of(done)["move"]["values"]["to"].startswith("[::1]:")


@pytest.mark.parametrize("kind", ["sterna", "coturn"])
def test_a_server_that_forbids_it(kind, tmp_path):
    with Server(kind, tmp_path) as server:
        done = probe_mobility(server, "--json")
    steps = steps_of(done)
    assert done.returncode == 3
    assert steps["allocate"]["values"]["code"] == 405
    assert "set mobility" in steps["allocate"]["advice"]
    assert steps["move"]["result"] == "skipped"


def test_no_second_allocation_leaves_the_move_to_be_seen(tmp_path):
    with Server("sterna", tmp_path, ["mobility", "user-quota=1"]) as server:
        done = probe_mobility(server, "--json")
    steps = steps_of(done)
    assert done.returncode == 3
    assert steps["second allocate"]["values"]["code"] == 486
    assert steps["move"]["result"] == "ok"
    assert steps["echo after"]["result"] == "skipped"
    assert steps["mobility"]["result"] == "failed"


def relayed(tid):
    return turn.XOR_RELAYED, turn.xor_address(("127.0.0.1", random.randrange(1024, 65536)), tid)


def mapped(tid):
    return turn.XOR_MAPPED, turn.xor_address(("127.0.0.1", 1024), tid)


# A server of RFC 5766 ignores the attribute, which is comprehension-optional (RFC 8016 section 4).
def test_a_server_that_does_not_know_it():
    def answers(method, _raw):
        return {turn.BINDING: [mapped], turn.ALLOCATE: [relayed], turn.REFRESH: []}.get(method, 400)
    with FakeServer(answers) as fake:
        done = probe(fake.uri, "--mobility", "--json")
    steps = steps_of(done)
    assert done.returncode == 3
    assert "no ticket" in steps["allocate"]["text"]
    assert "RFC 8016" in steps["allocate"]["advice"]


def test_a_server_that_takes_used_tickets():
    def answers(method, raw):
        ticket = (turn.MOBILITY_TICKET, os.urandom(8))
        answer = {turn.BINDING: [mapped], turn.ALLOCATE: [relayed], turn.REFRESH: []}.get(method, 400)
        return [*answer, ticket] if bytes([0x80, 0x30]) in raw and answer != 400 else answer
    with FakeServer(answers) as fake:
        done = probe(fake.uri, "--mobility", "--json")
    steps = steps_of(done)
    assert done.returncode == 3
    assert steps["move"]["result"] == "ok"
    assert steps["old ticket"]["result"] == "failed"
    assert "take the call over" in steps["old ticket"]["advice"]


def test_a_ticket_that_is_not_taken():
    def answers(method, raw):
        if method == turn.REFRESH and bytes([0x80, 0x30]) in raw:
            return 437
        return {turn.BINDING: [mapped], turn.REFRESH: [],
                turn.ALLOCATE: [relayed, (turn.MOBILITY_TICKET, b"ticket")]}.get(method, 400)
    with FakeServer(answers) as fake:
        done = probe(fake.uri, "--mobility", "--json")
    steps = steps_of(done)
    assert done.returncode == 3
    assert steps["move"]["values"]["code"] == 437
    assert "same one" in steps["move"]["advice"]
    assert steps["mobility"]["values"]["mobility"] is False


@pytest.mark.parametrize("args, word", [
    (["--mobility", "stun:host"], "turn:HOST"),
    (["--mobility"], "which server"),
])
def test_wrong_usage_is_told(args, word):
    done = probe(*reversed(args))
    assert done.returncode == 2
    assert word in done.stderr

# SPDX-License-Identifier: Apache-2.0
"""Clients that are sent to another server, or to another address of this one (RFC 8489 section 10)."""
import contextlib
import os
import re
import signal
import socket
import struct
import subprocess

import pytest

import signed
import streams
import turn
from conftest import STERNA, free_port, wait_for

HOST = "127.0.0.1"
ALTERNATE_SERVER = 0x8023
TRY_ALTERNATE, FORBIDDEN, FULL = 300, 403, 508
CHANNEL = 0x4000


def alternates(answer):
    """The addresses of a 300, in their order."""
    found = []
    for kind, value in answer.attributes:
        if kind == ALTERNATE_SERVER:
            port, ip = struct.unpack("!H", value[2:4])[0], value[4:]
            found.append((socket.inet_ntop(socket.AF_INET6 if value[1] == 2 else socket.AF_INET, ip), port))
    return found


def ask_at(address, sock=None):
    """Ask for an allocation there: the client, and the answer."""
    client = signed.Client(address, sock=sock)
    return client, client.allocate()


def follow(address, limit, sock=None):
    """Go wherever a 300 leads, from `sock` or from a new socket each time: the client, the last answer and how often
    it was sent on."""
    for times in range(limit):
        client, answer = ask_at(address, sock)
        if answer.code != TRY_ALTERNATE:
            return client, answer, times
        address = alternates(answer)[0]
        if sock is None:
            client.sock.close()
    raise AssertionError(f"sent on {limit} times")


def pair(sterna, **options):
    """Two servers that name each other."""
    ports = [free_port(), free_port()]
    return [sterna(**signed.LONG_TERM, listening_port=mine, alternate_server=f"{HOST}:{other}", relay_threads=1,
                   **options)
            for mine, other in (ports, ports[::-1])]


# --- never a loop ----------------------------------------------------------------------------------


# Proves T-8489-10-01
def test_servers_that_name_each_other_serve_in_the_end(sterna):
    one, _ = pair(sterna)
    with contextlib.closing(signed.bound()) as sock:
        client, answer, times = follow(one.address, 20, sock)
        assert answer.code == 0 and times == 6  # three times by each
        assert client.refresh(0).code == 0


def test_a_new_socket_each_time_does_not_go_round_for_ever(sterna):
    one, _ = pair(sterna)
    client, answer, times = follow(one.address, 500)
    assert answer.code == 0 and times >= 60
    client.sock.close()


def test_balancers_that_name_each_other_refuse_in_the_end(sterna):
    one, _ = pair(sterna, redirect_only=True)
    with contextlib.closing(signed.bound()) as sock:
        _, answer, times = follow(one.address, 20, sock)
        assert answer.code == FULL and times == 6


def run_uclient(server, *flags):
    """coturn's client, two of it that talk with each other; sent and received messages, and what it has said."""
    done = subprocess.run(["turnutils_uclient", "-p", str(server.port), "-u", "user", "-w", "pass", "-y", "-m", "2",
                           "-n", "20", "-c", *flags, HOST], capture_output=True, text=True, timeout=120, check=False)
    output = done.stdout + done.stderr
    totals = re.findall(r"tot_send_msgs=(\d+), tot_recv_msgs=(\d+)", output)
    assert done.returncode == 0 and totals, output
    return (*map(int, totals[-1]), output)


# --- roles -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [[], ["-t"]], ids=["udp", "tcp"])
def test_a_balancer_spreads_real_clients_and_serves_none(sterna, flags):
    servers = [sterna(**signed.LONG_TERM, rfc5766_channel_numbers=True) for _ in range(2)]
    balancer = sterna(**signed.LONG_TERM, redirect_only=True, relay_threads=1,
                      alternate_server=[f"{HOST}:{server.port}" for server in servers])
    sent, received, output = run_uclient(balancer, *flags)
    assert sent > 0 and received == sent, output
    assert "allocation.created" not in balancer.text
    assert any("allocation.created" in server.text for server in servers)


def test_a_balancer_names_its_servers_in_turn(sterna):
    servers = [(HOST, free_port()) for _ in range(3)]
    balancer = sterna(**signed.LONG_TERM, redirect_only=True, relay_threads=1,
                      alternate_server=[f"{ip}:{port}" for ip, port in servers])
    told = []
    for _ in range(6):
        client, answer = ask_at(balancer.address)
        with client:
            told += alternates(answer)
    assert told == servers * 2


def test_a_balancer_answers_binding_and_refuses_whom_it_cannot_help(sterna):
    balancer = sterna(**signed.LONG_TERM, redirect_only=True, alternate_server=f"{HOST}:{free_port()}")
    client, answer = ask_at(("::1", balancer.port))
    with client:
        assert answer.code == FULL
        assert client.ask(turn.BINDING).code == 0


def check(tmp_path, text):
    conf = tmp_path / "checked.conf"
    conf.write_text(text, encoding="utf-8")
    return subprocess.run([STERNA, "check-config", "-c", str(conf)], capture_output=True, text=True, timeout=30,
                          check=False, env={"PATH": os.environ["PATH"]})


def test_check_config_tells_what_cannot_work(tmp_path):
    user = "realm=x\nlt-cred-mech\nuser=a:b\nlistening-ip=127.0.0.1\n"
    done = check(tmp_path, user + "redirect-only\n")
    assert done.returncode != 0 and "name a server that clients are sent to" in done.stdout + done.stderr
    done = check(tmp_path, user + "alternate-server=127.0.0.1\n")
    assert "is an address of this server itself" in done.stdout + done.stderr


def test_an_alternate_that_is_this_server_is_left_out(sterna):
    port = free_port()
    server = sterna(**signed.LONG_TERM, listening_port=port, alternate_server=f"{HOST}:{port}")
    assert "alternates.left_out" in server.text
    client, answer = ask_at(server.address)
    with client:
        assert answer.code == 0


# --- drain -----------------------------------------------------------------------------------------


def test_drain_sends_clients_away_where_it_knows_of_another_server(sterna):
    server, other = (sterna(**signed.LONG_TERM) for _ in range(2))
    with signed.client(server) as old:
        assert old.allocate().code == 0
        server.write_conf(alternate_server=f"{HOST}:{other.port}")
        server.signal(signal.SIGHUP)
        server.wait_log("reload.done")
        server.signal(signal.SIGUSR1)
        server.wait_log("server.draining")
        client, answer, times = follow(server.address, 3)
        with client:
            assert (answer.code, times, client.server) == (0, 1, other.address)
        client, answer = ask_at(("::1", server.port))
        with client:
            assert answer.code == FORBIDDEN
        assert old.refresh(600).code == 0
        assert old.refresh(0).code == 0
        assert server.wait() == 0


# --- udp-self-balance ------------------------------------------------------------------------------


def test_self_balance_spreads_udp_clients_over_the_aux_servers(sterna):
    aux = [free_port(), free_port()]
    server = sterna(**signed.LONG_TERM, relay_threads=1, udp_self_balance=True,
                    aux_server=[f"{HOST}:{port}" for port in aux])
    went = []
    with contextlib.ExitStack() as stack:
        peer = stack.enter_context(signed.bound())
        for _ in range(4):
            client, answer, times = follow(server.address, 3)
            stack.enter_context(client)
            assert (answer.code, times) == (0, 1)
            went.append(client.server[1])
            assert client.bind(CHANNEL, peer.getsockname()).code == 0
            client.channel_send(CHANNEL, b"hello")
            assert peer.recvfrom(100) == (b"hello", client.relayed)
        assert sorted(went) == sorted(aux * 2)
        connection = streams.client(server)
        assert connection.allocate().code == 0  # TCP clients are no part of it
        connection.sock.close()
        assert ask_at((HOST, aux[0]), stack.enter_context(signed.bound()))[1].code == 0


def test_self_balance_comes_and_goes_with_a_reload(sterna):
    aux = free_port()
    server = sterna(**signed.LONG_TERM, aux_server=f"{HOST}:{aux}")
    for count, (balance, code) in enumerate([(True, TRY_ALTERNATE), (False, 0)], 1):
        server.write_conf(udp_self_balance=balance)
        server.signal(signal.SIGHUP)
        wait_for(lambda: server.text.count("reload.done") == count, "the reload")
        client, answer = ask_at(server.address)
        with client:
            assert answer.code == code

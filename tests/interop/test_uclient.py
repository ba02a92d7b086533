# SPDX-License-Identifier: Apache-2.0
"""coturn's own client against the server: zero loss in every mode it has over UDP."""
import re
import subprocess

import pytest

from conftest import PASSWORD, SECRET, USER


def uclient(server, peer_port, *flags, host="127.0.0.1", peer="127.0.0.1", credentials=None, timeout=120,
            port=None):
    """Run turnutils_uclient; returns (exit code, sent, received, output)."""
    command = ["turnutils_uclient", "-p", str(port or server.port), "-r", str(peer_port), "-e", peer]
    command += credentials if credentials is not None else ["-u", USER, "-w", PASSWORD]
    command += list(flags) + [host]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    output = done.stdout + done.stderr
    totals = re.findall(r"tot_send_msgs=(\d+), tot_recv_msgs=(\d+)", output)
    sent, received = map(int, totals[-1]) if totals else (0, -1)
    return done.returncode, sent, received, output


MODES = {
    "default": ["-n", "50"],
    "even port": ["-n", "50", "-g"],
    "without even port": ["-n", "50", "-c"],
    "send and data": ["-n", "50", "-s"],
    "client to client": ["-n", "50", "-y", "-m", "2"],
    "client to client, send": ["-n", "50", "-y", "-s", "-m", "2"],
    "dont-fragment": ["-n", "50", "-g", "-c"],
    "IPv4 asked for": ["-n", "50", "-X"],
    "padding": ["-n", "50", "-D", "-l", "171"],
    "100 messages of 1200 bytes": ["-n", "100", "-l", "1200"],
    "200 clients": ["-n", "10", "-m", "200", "-c"],
}


@pytest.mark.parametrize("flags", MODES.values(), ids=MODES.keys())
def test_zero_loss(server, echo_peer, flags):
    code, sent, received, output = uclient(server, echo_peer, *flags)
    assert code == 0, output
    assert sent > 0 and received == sent, output


@pytest.mark.parametrize("flags", [["-x", "-c"], ["-x", "-s", "-c"], ["-x", "-y", "-m", "2"]])
def test_ipv6_relay(server, echo_peer, flags):
    code, sent, received, output = uclient(server, echo_peer, "-n", "50", *flags, peer="::1")
    assert code == 0, output
    assert sent > 0 and received == sent, output


def test_ipv6_client(server, echo_peer):
    code, sent, received, output = uclient(server, echo_peer, "-n", "50", "-c", "-X", host="::1")
    assert code == 0, output
    assert sent > 0 and received == sent, output


# Proves T-IANA-01
def test_dual_allocation_of_a_draft(server, echo_peer):
    """-Z of Debian's client (4.6.1) asks with the number of a draft, 0x8032, which is unknown and optional:
    it is given IPv4 alone.  By chance it then uses IPv4 without loss, or asks for an IPv6 peer and is
    refused; RFC 8656's own dual allocation is proved by the unit tests."""
    code, sent, received, output = uclient(server, echo_peer, "-n", "5", "-Z", "-c")
    assert (code == 0 and received == sent > 0) or "443 (Peer Address Family Mismatch)" in output, output
    assert server.process.poll() is None


# Proves T-REST-2.2-01
def test_rest_secret(make_server, echo_peer):
    server = make_server(use_auth_secret=True, static_auth_secret=["other", SECRET], user=None)
    code, sent, received, output = uclient(server, echo_peer, "-n", "20", "-c",
                                           credentials=["-u", USER, "-W", SECRET])
    assert code == 0, output
    assert sent > 0 and received == sent, output


def test_negative_and_robustness(server, echo_peer):
    """-N and -R send what must be refused; the server answers and goes on."""
    subprocess.run(["timeout", "20", "turnutils_uclient", "-p", str(server.port), "-r", str(echo_peer),
                    "-e", "127.0.0.1", "-u", USER, "-w", PASSWORD, "-n", "10", "-c", "-N", "-R", "127.0.0.1"],
                   capture_output=True, check=False)
    code, sent, received, output = uclient(server, echo_peer, "-n", "20", "-c")
    assert code == 0 and sent > 0 and received == sent, output


def test_wrong_password_is_refused(server, echo_peer):
    done = subprocess.run(["timeout", "20", "turnutils_uclient", "-p", str(server.port), "-r", str(echo_peer),
                           "-e", "127.0.0.1", "-u", USER, "-w", "wrong", "-n", "5", "-c", "127.0.0.1"],
                          capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "tot_recv_msgs=" not in done.stdout or "tot_recv_msgs=0" in done.stdout


def test_stunclient(server):
    done = subprocess.run(["turnutils_stunclient", "-p", str(server.port), "127.0.0.1"],
                          capture_output=True, text=True, timeout=30, check=False)
    assert "UDP reflexive addr: 127.0.0.1:" in done.stdout, done.stdout + done.stderr

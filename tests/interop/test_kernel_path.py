# SPDX-License-Identifier: Apache-2.0
"""Clients that others have written, through the kernel path: in namespaces, with counters to prove it."""
import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest

import test_chromium
from conftest import PASSWORD, ROOT, USER, free_port

SYSTEM = ROOT / "tests" / "system"


def load(name, path):
    """A module by its file: there is a conftest.py in either folder."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


system = load("system_conftest", SYSTEM / "conftest.py")
import kernel_path  # noqa: E402  # it is found now
from kernel_path import BOTH_HERE, CLIENT, MODES, PEER, TO_CLIENT, TO_PEER, V4, V6  # noqa: E402

# Not repeated under the sanitizers: what the server does here, the system tests do there.
pytestmark = [pytest.mark.skipif(kernel_path.missing() is not None, reason=str(kernel_path.missing())),
              pytest.mark.long]

MOST = 0.9  # of all packets of data; the rest climbs before channels are bound and neighbours are known


@pytest.fixture(name="lab")
def lab_fixture(tmp_path):
    net, started = system.Network(), []
    net.prefix = f"sterna-int-{net.prefix.rsplit('-', 1)[1]}"

    def start(**options):
        started.append(system.Sterna(tmp_path, **options))
        return started[-1].ready()

    lab = None
    try:
        lab = kernel_path.Lab(net, start)
        net.route(lab.ns[CLIENT], "default", "via", V4["server"])  # a browser asks for it
        yield lab
        for server in started:
            assert server.stop() == 0, server.text
            assert "Sanitizer" not in server.text and "runtime error" not in server.text, server.text
    finally:
        for server in started:
            server.stop()
        net.close()


def serve(lab, mode):
    return lab.serve(mode, no_auth=None, lt_cred_mech=True, user=f"{USER}:{PASSWORD}", rfc5766_channel_numbers=True)


@pytest.fixture(name="echo")
def echo_fixture(lab):
    """coturn's UDP echo, in the peer's namespace."""
    port = free_port()
    process = subprocess.Popen(["ip", "netns", "exec", lab.ns[PEER], "turnutils_peer", "-p", str(port),
                                "-L", V4["peer"], "-L", V6["peer"]],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield port
    process.terminate()
    process.wait()


def uclient(lab, echo, *flags, host=V4["server"], peer=V4["peer"]):
    """Zero loss, as ever; how many messages."""
    done = subprocess.run(["ip", "netns", "exec", lab.ns[CLIENT], "turnutils_uclient", "-p", str(lab.server.port),
                           "-r", str(echo), "-e", peer, "-u", USER, "-w", PASSWORD, "-c", "-z", "5", *flags, host],
                          capture_output=True, text=True, timeout=120, check=False)
    output = done.stdout + done.stderr
    totals = re.findall(r"tot_send_msgs=(\d+), tot_recv_msgs=(\d+)", output)
    assert done.returncode == 0 and totals, output
    sent, received = map(int, totals[-1])
    assert received == sent > 0, output
    return sent


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("flags, ends", [
    (["-X", "-l", "1200"], {}), (["-x"], {"host": V6["server"], "peer": V6["peer"]}),
    (["-x"], {"peer": V6["peer"]}), (["-X"], {"host": V6["server"]}),
], ids=["4 to 4", "6 to 6", "4 to 6", "6 to 4"])
def test_uclient(lab, echo, mode, flags, ends):
    serve(lab, mode)
    before = lab.counts.read()
    sent = uclient(lab, echo, "-n", "150", "-m", "4", *flags, **ends)
    after = lab.counts.read()
    for name in TO_PEER, TO_CLIENT:
        assert after[name] - before[name] >= MOST * sent, lab.server.text


@pytest.mark.parametrize("mode", MODES)
def test_uclient_from_client_to_client(lab, echo, mode):
    serve(lab, mode)
    before = lab.counts.read()
    sent = uclient(lab, echo, "-n", "150", "-m", "4", "-y", "-X")
    assert lab.counts.read()[BOTH_HERE] - before[BOTH_HERE] >= MOST * sent


@pytest.mark.skipif(test_chromium.CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("mode", MODES)
def test_browser(lab, mode, tmp_path):
    """Data and video between two connections of one page, relay to relay."""
    server = serve(lab, mode)
    ice = {"iceServers": [{"urls": [f"turn:{V4['server']}:{server.port}?transport=udp"], "username": USER,
                           "credential": PASSWORD}]}
    before = lab.counts.read()
    with system.inside(lab.ns[CLIENT]):
        outcome = test_chromium.open_page(pathlib.Path(tmp_path), ice)
    after = lab.counts.read()
    test_chromium.expect_data_and_video(outcome, "udp")
    assert server.stop() == 0
    ended = [kernel_path.fields(line) for line in server.text.splitlines()
             if re.search(r" allocation\.(deleted|closed|expired) ", line)]
    told = sum(one["to_peer_packets"] for one in ended)
    assert after[BOTH_HERE] - before[BOTH_HERE] >= MOST * told > 0, server.text

# SPDX-License-Identifier: Apache-2.0
"""libnice, by way of GStreamer's webrtcbin: relay candidates only, over UDP and TCP (webrtcbin_pair.py).

libnice has no TLS for TURN: what webrtcbin asks for with turns: it does over TCP without TLS.
"""
import json
import pathlib
import subprocess
import sys

import pytest

gi = pytest.importorskip("gi")
try:
    gi.require_version("GstWebRTC", "1.0")
except ValueError:
    pytest.skip("GStreamer's webrtcbin is not installed", allow_module_level=True)

PROGRAM = pathlib.Path(__file__).with_name("webrtcbin_pair.py")


def pair(server, transport, host="127.0.0.1"):
    url = f"turn://{server.user}:{server.password}@{host}:{server.port}?transport={transport}"
    done = subprocess.run([sys.executable, str(PROGRAM), url], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def expect_data_and_video(outcome):
    assert outcome["error"] is None, outcome
    for candidates in outcome["candidates"]:
        assert candidates and all(" typ relay " in one for one in candidates), outcome
    assert outcome["received"] == [200_000, 200_000], outcome
    assert outcome["frames"] >= 50, outcome


def test_relay_only_data_and_video(server):
    expect_data_and_video(pair(server, "udp"))


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_over_tcp(stream_server, host):
    expect_data_and_video(pair(stream_server(), "tcp", host))

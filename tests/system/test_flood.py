# SPDX-License-Identifier: Apache-2.0
"""A million requests without credentials from more than 100,000 endpoints: memory stays flat, and a real
client is served meanwhile."""
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "bench"))

from stand import SERVER_CLIENT_SIDE, Stand, resident_kib  # noqa: E402

STERNA = os.environ.get("STERNA_BIN", str(ROOT / "build" / "release" / "sterna"))
LOAD = os.environ.get("STERNA_LOAD", str(ROOT / "build" / "release" / "tests" / "bench" / "sterna-load"))
COUNT = 1_000_000
LIMIT_KIB = 2048

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(os.environ.get("STERNA_BUILD", "release") != "release",
                       reason="a sanitizer's memory is not the server's"),
]


def client(stand):
    """coturn's client beside its echo peer, both inside the server's namespace."""
    return subprocess.Popen(["ip", "netns", "exec", stand.ns["server"], "turnutils_uclient", "-u", "user", "-w", "pass",
                             "-c", "-n", "20", "-X", "-e", SERVER_CLIENT_SIDE, SERVER_CLIENT_SIDE],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


# Proves T-8489-6.3.1-05
def test_memory_is_flat_under_a_flood(tmp_path):
    with Stand("sterna-flood") as stand:
        extra = f"allow-private-peers\nallowed-peer-ip={SERVER_CLIENT_SIDE}\nrfc5766-channel-numbers\n"
        with stand.server("sterna", tmp_path, STERNA, cpu=None, threads=2, extra=extra) as pid:
            peer = subprocess.Popen(["ip", "netns", "exec", stand.ns["server"],
                                     "turnutils_peer", "-L", SERVER_CLIENT_SIDE],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                # The tables have a fixed size but fill as they are first used: warm them.
                warm = stand.load(LOAD, "flood", [], cpu=None, count=200_000)
                before = resident_kib(pid)
                real = client(stand)
                floods = [stand.load(LOAD, "flood", [], cpu=None, count=COUNT)]
                while real.poll() is None:
                    floods.append(stand.load(LOAD, "flood", [], cpu=None, count=COUNT))
                output = real.communicate()[0]
                after = resident_kib(pid)
            finally:
                peer.terminate()
                peer.wait()
    print(f"warm {warm}; floods {floods}; resident {before} KiB before, {after} KiB after")
    assert "tot_send_msgs=20, tot_recv_msgs=20" in output, output
    # A few hundred of the million find the device's queue full.
    assert all(flood["sent"] > COUNT * 99 // 100 and flood["answered"] > COUNT // 4 for flood in floods)
    assert abs(after - before) <= LIMIT_KIB

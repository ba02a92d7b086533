# SPDX-License-Identifier: Apache-2.0
"""A real server on loopback, for real clients.

STERNA_BIN names the binary (default: build/release/sterna).  With INTEROP_SERVER=coturn the same
tests run against Debian's coturn: a way to tell a fault of the server from one of the test.
"""
import os
import pathlib
import socket
import struct
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
STERNA = os.environ.get("STERNA_BIN", str(ROOT / "build" / "release" / "sterna"))
KIND = os.environ.get("INTEROP_SERVER", "sterna")
USER, PASSWORD, REALM, SECRET = "user", "pass", "example.org", "north"


def free_port(host="127.0.0.1"):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.bind((host, 0))
        return s.getsockname()[1]


def binding_answered(host, port, timeout=0.3):
    """True when a STUN Binding request to host:port is answered."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    request = struct.pack("!HHI", 1, 0, 0x2112A442) + os.urandom(12)
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        s.connect((host, port))
        try:
            s.send(request)
            answer = s.recv(2048)  # a success: a socket that got port `port` itself hears its own request
            return answer[:2] == b"\x01\x01" and answer[8:20] == request[8:20]
        except OSError:
            return False


class Server:
    """A running server process and where to reach it."""

    def __init__(self, directory, **options):
        self.port = free_port()
        self.user, self.password, self.realm, self.secret = USER, PASSWORD, REALM, SECRET
        self.log = directory / "server.log"
        config = {
            "listening-port": self.port,
            "listening-ip": ["127.0.0.1", "::1"],
            "relay-ip": ["127.0.0.1", "::1"],
            "min-port": 40000,
            "max-port": 59999,
            "realm": REALM,
            "lt-cred-mech": True,
            "user": [f"{USER}:{PASSWORD}"],
            "allow-loopback-peers": True,
            "rfc5766-channel-numbers": True,
            "pidfile": directory / "server.pid",
        }
        config.update(options)
        path = directory / "turnserver.conf"
        path.write_text("".join(self._lines(config)))
        if KIND == "coturn":
            command = ["turnserver", "-c", str(path), "--log-file=stdout", "--no-cli"]
        else:
            command = [STERNA, "serve", "-c", str(path)]
        self.output = open(self.log, "wb")
        self.process = subprocess.Popen(command, stdout=self.output, stderr=subprocess.STDOUT,
                                        stdin=subprocess.DEVNULL, cwd=directory)
        deadline = time.monotonic() + 20
        while not binding_answered("127.0.0.1", self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                pytest.fail("the server did not come up:\n" + self.log.read_text(errors="replace"))

    @staticmethod
    def _lines(config):
        unknown_to_coturn = {"rfc5766-channel-numbers", "allow-private-peers"}
        for name, value in config.items():
            if value is None or (KIND == "coturn" and name in unknown_to_coturn):
                continue
            for one in value if isinstance(value, list) else [value]:
                yield f"{name}\n" if one is True else f"{name}={one}\n"

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.output.close()
        return self.process.returncode


@pytest.fixture
def server(tmp_path):
    """One for each test: clients leave allocations behind, and a port that the system gives out again would find
    one of them (437, as RFC 8656 wants it)."""
    s = Server(tmp_path)
    yield s
    assert s.stop() == 0, s.log.read_text(errors="replace")


@pytest.fixture
def make_server(tmp_path):
    """Start further servers with other options: make_server(**options)."""
    started = []

    def make(**options):
        s = Server(tmp_path, **{k.replace("_", "-"): v for k, v in options.items()})
        started.append(s)
        return s

    yield make
    for s in started:
        s.stop()


@pytest.fixture(scope="session")
def echo_peer():
    """coturn's UDP echo, on IPv4 and IPv6 loopback."""
    port = free_port()
    process = subprocess.Popen(["turnutils_peer", "-p", str(port), "-L", "127.0.0.1", "-L", "::1"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield port
    process.terminate()
    process.wait()

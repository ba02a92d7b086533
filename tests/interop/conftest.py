# SPDX-License-Identifier: Apache-2.0
"""A real server on loopback, for real clients.

STERNA_BIN names the binary (default: build/release/sterna).  With INTEROP_SERVER=coturn the same
tests run against Debian's coturn: a way to tell a fault of the server from one of the test.
"""
import contextlib
import os
import re
import pathlib
import random
import signal
import socket
import struct
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "system"))  # clients of our own: signed.py, turn.py
STERNA = os.environ.get("STERNA_BIN", str(ROOT / "build" / "release" / "sterna"))
KIND = os.environ.get("INTEROP_SERVER", "sterna")
USER, PASSWORD, REALM, SECRET = "user", "pass", "example.org", "north"
ENDED_WELL = (0, -signal.SIGTERM) if KIND == "coturn" else (0,)


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes its time, and is not repeated under the sanitizers")


GIVEN = set()


def free_port():
    """A port that nobody has on loopback, for UDP and TCP, IPv4 and IPv6.  It lies below those that the system gives
    to clients, so none of them takes it before the server does, and is given once."""
    while True:
        port = random.randrange(20000, 32000)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    stack.enter_context(socket.socket(family, kind)).bind((host, port))
            if port not in GIVEN:
                GIVEN.add(port)
                return port


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


def connects(host, port):
    """True when a TCP connection to host:port can be made."""
    try:
        socket.create_connection((host, port), 0.3).close()
        return True
    except OSError:
        return False


class Server:
    """A running server process and where to reach it."""

    ready_line = None  # what its log says when it is up, where no Binding is answered

    def __init__(self, directory, **options):
        self.port = free_port()
        self.tls_port = options.get("tls-listening-port")
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
            command = ["turnserver", "-c", str(path), "--log-file=stdout", "--no-cli", "--no-rfc5780"]
        else:
            command = [STERNA, "serve", "-c", str(path)]
        self._start(command, directory)

    def _start(self, command, directory):
        """Run it in that folder, until it answers."""
        self.output = open(self.log, "wb")
        self.process = subprocess.Popen(command, stdout=self.output, stderr=subprocess.STDOUT,
                                        stdin=subprocess.DEVNULL, cwd=directory)
        deadline = time.monotonic() + 20
        while not self._serves():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                pytest.fail("the server did not come up:\n" + self.log.read_text(errors="replace"))

    def _serves(self):
        if self.ready_line is not None:
            return self.ready_line in self.log.read_text(errors="replace")
        return binding_answered("127.0.0.1", self.port) and (
            self.tls_port is None or all(connects(host, self.tls_port) for host in ("127.0.0.1", "::1")))

    @staticmethod
    def _lines(config):
        unknown_to_coturn = {"rfc5766-channel-numbers", "allow-private-peers", "dtls", "max-connections-per-ip",
                             "max-connections-per-net6"}
        for name, value in config.items():
            if value is None or (KIND == "coturn" and name in unknown_to_coturn):
                continue
            for one in value if isinstance(value, list) else [value]:
                yield f"{name}\n" if one is True else f"{name}={one}\n"

    def delivered(self):
        """Stop it; how many packets of peers went to clients, none of them dropped on the way."""
        assert self.stop() in ENDED_WELL
        log = self.log.read_text(errors="replace")
        dropped = re.findall(r"connections\.count .* dropped=(\d+)", log)
        assert dropped and int(dropped[-1]) == 0, log
        ended = re.findall(r"allocation\.(?:deleted|closed|expired) .* to_client_packets=(\d+)", log)
        return sum(int(packets) for packets in ended)

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
    assert s.stop() in ENDED_WELL, s.log.read_text(errors="replace")


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


class Turnserver(Server):
    """The server under coturn's name, on coturn's command line alone, in a folder of its own."""

    def __init__(self, directory, *flags, name="turnserver", ready_line=None):
        self.ready_line = ready_line
        self.port, self.secure_port, self.tls_port = free_port(), free_port(), None
        self.log = directory / "server.log"
        link = directory / name
        if KIND != "coturn" and not link.exists():
            link.symlink_to(STERNA)
        if KIND != "coturn":  # Debian's clients know the channels of RFC 5766 alone, as its server does
            flags += ("--rfc5766-channel-numbers",)
        command = ["turnserver" if KIND == "coturn" else str(link), *map(str, flags),
                   "-p", str(self.port), f"--tls-listening-port={self.secure_port}", f"--pidfile={directory}/pid"]
        self._start(command, directory)

    def said(self, text):
        """Has the log this by now?"""
        return text in self.log.read_text(errors="replace")


@pytest.fixture
def turnserver(tmp_path):
    """turnserver(*flags) starts one.  -n keeps the configuration of this host out."""
    started = []

    def make(*flags, **how):
        if not {"-n", "-c"} & set(flags):
            flags = ("-n", *flags)
        started.append(Turnserver(tmp_path, *flags, **how))
        return started[-1]

    yield make
    for s in started:
        assert s.stop() in ENDED_WELL, s.log.read_text(errors="replace")


class Certificates:
    """An authority, a server of that authority on loopback, and a client; all as PEM files."""

    def __init__(self, directory):
        self.directory = directory
        self.ca, self.ca_key = self._new("ca", "-x509", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.server, self.server_key = self._signed("server", "serverAuth")
        self.client, self.client_key = self._signed("client", "clientAuth")

    def _run(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.directory, check=True, capture_output=True, timeout=60)

    def _new(self, name, *flags):
        self._run("req", "-new", *flags, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                  "-subj", f"/CN=interop {name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
        return self.directory / f"{name}.pem", self.directory / f"{name}.key"

    def _signed(self, name, usage):
        request, key = self._new(name)
        extensions = self.directory / f"{name}.ext"
        extensions.write_text("subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost\n"
                              f"extendedKeyUsage={usage}\n")
        self._run("x509", "-req", "-in", str(request), "-CA", str(self.ca), "-CAkey", str(self.ca_key),
                  "-set_serial", "0x" + os.urandom(8).hex(), "-days", "2", "-extfile", str(extensions),
                  "-out", f"{name}.crt")
        return self.directory / f"{name}.crt", key


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def stream_server(tmp_path, certificates):
    """A server for UDP, TCP, TLS and DTLS, which lets one address have any number of connections: all clients
    of these tests come from one.  stream_server(**options) starts it."""
    started = []

    def make(**options):
        s = Server(tmp_path, **{
            "tls-listening-port": free_port(), "cert": certificates.server, "pkey": certificates.server_key,
            "dtls": True, "verbose": True, "max-connections-per-ip": 0, "max-connections-per-net6": 0,
            **{k.replace("_", "-"): v for k, v in options.items()}})
        started.append(s)
        return s

    yield make
    for s in started:
        assert s.stop() in ENDED_WELL, s.log.read_text(errors="replace")


@pytest.fixture(scope="session")
def echo_peer():
    """coturn's UDP echo, on IPv4 and IPv6 loopback."""
    port = free_port()
    process = subprocess.Popen(["turnutils_peer", "-p", str(port), "-L", "127.0.0.1", "-L", "::1"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield port
    process.terminate()
    process.wait()

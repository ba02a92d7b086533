# SPDX-License-Identifier: Apache-2.0
"""A sterna process for the system tests, on loopback or in a network namespace.

STERNA_BIN names the binary (default: build/release/sterna).
"""
import contextlib
import ctypes
import itertools
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import kernel_path  # noqa: E402
import turn  # noqa: E402

STERNA = os.environ.get("STERNA_BIN", str(ROOT / "build" / "release" / "sterna"))
LIMIT_S = 30  # a sanitizer's build on a busy machine takes its time


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes its time, and is not repeated under the sanitizers")


def is_free(ip, port):
    """Is a port free for UDP and TCP?"""
    for kind in socket.SOCK_DGRAM, socket.SOCK_STREAM:
        with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, kind) as s:
            try:
                s.bind((ip, port))
            except OSError:
                return False
    return True


def free_port(ip="127.0.0.1"):
    """A port below those that the system gives to clients, and the tests to relays."""
    return next(port for port in iter(lambda: random.randrange(10000, 20000), None) if is_free(ip, port))


def wait_for(condition, what):
    """Until `condition()` holds; the limit only ends a test that has failed."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.02)


class Sterna:
    """One server.  `options`: names with "_" for "-"; True for a bare flag, a list to repeat.
    `prefix`: a command that starts it, such as setpriv(1); `sections`: text behind the options."""

    def __init__(self, directory, netns=None, env=None, prefix=(), sections="", **options):
        self.netns = netns
        self.sections = sections
        self.directory = directory
        self.conf = directory / "sterna.conf"
        self.output = directory / "output.log"
        defaults = {"listening_ip": ["127.0.0.1", "::1"], "listening_port": free_port(), "realm": "example.org",
                    "no_auth": True, "allow_loopback_peers": True, "min_port": 20000, "max_port": 29999,
                    "port_quarantine": 0, "log_min_level": "info"}
        self.options = {**defaults, **options}
        self.port = self.options["listening_port"]
        self.write_conf()
        command = (["ip", "netns", "exec", netns] if netns else []) + list(prefix)
        self.env = {**{name: value for name, value in os.environ.items() if not self.is_told(name)}, **(env or {})}
        with open(self.output, "wb") as out:
            self.process = subprocess.Popen([*command, STERNA, "serve", "-c", str(self.conf)], stdout=out,
                                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=directory,
                                            env=self.env)

    def is_told(self, variable):
        """Does the test itself say what this variable of the environment would say (for all tests)?"""
        return variable.startswith("STERNA_") and variable.removeprefix("STERNA_").lower() in self.options

    def write_conf(self, **changes):
        self.options.update(changes)
        lines = []
        for name, value in self.options.items():
            for one in value if isinstance(value, list) else [value]:
                if one is not None and one is not False:
                    lines.append(name.replace("_", "-") + ("" if one is True else f"={one}") + "\n")
        self.conf.write_text("".join(lines) + self.sections, encoding="utf-8")

    @property
    def address(self):
        return "127.0.0.1", self.port

    @property
    def text(self):
        return self.output.read_text(encoding="utf-8", errors="replace")

    def wait_log(self, what, count=1):
        def there():
            assert self.process.poll() is None or what in self.text, f"the server has ended:\n{self.text}"
            return self.text.count(what) >= count
        wait_for(there, what)
        return self

    def ready(self):
        return self.wait_log("server.ready")

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        return self.process.wait(LIMIT_S)

    def stop(self):
        """End it as an administrator does; its exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    def client(self, sock=None):
        return turn.Client(self.address, sock)


@pytest.fixture
def sterna(tmp_path):
    """sterna(**options) starts a server and waits until it serves; all must end well."""
    started = []

    def make(wait=True, **options):
        directory = tmp_path / str(len(started))
        directory.mkdir()
        server = Sterna(directory, **options)
        started.append(server)
        return server.ready() if wait else server

    yield make
    for server in started:
        running = server.process.poll() is None
        code = server.stop()
        assert not running or code == 0, server.text
        assert "Sanitizer" not in server.text and "runtime error" not in server.text, server.text


LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


@contextlib.contextmanager
def inside(netns):
    """Sockets made here belong to that network namespace."""
    with open("/proc/self/ns/net", "rb") as home, open(f"/var/run/netns/{netns}", "rb") as there:
        assert LIBC.setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert LIBC.setns(home.fileno(), CLONE_NEWNET) == 0


class Network:
    """Namespaces and the cables between them."""

    made = itertools.count()

    def __init__(self):
        self.prefix = f"sterna-sys-{os.getpid()}-{next(Network.made)}"
        self.spaces = []
        self.cables = 0

    @staticmethod
    def run(*command):
        subprocess.run(command, check=True, timeout=LIMIT_S)

    def space(self, name):
        full = f"{self.prefix}-{name}"
        self.run("ip", "netns", "add", full)
        self.spaces.append(full)
        self.run("ip", "-n", full, "link", "set", "lo", "up")
        return full

    def cable(self, a, a_name, b, b_name, mtu=1500):
        """A cable from interface a_name of space a to b_name of space b."""
        self.run("ip", "link", "add", a_name, "netns", a, "mtu", str(mtu), "type", "veth", "peer", "name", b_name,
                 "netns", b, "mtu", str(mtu))
        for space, name in (a, a_name), (b, b_name):
            self.run("ip", "-n", space, "link", "set", name, "up")

    def address(self, space, interface, *addresses):
        for one in addresses:
            extra = ["nodad"] if ":" in one else []
            self.run("ip", "-n", space, "address", "add", one, "dev", interface, *extra)

    def route(self, space, *route):
        self.run("ip", "-n", space, "route", "add", *route)

    def socket(self, space, address, kind=socket.SOCK_DGRAM, protocol=0):
        with inside(space):
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            sock = socket.socket(family, kind, protocol)
            sock.bind(address)
            sock.settimeout(5)
            return sock

    def close(self):
        for space in self.spaces:
            subprocess.run(["ip", "netns", "delete", space], check=False, timeout=LIMIT_S)


@pytest.fixture
def network():
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    net = Network()
    yield net
    net.close()


@pytest.fixture
def lab(network, sterna):
    """Client, server and peer for the kernel path."""
    return kernel_path.Lab(network, sterna)


@pytest.fixture(scope="module", params=kernel_path.MODES)
def served(request, tmp_path_factory):
    """A lab whose server has the kernel path in each of the modes, for all tests of a file that ask for nothing
    else: to load a program takes a while."""
    net, started = Network(), []

    def start(**options):
        started.append(Sterna(tmp_path_factory.mktemp("served"), **options))
        return started[-1].ready()

    try:
        made = kernel_path.Lab(net, start)
        made.serve(request.param)
        yield made
        assert made.server.stop() == 0, made.server.text
        assert "Sanitizer" not in made.server.text and "runtime error" not in made.server.text, made.server.text
    finally:
        for server in started:
            server.stop()
        net.close()

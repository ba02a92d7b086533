# SPDX-License-Identifier: Apache-2.0
"""DNS servers for tests, on loopback: PowerDNS with zones that the test writes, and one that answers with bytes of
the test's choosing."""
import os
import select
import shutil
import socket
import struct
import subprocess
import threading

from conftest import LIMIT_S, free_port, wait_for

PDNS = shutil.which("pdns_server") or shutil.which("pdns_server", path="/usr/sbin")
HEAD = """$TTL 60
$ORIGIN {zone}.
@ IN SOA ns hostmaster 1 60 60 60 60
@ IN NS ns
ns IN A 127.0.0.1
"""


def question(name, kind=1):
    """A question for the records of `name`."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return os.urandom(2) + struct.pack("!HHHHH", 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, kind, 1)


class Zones:
    """A PowerDNS of this test alone, with its own port and directory.  `zones`: name -> lines of the zone file."""

    def __init__(self, directory, zones):
        self.port = free_port()
        self.directory = directory / "dns"
        self.directory.mkdir()
        conf = self.directory / "named.conf"
        conf.write_text("".join(f'zone "{name}" {{ type master; file "{self.directory}/{name}"; }};\n'
                                for name in zones))
        for name, lines in zones.items():
            (self.directory / name).write_text(HEAD.format(zone=name) + "\n".join(lines) + "\n")
        self.log = self.directory / "log"
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                [PDNS, f"--config-dir={self.directory}", "--launch=bind", f"--bind-config={conf}",
                 "--local-address=127.0.0.1", f"--local-port={self.port}", f"--socket-dir={self.directory}",
                 "--daemon=no", "--guardian=no", "--write-pid=no", "--cache-ttl=0"],
                stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        wait_for(self.answers, "the DNS server")

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def answers(self):
        assert self.process.poll() is None, self.log.read_text()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", self.port))
            try:
                sock.send(question("ready.example"))
                return bool(select.select([sock], [], [], 0.2)[0]) and len(sock.recv(512)) > 0
            except ConnectionRefusedError:
                return False

    def stop(self):
        self.process.terminate()
        self.process.wait(LIMIT_S)


class Raw(threading.Thread):
    """A DNS server that answers with what `answer(question)` returns, or not at all when that is None."""

    def __init__(self, answer):
        super().__init__(daemon=True)
        self.answer = answer
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.over = socket.socketpair()

    @property
    def address(self):
        return "127.0.0.1:%d" % self.sock.getsockname()[1]

    def run(self):
        while self.over[1] not in (ready := select.select([self.sock, self.over[1]], [], [])[0]):
            assert ready
            asked, source = self.sock.recvfrom(4096)
            answer = self.answer(asked)
            if answer is not None:
                self.sock.sendto(answer, source)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over[0].send(b"x")
        self.join()
        for sock in self.sock, *self.over:
            sock.close()

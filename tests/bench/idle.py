#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What many idle allocations cost: memory of the process and of the kernel, and CPU time while nothing happens.

Each allocation has a user of its own (time-limited credentials), a permission and a channel.  A process cannot have
more sockets than its limit of open files, so the allocations are spread over as many servers as that takes.  All is on
the loopback of a network namespace of its own.  Prints one line of JSON.
"""
import argparse
import base64
import concurrent.futures
import contextlib
import hashlib
import hmac
import json
import os
import pathlib
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "system"))

import signed  # noqa: E402
import turn  # noqa: E402

FIRST_PORT = 3478
SECRET = "a-secret-of-this-bench"
SPARE_FDS = 512
CONFIG = """listening-ip=127.0.0.1
listening-port={port}
relay-ip=127.0.1.{number}
realm=example.org
use-auth-secret
static-auth-secret={secret}
allowed-peer-ip=198.51.100.1
min-port=1024
max-port=65535
relay-threads=1
no-tcp
no-tls
max-connections=1
log-min-level=notice
"""
# Of what the kernel keeps for a UDP socket that epoll watches.
CACHES = ("UDP", "filp", "sock_inode_cache", "dentry", "eventpoll_epi", "eventpoll_pwq")


def resident(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_ns(pid):
    """Of all threads, in nanoseconds."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text(encoding="ascii").split()[0])
    return total


def kernel_bytes():
    """Of the caches above; other programs' descriptors are among them."""
    total = 0
    for line in pathlib.Path("/proc/slabinfo").read_text(encoding="ascii").splitlines()[2:]:
        name, _, objects, size, *_ = line.split()
        if name in CACHES:
            total += int(objects) * int(size)
    return total


class Server:
    def __init__(self, binary, directory, number):
        self.address = ("127.0.0.1", FIRST_PORT + number)
        config = pathlib.Path(directory) / f"{number}.conf"
        config.write_text(CONFIG.format(port=self.address[1], number=number + 1, secret=SECRET), encoding="ascii")
        self.log = open(pathlib.Path(directory) / f"{number}.log", "wb")
        self.process = subprocess.Popen([binary, "serve", "-c", str(config)], stdout=self.log,
                                        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self.pid = self.process.pid

    def wait(self):
        with turn.Client(self.address, timeout=0.2) as client:
            for _ in range(100):
                with contextlib.suppress(TimeoutError, ConnectionRefusedError):
                    return client.request(turn.BINDING)
                time.sleep(0.1)
        raise RuntimeError("a server did not come up")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def allocate(address, i):
    """One allocation for a client and a user that nobody else has.  Its socket is closed again: nothing comes."""
    user = f"{int(time.time()) + 86400}:user-{i:06}"
    password = base64.b64encode(hmac.digest(SECRET.encode(), user.encode(), "sha1")).decode()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((f"127.1.{i >> 8 & 255}.{i & 255}", 10000 + (i >> 16)))
    with signed.Client(address, user, password, sock) as client:
        assert client.ask(turn.ALLOCATE, signed.TRANSPORT_UDP, (turn.LIFETIME, struct.pack("!I", 3600))).code == 0
        tid = os.urandom(12)
        attributes = [(turn.CHANNEL_NUMBER, struct.pack("!HH", 0x4000, 0)),
                      (turn.XOR_PEER, turn.xor_address(("198.51.100.1", 5000), tid)), *client.credentials()]
        answer = client.exchange(signed.message(turn.CHANNEL_BIND, attributes, tid, client.key))
        assert turn.Message(answer).code == 0


def fill(address, first, count):
    for i in range(first, first + count):
        allocate(address, i)


def measure(args, directory):
    each = args.each or resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_FDS
    counts = [min(each, args.count - first) for first in range(0, args.count, each)]
    servers = [Server(args.sterna, directory, number) for number in range(len(counts))]
    try:
        for server in servers:
            server.wait()
            allocate(server.address, (1 << 20) - 1)  # the first one brings what is there once
        memory = sum(resident(server.pid) for server in servers)
        kernel = kernel_bytes()
        start = time.monotonic()
        with concurrent.futures.ProcessPoolExecutor(args.jobs) as pool:
            jobs = [pool.submit(fill, server.address, number * each, count)
                    for number, (server, count) in enumerate(zip(servers, counts))]
            for job in jobs:
                job.result()
        filled_s = time.monotonic() - start
        memory = sum(resident(server.pid) for server in servers) - memory
        kernel = kernel_bytes() - kernel
        before = sum(cpu_ns(server.pid) for server in servers)
        start = time.monotonic()
        time.sleep(args.seconds)
        idle_s = time.monotonic() - start
        cpu = sum(cpu_ns(server.pid) for server in servers) - before
    finally:
        for server in servers:
            server.stop()
    return {"allocations": args.count, "servers": len(servers), "user_bytes_each": round(memory / args.count),
            "kernel_bytes_each": round(kernel / args.count), "filled_s": round(filled_s, 1),
            "idle_s": round(idle_s, 1), "idle_cpu_percent": round(cpu / idle_s / 1e7, 4)}


def own_network():
    """Go on in a network namespace of our own, which ends with us."""
    if os.environ.get("STERNA_IDLE_NETNS") is None:
        os.environ["STERNA_IDLE_NETNS"] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sterna", default=str(ROOT / "build/release/sterna"))
    parser.add_argument("--count", type=int, default=100_000, help="allocations in all")
    parser.add_argument("--each", type=int, help="allocations of one server; default: as descriptors allow")
    parser.add_argument("--seconds", type=int, default=10, help="how long to watch the idle servers")
    parser.add_argument("--jobs", type=int, default=2, help="processes that make allocations")
    args = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("idle: a network namespace needs root")
    own_network()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(measure(args, directory)))


if __name__ == "__main__":
    main()

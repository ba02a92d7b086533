# SPDX-License-Identifier: Apache-2.0
"""The stand: three network namespaces in a row, client - server - peer, joined by veth pairs.

Frames enter and leave the outer namespaces through packet sockets, so these have no IP at all.  The
server's two interfaces have threaded NAPI, whose kernel threads are pinned to the server's CPU and
counted as its cost.
"""
import contextlib
import json
import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLIENT_IP, SERVER_CLIENT_SIDE = "10.1.0.2", "10.1.0.1"
PEER_IP, SERVER_PEER_SIDE = "10.2.0.2", "10.2.0.1"
MAC = {"c0": "02:00:00:00:01:01", "s0": "02:00:00:00:01:02", "p0": "02:00:00:00:02:01", "s1": "02:00:00:00:02:02"}
CONFIG = """listening-port=3478
listening-ip={client_side}
relay-ip={peer_side}
realm=example.org
lt-cred-mech
user=user:pass
relay-threads={threads}
min-port=1024
max-port=65535
no-cli
no-tcp
no-tls
no-dtls
no-stdout-log
log-file=/dev/null
simple-log
pidfile={directory}/{name}.pid
{extra}
"""


def run(*command, **kwargs):
    return subprocess.run(command, check=True, capture_output=True, text=True, **kwargs)


class Stand:
    def __init__(self, name="sterna-bench"):
        self.ns = {side: f"{name}-{side}" for side in ("client", "server", "peer")}

    def __enter__(self):
        self.close()
        for ns in self.ns.values():
            run("ip", "netns", "add", ns)
            run("ip", "-n", ns, "link", "set", "lo", "up")
        for outer, inner, side in (("c0", "s0", "client"), ("p0", "s1", "peer")):
            run("ip", "-n", self.ns["server"], "link", "add", inner, "address", MAC[inner], "type", "veth",
                "peer", "name", outer, "address", MAC[outer], "netns", self.ns[side])
            for dev, ns in ((outer, self.ns[side]), (inner, self.ns["server"])):
                self.inside(ns, "sysctl", "-qw", f"net.ipv6.conf.{dev}.disable_ipv6=1")
                run("ip", "-n", ns, "link", "set", dev, "up")
        server = self.ns["server"]
        for dev, own, other, mac in (("s0", SERVER_CLIENT_SIDE, CLIENT_IP, MAC["c0"]),
                                     ("s1", SERVER_PEER_SIDE, PEER_IP, MAC["p0"])):
            run("ip", "-n", server, "addr", "add", f"{own}/24", "dev", dev)
            run("ip", "-n", server, "neigh", "add", other, "lladdr", mac, "dev", dev, "nud", "permanent")
            with contextlib.suppress(subprocess.CalledProcessError):
                self.inside(server, "ethtool", "-K", dev, "gro", "on")
            self.inside(server, "sh", "-c", f"echo 1 > /sys/class/net/{dev}/threaded || true")
        run("ip", "-n", server, "route", "add", "10.64.0.0/16", "via", CLIENT_IP)
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for ns in self.ns.values():
            subprocess.run(["ip", "netns", "del", ns], capture_output=True, check=False)

    @staticmethod
    def inside(ns, *command, **kwargs):
        return run("ip", "netns", "exec", ns, *command, **kwargs)

    @staticmethod
    def napi_threads():
        """Kernel threads that poll the server's interfaces."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    name = (entry / "comm").read_text().strip()
                    if name.startswith(("napi/s0", "napi/s1")):
                        found.append(int(entry.name))
        return found

    @contextlib.contextmanager
    def server(self, kind, directory, binary=None, cpu=0, threads=1, extra=""):
        """A fresh server, pinned to one CPU together with its interfaces' threads; yields its pid."""
        config = pathlib.Path(directory) / f"{kind}.conf"
        config.write_text(CONFIG.format(client_side=SERVER_CLIENT_SIDE, peer_side=SERVER_PEER_SIDE, threads=threads,
                                        directory=directory, name=kind, extra=extra))
        command = [binary, "serve", "-c", str(config)] if kind != "coturn" else ["turnserver", "-c", str(config)]
        log = open(pathlib.Path(directory) / f"{kind}.log", "wb")
        pin = ["taskset", "-c", str(cpu)] if cpu is not None else []
        process = subprocess.Popen(["ip", "netns", "exec", self.ns["server"], *pin, *command],
                                   stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            self._wait(process)
            if cpu is not None:
                for pid in self.napi_threads():
                    subprocess.run(["taskset", "-pc", str(cpu), str(pid)], capture_output=True, check=False)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            log.close()

    def _wait(self, process):
        deadline = time.monotonic() + 20
        probe = ("import socket,sys;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.settimeout(.3);"
                 f"s.sendto(bytes.fromhex('000100002112a442'+'00'*12),('{SERVER_CLIENT_SIDE}',3478));"
                 "sys.exit(0 if s.recv(99)[0]==1 else 1)")
        while subprocess.run(["ip", "netns", "exec", self.ns["server"], "/usr/bin/python3", "-c", probe],
                             capture_output=True, check=False).returncode != 0:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the server did not come up")
            time.sleep(0.1)

    def load_command(self, program, mode, pids, cpu=1, **options):
        command = ["taskset", "-c", str(cpu)] if cpu is not None else []
        command += [program, mode, "--server", SERVER_CLIENT_SIDE,
                    "--client-end", f"{self.ns['client']},c0,{MAC['s0']},{CLIENT_IP}",
                    "--peer-end", f"{self.ns['peer']},p0,{MAC['s1']},{PEER_IP}"]
        for pid in pids:
            command += ["--pid", str(pid)]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        return command

    def load(self, program, mode, pids, **options):
        """Run the generator to its end; returns what it measured."""
        return json.loads(run(*self.load_command(program, mode, pids, **options)).stdout)


def resident_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0

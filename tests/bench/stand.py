# SPDX-License-Identifier: Apache-2.0
"""The stand: three network namespaces in a row, client - server - peer, joined by veth pairs.

Frames enter and leave the outer namespaces through packet sockets, so these have no IP at all.  The
server's two interfaces have threaded NAPI, whose kernel threads are pinned to the server's CPU and
counted as its cost.

With `hosts` the outer namespaces have addresses, for clients and peers on TCP.  What comes to them is
steered to the generator's CPU (RPS): receiving must not be done, and counted, where the server sends.
"""
import contextlib
import ipaddress
import json
import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLIENT_IP, SERVER_CLIENT_SIDE = "10.1.0.2", "10.1.0.1"
PEER_IP, SERVER_PEER_SIDE = "10.2.0.2", "10.2.0.1"
GHOST_IP = "10.2.0.3"  # of peers in a packet socket, where the peer namespace has an address of its own
CLIENT_IPS = 16  # with `hosts`: CLIENT_IP and those behind it
MAC = {"c0": "02:00:00:00:01:01", "s0": "02:00:00:00:01:02", "p0": "02:00:00:00:02:01", "s1": "02:00:00:00:02:02"}
CONFIG = """listening-port=3478
listening-ip={client_side}
relay-ip={peer_side}
realm=example.org
lt-cred-mech
user=user:pass
relay-threads={threads}
min-port={ports[0]}
max-port={ports[1]}
no-cli
{listeners}
no-stdout-log
log-file={log}
simple-log
pidfile={directory}/{name}.pid
{extra}
"""


# What `ethtool -K DEV gro on` or `tso off` does: one feature of an interface, by SIOCETHTOOL.
SET_FEATURE = """import array, fcntl, socket, struct, sys
value = array.array("I", [int(sys.argv[2]), int(sys.argv[3])])
request = struct.pack("16sP16x", sys.argv[1].encode(), value.buffer_info()[0])
fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8946, request)
"""
ETHTOOL_STSO, ETHTOOL_SGRO = 0x1f, 0x2c
LOAD_CPU = 1
LOAD_CLIENT_PORT, LOAD_PEER_PORT, BARE_PORT = 10000, 20000, 30000  # the first of each
MODERATION_NS = 50000  # between two looks of the generator's interfaces
# Priorities of the server and of its interfaces' threads.  "interrupts": the threads interrupt the server, as softirqs
# do, and nobody else interrupts them.  "turns": the server runs until it waits.  "fair": as the scheduler pleases.
SCHEDULING = {"interrupts": (1, 2), "turns": (1, 1), "fair": None}
LOAD_PRIORITY = ["chrt", "-r", "1"]
LOAD_S = 180  # no generator takes longer
BPF_TECHNIQUES = ("xdp", "xdpfib", "xdp-generic", "tc")
ONLY_UDP = "no-tcp\nno-tls\nno-dtls"


def run(*command, **kwargs):
    return subprocess.run(command, check=True, capture_output=True, text=True, **kwargs)


def v6(address):
    """The address of an end that speaks IPv6, from that of one that speaks IPv4."""
    number = int(ipaddress.IPv4Address(address))
    return f"fd00::{number >> 16:x}:{number & 0xffff:x}"


def run_load(command):
    """A generator's answer; what it has to complain about goes where our own complaints go."""
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=LOAD_S).stdout)


def make_certificate(directory):
    """A server's key (ECDSA, P-256) and certificate: key.pem and cert.pem, for a server that gives up root."""
    key = pathlib.Path(directory) / "key.pem"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-keyout", str(key), "-out", str(pathlib.Path(directory) / "cert.pem"), "-days", "30", "-subj", "/CN=localhost")
    key.chmod(0o644)


def stream_listeners(directory):
    """Configuration of a server that serves TCP and TLS clients, too."""
    return f"no-dtls\ntls-listening-port=5349\ncert={directory}/cert.pem\npkey={directory}/key.pem"


class Stand:
    def __init__(self, name="sterna-bench", hosts=False, scheduling="fair"):
        self.hosts = hosts
        self.priorities = SCHEDULING[scheduling]
        self.strange_threads = set()  # of another stand's interfaces
        self.ns = {side: f"{name}-{side}" for side in ("client", "server", "peer")}

    def __enter__(self):
        self.close()
        self.strange_threads = set(self.napi_threads(("s0", "s1", "c0", "p0")))
        for ns in self.ns.values():
            run("ip", "netns", "add", ns)
            run("ip", "-n", ns, "link", "set", "lo", "up")
        for outer, inner, side in (("c0", "s0", "client"), ("p0", "s1", "peer")):
            run("ip", "-n", self.ns["server"], "link", "add", inner, "address", MAC[inner], "type", "veth",
                "peer", "name", outer, "address", MAC[outer], "netns", self.ns[side])
            for dev, ns in ((outer, self.ns[side]), (inner, self.ns["server"])):
                if self.hosts or ns != self.ns["server"]:
                    self.inside(ns, "sysctl", "-qw", f"net.ipv6.conf.{dev}.disable_ipv6=1")
                run("ip", "-n", ns, "link", "set", dev, "addrgenmode", "none", "up")
        server = self.ns["server"]
        for dev, own, other, mac in (("s0", SERVER_CLIENT_SIDE, CLIENT_IP, MAC["c0"]),
                                     ("s1", SERVER_PEER_SIDE, PEER_IP, MAC["p0"])):
            run("ip", "-n", server, "addr", "add", f"{own}/24", "dev", dev)
            run("ip", "-n", server, "neigh", "add", other, "lladdr", mac, "dev", dev, "nud", "permanent")
            if not self.hosts:
                run("ip", "-n", server, "addr", "add", f"{v6(own)}/120", "dev", dev, "nodad")
                run("ip", "-n", server, "neigh", "add", v6(other), "lladdr", mac, "dev", dev, "nud", "permanent")
            self._poll_in_threads(dev, *(("c0", "client") if dev == "s0" else ("p0", "peer")))
        # Floods come from everywhere.
        run("ip", "-n", server, "route", "add", "10.0.0.0/8", "via", CLIENT_IP)
        if self.hosts:
            self._add_hosts()
        return self

    def _add_hosts(self):
        server = self.ns["server"]
        # The ghost is a packet socket: it wants packets as a wire carries them.
        self.inside(server, "ethtool", "-K", "s1", "tx-udp-segmentation", "off")
        run("ip", "-n", server, "neigh", "add", GHOST_IP, "lladdr", MAC["p0"], "dev", "s1", "nud", "permanent")
        first = ipaddress.IPv4Address(CLIENT_IP)
        for dev, side, gateway, mac, own in (
                ("c0", "client", SERVER_CLIENT_SIDE, MAC["s0"], [str(first + i) for i in range(CLIENT_IPS)]),
                ("p0", "peer", SERVER_PEER_SIDE, MAC["s1"], [PEER_IP])):
            ns = self.ns[side]
            for address in own:
                run("ip", "-n", ns, "addr", "add", f"{address}/24", "dev", dev)
                run("ip", "-n", server, "neigh", "replace", address, "lladdr", MAC[dev],
                    "dev", "s0" if side == "client" else "s1", "nud", "permanent")
            run("ip", "-n", ns, "neigh", "add", gateway, "lladdr", mac, "dev", dev, "nud", "permanent")
            self.inside(ns, "sh", "-c", f"echo {1 << LOAD_CPU:x} > /sys/class/net/{dev}/queues/rx-0/rps_cpus")
            # Connections by the ten thousand leave as many ports in TIME-WAIT.
            self.inside(ns, "sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65535", "net.ipv4.tcp_tw_reuse=1")

    def __exit__(self, *_):
        self.close()

    def close(self):
        for ns in self.ns.values():
            subprocess.run(["ip", "netns", "del", ns], capture_output=True, check=False)

    def _set_feature(self, ns, dev, feature, on):
        with contextlib.suppress(subprocess.CalledProcessError):
            self.inside(ns, "/usr/bin/python3", "-c", SET_FEATURE, dev, str(feature), str(int(on)))

    def _poll_in_threads(self, dev, other, other_side):
        """Threaded NAPI; napi_threads() tells whether the kernel has it.

        A veth interface has NAPI with GRO only, and uses it only for what comes from a sender without
        TSO: it gets packets, as from a wire.
        """
        self._set_feature(self.ns["server"], dev, ETHTOOL_SGRO, True)
        self._set_feature(self.ns[other_side], other, ETHTOOL_STSO, False)
        with contextlib.suppress(subprocess.CalledProcessError):
            self.inside(self.ns["server"], "sh", "-c", f"echo 1 > /sys/class/net/{dev}/threaded")
        if self.hosts:
            return
        # What the server sends wakes nobody up, which would be counted as its cost: timers on the generator's CPU
        # look what has come, as a card with interrupt moderation does.
        self._set_feature(self.ns[other_side], other, ETHTOOL_SGRO, True)
        self.inside(self.ns[other_side], "sh", "-c", f"cd /sys/class/net/{other} && echo 1 > threaded && "
                    f"echo 100000 > napi_defer_hard_irqs && echo {MODERATION_NS} > gro_flush_timeout")

    @staticmethod
    def inside(ns, *command, **kwargs):
        return run("ip", "netns", "exec", ns, *command, **kwargs)

    def napi_threads(self, devices=("s0", "s1")):
        """Kernel threads that poll the server's interfaces, or others."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    name = (entry / "comm").read_text().strip()
                    if name.startswith(tuple(f"napi/{dev}-" for dev in devices)):
                        found.append(int(entry.name))
        return [pid for pid in found if pid not in self.strange_threads]

    @contextlib.contextmanager
    def server(self, kind, directory, binary=None, cpu=0, threads=1, extra="", listeners=ONLY_UDP,
               ports=(1024, 65535), events="/dev/null"):
        """A fresh server, pinned to one CPU together with its interfaces' threads; yields its pid.

        Of coturn, or sterna with whatever ending; it writes its log to `events`.
        """
        config = pathlib.Path(directory) / f"{kind}.conf"
        config.write_text(CONFIG.format(client_side=SERVER_CLIENT_SIDE, peer_side=SERVER_PEER_SIDE, threads=threads,
                                        directory=directory, name=kind, extra=extra, listeners=listeners, ports=ports,
                                        log=events))
        command = [binary, "serve"] if kind.startswith("sterna") else ["turnserver"]
        command += ["-c", str(config)]
        log = open(pathlib.Path(directory) / f"{kind}.log", "wb")
        pin = self._first() if cpu is not None else []
        pin += ["taskset", "-c", str(cpu)] if cpu is not None else []
        process = subprocess.Popen(["ip", "netns", "exec", self.ns["server"], *pin, *command],
                                   stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            self._wait(process, () if listeners == ONLY_UDP else (3478, 5349))
            if cpu is not None:
                self._place_threads(cpu)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            log.close()

    @contextlib.contextmanager
    def forwarder(self, program, technique, clients, cpu=0):
        """A forwarder without a protocol, like a server; yields its pid and its first relay address."""
        command = [program, technique, f"{SERVER_CLIENT_SIDE}:3478", f"{SERVER_PEER_SIDE}:{BARE_PORT}",
                   f"{CLIENT_IP}:{LOAD_CLIENT_PORT}", f"{PEER_IP}:{LOAD_PEER_PORT}", str(clients)]
        if technique in BPF_TECHNIQUES:
            command += [f"s0,{MAC['c0']}", f"s1,{MAC['p0']}"]
            # A look-up for what this host sends itself: no interface has to be a router's.
            self.inside(self.ns["server"], "sysctl", "-qw", "net.ipv4.conf.lo.forwarding=1")
        process = subprocess.Popen(["ip", "netns", "exec", self.ns["server"], *self._first(), "taskset", "-c", str(cpu),
                                    *command], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        try:
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("the forwarder did not come up")
            self._place_threads(cpu)
            yield process.pid, f"{SERVER_PEER_SIDE}:{BARE_PORT}"
        finally:
            process.kill()
            process.wait()

    def _first(self):
        """What begins a command that goes before what else the machine does."""
        return ["chrt", "-r", str(self.priorities[0])] if self.priorities else []

    def _place_threads(self, cpu):
        policy = ["-r", "-p", str(self.priorities[1])] if self.priorities else ["-o", "-p", "0"]
        for pid in map(str, self.napi_threads()):
            for command in (["taskset", "-pc", str(cpu), pid], ["renice", "-n", "-20", "-p", pid],
                            ["chrt", *policy, pid]):
                subprocess.run(command, capture_output=True, check=False)

    def _wait(self, process, stream_ports):
        deadline = time.monotonic() + 20
        probe = ("import socket,sys;"
                 f"[socket.create_connection(('{SERVER_CLIENT_SIDE}',p),.3).close() for p in {stream_ports}];"
                 "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.settimeout(.3);"
                 f"s.sendto(bytes.fromhex('000100002112a442'+'00'*12),('{SERVER_CLIENT_SIDE}',3478));"
                 "sys.exit(0 if s.recv(99)[0]==1 else 1)")
        while subprocess.run(["ip", "netns", "exec", self.ns["server"], "/usr/bin/python3", "-c", probe],
                             capture_output=True, check=False).returncode != 0:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the server did not come up")
            time.sleep(0.1)

    def load_command(self, program, mode, pids, cpu=LOAD_CPU, **options):
        """Options that are True have no value."""
        command = [*LOAD_PRIORITY, "taskset", "-c", str(cpu)] if cpu is not None else []
        command += [program, mode, "--server", SERVER_CLIENT_SIDE,
                    "--client-end", f"{self.ns['client']},c0,{MAC['s0']},{CLIENT_IP}",
                    "--peer-end", f"{self.ns['peer']},p0,{MAC['s1']},{PEER_IP}"]
        for pid in pids:
            command += ["--pid", str(pid)]
        for pid in self.napi_threads(("c0", "p0")):
            subprocess.run(["taskset", "-pc", str(LOAD_CPU), str(pid)], capture_output=True, check=False)
            subprocess.run(["chrt", "-f", "-p", "2", str(pid)], capture_output=True, check=False)
            command += ["--own", str(pid)]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
        return command

    def stream_load_command(self, program, mode, pids, cpu=LOAD_CPU, **options):
        """Options that are True have no value."""
        command = ["taskset", "-c", str(cpu), program, mode, "--server", SERVER_CLIENT_SIDE,
                   "--client-end", f"{self.ns['client']},{CLIENT_IP},{CLIENT_IPS}",
                   "--peer-end", f"{self.ns['peer']},{PEER_IP},p0,{MAC['s1']},{GHOST_IP}"]
        for pid in pids:
            command += ["--pid", str(pid)]
        for name, value in options.items():
            command += [f"--{name}"] + ([] if value is True else [str(value)])
        return command

    def load(self, program, mode, pids, **options):
        """Run the generator to its end; returns what it measured."""
        return run_load(self.load_command(program, mode, pids, **options))

    def stream_load(self, program, mode, pids, **options):
        return run_load(self.stream_load_command(program, mode, pids, **options))


def resident_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0

# SPDX-License-Identifier: Apache-2.0
"""sterna probe --nat: which NAT stands between client and server, through real NATs made with nftables."""
import json
import select
import shutil
import socket
import subprocess

import pytest

import turn
from conftest import LIMIT_S, STERNA, free_port, inside, wait_for
from fake_server import FakeServer
from test_probe import COTURN, probe, steps_of

pytestmark = pytest.mark.long  # silence is an outcome: most of it is waiting

CLIENT, INNER, OUTER, SERVER, SECOND = "10.9.0.2", "10.9.0.1", "198.51.100.1", "198.51.100.2", "198.51.100.3"
OTHER_ADDRESS, CHANGE_REQUEST = 0x802C, bytes([0x00, 0x03, 0x00, 0x04])
KINDS = [kind for kind in ("sterna", "coturn") if kind != "coturn" or COTURN]
OWN_PORTS = "udp dport 32768-65535"  # those that the client sends from, which the NAT keeps

MASQUERADE = """
chain after { type nat hook postrouting priority srcnat;
  oifname "wan" %s
}"""

# What each NAT does: mapping, filtering, and whether hosts inside reach each other by its outer address.
NATS = {
    "full cone": (MASQUERADE % "masquerade" + f"""
        chain loop {{ type nat hook postrouting priority srcnat - 1;
          oifname "lan" ip saddr {CLIENT} snat to {OUTER}
        }}
        chain before {{ type nat hook prerouting priority dstnat;
          ip daddr {OUTER} {OWN_PORTS} dnat to {CLIENT}
        }}""", "endpoint-independent", "endpoint-independent", True),
    "restricted cone": (MASQUERADE % "masquerade" + f"""
        set known {{ type ipv4_addr; flags dynamic; }}
        chain seen {{ type filter hook forward priority filter;
          oifname "wan" add @known {{ ip daddr }}
        }}
        chain before {{ type nat hook prerouting priority dstnat;
          iifname "wan" ip saddr @known {OWN_PORTS} dnat to {CLIENT}
        }}""", "endpoint-independent", "address-dependent", False),
    "port restricted cone": (MASQUERADE % "masquerade", "endpoint-independent", "address-and-port-dependent", False),
    "symmetric": (MASQUERADE % "masquerade random,fully-random", "address-and-port-dependent",
                  "address-and-port-dependent", False),
    "symmetric by host": (MASQUERADE % f"ip daddr {SECOND} ip protocol udp snat to {OUTER}:30000\n"
                          'oifname "wan" masquerade',
                          "address-dependent", "address-and-port-dependent", False),
}
FIREWALL = """
chain forward { type filter hook forward priority filter;
  iifname "wan" ct state new drop
}"""
NO_UDP = """
chain forward { type filter hook forward priority filter;
  meta l4proto udp drop
}"""


class Server:
    """A server with behaviour discovery on two addresses of the outer network, or only on one."""

    def __init__(self, kind, directory, netns, addresses=(SERVER, SECOND)):
        self.output = directory / "server.log"
        self.port = free_port()
        listen = [f"listening-ip={ip}" for ip in addresses]
        own = {"coturn": ["no-cli", "cli-password=x", "no-tls", "no-dtls", "log-file=stdout",
                          f"pidfile={directory}/pid", f"alt-listening-port={self.port + 1}"],
               "sterna": ["rfc5780", f"alt-listening-port={self.port + 1}", "no-auth"]}[kind]
        conf = directory / "server.conf"
        conf.write_text("\n".join([f"listening-port={self.port}", "realm=example.org", *listen, *own, ""]))
        program = [COTURN] if kind == "coturn" else [STERNA, "serve"]
        with open(self.output, "wb") as out:
            self.process = subprocess.Popen(["ip", "netns", "exec", netns, *program, "-c", str(conf)], stdout=out,
                                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=directory)
        self.netns, self.ip = netns, addresses[0]
        wait_for(self.answers, "the server")

    def answers(self):
        assert self.process.poll() is None, self.output.read_text()
        with inside(self.netns):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sock:
            sock.sendto(turn.encode(turn.BINDING, [], b"probe-ready!"), (self.ip, self.port))
            return bool(select.select([sock], [], [], 0.1)[0])

    def stop(self):
        self.process.terminate()
        self.process.wait(LIMIT_S)


class Lab:
    """Client, NAT and server, each in a namespace of its own."""

    def __init__(self, network, directory):
        if shutil.which("nft") is None:
            pytest.skip("nftables is not installed")
        self.directory, self.server = directory, None
        self.client, self.nat, self.outside = (network.space(name) for name in ("client", "nat", "outside"))
        network.cable(self.client, "eth", self.nat, "lan")
        network.cable(self.nat, "wan", self.outside, "eth")
        network.address(self.client, "eth", f"{CLIENT}/24")
        network.address(self.nat, "lan", f"{INNER}/24")
        network.address(self.nat, "wan", f"{OUTER}/24")
        network.address(self.outside, "eth", f"{SERVER}/24", f"{SECOND}/24")
        network.route(self.client, "default", "via", INNER)
        network.route(self.outside, "10.9.0.0/24", "via", OUTER)  # for those without NAT
        self.run(self.nat, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")

    @staticmethod
    def run(netns, *command, text=None):
        return subprocess.run(["ip", "netns", "exec", netns, *command], input=text, check=True, timeout=LIMIT_S,
                              text=True)

    def rules(self, chains):
        self.run(self.nat, "nft", "-f", "-", text=f"table ip lab {{\n{chains}\n}}\n")

    def serve(self, kind, **more):
        self.server = Server(kind, self.directory, self.outside, **more)

    def probe(self, *args):
        return probe(f"stun:{SERVER}:{self.server.port if self.server else 3478}", "--nat", *args,
                     wrap=("ip", "netns", "exec", self.client))

    def close(self):
        if self.server:
            self.server.stop()


@pytest.fixture(name="nat_lab")
def nat_lab_fixture(network, tmp_path):
    made = Lab(network, tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NATS)
def test_each_kind_of_nat_is_told(nat_lab, name, kind):
    rules, mapping, filtering, hairpin = NATS[name]
    nat_lab.rules(rules)
    nat_lab.serve(kind)
    done = nat_lab.probe("--json")
    steps = steps_of(done)
    assert done.returncode == 0, done.stdout + done.stderr
    assert steps["udp"]["values"]["nat"] is True
    assert steps["udp"]["values"]["mapped"].startswith(OUTER + ":")
    assert steps["rfc 5780"]["values"]["other"] == f"{SECOND}:{nat_lab.server.port + 1}"
    assert steps["mapping"]["values"]["mapping"] == mapping, done.stdout
    assert steps["filtering"]["values"]["filtering"] == filtering, done.stdout
    assert steps["hairpin"]["values"]["hairpin"] is hairpin
    verdict = steps["verdict"]["values"]
    assert verdict["kind"] == ("symmetric" if "symmetric" in name else name) + " NAT"
    assert verdict["direct_calls"] == {"full cone": "yes", "restricted cone": "likely",
                                       "port restricted cone": "likely"}.get(name, "unlikely")


@pytest.mark.parametrize("kind", KINDS)
def test_a_firewall_without_nat(nat_lab, kind):
    nat_lab.rules(FIREWALL)
    nat_lab.serve(kind)
    done = nat_lab.probe("--json")
    steps = steps_of(done)
    assert done.returncode == 0, done.stdout + done.stderr
    assert steps["udp"]["values"]["nat"] is False
    assert steps["verdict"]["values"]["kind"] == "no NAT, but a firewall"
    assert steps["hairpin"]["result"] == "skipped"


@pytest.mark.parametrize("kind", KINDS)
def test_no_nat_at_all(nat_lab, kind):
    nat_lab.serve(kind)
    done = nat_lab.probe()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no NAT: direct calls work" in done.stdout
    assert "hairpin, binding lifetime" in done.stdout


def test_udp_that_is_blocked(nat_lab):
    nat_lab.rules(NO_UDP)
    nat_lab.serve("sterna")
    done = nat_lab.probe("--timeout", "1")
    assert done.returncode == 3
    assert "blocks UDP" in done.stdout and "turns:" in done.stdout
    assert "skipped  rfc 5780" in done.stdout


def test_a_server_with_one_address_tells_less(nat_lab):
    nat_lab.rules(NATS["full cone"][0])
    nat_lab.serve("sterna", addresses=(SERVER,))
    done = nat_lab.probe("--json")
    steps = steps_of(done)
    assert done.returncode == 3
    assert steps["rfc 5780"]["values"]["supported"] is False
    assert "two listening-ip" in steps["rfc 5780"]["advice"]
    assert steps["mapping"]["result"] == steps["filtering"]["result"] == "skipped"
    assert steps["hairpin"]["values"]["hairpin"] is True
    assert steps["verdict"]["values"]["kind"] == "NAT of unknown kind"


def other(ip, port):
    def value(_tid):
        return OTHER_ADDRESS, b"\0\1" + port.to_bytes(2, "big") + socket.inet_aton(ip)
    return value


def mapped(tid):
    return turn.XOR_MAPPED, turn.xor_address(("192.0.2.1", 4000), tid)


@pytest.mark.parametrize("ip, port", [("127.0.0.1", 9), ("127.0.0.2", 0), ("127.0.0.2", None)])
def test_an_other_address_that_is_of_no_use(ip, port):
    with FakeServer(lambda *_: [mapped, other(ip, fake.port if port is None else port)]) as fake:
        done = probe(fake.uri, "--nat", "--json")
    steps = steps_of(done)
    assert done.returncode == 3
    assert "of no use" in steps["rfc 5780"]["text"]
    assert steps["mapping"]["result"] == "skipped"


def test_a_server_that_ignores_change_request():
    with FakeServer(lambda *_: [mapped, other("127.0.0.2", 9)]) as fake:
        done = probe(fake.uri, "--nat", "--json", "--timeout", "1")
    steps = steps_of(done)
    assert done.returncode == 3
    assert "no answer from 127.0.0.2" in steps["mapping"]["text"]
    assert "ignores CHANGE-REQUEST" in steps["filtering"]["advice"]
    assert steps["verdict"]["values"]["direct_calls"] == "unknown"


def test_a_server_that_refuses_change_request():
    with FakeServer(lambda _, raw: 420 if CHANGE_REQUEST in raw else [mapped, other("127.0.0.2", 9)]) as fake:
        done = probe(fake.uri, "--nat", "--json", "--timeout", "1")
    assert done.returncode == 3
    assert "(420)" in steps_of(done)["filtering"]["text"]


@pytest.mark.parametrize("answer", [[], 400])
def test_an_answer_without_our_address(answer):
    with FakeServer(lambda *_: answer) as fake:
        done = probe(fake.uri, "--nat", "--json")
    assert done.returncode == 3
    assert "does not tell our address" in json.loads(done.stdout)["steps"][0]["text"]


@pytest.mark.parametrize("args, word", [
    (["--nat", "--mobility", "turn:host"], "at a time"),
    (["--nat", "turns:host"], "UDP"),
    (["--nat", "turn:host?transport=tcp"], "UDP"),
])
def test_wrong_usage_is_told(args, word):
    done = subprocess.run([STERNA, "probe", *args], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 2
    assert word in done.stderr

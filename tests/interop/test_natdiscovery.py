# SPDX-License-Identifier: Apache-2.0
"""NAT behaviour discovery (RFC 5780) by coturn's clients, and the NAT types of RFC 3489 by a client of its days (stun,
of the package stun-client): behind NATs of nftables, each finds what is there."""
import importlib.util
import os
import re
import shutil
import subprocess
import sys

import pytest

from conftest import KIND, ROOT


def load(name, path):
    """A module by its file: there is a conftest.py in either folder."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


system = load("system_conftest", ROOT / "tests" / "system" / "conftest.py")

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
              pytest.mark.skipif(KIND == "coturn", reason="the server stands in a namespace of its own")]

PUBLIC, INNER = "203.0.113.9", "10.0.0.2"
SERVER = "203.0.113.1", "203.0.113.2"
CHAINS = {"out": "type nat hook postrouting priority 100", "back": "type nat hook prerouting priority -100",
          "through": "type filter hook forward priority 0"}
ONE_ADDRESS = f"oif n1 snat to {PUBLIC}"
TO_CLIENT = f"udp dport 1024-65535 dnat to {INNER}"


def rules(sets="", **chains):
    """A file for nft(8)."""
    lines = ["flush ruleset", "table ip nat {", sets]
    for name, rule in chains.items():
        lines += [f"chain {name} {{", CHAINS[name], *([rule] if isinstance(rule, str) else rule), "}"]
    return "\n".join(lines + ["}"]) + "\n"


def seen(kind, key):
    """Who has been sent something may answer: the addresses, or the addresses and ports, that packets went to."""
    return rules(sets=f"set seen {{\ntype {kind}\nsize 1000\nflags dynamic\n}}", out=ONE_ADDRESS,
                 through=f"oif n1 add @seen {{ {key.replace('saddr', 'daddr').replace('sport', 'dport')} }}",
                 back=f"iif n1 {key} @seen {TO_CLIENT}")


INDEPENDENT, BY_ADDRESS, BY_PORT = "Endpoint Independent", "Address Dependent", "Address and Port Dependent"
NATS = {  # nftables, mapping and filtering by RFC 5780, what the classic client calls it
    "full cone": (rules(out=ONE_ADDRESS, back=f"iif n1 {TO_CLIENT}"), INDEPENDENT, INDEPENDENT,
                  "Independent Mapping, Independent Filter"),
    "restricted": (seen("ipv4_addr", "ip saddr"), INDEPENDENT, BY_ADDRESS,
                   "Independent Mapping, Address Dependent Filter"),
    "port-restricted": (seen("ipv4_addr . inet_service", "ip saddr . udp sport"), INDEPENDENT, BY_PORT,
                        "Independent Mapping, Port Dependent Filter"),
    "symmetric": (rules(out="oif n1 masquerade fully-random"), BY_PORT, BY_PORT, "Dependent Mapping"),
}
HAIRPIN = rules(out=[ONE_ADDRESS, f"ip saddr {INNER} ip daddr {INNER} snat to {PUBLIC}"],
                back=f"ip daddr {PUBLIC} {TO_CLIENT}")


class Home:
    """A client, its NAT, and a server with two public addresses."""

    def __init__(self, net, directory):
        self.net = net
        self.client, self.nat, self.outside = (net.space(name) for name in ("client", "nat", "outside"))
        net.cable(self.client, "c0", self.nat, "n0")
        net.cable(self.nat, "n1", self.outside, "s0")
        net.address(self.client, "c0", f"{INNER}/24", "10.0.0.3/24")
        net.address(self.nat, "n0", "10.0.0.1/24")
        net.address(self.nat, "n1", f"{PUBLIC}/24")
        net.address(self.outside, "s0", *(f"{ip}/24" for ip in SERVER))
        net.route(self.client, "default", "via", "10.0.0.1")
        net.run("ip", "netns", "exec", self.nat, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.server = system.Sterna(directory, netns=self.outside, listening_ip=list(SERVER), listening_port=3478,
                                    stun_only=True, rfc5780=True, rfc5780_padding=True, rfc5780_response_port=True,
                                    rfc3489_compatibility=True).ready()

    def use(self, ruleset):
        subprocess.run(["ip", "netns", "exec", self.nat, "nft", "-f", "-"], input=ruleset, text=True, check=True,
                       timeout=30)

    def forget(self):
        """What a client before has made the NAT remember."""
        subprocess.run(["ip", "netns", "exec", self.nat, "nft", "flush", "set", "ip", "nat", "seen"], check=False,
                       stderr=subprocess.DEVNULL, timeout=30)

    def run(self, *command):
        done = subprocess.run(["ip", "netns", "exec", self.client, *command, SERVER[0]], capture_output=True, text=True,
                              timeout=60, check=False)
        return done.stdout + done.stderr


@pytest.fixture(name="home", scope="module")
def home_fixture(tmp_path_factory):
    net = system.Network()
    net.prefix = f"sterna-nat-{os.getpid()}"
    home = None
    try:
        home = Home(net, tmp_path_factory.mktemp("home"))
        yield home
        assert home.server.stop() == 0, home.server.text
        assert "Sanitizer" not in home.server.text and "runtime error" not in home.server.text, home.server.text
    finally:
        if home is not None:
            home.server.stop()
        net.close()


# Proves T-5780-6.1-03, T-5780-6.1-04, T-5780-6.1-06, T-5780-6.1-07, T-5780-6.1-08
@pytest.mark.parametrize("nat", NATS)
@pytest.mark.parametrize("padding", [(), ("-P",)], ids=["plain", "padding"])
def test_natdiscovery(home, nat, padding):
    ruleset, mapping, filtering, _ = NATS[nat]
    home.use(ruleset)
    output = home.run("turnutils_natdiscovery", "-m", *padding)
    assert f"NAT with {mapping} Mapping!" in output, output
    home.forget()
    output = home.run("turnutils_natdiscovery", "-f", *padding)
    assert f"NAT with {filtering} Filtering!" in output, output


# Proves T-5389-12.2-01, T-5389-12.2-02, T-3489-8.1-01
@pytest.mark.parametrize("nat", NATS)
@pytest.mark.skipif(shutil.which("stun") is None, reason="no stun-client")
def test_classic_client(home, nat):
    home.use(NATS[nat][0])
    output = home.run("stun")
    assert f"Primary: {NATS[nat][3]}" in output, output


@pytest.mark.skipif(shutil.which("stun") is None, reason="no stun-client")
def test_hairpin(home):
    home.use(HAIRPIN)
    assert "successful hairpinning" in home.run("turnutils_natdiscovery", "-H")
    assert "will hairpin" in home.run("stun")


# Proves T-5780-7.5-01
def test_mapping_lifetime(home):
    """By RESPONSE-PORT: the second answer comes to the port of the first."""
    home.use(NATS["full cone"][0])
    output = home.run("turnutils_natdiscovery", "-t", "-T", "1")
    mapped = re.findall(r"UDP reflexive addr: (\S+)", output)
    assert output.count("RFC 5780 response") == 2 and len(set(mapped)) == 2, output
    assert "timeout" not in output


def test_collision(home):
    home.use(rules(out="oif n1 masquerade"))
    output = home.run("turnutils_natdiscovery", "-c", "-L", INNER, "-l", "5000", "-A", "10.0.0.3")
    mapped = re.findall(r"UDP reflexive addr: (\S+)", output)
    assert len(mapped) == 2 and mapped[0] == f"{PUBLIC}:5000" != mapped[1], output


def test_stunclient(home):
    home.use(NATS["full cone"][0])
    output = home.run("turnutils_stunclient", "-f")
    for source in f"{SERVER[0]}:3478", f"{SERVER[1]}:3479":
        assert f"Response origin: : {source}" in output, output
    assert f"Other addr: : {SERVER[1]}:3479" in output and f"UDP reflexive addr: {PUBLIC}:" in output, output


def test_no_nat(home):
    """From an address of the server's own network."""
    home.net.run("ip", "netns", "exec", home.nat, "nft", "flush", "ruleset")
    done = subprocess.run(["ip", "netns", "exec", home.nat, "turnutils_natdiscovery", "-m", "-f", "-L", PUBLIC,
                           SERVER[0]], capture_output=True, text=True, timeout=60, check=False)
    assert "No NAT!" in done.stdout + done.stderr and f"NAT with {INDEPENDENT} Filtering!" in done.stdout + done.stderr

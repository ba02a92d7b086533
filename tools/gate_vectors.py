#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Write the test vectors of the peer gate: tests/vectors/gate/special.txt.

The expected verdicts come from the IANA special-purpose registries as listed here and from
Python's ipaddress module, whose own judgement of every address is compared on the way; nothing is
taken from the server's code.  The same seed gives the same file:

    tools/gate_vectors.py > tests/vectors/gate/special.txt
"""

import ipaddress
import random
import sys

V4 = ipaddress.IPv4Address
V6 = ipaddress.IPv6Address

# Network and verdict; the longest prefix holds.
REGISTRY_V4 = [
    ("0.0.0.0/0", "open"),
    ("0.0.0.0/8", "unspecified"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "private"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "special"),
    ("192.0.0.0/29", "special"),
    ("192.0.0.8/32", "special"),
    ("192.0.0.10/32", "open"),
    ("192.0.0.170/32", "special"),
    ("192.0.0.171/32", "special"),
    ("192.0.2.0/24", "special"),
    ("192.31.196.0/24", "open"),
    ("192.52.193.0/24", "open"),
    ("192.88.99.0/24", "special"),
    ("192.168.0.0/16", "private"),
    ("192.175.48.0/24", "open"),
    ("198.18.0.0/15", "special"),
    ("198.51.100.0/24", "special"),
    ("203.0.113.0/24", "special"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "special"),
    ("255.255.255.255/32", "multicast"),
]
REGISTRY_V6 = [
    ("::/0", "special"),  # reserved by the IETF unless listed below
    ("2000::/3", "open"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("64:ff9b::/96", "open"),
    ("64:ff9b:1::/48", "special"),
    ("100::/64", "special"),
    ("100:0:0:1::/64", "special"),
    ("2001::/23", "special"),
    ("2001::/32", "tunnel"),
    ("2001:1::1/128", "special"),
    ("2001:1::2/128", "special"),
    ("2001:2::/48", "special"),
    ("2001:3::/32", "special"),
    ("2001:4:112::/48", "special"),
    ("2001:10::/28", "special"),
    ("2001:20::/28", "special"),
    ("2001:30::/28", "special"),
    ("2001:db8::/32", "special"),
    ("2002::/16", "tunnel"),
    ("2620:4f:8000::/48", "open"),
    ("3fff::/20", "special"),
    ("5f00::/16", "special"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "link-local"),
    ("ff00::/8", "multicast"),
]
FINAL = {"unspecified", "loopback", "multicast", "tunnel"}


def longest(registry):
    """The networks of `registry`, longest prefix first."""
    nets = [(ipaddress.ip_network(net), verdict) for net, verdict in registry]
    return sorted(nets, key=lambda row: -row[0].prefixlen)


NETS_V4 = longest(REGISTRY_V4)
NETS_V6 = longest(REGISTRY_V6)


def registered(ip):
    """The verdict of the registries on `ip` as it is."""
    nets = NETS_V4 if ip.version == 4 else NETS_V6
    return next(verdict for net, verdict in nets if ip in net)


def embedded(ip, bits):
    """The IPv4 address behind a prefix of `bits` (RFC 6052 section 2.2)."""
    digits = ip.packed[bits // 8 :] if bits > 64 else ip.packed[bits // 8 : 8] + ip.packed[9:]
    return V4(digits[:4])


def inner_addresses(ip):
    """The IPv4 addresses that the IPv6 address `ip` may stand for."""
    if ip in ipaddress.ip_network("64:ff9b:1::/48"):
        short = ip in ipaddress.ip_network("64:ff9b:1::/96")
        return [embedded(ip, bits) for bits in ([96] if short else [96, 64, 56, 48])]
    carriers = ["64:ff9b::/96", "::/96", "::ffff:0:0:0/96"]
    if any(ip in ipaddress.ip_network(net) for net in carriers) and int(ip) > 1:
        return [embedded(ip, 96)]
    return []


def softened(verdict, opened):
    return "open" if verdict in opened else verdict


def expected(ip, opened):
    """The gate's verdict on `ip` when the verdicts in `opened` are allowed."""
    if ip.version == 6 and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    outer = softened(registered(ip), opened)
    if ip.version == 4 or outer in FINAL:
        return outer
    for inner in inner_addresses(ip):
        verdict = softened(registered(inner), opened)
        if verdict != "open":
            return verdict
    return outer


def compare(ip):
    """Stop when the registries above and the ipaddress module disagree on `ip`."""
    if ip.version == 6 and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    verdict = registered(ip)
    # Registered after that module was written, or refused though some of it is global.
    apart = ["192.0.0.0/24", "192.88.99.0/24", "100.64.0.0/10", "2001::/23", "3fff::/20"]
    checks = [
        (verdict == "loopback", ip.is_loopback),
        (verdict == "multicast", ip.is_multicast or str(ip) == "255.255.255.255"),
        (verdict == "link-local", ip.is_link_local or (ip.version == 6 and ip.is_site_local)),
    ]
    if ip.version == 6:
        checks.append((verdict == "tunnel", ip.sixtofour is not None or ip.teredo is not None))
        nat64 = ip in ipaddress.ip_network("64:ff9b::/96")
        refused = ip.is_private or ip.is_multicast or (ip.is_reserved and not nat64)
        refused = refused or ip.is_site_local
    else:
        refused = ip.is_private or ip.is_multicast
    if not any(ip in ipaddress.ip_network(net) for net in apart):
        checks.append((verdict != "open", refused))
    if any(ours != theirs for ours, theirs in checks):
        sys.exit(f"{ip}: the registries say {verdict}, ipaddress disagrees: {checks}")


def edges(registry, kind):
    """First, last, one before and one after every network."""
    top = (1 << (32 if kind is V4 else 128)) - 1
    for net, _ in registry:
        network = ipaddress.ip_network(net)
        first, last = int(network[0]), int(network[-1])
        yield from (kind(n) for n in (first - 1, first, last, last + 1) if 0 <= n <= top)


def encodings(v4, rng):
    """Every IPv6 address that carries `v4`."""
    n = int(v4)
    yield V6((0xFFFF << 32) | n)  # mapped
    yield V6(n)  # compatible
    yield V6((0xFFFF << 48) | n)  # translated
    yield V6((0x2002 << 112) | (n << 80) | rng.getrandbits(80))  # 6to4
    yield V6((0x20010000 << 96) | (rng.getrandbits(64) << 32) | (n ^ 0xFFFFFFFF))  # Teredo
    yield V6((0x0064FF9B << 96) | n)  # NAT64
    yield V6((0x0064FF9B0001 << 80) | n)  # NAT64, local use, by prefix length
    yield V6((0x0064FF9B0001 << 80) | (n >> 16 << 64) | ((n & 0xFFFF) << 40))  # 48
    yield V6((0x0064FF9B0001AA << 72) | (n >> 24 << 64) | ((n & 0xFFFFFF) << 32))  # 56
    yield V6((0x0064FF9B0001AABB << 64) | (n << 24))  # 64


def random_v6(rng):
    """Anywhere, or anywhere in a network of the registry, or in global unicast."""
    way = rng.randrange(3)
    if way == 0:
        return V6(rng.getrandbits(128))
    if way == 1:
        return V6((1 << 125) | rng.getrandbits(125))
    network, _ = NETS_V6[rng.randrange(len(NETS_V6))]
    return V6(int(network[0]) | rng.getrandbits(128 - network.prefixlen or 1) % network.num_addresses)


def addresses():
    rng = random.Random(8656)
    famous = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "192.168.1.1"]
    famous += ["255.255.255.255", "100.64.0.1", "172.31.255.255", "8.8.8.8", "192.0.2.1"]
    yield from edges(REGISTRY_V4, V4)
    yield from edges(REGISTRY_V6, V6)
    for text in famous:
        yield V4(text)
        yield from encodings(V4(text), rng)
    for _ in range(600):
        yield V4(rng.getrandbits(32))
    for _ in range(60):
        yield from encodings(V4(rng.getrandbits(32)), rng)
    for _ in range(900):
        yield random_v6(rng)


def main():
    print("# SPDX-License-Identifier: Apache-2.0")
    print("# Made by tools/gate_vectors.py; do not edit.")
    print("# address, verdict by default, with private peers allowed, with loopback peers allowed")
    for ip in dict.fromkeys(addresses()):
        compare(ip)
        print(ip, expected(ip, ()), expected(ip, {"private"}), expected(ip, {"loopback"}))


if __name__ == "__main__":
    main()

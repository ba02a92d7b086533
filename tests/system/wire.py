# SPDX-License-Identifier: Apache-2.0
"""Frames of UDP datagrams, byte by byte: to send what no socket would, and to compare what comes out."""
import socket
import struct

IPV4, IPV6, VLAN, UDP = 0x0800, 0x86DD, 0x8100, 17
FRAGMENT, DESTINATION_OPTIONS = 44, 60
NO_OPERATION = b"\1\1\1\0"
PAD_6 = b"\1\4\0\0\0\0"
MORE = 0x2000


def checksum(data):
    """RFC 1071."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def address(ip):
    return socket.inet_pton(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip)


def udp(src, dst, data, length=None, no_sum=False):
    """A UDP datagram between two (ip, port)."""
    length = 8 + len(data) if length is None else length
    head = struct.pack("!HHH", src[1], dst[1], length)
    pseudo = address(src[0]) + address(dst[0]) + struct.pack("!II", length, UDP)
    total = 0 if no_sum else checksum(pseudo + head + b"\0\0" + data[:length - 8]) or 0xFFFF
    return head + struct.pack("!H", total) + data


def packet4(src, dst, payload, tos=0, ttl=64, flags=0, options=b"", wrong=0, protocol=UDP, number=7):
    words = 5 + len(options) // 4
    head = struct.pack("!BBHHHBBH4s4s", 0x40 | words, tos, 4 * words + len(payload), number, flags, ttl, protocol, 0,
                       address(src[0]), address(dst[0])) + options
    return head[:10] + struct.pack("!H", checksum(head) ^ wrong) + head[12:] + payload


def packet6(src, dst, payload, tos=0, ttl=64, protocol=UDP):
    return struct.pack("!IHBB", 6 << 28 | tos << 20, len(payload), protocol, ttl) + address(src[0]) + address(dst[0]) \
        + payload


def packet(src, dst, payload, **fields):
    return (packet6 if ":" in src[0] else packet4)(src, dst, payload, **fields)


def with_options(src, dst, payload):
    """The packet with what a stack passes over: IPv4 options, an IPv6 extension header."""
    if ":" in src[0]:
        return packet6(src, dst, bytes([UDP, 0]) + PAD_6 + payload, protocol=DESTINATION_OPTIONS)
    return packet4(src, dst, payload, options=NO_OPERATION)


def in_two(src, dst, payload, at):
    """The packet in two fragments."""
    if ":" in src[0]:
        pieces = [(payload[:at], 1), (payload[at:], at)]
        return [packet6(src, dst, struct.pack("!BBHI", UDP, 0, offset, 77) + piece, protocol=FRAGMENT)
                for piece, offset in pieces]
    return [packet4(src, dst, payload[:at], flags=MORE), packet4(src, dst, payload[at:], flags=at // 8)]


def frame(to, sender, payload, tag=None):
    """`tag`: of a VLAN."""
    kind = IPV6 if payload[0] >> 4 == 6 else IPV4
    head = bytes.fromhex(to.replace(":", "")) + bytes.fromhex(sender.replace(":", ""))
    return head + (struct.pack("!HH", VLAN, tag) if tag is not None else b"") + struct.pack("!H", kind) + payload


def source(raw):
    """Of an IP packet."""
    return raw[12:16] if raw[0] >> 4 == 4 else raw[8:24]


def is_udp(raw):
    """Or a piece of such."""
    return (raw[9] if raw[0] >> 4 == 4 else raw[6]) in (UDP, FRAGMENT)


def without_chance(raw):
    """An IP packet without what is left to chance or to the path it took: TTL or hop limit, and identification.
    Its checksums are right."""
    if raw[0] >> 4 == 4:
        raw = raw[:struct.unpack("!H", raw[2:4])[0]]
        assert raw[0] == 0x45 and checksum(raw[:20]) == 0, raw.hex()
        return raw[:4] + b"\0\0" + raw[6:8] + b"\0" + raw[9:10] + b"\0\0" + raw[12:]
    raw = raw[:40 + struct.unpack("!H", raw[4:6])[0]]
    tail = raw[40:44] + bytes(4) + raw[48:] if raw[6] == FRAGMENT else raw[40:]
    return raw[:7] + b"\0" + raw[8:40] + tail


def check_udp(raw):
    """The UDP checksum of a whole IP packet is right, or there is none and need not be."""
    four = raw[0] >> 4 == 4
    head = 20 if four else 40
    datagram = raw[head:]
    if four and datagram[6:8] == b"\0\0":
        return
    pseudo = raw[12:20] if four else raw[8:40]
    assert checksum(pseudo + struct.pack("!II", len(datagram), UDP) + datagram) == 0, raw.hex()

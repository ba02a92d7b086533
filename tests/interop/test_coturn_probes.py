# SPDX-License-Identifier: Apache-2.0
"""What the raw probes of coturn's example scripts look for, on their command lines, with a client of our own.

Answers that differ from coturn's are RFC 8489's, and said where they are asserted.
"""
import pytest

import signed
import streams
import turn

from conftest import KIND
from test_coturn_scripts import REST

pytestmark = pytest.mark.skipif(KIND == "coturn", reason="of coturn's newest version; Debian has an older one")

CHANGE_REQUEST, PRIORITY, PADDING, RESPONSE_PORT = 0x0003, 0x0024, 0x0026, 0x0027
CONNECTION_ID = 0x002A
LOOPBACK = [*REST, "--no-cli", "--no-tls", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", "--log-file=stdout"]
FORGED_MI = signed.attribute(signed.MESSAGE_INTEGRITY, bytes(20))
FORGED_NONCE = (signed.NONCE, b"deadbeefdeadbeefdeadbeef")


def client(server, **credentials):
    return signed.Client(("127.0.0.1", server.port), **credentials)


def ask(one, method, *attributes, **how):
    """One request as it is; the answer."""
    return turn.Message(one.exchange(signed.message(method, attributes, **how)))


# --- run_tests_stateless_binding.sh ---

def test_binding_of_any_shape(turnserver):
    server = turnserver(*LOOPBACK)
    with client(server) as one:
        plain = ask(one, turn.BINDING)
        assert plain.type == turn.BINDING | turn.SUCCESS
        assert plain.address(turn.XOR_MAPPED) == one.address
        ice = ask(one, turn.BINDING, (signed.USERNAME, b"remote:local"), FORGED_MI, fingerprint=True)
        assert ice.code == 0 and ice.address(turn.XOR_MAPPED) == one.address
        assert ice.get(signed.FINGERPRINT) is not None
        # RFC 8445 section 16.1 gives PRIORITY to peers; no STUN server knows it, though coturn lets it pass
        assert ask(one, turn.BINDING, (PRIORITY, b"\x7f\0\0\0")).code == 420
        unknown = ask(one, turn.BINDING, (0x0033, b"xy"), (0x0034, b"zw"))
        assert unknown.code == 420 and unknown.get(signed.UNKNOWN_ATTRIBUTES) == b"\x00\x33\x00\x34"
        assert ask(one, turn.BINDING, (0x8033, b"xy")).code == 0


def test_binding_without_discovery(turnserver):
    """RFC 5780 section 6.1: where behaviour discovery is off, all that it adds is unknown. (coturn does without
    RESPONSE-PORT and PADDING.)"""
    server = turnserver(*LOOPBACK)
    with client(server) as one:
        for kind, value in ((CHANGE_REQUEST, b"\0\0\0\x04"), (RESPONSE_PORT, b"\x30\x39\0\0"), (PADDING, b"")):
            answer = ask(one, turn.BINDING, (kind, value))
            assert answer.code == 420, hex(kind)
            assert answer.get(signed.UNKNOWN_ATTRIBUTES) == kind.to_bytes(2, "big")


def test_no_stun(turnserver):
    """Nothing comes: the answer to what is asked afterwards is the first."""
    server = turnserver(*LOOPBACK, "--no-stun", ready_line="server.ready")
    with client(server) as one:
        one.sock.send(signed.message(turn.BINDING))
        last = signed.message(turn.ALLOCATE, [signed.TRANSPORT_UDP])
        one.sock.send(last)
        first = turn.Message(one.sock.recv(2048))
        assert (first.tid, first.code) == (last[8:20], 401)


def test_secure_stun(turnserver):
    server = turnserver(*LOOPBACK, "--secure-stun", ready_line="server.ready")
    with client(server) as one:
        assert ask(one, turn.BINDING).code == 401


def test_binding_flood(turnserver):
    """3000 ports, one request each: each gets its answer, and the memory of the server stays."""
    server = turnserver(*LOOPBACK, "-m", "1")

    def flood(count):
        for _ in range(count // 100):
            socks = [signed.bound() for _ in range(100)]
            for sock in socks:
                sock.sendto(signed.message(turn.BINDING), ("127.0.0.1", server.port))
            for sock in socks:
                assert turn.Message(sock.recv(2048)).type == turn.BINDING | turn.SUCCESS
                sock.close()

    def memory_kib():
        with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    flood(500)
    before = memory_kib()
    flood(3000)
    assert memory_kib() - before < 1024


# --- run_tests_stateless_nonce.sh ---

def test_forged_integrity(turnserver):
    server = turnserver(*REST, "--stateless-nonce-secret=fleet-nonce-secret", "--log-file=stdout", "-v")
    with client(server) as one:
        challenge = ask(one, turn.ALLOCATE, signed.TRANSPORT_UDP)
        assert challenge.code == 401
        realm, nonce = (signed.REALM, challenge.get(signed.REALM)), (signed.NONCE, challenge.get(signed.NONCE))
        assert realm[1] == b"north.gov"
        user = (signed.USERNAME, b"user")
        shapes = {
            "a nonce never given": ([user, realm, FORGED_NONCE], {438}),
            # RFC 8489 section 9.2.4: a realm is no reason of its own; coturn says 437 and 441
            "another realm": ([user, (signed.REALM, b"wrong.realm"), nonce], {401}),
            "no nonce": ([user, realm], {400}),
            "no user": ([realm, nonce], {400}),
            "a nonce of ours": ([user, realm, nonce], {401}),
        }
        for what, (credentials, codes) in shapes.items():
            for method in (turn.ALLOCATE, turn.REFRESH):
                answer = ask(one, method, signed.TRANSPORT_UDP, *credentials, FORGED_MI)
                assert answer.code in codes, (what, method, answer.code)
        assert ask(one, streams.CONNECTION_BIND, (CONNECTION_ID, b"\0\0\0\x01")).code in (400, 401)
    assert not server.said("allocation.created")


def test_nonces_of_a_fleet(turnserver):
    """Two servers of one secret take each other's nonces; one of another secret does not."""
    secret = "--stateless-nonce-secret=fleet-nonce-secret"
    servers = [turnserver(*REST, "--log-file=stdout", flag) for flag in (secret, secret, secret + "2")]
    with signed.Client(("127.0.0.1", servers[0].port)) as one:
        challenge = ask(one, turn.ALLOCATE, signed.TRANSPORT_UDP)
        nonces = [(signed.REALM, challenge.get(signed.REALM)), (signed.NONCE, challenge.get(signed.NONCE))]
        local = one.sock.getsockname()[1]
    codes = []
    for server in servers:
        with signed.Client(("127.0.0.1", server.port), sock=signed.bound(port=local)) as one:
            answer = ask(one, turn.ALLOCATE, signed.TRANSPORT_UDP, (signed.USERNAME, b"user"), *nonces, FORGED_MI)
            codes.append(answer.code)
    assert codes == [401, 401, 438]


# --- run_tests_ratelimit_401.sh ---

def forged_answers(server, count):
    """How many of so many requests with a nonce that nobody gave are answered; a Binding counts the end of each
    twenty, for no limit is on these."""
    with client(server) as one:
        raws = [signed.message(turn.ALLOCATE, [signed.TRANSPORT_UDP, (signed.USERNAME, b"user"),
                                               (signed.REALM, b"north.gov"), FORGED_NONCE, FORGED_MI])
                for _ in range(count)]
        return sum(len(one.answers_to(raws[at:at + 20])) for at in range(0, count, 20))


@pytest.mark.parametrize("secret", [[], ["--stateless-nonce-secret=fleet-nonce-secret"]], ids=["own", "fleet"])
def test_ratelimit_401(turnserver, secret):
    limited = turnserver(*LOOPBACK, *secret, "--unauthorized-ratelimit", "--unauthorized-ratelimit-rps=1")
    assert 1 <= forged_answers(limited, 400) < 200


def test_ratelimit_401_not_reached(turnserver):
    free = turnserver(*LOOPBACK, "--unauthorized-ratelimit", "--unauthorized-ratelimit-rps=100000")
    assert forged_answers(free, 400) == 400


# --- run_tests_mobility_quota.sh, run_tests_mobility_resume_flood.sh ---

MOBILE = ["--realm=north.gov", "--user=user:pass", "--user-quota=1", "--mobility", "--listening-ip=127.0.0.1",
          "--relay-ip=127.0.0.1", "--no-tls", "--no-cli", "--relay-threads=1", "--verbose", "--log-file=stdout",
          "--simple-log", "--allow-loopback-peers"]


def mobile_over_tcp(server):
    """Allocate over TCP, with a ticket, and break off: the ticket, or the code of the refusal."""
    with streams.Client(("127.0.0.1", server.port)) as one:
        answer = one.allocate(mobile=True)
        return one.ticket if answer.code == 0 else answer.code


# Proves T-8016-3.2.2-17
def test_mobility_quota(turnserver):
    """coturn's GHSA-f6hc-79w3-p8pq: an allocation whose client broke off still counts."""
    server = turnserver(*MOBILE, "--total-quota=1", "--min-port=53000", "--max-port=53009", "--no-dtls")
    ticket = mobile_over_tcp(server)
    assert isinstance(ticket, bytes), ticket
    assert [mobile_over_tcp(server) for _ in range(8)] == [486] * 8
    with streams.Client(("127.0.0.1", server.port)) as one:
        one.ticket = ticket
        assert one.redeem().code == 0
        assert one.refresh(0).code == 0
    assert isinstance(mobile_over_tcp(server), bytes)


# Proves T-8016-3.2.2-07
def test_mobility_resume_flood(turnserver):
    """coturn's GHSA-hpq3-g7x4-h7xx: 50 moves in a row, none of which is completed, are one allocation."""
    server = turnserver(*MOBILE)
    resumes = 50
    with client(server) as first:
        assert first.allocate(mobile=True).code == 0
        held = [first]
        for _ in range(resumes):
            held.append(held[-1].moved())
        with client(server) as other:
            assert other.allocate().code == 486
        assert held[-1].refresh(0).code == 0
        with client(server) as other:
            assert other.allocate().code == 0
        for one in held[1:]:
            one.sock.close()

# SPDX-License-Identifier: Apache-2.0
"""What coturn's example scripts do, with their command lines: the server under coturn's name, and coturn's clients.

Differences: ports are free ones, runs are shorter, and a bare Binding is waited for where the scripts look for a line
of coturn's log.  The threaded modes of newer clients (--listener-threads) and SCTP are in no client of Debian's;
run_tests_prom.sh and run_tests_multiplex_peer.sh are of features that this version has not.
"""
import base64
import concurrent.futures
import shutil
import sqlite3
import subprocess

import pytest

from conftest import KIND, STERNA
from test_uclient import uclient

pytestmark = pytest.mark.long  # that all goes well under the sanitizers is shown by test_uclient*.py

REST = ["--use-auth-secret", "--static-auth-secret=secret", "--realm=north.gov", "--allow-loopback-peers"]
LOOPBACK = ["-L", "127.0.0.1", "-L", "::1", "-E", "127.0.0.1", "-E", "::1"]
LONG_TERM = ["-a", "-f", "--user=ninefingers:0xbc807ee29df3c9ffa736523fb2c4e8ee", "--user=gorst:hero",
             "-r", "north.gov", "--allow-loopback-peers", *LOOPBACK, "-m", "3", "--min-port=32355", "--max-port=65535",
             "--max-bps=3000000"]
USER_SECRET = ["-u", "user", "-W", "secret"]
GORST, NINEFINGERS = ["-u", "gorst", "-w", "hero"], ["-u", "ninefingers", "-w", "youhavetoberealistic"]
# One record holds several messages when the client is late, and it counts one: half a second lies between them.
TLS = ["-t", "-S", "-z", "500"]
TRANSPORTS = {"UDP": [], "TCP": ["-t"], "TLS": TLS, "DTLS": ["-S"]}

transports = pytest.mark.parametrize("flags", TRANSPORTS.values(), ids=TRANSPORTS.keys())
needs_more_than_debian = pytest.mark.skipif(KIND == "coturn", reason="Debian's coturn has not all of these options")


@pytest.fixture(name="cert")
def certificate_flags(certificates):
    return [f"--cert={certificates.server}", f"--pkey={certificates.server_key}"]


def run(server, echo_peer, *flags, credentials=None, **where):
    """The client on the port that its flags want."""
    port = where.pop("port", server.secure_port if "-S" in flags else server.port)
    return uclient(server, echo_peer, *flags, credentials=credentials or [], port=port, **where)


def expect_line(server, echo_peer, *flags):
    """run_uclient() of the scripts, and its pass line."""
    code, _, _, output = run(server, echo_peer, *flags, "-X", "-g", credentials=USER_SECRET)
    assert code == 0 and "start_mclient: tot_send_bytes ~ 1000, tot_recv_bytes ~ 1000" in output, output


def expect_all(server, echo_peer, *flags, **how):
    """Zero loss."""
    code, sent, received, output = run(server, echo_peer, *flags, **how)
    assert code == 0 and sent > 0 and received == sent, output


def at_once(expect, server, echo_peer, cases, **how):
    """All of the cases, which are flags, in clients of their own at the same time."""
    with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
        for running in [pool.submit(expect, server, echo_peer, *flags, **how) for flags in cases]:
            running.result()


# --- run_tests.sh, run_tests_conf.sh ---

@needs_more_than_debian
def test_run_tests(turnserver, echo_peer, cert):
    server = turnserver(*REST, "--sock-buf-size=1048576", "--log-file=stdout", "--dtls", "--udp-recvmmsg", *cert)
    at_once(expect_line, server, echo_peer, TRANSPORTS.values())


CONF = """use-auth-secret
static-auth-secret=secret
realm=north.gov
allow-loopback-peers
sock-buf-size=1048576
dtls
cert={0.server}
pkey={0.server_key}
log-file=stdout
udp-recvmmsg
"""


@needs_more_than_debian
@pytest.mark.parametrize("named", [True, False], ids=["-c", "found"])
def test_run_tests_conf(tmp_path, turnserver, echo_peer, certificates, named):
    """The file is named, or lies where coturn looks for it."""
    path = tmp_path / "turnserver.conf"
    path.write_text(CONF.format(certificates))
    server = turnserver("-c", *([path] if named else ["turnserver.conf"]))
    at_once(expect_line, server, echo_peer, TRANSPORTS.values())


# --- run_tests_mobile.sh, scripts/mobile ---

def expect_mobile(server, echo_peer, *flags, credentials):
    """A run in which the client moves to a new port, and loses nothing.  Over TLS and DTLS the client's own handling of
    two sessions fails now and then ("send: Success", or a crash), against coturn more often than here: it may try
    again.  What it has sent and not got is never forgiven."""
    for _ in range(8 if "-S" in flags else 1):
        code, sent, received, output = run(server, echo_peer, "-M", "-X", "-g", *flags, credentials=credentials)
        if code == 0:
            break
    assert code == 0 and sent > 0 and received == sent, output
    assert server.said("allocation.moved")


# Proves T-8016-3.2.2-02
@needs_more_than_debian
@transports
def test_run_tests_mobile(turnserver, echo_peer, cert, flags):
    server = turnserver(*REST, "--sock-buf-size=1048576", "--mobility", "--log-file=stdout", "-v", "--dtls",
                        "--relay-threads=1", "--udp-recvmmsg", *cert)
    expect_mobile(server, echo_peer, *flags, credentials=USER_SECRET)


@needs_more_than_debian
@transports
def test_mobile_clients(turnserver, echo_peer, cert, flags):
    server = turnserver(*LONG_TERM, *cert, "--log-file=stdout", "-v", "--mobility", "--dtls", "--cipher-list=ALL",
                        "--cli-password=secret")
    clients = "1" if "-S" in flags else "4"
    expect_mobile(server, echo_peer, "-n", "10", "-m", clients, "-l", "170", "-s", *flags, credentials=NINEFINGERS)


# --- run_tests_dtls_default.sh ---

DTLS_CASES = {"default": ([], False), "--dtls": (["--dtls"], True), "--no-dtls": (["--no-dtls"], False),
              "--no-dtls=false": (["--no-dtls=false"], True)}


@needs_more_than_debian
@pytest.mark.parametrize("flags, works", DTLS_CASES.values(), ids=DTLS_CASES.keys())
def test_run_tests_dtls_default(turnserver, echo_peer, cert, flags, works):
    """DTLS has to be asked for; TLS not."""
    server = turnserver(*REST, "--no-cli", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", *cert,
                        "--log-file=stdout", *flags)
    if works:
        expect_line(server, echo_peer, "-S")
        return
    for port in (server.port, server.secure_port):
        done = subprocess.run(["timeout", "3", "openssl", "s_client", "-dtls", "-connect", f"127.0.0.1:{port}"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
        assert "Cipher is (NONE)" in done.stdout or "New, " not in done.stdout, done.stdout
    expect_line(server, echo_peer, *TLS)


# --- run_tests_rfc5780.sh ---

STUNCLIENT = ["turnutils_stunclient"]


@needs_more_than_debian
def test_run_tests_rfc5780(turnserver):
    """The client asks for long answers, and for answers at another port of its own: coturn gives them, and we when we
    are told to.  Where one does not come it waits for ever, as it asks once only and takes it that the port next to its
    own is free: it has three tries."""
    server = turnserver(*REST, "--rfc5780", "--rfc5780-response-port", "--rfc5780-padding", "--no-cli", "--no-tls",
                        "--listening-ip=127.0.0.1", "--listening-ip=127.0.0.2",
                        "--min-port=49152", "--max-port=49300", "--log-file=stdout")
    for _ in range(3):
        done = subprocess.run(["timeout", "20", *STUNCLIENT, "-f", "-p", str(server.port), "127.0.0.1"],
                              capture_output=True, text=True, timeout=60, check=False)
        if done.returncode == 0:
            break
    output = done.stdout.replace(": :", ":")
    assert done.returncode == 0, output + done.stderr
    for number in (1, 2, 3):
        assert f"RFC 5780 response {number}" in output
    assert f"Response origin: 127.0.0.2:{server.port + 1}" in output
    assert output.count(f"Other addr: 127.0.0.2:{server.port + 1}") == 3, output


@needs_more_than_debian
def test_natdiscovery(turnserver):
    """Without a NAT in between; those behind one are in test_natdiscovery.py's namespaces."""
    server = turnserver(*REST, "--rfc5780", "--no-cli", "--no-tls", "-L", "127.0.0.1", "-L", "127.0.0.2",
                        "--log-file=stdout")
    done = subprocess.run(["timeout", "60", "turnutils_natdiscovery", "-m", "-f", "-p", str(server.port), "127.0.0.1"],
                          capture_output=True, text=True, timeout=90, check=False)
    assert "NAT with Endpoint Independent Mapping" in done.stdout or "No NAT" in done.stdout, done.stdout + done.stderr
    assert "Endpoint Independent Filtering" in done.stdout, done.stdout + done.stderr


def test_stunclient(turnserver):
    server = turnserver(*REST, "--log-file=stdout")
    for host in ("127.0.0.1", "::1"):
        done = subprocess.run([*STUNCLIENT, "-p", str(server.port), host], capture_output=True, text=True, timeout=30,
                              check=False)
        assert f"UDP reflexive addr: {host}:" in done.stdout, done.stdout + done.stderr


# --- run_tests_expiry.sh ---

@needs_more_than_debian
def test_run_tests_expiry(turnserver, echo_peer):
    """Permissions and channels of 8 seconds, refreshed by a client for 12: the server serves on.  That what is not
    refreshed ends is proved where time is simulated."""
    server = turnserver("--verbose", *REST, "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", "--no-tls",
                        "--permission-lifetime=8", "--channel-lifetime=8", "--log-file=stdout")
    subprocess.run(["timeout", "-s", "INT", "12", "turnutils_uclient", "-n", "1000000", "-m", "1", "-l", "100", "-c",
                    "-z", "20", "-e", "127.0.0.1", "-r", str(echo_peer), "-p", str(server.port), "-X", "-g",
                    *USER_SECRET, "127.0.0.1"], capture_output=True, timeout=60, check=False)
    assert server.process.poll() is None
    expect_line(server, echo_peer)


# --- run_tests_stateless_nonce.sh (its probe: test_coturn_probes.py) ---

@needs_more_than_debian
def test_run_tests_stateless_nonce(turnserver, echo_peer, cert):
    server = turnserver(*REST, "--sock-buf-size=1048576", "--stateless-nonce-secret=fleet-nonce-secret",
                        "--log-file=stdout", "--dtls", "--relay-threads=1", "--udp-recvmmsg", *cert)
    at_once(expect_line, server, echo_peer, TRANSPORTS.values())


# --- scripts/basic: nobody asks for a password ---

BASIC = [
    ["-D", "-n", "50", "-m", "10", "-l", "171", "-g", "-X"],
    ["-t", "-n", "50", "-m", "4", "-l", "3037", "-g", "-X"],
    ["-n", "50", "-m", "10", "-y", "-l", "170", "-z", "15"],
    ["-T", "-n", "20", "-m", "4", "-l", "170", "-y", "-g"],
]


def test_basic(turnserver, echo_peer):
    server = turnserver("-v", *LOOPBACK, "--allow-loopback-peers", "--cli-password", "secret", "--max-bps=3000000",
                        "-f", "-m", "3", "--min-port=32355", "--max-port=65535", "--no-tls", "--no-auth",
                        "--log-file=stdout")
    at_once(expect_all, server, echo_peer, BASIC)


# --- scripts/longtermsecure, scripts/longtermsecuredb ---

SECURE = [
    ["-n", "50", "-m", "10", "-l", "170", "-X", "-g", *NINEFINGERS],
    ["-s", "-n", "50", "-m", "10", "-l", "170", "-g", *NINEFINGERS, "-y"],
    ["-t", "-n", "50", "-m", "4", "-l", "170", "-X", "-g", *GORST],
    [*TLS, "-n", "5", "-m", "4", "-l", "170", "-X", "-g", *GORST],
    ["-S", "-n", "50", "-m", "4", "-l", "170", "-X", "-g", *NINEFINGERS],
    ["-T", "-n", "20", "-m", "4", "-l", "170", "-y", "-g", *GORST],
    ["-T", "-S", "-n", "20", "-m", "4", "-l", "170", "-y", "-g", *GORST],
    ["-o", "https://north.gov", "-n", "20", "-X", "-g", *GORST],
    ["-a", "50000", "-n", "20", "-X", "-g", *GORST],
]


@needs_more_than_debian
def test_longtermsecure(turnserver, echo_peer, cert):
    server = turnserver(*LONG_TERM, *cert, "--dtls", "--log-file=stdout", "-v", "--cipher-list=ALL",
                        "--cli-password=secret")
    at_once(expect_all, server, echo_peer, SECURE)


@needs_more_than_debian
def test_ipv6(turnserver, echo_peer, cert):
    """From IPv6 to IPv6.  -Z, two families at once, asks by the number of a draft: see test_uclient.py."""
    server = turnserver(*LONG_TERM, *cert, "--dtls", "--log-file=stdout")
    at_once(expect_all, server, echo_peer, [["-x", "-n", "5", "-g", *flags] for flags in TRANSPORTS.values()],
            credentials=GORST, peer="::1", host="::1")


@needs_more_than_debian
def test_longtermsecure_cert(turnserver, echo_peer, certificates, cert):
    """The client shows a certificate, too; one without is not let in."""
    server = turnserver("-a", "-f", "--user=ninefingers:youhavetoberealistic", "--user=bolt:kwyjibo", "-r", "bolt.co",
                        "--allow-loopback-peers", *LOOPBACK, *cert, f"--CA-file={certificates.ca}", "--dtls",
                        "--log-file=stdout", "-v", "--cipher-list=ALL:!eNULL:!aNULL:!NULL", "--cli-password=secret")
    mine = ["-i", certificates.client, "-k", certificates.client_key, "-E", certificates.ca]
    bolt = ["-u", "bolt", "-w", "kwyjibo"]
    more = [*map(str, mine), "-m", "4", "-l", "170", "-g", "-s", "-X"]
    at_once(expect_all, server, echo_peer, [[*TLS, "-n", "5", *more], ["-S", "-n", "20", *more]], credentials=bolt)
    for flags in (TLS, ["-S"]):
        code, sent, _, output = run(server, echo_peer, *flags, "-g", credentials=bolt)
        assert code != 0 and sent == 0, output


def turnadmin(folder, *flags):
    """Our own program under coturn's name."""
    link = folder / "turnadmin"
    if not link.exists():
        link.symlink_to(shutil.which("turnadmin") if KIND == "coturn" else STERNA)
    subprocess.run([str(link), *flags], cwd=folder, check=True, capture_output=True, timeout=30)


# The kids that the client has built in, and their keys.
OAUTH_KEYS = {
    "north": ("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEK", "A256GCM", "crinna.org"),
    "union": ("MTIzNDU2Nzg5MDEyMzQ1Ngo=", "A128GCM", "north.gov"),
    "oldempire": ("MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIK", "A256GCM", ""),
}


@pytest.fixture(name="db")
def database(tmp_path):
    """As coturn's test database is filled, by turnadmin and by SQL where turnadmin has no command."""
    (tmp_path / "var/db").mkdir(parents=True)
    db = "var/db/turndb"
    turnadmin(tmp_path, "-a", "-b", db, "-u", "ninefingers", "-r", "north.gov", "-p", "youhavetoberealistic")
    turnadmin(tmp_path, "-a", "-b", db, "-u", "gorst", "-r", "north.gov", "-p", "hero")
    turnadmin(tmp_path, "-s", "logen", "-b", db, "-r", "north.gov")
    with sqlite3.connect(tmp_path / db) as base:
        base.executemany("INSERT INTO oauth_key VALUES (?, ?, 0, 0, ?, ?)",
                         [(kid, *key) for kid, key in OAUTH_KEYS.items()])
    return db


SECURE_DB = ["-a", "-f", "-v", *LOOPBACK, "--allow-loopback-peers", "--max-bps=3000000", "-m", "3", "--min-port=32355",
             "--max-port=65535", "-r", "north.gov", "--log-file=stdout", "--cipher-list=ALL", "--cli-password=secret"]


@needs_more_than_debian
def test_longtermsecuredb(turnserver, echo_peer, cert, db):
    server = turnserver(*SECURE_DB, *cert, f"--db={db}", "--dtls")
    at_once(expect_all, server, echo_peer,
            [["-n", "5", "-m", "2", "-l", "170", "-X", "-g", *flags] for flags in TRANSPORTS.values()],
            credentials=GORST)


# --- scripts/oauth.sh and the -J of the client ---

# Proves T-7635-5-01
@needs_more_than_debian
def test_oauth(turnserver, echo_peer, cert, db):
    """The client takes one of its kids at random."""
    server = turnserver("--server-name=blackdow.carleon.gov", *SECURE_DB, *cert, f"--db={db}", "--oauth", "--dtls")
    at_once(expect_all, server, echo_peer, [["-J", "-n", "5", "-X", "-g", *flags] for flags in TRANSPORTS.values()] * 3,
            credentials=["-u", "gorst"])


# --- scripts/restapi ---

@needs_more_than_debian
@pytest.mark.parametrize("from_db", [False, True], ids=["option", "database"])
def test_restapi(turnserver, echo_peer, cert, db, from_db):
    source = [f"--db={db}"] if from_db else ["--static-auth-secret=logen"]
    server = turnserver("-v", "-a", "-f", *LOOPBACK, "--allow-loopback-peers", "--max-bps=3000000", "-m", "3",
                        "--min-port=32355", "--max-port=65535", "--use-auth-secret", *source, "--realm=north.gov",
                        *cert, "--log-file=stdout", "-q", "100", "-Q", "300", "--cipher-list=ALL", "--dtls",
                        "--cli-password=secret")
    expect_all(server, echo_peer, "-z", "5", "-n", "50", "-s", "-m", "10", "-l", "170", "-X", "-g",
               credentials=["-u", "ninefingers", "-W", "logen"])


# --- scripts/basic/dos_attack.sh, longtermsecure/secure_dos_attack.sh, selfloadbalance/secure_dos_attack.sh ---

ATTACKS = {
    "UDP c2c": ["-y"], "UDP": ["-X"], "DTLS": ["-S", "-s"], "TCP": ["-t", "-X"], "TCP relay": ["-T", "-y"],
    "TLS relay": ["-T", "-S", "-y"], "TLS": ["-t", "-S", "-X"],
}
MANNERS = {"extra requests": ["-G"], "extra requests without end": ["-G", "-O"],
           "broken off and wrong": ["-B", "-N", "-R", "-G"], "wrong without end": ["-O", "-N", "-R", "-G"]}


@needs_more_than_debian
@pytest.mark.parametrize("manner", MANNERS.values(), ids=MANNERS.keys())
def test_dos_attack(turnserver, echo_peer, cert, manner):
    """All of the clients at once, for 8 seconds: the server stays, and serves who comes then."""
    server = turnserver(*LONG_TERM, *cert, "--dtls", "--log-file=stdout", "--cipher-list=ALL", "--cli-password=secret")
    clients = [subprocess.Popen(["timeout", "8", "turnutils_uclient", *manner, "-n", "10", "-m", "5", "-l", "170", "-g",
                                 "-e", "127.0.0.1", "-r", str(echo_peer), *GORST, *flags,
                                 "-p", str(server.secure_port if "-S" in flags else server.port), "127.0.0.1"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
               for flags in ATTACKS.values()]
    for client in clients:
        client.wait(timeout=60)
    assert server.process.poll() is None
    expect_all(server, echo_peer, "-n", "20", "-X", "-g", credentials=GORST)


# --- scripts/loadbalance, scripts/selfloadbalance ---

@needs_more_than_debian
@pytest.mark.parametrize("flags", [["-y"], ["-T", "-y"]], ids=["udp_c2c", "tcp_c2c_tcp_relay"])
def test_loadbalance(tmp_path, turnserver, echo_peer, flags):
    """The master sends clients to its two slaves, which serve them."""
    def slave(name):
        (tmp_path / name).mkdir()
        return type(servers[0])(tmp_path / name, "-n", *LONG_TERM, "--log-file=stdout", "-v", "--no-tls")

    servers = [turnserver(*LONG_TERM, "--log-file=stdout", "-v", "--no-tls")]
    slaves = [slave("one"), slave("two")]
    try:
        (tmp_path / "master").mkdir()
        master = type(servers[0])(tmp_path / "master", "-n", *LONG_TERM, "--log-file=stdout", "-v", "--no-tls",
                                  *(f"--alternate-server=127.0.0.1:{one.port}" for one in slaves))
        slaves.append(master)
        expect_all(master, echo_peer, *flags, "-n", "20", "-m", "4", "-l", "170", "-g", credentials=GORST)
        assert not master.said("allocation.created")
        assert any(one.said("allocation.created") for one in slaves[:2])
    finally:
        for one in slaves:
            assert one.stop() == 0


def test_secrets_of_the_test_database():
    """coturn's keys are base64 of 32 and 16 characters and a line feed: what the client has built in."""
    assert [len(base64.b64decode(key[0])) for key in OAUTH_KEYS.values()] == [33, 17, 33]

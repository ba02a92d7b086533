# SPDX-License-Identifier: Apache-2.0
"""Third-party authorization (RFC 7635) as coturn's tools do it, with the keys that are built into turnutils_uclient,
in coturn's table.

Ways of Debian's tools (4.6.1) that shape these tests:
- turnutils_uclient -J takes another of its three keys for each request that carries a token, and keys
  MESSAGE-INTEGRITY with the first 16 bytes of a mac_key.
- It always seals for the server name blackdow.carleon.gov.
- turnutils_oauth takes mac_key and nonce for text, which ends with a NUL.
"""
import base64
import json
import os
import re
import sqlite3
import ssl
import subprocess
import time

import pytest

import signed
import streams
import turn
from conftest import KIND, STERNA
from test_uclient import uclient

pytestmark = pytest.mark.skipif(KIND == "coturn", reason="these are claims about sterna")

SERVER_NAME = "blackdow.carleon.gov"
KEYS = {"north": ("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEK", "A256GCM"),
        "union": ("MTIzNDU2Nzg5MDEyMzQ1Ngo=", "A128GCM"),
        "oldempire": ("MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIK", "A256GCM")}
MAC_KEY = b"ZksjpweoixXmvn67534m"
THIRD_PARTY = 0x802E


class Keys:
    """A database with oauth_key, in the schema of Debian's coturn."""

    def __init__(self, path):
        self.path = path
        self.run("CREATE TABLE oauth_key (kid varchar(128), ikm_key varchar(256), timestamp bigint default 0, "
                 "lifetime integer default 0, as_rs_alg varchar(64) default '', realm varchar(127), "
                 "primary key (kid))",
                 "CREATE TABLE turnusers_lt (realm varchar(127) default '', name varchar(512), hmackey char(128), "
                 "PRIMARY KEY (realm,name))",
                 "CREATE TABLE turn_secret (realm varchar(127), value varchar(256), primary key (realm,value))")
        for kid, (key, algorithm) in KEYS.items():
            self.put(kid, key, algorithm)

    def run(self, *statements):
        database = sqlite3.connect(self.path)
        for statement in statements:
            database.execute(*(statement if isinstance(statement, tuple) else (statement,)))
        database.commit()
        database.close()

    def put(self, kid, key, algorithm, timestamp=0, lifetime=0, realm=""):
        self.run(("INSERT OR REPLACE INTO oauth_key (kid, ikm_key, timestamp, lifetime, as_rs_alg, realm) "
                  "VALUES (?, ?, ?, ?, ?, ?)", (kid, key, timestamp, lifetime, algorithm, realm)))


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path / "oauth.db")


@pytest.fixture
def oauth_server(stream_server, keys):
    return stream_server(oauth=True, server_name=SERVER_NAME, userdb=keys.path)


def coturn_token(kid, lifetime=3600, timestamp=None, name=SERVER_NAME, mac_key=MAC_KEY):
    """A token of turnutils_oauth."""
    key, algorithm = KEYS[kid]
    command = ["turnutils_oauth", "-e", "-i", name, "-j", kid, "-k", key, "-l", "1400000000", "-m", "2000000000",
               "-n", algorithm, "-o", base64.b64encode(os.urandom(9).hex()[:12].encode()).decode(),
               "-p", base64.b64encode(mac_key).decode(), "-r", str(lifetime), "-v"]
    command += [] if timestamp is None else ["-q", str(timestamp << 16)]
    done = subprocess.run(command, capture_output=True, timeout=20, check=True)
    return base64.b64decode(re.search(rb'"access_token":"([^"]+)"', done.stdout)[1])


class Holder:
    """What a holder of a token does besides other clients."""

    def hold(self, token, mac_key=MAC_KEY):
        self.token, self.mac_key = token, mac_key
        return self

    def learn(self, challenge):
        if isinstance(self.user, str):
            self.user = self.user.encode()
        self.realm, self.nonce, self.key = challenge.get(signed.REALM), challenge.get(signed.NONCE), self.mac_key
        self.offered = challenge.get(THIRD_PARTY)

    def credentials(self):
        return super().credentials() + ([(signed.ACCESS_TOKEN, self.token)] if self.key and self.token else [])


class UdpHolder(Holder, signed.Client):
    pass


class StreamHolder(Holder, streams.Client):
    pass


def holder(server, kid, token, mac_key=MAC_KEY):
    return UdpHolder(("127.0.0.1", server.port), kid, "").hold(token, mac_key)


def code_of(server, kid, token, mac_key=MAC_KEY):
    with holder(server, kid, token, mac_key) as client:
        return client.allocate().code


@pytest.mark.parametrize("kid", KEYS)
@pytest.mark.parametrize("used", [20, 16], ids=["whole mac_key", "as coturn"])
# Proves T-7635-5-01, T-7635-6.2-03, T-7635-7-05, T-7635-9-03
def test_token_of_turnutils_oauth(oauth_server, kid, used):
    with holder(oauth_server, kid, coturn_token(kid), MAC_KEY[:used]) as client:
        assert client.allocate().code == 0
        assert client.offered == SERVER_NAME.encode()
        client.token = None  # the session's key proves the rest
        assert client.permit("127.0.0.1").code == 0
        assert client.refresh(600).code == 0
        assert client.refresh(0).code == 0


@pytest.mark.parametrize("tls", [False, True], ids=["TCP", "TLS"])
def test_token_over_streams(oauth_server, certificates, tls):
    port = oauth_server.tls_port if tls else oauth_server.port
    context = ssl.create_default_context(cafile=certificates.ca) if tls else None
    if tls:
        context.check_hostname = False
    client = StreamHolder(("127.0.0.1", port), "north", "", tls=context)
    with client.hold(coturn_token("north")):
        assert client.allocate().code == 0
        client.token = None
        assert client.permit("127.0.0.1").code == 0


# Proves T-7635-7-02, T-7635-7-03, T-7635-7-04
def test_what_is_not_taken(oauth_server):
    now = int(time.time())
    good = coturn_token("north")
    assert code_of(oauth_server, "north", good) == 0
    assert code_of(oauth_server, "union", good) == 401
    assert code_of(oauth_server, "nobody", good) == 401
    assert code_of(oauth_server, "north", good[:-1] + bytes([good[-1] ^ 1])) == 401
    assert code_of(oauth_server, "north", coturn_token("north", name="another.gov")) == 401
    assert code_of(oauth_server, "north", coturn_token("north", 60, now - 120)) == 401
    assert code_of(oauth_server, "north", coturn_token("north", 60, now + 120)) == 401
    assert code_of(oauth_server, "north", good, b"ZksjpweoixXmvn67534n") == 401
    assert code_of(oauth_server, "north", good) == 0  # again: a token is for as many sessions as one likes


def test_base64_is_taken(oauth_server):
    token = coturn_token("north")
    assert code_of(oauth_server, "north", base64.b64encode(token)) == 0
    assert code_of(oauth_server, "north", base64.urlsafe_b64encode(token).rstrip(b"=")) == 0


# Proves T-7635-9-01, T-7635-9-02
def test_lifetime_is_capped(oauth_server):
    token = coturn_token("north", 120)
    for wish in ([], [(turn.LIFETIME, (3600).to_bytes(4, "big"))]):
        with holder(oauth_server, "north", token) as client:
            answer = client.allocate(*wish)
            assert answer.code == 0
            assert 60 < int.from_bytes(answer.get(turn.LIFETIME), "big") <= 125


# Proves T-7635-6.2-06 (coturn: CVE-2026-43994)
def test_malformed_tokens(oauth_server):
    """coturn's stack was overrun by a nonce_length, before anybody had proved anything."""
    good = coturn_token("north")
    lengths = [*range(64), 255, 256, 1024, 4096, 32767, 32768, 65534, 65535]
    bad = [length.to_bytes(2, "big") + good[2:] for length in lengths if length != 12]
    bad += [good[:n] for n in range(len(good))] + [good + bytes(n) for n in (1, 4, 900)]
    with holder(oauth_server, "north", good) as client:
        for token in bad:
            client.token = token
            assert client.allocate().code == 401, token.hex()
        client.token = good
        assert client.allocate().code == 0
    assert oauth_server.process.poll() is None


# Proves T-7635-7-01, T-7635-9-04
def test_keys_change_while_it_runs(oauth_server, keys):
    """A new kid comes, and the old one goes: the session lives on with a token of the new one."""
    with holder(oauth_server, "north", coturn_token("north")) as client:
        assert client.allocate().code == 0
        KEYS["south"] = (base64.b64encode(b"x" * 32).decode(), "A256GCM")
        try:
            keys.put("south", *KEYS["south"])
            keys.run("DELETE FROM oauth_key WHERE kid = 'north'")
            deadline = time.monotonic() + 30
            while code_of(oauth_server, "south", coturn_token("south")) != 0:
                assert time.monotonic() < deadline
                time.sleep(0.1)  # 401s have a limit, and a client that asks all the time reaches it
            assert code_of(oauth_server, "north", coturn_token("north")) == 401
            assert client.refresh(600).code == 0  # nobody else has its mac_key
            mac_key = b"another mac_key, 20."
            client.user = b"south"
            client.hold(coturn_token("south", mac_key=mac_key), mac_key).key = mac_key
            assert client.refresh(600).code == 0
        finally:
            del KEYS["south"]


# Proves T-7635-7-06
def test_not_offered_unless_configured(stream_server, keys):
    server = stream_server(userdb=keys.path)
    with holder(server, "north", coturn_token("north")) as client:
        answer = client.allocate()
        assert answer.code == 420 and answer.get(signed.UNKNOWN_ATTRIBUTES)[:2] == b"\x00\x1b"
        assert client.offered is None


def test_users_and_tokens_at_once(oauth_server):
    with signed.Client(("127.0.0.1", oauth_server.port)) as user:
        assert user.allocate().code == 0
    assert code_of(oauth_server, "north", coturn_token("north")) == 0


TLS = ["-t", "-S", "-n", "5", "-z", "500"]
TRANSPORTS = {"UDP": ["-n", "20"], "TCP": ["-t", "-n", "20"], "TLS": TLS, "DTLS": ["-S", "-n", "20"]}


@pytest.mark.parametrize("flags", TRANSPORTS.values(), ids=TRANSPORTS.keys())
def test_uclient(oauth_server, echo_peer, flags):
    port = oauth_server.tls_port if "-S" in flags else oauth_server.port
    code, sent, received, output = uclient(oauth_server, echo_peer, "-J", "-c", "-m", "3", *flags, port=port)
    assert code == 0, output
    assert sent > 0 and received == sent, output
    log = oauth_server.log.read_text(errors="replace")
    assert "request.refused" not in log, log  # though each refresh comes with a token of another kid


def test_uclient_with_a_realm_for_each_key(stream_server, echo_peer, keys):
    """coturn's own test database: a session keeps its realm, so the client tries until it has a key of that."""
    keys.put("north", *KEYS["north"], realm="crinna.org")
    keys.put("union", *KEYS["union"], realm="north.gov")
    server = stream_server(oauth=True, server_name=SERVER_NAME, userdb=keys.path)
    code, sent, received, output = uclient(server, echo_peer, "-J", "-c", "-n", "10")
    assert code == 0, output
    assert sent > 0 and received == sent, output
    assert re.search(r'realm="?(crinna\.org|north\.gov)|user="?oldempire', server.log.read_text(errors="replace"))


def sterna_token(*arguments, text=None):
    return subprocess.run([STERNA, "token", *map(str, arguments)], input=text, capture_output=True, text=True,
                          timeout=20, check=False)


def made(keys, kid, *more):
    done = sterna_token("make", "-b", keys.path, "--kid", kid, "--server-name", SERVER_NAME, *more)
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


@pytest.mark.parametrize("kid", KEYS)
def test_our_tokens_are_coturns(oauth_server, keys, kid):
    token = made(keys, kid)
    key, algorithm = KEYS[kid]
    done = subprocess.run(["turnutils_oauth", "-d", "-i", SERVER_NAME, "-j", kid, "-k", key, "-l", "1400000000", "-m",
                           "2000000000", "-n", algorithm, "-t", token["token"]], capture_output=True, text=True,
                          timeout=20, check=False)
    assert "Valid token" in done.stdout + done.stderr
    assert code_of(oauth_server, kid, base64.b64decode(token["token"]), base64.b64decode(token["mac_key"])) == 0


def test_show_explains_coturns_tokens(keys):
    token = base64.b64encode(coturn_token("north", 7200)).decode()
    done = sterna_token("show", "-b", keys.path, "--kid", "north", "--server-name", SERVER_NAME, text=token + "\n")
    assert done.returncode == 0, done.stderr
    assert "mac_key:     20 bytes" in done.stdout and "lifetime:    2 h 0 min" in done.stdout
    assert "now:         valid" in done.stdout
    old = base64.b64encode(coturn_token("north", 60, int(time.time()) - 3600)).decode()
    done = sterna_token("show", "-b", keys.path, "--kid", "north", "--server-name", SERVER_NAME, old)
    assert done.returncode == 1 and "it is too old" in done.stdout


# Proves T-7635-4.1.2-01
def test_key_as_json(keys):
    keys.put("north", *KEYS["north"], timestamp=1400000000, lifetime=2000000000)
    done = sterna_token("key", "-b", keys.path, "--kid", "north", "--server-name", SERVER_NAME)
    assert json.loads(done.stdout) == {"k": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE", "kid": "north",
                                       "enc": "A256GCM", "exp": 3400000000}

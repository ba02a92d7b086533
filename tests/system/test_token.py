# SPDX-License-Identifier: Apache-2.0
"""Third-party authorization (RFC 7635) with keys of the configuration, and `sterna token`.  What coturn's tools say to
all that is in tests/interop/test_oauth.py."""
import base64
import json
import signal
import subprocess

import pytest

import signed
import turn
from conftest import STERNA, wait_for

KEY = base64.b64encode(bytes(range(32))).decode()
OTHER_KEY = base64.urlsafe_b64encode(bytes(range(200, 232))).decode().rstrip("=")
SECTIONS = f"""
[oauth "first"]
key = {KEY}
[oauth "second"]
key = {OTHER_KEY}
algorithm = A128GCM
realm = two.example
[oauth "old"]
key = {KEY}
not-before = 1000000000
lifetime = 1000
"""
OPTIONS = {"no_auth": None, "oauth": True, "server_name": "turn.example"}
THIRD_PARTY = 0x802E


class Holder(signed.Client):
    """A client with a token."""

    def __init__(self, server, kid, token, mac_key):
        super().__init__(("127.0.0.1", server.port), kid, "")
        self.token, self.mac_key, self.offered = token, mac_key, None

    def learn(self, challenge):
        self.user = self.user if isinstance(self.user, bytes) else self.user.encode()
        self.realm, self.nonce, self.key = challenge.get(signed.REALM), challenge.get(signed.NONCE), self.mac_key
        self.offered = challenge.get(THIRD_PARTY)

    def credentials(self):
        return super().credentials() + ([(signed.ACCESS_TOKEN, self.token)] if self.key else [])


def run(*arguments, text=None):
    return subprocess.run([STERNA, "token", *map(str, arguments)], input=text, capture_output=True, text=True,
                          timeout=30, check=False)


def make(server, kid, *more):
    done = run("make", "-c", server.conf, "--kid", kid, *more)
    assert done.returncode == 0, done.stderr
    made = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert made["kid"] == kid
    return base64.b64decode(made["token"]), base64.b64decode(made["mac_key"])


def code_of(server, kid, token, mac_key):
    with Holder(server, kid, token, mac_key) as holder:
        return holder.allocate().code


@pytest.fixture
def server(sterna):
    return sterna(sections=SECTIONS, **OPTIONS)


# Proves T-7635-4-01, T-7635-6.1-01, T-7635-7-01
def test_keys_of_the_configuration(server):
    with Holder(server, "first", *make(server, "first")) as holder:
        assert holder.allocate().code == 0
        assert holder.offered == b"turn.example"
    assert code_of(server, "second", *make(server, "second")) == 0
    assert code_of(server, "first", *make(server, "second")) == 401
    assert code_of(server, "old", *make(server, "old")) == 401  # its time is over


def test_server_name_is_the_realm_by_default(sterna):
    server = sterna(sections=SECTIONS, **{**OPTIONS, "server_name": None})
    with Holder(server, "first", *make(server, "first")) as holder:
        assert holder.allocate().code == 0
        assert holder.offered == b"example.org"


def test_realm_of_the_key(server):
    """The session is of the key's realm, whichever realm the challenge named."""
    with Holder(server, "second", *make(server, "second")) as holder:
        assert holder.allocate().code == 0
        server.wait_log("two.example")


def test_long_mac_key_and_lifetime(server):
    token, mac_key = make(server, "first", "--mac-key-length", 32, "--lifetime", 90)
    assert len(mac_key) == 32
    with Holder(server, "first", token, mac_key) as holder:
        answer = holder.allocate()
        assert answer.code == 0 and 60 <= int.from_bytes(answer.get(turn.LIFETIME), "big") <= 95


# Proves T-7635-6.1-02, T-7635-7-06
def test_reload_switches_it(sterna):
    """On and off, and a key that goes; the sessions that it opened stay."""
    server = sterna(sections=SECTIONS, no_auth=None, user="joe:secret", server_name="turn.example")
    first = make(server, "first")
    assert code_of(server, "first", *first) == 420
    server.write_conf(oauth=True)
    server.signal(signal.SIGHUP)
    wait_for(lambda: code_of(server, "first", *first) == 0, "tokens are taken")
    with Holder(server, "first", *first) as holder:
        assert holder.allocate().code == 0
        server.sections = SECTIONS.replace('"first"', '"third"')
        server.write_conf()
        server.signal(signal.SIGHUP)
        wait_for(lambda: code_of(server, "third", *make(server, "third")) == 0, "the key of a new name")
        assert code_of(server, "first", *first) == 401
        assert holder.refresh(600).code == 0


def test_bad_keys_are_told(sterna, tmp_path):
    conf = tmp_path / "bad.conf"
    conf.write_text('realm=r\noauth\n[oauth "k"]\nkey = short\n')
    done = subprocess.run([STERNA, "check-config", "-c", conf], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "A256GCM needs a key of 32 bytes" in done.stdout + done.stderr or "no base64" in done.stdout + done.stderr


# --- sterna token ----------------------------------------------------------------------------------

GIVEN = ["--kid", "k", "--server-name", "turn.example"]


def given(word, *more, key=KEY, text=None):
    """With a key on standard input."""
    return run(word, *GIVEN, "--key-stdin", *more, text=key + "\n" if text is None else text)


def test_make_and_show(tmp_path):
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    token = given("make").stdout.splitlines()[1].removeprefix("token=")
    for key in (["--key-file", file], ["--key", KEY]):
        done = run("show", *GIVEN, *key, token)
        assert done.returncode == 0, done.stderr
        assert "lifetime:    60 min 0 s" in done.stdout
    done = run("show", *GIVEN, "--key-file", file, text=token + "\n")
    assert done.returncode == 0 and "algorithm:   A256GCM" in done.stdout


def test_json():
    answer = json.loads(given("make", "--json", "--lifetime", 60).stdout)
    assert answer["kid"] == "k" and answer["expires_in"] == 60 and answer["token_type"] == "pop"
    assert len(base64.b64decode(answer["access_token"])) == 64 and len(base64.b64decode(answer["key"])) == 20


def test_no_two_tokens_are_alike():
    assert len({given("make").stdout for _ in range(3)}) == 3


# Proves T-7635-6.2-05
def test_requests_that_do_not_fit_a_datagram():
    assert "548" not in given("make").stderr
    done = run("make", "--kid", "k" * 128, "--server-name", "s", "--realm", "r" * 127, "--key-stdin", text=KEY + "\n")
    assert done.returncode == 0 and "it should have less than 548" in done.stderr
    done = given("make", "--mac-key-length", 64, "--realm", "r" * 240)
    assert done.returncode == 0 and "it should have less than 548" in done.stderr


# Proves T-7635-4.1.2-01
def test_key_for_an_authorization_server():
    assert json.loads(given("key", "--algorithm", "A128GCM").stdout) == {
        "k": base64.urlsafe_b64encode(bytes(range(16))).decode().rstrip("="), "kid": "k", "enc": "A128GCM"}


WRONG = {"no action": [], "unknown action": ["take"],
         "no server": ["make", "--kid", "k", "--key", KEY, "-c", "/dev/null"],
         "no kid": ["make", "--key", KEY, "--server-name", "s"],
         "no key": ["make", *GIVEN, "--key", "!!"],
         "empty key": ["make", *GIVEN, "--key", ""],
         "algorithm": ["make", *GIVEN, "--key", KEY, "--algorithm", "A256CBC-HS512"],
         "lifetime": ["make", *GIVEN, "--key", KEY, "--lifetime", "0"],
         "two keys": ["make", *GIVEN, "--key", KEY, "--key-file", "/dev/null"],
         "a word": ["make", *GIVEN, "--key", KEY, "word"],
         "not of show": ["show", *GIVEN, "--key", KEY, "--lifetime", "9", "x"],
         "long name": ["make", "--kid", "k", "--key", KEY, "--server-name", "s" * 256]}


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG.keys())
def test_wrong_command_lines(arguments):
    done = run(*arguments)
    assert done.returncode == 2 and done.stdout == "", done
    assert done.stderr.startswith("sterna token")


def test_tokens_that_do_not_open():
    token = given("make").stdout.splitlines()[1].removeprefix("token=")
    for wrong in ("", "AAAA", "no base64!", token[:-4], "B" + token[1:]):
        done = run("show", *GIVEN, "--key", KEY, wrong)
        assert done.returncode == 1 and "this is no token" in done.stderr or "does not open" in done.stderr, wrong
    done = run("show", "--kid", "k", "--server-name", "another", "--key", KEY, token)
    assert done.returncode == 1 and "does not open" in done.stderr
    done = run("show", *GIVEN, "--key", OTHER_KEY, token)
    assert done.returncode == 1 and "does not open" in done.stderr


def test_unknown_kid(server):
    done = run("make", "-c", server.conf, "--kid", "nobody")
    assert done.returncode == 3 and "there is no such key" in done.stderr
    done = run("make", "-c", server.conf)
    assert done.returncode == 2 and "choose one with --kid" in done.stderr

# SPDX-License-Identifier: Apache-2.0
"""sterna credentials: names and passwords that a server takes, as a browser wants them."""
import base64
import hashlib
import hmac
import json
import os
import pathlib
import re
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
STERNA = os.environ.get("STERNA_BIN", str(ROOT / "build/release/sterna"))


@pytest.fixture(name="conf")
def configuration(tmp_path):
    """A function that writes a configuration and returns its path."""
    def write(*lines):
        path = tmp_path / "turnserver.conf"
        path.write_text("".join(line + "\n" for line in lines))
        return str(path)
    return write


def run(*args, text=""):
    return subprocess.run([STERNA, *args], input=text, env={"PATH": os.environ["PATH"]},
                          capture_output=True, text=True, timeout=30, check=False)


def credentials(*args, text=""):
    done = run("credentials", *args, text=text)
    assert done.returncode == 0, done.stderr
    entry, = json.loads(done.stdout)["iceServers"]
    assert set(entry) == {"urls", "username", "credential"}
    return entry


def password(secret, name):
    return base64.b64encode(hmac.new(secret.encode(), name.encode(), hashlib.sha1).digest()).decode()


# Proves T-REST-2.2-01
def test_time_limited_credentials_are_those_of_the_draft(conf):
    path = conf("realm=example.org", "static-auth-secret=north")
    before = int(time.time())
    entry = credentials("-c", path, "--user", "alice")
    expiry, name = entry["username"].split(":")
    assert before + 86400 <= int(expiry) <= time.time() + 86400
    assert name == "alice"
    assert entry["credential"] == password("north", entry["username"])
    assert entry["urls"] == ["turn:example.org:3478?transport=udp", "turn:example.org:3478?transport=tcp"]


def test_ttl_user_and_separator(conf):
    path = conf("realm=example.org", "static-auth-secret=north", "rest-api-separator=#")
    entry = credentials("-c", path, "--ttl", "60", "--user", "a:b")
    expiry, name = entry["username"].split("#")
    assert 0 <= int(expiry) - time.time() <= 60 and name == "a:b"
    assert re.fullmatch(r"\d+", credentials("-c", path)["username"])


@pytest.mark.parametrize("ttl", ["0", "-1", "x", "", "1e3", "315360001", "99999999999999999999"])
def test_a_wrong_ttl_is_a_usage_error(conf, ttl):
    done = run("credentials", "-c", conf("static-auth-secret=s", "realm=r"), f"--ttl={ttl}")
    assert done.returncode == 2
    assert "--ttl" in done.stderr and done.stdout == ""


def test_the_secret_may_come_from_stdin(conf):
    path = conf("realm=example.org", "static-auth-secret=north")
    entry = credentials("-c", path, "--secret-stdin", text="south\n")
    assert entry["credential"] == password("south", entry["username"])


def test_the_secret_may_come_from_the_database(conf, tmp_path):
    db = str(tmp_path / "db")
    run("secret", "add", "-b", db, "-r", "example.org", "--secret-stdin", text="east\n")
    path = conf("realm=example.org", "use-auth-secret", f"userdb={db}")
    entry = credentials("-c", path)
    assert entry["credential"] == password("east", entry["username"])
    assert run("credentials", "-c", path, "-r", "other").returncode == 3


def test_fixed_users(conf):
    path = conf("realm=example.org", "user=key:0x" + "ab" * 16, "user=alice:wonder:land",
                "user=bob:builder")
    assert credentials("-c", path)["credential"] == "wonder:land"
    assert credentials("-c", path, "--user", "bob")["credential"] == "builder"
    for name, why in (("key", "a key of the user and no password"), ("carol", "no user line")):
        done = run("credentials", "-c", path, "--user", name)
        assert done.returncode == 3
        assert why in done.stderr and done.stdout == ""


def test_fixed_goes_before_secrets(conf):
    path = conf("realm=example.org", "static-auth-secret=north", "user=bob:builder")
    assert credentials("-c", path, "--fixed", "bob")["username"] == "bob"
    assert credentials("-c", path, "--user", "bob")["username"].endswith(":bob")


@pytest.mark.parametrize("lines, args, url", [
    (["realm=example.org", "listening-ip=192.0.2.1"], [], "turn:example.org:3478"),
    (["realm=example.org"], ["--host", "turn.example.net"], "turn:turn.example.net:3478"),
    (["realm=example.org"], ["--host", "2001:db8::1"], "turn:[2001:db8::1]:3478"),
    (["realm=example.org"], ["--host", "[2001:db8::1]"], "turn:[2001:db8::1]:3478"),
    (["realm=here", "listening-ip=192.0.2.1", "listening-port=1234"], [], "turn:192.0.2.1:1234"),
    (["realm=here", "listening-ip=0.0.0.0", "listening-ip=2001:db8::5"], [],
     "turn:[2001:db8::5]:3478"),
    (["realm=here", "listening-ip=10.0.0.1", "external-ip=192.0.2.7/10.0.0.1"], [],
     "turn:192.0.2.7:3478"),
])
def test_the_host_of_the_entry(conf, lines, args, url):
    path = conf("static-auth-secret=s", *lines)
    assert credentials("-c", path, *args)["urls"] == [url + "?transport=udp", url + "?transport=tcp"]


BOTH = ["turn:3478?udp", "turn:3478?tcp"]
SECURE = ["[listener]", "address=192.0.2.1:443", "encryption=tls"]


# Proves T-7065-3.2-01
@pytest.mark.parametrize("lines, uris", [
    ([], BOTH),
    (["tls-listening-port=443"], BOTH),  # no TLS without a certificate
    (["cert=c.pem"], [*BOTH, "turns:5349?tcp"]),
    (["cert=c.pem", "dtls"], [*BOTH, "turns:5349?tcp"]),  # browsers do not speak DTLS with TURN servers
    (["cert=c.pem", "dtls", "no-udp", "no-tcp", "no-tls"], ["turns:5349?udp"]),
    (["cert=c.pem", "tls-listening-port=443"], [*BOTH, "turns:443?tcp"]),
    (["cert=c.pem", "tls-listening-port=0"], [*BOTH, "turns:3478?tcp"]),
    (["cert=c.pem", "no-tls"], BOTH),
    (["cert=c.pem", "no-udp", "no-tcp"], ["turns:5349?tcp"]),
    (["no-tcp"], ["turn:3478?udp"]),
    (["no-udp"], ["turn:3478?tcp"]),
    (["no-tcp", "tcp-proxy-port=8000"], ["turn:3478?udp"]),
    (["cert=c.pem", "no-tcp", "tls-listening-port=0", "tcp-proxy-port=8000"], ["turn:3478?udp", "turns:8000?tcp"]),
    (["cert=c.pem", "tls-listening-port=0", "no-tcp", *SECURE], ["turn:3478?udp", "turns:443?tcp"]),
    (["cert=c.pem", *SECURE], [*BOTH, "turns:5349?tcp"]),
])
def test_the_uris_of_the_entry(conf, lines, uris):
    path = conf("static-auth-secret=s", "realm=example.org", *lines)
    wanted = [uri.replace(":", ":example.org:").replace("?", "?transport=") for uri in uris]
    assert credentials("-c", path)["urls"] == wanted


def test_a_configuration_that_serves_nobody_has_no_entry(conf):
    done = run("credentials", "-c", conf("static-auth-secret=s", "realm=example.org", "no-udp", "no-tcp"))
    assert done.returncode == 2
    assert "no-udp" in done.stderr and done.stdout == ""


def test_text_is_for_scripts(conf):
    path = conf("realm=example.org", "user=alice:wonderland")
    done = run("credentials", "-c", path, "--text")
    assert done.stdout == "username=alice\npassword=wonderland\n"


def test_json_survives_any_text(conf):
    path = conf("realm=example.org", "static-auth-secret=s")
    assert credentials("-c", path, "--user", 'a"\\\n<\u00e9>')["username"].endswith(
        ':a"\\\n<\u00e9>')
    done = subprocess.run([STERNA, "credentials", "-c", path, "--user", b"\xff"],
                          env={"PATH": os.environ["PATH"]}, capture_output=True, timeout=30,
                          check=False)
    assert done.returncode == 2
    assert b"UTF-8" in done.stderr


def test_the_secret_is_not_printed(conf):
    path = conf("realm=example.org", "static-auth-secret=northwind")
    done = run("credentials", "-c", path)
    assert "northwind" not in done.stdout + done.stderr
    assert "valid until" in done.stderr


def test_nothing_to_make_them_of_is_not_found(conf):
    done = run("credentials", "-c", conf("realm=example.org"))
    assert done.returncode == 3
    assert "static-auth-secret" in done.stderr and done.stdout == ""

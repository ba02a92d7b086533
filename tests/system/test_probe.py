# SPDX-License-Identifier: Apache-2.0
"""sterna probe, against Debian's coturn and against sterna itself, on loopback."""
import contextlib
import json
import os
import pathlib
import select
import shutil
import socket
import subprocess
import time

import pytest

from conftest import free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
STERNA = os.environ.get("STERNA_BIN", str(ROOT / "build/release/sterna"))
COTURN = shutil.which("turnserver")
BINDING = bytes.fromhex("000100002112a442") + b"probe-ready!"
LIMIT_S = 20


def wait_ready(ip, port, process):
    """Until the server answers a Binding request."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    deadline = time.monotonic() + LIMIT_S
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((ip, port))
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(ConnectionRefusedError):
                sock.send(BINDING)
                if select.select([sock], [], [], 0.1)[0] and sock.recv(2048)[:2] == b"\x01\x01":
                    return
    pytest.fail("the server did not become ready")


class Server:
    """One server process; `lines` are added to its configuration."""

    def __init__(self, kind, tmp_path, lines=(), ip="127.0.0.1", auth=None):
        self.kind, self.ip, self.port = kind, ip, free_port(ip)
        self.conf = tmp_path / "turnserver.conf"
        auth = auth or ["lt-cred-mech", "user=alice:wonderland"]
        own = {"coturn": ["no-cli", "cli-password=x", "no-tcp", "no-tls", "no-dtls",
                          "denied-peer-ip=169.254.0.0-169.254.255.255",
                          "denied-peer-ip=fe80::-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                          "denied-peer-ip=::ffff:169.254.0.0-::ffff:169.254.255.255",
                          f"pidfile={tmp_path / 'coturn.pid'}", "log-file=stdout"],
               "sterna": []}[kind]
        self.conf.write_text("\n".join([
            f"listening-ip={ip}", f"relay-ip={ip}", f"listening-port={self.port}",
            "realm=example.org", "allow-loopback-peers", *auth, *own, *lines, ""]),
            encoding="utf-8")
        self.log = tmp_path / "server.log"
        self.process = None

    def command(self):
        return [COTURN] if self.kind == "coturn" else [STERNA, "serve"]

    def __enter__(self):
        if self.kind == "coturn" and COTURN is None:
            pytest.skip("coturn is not installed")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                [*self.command(), "-c", str(self.conf)], stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, cwd=self.conf.parent)
        try:
            wait_ready(self.ip, self.port, self.process)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(LIMIT_S)

    @property
    def uri(self):
        return f"turn:[{self.ip}]:{self.port}" if ":" in self.ip else f"turn:{self.ip}:{self.port}"


def probe(uri, *args, stdin="", wrap=()):
    return subprocess.run([*wrap, STERNA, "probe", *args, uri], input=stdin, capture_output=True,
                          text=True, timeout=60, check=False)


def steps_of(done):
    return {step["step"]: step for step in json.loads(done.stdout)["steps"]}


@pytest.fixture(params=["coturn", "sterna"], name="kind")
def kind_fixture(request):
    return request.param


def test_a_good_server_passes_every_step(kind, tmp_path):
    with Server(kind, tmp_path) as server:
        done = probe(server.uri, "-u", "alice", "--password-stdin", "--json", stdin="wonderland\n")
    steps = steps_of(done)
    assert done.returncode == 0, done.stdout + done.stderr
    allowed = {"ok", "warning"} if kind == "coturn" else {"ok"}
    assert all(step["result"] in allowed for step in steps.values()), done.stdout
    assert steps["binding"]["values"]["nat"] is False
    assert steps["challenge"]["values"]["realm"] == "example.org"
    echo = steps["echo"]["values"]
    assert echo["sent"] == echo["received"] == 20
    assert 0 < echo["min_ms"] <= echo["median_ms"] <= echo["max_ms"]
    assert echo["large"] is True


def test_lines_tell_each_step(kind, tmp_path):
    with Server(kind, tmp_path) as server:
        done = probe(server.uri, "-u", "alice", "--password-stdin", stdin="wonderland\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 of 20 packets came back" in done.stdout
    assert " 0 failed, 0 skipped" in done.stdout
    assert "wonderland" not in done.stdout + done.stderr


def test_sterna_offers_sha256(tmp_path):
    with Server("sterna", tmp_path) as server:
        done = probe(server.uri, "-u", "alice", "--password-stdin", "--json", stdin="wonderland\n")
    values = steps_of(done)["challenge"]["values"]
    assert values["algorithm"].startswith("SHA-256")
    assert values["nonce_cookie"] is True
    assert "software" not in values


def test_a_wrong_password_is_told(kind, tmp_path):
    with Server(kind, tmp_path) as server:
        done = probe(server.uri, "-u", "alice", "--password-stdin", stdin="looking-glass\n")
    assert done.returncode == 3
    assert "FAILED   allocate" in done.stdout
    assert "the password is wrong" in done.stdout


def test_without_credentials_it_ends_at_the_challenge(kind, tmp_path):
    with Server(kind, tmp_path) as server:
        done = probe(server.uri, "--json")
    steps = steps_of(done)
    assert done.returncode == 0
    assert [steps[s]["result"] for s in ("binding", "challenge", "allocate")] == \
        ["ok", "ok", "skipped"]
    assert "-u USER" in steps["challenge"]["advice"]


def test_a_secret_makes_credentials(kind, tmp_path):
    with Server(kind, tmp_path, auth=["use-auth-secret", "static-auth-secret=north"]) as server:
        good = probe(server.uri, "--secret-stdin", stdin="north\n")
        named = probe(server.uri, "--secret-stdin", "-u", "alice", stdin="north\n")
        bad = probe(server.uri, "--secret-stdin", stdin="south\n")
    assert good.returncode == 0, good.stdout + good.stderr
    assert named.returncode == 0, named.stdout + named.stderr
    assert bad.returncode == 3


def test_stun_only_asks_nothing_else(kind, tmp_path):
    with Server(kind, tmp_path) as server:
        done = probe(server.uri.replace("turn:", "stun:"), "--json")
    assert done.returncode == 0
    assert {s["step"]: s["result"] for s in json.loads(done.stdout)["steps"]}["challenge"] == \
        "skipped"


def test_ipv6(kind, tmp_path):
    with Server(kind, tmp_path, ip="::1") as server:
        done = probe(server.uri, "-6", "-u", "alice", "--password-stdin", "--json",
                     stdin="wonderland\n")
    steps = steps_of(done)
    assert done.returncode == 0, done.stdout + done.stderr
    assert steps["allocate"]["values"]["relayed"].startswith("[::1]:")
    assert steps["echo"]["values"]["received"] == 20


def test_a_quota_of_one_is_explained(kind, tmp_path):
    with Server(kind, tmp_path, ["user-quota=1"]) as server:
        done = probe(server.uri, "-u", "alice", "--password-stdin", "--json", stdin="wonderland\n")
    step = steps_of(done)["second allocate"]
    assert done.returncode == 3
    assert step["values"]["code"] == 486
    assert "user-quota" in step["advice"]


def test_an_open_relay_is_a_warning(kind, tmp_path):
    with Server(kind, tmp_path, auth=["no-auth"]) as server:
        done = probe(server.uri, "--json")
    steps = steps_of(done)
    assert done.returncode == 0, done.stdout
    assert steps["challenge"]["result"] == "warning"
    assert steps["challenge"]["values"]["open"] is True
    assert steps["echo"]["values"]["received"] == 20


def test_a_way_to_the_metadata_service_is_a_failure(tmp_path):
    with Server("sterna", tmp_path, ["allowed-peer-ip=169.254.169.254"]) as server:
        done = probe(server.uri, "-u", "alice", "--password-stdin", "--json", stdin="wonderland\n")
    step = steps_of(done)["forbidden peers"]
    assert done.returncode == 3
    assert step["values"]["open"] == "169.254.169.254"
    assert "denied-peer-ip" in step["advice"]


def probe_in_namespace(tmp_path, setup, *options):
    """Probe a sterna in a network namespace where it has a public and a private address."""
    if os.geteuid() != 0:
        pytest.skip("needs root for a network namespace")
    script = f"""
        ip link set lo up && ip addr add 9.9.9.1/32 dev lo && ip addr add 10.9.9.1/32 dev lo
        {setup}
        '{STERNA}' serve -n --realm=example.org --user=alice:wonderland --allow-private-peers \
            --listening-ip=9.9.9.1 {' '.join(options)} >'{tmp_path}/log' 2>&1 &
        server=$!
        until '{STERNA}' probe --timeout 1 stun:9.9.9.1 >/dev/null; do kill -0 $server || exit 9
        done
        echo wonderland | '{STERNA}' probe -u alice --password-stdin --json turn:9.9.9.1
        code=$?
        kill $server && wait $server
        exit $code"""
    return subprocess.run(["unshare", "--net", "sh", "-c", script], capture_output=True, text=True,
                          timeout=60, check=False)


def test_a_private_relay_behind_a_public_address_is_a_failure(tmp_path):
    done = probe_in_namespace(tmp_path, "", "--relay-ip=10.9.9.1")
    assert done.returncode == 3, done.stdout + done.stderr
    step = steps_of(done)["relayed address"]
    assert step["result"] == "failed"
    assert "external-ip" in step["advice"]


def test_a_public_address_needs_nothing_else(tmp_path):
    done = probe_in_namespace(tmp_path, "", "--relay-ip=9.9.9.1")
    assert done.returncode == 0, done.stdout + done.stderr
    steps = steps_of(done)
    assert steps["relayed address"]["values"]["public"] is True
    assert steps["forbidden peers"]["values"]["refused"] == "127.0.0.1, 169.254.169.254"


def test_closed_relay_ports_are_told(tmp_path):
    """The way from one relay port to another is cut, as a firewall would."""
    cut = ("ip rule add pref 10 lookup local && ip rule del pref 0 && "
           "ip rule add pref 5 from 10.9.9.1 to 10.9.9.1 blackhole")
    done = probe_in_namespace(tmp_path, cut, "--relay-ip=10.9.9.1")
    assert done.returncode == 3, done.stdout + done.stderr
    steps = steps_of(done)
    assert steps["permissions"]["result"] == "ok"
    for name in ("send and data", "echo"):
        assert steps[name]["result"] == "failed"
        assert "relay ports" in steps[name]["advice"]


@pytest.fixture(name="silent")
def silent_fixture():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(LIMIT_S)
        yield sock


def test_no_answer_means_address_or_firewall(silent):
    done = probe(f"turn:127.0.0.1:{silent.getsockname()[1]}", "--timeout", "1")
    assert done.returncode == 3
    assert "no answer to 2 requests" in done.stdout
    assert "firewall" in done.stdout


def test_a_closed_port_is_told():
    done = probe(f"turn:127.0.0.1:{free_port('127.0.0.1')}")
    assert done.returncode == 3
    assert "nobody listens" in done.stdout


def test_an_unknown_host_is_told():
    done = probe("turn:no-such-host.invalid")
    assert done.returncode == 3
    assert "no-such-host.invalid" in done.stderr


def test_a_password_in_argv_warns_and_is_blotted_out(silent):
    with subprocess.Popen([STERNA, "probe", "-u", "alice", "-w", "wonderland", "--timeout", "2",
                           f"turn:127.0.0.1:{silent.getsockname()[1]}"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        silent.recv(2048)  # it runs, and has read its arguments
        shown = pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes()
        errors = process.communicate(timeout=LIMIT_S)[1]
    assert b"wonderland" not in shown
    assert "visible" in errors and "wonderland" not in errors


@pytest.mark.parametrize("args, word", [
    (["turns:h"], "TLS"),
    (["turn:h?transport=tcp"], "UDP"),
    (["turn:h:0"], "port"),
    ([], "which server"),
    (["turn:a", "turn:b"], "more than one"),
    (["--nonsense", "turn:h"], "--nonsense"),
    (["-x", "turn:h"], "-x"),
    (["turn:h", "--timeout"], "--timeout"),
    (["--timeout", "0", "turn:h"], "--timeout"),
    (["--timeout", "-1", "turn:h"], "--timeout"),
    (["-u", "alice", "turn:h"], "password"),
    (["-w", "x", "turn:h"], "-u USER"),
    (["-u", "a", "-w", "x", "--password-stdin", "turn:h"], "one of"),
    (["-u", "a", "--password-stdin", "turn:h"], "empty"),
    (["-u", "a" * 509, "-w", "x", "turn:h"], "508"),
    (["-u", "a", "-w", "tab\t", "turn:127.0.0.1"], "not allowed"),
])
def test_wrong_usage_is_told(args, word):
    done = subprocess.run([STERNA, "probe", *args], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert word in done.stderr

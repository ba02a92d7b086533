# SPDX-License-Identifier: Apache-2.0
"""sterna bench, against Debian's coturn and against sterna itself, on loopback."""
import json
import os
import pty
import shutil
import signal
import subprocess
import threading
import time

import pytest
from conftest import STERNA, Sterna, free_port, wait_for

pytestmark = pytest.mark.long  # it loads servers; its parts have unit tests under the sanitizers
from streams import openssl

COTURN = shutil.which("turnserver")
LIMIT_S = 90
PASSWORD = "wonderland\n"
LOGIN = ("-u", "alice", "--password-stdin")


class Server:
    """One server of either kind, with TLS."""

    def __init__(self, kind, directory, **options):
        if kind == "coturn" and COTURN is None:
            pytest.skip("coturn is not installed")
        self.kind, self.port, self.tls_port = kind, free_port(), free_port()
        self.cert, key = directory / "cert.pem", directory / "key.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                "-keyout", str(key), "-out", str(self.cert))
        common = {"listening_ip": "127.0.0.1", "relay_ip": "127.0.0.1", "listening_port": self.port,
                  "tls_listening_port": self.tls_port, "realm": "example.org", "allow_loopback_peers": True,
                  "lt_cred_mech": True, "user": "alice:wonderland", "cert": str(self.cert), "pkey": str(key),
                  "no_auth": False}
        if kind == "sterna":
            own = {"unauthorized_ratelimit": 0}  # storms come from few addresses here
            self.server = Sterna(directory, **{**common, **own, **options})
            self.server.ready()
            self.process = self.server.process
            return
        own = {"no_cli": True, "cli_password": "x", "pidfile": str(directory / "pid"), "log_file": "stdout",
               "no_dtls": True}
        conf = directory / "turnserver.conf"
        conf.write_text("".join(f"{name.replace('_', '-')}" + ("\n" if value is True else f"={value}\n")
                                for name, value in {**common, **own, **options}.items() if value is not False),
                        encoding="utf-8")
        with open(directory / "coturn.log", "wb") as log:
            self.process = subprocess.Popen([COTURN, "-c", str(conf)], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, cwd=directory)
        wait_for(lambda: subprocess.run([STERNA, "probe", f"stun:127.0.0.1:{self.port}", "--timeout", "1"],
                                        capture_output=True, check=False).returncode == 0, "coturn")

    def target(self, transport="udp"):
        return f"127.0.0.1:{self.tls_port if transport == 'tls' else self.port}"

    def stop(self):
        self.process.terminate()
        self.process.wait(LIMIT_S)


@pytest.fixture(params=["coturn", "sterna"], name="kind")
def kind_fixture(request):
    return request.param


@pytest.fixture(name="serve")
def serve_fixture(tmp_path):
    started = []

    def start(kind, **options):
        directory = tmp_path / f"server-{len(started)}"
        directory.mkdir()
        started.append(Server(kind, directory, **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def run(*args, stdin=PASSWORD):
    return subprocess.run([STERNA, "bench", *args], input=stdin, capture_output=True, text=True, timeout=LIMIT_S,
                          check=False)


def measure(*args, code=0):
    """The JSON of a run."""
    done = run(*LOGIN, "--duration", "1", "--json", "-", "-q", *args)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def accounted(result, *ways):
    """What was sent either came once, unharmed, or is told as lost."""
    for way in ways:
        flow = result[way]
        assert flow["received"] > 0
        assert flow["sent"] == flow["received"] + flow["lost"], flow
        assert flow["received"] == flow["latency"]["count"]
        assert flow["corrupt"] == flow["duplicates"] == flow["reordered"] == 0, flow
        assert 0 <= flow["latency"]["p50_us"] <= flow["latency"]["p99_us"] <= flow["latency"]["max_us"]
    assert sum(second[way]["received"] for second in result["series"] for way in ways) > 0
    assert result["ok"] is True


def all_came(result, *ways):
    accounted(result, *ways)
    for way in ways:
        assert result[way]["lost"] == 0, result[way]


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_every_packet_is_accounted_for(serve, kind, transport):
    server = serve(kind)
    trust = ["--ca", str(server.cert)] if transport == "tls" else []
    for mix in "audio", "video":
        result = measure("--clients", "8", "--mix", mix, "-t", transport, *trust, server.target(transport))
        accounted(result, "up", "down")
        assert result["allocations"]["ready"] == 8
        if transport == "udp" or kind == "sterna":  # coturn drops what a busy connection does not take
            all_came(result, "up", "down")


@pytest.mark.parametrize("options", [("--mix", "bulk", "--window", "64"), ("--flat", "--window", "32"),
                                     ("--indications",), ("--indications", "--burst", "4", "--payload", "173"),
                                     ("--source", "127.0.0.1"), ("--payload", "20", "--burst", "70", "--rate", "700"),
                                     ("--mix", "bulk", "--source", "127.0.0.1", "--window", "64", "--payload", "1000")])
def test_the_shapes_of_load(serve, kind, options):
    server = serve(kind)
    all_came(measure("--clients", "4", *options, server.target()), "up", "down")


@pytest.mark.parametrize("way, other", [("up", "down"), ("down", "up")])
def test_one_direction(serve, way, other):
    result = measure("--clients", "4", "--direction", way, serve("sterna").target())
    all_came(result, way)
    assert result[other]["sent"] == 0


def test_pairs_pass_two_relays(serve, kind):
    server = serve(kind)
    for options in (), ("--indications",), ("-t", "tcp", "--mix", "video"):
        accounted(measure("--clients", "6", "--pairs", *options, server.target()), "up")


def test_allocations_over_and_over(serve, kind):
    server = serve(kind)
    for options in (), ("-t", "tcp", "--clients", "8"), ("--source", "127.0.0.1", "--clients", "8"):
        result = measure("--mix", "alloc", "--outstanding", "8", "--duration", "3", *options, server.target(),
                         "--pid", str(server.process.pid))
        assert result["allocations"]["cycles"] == result["allocations"]["time"]["count"] > 0
        assert result["allocations"]["failed"] == 0
        assert result["cpu"]["server_s"] > 0 and result["cpu"]["own_us_per_packet"] > 0


def test_allocations_are_kept_alive_and_released(serve):
    server = serve("sterna", max_allocate_lifetime=2, user_quota=4)
    result = measure("--clients", "4", "--duration", "6", "--direction", "up", server.target())
    all_came(result, "up")
    assert result["allocations"]["ended"] == 0
    all_came(measure("--clients", "4", server.target()), "up", "down")  # the quota is free again
    assert server.server.text.count("allocation.deleted") == 8
    assert "allocation.expired" not in server.server.text


def test_allocations_kept_alive_over_tcp(serve):
    server = serve("sterna", max_allocate_lifetime=2)
    all_came(measure("--clients", "3", "--duration", "4", "-t", "tcp", server.target()), "up", "down")


def test_ipv6(sterna):
    server = sterna(relay_ip="::1")
    done = run("--duration", "1", "--clients", "4", "--json", "-", "-q", f"[::1]:{server.port}", stdin="")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    all_came(result, "up", "down")
    assert result["setup"]["peer"] == "::1"
    ranged = run("--duration", "1", "--clients", "4", "--indications", "--pairs", "--json", "-", "-q",
                 f"[::1]:{server.port}", stdin="")
    all_came(json.loads(ranged.stdout), "up")


def test_a_shared_secret(serve, kind):
    server = serve(kind, user=False, lt_cred_mech=False, use_auth_secret=True, static_auth_secret="north")
    done = run("--secret-stdin", "--duration", "1", "--clients", "4", server.target(), stdin="north\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert run("--secret-stdin", "--duration", "1", server.target(), stdin="south\n").returncode == 1


def test_a_wrong_password_is_told_at_once(serve, kind):
    began = time.monotonic()
    done = run(*LOGIN, "--clients", "1000", serve(kind).target(), stdin="looking-glass\n")
    assert done.returncode == 1
    assert "no client got ready" in done.stdout and "password" in done.stdout
    assert "looking-glass" not in done.stdout + done.stderr
    assert time.monotonic() - began < 40


def test_without_credentials_they_are_asked_for(serve, kind):
    done = run(serve(kind).target(), stdin="")
    assert done.returncode == 1
    assert "--password-stdin" in done.stdout


def test_peers_that_the_server_refuses(serve, kind):
    done = run(*LOGIN, "--clients", "4", serve(kind, allow_loopback_peers=False).target())
    assert done.returncode == 1
    assert "403" in done.stdout and "--peer-address" in done.stdout


def test_some_clients_without_an_allocation(serve):
    result = measure("--clients", "10", "--direction", "up", serve("sterna", user_quota=6).target(), code=1)
    assert result["allocations"]["ready"] == 6 and result["allocations"]["failed"] == 4
    assert "486" in result["why"] and "4 of 10" in result["why"]
    assert result["up"]["sent"] == result["up"]["received"] > 0


@pytest.mark.parametrize("options", [(), ("--source", "127.0.0.1"), ("-t", "tcp"), ("--mix", "alloc"),
                                     ("--mix", "alloc", "-t", "tcp")])
def test_nobody_there(options):
    began = time.monotonic()
    done = run(*options, f"127.0.0.1:{free_port()}", stdin="")
    assert done.returncode == 1
    assert "obody listens" in done.stdout, done.stdout
    assert time.monotonic() - began < 40


@pytest.mark.parametrize("options", [(), ("--source", "127.0.0.1"), ("-t", "tcp"), ("--flat",), ("--mix", "alloc"),
                                     ("--mix", "alloc", "-t", "tcp")])
def test_a_server_that_dies(serve, options):
    server = serve("sterna")
    began = time.monotonic()
    with subprocess.Popen([STERNA, "bench", *LOGIN, "--duration", "60", "--clients", "4", "--timeout", "4", *options,
                           server.target()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as bench:
        bench.stdin.write(PASSWORD)
        bench.stdin.close()
        server.server.wait_log("allocation.created", 4)
        server.process.kill()
        output = bench.stdout.read()
        assert bench.wait(LIMIT_S) == 1
    assert time.monotonic() - began < 40, "it noticed only when its time was over"
    assert "FAILED" in output
    assert any(text in output for text in ("has ended", "has closed", "closed the connection", "stopped answering",
                                           "obody listens", "failed")), output


def test_a_measured_process_that_ends(serve):
    with subprocess.Popen(["sleep", "600"]) as sleeper:
        server = serve("sterna")
        with subprocess.Popen([STERNA, "bench", *LOGIN, "--duration", "60", "--clients", "4", "--pid",
                               str(sleeper.pid), server.target()], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True) as bench:
            bench.stdin.write(PASSWORD)
            bench.stdin.close()
            server.server.wait_log("allocation.created", 4)
            sleeper.kill()
            sleeper.wait()
            output = bench.stdout.read()
            assert bench.wait(LIMIT_S) == 1
    assert "--pid" in output and "has ended" in output


def test_no_such_process():
    done = run("--pid", "4194304", "127.0.0.1", stdin="")
    assert done.returncode == 1
    assert "there is no process 4194304" in done.stderr


def test_interrupted_it_tells_and_releases(serve):
    server = serve("sterna")
    with subprocess.Popen([STERNA, "bench", *LOGIN, "--duration", "600", "--clients", "4", "--json", "-", "-q",
                           server.target()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as bench:
        bench.stdin.write(PASSWORD)
        bench.stdin.close()
        server.server.wait_log("allocation.created", 4)
        wait_for(lambda: server.server.text.count("allocation.created") == 4, "allocations")
        time.sleep(0.5)  # packets for the result; nothing depends on how many
        bench.send_signal(signal.SIGINT)
        result = json.loads(bench.stdout.read())
        bench.wait(LIMIT_S)
    assert result["load_s"] < 300
    assert result["caveats"]
    assert server.server.text.count("allocation.deleted") == 4


def test_limits_make_it_a_check(serve):
    target = serve("sterna").target()
    assert measure("--clients", "2", "--max-loss", "0", "--max-p99", "60000", target)["ok"] is True
    result = measure("--clients", "2", "--max-p99", "0", target, code=1)
    assert result["ok"] is False and "--max-p99" in result["why"]


def test_files_and_the_summary(serve, tmp_path):
    server = serve("sterna")
    done = run(*LOGIN, "--duration", "2", "--clients", "2", "--json", str(tmp_path / "r.json"), "--report",
               str(tmp_path / "r.html"), "--pid", str(server.process.pid), server.target())
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert len(result["series"]) >= 2
    assert f"{result['up']['received']} received" in done.stdout
    assert "us a packet" in done.stdout
    assert "<html" in (tmp_path / "r.html").read_text(encoding="utf-8")
    for text in done.stdout, json.dumps(result):
        assert "wonderland" not in text
    bad = run(*LOGIN, "--duration", "1", "--clients", "1", "--json", str(tmp_path / "no" / "r.json"), server.target())
    assert bad.returncode == 1 and "cannot write" in bad.stderr


def test_a_terminal_sees_progress(serve):
    server = serve("sterna")
    ours, theirs = pty.openpty()
    shown = []

    def read():
        try:
            while chunk := os.read(ours, 4096):
                shown.append(chunk)
        except OSError:
            pass  # the terminal is closed

    reader = threading.Thread(target=read)
    reader.start()
    done = subprocess.run([STERNA, "bench", *LOGIN, "--duration", "2", "--clients", "2", server.target()],
                          input=PASSWORD.encode(), stdout=subprocess.PIPE, stderr=theirs, timeout=LIMIT_S, check=False)
    os.close(theirs)
    reader.join()
    os.close(ours)
    assert done.returncode == 0
    assert b"up " in b"".join(shown) and b"p99" in b"".join(shown)


@pytest.mark.parametrize("args", [(), ("a", "b"), ("--rate", "-5", "h"), ("--mix", "x", "h"), ("-u", "alice", "h")])
def test_wrong_usage(args):
    done = run(*args, stdin="")
    assert done.returncode == 2
    assert "--help" in done.stderr

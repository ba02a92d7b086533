# SPDX-License-Identifier: Apache-2.0
"""sterna check-config: every finding with its place, what the peer gate will do, exit codes."""
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
STERNA = os.environ.get("STERNA_BIN", str(ROOT / "build/release/sterna"))
GOOD = "realm=example.org\nstatic-auth-secret=north\n"


def check(tmp_path, text, *args):
    conf = tmp_path / "turnserver.conf"
    conf.write_text(text, encoding="utf-8")
    done = subprocess.run([STERNA, "check-config", "-c", str(conf), *args], capture_output=True,
                          text=True, timeout=30, check=False, env={"PATH": os.environ["PATH"]})
    done.path = str(conf)
    return done


def test_a_good_file_ends_with_0(tmp_path):
    done = check(tmp_path, GOOD)
    assert done.returncode == 0
    assert "0 errors" in done.stdout


def test_an_error_has_file_line_and_column(tmp_path):
    done = check(tmp_path, GOOD + "min-port=abc\n")
    assert done.returncode == 2
    assert re.search(re.escape(done.path) + r":3:\d+: error: .*abc", done.stdout)
    assert "would not start" in done.stdout


def test_all_errors_are_told_at_once(tmp_path):
    done = check(tmp_path, GOOD + "min-port=abc\nexternal-ip=nowhere\ndenied-peer-ip=1.2.3\n")
    assert done.returncode == 2
    for line in (3, 4, 5):
        assert f"{done.path}:{line}:" in done.stdout


def test_a_misspelt_option_warns_and_names_the_right_one(tmp_path):
    done = check(tmp_path, GOOD + "listning-port=3479\n")
    assert done.returncode == 0
    assert re.search(re.escape(done.path) + r":3:\d+: warning: .*listening-port", done.stdout)


def test_a_missing_file_is_an_error(tmp_path):
    done = subprocess.run([STERNA, "check-config", "-c", str(tmp_path / "none.conf")],
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "none.conf" in done.stdout


def test_a_server_without_credentials_is_an_error(tmp_path):
    done = check(tmp_path, "realm=example.org\n")
    assert done.returncode == 2
    assert "no-auth" in done.stdout


def gate_lines(done):
    return {m[2]: m[1] for m in re.finditer(r"^  (reachable|refused) +([^:]+):", done.stdout, re.M)}


def test_the_gate_is_closed_by_default(tmp_path):
    lines = gate_lines(check(tmp_path, GOOD))
    assert lines["public addresses"] == "reachable"
    for what in ("private networks", "loopback", "link-local", "special", "this server"):
        assert lines[what] == "refused", what


@pytest.mark.parametrize("option, what", [("allow-private-peers", "private networks"),
                                          ("allow-loopback-peers", "loopback")])
def test_what_opens_the_gate_is_told(tmp_path, option, what):
    done = check(tmp_path, GOOD + option + "\n")
    assert gate_lines(done)[what] == "reachable"
    assert f"because of {option}" in done.stdout


def test_rules_are_listed_with_their_place(tmp_path):
    done = check(tmp_path, GOOD + "allowed-peer-ip=10.1.0.0/16\ndenied-peer-ip=8.8.8.8\n")
    assert re.search(rf"allowed +10\.1\.0\.0/16 \({re.escape(done.path)}:3\)", done.stdout)
    assert re.search(rf"denied +8\.8\.8\.8 \({re.escape(done.path)}:4\)", done.stdout)


def test_without_relay_there_are_no_peers(tmp_path):
    assert "Peers: none" in check(tmp_path, GOOD + "stun-only\n").stdout


@pytest.mark.parametrize("flag", ["--print", "--print-all"])
def test_printed_configuration_has_no_secrets_and_loads_again(tmp_path, flag):
    done = check(tmp_path, GOOD + "user=alice:wonderland\nmin-port=50000\n", flag)
    assert done.returncode == 0
    assert "north" not in done.stdout + done.stderr
    assert "wonderland" not in done.stdout + done.stderr
    assert re.search(r"^min-port *=? *50000$", done.stdout, re.M)
    assert "0 errors" in done.stderr
    again = check(tmp_path, done.stdout + "\nstatic-auth-secret=north\n")
    assert again.returncode == 0, again.stdout


def test_secrets_in_wrong_lines_are_not_told(tmp_path):
    done = check(tmp_path, GOOD + "user=alicewonderland\n")
    assert done.returncode == 2
    assert "wonderland" not in done.stdout + done.stderr


def test_options_of_the_command_line_are_judged_too(tmp_path):
    done = check(tmp_path, GOOD, "--max-port=99999")
    assert done.returncode == 2
    assert re.search(r"command line.*error: ", done.stdout)


def listeners(done):
    return {m[1]: m[2] for m in re.finditer(r"^  (\S+/(?:udp|tcp)) +(.*)$", done.stdout, re.M)}


def test_listeners_are_told(tmp_path):
    done = check(tmp_path, GOOD + "listening-ip=192.0.2.1\n")
    assert listeners(done) == {"192.0.2.1:3478/udp": "plain", "192.0.2.1:3478/tcp": "plain"}
    assert "TLS and DTLS clients are not served" in done.stdout


def test_listeners_of_sections_are_told(tmp_path):
    done = check(tmp_path, GOOD + "no-udp\nno-tcp\n[listener]\naddress=192.0.2.1:80\n"
                 "transport=tcp\nproxy-protocol\n")
    assert done.returncode == 0
    assert listeners(done) == {
        "192.0.2.1:80/tcp": "plain, behind a balancer (PROXY protocol)"}
    assert re.search(r"warning: .*proxy-protocol-from", done.stdout)


@pytest.mark.parametrize("line, column, advice", [
    ("certifcate=/x", 12, "is 'certificate' meant"),
    ("verify-client = sometimes", 17, "off|optional|required"),
    ("key-password", 1, "needs a value")])
def test_a_bad_line_of_a_section_is_an_error_with_its_place(tmp_path, line, column, advice):
    done = check(tmp_path, GOOD + "[tls \"a.example\"]\n" + line + "\n")
    assert done.returncode == 2
    assert re.search(re.escape(f"{done.path}:4:{column}: error: ") + ".*" + re.escape(advice),
                     done.stdout)


def test_two_listeners_on_one_address_are_an_error(tmp_path):
    done = check(tmp_path, GOOD + "[listener \"a\"]\naddress=192.0.2.1:80\n"
                 "[listener \"b\"]\naddress=192.0.2.1:80\n")
    assert done.returncode == 2
    assert f"error: {done.path}:5: there is a [listener] on 192.0.2.1:80/udp already" in done.stdout
    assert "1 error," in done.stdout


def test_no_udp_is_fine_as_long_as_tcp_is_left(tmp_path):
    assert check(tmp_path, GOOD + "no-udp\n").returncode == 0
    done = check(tmp_path, GOOD + "no-udp\nno-tcp\n")
    assert done.returncode == 2
    assert "nothing is left to serve" in done.stdout


def test_passwords_of_keys_are_not_printed(tmp_path):
    done = check(tmp_path, GOOD + "[tls \"a.example\"]\ncertificate=/x\nkey-password=southward\n",
                 "--print")
    assert "southward" not in done.stdout + done.stderr
    assert "# key-password=(hidden)" in done.stdout


def certificate(tmp_path, days="30"):
    """A self-signed certificate and its key in one file."""
    both = tmp_path / "both.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=a.example", "-days", days,
                    "-keyout", str(both), "-out", str(tmp_path / "cert.pem")],
                   check=True, capture_output=True, timeout=30)
    both.write_text(both.read_text(encoding="ascii") +
                    (tmp_path / "cert.pem").read_text(encoding="ascii"), encoding="ascii")
    return both


def test_with_a_certificate_tls_is_told(tmp_path):
    both = certificate(tmp_path)
    done = check(tmp_path, GOOD + f"listening-ip=192.0.2.1\ncert={both}\ndtls\n")
    assert (done.returncode, "0 errors, 0 warnings" in done.stdout) == (0, True), done.stdout
    assert listeners(done) == {
        "192.0.2.1:3478/udp": "plain and DTLS", "192.0.2.1:5349/udp": "plain and DTLS",
        "192.0.2.1:3478/tcp": "plain and TLS", "192.0.2.1:5349/tcp": "plain and TLS"}


def test_a_missing_certificate_is_an_error(tmp_path):
    done = check(tmp_path, GOOD + "cert=/nowhere/cert.pem\n")
    assert done.returncode == 2
    assert re.search("^error: .*/nowhere/cert.pem", done.stdout, re.M)
    assert "1 error," in done.stdout
    # as long as somebody needs it
    assert check(tmp_path, GOOD + "cert=/nowhere/cert.pem\nno-tls\n").returncode == 0

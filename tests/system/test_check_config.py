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

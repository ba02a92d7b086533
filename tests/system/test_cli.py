# SPDX-License-Identifier: Apache-2.0
"""The command line as a whole: help, names, exit codes, generated documents."""
import json
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
STERNA = os.environ.get("STERNA_BIN", str(ROOT / "build/release/sterna"))
COMMANDS = ["serve", "check-config", "user", "secret", "credentials", "token", "probe", "version", "help"]


def run(*args, argv0=None, **more):
    return subprocess.run([argv0 or "sterna", *args], executable=STERNA, capture_output=True,
                          text=True, timeout=30, stdin=subprocess.DEVNULL, check=False, **more)


@pytest.mark.parametrize("args", [["--help"], ["-h"], ["help"]])
def test_help_lists_every_command_and_exit_code(args):
    done = run(*args)
    assert done.returncode == 0
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", done.stdout, re.M), name
    assert re.findall(r"^  (\d) ", done.stdout, re.M) == ["0", "1", "2", "3"]
    assert done.stderr == ""


def test_no_command_is_a_usage_error():
    done = run()
    assert done.returncode == 2
    assert "Usage:" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name):
    by_flag = run(name, "--help")
    assert by_flag.returncode == 0
    assert "sterna" in by_flag.stdout
    by_help = run("help", name)
    assert (by_help.returncode, by_help.stdout) == (0, by_flag.stdout)


@pytest.mark.parametrize("wrong, right", [("pobe", "probe"), ("serv", "serve"),
                                          ("checkconfig", "check-config"), ("usr", "user"),
                                          ("verison", "version")])
def test_a_misspelt_command_is_named(wrong, right):
    for done in (run(wrong), run("help", wrong)):
        assert done.returncode == 2
        assert f'did you mean "{right}"' in done.stderr


@pytest.mark.parametrize("name", ["frobnicate", "x" * 10000, "", "%s%n", "-x"])
def test_an_unknown_command_is_a_usage_error(name):
    done = run(name)
    assert done.returncode == 2
    assert "did you mean" not in done.stderr


def test_version_names_itself_and_its_libraries():
    done = run("version")
    assert done.returncode == 0
    assert re.match(r"sterna \d+\.\d+\.\d+", done.stdout)
    for word in ("OpenSSL", "SQLite", "jansson", "zlib"):
        assert word in done.stdout
    assert run("--version").stdout == done.stdout


def test_version_in_json():
    done = run("version", "--json")
    found = json.loads(done.stdout)
    assert re.fullmatch(r"\d+\.\d+\.\d+", found["version"])
    assert found["openssl"].startswith("OpenSSL 3")
    assert run("version", "--nonsense").returncode == 2


def test_a_full_disk_is_told():
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([STERNA, "check-config", "-n", "--no-auth"], stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "No space left" in done.stderr


@pytest.mark.parametrize("called", ["turnserver", "/usr/bin/turnserver"])
def test_by_coturns_name_it_serves(called):
    """coturn's own flags are taken; a port that is none is an error of the configuration."""
    done = run("-n", "--no-auth", "-p", "70000", argv0=called)
    assert done.returncode == 2
    assert "70000" in done.stdout + done.stderr


@pytest.mark.parametrize("flag, path", [("--man", "docs/man/sterna.1"),
                                        ("--man-conf", "docs/man/sterna.conf.5"),
                                        ("--exit-codes", "docs/reference/exit-codes.md"),
                                        ("--options", "docs/reference/options.md")])
def test_generated_documents_are_fresh(flag, path):
    done = run("help", flag)
    assert done.returncode == 0
    assert done.stdout == (ROOT / path).read_text(encoding="utf-8"), \
        f"renew it: sterna help {flag} > {path}"


@pytest.mark.parametrize("flag", ["--man", "--man-conf"])
def test_manual_pages_are_clean_troff(flag):
    try:
        done = subprocess.run(["groff", "-man", "-ww", "-z", "-Tutf8"], timeout=30,
                              input=run("help", flag).stdout, capture_output=True, text=True,
                              check=False)
    except FileNotFoundError:
        pytest.skip("groff is not installed")
    assert (done.returncode, done.stderr) == (0, "")

# SPDX-License-Identifier: Apache-2.0
"""The name turnserver: where the program is started by links of coturn's names."""
import os
import pathlib
import signal
import subprocess

import pytest

from conftest import STERNA, free_port, wait_for
import turn

FILE = "listening-ip=127.0.0.1\nrealm=example.org\nno-auth\nlog-file=stdout\nsimple-log\n"


@pytest.fixture(name="face")
def link(tmp_path):
    path = tmp_path / "bin" / "turnserver"
    path.parent.mkdir()
    path.symlink_to(STERNA)
    return str(path)


def run(face, *flags, cwd=None):
    return subprocess.run([face, *flags], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
                          check=False, env={"PATH": os.environ["PATH"]})


def answers(port):
    with turn.Client(("127.0.0.1", port), timeout=0.3) as client:
        try:
            return client.request(turn.BINDING)[0].code == 0
        except OSError:
            return False


def served(face, cwd, port, *flags):
    """Serve until a Binding is answered, then stop; the exit code."""
    with subprocess.Popen([face, "-p", str(port), f"--pidfile={cwd}/pid", *flags], cwd=cwd, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, env={"PATH": os.environ["PATH"]}) as process:
        try:
            wait_for(lambda: answers(port) or process.poll() is not None, "an answer")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
        return process.returncode, process.stderr.read().decode()


def test_help_and_version(face):
    for flag in ("-h", "--help"):
        done = run(face, flag)
        assert done.returncode == 0
        assert done.stdout.startswith("Usage: turnserver ") and "--use-auth-secret" in done.stdout
    done = run(face, "--version")
    assert done.returncode == 0 and done.stdout.startswith("sterna ")


# coturn's search, and how its file may be named.
PLACES = ["turnserver.conf", "turnserver/turnserver.conf", "coturn/turnserver.conf", "etc/turnserver.conf",
          "etc/turnserver/turnserver.conf", "etc/coturn/turnserver.conf", "../etc/turnserver.conf"]


@pytest.mark.parametrize("place", PLACES)
def test_finds_its_configuration(face, tmp_path, place):
    cwd = tmp_path / "here"
    path = cwd / place
    cwd.mkdir()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FILE)
    code, error = served(face, cwd, free_port())
    assert code == 0, error


def test_n_keeps_the_file_out(face, tmp_path):
    (tmp_path / "turnserver.conf").write_text(FILE)
    done = run(face, "-n", cwd=tmp_path)
    assert done.returncode == 2 and "knows no credentials" in done.stderr


def test_c_names_another(face, tmp_path):
    (tmp_path / "turnserver.conf").write_text("nonsense that stops nobody\n")
    (tmp_path / "mine.conf").write_text(FILE)
    for flags in (["-c", "mine.conf"], ["-cmine.conf"], ["--config=mine.conf"]):
        code, error = served(face, tmp_path, free_port(), *flags)
        assert code == 0, error


def test_in_the_background(face, tmp_path):
    port, pid = free_port(), tmp_path / "pid"
    done = run(face, "-n", "-o", "-z", "-r", "example.org", "-L", "127.0.0.1", "-p", str(port), "--pidfile", str(pid),
               "-l", str(tmp_path / "log"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    number = int(pid.read_text())
    try:
        assert answers(port)
    finally:
        os.kill(number, signal.SIGTERM)
        wait_for(lambda: not pathlib.Path(f"/proc/{number}").exists(), "the end")


# Letters together, and values as getopt() takes them.
@pytest.mark.parametrize("flags", [["-nzfv"], ["-n", "-vz", "-m1"], ["-n", "-z", "-m", "1", "-S"],
                                   ["-n", "-z", "-q", "3", "-Q4", "-s", "100000", "-C", "|", "-A", "ipv4", "-K"]])
def test_letters(face, tmp_path, flags):
    code, error = served(face, tmp_path, free_port(), *flags, "-r", "example.org", "-L127.0.0.1", "-E", "127.0.0.1")
    assert code == 0, error


@pytest.mark.parametrize("flags, word", [(["--nosuch"], "--nosuch"), (["-y"], "-y"), (["-p"], "-p"),
                                         (["-c", "/nonexistent"], "/nonexistent"), (["-z", "-p", "x"], "x")])
def test_errors_stop_it(face, tmp_path, flags, word):
    done = run(face, *([] if "-c" in flags else ["-n"]), *flags, cwd=tmp_path)
    assert done.returncode == 2
    assert word in done.stderr

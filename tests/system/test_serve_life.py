# SPDX-License-Identifier: Apache-2.0
"""The life of the process: start, signals, reload, drain, end."""
import os
import pathlib
import pwd
import signal
import socket
import subprocess
import time

import pytest

import turn
from conftest import STERNA, free_port, wait_for


def served(server):
    with server.client() as client:
        message, source = client.request(turn.BINDING)
        return message.type == turn.BINDING | turn.SUCCESS and source == server.address


# --- end -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_stops_within_a_second(sterna, number):
    server = sterna(relay_threads=2)
    clients = [server.client() for _ in range(200)]
    for client in clients:
        assert client.allocate().code == 0
    begin = time.monotonic()
    server.signal(number)
    assert server.wait() == 0
    assert time.monotonic() - begin < 1.0
    assert server.text.count("allocation.closed") == 200
    assert "server.stopped" in server.text
    for client in clients:
        client.sock.close()


def test_no_other_signal_kills(sterna):
    server = sterna()
    harmless = [signal.SIGHUP, signal.SIGUSR2, signal.SIGPIPE, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF,
                signal.SIGIO, signal.SIGPWR, signal.SIGXFSZ, signal.SIGWINCH, signal.SIGCHLD, signal.SIGURG,
                signal.SIGRTMIN, signal.SIGRTMAX]
    for number in harmless:
        server.signal(number)
        assert served(server), number
    assert server.process.poll() is None


def test_sighup_does_not_kill_with_any_sink(sterna, tmp_path):
    for options in {"syslog": True}, {"log_file": str(tmp_path / "a.log")}, {"no_stdout_log": True}:
        server = sterna(wait="no_stdout_log" not in options, **options)
        wait_for(lambda s=server: _answers(s), "an answer")
        server.signal(signal.SIGHUP)
        assert served(server)
        assert server.stop() == 0


def _answers(server):
    try:
        with server.client() as client:
            client.sock.settimeout(0.2)
            client.request(turn.BINDING)
            return True
    except OSError:
        return False


# --- start -----------------------------------------------------------------------------------------


def run(*arguments):
    return subprocess.run([STERNA, "serve", "-n", *arguments], capture_output=True, text=True, timeout=30, check=False)


def test_configuration_errors_end_with_2():
    done = run("--listening-port=99999", "--realm=example.org", "--no-auth")
    assert done.returncode == 2
    assert "listening-port" in done.stderr and "nothing was started" in done.stderr


def test_refuses_to_be_open_by_accident():
    done = run("--realm=example.org", f"--listening-port={free_port()}", "--userdb=/nonexistent/db")
    assert done.returncode != 0


def test_a_taken_port_is_named(sterna):
    server = sterna()
    done = run("--realm=example.org", "--no-auth", "-L", "127.0.0.1", "-p", str(server.port))
    assert done.returncode == 1
    assert f"127.0.0.1:{server.port}" in done.stderr and "another program" in done.stderr
    assert served(server)


def test_help_ends_with_0():
    done = run("--help")
    assert done.returncode == 0 and "--listening-port" in done.stdout


def test_daemon_says_when_it_is_ready(tmp_path):
    pidfile = tmp_path / "pid"
    port = free_port()
    done = run("--daemon", "--realm=example.org", "--no-auth", "-L", "127.0.0.1", "-p", str(port),
               f"--pidfile={pidfile}", f"--log-file={tmp_path / 'log'}")
    assert done.returncode == 0, done.stderr
    pid = int(pidfile.read_text())
    try:
        with turn.Client(("127.0.0.1", port)) as client:  # at once: the parent has waited
            assert client.request(turn.BINDING)[0].code == 0
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists(), "the daemon's end")
    assert not pidfile.exists()
    assert "server.stopped" in (tmp_path / "log").read_text()


def test_daemon_fails_in_the_foreground(sterna):
    server = sterna()
    done = run("--daemon", "--realm=example.org", "--no-auth", "-L", "127.0.0.1", "-p", str(server.port))
    assert done.returncode == 1 and "another program" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
# Proves T-8656-3.6-01
def test_gives_up_privileges(sterna):
    server = sterna(proc_user="nobody", listening_port=871)
    status = dict(line.split(":\t", 1) for line in
                  pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines() if ":\t" in line)
    uid = str(pwd.getpwnam("nobody").pw_uid)
    assert status["Uid"].split() == [uid] * 4
    for name in "CapInh", "CapPrm", "CapEff", "CapAmb":
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"].strip() == "1"
    for task in pathlib.Path(f"/proc/{server.process.pid}/task").iterdir():
        assert f"Uid:\t{uid}\t{uid}" in (task / "status").read_text()
        assert "CapPrm:\t0000000000000000" in (task / "status").read_text()
    with server.client() as client:
        assert client.allocate().code == 0


def test_notifies_the_service_manager(sterna, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        server = sterna(env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert manager.recv(100) == b"READY=1"
        server.stop()
        assert manager.recv(100) == b"STOPPING=1"


# --- reload ----------------------------------------------------------------------------------------


def test_reload_takes_what_is_live(sterna):
    server = sterna()
    with server.client() as old, server.client() as new:
        assert old.allocate().code == 0
        server.write_conf(no_udp_relay=True, min_port=20002)
        server.signal(signal.SIGHUP)
        server.wait_log("reload.done")
        assert new.allocate().code == 403
        assert old.refresh(600).code == 0
        assert "reload.needs_restart option=\"min-port\"" in server.text
        assert server.text.count("needs_restart") == 1
        server.write_conf(no_udp_relay=False)
        server.signal(signal.SIGHUP)
        server.wait_log("reload.done", 2)
        assert new.allocate().code == 0


def test_reload_revokes_what_the_gate_closes(sterna):
    server = sterna()
    with server.client() as client, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(5)
        client.allocate()
        assert client.permit(peer.getsockname()).code == 0
        client.send(peer.getsockname(), b"open")
        assert peer.recv(100) == b"open"
        server.write_conf(denied_peer_ip="127.0.0.0-127.255.255.255")
        server.signal(signal.SIGHUP)
        server.wait_log("permission.revoked")
        client.send(peer.getsockname(), b"closed")
        peer.sendto(b"in", client.relayed)
        assert client.refresh(600).code == 0  # what came before it is done with
        peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.recv(100)


def test_a_bad_configuration_changes_nothing(sterna):
    server = sterna()
    before = server.conf.read_text()
    server.conf.write_text(before + "no-stun\nmin-port=nonsense\n")
    server.signal(signal.SIGHUP)
    server.wait_log("reload.refused")
    assert "min-port" in server.text.split("configuration.finding", 1)[1]
    assert served(server)


def test_reload_under_load_loses_nothing(sterna):
    server = sterna(relay_threads=2)
    with server.client() as client, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(5)
        client.allocate()
        assert client.bind(0x4000, peer.getsockname()).code == 0
        for i in range(300):
            if i % 10 == 0:
                server.signal(signal.SIGHUP)
            client.channel_send(0x4000, b"%d" % i)
            data, source = peer.recvfrom(100)
            assert data == b"%d" % i and source == client.relayed
            peer.sendto(data, source)
            assert client.channel_receive() == (0x4000, data)
        server.wait_log("reload.done")


def test_log_file_is_opened_anew(sterna, tmp_path):
    log = tmp_path / "sterna.log"
    server = sterna(log_file=str(log))
    wait_for(lambda: "server.ready" in log.read_text(), "the log file")
    log.rename(tmp_path / "sterna.log.1")
    server.signal(signal.SIGHUP)
    wait_for(log.exists, "a new log file")
    with server.client() as client:
        client.allocate()
        wait_for(lambda: "allocation.created" in log.read_text(), "the new file to be used")


# --- drain -----------------------------------------------------------------------------------------


def test_drains_and_ends(sterna):
    server = sterna(relay_threads=2)
    with server.client() as old, server.client() as new:
        old.allocate()
        server.signal(signal.SIGUSR1)
        server.wait_log("server.draining")
        server.signal(signal.SIGUSR1)
        assert new.allocate().code == 403
        assert served(server)
        assert old.refresh(600).code == 0
        assert server.process.poll() is None
        assert old.refresh(0).code == 0
        assert server.wait() == 0


def test_usr2_says_that_there_are_no_certificates(sterna):
    server = sterna()
    server.signal(signal.SIGUSR2)
    server.wait_log("certificates.none")
    assert served(server)

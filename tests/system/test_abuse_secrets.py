# SPDX-License-Identifier: Apache-2.0
"""What must not be given away or accepted by accident: docs/threat-model.md, rows 3, 15, 20, 21, 42 and 43,
against the program."""
import json
import os
import pathlib
import re
import signal
import subprocess

import pytest

import turn
from conftest import STERNA, free_port
from signed import LONG_TERM, NONCE, REALM, USERNAME, client, message

HOSTILE_NAMES = ["%s%n%s%n%x", "%b %.99999d", "a\r\nlevel=error forged=yes", "' OR '1'='1",
                 "x'); DROP TABLE turnusers_lt;--", "../../etc/passwd", "*", "\x1b[2J\x1b]0;owned\x07",
                 'quote" end="1', "zero\x00behind", "\u202eesrever"]
SECRETS = ["wonderland", "northernlight", "noncesecret", "dbpassword", "consoleword"]


def serve(*arguments):
    return subprocess.run([STERNA, "serve", *arguments], capture_output=True, text=True, timeout=30, check=False,
                          env={"PATH": os.environ["PATH"], **{k: v for k, v in os.environ.items() if "SAN_" in k}})


@pytest.mark.parametrize("lines", ["", "realm=example.org\n", "lt-cred-mech\nrealm=example.org\n",
                                   "use-auth-secret\nrealm=example.org\n", "# no-auth\nrealm=example.org\n"])
def test_an_open_relay_never_starts_by_accident(tmp_path, lines):
    """Row 42: without credentials there is no server, but for one who says so."""
    conf = tmp_path / "sterna.conf"
    conf.write_text(f"{lines}listening-ip=127.0.0.1\nlistening-port={free_port()}\n"
                    f"userdb={tmp_path}/none/db\n")
    done = serve("-c", str(conf))
    assert done.returncode in (1, 2), done.stderr
    assert done.stderr != ""


def test_an_open_relay_on_purpose_is_told(sterna):
    server = sterna(no_auth=True)
    assert "no-auth" in server.text
    with client(server) as one:
        assert one.allocate().code == 0


@pytest.mark.parametrize("value", ["10.0.0.0/33", "10.0.0.256", "10.0.0.9-10.0.0.1", "10.0.0.1-", "-10.0.0.1",
                                   "example.org", "10.0.0.1-::1", "fe80::/129", "10.0.0.0/8/8", "",
                                   "0x7f000001", "127.1"])
def test_a_malformed_rule_is_fatal(tmp_path, value):
    """Row 15: a rule that cannot be understood is not left out in silence."""
    conf = tmp_path / "sterna.conf"
    conf.write_text("realm=example.org\nno-auth\nlistening-ip=127.0.0.1\n"
                    f"listening-port={free_port()}\ndenied-peer-ip={value}\n")
    done = serve("-c", str(conf))
    assert done.returncode == 2
    assert f"{conf}:5:" in done.stderr and "denied-peer-ip" in done.stderr


def test_a_reload_with_a_malformed_rule_changes_nothing(sterna):
    """Row 15: the rules in force stay in force, all of them."""
    server = sterna(denied_peer_ip="8.8.8.8")
    server.write_conf(denied_peer_ip=["9.9.9.9", "8.8.8.8/99"])
    server.signal(signal.SIGHUP)
    server.wait_log("reload.refused")
    with client(server) as one:
        one.allocated()
        assert [one.permit(ip).code for ip in ("8.8.8.8", "9.9.9.9")] == [403, 0]


@pytest.mark.parametrize("form", ["text", "json"])
def test_hostile_names_are_only_text_in_the_log(sterna, form):
    """Row 20: one event is one line, whatever a stranger calls himself; nothing of it is a format."""
    server = sterna(**LONG_TERM, log_format=form, relay_threads=1)  # one worker: the lines in order
    for name in HOSTILE_NAMES:
        with client(server) as one:
            one.user = name.encode()
            assert one.allocate().code == 401
    with client(server) as last:
        last.user = b"the-last-one"
        last.allocate()
    server.wait_log("the-last-one")
    refusals = [line for line in server.text.splitlines() if "request.refused" in line]
    assert len(refusals) == len(HOSTILE_NAMES) + 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\x1b]", server.text)
    assert "%s%n%s%n%x" in server.text
    if form == "json":
        users = [json.loads(line)["user"] for line in refusals]
        assert users[0] == HOSTILE_NAMES[0] and users[2] == HOSTILE_NAMES[2]


def test_hostile_names_are_only_names_of_users(sterna, tmp_path):
    """Rows 20 and 21: such names can be users, are found by the server, and deleting one deletes one."""
    database = str(tmp_path / "users.db")
    names = [name for name in HOSTILE_NAMES if name.isprintable()]
    assert len(names) > 4

    def user(action, *arguments, text=""):
        command = [STERNA, "user", action, "-b", database, "-r", "example.org", *arguments]
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=False)

    for name in ["victim", *names]:
        done = user("add", "--password-stdin", "--", name, text="pass\n")
        assert done.returncode == 0, done.stderr
    server = sterna(**{**LONG_TERM, "user": None, "userdb": database})
    for name in ["victim", *names]:
        with client(server, user=name) as one:
            assert one.allocate().code == 0, name
    for name in names:
        assert user("del", "--", name).returncode == 0
        assert "victim" in user("list").stdout
    assert len(user("list").stdout.splitlines()) == 1


def open_sockets(pid):
    """Inodes of the sockets that a process has."""
    found = set()
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(entry))
        if match:
            found.add(match[1])
    return found


def test_nothing_listens_but_turn(sterna):
    """Rows 3 and 39: no console, no pages, no metrics; the options for them open nothing."""
    server = sterna(cli=True, web_admin=True, prometheus=True, relay_threads=1)
    sockets = open_sockets(server.process.pid)
    tables = {name: [line.split() for line in pathlib.Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
              for name in ("tcp", "tcp6", "udp", "udp6", "unix")}
    inode = {"unix": 6}
    mine = {name: [row for row in rows if row[inode.get(name, 9)] in sockets] for name, rows in tables.items()}
    for name in "tcp", "tcp6", "udp", "udp6":
        assert {row[1].split(":")[1] for row in mine[name]} == {f"{server.port:04X}"}  # a socket for each CPU
    assert [row for row in mine["unix"] if len(row) > 7] == []  # none has a name


def test_secrets_of_the_file_show_nowhere(sterna, tmp_path):
    """Row 43: not to `ps`, not in the environment, not in the log at its most talkative, not when printed."""
    server = sterna(**{**LONG_TERM, "user": "alice:wonderland"}, static_auth_secret="northernlight",
                    stateless_nonce_secret="noncesecret", cli_password="consoleword",
                    psql_userdb="host=db password=dbpassword", log_min_level="debug",
                    log_file=str(tmp_path / "all.log"))
    with client(server, user="alice", password="wonderland") as one:
        one.allocated()
        assert one.refresh().code == 0
    server.signal(signal.SIGHUP)
    server.wait_log("reload.done")
    process = pathlib.Path(f"/proc/{server.process.pid}")
    shown = [server.text, (tmp_path / "all.log").read_text()]
    shown += [(process / name).read_bytes().decode(errors="replace") for name in ("cmdline", "environ")]
    for flag in [], ["--print"], ["--print-all"]:
        done = subprocess.run([STERNA, "check-config", "-c", str(server.conf), *flag], capture_output=True, text=True,
                              timeout=30, check=False)
        shown += [done.stdout, done.stderr]
    for secret in SECRETS:
        assert secret in server.conf.read_text()
        assert not any(secret in text for text in shown), secret


def test_a_secret_on_the_command_line_is_warned_of():
    """Row 43: whoever puts one there is told who can see it, and it is not repeated."""
    done = serve("-c", "/dev/null", "--realm=example.org", "--static-auth-secret=northernlight", "--min-port=99999")
    assert done.returncode == 2
    assert re.search(r"warning: .*static-auth-secret", done.stderr)
    assert "northernlight" not in done.stderr + done.stdout


# Proves T-8489-9.2.2-02
def test_quotes_and_zero_bytes_are_no_part_of_a_name(sterna, tmp_path):
    """Quotes around realm and user in the file are neither told nor hashed; a zero byte stops the start."""
    server = sterna(no_auth=None, lt_cred_mech=True, realm='"quoted realm"', user='"user:pass word"')
    with client(server, password="pass word") as one:
        assert one.allocate().code == 0
        assert one.realm == b"quoted realm"
    for line in "realm=example.org\0", "user=user:pass\0", "user=user\0:pass":
        conf = tmp_path / "zero.conf"
        conf.write_text(f"no-auth\nlistening-port={free_port()}\n{line}\n")
        done = serve("-c", str(conf))
        assert done.returncode == 2 and f"{conf}:3:" in done.stderr


def test_a_zero_byte_does_not_end_a_name(sterna):
    """What comes behind it counts: nobody is taken for "user" who only begins so."""
    server = sterna(**LONG_TERM)
    with client(server) as one:
        one.learn(turn.Message(one.exchange(message(turn.ALLOCATE))))
        named = [(USERNAME, b"user\0"), (REALM, one.realm), (NONCE, one.nonce)]
        assert turn.Message(one.exchange(message(turn.ALLOCATE, named, key=one.key))).code == 401

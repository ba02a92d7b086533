# SPDX-License-Identifier: Apache-2.0
"""sterna user and sterna secret: the database, shared with coturn's own tool."""
import hashlib
import os
import pathlib
import pty
import re
import shutil
import sqlite3
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
STERNA = os.environ.get("STERNA_BIN", str(ROOT / "build/release/sterna"))
TURNADMIN = shutil.which("turnadmin")
REALM = "example.org"

needs_coturn = pytest.mark.skipif(TURNADMIN is None, reason="turnadmin of coturn is not installed")


@pytest.fixture(name="db")
def database(tmp_path):
    return str(tmp_path / "turndb")


def run(*args, text=None, env=None):
    """Run a command; no configuration of this host may be found."""
    empty = {"PATH": os.environ["PATH"], "STERNA_REALM": "", **(env or {})}
    empty = {k: v for k, v in empty.items() if v}
    return subprocess.run([STERNA, *args], input=text if text is not None else "", env=empty,
                          capture_output=True, text=True, timeout=30, check=False)


def user(action, db, *args, text=None):
    return run("user", action, "-b", db, *args, text=text)


def add(db, name, password, realm=REALM):
    done = user("add", db, "-r", realm, "--password-stdin", name, text=password + "\n")
    assert done.returncode == 0, done.stderr
    return done


def rows(db, query, *args):
    with sqlite3.connect(db) as base:
        return base.execute(query, args).fetchall()


def md5(*parts):
    return hashlib.md5(":".join(parts).encode()).hexdigest()


def sha256(*parts):
    return hashlib.sha256(":".join(parts).encode()).hexdigest()


def turnadmin(*args):
    done = subprocess.run([TURNADMIN, *args], capture_output=True, text=True, timeout=30, check=False)
    for path in re.findall(r"log file opened: (\S+)", done.stdout + done.stderr):
        pathlib.Path(path).unlink(missing_ok=True)
    return done


# Proves T-8656-6-03
def test_add_stores_keys_and_no_password(db):
    done = add(db, "alice", "wonderland")
    assert done.stdout == ""
    assert 'user "alice" of realm "example.org" added' in done.stderr
    assert rows(db, "SELECT * FROM turnusers_lt") == [
        (REALM, "alice", md5("alice", REALM, "wonderland"))]
    assert rows(db, "SELECT * FROM sterna_user") == [
        (REALM, "alice", md5("alice", REALM, "wonderland"), sha256("alice", REALM, "wonderland"),
         sha256("alice", REALM))]
    assert b"wonderland" not in pathlib.Path(db).read_bytes()
    assert os.stat(db).st_mode & 0o007 == 0


# Proves T-8489-14.3-02
def test_add_prepares_name_and_password(db):
    add(db, "andre\u0301", "cafe\u0301\u00a0x")
    assert rows(db, "SELECT name, hmackey FROM turnusers_lt") == [
        ("andr\u00e9", md5("andr\u00e9", REALM, "caf\u00e9 x"))]


@pytest.mark.parametrize("name", ["a\tb", "", "\u00adx", "a\x7f", "\u202ex"])
def test_add_refuses_what_opaquestring_refuses(db, name):
    done = user("add", db, "-r", REALM, "--password-stdin", "--", name, text="x\n")
    assert done.returncode == 2
    assert "RFC 8265" in done.stderr
    assert not os.path.exists(db) or rows(db, "SELECT * FROM turnusers_lt") == []


def test_add_does_not_replace(db):
    add(db, "alice", "first")
    done = user("add", db, "-r", REALM, "--password-stdin", "alice", text="second\n")
    assert done.returncode == 1
    assert "already" in done.stderr and "passwd" in done.stderr
    assert rows(db, "SELECT hmackey FROM turnusers_lt") == [(md5("alice", REALM, "first"),)]


def test_passwd_changes_all_keys(db):
    add(db, "alice", "first")
    done = user("passwd", db, "-r", REALM, "--password-stdin", "alice", text="second\n")
    assert done.returncode == 0
    assert rows(db, "SELECT hmackey FROM turnusers_lt") == [(md5("alice", REALM, "second"),)]
    assert rows(db, "SELECT sha256key FROM sterna_user") == [(sha256("alice", REALM, "second"),)]


@pytest.mark.parametrize("action", ["passwd", "del"])
def test_an_absent_user_is_not_found(db, action):
    add(db, "alice", "x")
    more = ["--password-stdin"] if action == "passwd" else []
    done = user(action, db, "-r", REALM, *more, "bob", text="x\n")
    assert done.returncode == 3
    assert '"bob"' in done.stderr
    other = user(action, db, "-r", "other", *more, "alice", text="x\n")
    assert other.returncode == 3


@pytest.mark.parametrize("args", [["del", "a"], ["passwd", "--generate", "a"], ["list"]])
def test_only_add_makes_a_database(db, args):
    done = user(args[0], db, "-r", REALM, *args[1:])
    assert done.returncode == 1
    assert db in done.stderr
    assert not os.path.exists(db)


def test_generate_prints_the_password_once(db):
    done = user("add", db, "-r", REALM, "--generate", "alice")
    assert done.returncode == 0
    password = done.stdout.strip()
    assert re.fullmatch(r"[0-9A-Za-z]{32}", password)
    assert password not in done.stderr
    assert rows(db, "SELECT hmackey FROM turnusers_lt") == [(md5("alice", REALM, password),)]
    again = user("passwd", db, "-r", REALM, "--generate", "alice").stdout.strip()
    assert again != password


def test_generate_prints_nothing_when_it_fails(db):
    add(db, "alice", "x")
    assert user("add", db, "-r", REALM, "--generate", "alice").stdout == ""


def test_a_password_in_argv_is_taken_with_a_warning(db):
    done = user("add", db, "-r", REALM, "--password", "hunter2", "alice")
    assert done.returncode == 0
    assert "warning" in done.stderr and "--password-stdin" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout
    assert rows(db, "SELECT hmackey FROM turnusers_lt") == [(md5("alice", REALM, "hunter2"),)]


@pytest.mark.parametrize("text", ["", "\n", "a\0b\n", "x" * 1025 + "\n"])
def test_a_bad_password_on_stdin_is_a_usage_error(db, text):
    done = user("add", db, "-r", REALM, "--password-stdin", "alice", text=text)
    assert done.returncode == 2
    assert "no password" in done.stderr


def test_only_the_first_line_of_stdin_counts(db):
    done = user("add", db, "-r", REALM, "--password-stdin", "alice", text="first\r\nsecond\n")
    assert done.returncode == 0
    assert rows(db, "SELECT hmackey FROM turnusers_lt") == [(md5("alice", REALM, "first"),)]


def on_terminal(answers, *args):
    """Run with a terminal of its own; returns (exit code, what the terminal showed)."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(STERNA, [STERNA, *args], {"PATH": os.environ["PATH"]})
    shown = b""
    try:
        for answer in answers:
            while not shown.endswith(b": "):
                shown += os.read(fd, 1024)
            os.write(fd, answer.encode() + b"\n")
            shown += b"|"
        while chunk := os.read(fd, 1024):
            shown += chunk
    except OSError:
        pass  # the other end is closed
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_a_terminal_is_asked_twice_without_echo(db):
    code, shown = on_terminal(["hunter2", "hunter2"], "user", "add", "-b", db, "-r", REALM, "alice")
    assert code == 0, shown
    assert shown.startswith("password: ")
    assert "again" in shown
    assert "hunter2" not in shown
    assert rows(db, "SELECT hmackey FROM turnusers_lt") == [(md5("alice", REALM, "hunter2"),)]


def test_two_different_answers_change_nothing(db):
    code, shown = on_terminal(["one", "two"], "user", "add", "-b", db, "-r", REALM, "alice")
    assert code == 2
    assert "not the same" in shown
    assert rows(db, "SELECT * FROM turnusers_lt") == []


def test_list_shows_kinds_and_no_keys(db):
    add(db, "bob", "x")
    add(db, "alice", "x", realm="other")
    with sqlite3.connect(db) as base:
        base.execute("INSERT INTO turnusers_lt VALUES (?, ?, ?)",
                     (REALM, "old", md5("old", REALM, "x")))
        base.execute("INSERT INTO turnusers_lt VALUES (?, ?, ?)", (REALM, "worse", "rubbish"))
    done = run("user", "list", "-b", db)
    assert done.returncode == 0
    assert done.stdout == ("example.org\tbob\tmd5,sha256\nexample.org\told\tmd5\n"
                           "example.org\tworse\tnone\nother\talice\tmd5,sha256\n")
    assert run("user", "list", "-b", db, "-r", "other").stdout == "other\talice\tmd5,sha256\n"
    assert run("user", "list", "-b", db, "-r", "none").stdout == ""


# coturn GHSA-v8hj-2xx7-xmp5, GHSA-4g7c-p5wg-j4hp: names were text of queries and formats.
@pytest.mark.parametrize("name", ["o'brien", "'; DROP TABLE turnusers_lt; --", "' OR '1'='1",
                                  "%s%n%s%n", "a b", "a/b", "*", "--help", "-r", "\\"])
def test_names_are_data(db, name):
    add(db, "bystander", "x")
    done = user("add", db, "-r", REALM, "--password-stdin", "--", name, text="x\n")
    assert done.returncode == 0, done.stderr
    assert rows(db, "SELECT hmackey FROM turnusers_lt WHERE name = ?", name) == [
        (md5(name, REALM, "x"),)]
    assert user("del", db, "-r", REALM, "--", name).returncode == 0
    assert rows(db, "SELECT name FROM turnusers_lt") == [("bystander",)]
    assert rows(db, "SELECT name FROM sterna_user") == [("bystander",)]


def test_names_of_others_cannot_move_the_cursor(db):
    add(db, "x", "x")
    with sqlite3.connect(db) as base:
        base.execute("UPDATE turnusers_lt SET name = ?", ("\x1b[2Jx\ny",))
    done = run("user", "list", "-b", db)
    assert done.stdout.lower() == "example.org\t\\x1b[2jx\\x0ay\tmd5\n"
    assert user("del", db, "-r", REALM, "\x1b[2Jx\ny").returncode == 0


@needs_coturn
def test_coturn_reads_our_database(db):
    add(db, "alice", "wonderland")
    done = turnadmin("-l", "-b", db)
    assert "alice[example.org]" in done.stdout
    reference = turnadmin("-k", "-u", "alice", "-r", REALM, "-p", "wonderland")
    key = re.search(r"0x([0-9a-f]{32})", reference.stdout + reference.stderr).group(1)
    assert rows(db, "SELECT hmackey FROM turnusers_lt") == [(key,)]


@needs_coturn
def test_we_read_coturns_database(db):
    turnadmin("-a", "-b", db, "-u", "alice", "-r", REALM, "-p", "wonderland")
    before = rows(db, "SELECT name FROM sqlite_master ORDER BY name")
    assert run("user", "list", "-b", db).stdout == "example.org\talice\tmd5\n"
    assert rows(db, "SELECT name FROM sqlite_master ORDER BY name") == before
    assert rows(db, "SELECT hmackey FROM turnusers_lt") == [(md5("alice", REALM, "wonderland"),)]
    assert user("passwd", db, "-r", REALM, "--password-stdin", "alice",
                text="better\n").returncode == 0
    assert run("user", "list", "-b", db).stdout == "example.org\talice\tmd5,sha256\n"


@needs_coturn
def test_our_key_is_void_once_coturn_changes_the_password(db):
    add(db, "alice", "old")
    turnadmin("-a", "-b", db, "-u", "alice", "-r", REALM, "-p", "new")
    assert run("user", "list", "-b", db).stdout == "example.org\talice\tmd5\n"


@needs_coturn
def test_our_schema_is_coturns(db, tmp_path):
    add(db, "alice", "x")
    theirs = str(tmp_path / "coturn")
    turnadmin("-a", "-b", theirs, "-u", "alice", "-r", REALM, "-p", "x")
    tables = [name for name, in rows(theirs, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert len(tables) == 8
    for table in tables:
        columns = f"SELECT name, type, dflt_value, pk FROM pragma_table_info('{table}')"
        assert rows(db, columns) == rows(theirs, columns), table


# --- secrets -------------------------------------------------------------------------------------


def secret(action, db, *args, text=None):
    return run("secret", action, "-b", db, *args, text=text)


def test_secrets_are_added_listed_and_deleted(db):
    assert secret("add", db, "-r", REALM, "--secret-stdin", text="north wind\n").returncode == 0
    assert secret("add", db, "-r", REALM, "--secret-stdin", text="south\n").returncode == 0
    assert secret("add", db, "-r", "other", "--secret-stdin", text="south\n").returncode == 0
    ids = {value: hashlib.sha256(value.encode()).hexdigest()[:8] for value in ("north wind", "south")}
    done = run("secret", "list", "-b", db)
    assert done.stdout == (f"example.org\t{ids['north wind']}\nexample.org\t{ids['south']}\n"
                           f"other\t{ids['south']}\n")
    assert secret("del", db, "-r", REALM, ids["south"]).returncode == 0
    assert secret("del", db, "-r", REALM, ids["south"]).returncode == 3
    assert secret("del", db, "-r", REALM, "--secret-stdin", text="north wind\n").returncode == 0
    assert secret("del", db, "-r", REALM, "--secret-stdin", text="north wind\n").returncode == 3
    assert rows(db, "SELECT realm, value FROM turn_secret") == [("other", "south")]


def test_a_secret_is_never_printed(db):
    done = secret("add", db, "-r", REALM, "--secret-stdin", text="north wind\n")
    again = secret("add", db, "-r", REALM, "--secret-stdin", text="north wind\n")
    assert again.returncode == 1
    shown = done.stdout + done.stderr + again.stdout + again.stderr
    assert "north wind" not in shown + run("secret", "list", "-b", db).stdout


def test_a_generated_secret_is_printed_once(db):
    done = secret("add", db, "-r", REALM, "--generate")
    assert re.fullmatch(r"[0-9A-Za-z]{32}\n", done.stdout)
    assert rows(db, "SELECT value FROM turn_secret") == [(done.stdout.strip(),)]


@needs_coturn
def test_coturn_reads_our_secret(db):
    secret("add", db, "-r", REALM, "--secret-stdin", text="north\n")
    assert "north[example.org]" in turnadmin("-S", "-b", db, "-r", REALM).stdout


# --- command line --------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["user"], ["secret"], ["user", "frob"], ["secret", "frob"],
                                     ["user", "add"], ["user", "add", "a", "b"], ["user", "list", "a"],
                                     ["user", "add", "--ttl", "1", "a"], ["user", "add", "-x", "a"],
                                     ["secret", "add", "a"], ["user", "add", "a", "--realm"],
                                     ["user", "add", "--generate", "--password-stdin", "a"],
                                     ["secret", "del", "--secret-stdin", "--secret", "x"]])
def test_a_wrong_command_line_is_a_usage_error(command):
    done = run(*command)
    assert done.returncode == 2
    assert f"sterna {command[0]} --help" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["user", "secret", "credentials"])
def test_help_names_the_exit_codes(command):
    done = run(command, "--help")
    assert done.returncode == 0
    assert "Ends with 0; 1 " in done.stdout
    assert all(len(line) <= 84 for line in done.stdout.splitlines())


def test_the_configuration_names_database_and_realm(db, tmp_path):
    conf = tmp_path / "turnserver.conf"
    conf.write_text(f"realm={REALM}\nuserdb={db}\nlt-cred-mech\n")
    done = run("user", "add", "-c", str(conf), "--password-stdin", "alice", text="x\n")
    assert done.returncode == 0, done.stderr
    assert rows(db, "SELECT realm, name FROM turnusers_lt") == [(REALM, "alice")]
    assert run("user", "list", "-c", str(conf)).stdout == "example.org\talice\tmd5,sha256\n"


def test_a_wrong_configuration_is_told(tmp_path):
    conf = tmp_path / "turnserver.conf"
    conf.write_text("listening-port=no\n")
    done = run("user", "list", "-c", str(conf))
    assert done.returncode == 2
    assert f"{conf}:1" in done.stderr
    missing = run("user", "list", "-c", str(tmp_path / "absent"))
    assert missing.returncode == 2
    assert "absent" in missing.stderr


def test_a_foreign_database_is_left_alone(db):
    with sqlite3.connect(db) as base:
        base.execute("CREATE TABLE mails (subject text)")
    done = user("add", db, "-r", REALM, "--generate", "alice")
    assert done.returncode == 1
    assert "not a user database" in done.stderr
    assert rows(db, "SELECT name FROM sqlite_master") == [("mails",)]


def test_a_locked_database_is_told(db):
    add(db, "alice", "x")
    base = sqlite3.connect(db, isolation_level=None)
    base.execute("BEGIN EXCLUSIVE")
    done = run("user", "list", "-b", db)
    base.execute("ROLLBACK")
    base.close()
    assert done.returncode == 1
    assert "locked by another program" in done.stderr

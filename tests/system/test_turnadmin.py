# SPDX-License-Identifier: Apache-2.0
"""The name turnadmin: coturn's flags, on databases that coturn's own program reads and writes, too."""
import hashlib
import os
import pathlib
import re
import shutil
import sqlite3
import stat
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
STERNA = os.environ.get("STERNA_BIN", str(ROOT / "build/release/sterna"))
COTURN = shutil.which("turnadmin")
OK, FAILED, USAGE = 0, 1, 2

needs_coturn = pytest.mark.skipif(COTURN is None, reason="turnadmin of coturn is not installed")


def run(program, *args, cwd=None, env=None):
    """Run a command; no configuration of this host may be found."""
    return subprocess.run([program, *map(str, args)], cwd=cwd, env={"PATH": os.environ["PATH"], **(env or {})},
                          capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture(name="ours")
def our_turnadmin(tmp_path):
    """The program under coturn's name."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "turnadmin").symlink_to(STERNA)
    return lambda *args, **how: run(str(folder / "turnadmin"), *args, cwd=tmp_path, **how)


def coturn(*args):
    """coturn's program; the log file that it leaves is removed."""
    done = run(COTURN, *args)
    for path in re.findall(r"log file opened: (\S+)", done.stdout + done.stderr):
        pathlib.Path(path).unlink(missing_ok=True)
    lines = [line for line in done.stdout.splitlines() if "SQLite connection" not in line and "log file" not in line]
    return done.returncode, lines


def must(done):
    assert done.returncode == OK, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def rows(db, query, *args):
    with sqlite3.connect(db) as base:
        return base.execute(query, args).fetchall()


def dump(db):
    """What coturn's tables hold; passwords of administrators are salted at random."""
    tables = ("turnusers_lt", "turn_secret", "allowed_peer_ip", "denied_peer_ip", "turn_origin_to_realm",
              "turn_realm_option", "oauth_key")
    content = {table: sorted(rows(db, f"SELECT * FROM {table}")) for table in tables}
    content["admin_user"] = sorted(rows(db, "SELECT name, realm FROM admin_user"))
    return content


# One after the other, as an administrator would type them; both programs, on a database each.
COMMANDS = """
-a -u alice -r example.org -p wonder
-a -u bob -r example.org -p x
--add --user=bob --realm=other --password=x
-a -u bob -r other -p y
-l
-l -r other
-l -r none
-k -u a -r r -p p
-k -u a -p p
-k -u ü -r r -p p
-A -u adm -p pw
-A -u zed -r an.example -p pw
-A -u abe -r example.org -p pw
-L
--delete-admin -u adm
-D -u no
-L
-s sec1 -r a
-s sec1 -r a
-ssec2 -ra
--set-secret=sec1 -r b
-S
--show-secret -r a
-X sec1 -r b
-S
-X nosuch -r a
-s sec1 -r b
--delete-all-secrets -r a
-S
-O -o https://Foo.Example/path -r a
-O -o https://foo.example:443 -r c
--add-origin --origin foo:99 --realm a
-O -o null -r b
-I
-I -r b
-R -o https://foo.example
--del-origin -o nosuch
-I
-g -r a --max-bps 1000 --user-quota 5
--set-realm-option -r a --total-quota 0
-g -r b --total-quota=9
-g -r b --user-quota 7
-G
-G -r b
-d -u bob -r other
-d -u bob -r other
-l
""".strip().splitlines()


@needs_coturn
def test_same_as_coturn(ours, tmp_path):
    theirs_db, ours_db = tmp_path / "theirs", tmp_path / "ours"
    for line in COMMANDS:
        done = ours(*line.split(), "-b", ours_db)
        code, output = coturn(*line.split(), "-b", theirs_db)
        assert (done.returncode, done.stdout.splitlines()) == (code, output), line
        assert done.stderr == "", line
        if theirs_db.exists():
            assert dump(ours_db) == dump(theirs_db), line


@needs_coturn
def test_one_database_for_both(ours, tmp_path):
    """Each program writes every second line, and both see the same afterwards."""
    db = tmp_path / "db"
    for number, line in enumerate(COMMANDS):
        if number % 2 == 0:
            must(ours(*line.split(), "-b", db))
        else:
            assert coturn(*line.split(), "-b", db)[0] == OK, line
        for look in ("-l", "-L", "-S", "-I", "-G"):
            assert must(ours(look, "-b", db)) == coturn(look, "-b", db)[1], (line, look)


@needs_coturn
@pytest.mark.parametrize("line", ["-a -u x -p y", "-a -u x -r y", "-a -r x -p y", "-d -u x", "-s x", "-X x", "-g -r a",
                                  "-g --max-bps 1", "-O -o x", "-O -r x", "-R", "-Z", "-l extra", "-k -u u", "-A -u u",
                                  "-s", "--nosuch", "--delete-all-secrets", ""])
def test_refused_as_by_coturn(ours, tmp_path, line):
    db = tmp_path / "db"
    done = ours("-b", db, *line.split())
    assert done.returncode == USAGE
    assert done.stdout == ""
    assert done.stderr.startswith("turnadmin: ")
    assert coturn("-b", db, *line.split())[0] == 255
    assert not db.exists()


def test_user_gets_all_keys(ours, tmp_path):
    """RFC 8489 section 18.5.1: the SHA-256 key cannot be made of coturn's MD5 key."""
    db = tmp_path / "db"
    must(ours("-a", "-b", db, "-u", "alice", "-r", "example.org", "-p", "old"))
    must(ours("-a", "-b", db, "-u", "alice", "-r", "example.org", "-p", "wonder"))
    text = b"alice:example.org:wonder"
    md5, sha256 = hashlib.md5(text).hexdigest(), hashlib.sha256(text).hexdigest()
    userhash = hashlib.sha256(b"alice:example.org").hexdigest()
    assert rows(db, "SELECT * FROM turnusers_lt") == [("example.org", "alice", md5)]
    assert rows(db, "SELECT * FROM sterna_user") == [("example.org", "alice", md5, sha256, userhash)]
    must(ours("-d", "-b", db, "-u", "alice", "-r", "example.org"))
    assert rows(db, "SELECT * FROM turnusers_lt") == rows(db, "SELECT * FROM sterna_user") == []


def test_as_a_command(tmp_path):
    db = tmp_path / "db"
    must(run(STERNA, "turnadmin", "-a", "-b", db, "-u", "alice", "-r", "example.org", "-p", "x"))
    assert must(run(STERNA, "turnadmin", "-l", "-b", db)) == ["alice[example.org]"]
    assert must(run(STERNA, "user", "list", "-b", db)) == ["example.org\talice\tmd5,sha256"]


def test_help(ours):
    text = must(ours("-h"))
    assert must(ours("--help")) == text
    assert any("--delete-all-secrets" in line for line in text)


def test_database_of_the_configuration(ours, tmp_path):
    """coturn's program reads no configuration; ours finds the server's database by it."""
    (tmp_path / "turnserver.conf").write_text("userdb=special\nrealm=not.taken\n")
    must(ours("-s", "secret", "-r", "r"))
    assert must(ours("-S")) == ["secret[r]"]
    assert rows(tmp_path / "special", "SELECT realm, value FROM turn_secret") == [("r", "secret")]
    assert ours("-s", "secret").returncode == USAGE  # the realm is never guessed
    assert must(ours("-S", "-b", "special")) == ["secret[r]"]


def test_quotes_are_data(ours, tmp_path):
    """coturn puts them into its queries."""
    db = tmp_path / "db"
    for secret in ["it's", 'a"b', "'); DROP TABLE turn_secret; --", "%s%n"]:
        must(ours("-s", secret, "-r", "r", "-b", db))
        assert f"{secret}[r]" in must(ours("-S", "-b", db))
    must(ours("-a", "-u", "o'neill", "-p", "x", "-r", "r'", "-b", db))
    assert must(ours("-l", "-b", db)) == ["o'neill[r']"]


@pytest.mark.parametrize("flags", [["-p", "geheim"], ["-s", "geheim"], ["-X", "geheim"], ["--password=geheim", "-a"],
                                   ["--pasword=geheim"], ["-l", "geheim"], ["-e", "password=geheim"],
                                   ["-M", "password=geheim"], ["--mongo-userdb=geheim"], ["-N", "geheim"],
                                   ["-a", "-u", "u", "-r", "r", "-p", "geheim\x01"]])
def test_secrets_are_never_said(ours, tmp_path, flags):
    done = ours("-b", tmp_path / "db", *flags)
    assert done.returncode == USAGE
    assert "geheim" not in done.stdout + done.stderr


@pytest.mark.parametrize("flag", ["-e", "--psql-userdb", "--sql-userdb", "-M", "--mysql-userdb", "-J", "--mongo-userdb",
                                  "-N", "--redis-userdb"])
def test_other_databases_are_refused(ours, flag):
    done = ours("-l", flag, "host=127.0.0.1")
    assert done.returncode == USAGE
    assert "not in this version" in done.stderr


def test_a_limit_of_0_takes_it_away(ours, tmp_path):
    """As coturn's manual has it; version 4.6.1 leaves it in the table."""
    db = tmp_path / "db"
    must(ours("-g", "-r", "r", "--user-quota", "7", "--max-bps", "8", "-b", db))
    must(ours("-g", "-r", "r", "--user-quota", "0", "-b", db))
    must(ours("-g", "-r", "r", "--total-quota", "0", "-b", db))
    assert must(ours("-G", "-b", db)) == ["max-bps[r]=8"]


@pytest.mark.parametrize("value", ["-5", "", "x", "1x", "18446744073709551616", " 1"])
def test_limits_are_numbers(ours, tmp_path, value):
    """coturn stores -5 as 18446744073709551611."""
    done = ours("-g", "-r", "r", f"--user-quota={value}", "-b", tmp_path / "db")
    assert done.returncode == USAGE
    assert "the user-quota is no number" in done.stderr


def test_two_commands_are_refused(ours, tmp_path):
    done = ours("-a", "-d", "-u", "u", "-r", "r", "-p", "x", "-b", tmp_path / "db")
    assert done.returncode == USAGE
    assert "two commands" in done.stderr


def test_an_empty_secret_deletes_nothing(ours, tmp_path):
    """coturn's program takes `-X ""`, as an empty variable of a script makes it, for all of them."""
    db = tmp_path / "db"
    must(ours("-s", "one", "-r", "r", "-b", db))
    assert ours("-X", "", "-r", "r", "-b", db).returncode == USAGE
    assert must(ours("-S", "-b", db)) == ["one[r]"]


def test_many_secrets_are_deleted(ours, tmp_path):
    db = tmp_path / "db"
    must(ours("-s", "other", "-r", "s", "-b", db))
    with sqlite3.connect(db) as base:
        base.executemany("INSERT INTO turn_secret VALUES ('r', ?)", [(f"s{n}",) for n in range(30)])
    must(ours("--delete-all-secrets", "-r", "r", "-b", db))
    assert must(ours("-S", "-b", db)) == ["other[s]"]


def test_an_origin_that_others_wrote_is_deleted(ours, tmp_path):
    """By hand, or by a program that does not spell origins as coturn does."""
    db = tmp_path / "db"
    must(ours("-O", "-o", "https://a.example", "-r", "a", "-b", db))
    with sqlite3.connect(db) as base:
        base.execute("INSERT INTO turn_origin_to_realm VALUES ('https://B.example', 'b')")
    must(ours("-R", "-o", "https://B.example", "-b", db))
    assert rows(db, "SELECT realm FROM turn_origin_to_realm") == [("a",)]


def test_a_new_key_is_its_owners(ours, tmp_path):
    """Whatever file stood there before."""
    path = tmp_path / "key"
    path.write_text("an old one")
    path.chmod(0o644)
    must(ours("-x", path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_too_long_for_a_column(ours, tmp_path):
    db = tmp_path / "db"
    for flags in (["-O", "-o", "https://" + "x" * 130, "-r", "r"], ["-O", "-o", "o", "-r", "r" * 128],
                  ["-g", "-r", "r" * 128, "--max-bps", "1"], ["-A", "-u", "u" * 33, "-p", "x"]):
        done = ours(*flags, "-b", db)
        assert done.returncode == USAGE, flags
        assert "longer than" in done.stderr


def test_no_database(ours, tmp_path):
    assert ours("-l", "-b", tmp_path / "none").returncode == FAILED
    assert not (tmp_path / "none").exists()
    done = ours("-s", "geheim", "-r", "r", "-b", "/nonexistent/folder/db")
    assert done.returncode == FAILED
    assert "/nonexistent/folder/db" in done.stderr and "geheim" not in done.stderr
    (tmp_path / "rubbish").write_bytes(b"x" * 4096)
    assert ours("-l", "-b", tmp_path / "rubbish").returncode == FAILED


def test_old_database_without_the_newer_tables(ours, tmp_path):
    db = tmp_path / "db"
    with sqlite3.connect(db) as base:
        base.executescript("CREATE TABLE turnusers_lt (realm varchar(127) default '', name varchar(512), "
                           "hmackey char(128), PRIMARY KEY (realm,name));"
                           "CREATE TABLE turn_secret (realm varchar(127) default '', value varchar(127), "
                           "primary key (realm,value));")
    for look in ("-l", "-L", "-S", "-I", "-G"):
        assert must(ours(look, "-b", db)) == []
    must(ours("-g", "-r", "r", "--max-bps", "9", "-b", db))
    assert must(ours("-G", "-b", db)) == ["max-bps[r]=9"]


def test_password_of_an_administrator(ours, tmp_path):
    def check(text, password):
        match = re.fullmatch(r"\$5\$([0-9a-f]{16})\$([0-9a-f]{64})", text)
        assert match
        assert hashlib.sha256(bytes.fromhex(match[1]) + password).hexdigest() == match[2]
        return match[1]

    salts = {check(*must(ours("-P", "-p", "hello")), b"hello") for _ in range(3)}
    salts.add(check(*must(ours("-p", "hello", "-P")), b"hello"))
    assert len(salts) == 4
    db = tmp_path / "db"
    must(ours("-A", "-u", "root", "-p", "hello", "-b", db))
    check(rows(db, "SELECT password FROM admin_user")[0][0], b"hello")


@needs_coturn
def test_sealed_passwords(ours, tmp_path):
    """Each program opens what the other has sealed, with keys that either made."""
    ours_key, their_key = tmp_path / "ours.key", tmp_path / "theirs.key"
    must(ours("-x", ours_key))
    assert stat.S_IMODE(ours_key.stat().st_mode) == 0o600
    coturn("-x", their_key)
    for key in (ours_key, their_key):
        assert key.stat().st_size == 16
        for password in ("hello", "a" * 16, "pässword with more than one block of AES"):
            sealed = must(ours("-E", "-p", password, "-f", key))
            assert [sealed[0]] == coturn("-f", key, "-E", "-p", password)[1]
            assert must(ours("-f", key, "-v", sealed[0])) == [password]
            assert coturn("-f", key, "-v", sealed[0])[1] == [password]


def test_sealing_needs_a_key(ours, tmp_path):
    """coturn's program goes on with whatever its memory holds."""
    short = tmp_path / "short"
    short.write_bytes(b"x" * 15)
    assert ours("-E", "-p", "geheim").returncode == USAGE
    for key in (short, tmp_path / "none", tmp_path):
        done = ours("-E", "-p", "geheim", "-f", key)
        assert done.returncode == FAILED
        assert done.stdout == "" and "geheim" not in done.stderr
    short.write_bytes(b"x" * 16)
    for text in ("", "A", "AA=A", "A===", "====", "AAAA!", "AAA!", "A" * 4000):
        assert ours("-v", text, "-f", short).returncode == USAGE, text
    assert ours("-x", "/nonexistent/key").returncode == FAILED


def test_secrets_leave_the_process_list(ours, tmp_path):
    """They are blotted out before the database is waited for."""
    db = tmp_path / "db"
    must(ours("-s", "first", "-r", "r", "-b", db))
    holder = sqlite3.connect(db, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with subprocess.Popen([str(tmp_path / "bin/turnadmin"), "-s", "geheim", "-r", "r", "-b", str(db)]) as waiting:
        command = pathlib.Path(f"/proc/{waiting.pid}/cmdline")
        while b"geheim" in command.read_bytes():
            assert waiting.poll() is None
        holder.execute("ROLLBACK")
        assert waiting.wait(timeout=30) == OK
    holder.close()
    assert "geheim[r]" in must(ours("-S", "-b", db))
